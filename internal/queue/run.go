package queue

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/internal/spool"
)

// Run serves the lanes until ctx ends or Drain is called. Then no step begins any more, those that are running have the
// grace time to end, their results are settled, and what is left is given back to the spool. The spool may be closed when
// Run has returned. It is called once.
func (q *Queue) Run(ctx context.Context) {
	defer close(q.stopped)
	background, endBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer endBackground()
	patience, endPatience := context.WithCancel(context.WithoutCancel(ctx))
	defer endPatience()

	var timed, settlers sync.WaitGroup
	q.start()
	for _, c := range q.committers {
		settlers.Go(func() { c.run(patience) })
	}
	timed.Go(func() { q.every(background, pollTime, q.poll) }) // the first poll finds what an earlier process left
	timed.Go(func() { q.every(background, leaseTime/3, q.renew) })
	timed.Go(func() { q.watch(background) })
	for range claimers {
		timed.Go(func() { q.claimer(background) })
	}

	grace, endGrace := q.untilStop(ctx)
	defer endGrace()
	q.stopSteps(grace)
	endBackground()
	timed.Wait()
	q.steers.Wait()
	stop := context.AfterFunc(grace, endPatience)
	defer stop()
	for _, c := range q.committers {
		c.close()
	}
	settlers.Wait()
	q.releaseAll(context.WithoutCancel(ctx))
}

// Drain makes Run end as the end of its context does, and waits for it. Steps that are still running when ctx ends are
// left to themselves. It returns the cause when ctx ended first.
func (q *Queue) Drain(ctx context.Context) error {
	select {
	case q.drain <- ctx:
	default: // it is draining
	}
	select {
	case <-q.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain the queue: %w", context.Cause(ctx))
	}
}

// untilStop waits for the end. It returns how long running steps may take.
func (q *Queue) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	select {
	case <-ctx.Done():
		return context.WithTimeout(context.WithoutCancel(ctx), q.cfg.Grace)
	case grace := <-q.drain:
		return context.WithCancel(grace)
	}
}

func (q *Queue) start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.started = true
	q.serveAll()
}

// stopSteps lets no step begin any more and waits for those that are running, until grace ends.
func (q *Queue) stopSteps(grace context.Context) {
	q.mu.Lock()
	q.stopping = true
	if len(q.feeds) == 0 {
		close(q.idle)
	}
	for _, l := range q.lanes {
		q.dismiss(l)
	}
	q.claimsCond.Broadcast()
	q.mu.Unlock()
	q.stopWork()
	select {
	case <-q.idle:
	case <-grace.Done():
		q.abandon()
	}
}

// abandon counts the steps that are still running as ended: that they took too long is no sign that they crash.
func (q *Queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for f := range q.feeds {
		for _, w := range f.hands {
			q.cfg.Logger.Warn("step is left to itself", "lane", string(f.lane.name), "message_id", w.Item.Message.String())
			if q.cfg.Journal != nil {
				q.cfg.Journal.End(w.slot)
			}
		}
		f.hands = nil // a result that still comes is not taken
	}
}

// releaseAll gives back what is still ready.
func (q *Queue) releaseAll(ctx context.Context) {
	q.mu.Lock()
	left := q.suspects
	for _, l := range q.lanes {
		for w := l.ready.pop(); w != nil; w = l.ready.pop() {
			left = append(left, w)
			q.ready--
		}
	}
	var keys []spool.ItemKey
	for _, w := range left {
		q.leave(w)
		delete(q.owned, w.Item.ItemKey)
		keys = append(keys, w.Item.ItemKey)
	}
	q.suspects, q.alone = nil, nil
	q.mu.Unlock()
	if len(keys) == 0 {
		return
	}
	if err := q.cfg.Spool.Release(ctx, q.cfg.Owner, keys...); err != nil {
		q.cfg.Logger.Error("items wait for their leases to end", "items", len(keys), "error", err)
	}
}

