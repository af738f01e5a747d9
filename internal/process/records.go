package process

import (
	"sluice/internal/control"
	"sluice/internal/queue"
	"sluice/internal/records"
	"sluice/internal/rule"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// Records takes the log records that rule sets vend. Append never blocks. Nothing is put together while the kind is off, as
// it is by default (Mail Manager, F18).
type Records interface {
	Enabled(records.Kind) bool
	Append(records.Record)
}

// Recorder is the queue's trace: it hands every event on, and makes of those of rule sets the records that AWS's vend. A
// trace has all that a record has, of the evaluation and of each later attempt, so that neither executors nor the queue
// know of records. It is safe for concurrent use.
type Recorder struct {
	Trace    queue.Trace
	Records  Records
	RuleSets RuleSets // where their names are
}

// Append implements queue.Trace.
func (r Recorder) Append(e trace.Event) {
	r.Trace.Append(e)
	if !r.Records.Enabled(records.KindRuleSetApplication) {
		return
	}
	switch {
	case e.Decided != nil:
		r.decided(r.begin(&e, e.Decided.RuleSetID), e.Decided.Rules)
	case e.Attempt != nil:
		r.attempt(r.begin(&e, e.Attempt.RuleSetID), e.Attempt)
	}
}

// begin is what the records of an event have in common.
func (r Recorder) begin(e *trace.Event, id string) records.RuleSetApplication {
	scope := control.Scope{Account: e.Account, Region: e.Region}
	record := records.RuleSetApplication{Time: e.Time, MessageID: e.Message, ARN: control.RuleSetARN(scope, id)}
	if set, ok := r.RuleSets.RuleSet(control.Key{Scope: scope, ID: id}); ok {
		record.Name = set.Name
	}
	return record
}

// decided writes a record of each action that was done, or failed, and of each rule that did not match. An action whose
// work was queued has one with each attempt.
func (r Recorder) decided(record records.RuleSetApplication, rules []rule.Reason) {
	for i := range rules {
		reason := &rules[i]
		record.Rule, record.RuleName, record.Matched, record.Action = reason.Rule, reason.Name, reason.Matched, nil
		if len(reason.Matched) == 0 && len(reason.Actions) == 0 && !reason.Resumed {
			r.Records.Append(record)
			continue
		}
		for _, done := range reason.Actions {
			if status, ended := statusOf(done.Outcome); ended {
				record.Matched = done.Recipients
				record.Action = &records.ActionMetadata{Name: done.Name, Index: done.Action, Status: status, Failure: done.Why}
				r.Records.Append(record)
			}
		}
	}
}

// statusOf is what became of an action by the end of an evaluation, if it had ended.
func statusOf(outcome string) (status records.ActionStatus, ended bool) {
	switch outcome {
	case "FAILED":
		return records.ActionFailure, true
	case "QUEUED", "NONE":
		return "", false
	default: // SUCCEEDED; STOP_RULE and STOP_RULE_SET, which a function answered
		return records.ActionSuccess, true
	}
}

// attempt writes the record of an attempt. Those of an evaluation are among its actions; those of a report to the
// sender, and of no rule, are of the server's own mail.
func (r Recorder) attempt(record records.RuleSetApplication, a *trace.Attempt) {
	if a.Rule == 0 || a.Lane == string(spool.LaneProcess) || a.Lane == string(spool.LaneReport) {
		return
	}
	record.Rule, record.RuleName = a.Rule, a.RuleName
	record.Action = &records.ActionMetadata{Name: a.ActionName, Index: a.Action, Status: records.ActionStatus(a.Status)}
	for i := range a.Recipients {
		record.Matched = append(record.Matched, a.Recipients[i].Recipient)
	}
	if record.Action.Status != records.ActionSuccess {
		record.Action.Failure = failureOf(a)
	}
	r.Records.Append(record)
}

// failureOf is why an attempt failed: what is wrong, or what the host said.
func failureOf(a *trace.Attempt) string {
	if a.Reason != "" || len(a.Recipients) == 0 {
		return a.Reason
	}
	return a.Recipients[0].Reply
}
