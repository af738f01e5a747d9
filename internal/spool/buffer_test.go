package spool_test

import (
	"bytes"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// TestBufferKeepsWhatItTook writes in pieces of any size, under a limit and a budget of any size: what it says it took is
// what it has, and never more of the budget than it may hold.
func TestBufferKeepsWhatItTook(t *testing.T) {
	t.Parallel()
	content := spooltest.Octets(2 << 20)
	rapid.Check(t, func(t *rapid.T) {
		budget := spool.NewBudget(rapid.Int64Range(1, 1<<20).Draw(t, "budget"))
		limit := rapid.IntRange(0, 1<<20).Draw(t, "limit")
		buffer := spool.NewBuffer(budget)
		taken := 0
		for _, size := range rapid.SliceOfN(rapid.IntRange(0, 300_000), 0, 12).Draw(t, "sizes") {
			n := buffer.Write(content[taken:min(len(content), taken+size)], limit)
			taken += n
			if budget.Used() > budget.Limit() {
				t.Fatalf("%d of a budget of %d", budget.Used(), budget.Limit())
			}
		}
		if taken > limit || buffer.Size() != taken || !bytes.Equal(bytes.Join(buffer.Bytes(), nil), content[:taken]) {
			t.Fatalf("took %d, has %d under a limit of %d", taken, buffer.Size(), limit)
		}
		if want := content[:min(taken, spool.PrefixOctets)]; !bytes.Equal(buffer.Prefix(), want) {
			t.Fatalf("prefix has %d octets, want %d", len(buffer.Prefix()), len(want))
		}
		for i, piece := range buffer.Bytes() {
			if i < len(buffer.Bytes())-1 && len(piece) != spool.ChunkOctets {
				t.Fatalf("piece %d has %d octets", i, len(piece))
			}
		}
		buffer.Discard()
		if budget.Used() != 0 {
			t.Fatalf("%d octets are not given back", budget.Used())
		}
	})
}

func TestBufferWaste(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size int
		most int64
	}{{1, 4 << 10}, {4 << 10, 4 << 10}, {10 << 10, 16 << 10}, {50 << 10, 64 << 10}, {200 << 10, 256 << 10}, {257 << 10, 260 << 10}} {
		budget := spool.NewBudget(0)
		buffer := spool.NewBuffer(budget)
		buffer.Write(spooltest.Octets(c.size), c.size)
		if budget.Used() > c.most {
			t.Errorf("%d octets hold %d, want no more than %d", c.size, budget.Used(), c.most)
		}
	}
}

func TestWriteBeyond(t *testing.T) {
	t.Parallel()
	budget := spool.NewBudget(1)
	buffer := spool.NewBuffer(budget)
	if n := buffer.Write([]byte("refused"), 100); n != 0 || budget.Used() != 0 {
		t.Errorf("took %d beyond the budget, %d are used", n, budget.Used())
	}
	if n := buffer.WriteBeyond(spooltest.Octets(200), 100); n != 100 {
		t.Errorf("took %d, want the limit of 100", n)
	}
	buffer.Discard()
	if budget.Used() != 0 {
		t.Errorf("%d octets are not given back", budget.Used())
	}
}

// TestContentReferences lets many readers share content: its memory goes back with the last, and one release too many is
// noticed.
func TestContentReferences(t *testing.T) {
	t.Parallel()
	budget := spool.NewBudget(0)
	buffer := spool.NewBuffer(budget)
	want := spooltest.Octets(600_000)
	buffer.Write(want, len(want))
	content := buffer.Content()
	var readers sync.WaitGroup
	for range 8 {
		content.Retain()
		readers.Go(func() {
			defer content.Release()
			if !bytes.Equal(bytes.Join(content.Bytes(), nil), want) || content.Size() != int64(len(want)) {
				t.Errorf("content changed")
			}
		})
	}
	readers.Wait()
	if budget.Used() == 0 {
		t.Errorf("the memory went back while it was used")
	}
	content.Release()
	if budget.Used() != 0 {
		t.Errorf("%d octets are not given back", budget.Used())
	}
	defer func() {
		if recover() == nil {
			t.Errorf("one release too many was not noticed")
		}
	}()
	content.Release()
}

func TestBudgetAtOnce(t *testing.T) {
	t.Parallel()
	budget := spool.NewBudget(100)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 1000 {
				if budget.TryAcquire(30) {
					budget.Release(30)
				}
			}
		})
	}
	workers.Wait()
	if budget.Used() != 0 {
		t.Errorf("%d octets are left", budget.Used())
	}
	if budget.TryAcquire(101) || !budget.TryAcquire(100) || budget.TryAcquire(1) {
		t.Errorf("the limit does not hold")
	}
}
