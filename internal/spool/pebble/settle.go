package pebble

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/spool"
)

// Settle implements spool.Spool. What can be settled of a call is one batch.
func (s *Spool) Settle(ctx context.Context, settlements ...spool.Settlement) error {
	for i := range settlements {
		if err := settlements[i].Validate(); err != nil {
			return err
		}
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	c, failed := s.state.reserve(settlements)
	if err := s.write(c); err != nil {
		s.state.undo(c)
		return fmt.Errorf("settle: %w", err)
	}
	s.state.finish(c)
	for i := range c.parts {
		s.running.forget(c.parts[i].Out)
	}
	if len(failed) > 0 {
		return &spool.SettleError{Failed: failed}
	}
	return nil
}

// settling is what one call of Settle is writing.
type settling struct {
	parts []part
}

// part is one settlement with the leases of its items.
type part struct {
	*spool.Settlement
	out  []*lease
	in   []*lease
	born []*admission
	last []*flight // messages that it leaves without items
}

// write commits the batch of a call, unsynced.
func (s *Spool) write(c *settling) error {
	if len(c.parts) == 0 {
		return nil
	}
	batch := s.db.NewBatchWithSize(len(c.parts) * batchOverhead)
	defer closeQuietly(batch)
	for i := range c.parts {
		c.parts[i].write(batch)
	}
	if err := s.db.Apply(batch, pebble.NoSync); err != nil {
		return err
	}
	s.unsynced.Add(1)
	return nil
}

// write puts a settlement into the batch: what goes out first, for what comes in with the same key follows it.
func (p *part) write(batch *pebble.Batch) {
	for _, l := range p.out {
		removeItem(batch, l.lane.name, l.at)
	}
	for i := range p.In {
		setItem(batch, &p.In[i], p.in[i].flight.record())
	}
	for i, ad := range p.born {
		setBirth(batch, ad, p.Births[i].Content)
	}
	for _, f := range p.last {
		removeMessage(batch, f.record(), f.streamed || f.message == nil)
	}
}

// reserve checks settlements and takes hold of what those that can be done need. Settlements of one message are done
// one after the other, so that it is clear which is the last.
func (st *state) reserve(settlements []spool.Settlement) (*settling, map[int]error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for slices.ContainsFunc(settlements, st.isSettling) {
		st.settled.Wait()
	}
	c := &settling{parts: make([]part, 0, len(settlements))}
	var failed map[int]error
	for i := range settlements {
		if err := st.reservePart(c, &settlements[i]); err != nil {
			if failed == nil {
				failed = map[int]error{}
			}
			failed[i] = err
		}
	}
	return c, failed
}

// isSettling reports whether another call is settling a message of t, or looks up an item that t brings in anew.
func (st *state) isSettling(t spool.Settlement) bool {
	for _, key := range t.Out {
		if f := st.flights[key.Message]; f != nil && f.settling != nil {
			return true
		}
	}
	for i := range t.In {
		if l := st.leases[t.In[i].ItemKey]; l != nil && l.reserved {
			return true
		}
	}
	return false
}

func (st *state) reservePart(c *settling, t *spool.Settlement) error {
	p := part{Settlement: t, out: make([]*lease, len(t.Out)), in: make([]*lease, len(t.In))}
	for i, key := range t.Out {
		l, err := st.owned(t.Owner, key)
		if err != nil {
			return err
		}
		p.out[i] = l
	}
	for i := range t.In {
		p.in[i] = st.leases[t.In[i].ItemKey]
		if l := p.in[i]; l != nil && !slices.Contains(p.out, l) {
			return fmt.Errorf("item %s/%d comes in while it is there: %w", l.at.message, l.at.seq, spool.ErrInvalid)
		}
	}
	if err := st.unborn(t); err != nil {
		return err
	}
	for i := range t.Births {
		m := t.Births[i].Message
		m.Size = int64(len(t.Births[i].Content))
		ad := &admission{message: &m, items: t.Births[i].Items}
		st.conceive(ad)
		p.born = append(p.born, ad)
	}
	for _, l := range p.out {
		l.busy = true
		l.flight.settling = c
		l.flight.add(-1)
	}
	for i := range t.In {
		f, into := st.flights[t.In[i].Message], st.laneOf(t.In[i].Lane)
		f.add(1)
		if p.in[i] == nil {
			p.in[i] = st.hold(into, orderOf(&t.In[i]), f)
		}
		into.coming++
	}
	for _, l := range p.out {
		if l.flight.items == 0 && !slices.Contains(p.last, l.flight) {
			p.last = append(p.last, l.flight)
		}
	}
	c.parts = append(c.parts, p)
	return nil
}

// unborn returns an error when a message that is to be born is there.
func (st *state) unborn(t *spool.Settlement) error {
	for i := range t.Births {
		if id := t.Births[i].Message.ID; st.flights[id] != nil {
			return fmt.Errorf("birth of %s: it is there already: %w", id, spool.ErrInvalid)
		}
	}
	return nil
}

// finish makes what was written so in memory.
func (st *state) finish(c *settling) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i := range c.parts {
		st.finishPart(&c.parts[i])
	}
	st.settled.Broadcast()
}

func (st *state) finishPart(p *part) {
	for _, l := range p.out {
		l.flight.settling = nil
		st.leave(l.lane, l.at, l.flight)
		if !slices.Contains(p.in, l) {
			st.forget(l)
		}
	}
	for i, l := range p.in {
		if l.busy { // it went out and comes in again
			l.lane, l.at, l.busy = st.laneOf(p.In[i].Lane), orderOf(&p.In[i]), false
			l.owner.held--
			l.owner = nil
		}
		st.arrive(l.lane, l.flight)
		owner := ""
		if p.Claim {
			owner = p.Owner
		}
		st.hand(l, owner, nanos(p.Until))
	}
	for _, ad := range p.born {
		st.bear(ad, "", 0)
	}
}

// undo gives back what was taken hold of.
func (st *state) undo(c *settling) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for i := range c.parts {
		p := &c.parts[i]
		for _, ad := range p.born {
			st.miscarry(ad)
		}
		for j, l := range p.in {
			l.flight.add(-1)
			st.miss(st.laneOf(p.In[j].Lane), orderOf(&p.In[j]))
			if !l.busy {
				st.forget(l)
			}
		}
		for _, l := range p.out {
			l.busy, l.flight.settling = false, nil
			l.flight.add(1)
		}
	}
	st.settled.Broadcast()
}

// Release implements spool.Spool.
func (s *Spool) Release(ctx context.Context, owner string, keys ...spool.ItemKey) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	return s.state.giveBack(owner, keys)
}

// Renew implements spool.Spool.
func (s *Spool) Renew(ctx context.Context, owner string, until time.Time) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	if s.state.renew(owner, until) {
		return fmt.Errorf("renew the leases of %s: %w", owner, spool.ErrLeaseLost)
	}
	return nil
}