// every calls a duty at once and then again and again until ctx ends.
func (q *Queue) every(ctx context.Context, interval time.Duration, duty func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		duty(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// renew extends the leases. When some were lost, what has not begun is given back: whoever has it may have begun it. What
// is running goes on, and its result is refused if the lease is not this owner's then.
func (q *Queue) renew(ctx context.Context) {
	err := q.cfg.Spool.Renew(ctx, q.cfg.Owner, q.clock.Now().Add(leaseTime))
	if err == nil || errors.Is(err, context.Canceled) {
		return
	}
	q.cfg.Logger.Error("leases are not renewed", "error", err)
	if !errors.Is(err, spool.ErrLeaseLost) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lanes {
		q.releaseReady(l)
	}
	q.goOn()
}

// poll asks the spool what its lanes hold.
func (q *Queue) poll(ctx context.Context) {
	stats, err := q.cfg.Spool.Lanes(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			q.cfg.Logger.Error("spool does not say what it holds", "error", err)
		}
		return
	}
	q.metrics.observe(stats)
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := make(map[*lane]bool, len(stats))
	for i := range stats {
		l := q.lane(stats[i].Lane)
		seen[l] = true
		q.look(l, stats[i])
	}
	for name, l := range q.lanes {
		if !seen[l] {
			l.stat = spool.LaneStat{Lane: name}
			if l.name.Held() {
				l.due = time.Time{}
			}
			if l.empty() {
				q.rearm(l)
				delete(q.lanes, name)
			}
		}
	}
	q.judge(stats)
}

// look takes notice of what a lane holds in the spool. It finds what was accepted without word, by this process or by
// another; one claim that may find nothing is its price.
func (q *Queue) look(l *lane, stat spool.LaneStat) {
	first := l.stat.Lane == ""
	l.stat = stat
	if first && l.runs() && stat.Oldest.Sub(q.clock.Now()) > q.cfg.Retry.Ahead() {
		// No schedule reaches so far: the clock was set back while no process ran. The lane goes on where it was (S31).
		l.skew = stat.Oldest.Sub(q.clock.Now())
	}
	if l.name == laneUnrouted && q.cfg.HeldOctets > 0 {
		l.excess = stat.Octets - q.cfg.HeldOctets
	}
	if !l.claiming {
		l.note(stat.Oldest)
	}
	q.refill(l)
}

// judge finds out whether processing is too far behind for new mail. Source: docs/promises.md, Accept.
func (q *Queue) judge(stats []spool.LaneStat) {
	var why *string
	for i := range stats {
		stat := &stats[i]
		if stat.Lane != spool.LaneProcess {
			continue
		}
		age := q.clock.Age(stat.Oldest)
		switch {
		case stat.Octets > maxProcessOctets:
			text := fmt.Sprintf("%d octets wait to be processed, more than %d", stat.Octets, maxProcessOctets)
			why = &text
		case age > maxProcessAge:
			text := fmt.Sprintf("the oldest message waits to be processed for %v, more than %v", age.Round(time.Second), maxProcessAge)
			why = &text
		}
	}
	if was := q.behind.Swap(why); (was == nil) != (why == nil) {
		if why != nil {
			q.cfg.Logger.Warn("processing is behind, new mail is refused", "reason", *why)
		} else {
			q.cfg.Logger.Info("processing has caught up, new mail is taken")
		}
	}
}

// watch wakes lanes when their alarms go off.
func (q *Queue) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-q.alarm:
		case <-ctx.Done():
			return
		}
		if wait, armed := q.wakeDue(); armed {
			timer.Reset(wait)
		}
	}
}

// wakeDue wakes the lanes whose alarms are over and returns the time until the next.
func (q *Queue) wakeDue() (wait time.Duration, armed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	for len(q.alarms) > 0 && !q.alarms[0].alarm.After(now) {
		l := heap.Pop(&q.alarms).(*lane)
		l.alarm = time.Time{}
		q.wake(l, now)
	}
	if len(q.alarms) == 0 {
		return 0, false
	}
	return q.alarms[0].alarm.Sub(now), true
}
