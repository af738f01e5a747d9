package control_test

import (
	"fmt"
	"slices"
	"testing"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// relayTags are what a relay's tags made of it, on one line.
func relayTags(p *plane, id string) string {
	p.Helper()
	r, ok := p.Relay(home, id)
	if !ok {
		p.Fatalf("no relay %s", id)
	}
	return fmt.Sprintf("tls=%s ca=%s connections=%d rate=%d", r.TLS, r.CA, r.Connections, r.Rate)
}

// Mail Manager, E4 and D19: the tags of a relay count at once, whoever sets them, and after a restart.
func TestRelayTagsAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	told := 0
	p := newPlane(t, func(cfg *control.Config) { cfg.RelayChanged = func(control.Key) { told++ } })
	in := relayRequest("out")
	in.Tags = tags("sluice:tls", "verified", "sluice:ca", "inside", "sluice:connections", "7", "team", "mail")
	id := string(*do[mailmanager.CreateRelayResponse](p, "CreateRelay", in).RelayId)
	arn := arnOf("mailmanager-smtp-relay/" + id)
	want := func(text string) {
		t.Helper()
		if got := relayTags(p, id); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
	want("tls=verified ca=inside connections=7 rate=0")
	if err := p.tag(arn, "sluice:rate", "600", "sluice:tls", "required"); err != nil {
		t.Fatal(err)
	}
	want("tls=required ca=inside connections=7 rate=600")
	if err := p.untag(arn, "sluice:ca", "sluice:connections"); err != nil {
		t.Fatal(err)
	}
	want("tls=required ca= connections=0 rate=600")
	do[mailmanager.UpdateRelayResponse](p, "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: ptr(mailmanager.RelayId(id)), ServerPort: ptr(int32(26))})
	want("tls=required ca= connections=0 rate=600")
	if told != 3 {
		t.Errorf("the mail that waits was told of %d changes, want 3", told)
	}
	p.restart()
	want("tls=required ca= connections=0 rate=600")
}

func TestRelayTagRefusals(t *testing.T) {
	t.Parallel()
	p := newPlane(t, func(cfg *control.Config) { cfg.HasAuthority = func(name string) bool { return name == "inside" } })
	id := p.relay("out")
	for key, values := range map[string][]string{
		"sluice:tls":         {"", "none", "Required", "verified.", "required+verified"},
		"sluice:ca":          {"", "outside", "Inside"},
		"sluice:connections": {"", "0", "-1", "1001", "many", "1.5", "+", "1e2"},
		"sluice:rate":        {"", "0", "-60", "1000001", "60/min", "99999999999999999999"},
	} {
		for _, value := range values {
			wantCode(t, p.tag(arnOf("mailmanager-smtp-relay/"+id), key, value), mailmanager.CodeValidation, key)
			in := relayRequest("another")
			in.Tags = tags(key, value)
			wantCode(t, p.refused(home, "CreateRelay", in), mailmanager.CodeValidation, key)
		}
	}
	if got := relayTags(p, id); got != "tls= ca= connections=0 rate=0" {
		t.Errorf("what was refused counts: %s", got)
	}
	for key, value := range map[string]string{"sluice:ca": "inside", "sluice:connections": "1000", "sluice:rate": "1000000"} {
		if err := p.tag(arnOf("mailmanager-smtp-relay/"+id), key, value); err != nil {
			t.Errorf("%s = %q: %v", key, value, err)
		}
	}
}

// D19: mail that waits for a relay because of its secret is told when that is made or has another value, and mail of other relays is not.
func TestRelayChangedIsToldOfSecrets(t *testing.T) {
	t.Parallel()
	var told []string
	var p *plane
	p = newPlane(t, func(cfg *control.Config) {
		cfg.RelayChanged = func(key control.Key) {
			relay, _ := p.Relay(key.Scope, key.ID)
			told = append(told, relay.Name)
		}
	})
	const prefix = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:"
	withSecret := func(name, arn string) {
		in := relayRequest(name)
		in.Authentication = &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn(arn))}
		do[mailmanager.CreateRelayResponse](p, "CreateRelay", in)
	}
	withSecret("by-name", prefix+"s")
	withSecret("other", prefix+"other")
	withSecret("abroad", "arn:aws:secretsmanager:us-east-1:111111111111:secret:s")
	p.relay("none")
	made := do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("s", "one"))
	withSecret("by-arn", *made.ARN)
	do[secretsmanager.PutSecretValueResponse](p, "PutSecretValue", putRequest("s", version2, "two"))
	if len(told) > 0 {
		slices.Sort(told[1:])
	}
	if want := []string{"by-name", "by-arn", "by-name"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	for _, change := range []struct {
		operation string
		in        any
	}{
		{"UpdateSecret", &secretsmanager.UpdateSecretRequest{SecretId: made.ARN, SecretString: ptr(secretsmanager.SecretString("three"))}},
		{"UpdateSecretVersionStage", move("s", "AWSPREVIOUS", version2, version1)},
		{"DeleteSecret", &secretsmanager.DeleteSecretRequest{SecretId: made.ARN}},
		{"RestoreSecret", &secretsmanager.RestoreSecretRequest{SecretId: made.ARN}},
	} {
		told = nil
		if _, err := p.call(home, change.operation, change.in); err != nil {
			t.Fatal(err)
		}
		slices.Sort(told)
		if want := []string{"by-arn", "by-name"}; !slices.Equal(told, want) {
			t.Errorf("%s: told %q, want %q", change.operation, told, want)
		}
	}
}
