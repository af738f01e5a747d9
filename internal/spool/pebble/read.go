package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// entry is an item and its message as they were read. What could not be read is nil, or as little as is known.
type entry struct {
	item     spool.Item
	message  *spool.Message
	streamed bool
	items    int // how many the message has; 0: could not be counted
}

// claimed is the entry as a caller gets it: with a message in any case.
func (e *entry) claimed(lane spool.Lane) spool.Claimed {
	c := spool.Claimed{Item: e.item, Message: e.message}
	if c.Item.Lane == "" {
		c.Item.Lane = lane
	}
	if c.Message == nil {
		c.Message = &spool.Message{ID: e.item.Message}
	}
	return c
}

// reader reads items with their messages. It sees the spool as it was when it was made.
type reader struct {
	spool *Spool
	it    *pebble.Iterator
}

func (s *Spool) newReader() (*reader, error) {
	lower, upper := spaceBounds(spaceMessages)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, readError(err)
	}
	return &reader{spool: s, it: it}, nil
}

// Close ends the reading.
func (r *reader) Close() error { return r.it.Close() }

// known is what is in memory of a message already.
type known struct {
	message *spool.Message // nil: it is to be read
	counted bool           // its items need not be counted
}

// read finds an item, its message unless that is known, and how many items the message has unless they are counted. With
// an error it returns what could be read.
func (r *reader) read(key spool.ItemKey, k known) (entry, error) {
	e, err := r.seek(key, k)
	if err == nil {
		return e, nil
	}
	// One block that cannot be read hides its neighbours from an iterator, not from a reader that asks for one key.
	e = entry{item: spool.Item{ItemKey: key}, message: k.message}
	item, itemErr := r.spool.readItem(key)
	if itemErr == nil {
		e.item = item
	}
	value, messageErr := r.spool.get(appendMessageKey(nil, key.Message), nil)
	if messageErr == nil {
		var m *spool.Message
		if m, e.streamed, messageErr = decodeMessage(value); m != nil {
			e.message = m
		}
	}
	return e, errors.Join(itemErr, messageErr)
}

// seek is read in one pass: over the item alone if nothing else is wanted, else over the message and its items.
func (r *reader) seek(key spool.ItemKey, k known) (e entry, err error) {
	var scratch [64]byte
	prefix := appendMessageKey(scratch[:0], key.Message)
	prefix = prefix[:len(prefix)-1]
	start := prefix
	alone := k.message != nil && k.counted
	if alone {
		start = appendItemKey(nil, key)
	}
	e.message = k.message
	found := false
	for valid := r.it.SeekGE(start); valid && bytes.HasPrefix(r.it.Key(), prefix); valid = r.it.Next() {
		_, part, seq, err := parseMessagesKey(r.it.Key())
		switch {
		case err != nil:
			err = fmt.Errorf("key %x: %w: %w", r.it.Key(), spool.ErrCorrupt, err)
		case part == partItem:
			e.items++
			if seq == key.Seq {
				found = true
				e.item, err = spool.DecodeItem(r.it.Value())
			}
		case k.message == nil:
			e.message, e.streamed, err = decodeMessage(r.it.Value())
		}
		if err != nil || alone {
			return e, r.missing(key, found, err)
		}
	}
	if err := r.it.Error(); err != nil {
		return e, readError(err)
	}
	return e, r.missing(key, found && e.message != nil, nil)
}

// missing is err, or that the item is not there.
func (r *reader) missing(key spool.ItemKey, found bool, err error) error {
	if err == nil && !found {
		return fmt.Errorf("item %s/%d: %w", key.Message, key.Seq, spool.ErrNotFound)
	}
	return err
}

