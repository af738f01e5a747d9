package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/internal/admin/client"
	"sluice/test/harness"
)

// testConfig is that of a server with a directory and addresses of its own.
func testConfig(t *testing.T, args ...string) Config {
	t.Helper()
	var line commandLine
	parser, err := newParser(&line, streams{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"serve", "--data", filepath.Join(t.TempDir(), "data"), "--api", "127.0.0.1:0", "--smtp", harness.FreePool(t)}, args...)
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return line.Serve.Config
}

// started opens and runs a server; stop ends it and returns what Run and Close did.
func started(t *testing.T, cfg Config) (s *server, stop func() error) {
	t.Helper()
	return startedAt(t, cfg, slog.New(slog.DiscardHandler), time.Now)
}

// startedAt is started with a log and a clock.
func startedAt(t *testing.T, cfg Config, log *slog.Logger, now func() time.Time) (s *server, stop func() error) {
	t.Helper()
	s, err := openServerAt(t.Context(), cfg, log, now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	stopped := false
	stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return errors.Join(<-ran, s.Close())
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s, stop
}

func page(t *testing.T, c *http.Client, url string) (status int, body string) {
	t.Helper()
	answer, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestServerPages(t *testing.T) {
	t.Parallel()
	s, _ := started(t, testConfig(t))
	tests := []struct {
		path   string
		status int
		want   string
	}{
		{"/healthz", 200, "alive"},
		{"/readyz", 200, `"ready":true`},
		{"/metrics", 200, "mailmanager_smtp_sessions_open 0"},
		{"/metrics", 200, "go_goroutines"},
	}
	for _, test := range tests {
		status, body := page(t, http.DefaultClient, s.url()+test.path)
		if status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: got %d %s, want %d and %q", test.path, status, body, test.status, test.want)
		}
	}
}

func TestMetricsOnAnAddressOfTheirOwn(t *testing.T) {
	t.Parallel()
	s, _ := started(t, testConfig(t, "--admin", "127.0.0.1:0"))
	if status, _ := page(t, http.DefaultClient, s.url()+"/metrics"); status == http.StatusOK {
		t.Error("the API address has them too")
	}
	if status, body := page(t, http.DefaultClient, "http://"+s.web[1].address()+"/metrics"); status != http.StatusOK {
		t.Errorf("got %d %s", status, body)
	}
}

func TestMetricsAreNowhereBeyondLoopbackByDefault(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.API, cfg.APIInsecure = "0.0.0.0:0", true
	s, _ := started(t, cfg)
	if status, _ := page(t, http.DefaultClient, localURL(s.url())+"/metrics"); status == http.StatusOK {
		t.Error("strangers are told about the gateway")
	}
}

func TestTheAdminAPIWantsTheRootCredentials(t *testing.T) {
	t.Parallel()
	s, _ := started(t, testConfig(t))
	c := &client.Client{Endpoint: s.url(), Region: defaultRegion, Credentials: aws.Credentials{
		AccessKeyID: s.credentials.keyID, SecretAccessKey: s.credentials.secret,
	}}
	if status, err := c.GetStatus(t.Context()); err != nil || len(status.NotReady) > 0 {
		t.Errorf("got %+v, %v", status, err)
	}
	c.Credentials.SecretAccessKey += "x"
	var refused *client.Error
	if _, err := c.GetStatus(t.Context()); !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
		t.Errorf("got %v, want 403", err)
	}
}

func TestAServerOverHTTPS(t *testing.T) {
	t.Parallel()
	certificate, key, roots := selfSigned(t)
	s, _ := started(t, testConfig(t, "--api-cert", certificate, "--api-key", key))
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	if status, _ := page(t, c, s.url()+"/healthz"); status != http.StatusOK || !strings.HasPrefix(s.url(), "https://") {
		t.Errorf("got %d from %s", status, s.url())
	}
}

// selfSigned makes a certificate for loopback.
func selfSigned(t *testing.T) (certificate, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key, roots
}

func TestAServerStartsAgainOnItsDirectory(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	first, stop := started(t, cfg)
	if _, err := openServer(t.Context(), cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v, want that the directory is in use", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	second, _ := started(t, cfg)
	if second.credentials.keyID != first.credentials.keyID {
		t.Error("the root credentials are others")
	}
}

func TestWhatCannotBeOpenedLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() })
	tests := []struct {
		name   string
		change func(*Config)
	}{
		{"the API's address is taken", func(c *Config) { c.API = busy.Addr().String() }},
		{"the address of metrics is taken", func(c *Config) { c.Admin = busy.Addr().String() }},
		{"no certificate", func(c *Config) { c.APICert, c.APIKey = "none.pem", "none.pem" }},
		{"no certificate of SMTP", func(c *Config) { c.SMTPCert, c.SMTPKey = "none.pem", "none.pem" }},
		{"no pool", func(c *Config) { c.SMTP = "127.0.0.1" }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t)
			broken := cfg
			test.change(&broken)
			if _, err := openServer(t.Context(), broken, slog.New(slog.DiscardHandler)); err == nil {
				t.Fatal("it opens")
			}
			started(t, cfg) // the lock, the spool and the store are free
		})
	}
}

