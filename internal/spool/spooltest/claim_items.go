package spooltest

import (
	"sync"
	"testing"

	"sluice/internal/spool"
)

// claimItems claims at the epoch, for a minute.
func (f *fixture) claimItems(owner string, chosen ...spool.ItemKey) []spool.Claimed {
	f.t.Helper()
	claimed, err := f.ClaimItems(f.t.Context(), owner, Epoch, after(60), chosen)
	if err != nil {
		f.t.Fatalf("claim items: %v", err)
	}
	return claimed
}

// Items are claimed by their keys whatever their lane and whenever they are due, and leave the others where they are.
func testClaimItems(t *testing.T, f *fixture) {
	m := Message()
	a, b, c := Item(&m, 1, "l", after(5)), Item(&m, 2, "l", after(50)), Item(&m, 3, "held/x", after(-5))
	f.acceptItems(&m, []byte("x"), "", a, b, c)
	gone := spool.ItemKey{Message: m.ID, Seq: 9}
	f.same("claimed", []spool.Item{b, c}, sorted(itemsOf(f.claimItems("op", b.ItemKey, gone, c.ItemKey, c.ItemKey))))
	f.same("claimed again", []spool.Item(nil), itemsOf(f.claimItems("op", b.ItemKey, c.ItemKey)))
	f.same("what is left", []spool.Item{a}, itemsOf(f.claim("l", 9, "a", after(50))))

	moved := b
	moved.Lane, moved.Origin, moved.RuleSetID, moved.RuleSet = "held/operator", "l", "rs-2", spool.Hash{2}
	f.settle(spool.Settlement{Owner: "op", Out: keys(b), In: []spool.Item{moved}}, spool.Settlement{Owner: "op", Out: keys(c)})
	f.same("moved", []spool.Item{moved}, f.items("held/operator"))
	f.same("empty", []spool.Item(nil), f.items("held/x"))
	f.same("moved, and claimed", []spool.Item{moved}, itemsOf(f.claimItems("op", b.ItemKey)))
}

// What others have claimed is left to them until their leases end, and an item that is given back is where it was.
func testClaimItemsOfOthers(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "l", "l")
	f.same("claimed", items[:1], itemsOf(f.claim("l", 1, "a", Epoch)))
	f.same("chosen", items[1:], itemsOf(f.claimItems("op", keys(items...)...)))
	f.refused("settled by another", f.Settle(t.Context(), spool.Settlement{Owner: "op", Out: keys(items[0])}), spool.ErrLeaseLost)
	if err := f.Release(t.Context(), "op", items[1].ItemKey); err != nil {
		t.Fatalf("release: %v", err)
	}
	f.same("given back", items[1:], itemsOf(f.claim("l", 9, "a", Epoch)))
	claimed, err := f.ClaimItems(t.Context(), "op", after(61), after(90), keys(items...))
	if err != nil {
		t.Fatalf("claim items: %v", err)
	}
	f.same("after the leases", items, sorted(itemsOf(claimed)))
}

// Workers and an operator beside them never get an item twice, and none is forgotten.
func testClaimItemsBesideWorkers(t *testing.T, f *fixture) {
	const messages = 400
	var chosen []spool.ItemKey
	for range messages {
		_, items := f.accept(Octets(10), "l")
		chosen = append(chosen, items[0].ItemKey)
	}
	var mu sync.Mutex
	done := map[spool.ItemKey]int{}
	take := func(owner string, claimed []spool.Claimed) {
		for i, c := range claimed {
			if i%3 == 2 {
				if err := f.Release(t.Context(), owner, c.Item.ItemKey); err != nil {
					t.Errorf("release: %v", err)
				}
				continue
			}
			f.settle(spool.Settlement{Owner: owner, Out: keys(c.Item)})
			mu.Lock()
			done[c.Item.ItemKey]++
			mu.Unlock()
		}
	}
	var all sync.WaitGroup
	for _, owner := range []string{"a", "b"} {
		all.Go(func() {
			for range messages / 10 {
				take(owner, f.claim("l", 5, owner, Epoch))
			}
		})
	}
	all.Go(func() {
		for at := 0; at+20 <= messages; at += 10 {
			take("op", f.claimItems("op", chosen[at:at+20]...))
		}
	})
	all.Wait()
	for left := f.claim("l", messages, "z", Epoch); len(left) > 0; left = f.claim("l", messages, "z", Epoch) {
		for _, c := range left {
			done[c.Item.ItemKey]++
		}
	}
	if len(done) != messages {
		t.Errorf("%d items were claimed, want %d", len(done), messages)
	}
	for key, times := range done {
		if times > 1 {
			t.Errorf("item %s/%d was taken %d times", key.Message, key.Seq, times)
		}
	}
}

func testAddRuleSet(t *testing.T, f *fixture) {
	hash := spool.Hash{9}
	for _, source := range []string{"chosen", "ignored"} {
		if err := f.AddRuleSet(t.Context(), hash, []byte(source)); err != nil {
			t.Fatalf("add rule set: %v", err)
		}
	}
	rules, err := f.RuleSet(t.Context(), hash)
	if err != nil || string(rules) != "chosen" {
		t.Errorf("rule set: got %q, %v", rules, err)
	}
}
