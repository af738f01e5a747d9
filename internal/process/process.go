// Package process is the executor of the lane process: it takes an accepted message through its rule set. It gives
// rule.Next the facts, has the steps that rule.Next names planned as work items, and ends in one Result: the items that
// follow, the recipients that nobody routed, and the reasons for all of it. Nothing is tried here; what an action does to
// the world is done by the executor of its own lane. Start with New.
// Source: Mail Manager, section 4; Mail Manager, D1 to D7 and D19.
package process

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/rule"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// Why process lets recipients rest; the lane is held/<reason>.
const (
	unrouted     string = "unrouted" // nothing was done for them (Mail Manager, D7)
	failedReason string = "failed"   // their rule set, or their place in it, is not there any more
)

// workersPerProcessor: an evaluation hardly ever waits, but now and then it reads a header section from the disk.
const workersPerProcessor = 2

// idle is how long a worker waits for the next message before it goes.
const idle = time.Second

// Planner makes the work items of a step.
type Planner interface {
	// Plan returns the items that do the step, complete but for Message, Seq and Due, or says for people what is wrong with
	// its configuration, to which the action's failure policy applies.
	Plan(ctx context.Context, m *spool.Message, step rule.Step) (items []spool.Item, failure string)
}

// RuleSets finds compiled rule sets. control.Snapshot is one.
type RuleSets interface {
	RuleSet(control.Key) (*control.RuleSet, bool)
}

// Sources reads the source of a rule set by its hash. Every spool.Spool does.
type Sources interface {
	RuleSet(ctx context.Context, hash spool.Hash) ([]byte, error)
}

// Config is what a Processor works with.
type Config struct {
	RuleSets RuleSets
	Sources  Sources
	Lists    control.AddressLists // nil: there are none
	Planner  Planner
	// Strict reports whether an account has the profile aws-strict: its unrouted mail is discarded, with a log record (Mail
	// Manager, D7). nil: none has.
	Strict     func(account string) bool
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: nothing is counted
}

// Processor implements queue.Executor. It is safe for concurrent use.
type Processor struct {
	cfg         Config
	older       cache // of rule sets that are no longer the current ones
	evaluations sync.Pool
	cannotTell  prometheus.Counter
	unrouted    prometheus.Counter
}

// New returns a Processor.
func New(cfg Config) *Processor {
	p := &Processor{
		cfg:        cfg,
		cannotTell: prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_rule_condition_cannot_tell_total", Help: "Rule conditions that could not be told."}),
		unrouted:   prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_recipients_unrouted_total", Help: "Recipients that no rule routed."}),
	}
	p.evaluations.New = func() any { return &evaluation{lists: control.ScopedLists{Lists: cfg.Lists}} }
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(p.cannotTell, p.unrouted)
	}
	return p
}

// Lane implements queue.Executor.
func (p *Processor) Lane(spool.Lane) queue.Settings {
	return queue.Settings{Concurrency: workersPerProcessor * runtime.GOMAXPROCS(0)}
}

// Work implements queue.Executor.
func (p *Processor) Work(ctx context.Context, feed queue.Feed) {
	e := p.evaluations.Get().(*evaluation)
	defer p.evaluations.Put(e)
	for w := feed.Next(ctx, idle); w != nil; w = feed.Next(ctx, idle) {
		// What is running is finished when ctx ends: a look-up cut short would count as an action that is not configured.
		feed.Done(w, p.step(context.WithoutCancel(ctx), e, w))
	}
}

// step takes one message through its rule set. What cannot be read now is tried again later; what never can be is held.
func (p *Processor) step(ctx context.Context, e *evaluation, w *queue.Work) queue.Result {
	set, err := p.ruleSet(ctx, w)
	if errors.Is(err, errUnusable) {
		return never(w, err)
	}
	if err != nil {
		return p.later(w, err)
	}
	header, err := w.Header(ctx)
	if err != nil {
		return p.later(w, err)
	}
	result, err := p.evaluate(ctx, e, Task{Set: set, Message: w.Message, Item: &w.Item, Header: header})
	if err != nil {
		return never(w, err)
	}
	return result
}

// Task is a message that is to go through a rule set, from where its item stands.
type Task struct {
	Set     *rule.Set
	Message *spool.Message
	Item    *spool.Item
	Header  message.Header
}

// Evaluate returns what Work would settle for the task's item: whoever only wants to know what would become of a message
// learns it from the same evaluation. An error says that no evaluation can begin where the item stands.
func (p *Processor) Evaluate(ctx context.Context, t Task) (queue.Result, error) {
	e := p.evaluations.Get().(*evaluation)
	defer p.evaluations.Put(e)
	return p.evaluate(ctx, e, t)
}

