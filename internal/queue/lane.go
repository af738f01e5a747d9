package queue

import (
	"container/heap"
	"time"

	"sluice/internal/spool"
)

// laneState says how many items of a lane may run.
type laneState uint8

// The states of a lane. A lane with a target outside begins as PROBING: it is not known yet whether the target answers.
// From PROBING an item that reaches the target leads to OPEN and one that does not to WAITING; from OPEN the latter
// leads to WAITING; from WAITING time leads to PROBING, and a late success of an earlier attempt to OPEN.
const (
	stateOpen laneState = iota
	stateProbing
	stateWaiting
)

// kind is what lanes of one kind have in common.
type kind struct {
	executor Executor
	metrics  kindMetrics
}

// lane is the scheduler's view of a lane. Queue.mu guards it.
type lane struct {
	Settings
	name spool.Lane
	kind *kind         // nil: its items rest
	skew time.Duration // how far the clock that scheduled its items was ahead of ours

	ready    fifo
	coming   int   // places kept for successors whose settlement is on its way
	octets   int64 // content in memory
	running  int   // items in workers' hands
	workers  int
	starting int       // workers that did not ask for an item yet
	idle     []*waiter // workers that wait for an item, the longest first
	hungry   bool      // in Queue.hungry

	due      time.Time // when the first item that is known to wait in the spool is due; zero: none is known
	claiming bool      // in Queue.claims, or with a claimer
	rest     time.Time // no claim before
	begun    int       // steps since the last claim
	sweep    bool      // WAITING: look for items that are too old
	excess   int64     // held lanes: octets beyond the bound

	state    laneState
	failures int
	until    time.Time // WAITING
	reason   string    // WAITING

	alarm time.Time // zero: none
	index int       // in Queue.alarms

	stat  spool.LaneStat // at the last poll
	done  meter          // items that it is done with
	wrong string         // what went wrong last
	since time.Time      // when that was
}

// lane returns the lane of that name and makes it when there is none.
func (q *Queue) lane(name spool.Lane) *lane {
	if l := q.lanes[name]; l != nil {
		return l
	}
	l := &lane{name: name, kind: q.kinds[name.Kind()], index: -1}
	if l.kind != nil {
		l.Settings = l.kind.executor.Lane(name)
		l.Concurrency = max(1, l.Concurrency)
	}
	if l.Probe {
		l.state = stateProbing
	}
	q.lanes[name] = l
	return l
}

func (l *lane) runs() bool { return l.kind != nil }

// note remembers that an item waits in the spool.
func (l *lane) note(due time.Time) {
	if l.due.IsZero() || due.Before(l.due) {
		l.due = due
	}
}

// empty reports whether nothing would be forgotten with the lane.
func (l *lane) empty() bool {
	return l.ready.n+l.coming+l.running+l.workers == 0 && l.due.IsZero() && !l.claiming && l.state != stateWaiting && !l.hungry
}

// now is the time by which the lane's items are due.
func (q *Queue) now(l *lane) time.Time {
	if l.name == spool.LaneProcess {
		// Sessions date the items that they accept by the wall clock. Nothing in this lane waits for a retry that could
		// come too early.
		return q.clock.Latest()
	}
	return q.clock.Now().Add(l.skew)
}

// admits reports whether the lane takes one more item in memory.
func (q *Queue) admits(l *lane) bool {
	if !l.runs() || l.state == stateWaiting || (l.state == stateProbing && l.failures > 0) {
		return false
	}
	n := l.ready.n + l.coming
	return n < fewReady || (n < maxLaneReady && q.ready < maxReady)
}

// fits reports whether the lane takes so much more content in memory. No lane takes more than half of what there is.
func (q *Queue) fits(l *lane, octets int64) bool {
	return q.octets+octets <= q.cfg.Memory && l.octets+octets <= q.cfg.Memory/2
}

// enter makes a claimed item ready.
func (q *Queue) enter(l *lane, w *Work) {
	w.lane = l
	q.owned[w.Item.ItemKey] = nil
	if w.content != nil {
		size := w.content.Size()
		l.octets += size
		q.octets += size
	}
	if w.Item.Crashes >= aloneCrashes {
		q.suspects = append(q.suspects, w)
		q.pickSuspect()
		return
	}
	l.ready.push(w)
	q.ready++
}

// leave drops the content of an item that is not in memory any more.
func (q *Queue) leave(w *Work) {
	if w.content == nil {
		return
	}
	size := w.content.Size()
	w.lane.octets -= size
	q.octets -= size
	w.content.Release()
	w.content = nil
}

