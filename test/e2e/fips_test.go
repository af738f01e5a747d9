package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/textproto"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/internal/conform"
	"sluice/test/harness"
)

const (
	fipsModule   = "GODEBUG=fips140=on"
	fipsPassword = "a-password-for-tests"

	// fipsUnsupported is how the runtime says that this platform or build cannot have the module. crypto/internal/fips140.
	fipsUnsupported = "FIPS 140-3 mode is "
)

// TestFIPSModule has a server work with Go's FIPS 140-3 module: the API, an ingress point of TLS policy FIPS, its password,
// and the relaying of what comes in (Mail Manager, B18).
func TestFIPSModule(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B18")
	command := exec.Command(harness.Binary(t), "version")
	command.Env = append(os.Environ(), fipsModule)
	if out, err := command.CombinedOutput(); strings.Contains(string(out), fipsUnsupported) {
		t.Skipf("the FIPS 140-3 module does not run here: %s", out)
	} else if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	server, sink := harness.StartIn(t, []string{fipsModule}), harness.StartSink(t, "")
	harness.Eventually(t, "the log says that the module is active", func() bool { return strings.Contains(server.Log(), `"fips140":true`) })
	id := fipsPoint(t, server.MailManager(), sink)
	address := server.Address(t, id)
	for _, refused := range []*tls.Config{
		{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
		{CurvePreferences: []tls.CurveID{tls.X25519}},
	} {
		if err := sendSecurely(address, refused, id); err == nil {
			t.Errorf("TLS with %v and %v is accepted", refused.CipherSuites, refused.CurvePreferences)
		} else if _, reply := errors.AsType[*textproto.Error](err); reply {
			t.Errorf("got %v, want no handshake", err)
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if err := sendSecurely(address, &tls.Config{MinVersion: version, MaxVersion: version}, id); err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if line := sink.Next(t); !strings.Contains(line, tls.VersionName(version)) {
			t.Errorf("got %s, want the message of %s", line, tls.VersionName(version))
		}
	}
	server.Stop(t)
}

// fipsPoint makes an AUTH ingress point of TLS policy FIPS that relays to the sink, and returns its id.
func fipsPoint(t *testing.T, api *mailmanager.Client, sink *harness.Sink) string {
	t.Helper()
	relay, err := api.CreateRelay(t.Context(), &mailmanager.CreateRelayInput{
		RelayName: aws.String("next-hop"), ServerName: aws.String(sink.Host), ServerPort: aws.Int32(int32(sink.Port)),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})
	if err != nil {
		t.Fatal(err)
	}
	rules, err := api.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{
		RuleSetName: aws.String("relay"), Rules: []types.Rule{{Actions: []types.RuleAction{
			&types.RuleActionMemberRelay{Value: types.RelayAction{Relay: relay.RelayId}},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := api.CreateTrafficPolicy(t.Context(), &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("all"), DefaultAction: types.AcceptActionAllow, PolicyStatements: []types.PolicyStatement{},
	})
	if err != nil {
		t.Fatal(err)
	}
	point, err := api.CreateIngressPoint(t.Context(), &mailmanager.CreateIngressPointInput{
		IngressPointName: aws.String("fips"), Type: types.IngressPointTypeAuth, TlsPolicy: types.TlsPolicyFips,
		IngressPointConfiguration: &types.IngressPointConfigurationMemberSmtpPassword{Value: fipsPassword},
		RuleSetId:                 rules.RuleSetId, TrafficPolicyId: policy.TrafficPolicyId,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *point.IngressPointId
}

// sendSecurely sends a message after STARTTLS and AUTH. Its subject is the version of TLS.
func sendSecurely(address string, config *tls.Config, user string) error {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer socket.Close()
	if err := converse(textproto.NewConn(socket), 220, "EHLO client.example", 250, "STARTTLS", 220); err != nil {
		return err
	}
	config = config.Clone()
	config.InsecureSkipVerify = true // the server's certificate is its own
	conn := tls.Client(socket, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	login := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + fipsPassword))
	subject := "Subject: " + tls.VersionName(conn.ConnectionState().Version)
	return converse(textproto.NewConn(conn), "EHLO client.example", 250, "AUTH PLAIN "+login, 235,
		"MAIL FROM:<a@example.org>", 250, "RCPT TO:<b@example.com>", 250, "DATA", 354, subject+"\r\n\r\nHello.\r\n.", 250)
}

// converse sends the strings among the steps and expects replies with the codes.
func converse(conn *textproto.Conn, steps ...any) error {
	for _, step := range steps {
		var err error
		switch step := step.(type) {
		case string:
			err = conn.PrintfLine("%s", step)
		case int:
			_, _, err = conn.ReadResponse(step)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
