package pebble

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/spool"
)

// Claim implements spool.Spool.
func (s *Spool) Claim(ctx context.Context, lane spool.Lane, n int, owner string, now, until time.Time) ([]spool.Claimed, time.Time, error) {
	if err := s.enter(ctx); err != nil {
		return nil, time.Time{}, err
	}
	defer s.leave()
	w := want{lane: lane, n: n, owner: owner, now: nanos(now), until: nanos(until)}
	s.state.mu.Lock()
	s.state.expire(owner, w.now)
	s.state.mu.Unlock()
	next, err := s.takeDue(&w)
	if err != nil {
		s.state.releaseAll(w.taken)
		return nil, time.Time{}, fmt.Errorf("claim of lane %s: %w", lane, err)
	}
	claimed, err := s.readTaken(&w, now)
	return claimed, next, err
}

// want is what a Claim asks for and what it has taken.
type want struct {
	lane       spool.Lane
	n          int
	owner      string
	now, until int64
	taken      []*lease
}

// takeDue takes items from the lane's front, reading the index on where that ends, until there are enough, or the next
// is not due, and the next is known.
func (s *Spool) takeDue(w *want) (next time.Time, err error) {
	for {
		l, next := s.state.takeFront(w)
		if l == nil {
			return next, nil
		}
		if err := s.refill(l); err != nil {
			return time.Time{}, err
		}
	}
}

// takeFront claims what the lane's front has of what is wanted. It returns the lane when its index must be read on, else
// when its next item is due.
func (st *state) takeFront(w *want) (unread *lane, next time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	l := st.lanes[w.lane]
	if l == nil {
		return nil, time.Time{}
	}
	for len(w.taken) < w.n {
		st.awaitFirst(l, w.now)
		at, ok := l.pop(w.now)
		if !ok {
			break
		}
		held := st.hold(l, at, st.flightOf(at.message))
		st.claim(held, w.owner, w.until)
		w.taken = append(w.taken, held)
	}
	if !l.known() {
		return l, time.Time{}
	}
	if len(l.front) == 0 {
		return nil, time.Time{}
	}
	return nil, timeOf(l.front[0].due)
}

// refill reads a lane's index on from its bound, unless somebody else just did.
func (s *Spool) refill(l *lane) error {
	l.refilling.Lock()
	defer l.refilling.Unlock()
	from, ok := s.state.beginRefill(l)
	if !ok {
		return nil
	}
	read, more, err := s.readIndex(l.name, from, l.window.refill)
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if err != nil {
		l.touched = nil // the bound stays, and all of it is behind the bound
		return err
	}
	l.merge(read, more, s.state.isLeased)
	s.state.drop(l)
	return nil
}

// isLeased reports whether the item at o is claimed or being written. One that is only looked up stays in the front.
func (st *state) isLeased(o order) bool {
	l := st.leases[o.key()]
	return l != nil && !l.reserved
}

func (st *state) beginRefill(l *lane) (from order, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if l.known() || st.lanes[l.name] != l {
		return from, false
	}
	l.touched = map[order]bool{}
	return l.bound, true
}

// readIndex returns up to n orders of a lane at or behind from, and whether there may be more.
func (s *Spool) readIndex(lane spool.Lane, from order, n int) (read []order, more bool, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: appendLaneKey(nil, lane, from), UpperBound: laneUpper(lane)})
	if err != nil {
		return nil, false, readError(err)
	}
	defer closeQuietly(it)
	for valid := it.First(); valid; valid = it.Next() {
		if len(read) == n {
			return read, true, nil
		}
		_, o, err := parseLaneKey(it.Key())
		if err != nil {
			return nil, false, fmt.Errorf("index of lane %s: %w: %w", lane, spool.ErrCorrupt, err)
		}
		read = append(read, o)
	}
	if err := it.Error(); err != nil {
		return nil, false, readError(err)
	}
	return read, false, nil
}

// readTaken reads what was claimed. Items that cannot be read are put aside.
func (s *Spool) readTaken(w *want, now time.Time) ([]spool.Claimed, error) {
	if len(w.taken) == 0 {
		return nil, nil
	}
	r, err := s.newReader()
	if err != nil {
		s.state.releaseAll(w.taken)
		return nil, err
	}
	defer closeQuietly(r)
	claimed := make([]spool.Claimed, 0, len(w.taken))
	for _, l := range w.taken {
		e, err := r.read(l.at.key(), s.state.knownOf(l.flight))
		if err != nil && l.lane.name != spool.LaneCorrupt {
			s.putAside(l, e, now, err)
			continue
		}
		s.state.learn(l.flight, &e)
		claimed = append(claimed, e.claimed(l.lane.name))
	}
	return claimed, nil
}

func (st *state) knownOf(f *flight) known {
	st.mu.Lock()
	defer st.mu.Unlock()
	return known{f.message, f.counted}
}

// learn keeps what was read of a message with the flight, unless that is known already: since it was read items may
// have gone.
func (st *state) learn(f *flight, e *entry) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if f.message == nil {
		f.message, f.streamed = e.message, e.streamed
	} else {
		e.message = f.message
	}
	if !f.counted && e.items > 0 {
		f.items, f.counted = e.items, true
	}
}

func (st *state) releaseAll(leases []*lease) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, l := range leases {
		st.release(l)
	}
}
