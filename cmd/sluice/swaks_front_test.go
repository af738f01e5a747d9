package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"sluice/internal/certs/certtest"
	"sluice/test/harness"
)

// Passwords of the ingress points, the later ones instead of the earlier.
const (
	firstPassword  = "the-first-password"
	secondPassword = "the-second-password"
	thirdPassword  = "the-third-password"
)

// passwordGrace is how long the password before the newest is good (Mail Manager, section 2.2).
const passwordGrace = 14 * 24 * time.Hour

// proxyNetwork is the only one on the machine that the listeners edge and edges take a PROXY header from.
const proxyNetwork = "127.2.0.0/16"

// front is a server with ingress points of every kind, and the files that its clients want.
type front struct {
	*server
	dir       string            // of certificates and keys in PEM, named as the tables have them
	listeners map[string]string // name to address
	points    map[string]string // name to id
	sessions  *sessionLog

	clock               atomic.Int64 // added to the time, as a time.Duration
	rules, policy, edge *string      // ids
}

func (f *front) now() time.Time { return time.Now().Add(time.Duration(f.clock.Load())) }

// openFront starts a server that greets after a delay, and makes its ingress points. Two of them got a second password: the one
// of auth nearly two weeks ago, the one of stale a little earlier than that.
func openFront(t *testing.T, greetingDelay time.Duration) *front {
	t.Helper()
	f := &front{dir: t.TempDir(), listeners: map[string]string{}, points: map[string]string{}, sessions: &sessionLog{ends: map[string]string{}}}
	trust, lapsed := f.makeClients(t)
	f.clock.Store(int64(-passwordGrace - time.Hour))
	f.start(t, greetingDelay)
	f.makePolicies(t)
	f.makePoints(t, trust, lapsed)
	f.changePassword(t, "stale")
	f.clock.Store(int64(-passwordGrace + time.Hour))
	f.changePassword(t, "auth")
	f.clock.Store(0)
	return f
}

// makeClients writes certificates for clients, and returns the trust stores of the points mtls and lapsed.
func (f *front) makeClients(t *testing.T) (trust, lapsed *types.TrustStore) {
	t.Helper()
	ca, ours, theirs := certtest.New(t, "ca", nil), certtest.New(t, "lapsed", nil), certtest.New(t, "foreign", nil)
	revoked := ca.Issue("revoked.example", nil)
	for name, certificate := range map[string]*tls.Certificate{
		"good": ca.Issue("good.example", nil), "expired": ca.Issue("expired.example", certtest.Expired), "revoked": revoked,
		"lapsed": ours.Issue("lapsed.example", nil), "foreign": theirs.Issue("foreign.example", nil),
		"impostor": certtest.New(t, "ca", nil).Issue("good.example", nil),
	} {
		f.writePair(t, name, certificate)
	}
	trust = &types.TrustStore{CAContent: aws.String(ca.PEM()), CrlContent: aws.String(ca.CRL(time.Now().Add(time.Hour), revoked))}
	lapsed = &types.TrustStore{CAContent: aws.String(ours.PEM()), CrlContent: aws.String(ours.CRL(time.Now().Add(-time.Hour)))}
	return trust, lapsed
}

// start starts the server, with two certificates of two CAs and its listeners.
func (f *front) start(t *testing.T, greetingDelay time.Duration) {
	t.Helper()
	first, second := certtest.New(t, "first", nil), certtest.New(t, "second", nil)
	f.write(t, "first-ca.pem", first.PEM())
	f.write(t, "second-ca.pem", second.PEM())
	f.writePair(t, "first", first.Issue("first.example", nil))
	f.writePair(t, "second", second.Issue("second.example", nil))
	cfg := testConfig(t, "--no-reverse-dns")
	cfg.GreetingDelay = Delay(greetingDelay)
	cfg.SMTPCert, cfg.SMTPKey = f.file("first.pem"), f.file("first.key")
	cfg.Certificates = []Certificate{{Cert: f.file("second.pem"), Key: f.file("second.key")}}
	proxies := []Network{Network(netip.MustParsePrefix(proxyNetwork))}
	cfg.Listeners = map[string]Listener{
		"mx": {TLS: "starttls"}, "mxs": {TLS: "implicit"}, "clear": {TLS: "none"},
		"edge": {TLS: "starttls", ProxyFrom: proxies}, "edges": {TLS: "implicit", ProxyFrom: proxies},
	}
	for name, listener := range cfg.Listeners {
		address, err := harness.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		f.listeners[name], listener.Addresses = address, []string{address}
		cfg.Listeners[name] = listener
	}
	f.server, _ = startedAt(t, cfg, slog.New(f.sessions), f.now)
}

