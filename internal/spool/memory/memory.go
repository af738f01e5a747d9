// Package memory is a spool that forgets: everything is in maps under one lock, written to be obviously right rather
// than fast. It has several owners, leases that end, and can lose leases at random from a seed, so that what is built on
// a spool can be tested for the cluster that it will run in. Start with New.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// Config is how a Spool is made. The zero value loses nothing.
type Config struct {
	Budget *spool.Budget // nil: one of its own
	Lose   float64       // probability that a settlement or a renewal finds a lease lost
	Seed   uint64        // of what is lost
}

// Spool implements spool.Spool. It is safe for concurrent use.
type Spool struct {
	budget *spool.Budget
	lose   float64

	mu       sync.Mutex
	closed   bool
	random   *rand.Rand
	messages map[message.ID]*entry
	rules    map[spool.Hash][]byte
	lanes    map[spool.Lane][]*item // in order of (Due, Message, Seq)
	lost     map[string]bool        // owners that lost a lease since they last renewed
}

var _ spool.Spool = (*Spool)(nil)

// entry is a message, its content and its items.
type entry struct {
	message *spool.Message
	content []byte
	items   map[uint32]*item
}

// item is an item and its lease; owner is empty when it has none.
type item struct {
	spool.Item
	owner string
	until time.Time
}

// New returns an empty spool.
func New(c Config) *Spool {
	if c.Budget == nil {
		c.Budget = spool.NewBudget(0)
	}
	return &Spool{
		budget:   c.Budget,
		lose:     c.Lose,
		random:   rand.New(rand.NewPCG(c.Seed, 0)),
		messages: map[message.ID]*entry{},
		rules:    map[spool.Hash][]byte{},
		lanes:    map[spool.Lane][]*item{},
		lost:     map[string]bool{},
	}
}

// lock takes the lock, or returns why the call must end.
func (s *Spool) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return spool.ErrClosed
	}
	return nil
}

// incoming is content on its way in. It stays in memory, beyond the budget where it must.
type incoming struct{ *spool.Buffer }

func (i *incoming) Write(p []byte) (int, error) { return i.WriteBeyond(p, i.Buffer.Size()+len(p)), nil }
func (i *incoming) Size() int64                 { return int64(i.Buffer.Size()) }

func (i *incoming) Abort() {
	if i.Buffer != nil {
		i.Discard()
		i.Buffer = nil
	}
}

// Begin implements spool.Spool.
func (s *Spool) Begin(ctx context.Context, _ message.ID) (spool.Incoming, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return &incoming{spool.NewBuffer(s.budget)}, nil
}

// Accept implements spool.Spool.
func (s *Spool) Accept(ctx context.Context, a spool.Acceptance) (spool.Content, error) {
	if err := a.Validate(); err != nil {
		return nil, err
	}
	in, ok := a.Content.(*incoming)
	if !ok || in.Buffer == nil {
		return nil, fmt.Errorf("accept %s: content is not on its way into this spool: %w", a.Message.ID, spool.ErrInvalid)
	}
	if err := s.lock(ctx); err != nil {
		in.Abort()
		return nil, err
	}
	defer s.mu.Unlock()
	content := in.Content()
	in.Buffer = nil
	e := &entry{message: &a.Message, content: bytes.Join(content.Bytes(), nil), items: map[uint32]*item{}}
	s.messages[a.Message.ID] = e
	if _, ok := s.rules[a.Message.RuleSet]; !ok && len(a.Rules) > 0 {
		s.rules[a.Message.RuleSet] = bytes.Clone(a.Rules)
	}
	for _, i := range a.Items {
		s.insert(e, &item{Item: i, owner: a.Owner, until: a.Until})
	}
	return content, nil
}

// Claim implements spool.Spool.
func (s *Spool) Claim(ctx context.Context, lane spool.Lane, n int, owner string, now, until time.Time) (claimed []spool.Claimed, next time.Time, err error) {
	if err := s.lock(ctx); err != nil {
		return nil, next, err
	}
	defer s.mu.Unlock()
	s.expire(owner, now)
	for _, i := range s.lanes[lane] {
		if i.owner != "" {
			continue
		}
		if len(claimed) == n || i.Due.After(now) {
			return claimed, i.Due, nil
		}
		i.owner, i.until = owner, until
		claimed = append(claimed, spool.Claimed{Item: i.Item, Message: s.messages[i.Message].message})
	}
	return claimed, time.Time{}, nil
}