// Message implements spool.Spool.
func (s *Spool) Message(ctx context.Context, id message.ID) (*spool.Message, []spool.Item, error) {
	if err := s.enter(ctx); err != nil {
		return nil, nil, err
	}
	defer s.leave()
	prefix := appendMessageKey(nil, id)
	prefix = prefix[:len(prefix)-1]
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(bytes.Clone(prefix), 0xff)})
	if err != nil {
		return nil, nil, readError(err)
	}
	defer closeQuietly(it)
	var m *spool.Message
	var items []spool.Item
	for valid := it.First(); valid; valid = it.Next() {
		if it.Key()[len(prefix)] == partMessage {
			m, _, err = decodeMessage(it.Value())
		} else {
			items = append(items, spool.Item{})
			items[len(items)-1], err = spool.DecodeItem(it.Value())
		}
		if err != nil {
			return nil, nil, fmt.Errorf("message %s: %w", id, err)
		}
	}
	if err := it.Error(); err != nil {
		return nil, nil, fmt.Errorf("message %s: %w", id, readError(err))
	}
	if m == nil {
		return nil, nil, fmt.Errorf("message %s: %w", id, spool.ErrNotFound)
	}
	return m, items, nil
}

// RuleSet implements spool.Spool.
func (s *Spool) RuleSet(ctx context.Context, hash spool.Hash) ([]byte, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	rules, err := s.get(appendRulesKey(nil, hash), nil)
	if err != nil {
		return nil, fmt.Errorf("rule set %x: %w", hash, err)
	}
	return rules, nil
}

// Scan implements spool.Spool.
func (s *Spool) Scan(ctx context.Context, lane spool.Lane, after *spool.Item, n int) ([]spool.Claimed, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	from := order{due: math.MinInt64}
	if after != nil {
		from = orderOf(after).next()
	}
	orders, _, err := s.readIndex(lane, from, n)
	if err != nil {
		return nil, fmt.Errorf("scan of lane %s: %w", lane, err)
	}
	r, err := s.newReader()
	if err != nil {
		return nil, err
	}
	defer closeQuietly(r)
	found := make([]spool.Claimed, 0, len(orders))
	for _, o := range orders {
		e, err := r.read(o.key(), known{})
		if errors.Is(err, spool.ErrNotFound) && e.item.Lane == "" && e.message == nil { // settled since the index was read
			continue
		}
		if err == nil && (e.item.Lane != lane || orderOf(&e.item) != o) { // moved since
			continue
		}
		found = append(found, e.claimed(lane)) // as much as can be read of it; Claim puts it aside
	}
	return found, nil
}

// Lanes implements spool.Spool.
func (s *Spool) Lanes(ctx context.Context) ([]spool.LaneStat, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	for _, l := range s.state.unread() {
		if err := s.refill(l); err != nil {
			return nil, fmt.Errorf("lane %s: %w", l.name, err)
		}
	}
	return s.state.stats(), nil
}

// unread returns the lanes whose first unclaimed item is not known.
func (st *state) unread() (lanes []*lane) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, l := range st.lanes {
		if !l.known() {
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// stats is what is in every lane. The oldest item is the first unclaimed or a claimed one.
func (st *state) stats() []spool.LaneStat {
	st.mu.Lock()
	defer st.mu.Unlock()
	oldest := make(map[*lane]int64, len(st.lanes))
	for _, l := range st.lanes {
		oldest[l] = math.MaxInt64
		if len(l.front) > 0 {
			oldest[l] = l.front[0].due
		} else if !l.end {
			oldest[l] = l.bound.due // read on and claimed in the meantime: as near as can be told
		}
	}
	for _, l := range st.leases {
		if due, ok := oldest[l.lane]; ok && l.owner != nil && l.at.due < due {
			oldest[l.lane] = l.at.due
		}
	}
	stats := make([]spool.LaneStat, 0, len(oldest))
	for l, due := range oldest {
		if l.items == 0 {
			continue // what it is kept for is being written
		}
		stats = append(stats, spool.LaneStat{Lane: l.name, Items: l.items, Octets: l.octets, Oldest: timeOf(due)})
	}
	slices.SortFunc(stats, func(a, b spool.LaneStat) int { return strings.Compare(string(a.Lane), string(b.Lane)) })
	return stats
}
