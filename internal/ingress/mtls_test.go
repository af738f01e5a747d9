package ingress

import (
	"crypto/tls"
	"testing"
	"time"

	"sluice/internal/certs/certtest"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/trust"
)

// TestMTLSPoint: Mail Manager, section 2.3 and B6: who has no good certificate is not served at all.
func TestMTLSPoint(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B6")
	ca, stranger := certtest.New(t, "client CA", nil), certtest.New(t, "another CA", nil)
	good, revoked := ca.Issue("good.example", nil), ca.Issue("revoked.example", nil)
	tests := []struct {
		name   string
		client *tls.Certificate
		served bool
	}{
		{"good", good, true},
		{"absent", nil, false},
		{"expired", ca.Issue("expired.example", certtest.Expired), false},
		{"revoked", revoked, false},
		{"of a foreign CA", stranger.Issue("good.example", nil), false},
		{"of a CA with the same name", certtest.New(t, "client CA", nil).Issue("good.example", nil), false},
	}
	crl := ca.CRL(time.Now().Add(time.Hour), revoked)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		g := mtlsGateway(t, ca.PEM(), crl)
		for _, test := range tests {
			t.Run(tls.VersionName(version)+" "+test.name, func(t *testing.T) {
				c := call(t, g.address)
				config := &tls.Config{MinVersion: version, MaxVersion: version}
				if test.client != nil {
					config.Certificates = []tls.Certificate{*test.client}
				}
				err := c.secure(config)
				if served := err == nil; served != test.served {
					t.Fatalf("got %v, want served %v", err, test.served)
				}
				if !test.served {
					event := g.trace.await(t, func(e *traceEvent) bool { return e.Refused != nil && e.Refused.Command == "STARTTLS" })
					if event.Refused.Reason == "" {
						t.Error("the trace does not say why")
					}
					return
				}
				c.deliver("250")
				facts := g.trace.last(t).Accepted.Facts
				if facts.Certificate == nil || facts.Certificate.CommonNames[0] != "good.example" {
					t.Errorf("traced %+v, want the certificate's facts", facts.Certificate)
				}
			})
		}
	}
}

// TestMTLSInClear: a client that never begins TLS is told to, and sends nothing (Mail Manager, B6).
func TestMTLSInClear(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B6")
	g := mtlsGateway(t, certtest.New(t, "client CA", nil).PEM(), "")
	c := call(t, g.address)
	c.say("EHLO client.test", "250")
	c.say("MAIL FROM:<a@example.org>", "530 5.7.0 Must issue a STARTTLS command first")
}

// TestTrustStoreChangesWhileRunning: the next handshake sees it.
func TestTrustStoreChangesWhileRunning(t *testing.T) {
	t.Parallel()
	ca := certtest.New(t, "client CA", nil)
	client := ca.Issue("good.example", nil)
	g := mtlsGateway(t, ca.PEM(), "")
	connects := func() error {
		return call(t, g.address).secure(&tls.Config{Certificates: []tls.Certificate{*client}})
	}
	if err := connects(); err != nil {
		t.Fatal(err)
	}
	changed := *g.point
	changed.Trust = mustTrust(t, ca.PEM(), ca.CRL(time.Now().Add(time.Hour), client))
	g.plane.set(&changed)
	if connects() == nil {
		t.Error("a certificate that was revoked meanwhile is taken")
	}
	changed.Trust = nil
	g.plane.set(&changed)
	if connects() == nil {
		t.Error("a point without a trust store serves")
	}
}

// TestMTLSIsDemandedByName: on a shared listener the server name tells whose clients must prove themselves; and a default point
// of type MTLS has them do so when nothing tells.
func TestMTLSIsDemandedByName(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B17")
	ca := certtest.New(t, "client CA", nil)
	g, address := shared(t, ListenerConfig{})
	p := g.add(t, "inp-mtls", func(p *control.IngressPoint) {
		p.Type, p.TlsPolicy, p.Trust = mailmanager.IngressPointTypeMtls, mailmanager.TlsPolicyRequired, mustTrust(t, ca.PEM(), "")
	})
	client := []tls.Certificate{*ca.Issue("good.example", nil)}
	connects := func(name string, certificates []tls.Certificate) (*caller, error) {
		c := call(t, address)
		return c, c.secure(&tls.Config{ServerName: name, Certificates: certificates})
	}
	if _, err := connects("inp-mtls.test", nil); err == nil {
		t.Error("a client without a certificate is served by the point's name")
	}
	if c, err := connects("inp-mtls.test", client); err != nil {
		t.Error(err)
	} else {
		c.deliver("250")
	}
	if c, err := connects("mx.test", nil); err != nil {
		t.Errorf("the other point on the listener: %v", err)
	} else {
		c.deliver("250")
	}
	preferred := *p
	preferred.Default = true
	g.plane.set(&preferred)
	if _, err := connects("", nil); err == nil {
		t.Error("a client without a certificate is served by the default point")
	}
	if c, err := connects("", client); err != nil {
		t.Error(err)
	} else {
		c.deliver("250")
	}
	c := call(t, address)
	c.say("EHLO client.test", "250")
	c.say("MAIL FROM:<a@example.org>", "530 5.7.0 Must issue")
}

func mustTrust(t *testing.T, ca, crl string) *trust.Store {
	t.Helper()
	store, err := trust.Compile(ca, crl)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func mtlsGateway(t *testing.T, ca, crl string) *gateway {
	t.Helper()
	return newGateway(t, func(g *gateway, c *Config) {
		withTLS(t, c)
		g.point.Type, g.point.TlsPolicy = mailmanager.IngressPointTypeMtls, mailmanager.TlsPolicyRequired
		g.point.Trust = mustTrust(t, ca, crl)
	})
}
