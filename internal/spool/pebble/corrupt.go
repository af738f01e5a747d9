package pebble

import (
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/spool"
)

// putAside moves a claimed item that cannot be read to the lane held/corrupt, with what is known of it, so that its lane
// goes on and people see it. Source: S30; docs/promises.md, Disks.
func (s *Spool) putAside(l *lease, e entry, now time.Time, why error) {
	s.metrics.corrupt.Inc()
	s.log.Error("spool: item cannot be read and is held", "message_id", l.at.message.String(), "seq", l.at.seq,
		"lane", string(l.lane.name), "error", why)
	item := e.item
	item.ItemKey = l.at.key()
	item.Lane, item.Due, item.LastReply = spool.LaneCorrupt, now, why.Error()
	if item.Recipients == nil && e.message != nil {
		item.Recipients = e.message.Envelope.Recipients
	}
	s.state.learn(l.flight, &e)
	batch := s.db.NewBatch()
	defer closeQuietly(batch)
	removeItem(batch, l.lane.name, l.at)
	setItem(batch, &item, l.flight.record())
	if err := s.db.Apply(batch, pebble.NoSync); err != nil {
		s.log.Error("spool: cannot hold item", "message_id", l.at.message.String(), "error", err)
		return // it stays claimed until the next start
	}
	s.unsynced.Add(1)
	s.state.move(l, orderOf(&item))
}

// move brings a claimed item to the lane held/corrupt.
func (st *state) move(l *lease, to order) {
	st.mu.Lock()
	defer st.mu.Unlock()
	held := st.laneOf(spool.LaneCorrupt)
	st.enter(held, l.flight)
	st.leave(l.lane, l.at, l.flight)
	l.lane, l.at = held, to
	st.release(l)
}
