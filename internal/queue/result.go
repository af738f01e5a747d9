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
}

// conclude reads a Result.
func (q *Queue) conclude(w *Work, r Result) *conclusion {
	c := &conclusion{outcome: outcomeDone, attempts: r.Attempts, decided: r.Decided}
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
	item.LastReply = r.Reply
	if q.givenUp(w.Message, item.Attempts) {
		c.hold(q, item, heldExpired, r.Reply)
		return
	}
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
		c.hold(q, item, heldExpired, reason)
	case w.Item.Crashes > 0: // a step that ends clears the count
		c.in = append(c.in, item)
	default:
		c.release = true
	}
	c.unreachable = reason
	if c.outcome != outcomeHeld {
		c.outcome = outcomeUnreachable
	}
}

// crashed counts that a step of the item ended with a panic or with the process.
func (q *Queue) crashed(w *Work, why string) *conclusion {
	c := &conclusion{outcome: outcomeCrashed}
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
	item.Lane, item.LastReply, item.Due = spool.HeldLane(reason), detail, q.clock.Now()
	c.in = append(c.in, item)
	c.rests(&item, detail)
}

func (c *conclusion) rests(item *spool.Item, detail string) {
	c.outcome = outcomeHeld
	c.held = append(c.held, trace.Held{Lane: string(item.Lane), Recipients: addresses(item.Recipients), Reason: detail})
}

func addresses(recipients []message.Recipient) []string {
	list := make([]string, len(recipients))
	for i := range recipients {
		list[i] = recipients[i].Path.Received
	}
	return list
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
	for i := range c.attempts {
		e := event
		e.Attempt = &c.attempts[i]
		completeAttempt(e.Attempt, &w.Item, c.next)
		q.cfg.Trace.Append(e)
	}
	for i := range c.held {
		e := event
		e.Held = &c.held[i]
		q.cfg.Trace.Append(e)
		q.cfg.Logger.Info("mail is held", "message_id", w.Message.ID.String(), "lane", c.held[i].Lane,
			"recipients", len(c.held[i].Recipients), "reason", c.held[i].Reason)
	}
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
