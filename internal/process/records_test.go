package process

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/records"
	"sluice/internal/rule"
	"sluice/internal/trace"
)

// book keeps what is written.
type book struct {
	off     bool
	records []records.Record
	events  int
}

func (b *book) Enabled(k records.Kind) bool { return !b.off && k == records.KindRuleSetApplication }

func (b *book) Append(r records.Record) { b.records = append(b.records, r) }

// eventBook is the trace that events are handed on to.
type eventBook struct{ *book }

func (b eventBook) Append(trace.Event) { b.events++ }

// short is a record as a test reads it.
func short(r records.Record) string {
	a := r.(records.RuleSetApplication)
	text := fmt.Sprintf("%s %d %s %v", a.Name, a.Rule, a.RuleName, a.Matched)
	if a.Action != nil {
		text += fmt.Sprintf(": %s %d %s %s", a.Action.Name, a.Action.Index, a.Action.Status, a.Action.Failure)
	}
	return text
}

func TestRecorder(t *testing.T) {
	t.Parallel()
	to := []string{"a@example.com", "b@example.com"}
	done := func(action int, name, outcome, why string) rule.Done {
		return rule.Done{Action: action, Name: name, Outcome: outcome, Why: why, Recipients: to}
	}
	decided := func(rules ...rule.Reason) trace.Event {
		return trace.Event{Decided: &trace.Decided{RuleSetID: "rs-1", Rules: rules}}
	}
	attempt := func(a trace.Attempt) trace.Event {
		a.RuleSetID = "rs-1"
		a.Recipients = []trace.Reply{{Recipient: "a@example.com", Reply: "451 later"}}
		return trace.Event{Attempt: &a}
	}
	matched := func(actions ...rule.Done) rule.Reason {
		return rule.Reason{Rule: 2, Name: "second", Matched: to, Actions: actions}
	}
	relay := trace.Attempt{Rule: 2, RuleName: "second", Action: 1, ActionName: "RELAY", Lane: "relay/x", Status: "IN_PROGRESS"}
	succeeded, failed, planned, own, report := relay, relay, relay, relay, relay
	succeeded.Status, failed.Status, failed.Reason, planned.Lane, own.Rule, report.Lane = "SUCCESS", "FAILURE", "no TLS", "process", 0, "report"
	tests := map[string]struct {
		event trace.Event
		want  []string
	}{
		"rule that does not match":     {decided(rule.Reason{Rule: 1, Name: "first"}), []string{"main 1 first []"}},
		"rule that goes on":            {decided(rule.Reason{Rule: 1, Name: "first", Resumed: true}), nil},
		"action that is done":          {decided(matched(done(1, "DROP", "SUCCEEDED", ""))), []string{"main 2 second [a@example.com b@example.com]: DROP 1 SUCCESS "}},
		"action that ends the rules":   {decided(matched(done(1, "INVOKE_LAMBDA", "STOP_RULE_SET", ""))), []string{"main 2 second [a@example.com b@example.com]: INVOKE_LAMBDA 1 SUCCESS "}},
		"action that fails":            {decided(matched(done(1, "ARCHIVE", "FAILED", "no archive"))), []string{"main 2 second [a@example.com b@example.com]: ARCHIVE 1 FAILURE no archive"}},
		"action that is queued":        {decided(matched(done(1, "RELAY", "QUEUED", ""))), nil},
		"two actions":                  {decided(matched(done(1, "ADD_HEADER", "SUCCEEDED", ""), done(2, "RELAY", "QUEUED", ""))), []string{"main 2 second [a@example.com b@example.com]: ADD_HEADER 1 SUCCESS "}},
		"attempt, another follows":     {attempt(relay), []string{"main 2 second [a@example.com]: RELAY 1 IN_PROGRESS 451 later"}},
		"attempt that succeeds":        {attempt(succeeded), []string{"main 2 second [a@example.com]: RELAY 1 SUCCESS "}},
		"attempt that fails for good":  {attempt(failed), []string{"main 2 second [a@example.com]: RELAY 1 FAILURE no TLS"}},
		"attempt of the evaluation":    {attempt(planned), nil},
		"attempt for a report of ours": {attempt(own), nil},
		"report to the sender":         {attempt(report), nil},
		"mail that is held":            {trace.Event{Held: &trace.Held{}}, nil},
	}
	scope := control.Scope{Account: "123456789012", Region: "us-east-1"}
	sets := &plane{sets: map[control.Key]*control.RuleSet{{Scope: scope, ID: "rs-1"}: {Name: "main"}}}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &book{}
			e := test.event
			e.Account, e.Region, e.Message, e.Time = scope.Account, scope.Region, message.ID{7}, time.Unix(1, 0)
			Recorder{Trace: eventBook{b}, Records: b, RuleSets: sets}.Append(e)
			var got []string
			for _, r := range b.records {
				got = append(got, short(r))
				a := r.(records.RuleSetApplication)
				if a.ARN != "arn:aws:ses:us-east-1:123456789012:mailmanager-rule-set/rs-1" || a.MessageID != e.Message || !a.Time.Equal(e.Time) {
					t.Errorf("got %+v", a)
				}
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Error(d)
			}
			off := &book{off: true}
			Recorder{Trace: eventBook{off}, Records: off, RuleSets: sets}.Append(e)
			if len(off.records) > 0 || off.events != 1 || b.events != 1 {
				t.Errorf("off: %d records; %d and %d events were handed on", len(off.records), off.events, b.events)
			}
		})
	}
}

// TestRecorderOfADeletedRuleSet: the record has its ARN, and no name.
func TestRecorderOfADeletedRuleSet(t *testing.T) {
	t.Parallel()
	b := &book{}
	e := trace.Event{Account: "1", Region: "us-east-1", Decided: &trace.Decided{RuleSetID: "rs-9", Rules: []rule.Reason{{Rule: 1}}}}
	Recorder{Trace: eventBook{b}, Records: b, RuleSets: &plane{}}.Append(e)
	if a := b.records[0].(records.RuleSetApplication); a.Name != "" || a.ARN != "arn:aws:ses:us-east-1:1:mailmanager-rule-set/rs-9" {
		t.Errorf("got %+v", a)
	}
}
