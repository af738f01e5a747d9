package control_test

import (
	"crypto/x509"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/certs/certtest"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

// endpoint is a VPC endpoint that the configuration has a listener for.
const endpoint = "vpce-0123456789abcdef0"

const password mailmanager.SmtpPassword = "correct-horse-1"

func passwordConfiguration(text mailmanager.SmtpPassword) *mailmanager.IngressPointConfiguration {
	return &mailmanager.IngressPointConfiguration{SmtpPassword: &text}
}

func trustStore(ca, crl string) *mailmanager.IngressPointConfiguration {
	store := &mailmanager.TrustStore{CAContent: (*mailmanager.CAContent)(&ca)}
	if crl != "" {
		store.CrlContent = (*mailmanager.CrlContent)(&crl)
	}
	return &mailmanager.IngressPointConfiguration{TlsAuthConfiguration: &mailmanager.TlsAuthConfiguration{TrustStore: store}}
}

// authority makes a certification authority and its empty revocation list, in PEM form.
func authority(t testing.TB) (ca, crl string) {
	t.Helper()
	made := certtest.New(t, "Test CA", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Unix(0, 0), time.Unix(1<<32, 0) })
	return made.PEM(), made.CRL(time.Unix(1<<32, 0))
}

// private makes a point private.
func private(in *mailmanager.CreateIngressPointRequest) {
	in.NetworkConfiguration = &mailmanager.NetworkConfiguration{PrivateNetworkConfiguration: &mailmanager.PrivateNetworkConfiguration{
		VpcEndpointId: ptr(mailmanager.VpcEndpointId(endpoint))}}
}

func dualStack(in *mailmanager.CreateIngressPointRequest) {
	in.NetworkConfiguration = &mailmanager.NetworkConfiguration{PublicNetworkConfiguration: &mailmanager.PublicNetworkConfiguration{IpType: ptr(mailmanager.IpTypeDualStack)}}
}

func TestIngressPointReadsBackAsCreated(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A10", "B19", "B20")
	p := newPlane(t, func(c *control.Config) { c.MailDomain = "mail.example" })
	in := p.pointRequest("front")
	id := p.createPoint(in)
	got := p.getPoint(id)
	if !regexp.MustCompile(`^[0-9a-z]{12}\.[0-9a-z]{4}\.mail\.example$`).MatchString(string(*got.ARecord)) {
		t.Errorf("got ARecord %s", *got.ARecord)
	}
	created := time.Date(2026, 11, 22, 10, 0, 0, 123000000, time.UTC)
	want := &mailmanager.GetIngressPointResponse{
		IngressPointId: ptr(mailmanager.IngressPointId(id)), IngressPointName: in.IngressPointName,
		IngressPointArn: ptr(mailmanager.IngressPointArn("arn:aws:ses:eu-west-1:111111111111:mailmanager-ingress-point/" + id)),
		Status:          ptr(mailmanager.IngressPointStatusActive), Type: in.Type, ARecord: got.ARecord,
		RuleSetId: in.RuleSetId, TrafficPolicyId: in.TrafficPolicyId, TlsPolicy: ptr(mailmanager.TlsPolicyRequired), // Mail Manager, B20
		NetworkConfiguration: &mailmanager.NetworkConfiguration{ // Mail Manager, A10
			PublicNetworkConfiguration: &mailmanager.PublicNetworkConfiguration{IpType: ptr(mailmanager.IpTypeIpv4)}},
		CreatedTimestamp: &created, LastUpdatedTimestamp: &created, Listeners: []string{"127.0.0.1:2525"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	list := do[mailmanager.ListIngressPointsResponse](p, "ListIngressPoints", &mailmanager.ListIngressPointsRequest{}).IngressPoints
	wantList := []mailmanager.IngressPoint{{IngressPointName: want.IngressPointName, IngressPointId: want.IngressPointId, Status: want.Status, Type: want.Type, ARecord: want.ARecord}}
	if diff := cmp.Diff(wantList, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestNetworksOfIngressPoints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                     string
		network                  func(*mailmanager.CreateIngressPointRequest)
		isPrivate, isDual, hosts bool
	}{
		{"none given", func(*mailmanager.CreateIngressPointRequest) {}, false, false, true},
		{"dual stack", dualStack, false, true, true},
		{"private", private, true, true, false}, // Mail Manager, section 2.1: no host name; the listener says which clients
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			in := p.pointRequest("front")
			test.network(in)
			id := p.createPoint(in)
			point, _ := p.IngressPoint(control.Key{Scope: home, ID: id})
			if point.Private != test.isPrivate || point.DualStack != test.isDual || point.ARecord == "" {
				t.Errorf("the snapshot: got %+v", point)
			}
			got := p.getPoint(id)
			if (got.ARecord != nil) != test.hosts {
				t.Errorf("got the host name %v, want one: %v", got.ARecord, test.hosts)
			}
			if in.NetworkConfiguration != nil && text(t, got.NetworkConfiguration) != text(t, in.NetworkConfiguration) {
				t.Errorf("got %s, want %s", text(t, got.NetworkConfiguration), text(t, in.NetworkConfiguration))
			}
		})
	}
}

