package action

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/rule"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/srs"
)

const testSecretARN = "arn:aws:secretsmanager:eu-west-1:000000000000:secret:s"

// relayStep is a step that relays to one recipient.
func relayStep(change func(*mailmanager.RelayAction)) rule.Step {
	action := &mailmanager.RelayAction{Relay: mailmanager.Ptr(mailmanager.IdOrArn("r-1"))}
	if change != nil {
		change(action)
	}
	step := rule.Step{Rule: 2, Action: 3, RuleName: "out", ActionName: rule.ActionRelay, NodeNumber: 1}
	step.Do = rule.Action{RuleAction: mailmanager.RuleAction{Relay: action}, Name: rule.ActionRelay}
	step.Recipients = recipients("b@example.net")
	return step
}

func recipients(addresses ...string) (list []message.Recipient) {
	for _, address := range addresses {
		list = append(list, message.Recipient{Path: smtp.Path{Received: address}})
	}
	return list
}

func testMessage() *spool.Message {
	return &spool.Message{Session: message.Session{Account: "000000000000", Region: "eu-west-1"}}
}

func TestPlanRelay(t *testing.T) {
	t.Parallel()
	step := relayStep(nil)
	field, _ := message.NewField("X-Added", "yes")
	step.Node = (*message.Node)(nil).Add(field)
	state, _ := step.Node.AppendBinary(nil)
	want := []spool.Item{{
		Lane:       "relay/000000000000/eu-west-1/r-1",
		Recipients: recipients("b@example.net"),
		State:      state,
		Rule:       2,
		Action:     3,
		Node:       1,
		RuleName:   "out",
		ActionName: "RELAY",
	}}
	planner := NewPlanner(PlannerConfig{Relays: &relays{relay: testRelay(nil)}})
	items, failure := planner.Plan(t.Context(), testMessage(), step)
	if diff := cmp.Diff(want, items); failure != "" || diff != "" {
		t.Errorf("failure %q, items (-want +got):\n%s", failure, diff)
	}
}

func TestPlanRelayOutcomes(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E4", "E5")
	replace := func(a *mailmanager.RelayAction) { a.MailFrom = mailmanager.Ptr(mailmanager.MailFromReplace) }
	preserve := func(a *mailmanager.RelayAction) { a.MailFrom = mailmanager.Ptr(mailmanager.MailFromPreserve) }
	to := func(name string) func(*mailmanager.RelayAction) {
		return func(a *mailmanager.RelayAction) { a.Relay = mailmanager.Ptr(mailmanager.IdOrArn(name)) }
	}
	server := func(name string) func(*control.Relay) { return func(r *control.Relay) { r.Server = name } }
	secret := func(r *control.Relay) { r.SecretARN = testSecretARN }
	const private = "relay r-1 leads to a private or loopback address, which the profile aws-strict refuses"
	const form = "secret " + testSecretARN + " of relay r-1 is not a JSON object of exactly username and password"
	tests := []struct {
		name   string
		action func(*mailmanager.RelayAction)
		relay  func(*control.Relay)
		strict bool
		secret string
		want   string // the failure
	}{
		{"preserve", preserve, nil, false, "", ""},
		{"by ARN", to("arn:aws:ses:eu-west-1:000000000000:mailmanager-smtp-relay/r-1"), nil, false, "", ""},
		{"loopback", nil, server("127.0.0.1"), false, "", ""},
		{"strict and public", nil, server("mx.example.net"), true, "", ""},
		{"strict and a public literal", nil, server("198.51.100.7"), true, "", ""},
		{"secret that cannot be read now", nil, secret, false, "unread", ""}, // the failure policy is for configurations (E5)
		{"good secret", nil, secret, false, `{"username":"u","password":"p"}`, ""},

		{"replace", replace, nil, false, "", "MailFrom REPLACE needs a domain for replaced senders, and none is configured"},
		{"unknown", to("r-2"), nil, false, "", "relay r-2 does not exist"},
		{"of another region", nil, func(r *control.Relay) { r.Region = "us-east-1" }, false, "", "relay r-1 does not exist"},
		{"of another account", nil, func(r *control.Relay) { r.Account = "111111111111" }, false, "", "relay r-1 does not exist"},
		{"strict and loopback", nil, server("127.0.0.1"), true, "", private},
		{"strict and private", nil, server("192.168.1.1"), true, "", private},
		{"strict and link-local", nil, server("169.254.169.254"), true, "", private},
		{"strict and localhost", nil, server("LocalHost."), true, "", private},
		{"strict and below localhost", nil, server("mx.localhost"), true, "", private},
		{"secret gone", nil, secret, false, "gone", "secret " + testSecretARN + " of relay r-1: ResourceNotFoundException: no such secret"},
		{"secret without password", nil, secret, false, `{"username":"u"}`, form},
		{"secret with empty password", nil, secret, false, `{"username":"u","password":""}`, form},
		{"secret with more", nil, secret, false, `{"username":"u","password":"p","host":"h"}`, form},
		{"secret with other names", nil, secret, false, `{"Username":"u","Password":"p"}`, form},
		{"secret with numbers", nil, secret, false, `{"username":"u","password":1}`, form},
		{"secret with more behind", nil, secret, false, `{"username":"u","password":"p"}{}`, form},
		{"secret no object", nil, secret, false, `"hunter2"`, form},
		{"secret null", nil, secret, false, `null`, form},
		{"secret no JSON", nil, secret, false, `hunter2`, form},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			planner := NewPlanner(PlannerConfig{
				Relays: &relays{relay: testRelay(test.relay)},
				Strict: func(account string) bool { return test.strict && account == "000000000000" },
				Secret: func(_ context.Context, _ control.Scope, arn string) (string, error) {
					if test.secret == "gone" || arn != testSecretARN {
						return "", mailmanager.Errorf(mailmanager.CodeResourceNotFound, "no such secret")
					}
					if test.secret == "unread" {
						return "", errors.New("disk I/O error")
					}
					return test.secret, nil
				},
			})
			items, failure := planner.Plan(t.Context(), testMessage(), relayStep(test.action))
			if failure != test.want {
				t.Errorf("got failure %q, want %q", failure, test.want)
			}
			if (len(items) == 1) != (test.want == "") {
				t.Errorf("got %d items with failure %q", len(items), failure)
			}
			if strings.Contains(failure, "hunter2") {
				t.Errorf("the failure shows the secret: %q", failure)
			}
		})
	}
}

