package action

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/bounce"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

const (
	// reporterIdle is how long a worker waits for the next report.
	reporterIdle = time.Second
	// reporters is how many reports are written at once.
	reporters = 4
	// heldBounce is where notifications rest that have no way out (Mail Manager, E18).
	heldBounce = "bounce"
	// actionReport is what traces call the writing of a notification.
	actionReport = "REPORT"
)

// ReporterConfig is what a Reporter needs.
type ReporterConfig struct {
	Route      func(account, region string) spool.Lane // the lane by which notifications leave; empty: there is none
	Always     bool                                    // bounces.always: senders are told though nothing says that they are who they say
	From       smtp.Path                               // whom notifications are from
	Hostname   string                                  // the Reporting-MTA
	Now        func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: nothing is counted
}

// Reporter does the items of lane report: it tells senders what became of their mail, by messages that are born with the
// end of the step, so that none is lost and none is sent twice. It is safe for concurrent use. It implements queue.Executor.
// Source: RFC 3461, section 6; Mail Manager, E18 and E21.
type Reporter struct {
	ReporterConfig
	told *prometheus.CounterVec
}

var _ queue.Executor = (*Reporter)(nil)

// NewReporter returns an executor of lane report.
func NewReporter(cfg ReporterConfig) *Reporter {
	r := &Reporter{ReporterConfig: cfg, told: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mailmanager_reports_total", Help: "Recipients whose sender might be told what became of them, by what was done."}, []string{"act"})}
	if cfg.Registerer != nil {
		cfg.Registerer.MustRegister(r.told)
	}
	return r
}

// Lane implements queue.Executor.
func (r *Reporter) Lane(spool.Lane) queue.Settings { return queue.Settings{Concurrency: reporters} }

// Work implements queue.Executor.
func (r *Reporter) Work(ctx context.Context, feed queue.Feed) {
	for w := feed.Next(ctx, reporterIdle); w != nil; w = feed.Next(ctx, reporterIdle) {
		feed.Done(w, r.report(context.WithoutCancel(ctx), w))
	}
}

// report tells, holds or keeps silent, as the decision for each recipient says.
func (r *Reporter) report(ctx context.Context, w *queue.Work) queue.Result {
	fates, err := fatesOf(&w.Item)
	if err != nil {
		return undeliverable(w.Item.Recipients, err.Error())
	}
	content, err := head(ctx, w)
	if err != nil {
		return queue.Result{Deferred: w.Item.Recipients, Reply: err.Error()}
	}
	decisions := bounce.Decide(r.facts(w, fates, content))
	var result queue.Result
	var told []message.DeliveryStatus
	for i, d := range decisions {
		recipient := w.Item.Recipients[i]
		r.told.WithLabelValues(d.Act.String()).Inc()
		switch d.Act {
		case bounce.Notify:
			told = append(told, status(recipient, d, &fates[i]))
		case bounce.Hold:
			result.Held = held(result.Held, recipient, fates[i].said())
		}
		result.Attempts = append(result.Attempts, explained(&w.Item, i, d, &fates[i]))
	}
	if len(told) > 0 {
		birth, err := r.birth(w, told, content)
		if err != nil {
			return undeliverable(w.Item.Recipients, err.Error())
		}
		result.Births = []spool.Birth{birth}
		result.Attempts[0].Target = birth.Message.ID.String() // by which its own way can be traced
	}
	return result
}

// undeliverable lets recipients rest of whom nobody may be told. Mail Manager, E18.
func undeliverable(recipients []message.Recipient, why string) queue.Result {
	return queue.Result{Held: []queue.Hold{{Reason: bounce.Undeliverable, Recipients: recipients, Detail: why}}}
}

// held adds a recipient of whom nobody may be told to those that rest, beside those with the same reason.
func held(all []queue.Hold, recipient message.Recipient, why string) []queue.Hold {
	if last := len(all) - 1; last >= 0 && all[last].Detail == why {
		all[last].Recipients = append(all[last].Recipients, recipient)
		return all
	}
	return append(all, undeliverable([]message.Recipient{recipient}, why).Held...)
}

// head is the beginning of the message, or all of it when it is small: what a notification may give back.
func head(ctx context.Context, w *queue.Work) ([]byte, error) {
	content, err := w.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	text, err := io.ReadAll(io.LimitReader(content, int64(message.MaxHeaderOctets)+1))
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", w.Message.ID, err)
	}
	return text, nil
}