// unreachable makes a lane wait because its target cannot be reached (Mail Manager, E5). What is said by attempts that
// began before the lane waited changes nothing.
func (q *Queue) unreachable(l *lane, reason string) {
	if l.state == stateWaiting {
		return
	}
	l.failures++
	wait := q.cfg.Probe.Wait(l.failures, q.cfg.Random())
	l.state, l.reason, l.until = stateWaiting, reason, q.clock.Now().Add(wait)
	q.dismiss(l)
	alone := q.alone
	q.releaseReady(l)
	if alone != nil && q.alone == nil {
		q.goOn()
	}
	q.rearm(l)
	q.cfg.Logger.Warn("lane waits", "lane", string(l.name), "reason", reason, "failures", l.failures, "until", l.until)
}

// reached opens a lane whose target answered.
func (q *Queue) reached(l *lane) {
	if l.state == stateOpen {
		return
	}
	if l.failures > 0 {
		q.cfg.Logger.Info("lane opens", "lane", string(l.name), "failures", l.failures)
	}
	l.state, l.failures, l.reason, l.sweep = stateOpen, 0, "", false
}

// wake does what a lane's alarm was set for.
func (q *Queue) wake(l *lane, now time.Time) {
	if l.state == stateWaiting && !l.until.After(now) {
		l.state, l.sweep = stateProbing, false
		q.cfg.Logger.Info("lane is probed", "lane", string(l.name), "failures", l.failures)
	}
	q.serve(l)
}

// releaseReady gives the ready items of a lane back to the spool, as they are, so that their memory is free.
// A suspect may be one of them: see goOn.
func (q *Queue) releaseReady(l *lane) {
	for w := l.ready.pop(); w != nil; w = l.ready.pop() {
		q.ready--
		if w == q.alone {
			q.alone = nil
		}
		q.giveBack(w)
	}
}

func (l *lane) describe(now time.Time) LaneState {
	s := LaneState{
		Lane: l.name, State: "OPEN", Items: l.stat.Items, Octets: l.stat.Octets, Oldest: l.stat.Oldest,
		Ready: l.ready.n, Running: l.running, Workers: l.workers, Failures: l.failures,
		Rate: l.done.rate(now), Error: l.wrong, ErrorAt: l.since,
	}
	switch {
	case !l.runs():
		s.State = "RESTING"
	case l.state == stateProbing:
		s.State = "PROBING"
	case l.state == stateWaiting:
		s.State, s.Until, s.Reason = "WAITING", l.until, l.reason
	}
	return s
}

// rearm sets the lane's alarm to when something is to be done for it next.
func (q *Queue) rearm(l *lane) {
	alarm := q.alarmOf(l)
	if alarm.Equal(l.alarm) && alarm.IsZero() == (l.index < 0) {
		return
	}
	l.alarm = alarm
	switch {
	case l.alarm.IsZero():
		heap.Remove(&q.alarms, l.index)
		return
	case l.index < 0:
		heap.Push(&q.alarms, l)
	default:
		heap.Fix(&q.alarms, l.index)
	}
	if l.index == 0 {
		signal(q.alarm)
	}
}

// alarmOf is when time alone lets something be done for the lane; the zero time when it waits for something else.
func (q *Queue) alarmOf(l *lane) time.Time {
	var due time.Time
	switch {
	case l.state == stateWaiting:
		return l.until
	case l.claiming || l.due.IsZero():
		return time.Time{}
	case l.name.Held():
		due = q.heldAlarm(l)
	case l.runs() && l.due.After(q.now(l)):
		due = l.due.Add(-l.skew)
	case l.runs():
		due = l.rest
	}
	due = latest(due, l.rest)
	if !due.After(q.clock.Now()) {
		return time.Time{}
	}
	return due
}

// latest returns the later of a time and another, or no time when the first is none.
func latest(t, other time.Time) time.Time {
	if t.IsZero() || t.After(other) {
		return t
	}
	return other
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// alarms is a heap of lanes, the earliest alarm first. It implements heap.Interface.
type alarms []*lane

func (a alarms) Len() int           { return len(a) }
func (a alarms) Less(i, j int) bool { return a[i].alarm.Before(a[j].alarm) }
func (a alarms) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push implements heap.Interface.
func (a *alarms) Push(x any) {
	l := x.(*lane)
	l.index = len(*a)
	*a = append(*a, l)
}

// Pop implements heap.Interface.
func (a *alarms) Pop() any {
	last := len(*a) - 1
	l := (*a)[last]
	l.index = -1
	*a = (*a)[:last]
	return l
}
