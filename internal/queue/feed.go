package queue

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"sluice/internal/spool"
)

// feed implements Feed for one worker. Queue.mu guards it.
type feed struct {
	q     *Queue
	lane  *lane
	asked bool    // Next was called
	hands []*Work // taken, and not reported with Done
}

// waiter is a call of Next that waits. It is given an item, or nil when the worker is not wanted any more.
type waiter struct {
	feed *feed
	c    chan *Work // has room for what it is given
}

// serve gives ready items to the workers that wait for them and starts workers for the rest, as far as the lane may run.
func (q *Queue) serve(l *lane) {
	for len(l.idle) > 0 && l.ready.first != nil && q.mayBegin(l) {
		last := len(l.idle) - 1 // who waited longest goes home first when there is less to do
		w := l.idle[last]
		l.idle = l.idle[:last]
		w.c <- q.begin(w.feed)
	}
	for q.wantsWorker(l) && q.mayEmploy(l) {
		q.employ(l)
	}
	q.refill(l)
}

// serveAll serves every lane: what held all of them up is over.
func (q *Queue) serveAll() {
	for _, l := range q.lanes {
		q.serve(l)
	}
}

// mayBegin reports whether another step of the lane may begin now.
func (q *Queue) mayBegin(l *lane) bool {
	switch {
	case q.stopping || q.unsettled >= maxUnsettled:
		return false
	case q.alone != nil:
		return q.running == 0 && l.ready.first == q.alone
	case l.state == stateProbing:
		return l.running == 0
	default:
		return l.state == stateOpen
	}
}

// begin takes the lane's first ready item out and puts it into a worker's hands.
func (q *Queue) begin(f *feed) *Work {
	l := f.lane
	w := l.ready.pop()
	q.ready--
	q.running++
	l.running++
	l.begun++
	f.hands = append(f.hands, w)
	return w
}

func (q *Queue) wantsWorker(l *lane) bool {
	concurrency := l.Concurrency
	if l.state == stateProbing {
		concurrency = 1
	}
	return q.started && l.workers < concurrency && l.ready.n > len(l.idle)+l.starting && q.mayBegin(l)
}

// mayEmploy reports whether the lane may have one more worker. Lanes with targets outside share cfg.Workers: when all are
// taken a lane that has less than its fair share gets in line, and whoever has more, or an idle worker, gives one up.
func (q *Queue) mayEmploy(l *lane) bool {
	if !l.Probe || q.busy < q.cfg.Workers {
		return true
	}
	if !l.hungry && l.workers < q.fairShare(l) {
		l.hungry = true
		q.hungry = append(q.hungry, l)
		q.dismissOne()
	}
	return false
}

// fairShare is how many workers each lane has when all that want some have as many. l is counted as one of them.
func (q *Queue) fairShare(l *lane) int {
	lanes := q.busyLanes
	if l.workers == 0 && !l.hungry {
		lanes++
	}
	for _, h := range q.hungry {
		if h.workers == 0 {
			lanes++
		}
	}
	return max(1, q.cfg.Workers/lanes)
}

// employ starts a worker.
func (q *Queue) employ(l *lane) {
	if l.Probe {
		q.busy++
		if l.workers == 0 {
			q.busyLanes++
		}
	}
	l.workers++
	l.starting++
	f := &feed{q: q, lane: l}
	q.feeds[f] = struct{}{}
	go q.work(f)
}

