package peers

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"sluice/test/harness"
	"sluice/test/peers/peer"
)

// tool runs a program with what lets it reach the server, and returns what it printed.
func tool(t *testing.T, server *harness.Server, program string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(server.Environment(), "AWS_PAGER=")
	out, err := command.CombinedOutput()
	return string(out), err
}

// cli runs the AWS CLI for Mail Manager and reads what it prints as JSON.
func cli(t *testing.T, server *harness.Server, operation string, args ...string) map[string]any {
	t.Helper()
	return cliOf(t, server, "mailmanager", operation, args...)
}

// cliOf is cli for a service.
func cliOf(t *testing.T, server *harness.Server, service, operation string, args ...string) map[string]any {
	t.Helper()
	out, err := tool(t, server, "aws", append([]string{service, operation, "--output", "json"}, args...)...)
	if err != nil {
		t.Fatalf("aws %s %s: %v\n%s", service, operation, err, out)
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(out), &answer); err != nil && strings.TrimSpace(out) != "" {
		t.Fatalf("aws %s %s: %v\n%s", service, operation, err, out)
	}
	return answer
}

func TestAWSCLI(t *testing.T) {
	t.Parallel()
	peer.Optional(t, "pip install awscli", "aws", "mailmanager", "list-relays", "--generate-cli-skeleton")
	server := harness.Start(t)
	relay, _ := cli(t, server, "create-relay", "--relay-name", "over-cli", "--server-name", "relay.example.com", "--server-port", "2600",
		"--authentication", `{"NoAuthentication":{}}`)["RelayId"].(string)
	got := cli(t, server, "get-relay", "--relay-id", relay)
	if got["RelayName"] != "over-cli" || got["ServerPort"] != 2600.0 {
		t.Errorf("got %v", got)
	}
	if relays, _ := cli(t, server, "list-relays")["Relays"].([]any); len(relays) != 1 {
		t.Errorf("got %v", relays)
	}
	if out, err := tool(t, server, "aws", "mailmanager", "create-relay", "--relay-name", "over-cli", "--server-name", "x", "--server-port", "1",
		"--authentication", `{"NoAuthentication":{}}`); err == nil || !strings.Contains(out, "ConflictException") {
		t.Errorf("a name that is taken: got %v\n%s", err, out)
	}
	cli(t, server, "delete-relay", "--relay-id", relay)
	if out, err := tool(t, server, "aws", "mailmanager", "get-relay", "--relay-id", relay); err == nil || !strings.Contains(out, "ResourceNotFoundException") {
		t.Errorf("a relay that is gone: got %v\n%s", err, out)
	}
}

// curl sends an operation as JSON, signed by curl itself.
func curl(t *testing.T, server *harness.Server, service, operation, input string) (answer map[string]any, status string) {
	t.Helper()
	out, err := tool(t, server, "curl", "--silent", "--show-error", "--aws-sigv4", "aws:amz:"+harness.Region+":"+service, "--user", server.UserPassword(),
		"--header", "Content-Type: application/x-amz-json-1.0", "--header", "X-Amz-Target: MailManagerSvc."+operation,
		"--data", input, "--write-out", "\n%{http_code}", server.Endpoint+"/")
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	body, status, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	return answer, status
}

func TestCurl(t *testing.T) {
	t.Parallel()
	peer.Require(t, "curl", "apt-get install curl")
	server := harness.Start(t)
	input := `{"RelayName":"over-curl","ServerName":"relay.example.com","ServerPort":2600,"Authentication":{"NoAuthentication":{}}}`
	created, status := curl(t, server, "ses", "CreateRelay", input)
	if id, _ := created["RelayId"].(string); status != "200" || !strings.HasPrefix(id, "r-") {
		t.Errorf("got %s %v", status, created)
	}
	if answer, status := curl(t, server, "ses", "CreateRelay", input); status != "409" {
		t.Errorf("a name that is taken: got %s %v, want 409", status, answer)
	}
	if answer, status := curl(t, server, "s3", "ListRelays", "{}"); status != "403" {
		t.Errorf("a signature for another service: got %s %v, want 403", status, answer)
	}
}
