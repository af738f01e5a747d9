package pebble

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// A rule set that an item has for its own stays over a start as long as the item does, and that of its message need not.
func TestOwnRuleSetsAreKept(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openOn(t, fs, nil)
	m, own := spooltest.Message(), spool.Hash{7}
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{item}, Rules: []byte("rules"), Owner: "o"}, nil)
	if err := s.AddRuleSet(t.Context(), own, []byte("own")); err != nil {
		t.Fatal(err)
	}
	steered := item
	steered.RuleSetID, steered.RuleSet = "rs-2", own
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{item.ItemKey}, In: []spool.Item{steered}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openOn(t, fs, nil)
	defer s.Close()
	if rules, err := s.RuleSet(t.Context(), own); err != nil || string(rules) != "own" {
		t.Errorf("the item's own rule set: %q, %v", rules, err)
	}
	if _, err := s.RuleSet(t.Context(), m.RuleSet); !errors.Is(err, spool.ErrNotFound) {
		t.Errorf("the message's rule set, which no item uses: %v", err)
	}
}

// An item that ClaimItems is looking up is neither handed out by Claim nor forgotten: Claim waits until that has ended.
func TestClaimWaitsForAReservation(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	m := spooltest.Message()
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{item}}, nil)
	w := want{owner: "op", now: nanos(spooltest.Epoch)}
	reserved := s.state.reserveItems([]spool.ItemKey{item.ItemKey}, &w)
	if again := s.state.reserveItems([]spool.ItemKey{item.ItemKey}, &w); len(reserved) != 1 || len(again) != 0 {
		t.Fatalf("reserved %d, then %d", len(reserved), len(again))
	}
	claimed := make(chan []spool.Claimed)
	go func() {
		got, _, err := s.Claim(t.Context(), "l", 1, "a", spooltest.Epoch, spooltest.Epoch.Add(time.Minute))
		if err != nil {
			t.Errorf("claim: %v", err)
		}
		claimed <- got
	}()
	select {
	case got := <-claimed:
		t.Fatalf("claimed %v while it was looked up", got)
	case <-time.After(20 * time.Millisecond): // a claim that does not wait is through by then
	}
	s.state.cancel(reserved[0])
	got := <-claimed
	if len(got) != 1 || got[0].Item.ItemKey != item.ItemKey {
		t.Errorf("claimed %v", got)
	}
}