func TestCreateIngressPointRefusals(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A5")
	ca, crl := authority(t)
	auth, mtls := mailmanager.IngressPointTypeAuth, mailmanager.IngressPointTypeMtls
	secret := &mailmanager.IngressPointConfiguration{SecretArn: ptr(mailmanager.SecretArn("arn:aws:secretsmanager:eu-west-1:111111111111:secret:x"))}
	type request = mailmanager.CreateIngressPointRequest
	tests := []struct {
		name   string
		change func(*request)
		text   string
	}{
		{"an unknown rule set (A5)", func(in *request) { in.RuleSetId = ptr(mailmanager.RuleSetId("rs-aaaaaaaaaaaaaaaaaaaaaaaa")) }, "rs-aaaaaaaaaaaaaaaaaaaaaaaa"},
		{"an unknown policy (A5)", func(in *request) {
			in.TrafficPolicyId = ptr(mailmanager.TrafficPolicyId("tp-aaaaaaaaaaaaaaaaaaaaaaaa"))
		}, "tp-aaaaaaaaaaaaaaaaaaaaaaaa"},
		{"a malformed rule set id", func(in *request) { in.RuleSetId = ptr(mailmanager.RuleSetId("x")) }, "'ruleSetId'"},
		{"a malformed policy id", func(in *request) { in.TrafficPolicyId = ptr(mailmanager.TrafficPolicyId("x")) }, "'trafficPolicyId'"},
		{"OPEN with a configuration", func(in *request) { in.IngressPointConfiguration = passwordConfiguration(password) }, "OPEN"},
		{"AUTH without one", func(in *request) { in.Type = &auth }, "AUTH"},
		{"AUTH with a trust store", func(in *request) { in.Type, in.IngressPointConfiguration = &auth, trustStore(ca, crl) }, "AUTH"},
		{"MTLS without a configuration", func(in *request) { in.Type = &mtls }, "MTLS"},
		{"MTLS with a password", func(in *request) { in.Type, in.IngressPointConfiguration = &mtls, passwordConfiguration(password) }, "MTLS"},
		{"MTLS with a secret", func(in *request) { in.Type, in.IngressPointConfiguration = &mtls, secret }, "MTLS"},
		{"MTLS without a trust store", func(in *request) {
			in.Type = &mtls
			in.IngressPointConfiguration = &mailmanager.IngressPointConfiguration{TlsAuthConfiguration: &mailmanager.TlsAuthConfiguration{}}
		}, "MTLS"},
		{"CAs that are no PEM", func(in *request) { in.Type, in.IngressPointConfiguration = &mtls, trustStore("x", "") }, "cAContent"},
		{"CAs that are a list", func(in *request) { in.Type, in.IngressPointConfiguration = &mtls, trustStore(crl, "") }, "cAContent"},
		{"a CA that does not parse", func(in *request) {
			broken := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
			in.Type, in.IngressPointConfiguration = &mtls, trustStore(ca+broken, "")
		}, "cAContent"},
		{"a CA by another name", func(in *request) {
			in.Type, in.IngressPointConfiguration = &mtls, trustStore(strings.ReplaceAll(ca, "CERTIFICATE", "TRUSTED CERTIFICATE"), "")
		}, "cAContent"},
		{"a CA and one that is cut off", func(in *request) {
			in.Type, in.IngressPointConfiguration = &mtls, trustStore(ca+ca[:len(ca)/2], "")
		}, "cAContent"},
		{"a CA that is cut off before another", func(in *request) {
			in.Type, in.IngressPointConfiguration = &mtls, trustStore(ca[:len(ca)/2]+"\n"+ca, "")
		}, "cAContent"},
		{"a list and one that is cut off", func(in *request) {
			in.Type, in.IngressPointConfiguration = &mtls, trustStore(ca, crl+crl[:len(crl)/2])
		}, "crlContent"},
		{"lists that are a CA", func(in *request) { in.Type, in.IngressPointConfiguration = &mtls, trustStore(ca, ca) }, "crlContent"},
		{"a listener that does not exist", func(in *request) { in.Tags = tags("sluice:listener", "nowhere") }, "sluice:listener"},
		{"one listener of two that exists", func(in *request) { in.Tags = tags("sluice:listener", "mx+nowhere") }, "sluice:listener"},
		{"one listener twice", func(in *request) { in.Tags = tags("sluice:listener", "mx+mx") }, "sluice:listener"},
		{"three listeners", func(in *request) { in.Tags = tags("sluice:listener", "mx+mx2+submission") }, "sluice:listener"},
		{"no listener", func(in *request) { in.Tags = tags("sluice:listener", "") }, "sluice:listener"},
		{"a default that is neither true nor false", func(in *request) { in.Tags = tags("sluice:default", "yes") }, "sluice:default"},
		{"OPTIONAL for MTLS (B20)", func(in *request) {
			private(in)
			in.Type, in.IngressPointConfiguration, in.TlsPolicy = &mtls, trustStore(ca, ""), ptr(mailmanager.TlsPolicyOptional)
		}, "OPTIONAL"},
		{"OPTIONAL for public AUTH (B20)", func(in *request) {
			in.Type, in.IngressPointConfiguration, in.TlsPolicy = &auth, passwordConfiguration(password), ptr(mailmanager.TlsPolicyOptional)
		}, "OPTIONAL"},
	}
	p := newPlane(t)
	good := p.pointRequest("front")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := *good
			test.change(&in)
			wantCode(t, p.refused(home, "CreateIngressPoint", &in), mailmanager.CodeValidation, test.text)
		})
	}
	p.createPoint(good) // nothing that was refused took its name
	wantCode(t, p.refused(home, "CreateIngressPoint", good), mailmanager.CodeConflict, "front")
}

