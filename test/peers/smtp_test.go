package peers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/test/harness"
	"sluice/test/peers/peer"
)

const (
	relayedMessages = 2000 // in an ordinary run; the variable below asks for more
	messagesEnv     = "SLUICE_PEER_MESSAGES"
)

// gateway makes an ingress point whose rule set relays everything to a host and port, and returns its address.
func gateway(t *testing.T, server *harness.Server, relayHost string, relayPort int) string {
	t.Helper()
	ctx, api := t.Context(), server.MailManager()
	input := relayInput("next-hop")
	input.ServerName, input.ServerPort = &relayHost, aws.Int32(int32(relayPort))
	relay := must[*mailmanager.CreateRelayOutput](t)(api.CreateRelay(ctx, input)).RelayId
	id, rules, _ := openPoint(ctx, t, api, "front")
	must[*mailmanager.UpdateRuleSetOutput](t)(api.UpdateRuleSet(ctx, &mailmanager.UpdateRuleSetInput{
		RuleSetId: rules,
		Rules: []types.Rule{{Actions: []types.RuleAction{
			&types.RuleActionMemberAddHeader{Value: types.AddHeaderAction{HeaderName: aws.String("X-Gateway"), HeaderValue: aws.String("sluice")}},
			&types.RuleActionMemberRelay{Value: types.RelayAction{Relay: relay, MailFrom: types.MailFromPreserve}},
		}}},
	}))
	return server.Address(t, *id)
}

func TestSwaks(t *testing.T) {
	t.Parallel()
	peer.Require(t, "swaks", "apt-get install swaks")
	server, sink := harness.Start(t), harness.StartSink(t, "")
	address := gateway(t, server, sink.Host, sink.Port)
	out, err := tool(t, server, "swaks", "--server", address, "--from", "a@example.org", "--to", "b@example.com,c@example.com",
		"--header", "Subject: from swaks", "--pipeline", "--body", "Hello.\n.a dot at the beginning\n")
	if err != nil {
		t.Fatalf("swaks: %v\n%s", err, out)
	}
	id := regexp.MustCompile(`250 2\.0\.0 OK ([0-9a-v]{40})`).FindStringSubmatch(out)
	if id == nil {
		t.Fatalf("no acceptance with an id in\n%s", out)
	}
	if line := sink.Next(t); !strings.Contains(line, `to="b@example.com","c@example.com"`) || !strings.Contains(line, "from swaks") {
		t.Errorf("got %s", line)
	}
	content := sink.Messages(t)[0]
	for _, want := range []string{"X-Gateway: sluice\r\n", "\r\n.a dot at the beginning\r\n", "id " + id[1]} {
		if !strings.Contains(content, want) {
			t.Errorf("%q is not in\n%s", want, content)
		}
	}
}

// TestPostfixSourceAndSink lets Postfix's own generator and sink stand at both ends of the gateway.
func TestPostfixSourceAndSink(t *testing.T) {
	peer.Require(t, "smtp-source", "apt-get install postfix")
	peer.Require(t, "smtp-sink", "apt-get install postfix")
	messages := relayedMessages
	if asked, err := strconv.Atoi(os.Getenv(messagesEnv)); err == nil {
		messages = asked
	}
	server := harness.Start(t)
	port, dump := postfixSink(t)
	address := gateway(t, server, "127.0.0.1", port)
	out, err := tool(t, server, "smtp-source", "-s", "20", "-m", strconv.Itoa(messages), "-l", "10240", "-N",
		"-f", "sender@example.org", "-t", "rcpt@example.net", address)
	if err != nil {
		t.Fatalf("smtp-source: %v\n%s", err, out)
	}
	harness.Eventually(t, fmt.Sprintf("%d messages arrive", messages), func() bool { return len(entries(t, dump)) >= messages })
	harness.Eventually(t, "nothing waits any more", func() bool {
		status, err := server.Admin().GetStatus(t.Context())
		return err == nil && len(status.Lanes) == 0
	})
	counts := map[string]int{}
	for _, entry := range entries(t, dump) {
		counts[recipientOf(t, filepath.Join(dump, entry.Name()))]++
	}
	for number := 1; number <= messages; number++ { // smtp-source puts the message's number before the recipient
		if n := counts[fmt.Sprintf("<%drcpt@example.net>", number)]; n != 1 {
			t.Errorf("message %d arrived %d times", number, n)
		}
	}
	if len(counts) != messages {
		t.Errorf("%d recipients got mail, want %d", len(counts), messages)
	}
}

// recipientOf is the recipient of a message as smtp-sink notes it above the header.
func recipientOf(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "X-Rcpt-Args: ")
	recipient, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(recipient)
}

// postfixSink starts smtp-sink on a free port; it writes each message it gets to a file in the folder.
func postfixSink(t *testing.T) (port int, folder string) {
	t.Helper()
	folder = t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	args := []string{"-d", filepath.Join(folder, "%M."), address, "100"}
	if os.Getuid() == 0 { // as root it wants to be told who to be
		args = append([]string{"-u", "root"}, args...)
	}
	command := exec.CommandContext(t.Context(), "smtp-sink", args...)
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Wait() }) // the test's context has ended it
	harness.Eventually(t, "smtp-sink listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port, folder
}

func entries(t *testing.T, folder string) []os.DirEntry {
	t.Helper()
	found, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	return found
}
