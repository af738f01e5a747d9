package pebble

import (
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// checkFormat refuses keys of another format than ours.
func (s *Spool) checkFormat() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer closeQuietly(it)
	for _, to := range [...]func() bool{it.First, it.Last} {
		if to() && it.Key()[0] != keyFormat {
			return fmt.Errorf("key format %d, this version knows %d: %w", it.Key()[0], keyFormat, spool.ErrNewerFormat)
		}
	}
	return it.Error()
}

// sweepOrphans removes content that was streamed in when the process died before its message was accepted.
func (s *Spool) sweepOrphans() error {
	lower, upper := spaceBounds(spaceOrphans)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeQuietly(it)
	batch := s.db.NewBatch()
	defer closeQuietly(batch)
	for valid := it.First(); valid; valid = it.Next() {
		var id message.ID
		copy(id[:], it.Key()[len(lower):])
		removeOrphan(batch, id)
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("sweep orphans: %w", err)
	}
	return s.db.Apply(batch, pebble.NoSync)
}

// readLanes counts what is in every lane and returns which rule sets are in use. Where the index cannot be read it is
// made anew from the items.
func (s *Spool) readLanes() (used map[[hashPrefix]byte]bool, err error) {
	used, err = s.readLaneIndex()
	if err == nil || !errors.Is(err, spool.ErrCorrupt) {
		return used, err
	}
	s.log.Error("spool: index of the lanes cannot be read and is made anew", "error", err)
	s.state = newState()
	if err := s.remakeLaneIndex(); err != nil {
		return nil, fmt.Errorf("make the index of the lanes anew: %w", err)
	}
	return s.readLaneIndex()
}

func (s *Spool) readLaneIndex() (used map[[hashPrefix]byte]bool, err error) {
	lower, upper := spaceBounds(spaceLanes)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, readError(err)
	}
	defer closeQuietly(it)
	used = map[[hashPrefix]byte]bool{}
	var l *lane
	for valid := it.First(); valid; valid = it.Next() {
		name, at, err := parseLaneKey(it.Key())
		if err != nil {
			return nil, fmt.Errorf("key %x: %w: %w", it.Key(), spool.ErrCorrupt, err)
		}
		size, rules, err := parseLaneValue(it.Value())
		if err != nil {
			return nil, fmt.Errorf("value of %x: %w: %w", it.Key(), spool.ErrCorrupt, err)
		}
		if l == nil || string(l.name) != string(name) { // the first of the lane: it is the lane's bound
			l = s.state.laneOf(spool.Lane(name))
			l.bound, l.end = at, false
		}
		l.items++
		l.octets += size
		if !used[rules] {
			used[rules] = true
		}
	}
	return used, readError(it.Error())
}

// remakeLaneIndex removes the index of the lanes and writes a place for every item that can be read. One that cannot be
// read has no place until its message is looked at.
func (s *Spool) remakeLaneIndex() error {
	lower, upper := spaceBounds(spaceMessages)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer closeQuietly(it)
	batch := s.db.NewBatch()
	defer closeQuietly(batch)
	deleteRange(batch, appendSpace(nil, spaceLanes), appendSpace(nil, spaceLanes+1))
	m := &spool.Message{}
	for valid := it.First(); valid; valid = it.Next() {
		id, part, _, err := parseMessagesKey(it.Key())
		if err != nil {
			continue
		}
		if part == partMessage {
			if m, _, err = decodeMessage(it.Value()); err != nil {
				m = &spool.Message{ID: id}
			}
			continue
		}
		if item, err := spool.DecodeItem(it.Value()); err == nil {
			set(batch, appendLaneKey(nil, item.Lane, orderOf(&item)), appendLaneValue(nil, &item, m))
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	return s.db.Apply(batch, pebble.Sync)
}

// ruleSets knows which rule sets are on disk. It is safe for concurrent use.
type ruleSets struct {
	mu     sync.RWMutex
	stored map[spool.Hash]bool
}

func (r *ruleSets) has(hash spool.Hash) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.stored[hash]
}

// add says that a rule set is durable; until then every message brings it along.
func (r *ruleSets) add(hash spool.Hash) {
	if r.has(hash) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored[hash] = true
}

// sweepRules removes the rule sets that no message uses.
func (s *Spool) sweepRules(used map[[hashPrefix]byte]bool) (*ruleSets, error) {
	lower, upper := spaceBounds(spaceRules)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	defer closeQuietly(it)
	sets := &ruleSets{stored: map[spool.Hash]bool{}}
	for valid := it.First(); valid; valid = it.Next() {
		var hash spool.Hash
		copy(hash[:], it.Key()[len(lower):])
		if used[[hashPrefix]byte(hash[:hashPrefix])] {
			sets.stored[hash] = true
			continue
		}
		if err := s.db.Delete(it.Key(), pebble.NoSync); err != nil {
			return nil, err
		}
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("sweep rule sets: %w", err)
	}
	return sets, nil
}
