package pebble

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
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

// read finds an item, its message unless that is known, and how many items the message has. With an error it returns
// what could be read.
func (r *reader) read(key spool.ItemKey, known *spool.Message) (entry, error) {
	e, err := r.seek(key, known)
	if err == nil {
		return e, nil
	}
	// One block that cannot be read hides its neighbours from an iterator, not from a reader that asks for one key.
	e = entry{item: spool.Item{ItemKey: key}, message: known}
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

// seek is read in one pass over the message and its items.
func (r *reader) seek(key spool.ItemKey, known *spool.Message) (entry, error) {
	e := entry{message: known}
	prefix := appendMessageKey(nil, key.Message)
	prefix = prefix[:len(prefix)-1]
	var messageFound, itemFound bool
	var err error
	for valid := r.it.SeekGE(prefix); valid && bytes.HasPrefix(r.it.Key(), prefix); valid = r.it.Next() {
		_, part, seq, err := parseMessagesKey(r.it.Key())
		switch {
		case err != nil:
			return e, fmt.Errorf("key %x: %w: %w", r.it.Key(), spool.ErrCorrupt, err)
		case part == partMessage:
			messageFound = true
			if known == nil {
				e.message, e.streamed, err = decodeMessage(r.it.Value())
			}
		case seq == key.Seq:
			itemFound = true
			e.item, err = spool.DecodeItem(r.it.Value())
			e.items++
		default:
			e.items++
		}
		if err != nil {
			return e, err
		}
	}
	if err = r.it.Error(); err != nil {
		return e, readError(err)
	}
	if !messageFound || !itemFound {
		return e, fmt.Errorf("item %s/%d: %w", key.Message, key.Seq, spool.ErrNotFound)
	}
	return e, nil
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
		e, err := r.read(o.key(), nil)
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
		if due, ok := oldest[l.lane]; ok && l.at.due < due {
			oldest[l.lane] = l.at.due
		}
	}
	stats := make([]spool.LaneStat, 0, len(oldest))
	for l, due := range oldest {
		stats = append(stats, spool.LaneStat{Lane: l.name, Items: l.items, Octets: l.octets, Oldest: timeOf(due)})
	}
	slices.SortFunc(stats, func(a, b spool.LaneStat) int { return strings.Compare(string(a.Lane), string(b.Lane)) })
	return stats
}

// Content implements spool.Spool. A value that is missing or cannot be read ends the reading with ErrCorrupt, never
// early with success.
func (s *Spool) Content(ctx context.Context, id message.ID, from int64) (io.ReadCloser, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	m, streamed, err := s.findMessage(id)
	if err != nil {
		return nil, fmt.Errorf("content of %s: %w", id, err)
	}
	r := &contentReader{spool: s, id: id, at: max(0, min(from, m.Size)), end: m.Size}
	if streamed && r.at > 0 && r.at < r.end {
		if r.skip, err = s.intoValue(id, r.at); err != nil {
			return nil, fmt.Errorf("content of %s: %w", id, err)
		}
	} else if !streamed {
		r.skip = int(r.at % spool.ChunkOctets)
	}
	return r, nil
}

// findMessage returns a message from memory when it is claimed, else from the disk.
func (s *Spool) findMessage(id message.ID) (m *spool.Message, streamed bool, err error) {
	s.state.mu.Lock()
	if f := s.state.flights[id]; f != nil {
		m, streamed = f.message, f.streamed
	}
	s.state.mu.Unlock()
	if m != nil {
		return m, streamed, nil
	}
	value, err := s.get(appendMessageKey(nil, id), nil)
	if err != nil {
		return nil, false, err
	}
	return decodeMessage(value)
}

// intoValue returns how far an offset lies behind the start of its value.
func (s *Spool) intoValue(id message.ID, at int64) (int, error) {
	lower, upper := contentBounds(id)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, readError(err)
	}
	defer closeQuietly(it)
	if !it.SeekLT(appendContentKey(nil, id, at+1)) {
		if err := it.Error(); err != nil {
			return 0, readError(err)
		}
		return 0, fmt.Errorf("no value at %d: %w", at, spool.ErrCorrupt)
	}
	key := it.Key()
	return int(at - int64(binary.BigEndian.Uint64(key[len(key)-8:]))), nil
}

// contentReader reads a message's values one after the other. It is used by one goroutine.
type contentReader struct {
	spool *Spool
	id    message.ID
	at    int64 // offset of the next octet
	end   int64
	skip  int    // octets of the next value that lie before at
	rest  []byte // of the value that is being read
	value []byte // memory for values
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.at >= r.end {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, fmt.Errorf("content of %s at %d: %w", r.id, r.at, err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.at += int64(n)
	return n, nil
}

// next reads the value that holds the next octet. It copies it, so that a slow reader keeps nothing of the store.
func (r *contentReader) next() (err error) {
	if err := r.spool.enter(context.Background()); err != nil {
		return err
	}
	defer r.spool.leave()
	r.value, err = r.spool.get(appendContentKey(nil, r.id, r.at-int64(r.skip)), r.value)
	if errors.Is(err, spool.ErrNotFound) || err == nil && len(r.value) <= r.skip {
		return fmt.Errorf("missing: %w", spool.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	r.rest, r.skip = r.value[r.skip:], 0
	r.rest = r.rest[:min(int64(len(r.rest)), r.end-r.at)]
	return nil
}

// Close implements io.Closer.
func (r *contentReader) Close() error {
	r.at, r.rest = r.end, nil
	return nil
}
