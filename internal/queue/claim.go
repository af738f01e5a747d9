package queue

import (
	"context"
	"errors"
	"time"

	"sluice/internal/spool"
)

// refill gets the lane in line for items from the spool when it wants some, and sets its alarm.
func (q *Queue) refill(l *lane) {
	if !l.claiming && q.wantsClaim(l) {
		l.claiming = true
		q.claims = append(q.claims, l)
		q.claimsCond.Signal()
	}
	q.rearm(l)
}

// wantsClaim reports whether items of the lane should be read from the spool now: its ready list runs low, or what was
// handed over in memory has overtaken those that wait there by a whole batch.
func (q *Queue) wantsClaim(l *lane) bool {
	if l.due.IsZero() || q.stopping || !q.started {
		return false
	}
	now := q.clock.Now()
	switch {
	case l.rest.After(now):
		return false
	case l.name.Held():
		alarm := q.heldAlarm(l)
		return !alarm.IsZero() && !alarm.After(now)
	case !l.runs() || l.due.After(q.now(l)):
		return false
	case l.state == stateWaiting:
		return l.sweep
	case l.state == stateProbing && l.failures > 0:
		return l.ready.n+l.running == 0 // one item probes the lane
	}
	return q.admits(l) && (l.ready.n+l.coming <= lowReady || l.begun >= claimBatch)
}

// claimer reads items from the spool for one lane after the other, until the queue stops.
func (q *Queue) claimer(ctx context.Context) {
	for l := q.nextClaim(); l != nil; l = q.nextClaim() {
		q.claim(ctx, l)
	}
}

// nextClaim waits for a lane that is in line. It returns nil when the queue stops.
func (q *Queue) nextClaim() *lane {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.claims) == 0 && !q.stopping {
		q.claimsCond.Wait()
	}
	if q.stopping {
		return nil
	}
	l := q.claims[0]
	q.claims = q.claims[1:]
	return l
}

// claim reads items of one lane.
func (q *Queue) claim(ctx context.Context, l *lane) {
	n, now := q.beginClaim(l)
	until := q.clock.Now().Add(leaseTime)
	claimed, next, err := q.cfg.Spool.Claim(ctx, l.name, n, q.cfg.Owner, now, until)
	if err != nil && !errors.Is(err, context.Canceled) {
		q.cfg.Logger.Error("spool gives no items", "lane", string(l.name), "error", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l.claiming = false
	if !next.IsZero() {
		l.note(next)
	}
	if err != nil {
		l.note(now)
	}
	l.rest = q.restAfter(l, err != nil || (len(claimed) == 0 && !next.IsZero() && !next.After(now)))
	take := q.take
	switch {
	case l.name.Held():
		take = q.discard
	case l.state == stateWaiting:
		take = q.sweep
		l.sweep = len(claimed) == n // take ends it at the first that is not too old
	}
	for i := range claimed {
		if w := q.receive(l, &claimed[i]); w != nil {
			take(l, w)
		}
	}
	q.serve(l)
}

// restAfter is before when the lane is not claimed from again. The spool may have failed, or have items that are due and
// that it does not give; and no more is asked of a held lane than it needs.
func (q *Queue) restAfter(l *lane, failed bool) time.Time {
	switch {
	case l.name.Held() && l.excess <= 0:
		return q.clock.Now().Add(heldRest)
	case failed:
		return q.clock.Now().Add(claimRetry)
	}
	return time.Time{}
}

// beginClaim returns how many items to claim, and those due until when. What is noted from here on is new.
func (q *Queue) beginClaim(l *lane) (n int, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.due, l.begun = time.Time{}, 0
	switch {
	case l.name.Held():
		return claimBatch, q.heldUntil(l)
	case l.state == stateWaiting: // a sweep
		return claimBatch, q.now(l)
	case l.state == stateProbing && l.failures > 0:
		return 1, q.now(l)
	}
	return max(1, min(claimBatch, maxLaneReady-l.ready.n-l.coming)), q.now(l)
}

// receive makes a Work of a claimed item. It returns nil when the item is in memory already: its lease was lost and has
// come back, and its step goes on; or its committer has just given it back, or made it the successor of itself, and has yet
// to notice. finish then gives back what was claimed here, or it would be ours for ever.
func (q *Queue) receive(l *lane, c *spool.Claimed) *Work {
	w := &Work{Item: c.Item, Message: c.Message, content: c.Content, contents: q.cfg.Spool, lane: l}
	_, twice := q.owned[c.Item.ItemKey]
	if w.content != nil && (twice || !q.fits(l, w.content.Size())) {
		w.content.Release()
		w.content = nil
	}
	if twice {
		q.owned[c.Item.ItemKey] = w
		return nil
	}
	return w
}

// take makes a claimed item ready, once it is counted when its step was interrupted by the end of a process.
func (q *Queue) take(l *lane, w *Work) {
	if _, interrupted := q.interrupted[w.Item.ItemKey]; interrupted {
		q.raise(l, w)
		return
	}
	if q.stopping {
		q.own(w)
		q.giveBack(w)
		return
	}
	q.enter(l, w)
}

// sweep ends an item of a waiting lane that is too old, and gives back the others.
func (q *Queue) sweep(l *lane, w *Work) {
	q.own(w)
	if !q.givenUp(w.Message, w.Item.Attempts+1) {
		l.sweep = false
		q.giveBack(w)
		return
	}
	c := &conclusion{}
	c.hold(q, again(w.Item, w.Item.Recipients), heldExpired, l.reason)
	q.settleUnrun(w, c)
}

// own counts an item as held by this process although it is not ready.
func (q *Queue) own(w *Work) {
	q.owned[w.Item.ItemKey] = nil
	if w.content != nil {
		w.content.Release()
		w.content = nil
	}
}

// settleUnrun settles an item that did not run, in the spool alone or in memory as there is room.
func (q *Queue) settleUnrun(w *Work, c *conclusion) {
	e := &ending{work: w, in: c.in, result: c.result}
	q.keepPlaces(e)
	q.unsettled++
	q.record(w, c)
	q.committer(e).add(e)
}
