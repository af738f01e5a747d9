package render

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/match"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/rule"
	"sluice/internal/trace"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	noon  = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	facts = message.Session{
		ID: message.ID{1}, IngressPoint: "inp-1", Client: netip.MustParseAddrPort("192.0.2.1:4000"), Hello: "client.example.org",
	}
)

// delivered is the record of a message with one recipient that was relayed at the second attempt, and one that nobody takes.
func delivered() trace.Record {
	return trace.Record{Version: 1, ID: message.ID{2}, Events: []trace.Event{
		{Time: noon, Accepted: &trace.Accepted{
			Facts: facts, ReversePath: "a@example.org", Recipients: []string{"b@example.com", "c@example.com"}, Size: 1234,
			TrafficPolicyID: "tp-1", RuleSetID: "rs-1", Decisions: []policy.Decision{{
				Recipient: "b@example.com", Action: "ALLOW", By: 2, Statements: []policy.StatementReason{
					{Index: 1, Action: "DENY", Conditions: []policy.ConditionReason{
						{Attribute: "SENDER_IP", Operator: "CIDR_MATCHES", Values: []string{"10.0.0.0/8", "192.168.0.0/16"}, Seen: "192.0.2.1", Result: match.NoMatch},
					}},
					{Index: 2, Action: "ALLOW", Matched: true, Conditions: []policy.ConditionReason{
						{Attribute: "RECIPIENT", Operator: "ENDS_WITH", Values: []string{"@example.com"}, Seen: "b@example.com", Result: match.Match},
					}},
				},
			}, {Recipient: "c@example.com", Action: "ALLOW"}},
		}},
		{Time: noon.Add(time.Millisecond), Decided: &trace.Decided{RuleSetID: "rs-1", Unrouted: []string{"c@example.com"}, Rules: []rule.Reason{
			{Rule: 1, Name: "first", Conditions: []rule.Condition{
				{Index: 1, Attribute: "SUBJECT", Operator: "CONTAINS", Values: []string{"x"}, Seen: []string{"hello"}, Result: match.NoMatch},
			}},
			{Rule: 2, Matched: []string{"b@example.com"}, Conditions: []rule.Condition{
				{Index: 1, Unless: true, Attribute: "SPF", Operator: "EQUALS", Values: []string{"FAIL"}, Result: match.CannotTell, Why: "verdicts are not there yet"},
			}, Actions: []rule.Done{
				{Action: 1, Name: "ARCHIVE", Outcome: "FAILED", Why: "not there yet", Recipients: []string{"b@example.com"}},
				{Action: 2, Name: "RELAY", Outcome: "QUEUED", Recipients: []string{"b@example.com"}},
			}},
			{Rule: 3, Resumed: true, Matched: []string{"b@example.com"}, Actions: []rule.Done{
				{Action: 1, Name: "SEND", Outcome: "FAILED", Dropped: true, Recipients: []string{"b@example.com"}},
			}},
		}}},
		{Time: noon.Add(2 * time.Millisecond), Held: &trace.Held{Lane: "held/unrouted", Recipients: []string{"c@example.com"}, Reason: "no rule routes it"}},
		{Time: noon.Add(3 * time.Millisecond), Attempt: &trace.Attempt{
			Rule: 2, Action: 2, ActionName: "RELAY", Number: 1, Status: "IN_PROGRESS", Target: "192.0.2.9:25", Reason: "greylisted",
			Recipients: []trace.Reply{{Recipient: "b@example.com", Reply: "451 4.7.1 Later"}}, Next: noon.Add(time.Minute), Took: 12345 * time.Microsecond,
		}},
		{Time: noon.Add(time.Minute), Attempt: &trace.Attempt{
			Rule: 2, Action: 2, ActionName: "RELAY", Number: 2, Status: "SUCCESS", Target: "192.0.2.9:25",
			TLS:        &trace.TLS{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Peer: "mx.example.com"},
			Recipients: []trace.Reply{{Recipient: "b@example.com", Reply: "250 2.0.0 OK"}},
		}},
		{Time: noon.Add(2 * time.Minute), Steered: &trace.Steered{
			Act: "REROUTE", By: "AKEXAMPLE", Lane: "held/unrouted", To: "process", RuleSetID: "rs-2", Recipients: []string{"c@example.com"},
		}},
		{Time: noon.Add(3 * time.Minute), Steered: &trace.Steered{Act: "DISCARD", By: "AKEXAMPLE", Lane: "process", Recipients: []string{"c@example.com"}}},
		{Time: noon.Add(3 * time.Minute), Made: &trace.Made{Of: message.ID{9}, Recipients: []string{"a@example.org"}, Size: 1234}},
		{Time: noon.Add(time.Hour), Attempt: &trace.Attempt{ActionName: "RELAY", Number: 1, Status: "SUCCESS", Target: "192.0.2.9:25"}},
		{Time: noon.Add(time.Hour)},
	}}
}