// work is the life of a worker.
func (q *Queue) work(f *feed) {
	panicked := true
	defer func() {
		var cause any
		if panicked {
			cause = recover() // nil when the executor ended its goroutine
			q.cfg.Logger.Error("executor panicked", "lane", string(f.lane.name), "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		}
		q.leaveWork(f, panicked, cause)
	}()
	f.lane.kind.executor.Work(q.workCtx, f)
	panicked = false
}

// leaveWork ends a worker. What it leaves in its hands goes back, or counts as crashed when it panicked.
func (q *Queue) leaveWork(f *feed, panicked bool, cause any) {
	q.mu.Lock()
	left := slices.Clone(f.hands)
	q.mu.Unlock()
	for _, w := range left {
		if panicked {
			q.end(f, w, q.crashed(w, fmt.Sprintf("panic: %v", cause)))
			continue
		}
		q.cfg.Logger.Error("executor left an item behind", "lane", string(f.lane.name), "message_id", w.Item.Message.String())
		q.end(f, w, &conclusion{outcome: outcomeReturned, release: true})
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	l := f.lane
	delete(q.feeds, f)
	l.workers--
	f.arrived()
	if l.Probe {
		q.busy--
		if l.workers == 0 {
			q.busyLanes--
		}
	}
	if q.stopping && len(q.feeds) == 0 {
		close(q.idle)
		return
	}
	if panicked && len(left) == 0 {
		q.unreachable(l, fmt.Sprintf("panic: %v", cause)) // else it would panic again at once, for ever
	}
	q.feedHungry()
	q.serve(l)
}

// arrived notes that a worker has asked for an item, or will not.
func (f *feed) arrived() {
	if !f.asked {
		f.asked = true
		f.lane.starting--
	}
}

// feedHungry lets the lanes that are in line have the workers that are free.
func (q *Queue) feedHungry() {
	for len(q.hungry) > 0 && q.busy < q.cfg.Workers {
		l := q.hungry[0]
		q.hungry = q.hungry[1:]
		l.hungry = false
		q.serve(l) // gets in line again when it wants more
	}
}

// dismissOne sends one idle worker home, of any lane whose workers count.
func (q *Queue) dismissOne() {
	for _, l := range q.lanes {
		if l.Probe && len(l.idle) > 0 {
			l.idle[0].c <- nil
			l.idle = l.idle[1:]
			return
		}
	}
}

// dismiss sends all idle workers of a lane home.
func (q *Queue) dismiss(l *lane) {
	for _, w := range l.idle {
		w.c <- nil
	}
	l.idle = nil
}

// unwanted reports whether a worker of the lane that asks for an item should go home instead.
func (q *Queue) unwanted(l *lane) bool {
	if q.stopping || l.state == stateWaiting {
		return true
	}
	return l.Probe && len(q.hungry) > 0 && l.workers > q.fairShare(l)
}

// Lane implements Feed.
func (f *feed) Lane() spool.Lane { return f.lane.name }

// Next implements Feed.
func (f *feed) Next(ctx context.Context, wait time.Duration) *Work {
	w, waiting := f.take(ctx, wait)
	if waiting != nil {
		w = f.await(ctx, waiting, wait)
	}
	if w == nil {
		return nil
	}
	w.began = f.q.clock.Now()
	if f.q.cfg.Journal != nil {
		w.slot = f.q.cfg.Journal.Begin(w.Item.ItemKey)
	}
	return w
}

// take returns an item, or else what to wait with.
func (f *feed) take(ctx context.Context, wait time.Duration) (*Work, *waiter) {
	q, l := f.q, f.lane
	q.mu.Lock()
	defer q.mu.Unlock()
	f.arrived()
	if ctx.Err() != nil || q.unwanted(l) {
		return nil, nil
	}
	if l.ready.first != nil && q.mayBegin(l) {
		w := q.begin(f)
		q.refill(l)
		return w, nil
	}
	if wait <= 0 {
		return nil, nil
	}
	waiting := &waiter{feed: f, c: make(chan *Work, 1)}
	l.idle = append(l.idle, waiting)
	return nil, waiting
}

func (f *feed) await(ctx context.Context, waiting *waiter, wait time.Duration) *Work {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case w := <-waiting.c:
		return w
	case <-timer.C:
	case <-ctx.Done():
	}
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	if at := slices.Index(f.lane.idle, waiting); at >= 0 {
		f.lane.idle = slices.Delete(f.lane.idle, at, at+1)
		return nil
	}
	return <-waiting.c // given in the meantime
}

// Done implements Feed.
func (f *feed) Done(w *Work, r Result) { f.q.end(f, w, f.q.conclude(w, r)) }
