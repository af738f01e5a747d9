package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sluice/internal/admin/client"
)

// asRoot has subcommands ask a running server with its root key. Environment variables are of the process: its tests are
// not parallel.
func asRoot(t *testing.T) {
	t.Helper()
	s, _ := started(t, testConfig(t))
	as(t, s, s.credentials.keyID, s.credentials.secret)
}

func as(t *testing.T, s *server, id, secret string) {
	t.Helper()
	t.Setenv("SLUICE_ENDPOINT", s.url())
	t.Setenv("AWS_ACCESS_KEY_ID", id)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
}

// want runs a subcommand and fails the test unless it ends so, and prints what is wanted on either stream.
func want(t *testing.T, code int, text string, args ...string) string {
	t.Helper()
	got, out, err := sluice(t, args...)
	if got != code || !strings.Contains(out+err, text) {
		t.Fatalf("sluice %s: code %d, want %d and %q:\n%s%s", strings.Join(args, " "), got, code, text, out, err)
	}
	return out
}

func policyFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestKeys(t *testing.T) {
	asRoot(t)
	reads := policyFile(t, "reads.json", `{"Version":"2012-10-17","Statement":[{"Sid":"reads","Effect":"Allow","Action":["ses:Get*"],"Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}]}`)
	account := "--account=" + tenantA
	want(t, exitOK, "no users", "keys", "list", account)
	made := want(t, exitOK, "[jo]\naws_access_key_id = AKSL", "keys", "create", "jo", "--policy", reads, account)
	first := regexp.MustCompile(`aws_access_key_id = (\S+)\naws_secret_access_key = (\S{40})\n`).FindStringSubmatch(made)
	if first == nil {
		t.Fatalf("got %s", made)
	}
	want(t, exitFailed, "hint: sluice keys rotate jo", "keys", "create", "jo", account)
	list := want(t, exitOK, "Active", "keys", "list", account)
	if !strings.Contains(list, first[1]) || !strings.Contains(list, "reads") || strings.Contains(list, first[2]) {
		t.Errorf("got %s", list)
	}

	want(t, exitFailed, "NOTHING_ALLOWS: no statement of its policies allows it", "keys", "can", "jo", "ses:GetRelay", account)
	want(t, exitOK, "ALLOWED: statement 1 (reads) of policy reads allows it", "keys", "can", "jo", "ses:GetRelay", "*", "--context", "aws:SourceIp=192.0.2.1", account)
	want(t, exitUsage, "is not KEY=VALUE", "keys", "can", "jo", "ses:GetRelay", "--context", "aws:SourceIp", account)
	no := policyFile(t, "x", `{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`)
	want(t, exitOK, "policy no is attached to jo", "keys", "attach", "jo", no, "--name", "no", account)
	want(t, exitFailed, "DENIED", "keys", "can", "jo", "ses:GetRelay", account)
	want(t, exitOK, "reads:\n{", "keys", "policies", "jo", account)
	want(t, exitOK, `{"Statement":{"Effect":"Deny"`, "keys", "policies", "jo", "no", account)
	want(t, exitFailed, "has no policy other", "keys", "policies", "jo", "other", account)
	want(t, exitOK, "policy no is taken from jo", "keys", "detach", "jo", "no", account)
	want(t, exitFailed, "has no policy no", "keys", "detach", "jo", "no", account)

	var second client.NewAccessKey
	if err := json.Unmarshal([]byte(want(t, exitOK, "SecretAccessKey", "keys", "rotate", "jo", "--json", account)), &second); err != nil {
		t.Fatal(err)
	}
	want(t, exitFailed, "hint: sluice keys delete jo KEY", "keys", "rotate", "jo", account)
	want(t, exitUsage, "jo has 2 access keys that are active", "keys", "disable", "jo", account)
	want(t, exitUsage, "jo has 0 access keys that are inactive", "keys", "delete", "jo", account)
	want(t, exitOK, first[1]+" of jo is inactive", "keys", "disable", "jo", first[1], account)
	want(t, exitOK, first[1]+" of jo is active", "keys", "enable", "jo", account)
	want(t, exitOK, first[1]+" of jo is inactive", "keys", "disable", "jo", first[1], account)
	want(t, exitOK, first[1]+" of jo is deleted", "keys", "delete", "jo", account)
	want(t, exitFailed, "has no access key", "keys", "delete", "jo", first[1], account)
	want(t, exitUsage, "both a key and --all", "keys", "delete", "jo", second.AccessKeyId, "--all", account)
	want(t, exitOK, tenantA+"  1", "keys", "accounts")
	want(t, exitOK, "user jo is deleted", "keys", "delete", "jo", "--all", account)
	want(t, exitFailed, "There is no user jo", "keys", "rotate", "jo", account)
}

