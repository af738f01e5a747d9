package queue

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

const (
	// settleBatch is how many endings a committer applies at once.
	settleBatch int = 128
	// firstSettleRetry doubles up to lastSettleRetry while the spool fails.
	firstSettleRetry time.Duration = 50 * time.Millisecond
	lastSettleRetry  time.Duration = 5 * time.Second
	// farNumbers is beyond the numbers of items that are counted up.
	farNumbers uint32 = 1 << 31
)

// ending is what is to be done in the spool at the end of a step: a settlement, or giving the item back as it is.
type ending struct {
	work   *Work
	back   bool
	in     []spool.Item
	births []spool.Birth
	claim  bool    // some of in go on in memory
	lanes  []*lane // for each of in: the lane that keeps a place for it, or nil

	ran    bool         // a worker had it
	result chan<- error // with room for one: who waits for the end; nil: nobody

	numbered bool
	tried    int
	err      error
}

// committer applies endings in their order. All endings of one message go to the same committer, so that the steps of a
// message are settled one after the other.
type committer struct {
	q        *Queue
	messages map[message.ID]struct{} // of the batch that is collected

	mu      sync.Mutex // guards what follows
	changed sync.Cond
	pending []*ending
	closed  bool
}

func newCommitter(q *Queue) *committer {
	c := &committer{q: q, messages: map[message.ID]struct{}{}}
	c.changed.L = &c.mu
	return c
}

// end takes an item out of a worker's hands. It does not wait for a disk.
func (q *Queue) end(f *feed, w *Work, c *conclusion) {
	e := q.endStep(f, w, c)
	if e == nil {
		q.cfg.Logger.Error("executor reported an item that it does not have", "lane", string(f.lane.name))
		return
	}
	if q.cfg.Journal != nil {
		q.cfg.Journal.End(w.slot)
	}
	f.lane.kind.metrics.count(c.outcome)
	q.record(w, c) // before what follows can be recorded
	q.committer(e).add(e)
}

// endStep returns nil when the worker does not have the item.
func (q *Queue) endStep(f *feed, w *Work, c *conclusion) *ending {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !f.drop(w) {
		return nil
	}
	l := f.lane
	l.running--
	q.running--
	if c.unreachable != "" {
		q.unreachable(l, c.unreachable)
		l.sweep = l.sweep || c.outcome == outcomeHeld || c.outcome == outcomeExpired // its first item is too old: others may be
		c.next = l.until
	} else if c.outcome != outcomeCrashed && c.outcome != outcomeReturned {
		q.reached(l)
	}
	if c.wrong != "" {
		l.wrong, l.since = c.wrong, q.clock.Now()
	}
	e := &ending{work: w, back: c.release, in: c.in, births: c.births, ran: true}
	if !c.release {
		q.keepPlaces(e)
	}
	q.unsettled++
	q.afterStep(w, l)
	return e
}

// afterStep lets go on what waited for the end of a step.
func (q *Queue) afterStep(w *Work, l *lane) {
	if w == q.alone {
		q.alone = nil
		q.goOn()
		return
	}
	if q.alone != nil && q.running == 0 {
		q.serve(q.alone.lane)
	}
	q.serve(l)
}

// drop takes a work out of the worker's hands, if it is there.
func (f *feed) drop(w *Work) bool {
	for i, held := range f.hands {
		if held == w {
			last := len(f.hands) - 1
			f.hands[i] = f.hands[last]
			f.hands[last] = nil
			f.hands = f.hands[:last]
			return true
		}
	}
	return false
}

// keepPlaces finds out which of the items that come in go on in memory, and keeps a place for each.
func (q *Queue) keepPlaces(e *ending) {
	now := q.clock.Now()
	e.lanes = make([]*lane, len(e.in))
	for i := range e.in {
		l := q.lane(e.in[i].Lane)
		if e.in[i].Due.After(now) || q.stopping || !q.admits(l) {
			continue
		}
		l.coming++
		q.ready++
		e.lanes[i] = l
		e.claim = true
	}
}

