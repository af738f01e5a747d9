package queue

import (
	"cmp"
	"slices"
	"time"

	"sluice/internal/message"
	"sluice/internal/schedule"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// Reasons why the queue itself holds items; the lane is held/<reason>.
const (
	heldExpired string = "expired" // given up (Mail Manager, E5)
	heldPoison  string = "poison"  // its step ended the process three times
	heldCorrupt string = "corrupt" // its content or state cannot be read
)

// outcome is how a step ended, for metrics.
type outcome string

// The outcomes of steps.
const (
	outcomeDone        outcome = "done"
	outcomeDeferred    outcome = "deferred"
	outcomeHeld        outcome = "held"
	outcomeExpired     outcome = "expired"
	outcomeUnreachable outcome = "unreachable"
	outcomeCrashed     outcome = "crashed"
	outcomeReturned    outcome = "returned"
	outcomeLost        outcome = "lost"
)

// conclusion is what the end of a step means for the spool, the lane and the trace.
type conclusion struct {
	outcome     outcome
	in          []spool.Item // complete but for the numbers of new items
	release     bool         // the item goes back to the spool as it is
	unreachable string       // why the target cannot be reached
	next        time.Time    // when the item is tried again
	attempts    []trace.Attempt
	decided     *trace.Decided
	held        []trace.Held
	births      []spool.Birth
	steered     *trace.Steered
	wrong       string       // what went wrong, for people
	result      chan<- error // told how its settlement ended; has room for that; nil: nobody asks
}

// conclude reads a Result.
func (q *Queue) conclude(w *Work, r Result) *conclusion {
	c := &conclusion{outcome: outcomeDone, attempts: r.Attempts, decided: r.Decided, births: r.Births}
	switch {
	case slices.ContainsFunc(r.Next, func(item spool.Item) bool { return item.Lane == "" }):
		return q.crashed(w, "the executor named no lane for what follows")
	case r.Unreachable != "":
		q.concludeUnreachable(c, w, r.Unreachable)
	case w.corrupt.Load():
		q.concludeLists(c, w, &r)
		if len(r.Deferred) > 0 {
			c.hold(q, again(w.Item, r.Deferred), heldCorrupt, spool.ErrCorrupt.Error())
		}
	case len(r.Deferred) > 0:
		q.concludeDeferred(c, w, &r)
		q.concludeLists(c, w, &r)
	default:
		q.concludeLists(c, w, &r)
	}
	return c
}

// concludeLists adds what follows and what comes to rest.
func (q *Queue) concludeLists(c *conclusion, w *Work, r *Result) {
	now := q.clock.Now()
	from := len(c.in)
	if from == 0 {
		c.in = r.Next
	} else {
		c.in = append(c.in, r.Next...)
	}
	for i := from; i < len(c.in); i++ {
		item := &c.in[i]
		item.Message = w.Item.Message
		if item.Due.IsZero() {
			item.Due = now
		}
		if item.Lane.Held() {
			if item.Origin == "" {
				item.Origin = w.Item.Lane
			}
			c.rests(item, item.LastReply)
		}
	}
	for _, h := range r.Held {
		item := again(w.Item, h.Recipients)
		item.Cursor = nil // the evaluation, if it was one, is over for them
		if h.State != nil {
			item.State = h.State
		}
		c.hold(q, item, h.Reason, h.Detail)
	}
}

// concludeDeferred reschedules the recipients that are tried again, or gives them up (Mail Manager, E5).
func (q *Queue) concludeDeferred(c *conclusion, w *Work, r *Result) {
	item := again(w.Item, r.Deferred)
	item.Attempts++
	item.LastReply, c.wrong = r.Reply, r.Reply
	if q.givenUp(w.Message, item.Attempts) {
		c.expire(q, w, item, r.Reply)
		return
	}
	item = c.warn(q, w, item, r.Reply)
	item.Due = q.clock.Now().Add(w.lane.skew + q.cfg.Retry.Wait(item.Attempts, q.cfg.Random()))
	c.outcome, c.next = outcomeDeferred, item.Due
	c.in = append(c.in, item)
}

// concludeUnreachable gives the item back as it was, unless it is too old or cannot be read.
func (q *Queue) concludeUnreachable(c *conclusion, w *Work, reason string) {
	item := again(w.Item, w.Item.Recipients)
	switch {
	case w.corrupt.Load():
		c.hold(q, item, heldCorrupt, spool.ErrCorrupt.Error())
	case q.givenUp(w.Message, w.Item.Attempts+1):
		c.expire(q, w, item, reason)
	default:
		warned := c.warn(q, w, item, reason)
		c.release = w.Item.Crashes == 0 && warned.Warned == item.Warned
		if !c.release { // a step that ends clears the count of crashes
			c.in = append(c.in, warned)
		}
	}
	c.unreachable, c.wrong = reason, reason
	if c.outcome == outcomeDone {
		c.outcome = outcomeUnreachable
	}
}

// expire ends an item that is tried no more: its sender is told, or it comes to rest. Mail Manager, E5 and E18.
func (c *conclusion) expire(q *Queue, w *Work, item spool.Item, why string) {
	if q.cfg.Reports == nil {
		c.hold(q, item, heldExpired, why)
		return
	}
	c.outcome = outcomeExpired
	c.in = append(c.in, q.due(q.cfg.Reports.Expired(item, w.Message, why), w))
}

// warn tells the sender, once, that an item is late. Mail Manager, E21.
func (c *conclusion) warn(q *Queue, w *Work, item spool.Item, why string) spool.Item {
	if q.cfg.Reports == nil || item.Warned {
		return item
	}
	until := w.Message.ReceivedAt.Add(q.cfg.Retry.Limit())
	report, late := q.cfg.Reports.Delayed(item, w.Message, why, q.clock.Age(w.Message.ReceivedAt), until)
	if late {
		item.Warned = true
		c.in = append(c.in, q.due(report, w))
	}
	return item
}

// due makes an item one of the work's message that is due now.
func (q *Queue) due(item spool.Item, w *Work) spool.Item {
	item.ItemKey = spool.ItemKey{Message: w.Item.Message}
	item.Due = q.clock.Now()
	return item
}

// crashed counts that a step of the item ended with a panic or with the process.
func (q *Queue) crashed(w *Work, why string) *conclusion {
	c := &conclusion{outcome: outcomeCrashed, wrong: why}
	item := again(w.Item, w.Item.Recipients)
	item.Crashes = w.Item.Crashes + 1
	if item.Crashes > aloneCrashes {
		c.hold(q, item, heldPoison, why)
		return c
	}
	item.LastReply = why
	c.in = append(c.in, item)
	return c
}

// again is the item once more, for some of its recipients; a step that ends clears the count of crashes.
func again(item spool.Item, recipients []message.Recipient) spool.Item {
	item.Recipients = recipients
	item.Crashes = 0
	return item
}

// hold lets an item come to rest. Its due time is when it did.
func (c *conclusion) hold(q *Queue, item spool.Item, reason, detail string) {
	rest(&item, reason, q.clock.Now())
	item.LastReply, c.wrong = detail, detail
	c.in = append(c.in, item)
	c.rests(&item, detail)
}

// rest brings an item to a held lane, from where it remembers where it was.
func rest(item *spool.Item, reason string, now time.Time) {
	if !item.Lane.Held() {
		item.Origin = item.Lane
	}
	item.Lane, item.Due = spool.HeldLane(reason), now
}

func (c *conclusion) rests(item *spool.Item, detail string) {
	c.outcome = outcomeHeld
	c.held = append(c.held, trace.Held{Lane: string(item.Lane), Recipients: message.Addresses(item.Recipients), Reason: detail})
}

// givenUp reports whether an item that has failed so often is not tried again.
func (q *Queue) givenUp(m *spool.Message, failed int) bool {
	return q.cfg.Retry.GivenUp(schedule.Age{Accepted: q.clock.Age(m.ReceivedAt), Witnessed: q.clock.Up(), Failed: failed})
}

// record appends the trace events of a step's end.
func (q *Queue) record(w *Work, c *conclusion) {
	event := trace.Event{
		Time: q.cfg.Now(), Account: w.Message.Session.Account, Region: w.Message.Session.Region,
		Message: w.Message.ID, Session: w.Message.Session.ID,
	}
	if c.decided != nil {
		e := event
		e.Decided = c.decided
		q.cfg.Trace.Append(e)
	}
	if c.steered != nil {
		e := event
		e.Steered = c.steered
		q.cfg.Trace.Append(e)
	}
	for i := range c.attempts {
		e := event
		e.Attempt = &c.attempts[i]
		completeAttempt(e.Attempt, &w.Item, c.next)
		e.Attempt.RuleSetID, _ = w.Item.Rules(w.Message)
		q.cfg.Trace.Append(e)
	}
	for i := range c.held {
		e := event
		e.Held = &c.held[i]
		q.cfg.Trace.Append(e)
		q.cfg.Logger.Info("mail is held", "message_id", w.Message.ID.String(), "lane", c.held[i].Lane,
			"recipients", len(c.held[i].Recipients), "reason", c.held[i].Reason)
	}
	for i := range c.births {
		e := event
		e.Message, e.Made = c.births[i].Message.ID, made(w.Message.ID, &c.births[i])
		q.cfg.Trace.Append(e)
	}
}

// made is how the trace of a notification begins.
func made(of message.ID, b *spool.Birth) *trace.Made {
	to := &b.Message.Envelope
	return &trace.Made{Of: of, ReversePath: to.ReversePath.Received, Recipients: message.Addresses(to.Recipients), Size: int64(len(b.Content))}
}

// completeAttempt adds what the executor does not know. The attempts of an evaluation name their own rule and action.
func completeAttempt(a *trace.Attempt, item *spool.Item, next time.Time) {
	a.Number = item.Attempts + 1
	if a.Rule == 0 {
		a.Rule, a.RuleName, a.Action, a.ActionName = item.Rule, item.RuleName, item.Action, item.ActionName
	}
	if a.Lane == "" {
		a.Lane = string(item.Lane)
	}
	if a.Status == attemptInProgress {
		a.Next = next
	}
}

// attemptInProgress is the status of an attempt that is followed by another (Mail Manager, E5).
const attemptInProgress string = "IN_PROGRESS"

// numbered gives the new items of a settlement their numbers. The item that ends lends its own to the first; for more
// the caller says which one is the first that is free.
func numbered(in []spool.Item, ended spool.ItemKey, free func() (uint32, error)) error {
	if len(in) == 0 {
		return nil
	}
	in[0].Seq = ended.Seq
	if len(in) == 1 {
		return nil
	}
	next, err := free()
	if err != nil {
		return err
	}
	for i := range in[1:] {
		in[i+1].Seq = next + uint32(i)
	}
	return nil
}

// firstFree is the number after the highest of a message's items.
func firstFree(items []spool.Item) uint32 {
	if len(items) == 0 {
		return 1
	}
	return slices.MaxFunc(items, func(a, b spool.Item) int { return cmp.Compare(a.Seq, b.Seq) }).Seq + 1
}
