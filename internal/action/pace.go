package action

import (
	"context"
	"sync"
	"time"

	"sluice/internal/queue"
)

// pacePatience is how long a worker waits for the moment at which its relay's rate lets another message leave. A worker that
// waited so long goes home, so that lanes that are in line get its place; the queue sends another.
const pacePatience = DefaultIdle

// pace spreads the messages of one lane evenly over its workers' time. All workers of the lane share it. The zero pace lets them
// leave as fast as they go.
type pace struct {
	mu       sync.Mutex
	interval time.Duration // between two messages; 0: none
	next     time.Time     // no message before
}

// intervalOf is the time between two messages of a relay with so many a minute; 0 stands for no bound.
func intervalOf(rate int) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Minute / time.Duration(rate)
}

// set follows the relay's rate: a higher one counts for the next message.
func (p *pace) set(rate int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	interval := intervalOf(rate)
	if interval == p.interval {
		return
	}
	p.interval = interval
	if soonest := now.Add(p.interval); p.next.After(soonest) {
		p.next = soonest
	}
}

// reserve takes the next moment, and returns how long it is until then.
func (p *pace) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now
	if p.next.After(now) {
		at = p.next
	}
	p.next = at.Add(p.interval)
	return at.Sub(now)
}

// claim takes the present moment if it is free; else it returns how long it is until one is.
func (p *pace) claim(now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if wait = p.next.Sub(now); wait > 0 {
		return wait
	}
	p.next = now.Add(p.interval)
	return 0
}

// giveBack undoes a claim for which there was no message.
func (p *pace) giveBack() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = p.next.Add(-p.interval)
}

// bounded reports whether there is a rate.
func (p *pace) bounded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.interval > 0
}

// nextWork gets an item when one may leave, within the time that its connection may be idle.
func (w *relayWorker) nextWork(idle time.Duration) *queue.Work {
	if !w.pace.bounded() {
		return w.feed.Next(w.ctx, idle)
	}
	for wait := w.pace.claim(w.Now()); wait > 0; wait = w.pace.claim(w.Now()) {
		if wait > idle || !pause(w.ctx, wait) {
			return nil // mayLeave has more time
		}
		idle -= wait
	}
	work := w.feed.Next(w.ctx, 0)
	if work != nil {
		return work
	}
	w.pace.giveBack()
	if work = w.feed.Next(w.ctx, idle); work != nil { // others may have got one at the same moment
		pause(w.ctx, w.pace.reserve(w.Now()))
	}
	return work
}

// mayLeave waits until a message may leave, and reports whether one may. The connection ends when it would be idle for too long.
func (w *relayWorker) mayLeave() bool {
	for since := w.Now(); w.pace.bounded(); {
		wait := w.pace.claim(w.Now())
		if wait == 0 {
			w.pace.giveBack()
			return true
		}
		waited := w.Now().Sub(since)
		if waited+wait > w.Idle {
			w.hangUp()
		}
		if waited >= pacePatience || !pause(w.ctx, min(wait, pacePatience-waited)) {
			return false
		}
	}
	return true
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, wait time.Duration) bool {
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