// committer is the one that applies all endings of the message.
func (q *Queue) committer(e *ending) *committer {
	id := &e.work.Item.Message
	return q.committers[int(id[len(id)-1])%committers]
}

func (c *committer) add(e *ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, e)
	c.changed.Signal()
}

// giveBack returns a claimed item that is not ready any more to the spool, as it is.
func (q *Queue) giveBack(w *Work) {
	q.leave(w)
	e := &ending{work: w, back: true}
	q.unsettled++
	q.committer(e).add(e)
}

// close ends the committer once nothing is pending.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.changed.Signal()
}

// run applies endings until close. When patience ends, what fails is not tried again.
func (c *committer) run(patience context.Context) {
	for batch := c.collect(nil); len(batch) > 0; batch = c.collect(batch[:0]) {
		c.apply(patience, batch)
		c.q.finish(batch)
	}
}

// collect waits for endings and takes those that are pending, up to settleBatch and no two of one message.
func (c *committer) collect(batch []*ending) []*ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) == 0 && !c.closed {
		c.changed.Wait()
	}
	clear(c.messages)
	for _, e := range c.pending {
		if _, twice := c.messages[e.work.Item.Message]; twice || len(batch) == settleBatch {
			break
		}
		c.messages[e.work.Item.Message] = struct{}{}
		batch = append(batch, e)
	}
	rest := copy(c.pending, c.pending[len(batch):])
	clear(c.pending[rest:])
	c.pending = c.pending[:rest]
	return batch
}

// apply applies a batch and tries again what failed and may succeed later. What it could not do has an error.
func (c *committer) apply(patience context.Context, batch []*ending) {
	for wait := firstSettleRetry; ; wait = min(2*wait, lastSettleRetry) {
		open := c.applyOnce(context.WithoutCancel(patience), batch)
		if open == nil || patience.Err() != nil {
			return
		}
		c.q.cfg.Logger.Error("spool does not settle, trying again", "error", open, "in", wait)
		c.q.metrics.settleRetries.Inc()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-patience.Done():
			timer.Stop()
			return
		}
	}
}

// applyOnce applies what was not applied yet. It returns the error of one that is to be tried again, or nil.
func (c *committer) applyOnce(ctx context.Context, batch []*ending) (open error) {
	var settlements []spool.Settlement
	var settled []*ending
	var keys []spool.ItemKey
	var released []*ending
	for _, e := range batch {
		if e.tried > 0 && !retriable(e.err) {
			continue
		}
		e.tried++
		if e.back {
			keys, released = append(keys, e.work.Item.ItemKey), append(released, e)
			continue
		}
		if e.err = c.number(ctx, e); e.err != nil {
			continue
		}
		settlements, settled = append(settlements, c.q.settlement(e)), append(settled, e)
	}
	if len(settlements) > 0 {
		share(settled, c.q.cfg.Spool.Settle(ctx, settlements...))
	}
	if len(keys) > 0 {
		share(released, c.q.cfg.Spool.Release(ctx, c.q.cfg.Owner, keys...))
	}
	for _, e := range batch {
		if retriable(e.err) {
			open = e.err
		}
	}
	return open
}

func (q *Queue) settlement(e *ending) spool.Settlement {
	s := spool.Settlement{Owner: q.cfg.Owner, Out: []spool.ItemKey{e.work.Item.ItemKey}, In: e.in, Births: e.births, Claim: e.claim}
	if e.claim {
		s.Until = q.clock.Now().Add(leaseTime)
	}
	return s
}

// share gives each ending its part of a common error.
func share(endings []*ending, err error) {
	var failed *spool.SettleError
	if errors.As(err, &failed) {
		for i, e := range endings {
			e.err = failed.Failed[i]
		}
		return
	}
	for _, e := range endings {
		e.err = err
	}
}

// retriable reports whether a settlement that failed may succeed later.
func retriable(err error) bool {
	switch {
	case err == nil, errors.Is(err, spool.ErrLeaseLost), errors.Is(err, spool.ErrNotFound),
		errors.Is(err, spool.ErrCorrupt), errors.Is(err, spool.ErrClosed), errors.Is(err, spool.ErrInvalid):
		return false
	default:
		return true
	}
}