func TestKeysRefusals(t *testing.T) {
	asRoot(t)
	broken := policyFile(t, "broken.json", `{"Statement":[{"Effect":"Allow","Action":"ses:*","Resource":"*","Condition":{"StringEquals":{"aws:Nothing":"x"}}}]}`)
	for _, test := range []struct {
		code int
		text string
		args []string
	}{
		{exitUsage, "expected", []string{"create"}},
		{exitUsage, "no such file", []string{"create", "jo", "--policy", "nowhere.json"}},
		{exitUsage, "is not JSON", []string{"create", "jo", "--policy", policyFile(t, "text", "allow")}},
		{exitFailed, "Statement[0].Condition.StringEquals.aws:Nothing: there is no such condition key", []string{"create", "jo", "--policy", broken}},
		{exitFailed, "User: a user's name", []string{"create", "j o"}},
		{exitFailed, "X-Sluice-Account must be", []string{"list", "--account", "1"}},
		{exitFailed, "There is no user", []string{"attach", "jo", policyFile(t, "p.json", administrator)}},
		{exitFailed, "There is no user", []string{"policies", "jo"}},
		{exitFailed, "an action is a service and an operation", []string{"can", "jo", "GetRelay"}},
	} {
		if test.args[0] == "can" {
			want(t, exitOK, "", "keys", "create", "jo")
		}
		want(t, test.code, test.text, append([]string{"keys"}, test.args...)...)
	}
}

// A user manages its own account as far as its policies say, and no other.
func TestKeysOfAUser(t *testing.T) {
	s, _ := started(t, testConfig(t))
	as(t, s, s.credentials.keyID, s.credentials.secret)
	login := func(args ...string) {
		t.Helper()
		as(t, s, s.credentials.keyID, s.credentials.secret)
		var made client.NewAccessKey
		if err := json.Unmarshal([]byte(want(t, exitOK, "", append([]string{"keys", "create", "--json", "--account", tenantA}, args...)...)), &made); err != nil {
			t.Fatal(err)
		}
		as(t, s, made.AccessKeyId, made.SecretAccessKey)
	}
	login("boss", "--admin")
	want(t, exitOK, "[al]", "keys", "create", "al")
	want(t, exitOK, "al", "keys", "list")
	want(t, exitFailed, "may not act in another account", "keys", "list", "--account", tenantB)
	want(t, exitFailed, "only the root of the installation is", "keys", "accounts")
	login("self", "--policy", policyFile(t, "self.json",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["sluice:CreateAccessKey","sluice:CreateUser"],"Resource":"arn:aws:iam::*:user/${aws:username}*"}}`))
	want(t, exitOK, "[self]", "keys", "rotate", "self")
	want(t, exitFailed, "not authorized to perform: sluice:CreateAccessKey on resource: arn:aws:iam::111111111111:user/boss because no statement", "keys", "rotate", "boss")
	want(t, exitOK, "[selfish]", "keys", "create", "selfish")
	want(t, exitFailed, "not authorized to perform: sluice:PutUserPolicy", "keys", "create", "selfmade", "--admin")
}
