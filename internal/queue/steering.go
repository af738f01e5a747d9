package queue

import (
	"context"
	"errors"
	"fmt"

	"sluice/internal/spool"
)

// This is how an order is carried out beside the workers. An item is taken where it is: out of its lane's ready list, or by a
// claim that names it; so nobody else can run or move it. What follows of it is settled by its message's committer, like the
// end of a step, and goes on in memory as there is room. What is neither ready nor can be claimed has a running step.

// notKnown is what is said of an item whose settlement had no answer, or none to go by.
const notKnown = "it is not known whether it was done"

// steering is one item in the hands of an order.
type steering struct {
	claimed *spool.Claimed // as it was found
	work    *Work          // nil: busy
	in      []spool.Item
	result  chan error // nil: not settled; has room for what it is given
	Steered
}

// steer carries out an order for a batch of items that were found.
func (q *Queue) steer(ctx context.Context, o *Order, batch []spool.Claimed) ([]Steered, error) {
	all := make([]steering, len(batch))
	var wanted []*steering
	for i := range batch {
		s := &all[i]
		s.claimed = &batch[i]
		if q.judgeFound(o, s); s.Outcome == "" {
			wanted = append(wanted, s)
		}
	}
	var err error
	if len(wanted) > 0 {
		err = q.seize(ctx, o, wanted)
	}
	if err == nil {
		err = q.await(ctx, wanted)
	}
	q.hurry(o, all)
	done := make([]Steered, len(all))
	for i := range all {
		if all[i].Outcome == "" {
			all[i].Outcome, all[i].Reason = SteerFailed, notKnown
		}
		done[i] = all[i].Steered
	}
	if err != nil {
		return done, fmt.Errorf("steer the queue: %w", err)
	}
	return done, nil
}

// judgeFound decides what can be decided without the item: it leaves the outcome open where the item is wanted.
func (q *Queue) judgeFound(o *Order, s *steering) {
	item := &s.claimed.Item
	s.Item, s.Lane, s.Recipients = item.ItemKey, item.Lane, item.Recipients
	in, why := q.follow(o, s.claimed.Message, *item)
	switch {
	case why != "":
		s.Outcome, s.Reason = SteerSkipped, why
	case o.DryRun:
		s.done(in)
	case o.Act == ActRetry && in[0].Due.Equal(item.Due): // only its lane may hold it up
		s.done(in)
		q.record(&Work{Item: *item, Message: s.claimed.Message}, &conclusion{steered: o.steered(item, in)})
	}
}

func (s *steering) done(in []spool.Item) {
	s.Outcome = SteerDone
	if len(in) > 0 {
		s.To = in[0].Lane
	}
}

// seize takes the items and hands what follows of them to the committers. An error means that nothing was taken.
func (q *Queue) seize(ctx context.Context, o *Order, wanted []*steering) error {
	if !q.beginSteering() {
		return ErrStopping
	}
	defer q.steers.Done()
	if err := q.obtain(ctx, wanted); err != nil {
		return err
	}
	for _, s := range wanted {
		if s.work != nil {
			q.decide(ctx, o, s)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range wanted {
		q.hand(o, s)
	}
	return nil
}

// beginSteering makes the end of Run wait until the committers have what is taken.
func (q *Queue) beginSteering() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stopping {
		return false
	}
	q.steers.Add(1)
	return true
}

// obtain makes works of the items that are to be had; those of the others stay nil.
func (q *Queue) obtain(ctx context.Context, wanted []*steering) error {
	at := make(map[spool.ItemKey]*steering, len(wanted))
	for _, s := range wanted {
		at[s.Item] = s
	}
	q.withdraw(at)
	var keys []spool.ItemKey
	for key, s := range at {
		if s.work == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	now := q.clock.Now()
	claimed, err := q.cfg.Spool.ClaimItems(ctx, q.cfg.Owner, now, now.Add(leaseTime), keys)
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.putBack(wanted)
		return err
	}
	for i := range claimed {
		l := q.lane(claimed[i].Item.Lane)
		if w := q.receive(l, &claimed[i]); w != nil {
			q.own(w)
			at[w.Item.ItemKey].work = w
		}
	}
	return nil
}

// withdraw takes what is wanted out of ready lists. An item that runs alone stays: everything waits for it.
func (q *Queue) withdraw(at map[spool.ItemKey]*steering) {
	q.mu.Lock()
	defer q.mu.Unlock()
	looked := map[spool.Lane]bool{}
	for _, s := range at {
		l := q.lanes[s.Lane]
		if l == nil || l.ready.n == 0 || looked[s.Lane] {
			continue
		}
		looked[s.Lane] = true
		l.ready.remove(func(w *Work) bool {
			s := at[w.Item.ItemKey]
			if s == nil || w == q.alone {
				return false
			}
			s.work = w
			q.ready--
			return true
		})
	}
}

// putBack gives back what was taken.
func (q *Queue) putBack(wanted []*steering) {
	for _, s := range wanted {
		if s.work != nil {
			q.giveBack(s.work)
			s.work = nil
		}
	}
}

// decide finds out what follows of an item that is in our hands, which may be another than was found.
func (q *Queue) decide(ctx context.Context, o *Order, s *steering) {
	w := s.work
	if w.Item.Lane != s.Lane { // it is no more what was selected
		s.Outcome, s.Reason = SteerBusy, "it went on meanwhile"
		return
	}
	var why string
	s.Recipients = w.Item.Recipients
	if s.in, why = q.follow(o, w.Message, w.Item); why != "" {
		s.Outcome, s.Reason = SteerSkipped, why
		return
	}
	if o.Act != ActBounce {
		return
	}
	var err error
	if s.in, err = q.bounce(ctx, w.Message, w.Item); err != nil {
		q.cfg.Logger.Error("item is not bounced", "message_id", w.Message.ID.String(), "seq", w.Item.Seq, "error", err)
		s.Outcome, s.Reason = SteerFailed, "it could not be bounced"
	}
}

// hand gives an item's committer what is to be done.
func (q *Queue) hand(o *Order, s *steering) {
	switch {
	case s.work == nil:
		s.Outcome, s.Reason = SteerBusy, "its step runs, or it went on meanwhile"
	case s.Outcome != "":
		q.giveBack(s.work)
	default:
		s.result = make(chan error, 1)
		q.settleUnrun(s.work, &conclusion{in: s.in, steered: o.steered(&s.work.Item, s.in), result: s.result})
	}
}

// await waits for the committers.
func (q *Queue) await(ctx context.Context, wanted []*steering) error {
	for _, s := range wanted {
		if s.result == nil {
			continue
		}
		select {
		case err := <-s.result:
			s.settled(err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *steering) settled(err error) {
	switch {
	case err == nil:
		s.done(s.in)
	case errors.Is(err, spool.ErrLeaseLost) || errors.Is(err, spool.ErrNotFound):
		s.Outcome, s.Reason = SteerBusy, "somebody else has it"
	default:
		s.Outcome, s.Reason = SteerFailed, notKnown
	}
}

// hurry makes the lanes that items are to go on in try their targets now.
func (q *Queue) hurry(o *Order, all []steering) {
	if o.DryRun || o.Act != ActRetry && o.Act != ActRelease && o.Act != ActReroute {
		return
	}
	hurried := map[spool.Lane]bool{}
	for i := range all {
		if to := all[i].To; all[i].Outcome == SteerDone && !hurried[to] {
			hurried[to] = true
			q.Probe(to)
		}
	}
}
