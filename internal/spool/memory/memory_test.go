package memory_test

import (
	"errors"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/internal/spool/memory"
	"sluice/internal/spool/spooltest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	spooltest.Run(t, func(_ testing.TB, budget *spool.Budget) spool.Spool {
		return memory.New(memory.Config{Budget: budget})
	})
}

// accept takes in a message with one item that the owner has claimed.
func accept(t *testing.T, s spool.Spool, owner string) spool.ItemKey {
	t.Helper()
	m := spooltest.Message()
	in, err := s.Begin(t.Context(), m.ID)
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	_, err = s.Accept(t.Context(), spool.Acceptance{
		Message: m, Content: in, Items: []spool.Item{item}, Owner: owner, Until: spooltest.Epoch.Add(time.Minute),
	})
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	return item.ItemKey
}

// TestLosesLeases shows that a share of the leases is lost, the same ones for the same seed, and that what is lost can
// be claimed again.
func TestLosesLeases(t *testing.T) {
	t.Parallel()
	losses := func(seed uint64) (lost []bool) {
		s := memory.New(memory.Config{Lose: 0.5, Seed: seed})
		for range 100 {
			key := accept(t, s, "a")
			err := s.Settle(t.Context(), spool.Settlement{Owner: "a", Out: []spool.ItemKey{key}})
			if err != nil && !errors.Is(err, spool.ErrLeaseLost) {
				t.Fatalf("settle: %v", err)
			}
			lost = append(lost, err != nil)
		}
		return lost
	}
	first, again := losses(1), losses(1)
	count := 0
	for i := range first {
		if first[i] != again[i] {
			t.Fatalf("settlement %d: same seed, other losses", i)
		}
		if first[i] {
			count++
		}
	}
	if count < 30 || count > 70 {
		t.Errorf("%d of 100 leases were lost, want about half", count)
	}
}

func TestRenewLosesLeases(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.Config{Lose: 1})
	accept(t, s, "a")
	until := spooltest.Epoch.Add(time.Hour)
	if err := s.Renew(t.Context(), "a", until); !errors.Is(err, spool.ErrLeaseLost) {
		t.Fatalf("renew: got %v, want %v", err, spool.ErrLeaseLost)
	}
	claimed, _, err := s.Claim(t.Context(), "l", 1, "b", spooltest.Epoch, until)
	if err != nil || len(claimed) != 1 {
		t.Errorf("claim of a lost item: %d items, %v", len(claimed), err)
	}
}
