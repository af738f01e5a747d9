package queue

import (
	"fmt"
	"time"

	"sluice/internal/message"
	"sluice/internal/schedule"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

const (
	// farAhead is later than anything is due.
	farAhead time.Duration = 100 * 365 * 24 * time.Hour
	// heldRest is the time from one look at a held lane to the next, each of which ends up to claimBatch items.
	heldRest time.Duration = time.Second
)

// The due time of a held item is when it came to rest: its lane's order is that of age, and a new holding time goes for
// what is held already.

// heldAlarm is when the first item of a held lane may have rested for its time; the zero time when there is none.
func (q *Queue) heldAlarm(l *lane) time.Time {
	switch {
	case l.excess > 0:
		return q.clock.Now()
	case q.cfg.HeldFor < 0 || l.due.IsZero():
		return time.Time{}
	}
	return q.clock.At(schedule.RestedAt(q.cfg.HeldFor, q.clock.At(0).Sub(l.due)))
}

// heldUntil is the due time up to which held items are looked at.
func (q *Queue) heldUntil(l *lane) time.Time {
	if l.excess > 0 {
		return q.clock.Now().Add(farAhead)
	}
	return q.clock.Earliest().Add(-q.cfg.HeldFor)
}

// laneUnrouted is where mail rests that no rule routes.
const laneUnrouted = spool.Lane("held/unrouted")

// bounceOldest makes room where too much is held that no rule routes: the oldest goes back to its sender, and is never silently
// removed (Mail Manager, D7).
func (q *Queue) bounceOldest(l *lane, w *Work) {
	why := fmt.Sprintf("no rule routed it, and more than %d octets are held", q.cfg.HeldOctets)
	l.excess -= w.Message.Size
	q.cfg.Logger.Warn("held mail is bounced as the oldest", "message_id", w.Item.Message.String(), "lane", string(l.name), "recipients", message.Addresses(w.Item.Recipients))
	q.settleUnrun(w, &conclusion{outcome: outcomeExpired, in: []spool.Item{q.due(q.cfg.Reports.Expired(w.Item, w.Message, why), w)}})
}

// discard ends a held item whose holding time is over, or that is the oldest where too much is held (Mail Manager, D7 and
// E18). It is never silent: the log and the trace say so.
func (q *Queue) discard(l *lane, w *Work) {
	q.own(w)
	why := ""
	switch {
	case schedule.Rested(max(0, q.cfg.HeldFor), q.clock.Age(w.Item.Due), q.clock.Up()):
		why = fmt.Sprintf("discarded after the holding time of %v: %s", q.cfg.HeldFor, w.Item.LastReply)
	case l.excess > 0 && l.name == laneUnrouted && q.cfg.Reports != nil:
		q.bounceOldest(l, w)
		return
	case l.excess > 0:
		why = fmt.Sprintf("discarded as the oldest, more than %d octets are held: %s", q.cfg.HeldOctets, w.Item.LastReply)
	default:
		q.giveBack(w)
		return
	}
	l.excess -= w.Message.Size
	q.metrics.discarded.Inc()
	q.cfg.Logger.Warn("held mail is discarded", "message_id", w.Item.Message.String(), "lane", string(l.name), "reason", why,
		"recipients", message.Addresses(w.Item.Recipients))
	q.settleUnrun(w, &conclusion{held: []trace.Held{{Lane: string(l.name), Recipients: message.Addresses(w.Item.Recipients), Reason: why}}})
}