func TestQuickstartInOneProcess(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	var out, logs strings.Builder
	code := run(t.Context(), []string{"quickstart", "--once", "--data", cfg.Data, "--api", cfg.API, "--smtp", cfg.SMTP}, streams{out: &out, err: &logs})
	if code != exitOK || !strings.Contains(out.String(), "SUCCESS") {
		t.Errorf("got code %d\n%s\n%s", code, out.String(), logs.String())
	}
}

func apiOf(s *server) *mailmanager.Client {
	return mailmanager.New(mailmanager.Options{
		Region: defaultRegion, BaseEndpoint: aws.String(s.url()),
		Credentials: credentials.NewStaticCredentialsProvider(s.credentials.keyID, s.credentials.secret, ""),
	})
}

// openPoint makes an OPEN ingress point for whose mail an action is taken, and returns where it is reached.
func openPoint(t *testing.T, s *server, action types.RuleAction) string {
	t.Helper()
	api := apiOf(s)
	rules, err := api.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{
		RuleSetName: aws.String("rules"), Rules: []types.Rule{{Actions: []types.RuleAction{action}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := api.CreateTrafficPolicy(t.Context(), &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("policy"), DefaultAction: types.AcceptActionAllow, PolicyStatements: []types.PolicyStatement{},
	})
	if err != nil {
		t.Fatal(err)
	}
	point, err := api.CreateIngressPoint(t.Context(), &mailmanager.CreateIngressPointInput{
		IngressPointName: aws.String("point"), Type: types.IngressPointTypeOpen, TlsPolicy: types.TlsPolicyOptional,
		RuleSetId: rules.RuleSetId, TrafficPolicyId: policy.TrafficPolicyId,
	})
	if err != nil {
		t.Fatal(err)
	}
	return reached(t, s, *point.IngressPointId)
}

// reached is the address of an ingress point, once it is served.
func reached(t *testing.T, s *server, id string) string {
	t.Helper()
	address := ""
	harness.Eventually(t, "the ingress point is reached", func() bool {
		for p := range s.gateway.control.Points() {
			if bound := s.gateway.ingress.Bound(p.Key); p.ID == id && p.Serving && len(bound) > 0 {
				address = bound[0]
			}
		}
		return address != ""
	})
	return address
}

func TestAnIdleSessionIsToldThatTheServerStops(t *testing.T) {
	t.Parallel()
	s, stop := started(t, testConfig(t))
	conn, err := textproto.Dial("tcp", openPoint(t, s, &types.RuleActionMemberDrop{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	if code, _, err := conn.ReadResponse(421); err != nil {
		t.Errorf("got %d, %v, want 421", code, err)
	}
	if waited := time.Since(began); waited > time.Second { // the contract
		t.Errorf("an idle session is told after %s", waited)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestAClosedPointStaysBound closes a point and opens it again: its address takes connections all the time (Mail Manager, B13).
func TestAClosedPointStaysBound(t *testing.T) {
	t.Parallel()
	s, _ := started(t, testConfig(t))
	address := openPoint(t, s, &types.RuleActionMemberDrop{})
	points, err := apiOf(s).ListIngressPoints(t.Context(), &mailmanager.ListIngressPointsInput{})
	if err != nil || len(points.IngressPoints) != 1 {
		t.Fatalf("got %v, %v", points, err)
	}
	for _, step := range []struct {
		state types.IngressPointStatusToUpdate
		code  int
	}{{types.IngressPointStatusToUpdateClosed, 421}, {types.IngressPointStatusToUpdateActive, 220}, {types.IngressPointStatusToUpdateClosed, 421}} {
		_, err := apiOf(s).UpdateIngressPoint(t.Context(), &mailmanager.UpdateIngressPointInput{
			IngressPointId: points.IngressPoints[0].IngressPointId, StatusToUpdate: step.state,
		})
		if err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, string(step.state), func() bool {
			conn, err := textproto.Dial("tcp", address)
			if err != nil {
				t.Fatalf("%s: it does not listen any more: %v", step.state, err)
			}
			defer conn.Close()
			_, _, err = conn.ReadResponse(step.code)
			return err == nil
		})
		harness.Eventually(t, "the point can be changed again", func() bool { // sessions see a change before it is over
			point, err := apiOf(s).GetIngressPoint(t.Context(), &mailmanager.GetIngressPointInput{IngressPointId: points.IngressPoints[0].IngressPointId})
			return err == nil && point.Status == types.IngressPointStatus(step.state)
		})
	}
}
