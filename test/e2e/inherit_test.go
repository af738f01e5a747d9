package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/test/harness"
)

// TestInheritedSockets restarts a server on sockets that are kept open meanwhile: whoever connects while no server runs is
// served by the next one.
func TestInheritedSockets(t *testing.T) {
	t.Parallel()
	var addresses [2]string // of a named listener, and of the pages
	for i := range addresses {
		var err error
		if addresses[i], err = harness.FreeAddress(); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "[listeners.mx]\naddresses = [%q]\n", addresses[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	before := harness.Start(t, "--config", file)
	pool := before.Address(t, openPoint(t, before.MailManager(), "pool"))
	named := before.Address(t, openPoint(t, before.MailManager(), "named", types.Tag{Key: aws.String("sluice:listener"), Value: aws.String("mx")}))
	if named != addresses[0] {
		t.Fatalf("the named listener is %s, want %s", named, addresses[0])
	}
	before.Stop(t)

	var sockets []net.Listener
	var clients []net.Conn
	for _, address := range []string{pool, named, addresses[1]} {
		l, err := net.Listen("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		sockets, clients = append(sockets, l), append(clients, client)
	}
	unwanted, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := before.RestartInheriting(t, append(sockets, unwanted), "--config", file, "--admin", addresses[1])
	for _, client := range clients[:2] {
		if _, _, err := textproto.NewConn(client).ReadResponse(220); err != nil {
			t.Errorf("%s: %v", client.RemoteAddr(), err)
		}
	}
	if err := getHealthz(clients[2]); err != nil {
		t.Errorf("%s: %v", clients[2].RemoteAddr(), err)
	}
	harness.Eventually(t, "a socket that nobody wants is closed", func() bool {
		client, err := net.Dial("tcp4", unwanted.Addr().String())
		if err == nil {
			client.Close()
		}
		return err != nil
	})
	harness.Eventually(t, "somebody is told", func() bool { return strings.Contains(s.Log(), unwanted.Addr().String()) })
}

func getHealthz(client net.Conn) error {
	request, err := http.NewRequest(http.MethodGet, "http://"+client.RemoteAddr().String()+"/healthz", nil)
	if err != nil {
		return err
	}
	if err := request.Write(client); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(client), request)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("got %s", response.Status)
	}
	return response.Body.Close()
}

// TestHangup replaces the certificate of a running server and sends SIGHUP.
func TestHangup(t *testing.T) {
	t.Parallel()
	s := harness.Start(t)
	for _, step := range []struct{ content, want string }{
		{"", "certificates loaded"},
		{"garbage", "certificates not loaded"},
	} {
		if step.content != "" {
			if err := os.WriteFile(filepath.Join(s.Data, "smtp-cert.pem"), []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := syscall.Kill(s.PID(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, step.want, func() bool { return strings.Contains(s.Log(), step.want) })
	}
	s.Stop(t)
}

// openPoint makes an OPEN ingress point that drops its mail, and returns its id.
func openPoint(t *testing.T, api *mailmanager.Client, name string, tags ...types.Tag) string {
	t.Helper()
	rules, err := api.CreateRuleSet(t.Context(), &mailmanager.CreateRuleSetInput{
		RuleSetName: aws.String(name), Rules: []types.Rule{{Actions: []types.RuleAction{&types.RuleActionMemberDrop{}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := api.CreateTrafficPolicy(t.Context(), &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String(name), DefaultAction: types.AcceptActionAllow, PolicyStatements: []types.PolicyStatement{},
	})
	if err != nil {
		t.Fatal(err)
	}
	point, err := api.CreateIngressPoint(t.Context(), &mailmanager.CreateIngressPointInput{
		IngressPointName: aws.String(name), Type: types.IngressPointTypeOpen, TlsPolicy: types.TlsPolicyOptional,
		RuleSetId: rules.RuleSetId, TrafficPolicyId: policy.TrafficPolicyId, Tags: tags,
	})
	if err != nil {
		t.Fatal(err)
	}
	return *point.IngressPointId
}
