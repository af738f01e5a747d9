package pebble

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/spool"
)

// commitWait is how long a message may take to be made durable before the client is told to come again.
// Source: docs/promises.md, Disks.
const commitWait = 5 * time.Second

// Accept implements spool.Spool. Message, content that is still in memory, items and, the first time, the rule set are
// one batch; a sync covers it and every unsynced write before it, streamed content and settlements among them.
func (s *Spool) Accept(ctx context.Context, a spool.Acceptance) (spool.Content, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	in, ok := a.Content.(*incoming)
	if !ok || in.spool != s || in.buffer == nil || in.id != a.Message.ID {
		return nil, fmt.Errorf("accept %s: content is not on its way into this spool: %w", a.Message.ID, spool.ErrInvalid)
	}
	if err := s.enter(ctx); err != nil {
		in.Abort()
		return nil, err
	}
	defer s.leave()
	m := a.Message
	m.Size = in.Size()
	admitted := &admission{message: &m, items: a.Items, owner: a.Owner, until: a.Until, streamed: in.spilled > 0}
	if err := s.state.expect(admitted); err != nil {
		releaseContent(in.end())
		return nil, err
	}
	batch := s.acceptance(admitted, in, a.Rules)
	content := in.end()
	if err := s.makeDurable(batch, admitted); err != nil {
		releaseContent(content)
		return nil, err
	}
	s.state.admit(admitted)
	return content, nil
}

func releaseContent(c spool.Content) {
	if c != nil {
		c.Release()
	}
}

// admission is a message on its way to being durable.
type admission struct {
	message  *spool.Message
	items    []spool.Item
	owner    string // who gets them
	until    time.Time
	streamed bool
	leases   []*lease // of its items, nobody's yet
}

// acceptance is the batch of a message.
func (s *Spool) acceptance(ad *admission, in *incoming, rules []byte) *pebble.Batch {
	m := ad.message
	size := batchOverhead + in.buffer.Size() + len(m.Trace)
	storesRules := len(rules) > 0 && !s.rules.has(m.RuleSet)
	if storesRules {
		size += len(rules)
	}
	batch := s.db.NewBatchWithSize(size)
	if storesRules {
		set(batch, appendRulesKey(nil, m.RuleSet), rules)
	}
	if ad.streamed {
		singleDelete(batch, appendOrphanKey(nil, m.ID))
	}
	setContent(batch, in)
	setMessage(batch, m, ad.streamed)
	for i := range ad.items {
		setItem(batch, &ad.items[i], m)
	}
	return batch
}

// makeDurable commits a message's batch. When that takes too long it leaves a duty behind that takes the message back
// as soon as the disk has answered: to wait on would keep the client, which gives up and sends again, and to hand out
// what was answered 451 would deliver it twice.
func (s *Spool) makeDurable(batch *pebble.Batch, ad *admission) error {
	began := time.Now()
	unsynced := s.unsynced.Load()
	done := make(chan error, 1)
	go func() {
		err := s.db.Apply(batch, s.sync)
		closeQuietly(batch)
		done <- err
	}()
	timer := time.NewTimer(s.commitWait)
	defer timer.Stop()
	select {
	case err := <-done:
		s.metrics.commit.Observe(time.Since(began).Seconds())
		if err != nil {
			s.state.reject(ad)
			return fmt.Errorf("accept %s: %w", ad.message.ID, err)
		}
		s.covered(unsynced)
		s.rules.add(ad.message.RuleSet)
		return nil
	case <-timer.C:
		s.metrics.slow.Inc()
		s.duties.Go(func() { s.takeBack(ad, <-done) })
		return fmt.Errorf("accept %s: %w", ad.message.ID, spool.ErrSlow)
	}
}

// takeBack removes a message that was answered for too late, once its commit has ended.
func (s *Spool) takeBack(ad *admission, committed error) {
	defer s.state.reject(ad)
	if committed != nil {
		return
	}
	batch := s.db.NewBatch()
	defer closeQuietly(batch)
	for _, l := range ad.leases {
		removeItem(batch, l.lane.name, l.at)
	}
	removeMessage(batch, ad.message, ad.streamed)
	if err := s.db.Apply(batch, pebble.NoSync); err != nil {
		s.log.Error("spool: cannot take a message back", "message_id", ad.message.ID.String(), "error", err)
		return
	}
	s.unsynced.Add(1)
}

// expect makes leases that are nobody's for the items of a message that is being written.
func (st *state) expect(ad *admission) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.flights[ad.message.ID] != nil {
		return fmt.Errorf("accept %s: it is there already: %w", ad.message.ID, spool.ErrInvalid)
	}
	st.conceive(ad)
	return nil
}

// conceive is expect for a message that there is none of.
func (st *state) conceive(ad *admission) {
	f := st.flightOf(ad.message.ID)
	f.message, f.streamed, f.items, f.counted = ad.message, ad.streamed, len(ad.items), true
	ad.leases = make([]*lease, len(ad.items))
	for i := range ad.items {
		l := st.laneOf(ad.items[i].Lane)
		ad.leases[i] = st.hold(l, orderOf(&ad.items[i]), f)
		l.coming++
	}
}

// admit hands out the items of a message that is durable.
func (st *state) admit(ad *admission) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.bear(ad, ad.owner, nanos(ad.until))
}

// bear hands out the items of a message that has been written: to an owner, or to their lanes when there is none.
func (st *state) bear(ad *admission, owner string, until int64) {
	for _, l := range ad.leases {
		st.arrive(l.lane, l.flight)
		st.hand(l, owner, until)
	}
}

// reject forgets the items of a message that did not become durable.
func (st *state) reject(ad *admission) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.miscarry(ad)
}

func (st *state) miscarry(ad *admission) {
	for _, l := range ad.leases {
		st.forget(l)
		st.miss(l.lane, l.at)
	}
}