// TestPlanReplace shows what REPLACE makes of senders. Mail Manager, E3.
func TestPlanReplace(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E3")
	rewriter := srs.New("srs.example.com", make([]byte, srs.KeyOctets))
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	long := strings.Repeat("l", 60) + "@example.org"
	tests := []struct {
		name, from, want, failure string
	}{
		{"null", "", "", ""},
		{"ours", "jo@srs.example.com", "", ""},
		{"a stranger", "jo@example.org", "=example.org=jo@srs.example.com", ""},
		{"rewritten by another", "SRS0=a=b=example.org=jo@hop.example", "=hop.example==a=b=example.org=jo@srs.example.com", ""},
		{"quoted", `"j o"@example.org`, `=example.org=j o"@srs.example.com`, ""},
		{"too long", long, "", "MailFrom REPLACE cannot replace the sender " + long + ": rewritten path would be too long"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			planner := NewPlanner(PlannerConfig{
				Relays: &relays{relay: testRelay(nil)}, Rewriter: rewriter, Now: func() time.Time { return day },
			})
			m := testMessage()
			if test.from != "" {
				m.Envelope.ReversePath, _ = smtp.ParseMailbox(test.from)
			}
			step := relayStep(func(a *mailmanager.RelayAction) { a.MailFrom = mailmanager.Ptr(mailmanager.MailFromReplace) })
			items, failure := planner.Plan(t.Context(), m, step)
			if failure != test.failure {
				t.Fatalf("got failure %q, want %q", failure, test.failure)
			}
			if failure != "" {
				return
			}
			sender := items[0].Sender
			if !strings.HasSuffix(sender, test.want) || (sender == "") != (test.want == "") {
				t.Fatalf("got %q, want …%q", sender, test.want)
			}
			left := senderOf(&queue.Work{Item: items[0], Message: m})
			if sender == "" && left != m.Envelope.ReversePath || sender != "" && left.Received != sender {
				t.Errorf("it leaves from %q", left.Received)
			}
			if back, err := rewriter.Reverse(left, day); sender != "" && (err != nil || !strings.EqualFold(back.Received, test.from) && test.name == "a stranger") {
				t.Errorf("the way back of %q is %q, %v", left.Received, back.Received, err)
			}
		})
	}
}

// TestPlanSplits shows that no item, and so no transaction, has more than 100 recipients.
func TestPlanSplits(t *testing.T) {
	t.Parallel()
	planner := NewPlanner(PlannerConfig{Relays: &relays{relay: testRelay(nil)}})
	for count, want := range map[int][]int{1: {1}, 100: {100}, 101: {100, 1}, 250: {100, 100, 50}} {
		step := relayStep(nil)
		step.Recipients = nil
		for i := range count {
			step.Recipients = append(step.Recipients, recipients(fmt.Sprintf("r%d@example.net", i))...)
		}
		items, failure := planner.Plan(t.Context(), testMessage(), step)
		var got []int
		for _, item := range items {
			got = append(got, len(item.Recipients))
		}
		if diff := cmp.Diff(want, got); failure != "" || diff != "" {
			t.Errorf("%d recipients: failure %q, items (-want +got):\n%s", count, failure, diff)
		}
	}
}

func TestPlanOtherActions(t *testing.T) {
	t.Parallel()
	planner := NewPlanner(PlannerConfig{})
	items, failure := planner.Plan(t.Context(), testMessage(), rule.Step{ActionName: rule.ActionSend})
	if items != nil || failure != "action SEND is not available" {
		t.Errorf("got %v, %q", items, failure)
	}
}