// never lets a message rest that no later attempt can process.
func never(w *queue.Work, err error) queue.Result {
	return queue.Result{Held: []queue.Hold{{Reason: failedReason, Recipients: w.Item.Recipients, Detail: err.Error()}}}
}

func (p *Processor) later(w *queue.Work, err error) queue.Result {
	p.cfg.Logger.Error("message is not processed yet", "message_id", w.Message.ID.String(), "error", err)
	return queue.Result{Deferred: w.Item.Recipients, Reply: err.Error()}
}

// evaluate runs the rule set to its end. Every step is planned at once, so that its outcome is known: queued, or failed for
// a configuration that cannot work.
func (p *Processor) evaluate(ctx context.Context, e *evaluation, t Task) (queue.Result, error) {
	m := t.Message
	var result queue.Result
	if err := e.begin(t); err != nil {
		return result, err
	}
	last := rule.Outcome{}
	for {
		step, more := e.set.Next(&e.cursor, &e.facts, last, &e.reasons)
		if !more {
			break
		}
		items, failure := p.cfg.Planner.Plan(ctx, m, step)
		if failure != "" {
			last = rule.Outcome{Kind: rule.OutcomeFailed, Reason: failure}
			result.Attempts = append(result.Attempts, failed(&step, failure))
			continue
		}
		last = rule.Outcome{Kind: rule.OutcomeQueued}
		result.Next = append(result.Next, items...)
	}
	id, hash := t.Item.Rules(m)
	result.Decided = &trace.Decided{
		RuleSetID: id, RuleSetHash: hex.EncodeToString(hash[:]),
		Rules: e.reasons.Explain(e.set, &e.cursor, &e.facts),
	}
	p.rest(e, m, &result)
	p.cannotTell.Add(float64(e.reasons.CannotTell()))
	return result, nil
}

// failed is the trace of a step that was never begun.
func failed(step *rule.Step, reason string) trace.Attempt {
	replies := make([]trace.Reply, len(step.Recipients))
	for i := range step.Recipients {
		replies[i].Recipient = step.Recipients[i].Path.Received
	}
	return trace.Attempt{
		Rule: step.Rule, RuleName: step.RuleName, Action: step.Action, ActionName: step.ActionName,
		Status: "FAILURE", Recipients: replies, Reason: reason,
	}
}

// rest lets the unrouted recipients come to rest, each group in its state (Mail Manager, D7).
func (p *Processor) rest(e *evaluation, m *spool.Message, result *queue.Result) {
	for _, group := range e.cursor.Unrouted() {
		p.unrouted.Add(float64(len(group.Recipients)))
		for i := range group.Recipients {
			result.Decided.Unrouted = append(result.Decided.Unrouted, group.Recipients[i].Path.Received)
		}
		if p.cfg.Strict != nil && p.cfg.Strict(m.Session.Account) {
			p.cfg.Logger.Warn("message is discarded: no rule routed it", "message_id", m.ID.String(), "recipients", len(group.Recipients))
			continue
		}
		state, _ := group.Node.AppendBinary(nil) // never fails
		result.Held = append(result.Held, queue.Hold{
			Reason: unrouted, Recipients: group.Recipients, Detail: "no rule routed it", State: state,
		})
	}
}

// evaluation is the memory of one evaluation, used again for the next.
type evaluation struct {
	set     *rule.Set
	cursor  rule.Cursor
	reasons rule.Reasons
	facts   rule.Facts
	lists   control.ScopedLists
}

// begin makes ready for a message, at the point where its item stands.
func (e *evaluation) begin(t Task) error {
	m := t.Message
	e.set = t.Set
	e.lists.Scope = control.Scope{Account: m.Session.Account, Region: m.Session.Region}
	e.facts = rule.Facts{
		ReversePath: m.Envelope.ReversePath.Received, Hello: m.Session.Hello, Client: m.Session.Client.Addr(),
		TLS: m.Session.TLSVersion != "", TLSWrapped: m.Session.TLSWrapped, Certificate: m.Session.Certificate, Size: m.Size, Header: t.Header,
		Lists: &e.lists,
	}
	e.reasons.Reset()
	if t.Item.Cursor != nil {
		return e.set.Resume(&e.cursor, t.Item.Cursor)
	}
	root, err := message.ParseNode(t.Item.State)
	if err != nil {
		return fmt.Errorf("state of message %s: %w", m.ID, err)
	}
	e.cursor.Reset(root, t.Item.Recipients)
	return nil
}
