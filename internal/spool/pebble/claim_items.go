package pebble

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/spool"
)

// ClaimItems implements spool.Spool. An item that nobody has claimed is reserved before it is read: from then on nobody else
// can take it or move it, so that what was read of it stays true until it is claimed.
func (s *Spool) ClaimItems(ctx context.Context, owner string, now, until time.Time, keys []spool.ItemKey) ([]spool.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	w := want{owner: owner, now: nanos(now), until: nanos(until)}
	var failed error
	for _, l := range s.state.reserveItems(keys, &w) {
		item, err := s.readItem(l.at.key())
		if err == nil && s.state.take(l, &item, &w) {
			w.taken = append(w.taken, l)
			continue
		}
		s.state.cancel(l)
		if err != nil && !errors.Is(err, spool.ErrNotFound) && !errors.Is(err, spool.ErrCorrupt) {
			failed = err
		}
	}
	if failed != nil {
		s.state.releaseAll(w.taken)
		return nil, fmt.Errorf("claim items: %w", failed)
	}
	return s.readTaken(&w, now)
}

// reserveItems reserves those of the items that nobody has claimed, whether they are there or not.
func (st *state) reserveItems(keys []spool.ItemKey, w *want) (reserved []*lease) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.expire(w.owner, w.now)
	for _, key := range keys {
		if st.leases[key] != nil {
			continue
		}
		l := &lease{at: order{message: key.Message, seq: key.Seq}, reserved: true}
		st.leases[key] = l
		reserved = append(reserved, l)
	}
	return reserved
}

// take claims a reserved item that was read. It reports false when a message with that item came in meanwhile.
func (st *state) take(l *lease, item *spool.Item, w *want) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.leases[item.ItemKey] != l {
		return false
	}
	l.reserved = false
	l.at, l.lane, l.flight = orderOf(item), st.laneOf(item.Lane), st.flightOf(item.Message)
	l.flight.leases++
	l.lane.takeOut(l.at)
	st.claim(l, w.owner, w.until)
	st.settled.Broadcast()
	return true
}

// cancel ends a reservation.
func (st *state) cancel(l *lease) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if key := l.at.key(); st.leases[key] == l {
		delete(st.leases, key)
	}
	st.settled.Broadcast()
}

// awaitFirst waits while the lane's first item is due and looked up by ClaimItems, which may leave it.
func (st *state) awaitFirst(l *lane, now int64) {
	for len(l.front) > 0 && l.front[0].due <= now {
		if held := st.leases[l.front[0].key()]; held == nil || !held.reserved {
			return
		}
		st.settled.Wait()
	}
}

// takeOut takes an order out of the front, if it stands there.
func (l *lane) takeOut(o order) {
	if at, found := slices.BinarySearchFunc(l.front, o, order.compare); found {
		l.front = slices.Delete(l.front, at, at+1)
	}
}

// AddRuleSet implements spool.Spool.
func (s *Spool) AddRuleSet(ctx context.Context, hash spool.Hash, source []byte) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if s.rules.has(hash) {
		return nil
	}
	if err := s.db.Set(appendRulesKey(nil, hash), source, s.sync); err != nil {
		return fmt.Errorf("store rule set %x: %w", hash, err)
	}
	s.rules.add(hash)
	return nil
}
