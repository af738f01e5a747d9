package control

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"sluice/internal/addresslist"
	"sluice/internal/store"
)

// snapshot is the newest state of what the data plane uses. A change replaces one value, whatever else there is.
type snapshot struct {
	points   table[IngressPoint]
	policies table[Policy]
	ruleSets table[RuleSet]
	relays   table[Relay]
	lists    table[addresslist.List]
	secrets  table[secretPasswords] // by name
}

var _ Snapshot = (*snapshot)(nil)

// IngressPoint implements Snapshot.
func (s *snapshot) IngressPoint(key Key) (*IngressPoint, bool) { return s.points.load(key) }

// Policy implements Snapshot.
func (s *snapshot) Policy(key Key) (*Policy, bool) { return s.policies.load(key) }

// RuleSet implements Snapshot.
func (s *snapshot) RuleSet(key Key) (*RuleSet, bool) { return s.ruleSets.load(key) }

// Relay implements Snapshot.
func (s *snapshot) Relay(scope Scope, idOrARN string) (*Relay, bool) {
	id := idOrARN
	if fromARN, ok := kindRelay.idFromARN(scope, idOrARN); ok {
		id = fromARN
	}
	return s.relays.load(Key{Scope: scope, ID: id})
}

// AddressList implements Snapshot.
func (s *snapshot) AddressList(scope Scope, idOrARN string) (*addresslist.List, bool) {
	id := idOrARN
	if fromARN, ok := kindAddressList.idFromARN(scope, idOrARN); ok {
		id = fromARN
	}
	return s.lists.load(Key{Scope: scope, ID: id})
}

// Points yields every ingress point of every account and region, in no particular order.
func (s *snapshot) Points() iter.Seq[*IngressPoint] { return s.points.all() }

// table is a map from keys to values that are read without a lock.
type table[V any] struct{ entries sync.Map }

func (t *table[V]) load(key Key) (*V, bool) {
	v, ok := t.entries.Load(key)
	if !ok {
		return nil, false
	}
	return v.(*V), true
}

func (t *table[V]) store(key Key, v *V) { t.entries.Store(key, v) }

func (t *table[V]) remove(key Key) { t.entries.Delete(key) }

// removeOnly removes a value unless another has taken its place.
func (t *table[V]) removeOnly(key Key, v *V) { t.entries.CompareAndDelete(key, v) }

func (t *table[V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		t.entries.Range(func(_, v any) bool { return yield(v.(*V)) })
	}
}

// loader brings the resources of a kind into the snapshot.
type loader struct {
	kind   kind
	load   func(context.Context, store.Resource) error
	atOnce int
}

// load fills the snapshot from the store.
func (c *Control) load(ctx context.Context) error {
	const one = 1
	loaders := []loader{
		{kindRelay, c.loadRelay, one},
		{kindTrafficPolicy, c.loadPolicy, one},
		{kindRuleSet, c.loadRuleSet, one},
		{kindSecret, c.loadSecret, one},
		{kindAddressList, c.loadAddressList, listLoads},
		{kindImportJob, c.loadImportJob, one},
		{kindIngressPoint, c.loadPoint, one},
	}
	for _, l := range loaders {
		if err := c.loadKind(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// loadKind loads every resource of a kind. One that cannot be used does not keep the others from being served.
func (c *Control) loadKind(ctx context.Context, l loader) error {
	var found []store.Resource // the store must not be called while it yields
	for r, err := range c.cfg.Store.All(ctx, l.kind.store) {
		if err != nil {
			return fmt.Errorf("read every %s: %w", l.kind.noun, err)
		}
		found = append(found, r)
	}
	var loads errgroup.Group
	loads.SetLimit(l.atOnce)
	for _, r := range found {
		loads.Go(func() error {
			if err := l.load(ctx, r); err != nil && ctx.Err() == nil {
				c.cfg.Logger.Error("resource cannot be used", "kind", l.kind.noun, "account", r.Account, "region", r.Region, "id", r.ID, "error", err)
			}
			return ctx.Err()
		})
	}
	return loads.Wait()
}

func (c *Control) loadRelay(ctx context.Context, r store.Resource) error {
	record, err := decode[relayRecord](r.Key, r.Body)
	if err != nil {
		return err
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err == nil {
		c.relays.store(snapshotKey(r.Key), relayView(r, record, tags))
	}
	return err
}

func (c *Control) loadPolicy(ctx context.Context, r store.Resource) error {
	record, statements, err := c.readPolicy(ctx, r)
	if err != nil {
		return err
	}
	view, err := policyView(r, record, statements)
	if err == nil {
		c.policies.store(view.Key, view)
	}
	return err
}

func (c *Control) loadRuleSet(ctx context.Context, r store.Resource) error {
	rules, err := c.readRules(ctx, r)
	if err != nil {
		return err
	}
	view, err := ruleSetView(r, rules)
	if err == nil {
		c.ruleSets.store(view.Key, view)
	}
	return err
}

func (c *Control) loadPoint(ctx context.Context, r store.Resource) error {
	p, err := decode[pointRecord](r.Key, r.Body)
	if err != nil {
		return err
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err != nil {
		return err
	}
	view := pointView(r, p, tags)
	if err := c.admitStored(ctx, view, r.Key); err != nil {
		return err
	}
	c.points.store(view.Key, view)
	return nil
}
