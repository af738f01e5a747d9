package queue

// aloneCrashes is how many crashes make an item run with no other step beside it; one more and it is held.
// Source: docs/promises.md, Settle.
const aloneCrashes int = 2

// endedWithProcess is the last reply of an item whose step was running when a process died.
const endedWithProcess string = "the process ended while the step ran"

// raise counts that the last process died while a step of the item was running, before it runs again.
func (q *Queue) raise(l *lane, w *Work) {
	delete(q.interrupted, w.Item.ItemKey)
	q.own(w)
	l.kind.metrics.count(outcomeCrashed)
	c := q.crashed(w, endedWithProcess)
	q.cfg.Logger.Warn("step was interrupted by the end of a process", "lane", string(l.name),
		"message_id", w.Item.Message.String(), "seq", w.Item.Seq, "crashes", w.Item.Crashes+1)
	q.settleUnrun(w, c)
}

// goOn lets the next suspect run when none does, or else all that waited for one.
func (q *Queue) goOn() {
	q.pickSuspect()
	if q.alone == nil {
		q.serveAll()
	}
}

// pickSuspect chooses the next item that runs alone: no other step begins until it has ended, and it begins when all
// others have ended. One whose lane waits must not hold up the rest.
func (q *Queue) pickSuspect() {
	for q.alone == nil && len(q.suspects) > 0 {
		w := q.suspects[0]
		q.suspects = q.suspects[1:]
		if w.lane.state == stateWaiting {
			q.giveBack(w)
			continue
		}
		q.alone = w
		w.lane.ready.pushFront(w)
		q.ready++
		q.serve(w.lane)
	}
}