// hostile is the record of a session whose client tries to write lines of its own.
func hostile() trace.Record {
	return trace.Record{Version: 1, ID: message.ID{1}, Events: []trace.Event{
		{Time: noon, Refused: &trace.Refused{
			Facts:       message.Session{ID: message.ID{1}, Client: facts.Client, Hello: "x\n2026-11-22 12:00:00.000Z  accepted"},
			ReversePath: "a\r\n@example.org", Command: "RCPT", Reply: "550 5.7.1 No", Reason: "right to left: \u202eabc", TrafficPolicyID: "tp-1",
			Decisions: []policy.Decision{{Recipient: "\x1b[2Jb@example.com", Action: "DENY", By: 1, Statements: []policy.StatementReason{
				{Index: 1, Action: "DENY", Matched: true, Conditions: []policy.ConditionReason{
					{Attribute: "RECIPIENT", Operator: "CONTAINS", Values: []string{"\x1b"}, Seen: "\x1b[2Jb@example.com", Result: match.Match},
				}},
			}}},
		}},
		{Time: noon, Refused: &trace.Refused{Facts: facts, Reply: "421 4.3.2 Service not available"}},
	}}
}

// found are summaries of every kind, one of them from a stranger who writes lines of his own.
func found() []trace.Summary {
	return []trace.Summary{
		{Time: noon, ID: message.ID{2}, Kind: trace.KindAccepted, Sender: "a@example.org", Recipients: []string{"b@example.com", "c@example.com"},
			Client: facts.Client, Outcome: "IN_PROGRESS, SUCCESS"},
		{Time: noon, ID: message.ID{3}, Kind: trace.KindAccepted, Recipients: []string{"1@x", "2@x", "3@x", "4@x", "5@x"}, Client: facts.Client},
		{Time: noon, ID: message.ID{7}, Kind: trace.KindMade, Recipients: []string{"a@example.org"}, Outcome: "SUCCESS"},
		{Time: noon, ID: message.ID{4}, Kind: trace.KindRefused, Sender: "a\r\n@example.org", Recipients: []string{"\x1b[2J"}, Client: facts.Client, Outcome: "550 5.7.1 No"},
		{Time: noon, ID: message.ID{5}, Kind: trace.KindRefused, Outcome: "421 4.3.2 \u202eabc"},
		{Time: noon, ID: message.ID{6}, Kind: trace.KindEnded, Client: netip.MustParseAddrPort("[2001:db8::1]:25"), Outcome: "QUIT"},
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(io.Writer) error{
		"delivered": func(w io.Writer) error { return Trace(w, delivered()) },
		"hostile":   func(w io.Writer) error { return Trace(w, hostile()) },
		"found":     func(w io.Writer) error { return Found(w, found()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			if err := write(&got); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
			if bytes.ContainsAny(got.Bytes(), "\r\x1b\u202e") {
				t.Error("what a stranger wrote reaches the terminal")
			}
		})
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestTraceToABrokenWriter(t *testing.T) {
	t.Parallel()
	if err := Trace(brokenWriter{}, delivered()); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}