// ClaimItems implements spool.Spool.
func (s *Spool) ClaimItems(ctx context.Context, owner string, now, until time.Time, keys []spool.ItemKey) ([]spool.Claimed, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	s.expire(owner, now)
	var claimed []spool.Claimed
	for _, key := range keys {
		i := s.find(key)
		if i == nil || i.owner != "" {
			continue
		}
		i.owner, i.until = owner, until
		claimed = append(claimed, spool.Claimed{Item: i.Item, Message: s.messages[i.Message].message})
	}
	return claimed, nil
}

// expire takes from others than claimer what ended by now.
func (s *Spool) expire(claimer string, now time.Time) {
	for _, items := range s.lanes {
		for _, i := range items {
			if i.owner != claimer && !i.until.After(now) {
				s.loseLease(i)
			}
		}
	}
}

// Settle implements spool.Spool.
func (s *Spool) Settle(ctx context.Context, settlements ...spool.Settlement) error {
	for i := range settlements {
		if err := settlements[i].Validate(); err != nil {
			return err
		}
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	failed := map[int]error{}
	for i := range settlements {
		if err := s.settle(&settlements[i]); err != nil {
			failed[i] = err
		}
	}
	if len(failed) > 0 {
		return &spool.SettleError{Failed: failed}
	}
	return nil
}

func (s *Spool) settle(t *spool.Settlement) error {
	if s.random.Float64() < s.lose {
		s.loseLease(s.find(t.Out[0]))
	}
	for _, key := range t.Out {
		if i := s.find(key); i == nil || i.owner != t.Owner {
			return fmt.Errorf("settle %s/%d: %w", key.Message, key.Seq, spool.ErrLeaseLost)
		}
	}
	for i := range t.Births {
		if s.messages[t.Births[i].Message.ID] != nil {
			return fmt.Errorf("birth of %s: it is there already: %w", t.Births[i].Message.ID, spool.ErrInvalid)
		}
	}
	for _, key := range t.Out {
		s.remove(s.find(key))
	}
	for i := range t.Births {
		s.bear(&t.Births[i])
	}
	for _, i := range t.In {
		entering := &item{Item: i}
		if t.Claim {
			entering.owner, entering.until = t.Owner, t.Until
		}
		s.insert(s.messages[i.Message], entering)
	}
	for _, key := range t.Out {
		if e := s.messages[key.Message]; e != nil && len(e.items) == 0 {
			delete(s.messages, key.Message)
		}
	}
	return nil
}

// bear takes a new message in.
func (s *Spool) bear(b *spool.Birth) {
	m := b.Message
	m.Size = int64(len(b.Content))
	e := &entry{message: &m, content: bytes.Clone(b.Content), items: map[uint32]*item{}}
	s.messages[m.ID] = e
	for _, i := range b.Items {
		s.insert(e, &item{Item: i})
	}
}

// Release implements spool.Spool.
func (s *Spool) Release(ctx context.Context, owner string, keys ...spool.ItemKey) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	var err error
	for _, key := range keys {
		i := s.find(key)
		if i == nil || i.owner != owner {
			err = fmt.Errorf("release %s/%d: %w", key.Message, key.Seq, spool.ErrLeaseLost)
			continue
		}
		i.owner = ""
	}
	return err
}

// Renew implements spool.Spool.
func (s *Spool) Renew(ctx context.Context, owner string, until time.Time) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.random.Float64() < s.lose {
		s.loseLease(s.firstOf(owner))
	}
	for _, items := range s.lanes {
		for _, i := range items {
			if i.owner == owner {
				i.until = until
			}
		}
	}
	if s.lost[owner] {
		delete(s.lost, owner)
		return fmt.Errorf("renew the leases of %s: %w", owner, spool.ErrLeaseLost)
	}
	return nil
}

// Content implements spool.Spool.
func (s *Spool) Content(ctx context.Context, id message.ID, from int64) (io.ReadCloser, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	e := s.messages[id]
	if e == nil {
		return nil, fmt.Errorf("content of %s: %w", id, spool.ErrNotFound)
	}
	from = max(0, min(from, int64(len(e.content))))
	return io.NopCloser(bytes.NewReader(e.content[from:])), nil
}