// makePolicies makes a rule set, and two traffic policies: one that allows everything, and one that allows 198.51.100.0/24.
func (f *front) makePolicies(t *testing.T) {
	t.Helper()
	api := apiOf(f.server)
	rules := must[*mailmanager.CreateRuleSetOutput](t)(api.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{
		RuleSetName: aws.String("rules"), Rules: []types.Rule{{Actions: []types.RuleAction{&types.RuleActionMemberDrop{}}}},
	}))
	all := must[*mailmanager.CreateTrafficPolicyOutput](t)(api.CreateTrafficPolicy(t.Context(), &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("all"), DefaultAction: types.AcceptActionAllow, PolicyStatements: []types.PolicyStatement{},
	}))
	some := must[*mailmanager.CreateTrafficPolicyOutput](t)(api.CreateTrafficPolicy(t.Context(), &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("some"), DefaultAction: types.AcceptActionDeny,
		PolicyStatements: []types.PolicyStatement{{Action: types.AcceptActionAllow, Conditions: []types.PolicyCondition{
			&types.PolicyConditionMemberIpExpression{Value: types.IngressIpv4Expression{
				Evaluate: &types.IngressIpToEvaluateMemberAttribute{Value: types.IngressIpv4AttributeSenderIp},
				Operator: types.IngressIpOperatorCidrMatches, Values: []string{"198.51.100.0/24"},
			}},
		}}},
	}))
	f.rules, f.policy, f.edge = rules.RuleSetId, all.TrafficPolicyId, some.TrafficPolicyId
}

// makePoints makes the ingress points. Those on mx are told apart by their name below example; those without a listener have
// an address of their own, which is known as the listener of their name.
func (f *front) makePoints(t *testing.T, trust, lapsed *types.TrustStore) {
	t.Helper()
	auth := &types.IngressPointConfigurationMemberSmtpPassword{Value: firstPassword}
	secret := &types.IngressPointConfigurationMemberSecretArn{Value: f.makeSecret(t)}
	mtls := tlsAuth(trust)
	for _, point := range []struct {
		name      string
		listeners string
		kind      types.IngressPointType
		tls       types.TlsPolicy
		proof     types.IngressPointConfiguration
	}{
		{"open", "mx+mxs", types.IngressPointTypeOpen, types.TlsPolicyOptional, nil},
		{"fips", "mx+mxs", types.IngressPointTypeOpen, types.TlsPolicyFips, nil},
		{"auth", "mx+mxs", types.IngressPointTypeAuth, types.TlsPolicyRequired, auth},
		{"stale", "mx", types.IngressPointTypeAuth, types.TlsPolicyRequired, auth},
		{"secret", "mx", types.IngressPointTypeAuth, types.TlsPolicyRequired, secret},
		{"mtls", "mx+mxs", types.IngressPointTypeMtls, types.TlsPolicyRequired, mtls},
		{"lapsed", "mx+mxs", types.IngressPointTypeMtls, types.TlsPolicyRequired, tlsAuth(lapsed)},
		{"edge", "edge+edges", types.IngressPointTypeOpen, types.TlsPolicyOptional, nil},
		{"clear", "clear", types.IngressPointTypeOpen, types.TlsPolicyOptional, nil},
		{"required", "", types.IngressPointTypeOpen, types.TlsPolicyRequired, nil},
		{"authAlone", "", types.IngressPointTypeAuth, types.TlsPolicyRequired, auth},
		{"mtlsAlone", "", types.IngressPointTypeMtls, types.TlsPolicyRequired, mtls},
		{"fipsAlone", "", types.IngressPointTypeOpen, types.TlsPolicyFips, nil},
	} {
		in := &mailmanager.CreateIngressPointInput{
			IngressPointName: &point.name, Type: point.kind, TlsPolicy: point.tls, IngressPointConfiguration: point.proof,
			RuleSetId: f.rules, TrafficPolicyId: f.policy,
		}
		if point.listeners != "" {
			in.Tags = tagged("sluice:listener", point.listeners, "sluice:hostname", point.name+".example")
		}
		switch point.name {
		case "open":
			in.Tags = append(in.Tags, tagged("sluice:default", "true")...)
		case "edge":
			in.TrafficPolicyId = f.edge
		}
		made := must[*mailmanager.CreateIngressPointOutput](t)(apiOf(f.server).CreateIngressPoint(t.Context(), in))
		f.points[point.name] = *made.IngressPointId
		f.listeners[point.name] = reached(t, f.server, *made.IngressPointId)
	}
}

