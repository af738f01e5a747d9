package dialogues

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

// gateway is the server that all dialogues are played against, and what they need to know of it.
type gateway struct {
	t       *testing.T
	server  *harness.Server
	api     *mailmanager.Client
	sink    *sink
	points  map[string]point
	clients map[string]*tls.Certificate // of clients, by the words of handshake

	rules    *string
	policies map[string]*string // ids, by name
	trust    types.TrustStore
	secret   *string
}

// point is an ingress point as its clients know it.
type point struct {
	address string
	host    string // empty when the API does not tell
	id      string
}

// startGateway starts the server with everything that the dialogues talk to.
func startGateway(t *testing.T) *gateway {
	t.Helper()
	next, port := startSink(t)
	server := harness.Start(t, "--config", writeConfig(t))
	g := &gateway{
		t: t, server: server, api: server.MailManager(), sink: next,
		points: map[string]point{}, policies: map[string]*string{},
	}
	g.issueCertificates()
	g.createSecret()
	g.createRules(port)
	for name, p := range policies {
		g.createPolicy(name, p)
	}
	for _, d := range points {
		g.createPoint(d)
	}
	for _, d := range points {
		g.settle(d)
	}
	return g
}

func writeConfig(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "hostname = %q\nreverse_dns = false\nlog_level = \"warn\"\n", hostname)
	for name, more := range listeners {
		address, err := harness.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&text, "[listeners.%s]\naddresses = [%q]\n%s\n", name, address, more)
	}
	path := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// issueCertificates makes the trust store of the MTLS points, and a client's certificate of each kind.
func (g *gateway) issueCertificates() {
	ca, foreign := certtest.New(g.t, "client CA", nil), certtest.New(g.t, "another CA", nil)
	g.clients = map[string]*tls.Certificate{
		"good":    ca.Issue("good.example", nil),
		"revoked": ca.Issue("revoked.example", nil),
		"expired": ca.Issue("expired.example", certtest.Expired),
		"foreign": foreign.Issue("good.example", nil),
	}
	g.trust = types.TrustStore{
		CAContent: aws.String(ca.PEM()), CrlContent: aws.String(ca.CRL(time.Now().Add(time.Hour), g.clients["revoked"])),
	}
}

// createSecret makes a secret with a password, and one before it.
func (g *gateway) createSecret() {
	id, key, _ := strings.Cut(g.server.UserPassword(), ":")
	api := secretsmanager.New(secretsmanager.Options{
		Region: harness.Region, BaseEndpoint: aws.String(g.server.Endpoint), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(id, key, ""),
	})
	created := must(api.CreateSecret(g.t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String("password"), SecretString: aws.String(fmt.Sprintf(`{"password":%q}`, oldPassword)),
	})).of(g.t)
	must(api.PutSecretValue(g.t.Context(), &secretsmanager.PutSecretValueInput{
		SecretId: created.ARN, SecretString: aws.String(fmt.Sprintf(`{"password":%q}`, password)),
	})).of(g.t)
	g.secret = created.ARN
}

// createRules makes the rule set that relays everything to the sink.
func (g *gateway) createRules(port int) {
	relay := must(g.api.CreateRelay(g.t.Context(), &mailmanager.CreateRelayInput{
		RelayName: aws.String("sink"), ServerName: aws.String("127.0.0.1"), ServerPort: aws.Int32(int32(port)),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})).of(g.t)
	g.rules = must(g.api.CreateRuleSet(g.t.Context(), &mailmanager.CreateRuleSetInput{
		RuleSetName: aws.String("everything"),
		Rules: []types.Rule{{Actions: []types.RuleAction{
			&types.RuleActionMemberRelay{Value: types.RelayAction{Relay: relay.RelayId, MailFrom: types.MailFromPreserve}},
		}}},
	})).of(g.t).RuleSetId
}