// RuleSet implements spool.Spool.
func (s *Spool) RuleSet(ctx context.Context, hash spool.Hash) ([]byte, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	rules, ok := s.rules[hash]
	if !ok {
		return nil, fmt.Errorf("rule set %x: %w", hash, spool.ErrNotFound)
	}
	return bytes.Clone(rules), nil
}

// AddRuleSet implements spool.Spool.
func (s *Spool) AddRuleSet(ctx context.Context, hash spool.Hash, source []byte) error {
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if _, ok := s.rules[hash]; !ok {
		s.rules[hash] = bytes.Clone(source)
	}
	return nil
}

// Message implements spool.Spool.
func (s *Spool) Message(ctx context.Context, id message.ID) (*spool.Message, []spool.Item, error) {
	if err := s.lock(ctx); err != nil {
		return nil, nil, err
	}
	defer s.mu.Unlock()
	e := s.messages[id]
	if e == nil {
		return nil, nil, fmt.Errorf("message %s: %w", id, spool.ErrNotFound)
	}
	items := make([]spool.Item, 0, len(e.items))
	for _, i := range e.items {
		items = append(items, i.Item)
	}
	slices.SortFunc(items, func(a, b spool.Item) int { return cmp.Compare(a.Seq, b.Seq) })
	return e.message, items, nil
}

// Scan implements spool.Spool.
func (s *Spool) Scan(ctx context.Context, lane spool.Lane, after *spool.Item, n int) ([]spool.Claimed, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var found []spool.Claimed
	for _, i := range s.lanes[lane] {
		if len(found) == n {
			break
		}
		if after == nil || compare(&i.Item, after) > 0 {
			found = append(found, spool.Claimed{Item: i.Item, Message: s.messages[i.Message].message})
		}
	}
	return found, nil
}

// Lanes implements spool.Spool.
func (s *Spool) Lanes(ctx context.Context) ([]spool.LaneStat, error) {
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var stats []spool.LaneStat
	for name, items := range s.lanes {
		if len(items) == 0 {
			continue
		}
		stat := spool.LaneStat{Lane: name, Items: len(items), Oldest: items[0].Due}
		for _, i := range items {
			stat.Octets += s.messages[i.Message].message.Size
		}
		stats = append(stats, stat)
	}
	slices.SortFunc(stats, func(a, b spool.LaneStat) int { return cmp.Compare(a.Lane, b.Lane) })
	return stats, nil
}

// Close implements spool.Spool.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// find returns an item, or nil.
func (s *Spool) find(key spool.ItemKey) *item {
	if e := s.messages[key.Message]; e != nil {
		return e.items[key.Seq]
	}
	return nil
}

// firstOf returns an item that the owner has claimed, always the same one for the same state, or nil.
func (s *Spool) firstOf(owner string) *item {
	var first *item
	for _, items := range s.lanes {
		for _, i := range items {
			if i.owner == owner && (first == nil || compare(&i.Item, &first.Item) < 0) {
				first = i
			}
		}
	}
	return first
}

func (s *Spool) insert(e *entry, i *item) {
	e.items[i.Seq] = i
	at, _ := slices.BinarySearchFunc(s.lanes[i.Lane], i, func(a, b *item) int { return compare(&a.Item, &b.Item) })
	s.lanes[i.Lane] = slices.Insert(s.lanes[i.Lane], at, i)
}

func (s *Spool) remove(i *item) {
	delete(s.messages[i.Message].items, i.Seq)
	at := slices.Index(s.lanes[i.Lane], i)
	s.lanes[i.Lane] = slices.Delete(s.lanes[i.Lane], at, at+1)
}

// loseLease takes an item from its owner; nil and unclaimed items are left alone.
func (s *Spool) loseLease(i *item) {
	if i != nil && i.owner != "" {
		s.lost[i.owner] = true
		i.owner = ""
	}
}

// compare orders items as their lane does.
func compare(a, b *spool.Item) int {
	return cmp.Or(a.Due.Compare(b.Due), bytes.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.Seq, b.Seq))
}
