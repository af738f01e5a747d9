package control_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"sluice/internal/certs/certtest"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/trust"
)

func (p *plane) mtlsRequest(name string, config *mailmanager.IngressPointConfiguration) *mailmanager.CreateIngressPointRequest {
	p.Helper()
	in := p.pointRequest(name)
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeMtls), config
	return in
}

// verify is what the point's trust store says of a client.
func (p *plane) verify(key control.Key, client *tls.Certificate) error {
	p.Helper()
	point, ok := p.IngressPoint(key)
	if !ok || point.Trust == nil {
		p.Fatalf("there is no ingress point %s with a trust store", key.ID)
	}
	return point.Trust.Verify([]*x509.Certificate{client.Leaf}, p.clock.Now())
}

func TestTrustStoresAreCompiledWhenTheyChange(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	now := p.clock.Now()
	when := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0) }
	ca, other := certtest.New(t, "client CA", when), certtest.New(t, "another CA", when)
	client, revoked, foreign := ca.Issue("good", when), ca.Issue("revoked", when), other.Issue("good", when)
	key := control.Key{Scope: home, ID: p.createPoint(p.mtlsRequest("front", trustStore(ca.PEM(), ca.CRL(now.AddDate(1, 0, 0), revoked))))}
	check := func(client *tls.Certificate, want error) {
		t.Helper()
		if err := p.verify(key, client); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	check(client, nil)
	check(revoked, trust.ErrRevoked)
	check(foreign, trust.ErrUnknownAuthority)
	if err := p.rename(key.ID, "back"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	check(client, nil)
	p.configure(key, trustStore(other.PEM(), "")) // it counts while the point is UPDATING
	for range 2 {
		check(foreign, nil)
		check(client, trust.ErrUnknownAuthority)
		p.Quiet()
		p.restart()
	}
	if open, _ := p.IngressPoint(control.Key{Scope: home, ID: p.point("open")}); open.Trust != nil {
		t.Error("a point of type OPEN has a trust store")
	}
}

// A trust store that cannot be used is refused, on the member that is to blame, and changes nothing.
func TestTrustStoresThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	ca, crl := authority(t)
	_, foreign := authority(t)
	client := certtest.New(t, "client CA", nil).Issue("no authority", nil)
	tests := []struct{ name, ca, crl, member string }{
		{"a client's certificate", certtest.CertPEM(client), "", "cAContent"},
		{"another CA's list", ca, foreign, "crlContent"},
		{"both", certtest.CertPEM(client), crl, "cAContent"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			key := control.Key{Scope: home, ID: p.createPoint(p.mtlsRequest("front", trustStore(ca, crl)))}
			before, _ := p.IngressPoint(key)
			_, create := p.call(home, "CreateIngressPoint", p.mtlsRequest("another", trustStore(test.ca, test.crl)))
			update := p.update(key.ID, func(in *mailmanager.UpdateIngressPointRequest) {
				in.IngressPointConfiguration = trustStore(test.ca, test.crl)
			})
			for _, err := range []error{create, update} {
				wantCode(t, err, mailmanager.CodeValidation, "'ingressPointConfiguration.tlsAuthConfiguration.trustStore."+test.member+"'")
			}
			if after, _ := p.IngressPoint(key); after.Trust != before.Trust {
				t.Error("a refused trust store took the place of the other")
			}
		})
	}
}

// Credentials that do not open keep nobody else from being served, and let nobody in.
func TestCredentialsThatDoNotOpen(t *testing.T) {
	t.Parallel()
	ca, _ := authority(t)
	p := newPlane(t)
	auth := p.authPoint("auth", passwordConfiguration(password))
	good := p.authPoint("good", passwordConfiguration(password))
	in := p.pointRequest("mtls")
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeMtls), trustStore(ca, "")
	mtls := control.Key{Scope: home, ID: p.createPoint(in)}
	for _, key := range []control.Key{auth, mtls} {
		p.spoil("ingress-point", key.ID, "credentials")
	}
	p.restart()
	if p.check(auth, string(password)).OK || !p.check(good, string(password)).OK {
		t.Error("got another answer than that the spoiled one lets nobody in and the other one does")
	}
	point, _ := p.IngressPoint(mtls)
	if point.Trust != nil {
		t.Errorf("the spoiled trust store: got %+v", point.Trust)
	}
	for _, key := range []control.Key{auth, mtls} {
		if !strings.Contains(p.log.String(), key.ID) {
			t.Errorf("the log does not name %s", key.ID)
		}
	}
}
