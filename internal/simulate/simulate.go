// Package simulate says what would become of a message: it takes it through a traffic policy and a rule set with the code
// that mail goes through, has every step planned, and runs none. What happened is told as a trace tells it, so that a
// simulation and a message that came in can be compared. Start with Run.
// Source: docs/promises.md, Explain; Mail Manager, sections 3 and 4.
package simulate

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"sluice/internal/control"
	"sluice/internal/ingress"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/process"
	"sluice/internal/queue"
	"sluice/internal/rule"
	"sluice/internal/smtpd"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// IngressPoint is what traces name as the ingress point of a simulation.
const IngressPoint string = "simulated"

// statusQueued is the status of an attempt that was planned and not made.
const statusQueued string = "QUEUED"

// firstAttempt is the number of every attempt: what is planned has not been tried before.
const firstAttempt = 1

// Config is what decides.
type Config struct {
	PolicyID  string
	Policy    *policy.Policy
	RuleSetID string
	RuleSet   *rule.Set
	Hash      spool.Hash // of the rule set's source
	Planner   process.Planner
	Lists     control.AddressLists // nil: there are none
	Strict    bool                 // profile aws-strict: unrouted mail is discarded (Mail Manager, D7)
}

// Message is what is sent, to whom, and how it comes. The session's id, account and region, and the message's, are what the
// events show. The envelope's recipients are those that RCPT names.
type Message struct {
	message.ID
	Session  message.Session
	Envelope message.Envelope
	Content  []byte // as it would be received: lines ended by CRLF
}

// run is one simulation.
type run struct {
	cfg       Config
	m         Message
	taken     []message.Recipient
	decisions []policy.Decision
	events    []trace.Event
}

// Run returns the trace of a message: a refusal for each recipient that the policy denies, then either the refusal of its
// content, or its acceptance, what the rule set decided, the steps that were planned or cannot be, and what comes to rest.
// Times are zero. Nothing but the planner is asked for anything. The error says that the evaluation cannot begin.
func Run(ctx context.Context, cfg Config, m Message) ([]trace.Event, error) {
	r := &run{cfg: cfg, m: m}
	r.recipients()
	if len(r.taken) == 0 {
		return r.events, nil
	}
	if reply := smtpd.CheckContent(m.Content, cfg.Policy.MaxSize()); reply != nil {
		event := &trace.Refused{
			Facts: m.Session, ReversePath: m.Envelope.ReversePath.Received, TrafficPolicyID: cfg.PolicyID, Command: "DATA", Reply: reply.String(),
		}
		if reply.Cause != nil {
			event.Reason = reply.Cause.Error()
		}
		r.add(trace.Event{Refused: event})
		return r.events, nil
	}
	return r.events, r.process(ctx)
}

// recipients asks the policy about each recipient (Mail Manager, B7).
func (r *run) recipients() {
	lists := &control.ScopedLists{Lists: r.cfg.Lists, Scope: control.Scope{Account: r.m.Session.Account, Region: r.m.Session.Region}}
	facts := ingress.PolicyFacts(r.m.Session.Client.Addr(), r.m.Session.TLSVersion, lists)
	for _, to := range r.m.Envelope.Recipients {
		decision := r.cfg.Policy.Decide(&facts, to.Path.Received)
		r.decisions = append(r.decisions, decision)
		if decision.Allowed() {
			r.taken = append(r.taken, to)
			continue
		}
		_, event := ingress.Denied(r.m.Session.ID, r.m.Envelope.ReversePath.Received, []policy.Decision{decision})
		event.Facts, event.TrafficPolicyID = r.m.Session, r.cfg.PolicyID
		r.add(trace.Event{Refused: event})
	}
}

// process accepts the message and takes it through the rule set.
func (r *run) process(ctx context.Context) error {
	accepted := &trace.Accepted{
		Facts: r.m.Session, ReversePath: r.m.Envelope.ReversePath.Received, Recipients: message.Addresses(r.taken), Size: int64(len(r.m.Content)),
		TrafficPolicyID: r.cfg.PolicyID, Decisions: r.decisions, RuleSetID: r.cfg.RuleSetID,
	}
	r.add(trace.Event{Message: r.m.ID, Accepted: accepted})
	header, _ := message.CutHeader(r.m.Content)
	stored := &spool.Message{
		ID: r.m.ID, Session: r.m.Session, Envelope: r.m.Envelope, Size: accepted.Size, RuleSetID: r.cfg.RuleSetID, RuleSet: r.cfg.Hash,
	}
	stored.Envelope.Recipients = r.taken
	processor := process.New(process.Config{Planner: r.cfg.Planner, Lists: r.cfg.Lists, Strict: func(string) bool { return r.cfg.Strict }, Logger: slog.New(slog.DiscardHandler)})
	result, err := processor.Evaluate(ctx, process.Task{
		Set: r.cfg.RuleSet, Message: stored, Item: &spool.Item{Lane: spool.LaneProcess, Recipients: r.taken}, Header: header,
	})
	if err != nil {
		return fmt.Errorf("evaluate the rule set: %w", err)
	}
	r.settle(&result)
	return nil
}

// settle tells a result as the queue would, but that the steps which follow are told as they are planned.
func (r *run) settle(result *queue.Result) {
	r.add(trace.Event{Message: r.m.ID, Decided: result.Decided})
	for _, a := range attempts(result) {
		r.add(trace.Event{Message: r.m.ID, Attempt: &a})
	}
	for _, h := range result.Held {
		held := &trace.Held{Lane: string(spool.HeldLane(h.Reason)), Recipients: message.Addresses(h.Recipients), Reason: h.Detail}
		r.add(trace.Event{Message: r.m.ID, Held: held})
	}
}

// attempts are the steps that failed and those that are queued, in the order of the rule set.
func attempts(result *queue.Result) []trace.Attempt {
	all := slices.Clone(result.Attempts)
	for i := range all {
		all[i].Lane, all[i].Number = string(spool.LaneProcess), firstAttempt
	}
	for i := range result.Next {
		all = append(all, queued(&result.Next[i]))
	}
	slices.SortStableFunc(all, func(a, b trace.Attempt) int {
		return cmp.Or(cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Action, b.Action))
	})
	return all
}

// queued is an item that a step was planned as.
func queued(item *spool.Item) trace.Attempt {
	a := trace.Attempt{
		Rule: item.Rule, RuleName: item.RuleName, Action: item.Action, ActionName: item.ActionName,
		Lane: string(item.Lane), Number: firstAttempt, Status: statusQueued,
	}
	for _, to := range item.Recipients {
		a.Recipients = append(a.Recipients, trace.Reply{Recipient: to.Path.Received})
	}
	return a
}

func (r *run) add(e trace.Event) {
	e.Account, e.Region, e.Session = r.m.Session.Account, r.m.Session.Region, r.m.Session.ID
	r.events = append(r.events, e)
}
