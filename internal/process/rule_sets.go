package process

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"sluice/internal/control"
	"sluice/internal/queue"
	"sluice/internal/rule"
	"sluice/internal/spool"
)

// maxOlderSets is how many rule sets are kept compiled that messages still in the spool were accepted under.
const maxOlderSets = 256

// errUnusable says that a rule set cannot be had, now or later.
var errUnusable = errors.New("no rules to go by")

// ruleSet returns the rule set that the message is processed under, compiled: the one that was current when it was accepted
// (Mail Manager, D19), unless an operator chose another. Mostly that is still the current one.
func (p *Processor) ruleSet(ctx context.Context, w *queue.Work) (*rule.Set, error) {
	id, hash := w.Item.Rules(w.Message)
	scope := control.Scope{Account: w.Message.Session.Account, Region: w.Message.Session.Region}
	if current, ok := p.cfg.RuleSets.RuleSet(control.Key{Scope: scope, ID: id}); ok && current.Hash == hash {
		return current.Set, nil
	}
	if set := p.older.get(hash); set != nil {
		return set, nil
	}
	source, err := p.cfg.Sources.RuleSet(ctx, hash)
	switch {
	case errors.Is(err, spool.ErrNotFound), errors.Is(err, spool.ErrCorrupt):
		return nil, fmt.Errorf("rule set %s as it was: %w: %w", id, errUnusable, err)
	case err != nil:
		return nil, fmt.Errorf("read rule set %s as it was: %w", id, err)
	}
	set, err := rule.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("compile rule set %s as it was: %w: %w", id, errUnusable, err)
	}
	p.older.put(hash, set)
	return set, nil
}

// cache keeps a bounded number of rule sets. It is safe for concurrent use.
type cache struct {
	mu   sync.Mutex
	sets map[spool.Hash]*rule.Set
}

func (c *cache) get(hash spool.Hash) *rule.Set {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets[hash]
}

// put adds a set. A full cache begins again: what is still used comes back.
func (c *cache) put(hash spool.Hash, set *rule.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sets == nil || len(c.sets) >= maxOlderSets {
		c.sets = map[spool.Hash]*rule.Set{}
	}
	c.sets[hash] = set
}