// number gives the items that come in their numbers. It asks the spool only when there are several. Where another item of
// the message cannot be read, chance finds numbers: to run the step again would deliver again, for ever.
func (c *committer) number(ctx context.Context, e *ending) error {
	if e.numbered {
		return nil
	}
	err := numbered(e.in, e.work.Item.ItemKey, func() (uint32, error) {
		_, items, err := c.q.cfg.Spool.Message(ctx, e.work.Item.Message)
		if errors.Is(err, spool.ErrCorrupt) {
			return farNumbers + rand.Uint32N(farNumbers/2), nil
		}
		return firstFree(items), err
	})
	e.numbered = err == nil
	return err
}

// finish goes on after a batch: successors are made ready, what rests in the spool is noted.
func (q *Queue) finish(batch []*ending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := q.unsettled >= maxUnsettled
	for _, e := range batch {
		q.unsettled--
		again := q.owned[e.work.Item.ItemKey]
		delete(q.owned, e.work.Item.ItemKey)
		switch {
		case e.back: // one that was not ours any more is claimable too, or soon
			q.rests(e.work.Item.Lane, e.work.Item.Due)
		case e.err != nil:
			q.finishLost(e)
		default:
			delete(q.interrupted, e.work.Item.ItemKey)
			q.meter(e)
			q.succeed(e)
		}
		if e.result != nil {
			e.result <- e.err
		}
		q.leave(e.work)
		if _, goesOn := q.owned[e.work.Item.ItemKey]; again != nil && !goesOn {
			q.own(again)
			q.giveBack(again)
		}
	}
	if full && q.unsettled < maxUnsettled {
		q.serveAll()
	}
}

// meter counts an item that its lane is done with.
func (q *Queue) meter(e *ending) {
	if l := e.work.lane; e.ran && !slices.ContainsFunc(e.in, func(in spool.Item) bool { return in.Lane == l.name }) {
		l.done.add(q.clock.Now())
	}
}

// succeed makes the successors of a settled step ready, in memory as far as there is room.
func (q *Queue) succeed(e *ending) {
	for i := range e.births {
		for _, item := range e.births[i].Items {
			q.rests(item.Lane, item.Due)
		}
	}
	for i := range e.in {
		item := &e.in[i]
		if !e.claim {
			q.rests(item.Lane, item.Due)
			continue
		}
		w := &Work{Item: *item, Message: e.work.Message, contents: q.cfg.Spool, lane: q.lane(item.Lane)}
		l := e.lanes[i]
		if l == nil {
			q.owned[item.ItemKey] = nil
			q.giveBack(w)
			continue
		}
		q.ready--
		l.coming--
		if q.stopping || l.state == stateWaiting {
			q.owned[item.ItemKey] = nil
			q.giveBack(w)
			continue
		}
		if content := e.work.content; content != nil && q.fits(l, content.Size()) {
			content.Retain()
			w.content = content
		}
		q.enter(l, w)
		q.serve(l)
	}
}

// finishLost discards a result that the spool did not take. The item is somebody else's now, or will be claimed again. A
// settlement that was applied although it was said to have failed is not lost: the first item that came in has the key of
// the one that went out, so that applying it again leads to the same.
func (q *Queue) finishLost(e *ending) {
	q.metrics.lost.Inc()
	q.cfg.Logger.Error("result of a step is discarded", "lane", string(e.work.Item.Lane), "message_id", e.work.Item.Message.String(),
		"seq", e.work.Item.Seq, "error", e.err)
	for _, l := range e.lanes {
		if l != nil {
			q.ready--
			l.coming--
		}
	}
	if errors.Is(e.err, spool.ErrCorrupt) {
		q.giveBack(&Work{Item: e.work.Item, Message: e.work.Message, lane: e.work.lane}) // claimed again, it goes to held/corrupt
	}
}

// rests notes an item that waits in the spool.
func (q *Queue) rests(name spool.Lane, due time.Time) {
	l := q.lane(name)
	l.note(due)
	q.refill(l)
}
