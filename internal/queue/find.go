package queue

import (
	"context"
	"fmt"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// Limits of looking for items, ours: a page takes under half a second, however many items there are.
const (
	// scanBatch is how many items are read from the spool at once.
	scanBatch int = 256
	// maxLooked is how many items a page looks at, wanted or not.
	maxLooked int = 10_000
)

// The states of an item, as people see it.
const (
	ItemHeld     string = "HELD"     // it rests in a held lane
	ItemActive   string = "ACTIVE"   // its step runs, or is the next to
	ItemDeferred string = "DEFERRED" // it is due later
	ItemWaiting  string = "WAITING"  // its lane waits for its target
	ItemDue      string = "DUE"      // it waits for its turn
)

// Position is an item's place in the queue, by which a page goes on behind it. The zero Position is before all.
type Position struct {
	Lane  spool.Lane
	Due   time.Time
	Item  spool.ItemKey
	Began time.Time // Steer: when the first page was begun
}

// IsZero reports whether nothing is before the position.
func (p Position) IsZero() bool { return p == Position{} }

// Found is one item that waits, and its message. When its message cannot be read that has an id and nothing else.
type Found struct {
	Item    spool.Item
	Message *spool.Message
	State   string
}

// Find returns up to n selected items in the order of lanes and, within a lane, of due times, behind a position. next is
// where to go on; zero means that there are no more. A page may have few items or none and still go on: how many are looked
// at for it is bounded.
func (q *Queue) Find(ctx context.Context, s *Selection, from Position, n int) (found []Found, next Position, err error) {
	next, err = q.walk(ctx, s, from, func(c spool.Claimed) (more bool, err error) {
		found = append(found, Found{Item: c.Item, Message: c.Message})
		return len(found) < n, nil
	})
	if err != nil {
		return nil, Position{}, err
	}
	q.describe(found)
	return found, next, nil
}

// Show returns a message and all its items. The error of one that is not there, or of another account or region, is
// spool.ErrNotFound.
func (q *Queue) Show(ctx context.Context, s *Selection, id message.ID) (*spool.Message, []Found, error) {
	m, items, err := q.cfg.Spool.Message(ctx, id)
	if err == nil && !s.owns(m) {
		err = spool.ErrNotFound
	}
	if err != nil {
		return nil, nil, fmt.Errorf("message %s: %w", id, err)
	}
	found := make([]Found, len(items))
	for i := range items {
		found[i] = Found{Item: items[i], Message: m}
	}
	q.describe(found)
	return m, found, nil
}

// describe fills in the states of items, as they are now.
func (q *Queue) describe(found []Found) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range found {
		found[i].State = q.itemState(&found[i].Item)
	}
}

func (q *Queue) itemState(item *spool.Item) string {
	l := q.lanes[item.Lane]
	_, active := q.owned[item.ItemKey]
	switch {
	case item.Lane.Held():
		return ItemHeld
	case active:
		return ItemActive
	case l != nil && l.state == stateWaiting:
		return ItemWaiting
	case l != nil && item.Due.After(q.now(l)), l == nil && item.Due.After(q.clock.Now()):
		return ItemDeferred
	}
	return ItemDue
}

// walk goes over the selected items behind a position.
type walk struct {
	q     *Queue
	s     *Selection
	visit func(spool.Claimed) (more bool, err error)
	left  int // how many more may be looked at
}

// walk visits the selected items behind a position, until visit wants no more, or enough were looked at, or there are no
// more. It returns the position of the last that was looked at, or the zero one at the end.
func (q *Queue) walk(ctx context.Context, s *Selection, from Position, visit func(spool.Claimed) (more bool, err error)) (Position, error) {
	stats, err := q.cfg.Spool.Lanes(ctx)
	if err != nil {
		return Position{}, fmt.Errorf("read the lanes: %w", err)
	}
	w := walk{q, s, visit, maxLooked}
	for i := range stats {
		name := stats[i].Lane
		if name < from.Lane || !s.hasLane(name) {
			continue
		}
		var after *spool.Item
		if name == from.Lane {
			after = &spool.Item{ItemKey: from.Item, Due: from.Due}
		}
		if at, err := w.lane(ctx, name, after); err != nil || !at.IsZero() {
			return at, err
		}
	}
	return Position{}, nil
}

// lane visits the selected items of one lane.
func (w *walk) lane(ctx context.Context, name spool.Lane, after *spool.Item) (Position, error) {
	for {
		claimed, err := w.q.cfg.Spool.Scan(ctx, name, after, scanBatch)
		if err != nil {
			return Position{}, fmt.Errorf("scan lane %s: %w", name, err)
		}
		if len(claimed) == 0 {
			return Position{}, nil
		}
		for i := range claimed {
			if more, err := w.look(claimed[i]); err != nil {
				return Position{}, err
			} else if !more {
				return Position{Lane: name, Due: claimed[i].Item.Due, Item: claimed[i].Item.ItemKey}, nil
			}
		}
		after = &claimed[len(claimed)-1].Item
	}
}

// look visits an item if it is selected.
func (w *walk) look(c spool.Claimed) (more bool, err error) {
	w.left--
	more = true
	if w.s.matches(c.Message, &c.Item) {
		more, err = w.visit(c)
	}
	return more && w.left > 0, err
}