// makeSecret makes a secret whose third version is current, and returns its ARN.
func (f *front) makeSecret(t *testing.T) string {
	t.Helper()
	api := secretsmanager.New(secretsmanager.Options{
		Region: defaultRegion, BaseEndpoint: aws.String(f.url()),
		Credentials: credentials.NewStaticCredentialsProvider(f.server.credentials.keyID, f.server.credentials.secret, ""),
	})
	secret := must[*secretsmanager.CreateSecretOutput](t)(api.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("password"), SecretString: aws.String(`{"password":"` + firstPassword + `"}`),
	}))
	for _, password := range []string{secondPassword, thirdPassword} {
		must[*secretsmanager.PutSecretValueOutput](t)(api.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{
			SecretId: secret.ARN, SecretString: aws.String(`{"password":"` + password + `"}`),
		}))
	}
	return *secret.ARN
}

func (f *front) changePassword(t *testing.T, point string) {
	t.Helper()
	must[*mailmanager.UpdateIngressPointOutput](t)(apiOf(f.server).UpdateIngressPoint(t.Context(), &mailmanager.UpdateIngressPointInput{
		IngressPointId:            aws.String(f.points[point]),
		IngressPointConfiguration: &types.IngressPointConfigurationMemberSmtpPassword{Value: secondPassword},
	}))
}

func (f *front) file(name string) string { return filepath.Join(f.dir, name) }

func (f *front) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(f.file(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (f *front) writePair(t *testing.T, name string, certificate *tls.Certificate) {
	t.Helper()
	f.write(t, name+".pem", certtest.CertPEM(certificate))
	f.write(t, name+".key", certtest.KeyPEM(t, certificate))
}

// must returns what a call of the API does, and fails the test when that is an error.
func must[T any](t *testing.T) func(out T, err error) T {
	t.Helper()
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func tlsAuth(store *types.TrustStore) types.IngressPointConfiguration {
	return &types.IngressPointConfigurationMemberTlsAuthConfiguration{Value: types.TlsAuthConfiguration{TrustStore: store}}
}

// tagged makes tags of keys and values.
func tagged(pairs ...string) (tags []types.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		tags = append(tags, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return tags
}

// sessionLog is a slog.Handler that keeps why sessions ended, by the client's address. It is safe for concurrent use.
type sessionLog struct {
	mu   sync.Mutex
	ends map[string]string
}

// Enabled implements slog.Handler.
func (*sessionLog) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (l *sessionLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *sessionLog) WithGroup(string) slog.Handler { return l }

// Handle implements slog.Handler.
func (l *sessionLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "session ended" {
		return nil
	}
	values := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		values[a.Key] = a.Value.String()
		return true
	})
	host, _, _ := strings.Cut(values["client"], ":")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends[host] = cmp.Or(values["end"], "for no reason")
	return nil
}

// end is why the session of a client ended, once it has.
func (l *sessionLog) end(t *testing.T, client string) (why string) {
	t.Helper()
	harness.Eventually(t, "the session of "+client+" ends", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		why = l.ends[client]
		return why != ""
	})
	return why
}