func (r *Reporter) facts(w *queue.Work, fates []fate, content []byte) *bounce.Facts {
	header, _ := message.CutHeader(content)
	facts := &bounce.Facts{
		NullPath:      w.Message.Envelope.ReversePath.IsNull(),
		Authenticated: w.Message.Session.AuthUser != "" || w.Message.Session.Certificate != nil,
		Always:        r.Always,
		Automatic:     bounce.Automatic(header),
		Recipients:    make([]bounce.Recipient, len(fates)),
	}
	for i := range fates {
		facts.Recipients[i] = bounce.Recipient{Notify: w.Item.Recipients[i].Notify, Outcome: fates[i].Outcome, Waited: fates[i].Waited}
	}
	return facts
}

func status(recipient message.Recipient, d bounce.Decision, f *fate) message.DeliveryStatus {
	s := message.DeliveryStatus{
		Recipient: recipient, Action: d.Action, Reply: f.reply(), Remote: f.Remote, LastAttempt: f.At, RetryUntil: f.Until,
	}
	if s.Reply == nil {
		s.Explanation = explanations[f.Outcome]
	}
	return s
}

// explanations stand for what strangers need not know of the gateway's own troubles.
var explanations = map[bounce.Outcome]string{
	bounce.Failed:  "The message could not be delivered in time.",
	bounce.Delayed: "The next host could not be reached, or did not take the message yet.",
}

// explained is the trace of the decision for a recipient of an item.
func explained(item *spool.Item, recipient int, d bounce.Decision, f *fate) trace.Attempt {
	what := d.Act.String()
	if d.Act == bounce.Notify {
		what += " " + string(d.Action)
	}
	return trace.Attempt{
		Rule: item.Rule, RuleName: item.RuleName, Action: item.Action, ActionName: actionReport,
		Status: statusSuccess, Reason: what + ": " + string(d.Why),
		Recipients: []trace.Reply{{Recipient: item.Recipients[recipient].Path.Received, Reply: f.said()}},
	}
}

// birth is the notification as a new message.
func (r *Reporter) birth(w *queue.Work, told []message.DeliveryStatus, content []byte) (spool.Birth, error) {
	now := r.Now()
	report := message.Report{
		ID:   r.identity(&w.Item, &told[0]),
		From: r.From, ReportingMTA: r.Hostname, Made: now, Arrived: w.Message.ReceivedAt,
		Envelope: w.Message.Envelope, Recipients: told, Content: content,
	}
	envelope, text, err := report.Message()
	if err != nil {
		return spool.Birth{}, fmt.Errorf("write the notification: %w", err)
	}
	m := spool.Message{ID: message.NewID(now), Session: w.Message.Session, Envelope: envelope, ReceivedAt: now}
	item := spool.Item{ItemKey: spool.ItemKey{Message: m.ID}, Lane: r.Route(m.Session.Account, m.Session.Region), Due: now, Recipients: envelope.Recipients}
	if item.Lane == "" {
		item.Lane, item.Origin, item.LastReply = spool.HeldLane(heldBounce), spool.LaneReport, "there is no way for bounces: see the setting bounces.route"
	}
	r.Logger.Info("sender is told", "message_id", w.Message.ID.String(), "report_id", m.ID.String(), "recipients", len(told), "lane", string(item.Lane))
	return spool.Birth{Message: m, Content: text, Items: []spool.Item{item}}, nil
}

// identity is the same whenever the same end of the same step is told of, and another for each end: a message may end for one
// recipient now and for another later. Mail Manager, E20.
func (r *Reporter) identity(item *spool.Item, first *message.DeliveryStatus) string {
	return fmt.Sprintf("%s.%d.%d.%d.%d.%s.%x@%s", item.Message, item.Rule, item.Action, item.Node, item.Seq, first.Action,
		max(first.LastAttempt.UnixMilli(), 0), r.Hostname)
}