func (g *gateway) createPolicy(name string, p policy) {
	statements := append([]types.PolicyStatement{statement(types.AcceptActionDeny, toDenied)}, p.statements...)
	g.policies[name] = must(g.api.CreateTrafficPolicy(g.t.Context(), &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("policy-" + name), DefaultAction: p.byDefault, MaxMessageSizeBytes: p.maxSize, PolicyStatements: statements,
	})).of(g.t).TrafficPolicyId
}

func (g *gateway) createPoint(d definition) {
	input := &mailmanager.CreateIngressPointInput{
		IngressPointName: aws.String(d.name), Type: d.kind, TlsPolicy: d.tls, RuleSetId: g.rules, TrafficPolicyId: g.policies[d.policy],
		IngressPointConfiguration: g.configuration(d.proof, oldPassword),
	}
	if d.private {
		input.NetworkConfiguration = &types.NetworkConfigurationMemberPrivateNetworkConfiguration{
			Value: types.PrivateNetworkConfiguration{VpcEndpointId: aws.String(endpoint)},
		}
	}
	if d.listener != "" {
		input.Tags = append(input.Tags, types.Tag{Key: aws.String("sluice:listener"), Value: aws.String(d.listener)})
	}
	for key, value := range d.tags {
		input.Tags = append(input.Tags, types.Tag{Key: aws.String(key), Value: aws.String(value)})
	}
	created := must(g.api.CreateIngressPoint(g.t.Context(), input)).of(g.t)
	g.points[d.name] = point{id: *created.IngressPointId}
}

// configuration is what clients prove themselves by, as the API has it.
func (g *gateway) configuration(by proof, password string) types.IngressPointConfiguration {
	switch by {
	case byPassword:
		return &types.IngressPointConfigurationMemberSmtpPassword{Value: password}
	case bySecret:
		return &types.IngressPointConfigurationMemberSecretArn{Value: *g.secret}
	case byCertificate:
		return &types.IngressPointConfigurationMemberTlsAuthConfiguration{Value: types.TlsAuthConfiguration{TrustStore: &g.trust}}
	default:
		return nil
	}
}

// settle learns where a point is reached, and brings it where the dialogues want it: with another password, or closed.
func (g *gateway) settle(d definition) {
	p := g.points[d.name]
	p.address = g.server.Address(g.t, p.id)
	p.host = aws.ToString(g.get(p).ARecord)
	g.points[d.name] = p
	update := &mailmanager.UpdateIngressPointInput{IngressPointId: &p.id}
	if d.proof == byPassword {
		update.IngressPointConfiguration = g.configuration(d.proof, password)
	}
	status := types.IngressPointStatusActive
	if d.closed {
		update.StatusToUpdate, status = types.IngressPointStatusToUpdateClosed, types.IngressPointStatusClosed
	}
	must(g.api.UpdateIngressPoint(g.t.Context(), update)).of(g.t)
	harness.Eventually(g.t, d.name+" is "+string(status), func() bool { return g.get(p).Status == status })
}

func (g *gateway) get(p point) *mailmanager.GetIngressPointOutput {
	return must(g.api.GetIngressPoint(g.t.Context(), &mailmanager.GetIngressPointInput{IngressPointId: &p.id})).of(g.t)
}

// names replaces what is written for the names of a dialogue: see script.
func (g *gateway) names(own point, client string) *strings.Replacer {
	pairs := []string{"{host}", own.host, "{user}", own.id, "{password}", password, "{old}", oldPassword, "{client}", client}
	for name, p := range g.points {
		pairs = append(pairs, "{"+name+".host}", p.host, "{"+name+".user}", p.id)
	}
	return strings.NewReplacer(pairs...)
}

// result is what an operation returned.
type result[T any] struct {
	out T
	err error
}

func must[T any](out T, err error) result[T] { return result[T]{out, err} }

// of fails the test when the operation failed.
func (r result[T]) of(t *testing.T) T {
	t.Helper()
	if r.err != nil {
		t.Fatal(r.err)
	}
	return r.out
}