func TestIngressPointQuotasAreByType(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A16")
	p := newPlane(t, limits(control.Limits{OpenIngressPoints: 1, AuthorizedIngressPoints: 1}))
	auth := func(name string) *mailmanager.CreateIngressPointRequest {
		in := p.pointRequest(name)
		in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeAuth), passwordConfiguration(password)
		return in
	}
	open := p.point("open")
	p.createPoint(auth("auth"))
	wantCode(t, p.refused(home, "CreateIngressPoint", p.pointRequest("open2")), mailmanager.CodeServiceQuotaExceeded)
	wantCode(t, p.refused(home, "CreateIngressPoint", auth("auth2")), mailmanager.CodeServiceQuotaExceeded)
	do[mailmanager.DeleteIngressPointResponse](p, "DeleteIngressPoint", &mailmanager.DeleteIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&open)})
	p.Quiet()
	p.point("open3")
}

// Mail Manager, B20, and Mail Manager, section 2.4.
func TestTLSPolicies(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B20")
	ca, _ := authority(t)
	required, optional, fips := mailmanager.TlsPolicyRequired, mailmanager.TlsPolicyOptional, mailmanager.TlsPolicyFips
	open, auth, mtls := mailmanager.IngressPointTypeOpen, mailmanager.IngressPointTypeAuth, mailmanager.IngressPointTypeMtls
	tests := []struct {
		name    string
		strict  bool
		region  string
		kind    mailmanager.IngressPointType
		private bool
		asked   mailmanager.TlsPolicy // empty: none
		want    mailmanager.TlsPolicy // empty: refused
	}{
		{"default", false, "us-east-1", open, false, "", required},
		{"open optional", false, "us-east-1", open, false, optional, optional},
		{"fips anywhere", false, "eu-west-1", mtls, false, fips, fips},
		{"private auth optional", false, "eu-west-1", auth, true, optional, optional},
		{"public auth optional", false, "eu-west-1", auth, false, optional, ""},
		{"mtls optional", false, "eu-west-1", mtls, true, optional, ""},
		{"strict default in the US", true, "us-west-2", open, false, "", fips},
		{"strict default in Canada", true, "ca-central-1", auth, false, "", fips},
		{"strict default elsewhere", true, "eu-west-1", auth, false, "", required},
		{"strict fips elsewhere", true, "eu-west-1", open, false, fips, ""},
		{"strict required for public auth in the US", true, "us-east-1", auth, false, required, ""},
		{"strict required for public mtls in the US", true, "us-east-1", mtls, false, required, ""},
		{"strict required for private auth in the US", true, "us-east-1", auth, true, required, required},
		{"strict required for open in the US", true, "us-east-1", open, false, required, required},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t, profile(test.strict))
			in, scope := p.strangersPoint(control.Scope{Account: home.Account, Region: test.region}, "front")
			in.Type = &test.kind
			switch test.kind {
			case auth:
				in.IngressPointConfiguration = passwordConfiguration(password)
			case mtls:
				in.IngressPointConfiguration = trustStore(ca, "")
			}
			if test.private {
				private(in)
			}
			if test.asked != "" {
				in.TlsPolicy = &test.asked
			}
			if test.want == "" {
				wantCode(t, p.refused(scope, "CreateIngressPoint", in), mailmanager.CodeValidation, "'tlsPolicy'")
				return
			}
			out, err := p.call(scope, "CreateIngressPoint", in)
			if err != nil {
				t.Fatal(err)
			}
			p.Quiet()
			point, _ := p.IngressPoint(control.Key{Scope: scope, ID: string(*out.(*mailmanager.CreateIngressPointResponse).IngressPointId)})
			if point.TlsPolicy != test.want {
				t.Errorf("got %s, want %s", point.TlsPolicy, test.want)
			}
		})
	}
}

// strangersPoint asks for a point in another scope, with a rule set and a policy there.
func (p *plane) strangersPoint(scope control.Scope, name string) (*mailmanager.CreateIngressPointRequest, control.Scope) {
	p.Helper()
	rules, err := p.call(scope, "CreateRuleSet", ruleSetRequest("rules-of-"+name))
	if err != nil {
		p.Fatal(err)
	}
	gate, err := p.call(scope, "CreateTrafficPolicy", policyRequest("policy-of-"+name))
	if err != nil {
		p.Fatal(err)
	}
	return &mailmanager.CreateIngressPointRequest{
		IngressPointName: (*mailmanager.IngressPointName)(&name), Type: ptr(mailmanager.IngressPointTypeOpen),
		RuleSetId:       rules.(*mailmanager.CreateRuleSetResponse).RuleSetId,
		TrafficPolicyId: gate.(*mailmanager.CreateTrafficPolicyResponse).TrafficPolicyId,
	}, scope
}

func TestTLSPolicyChanges(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B20")
	required, optional, fips := mailmanager.TlsPolicyRequired, mailmanager.TlsPolicyOptional, mailmanager.TlsPolicyFips
	open, auth := mailmanager.IngressPointTypeOpen, mailmanager.IngressPointTypeAuth
	tests := []struct {
		name     string
		strict   bool
		kind     mailmanager.IngressPointType
		private  bool
		from, to mailmanager.TlsPolicy
		ok       bool
	}{
		{"open", false, open, false, required, optional, true},
		{"open to fips", false, open, false, required, fips, true},
		{"public auth to optional", false, auth, false, required, optional, false},
		{"strict open", true, open, false, required, optional, true},
		{"strict open to fips", true, open, false, required, fips, false},
		{"strict open from fips", true, open, false, fips, optional, false},
		{"strict open stays fips", true, open, false, fips, fips, true},
		{"strict private auth", true, auth, true, required, optional, true},
		{"strict public auth from fips", true, auth, false, fips, required, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t, profile(test.strict))
			in, _ := p.strangersPoint(abroad, "front")
			in.Type, in.TlsPolicy = &test.kind, &test.from
			if test.kind == auth {
				in.IngressPointConfiguration = passwordConfiguration(password)
			}
			if test.private {
				private(in)
			}
			out, err := p.call(abroad, "CreateIngressPoint", in)
			if err != nil {
				t.Fatal(err)
			}
			p.Quiet()
			id := out.(*mailmanager.CreateIngressPointResponse).IngressPointId
			_, err = p.call(abroad, "UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{IngressPointId: id, TlsPolicy: &test.to})
			if test.ok && err != nil {
				t.Error(err)
			}
			if !test.ok {
				wantCode(t, err, mailmanager.CodeValidation, "'tlsPolicy'")
			}
		})
	}
}

func TestPasswordsAndTheirGrace(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	in := p.pointRequest("front")
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeAuth), passwordConfiguration(password)
	id := p.createPoint(in)
	first := p.getPoint(id).IngressPointAuthConfiguration.IngressPointPasswordConfiguration
	if first.SmtpPasswordVersion == nil || first.PreviousSmtpPasswordVersion != nil || first.PreviousSmtpPasswordExpiryTimestamp != nil {
		t.Errorf("got %s", text(t, first))
	}
	change := &mailmanager.UpdateIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id), IngressPointConfiguration: passwordConfiguration("another-horse-2")}
	do[mailmanager.UpdateIngressPointResponse](p, "UpdateIngressPoint", change)
	p.Quiet()
	second := p.getPoint(id).IngressPointAuthConfiguration.IngressPointPasswordConfiguration
	expiry := time.Date(2026, 12, 6, 10, 0, 0, 123000000, time.UTC)
	if *second.SmtpPasswordVersion == *first.SmtpPasswordVersion || *second.PreviousSmtpPasswordVersion != *first.SmtpPasswordVersion ||
		!second.PreviousSmtpPasswordExpiryTimestamp.Equal(expiry) {
		t.Errorf("after a change: got %s, before %s", text(t, second), text(t, first))
	}
	p.clock.advance(14 * 24 * time.Hour)
	if third := p.getPoint(id).IngressPointAuthConfiguration.IngressPointPasswordConfiguration; third.PreviousSmtpPasswordVersion != nil {
		t.Errorf("after 14 days: got %s", text(t, third))
	}
	change.IngressPointConfiguration = &mailmanager.IngressPointConfiguration{SecretArn: ptr(mailmanager.SecretArn("arn:aws:secretsmanager:eu-west-1:111111111111:secret:x"))}
	do[mailmanager.UpdateIngressPointResponse](p, "UpdateIngressPoint", change)
	p.Quiet()
	if got := p.getPoint(id).IngressPointAuthConfiguration; got.SecretArn == nil || got.IngressPointPasswordConfiguration != nil {
		t.Errorf("after a change to a secret: got %s", text(t, got))
	}
	change.IngressPointConfiguration = trustStore("x", "")
	wantCode(t, p.refused(home, "UpdateIngressPoint", change), mailmanager.CodeValidation, "AUTH")
}

func TestTrustStoreIsShownOnDemandOnly(t *testing.T) {
	t.Parallel()
	ca, crl := authority(t)
	p := newPlane(t)
	in := p.pointRequest("front")
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeMtls), trustStore(ca, crl)
	id := p.createPoint(in)
	if got := text(t, p.getPoint(id)); strings.Contains(got, "BEGIN") {
		t.Errorf("got %s", got)
	}
	request := &mailmanager.GetIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id), IncludeTrustStoreContents: ptr(mailmanager.TrustStoreResponseOptionInclude)}
	got := do[mailmanager.GetIngressPointResponse](p, "GetIngressPoint", request).IngressPointAuthConfiguration
	if diff := cmp.Diff(in.IngressPointConfiguration.TlsAuthConfiguration, got.TlsAuthConfiguration); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIngressPointIDRefusals(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	unknown, malformed := ptr(mailmanager.IngressPointId("inp-aaaaaaaaaaaaaaaaaaaaaaaa")), ptr(mailmanager.IngressPointId("inp-1"))
	for _, test := range []struct {
		id   *mailmanager.IngressPointId
		want mailmanager.Code
	}{{unknown, mailmanager.CodeResourceNotFound}, {malformed, mailmanager.CodeValidation}} {
		wantCode(t, p.refused(home, "GetIngressPoint", &mailmanager.GetIngressPointRequest{IngressPointId: test.id}), test.want)
		wantCode(t, p.refused(home, "UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{IngressPointId: test.id}), test.want)
	}
	do[mailmanager.DeleteIngressPointResponse](p, "DeleteIngressPoint", &mailmanager.DeleteIngressPointRequest{IngressPointId: unknown})
	wantCode(t, p.refused(home, "DeleteIngressPoint", &mailmanager.DeleteIngressPointRequest{IngressPointId: malformed}), mailmanager.CodeValidation)
}
