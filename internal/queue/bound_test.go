package queue

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// TestUnsettledStepsAreBounded has a spool that settles nothing: after a while no step begins any more.
func TestUnsettledStepsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		r, f := newFaultyRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result {
			begun.Add(1)
			return Result{}
		}}})
		fail := func([]spool.Settlement) error { return errDisk }
		f.settle.Store(&fail)
		const n = maxUnsettled + 1000
		r.queued(spool.LaneProcess, n)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := begun.Load(); got != int64(maxUnsettled) {
			t.Errorf("%d steps began, want %d", got, maxUnsettled)
		}
		if r.q.Room(1) {
			t.Error("room although nothing is settled")
		}
		f.settle.Store(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := int(begun.Load()); got != n {
			t.Errorf("%d steps began after the spool had recovered, want %d", got, n)
		}
		r.empty()
	})
}

// TestStepsOfAMessageAreSettledOneByOne ends many steps of one message at once.
func TestStepsOfAMessageAreSettledOneByOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		var at atomic.Int64 // calls of Settle that are running
		release := make(chan struct{})
		r, f := newFaultyRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				return Result{Next: slices.Repeat([]spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients}}, 40)}
			}},
			"relay": stepper{Settings{Concurrency: 40}, func(context.Context, *Work) Result {
				<-release
				return Result{}
			}},
		})
		watch := func(settlements []spool.Settlement) error {
			if at.Add(1) > 1 {
				t.Error("two committers settle the same message")
			}
			defer at.Add(-1)
			calls.Add(1)
			seen := map[message.ID]bool{}
			for _, s := range settlements {
				if seen[s.Out[0].Message] {
					t.Error("two settlements of a message in one call")
				}
				seen[s.Out[0].Message] = true
			}
			time.Sleep(time.Millisecond)
			return f.Spool.Settle(context.Background(), settlements...)
		}
		f.settle.Store(&watch)
		r.queued(spool.LaneProcess, 1)
		time.Sleep(time.Second)
		close(release)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := calls.Load(); got != 41 {
			t.Errorf("%d calls settled 41 steps", got)
		}
		r.empty()
	})
}

// TestItemsInTheSpoolAreNotOvertakenForEver keeps a lane so busy with what is handed over in memory that its ready list
// never runs low.
func TestItemsInTheSpoolAreNotOvertakenForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var waited atomic.Int64
		r := newRig(t, map[string]Executor{"process": stepper{step: func(_ context.Context, w *Work) Result {
			time.Sleep(time.Millisecond)
			if w.content == nil {
				waited.Add(1)
			}
			return Result{}
		}}}, nil)
		synctest.Wait()
		offer := func() { r.q.Offer(r.accept(spool.LaneProcess, "owner")) }
		for range 2 * lowReady {
			offer()
		}
		r.queued(spool.LaneProcess, 20)
		for range 2000 {
			time.Sleep(time.Millisecond)
			offer()
		}
		if got := waited.Load(); got != 20 {
			t.Errorf("%d of 20 items in the spool were done while others were handed over", got)
		}
	})
}

// TestLostLeasesAreNotBegun takes the leases away from what is ready: somebody else may have begun it.
func TestLostLeasesAreNotBegun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		r := newRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result {
			begun.Add(1)
			time.Sleep(leaseTime / 2)
			return Result{}
		}}}, nil)
		r.queued(spool.LaneProcess, 10)
		synctest.Wait()
		keys := make([]spool.ItemKey, 0, 10)
		for _, item := range r.items(spool.LaneProcess) {
			keys = append(keys, item.ItemKey)
		}
		// The leases end, and another owner takes all the items, also the one that runs.
		late := time.Now().Add(2 * leaseTime)
		if taken, _, err := r.spool.Claim(t.Context(), spool.LaneProcess, 20, "other", late, late.Add(time.Hour)); err != nil || len(taken) != 10 {
			t.Fatalf("other took %d items: %v", len(taken), err)
		}
		time.Sleep(10 * leaseTime)
		synctest.Wait()
		if got := begun.Load(); got != 1 {
			t.Errorf("%d steps began, want only the one that ran before", got)
		}
		if n := len(r.items(spool.LaneProcess)); n != 10 {
			t.Errorf("%d items left, want all 10: the result of the step is not ours to settle", n)
		}
		r.tidy()
		r.spool.Release(t.Context(), "other", keys...)
		r.q.Notify(spool.LaneProcess)
		time.Sleep(10 * leaseTime)
		synctest.Wait()
		r.empty()
	})
}

// TestLeaseThatComesBackStartsNoSecondStep loses the lease of a step that is running, to nobody.
func TestLeaseThatComesBackStartsNoSecondStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		r := newRig(t, map[string]Executor{"process": stepper{Settings{Concurrency: 4}, func(context.Context, *Work) Result {
			begun.Add(1)
			time.Sleep(time.Minute)
			return Result{}
		}}}, nil)
		c := r.accept(spool.LaneProcess, "")
		r.q.Notify(spool.LaneProcess)
		synctest.Wait()
		r.spool.Release(t.Context(), "owner", c.Item.ItemKey)
		time.Sleep(2 * time.Minute) // polls find it and claim it again
		synctest.Wait()
		if got := begun.Load(); got != 1 {
			t.Errorf("%d steps began, want 1", got)
		}
		r.empty()
	})
}

// TestContentBeyondTheShareIsDropped hands items over whose content does not fit: they are read from the spool then.
func TestContentBeyondTheShareIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients}}}
			}},
			"relay": stepper{step: func(_ context.Context, w *Work) Result {
				<-hold
				if r, err := w.Open(context.Background()); err != nil || r.Close() != nil {
					t.Errorf("content cannot be read: %v", err)
				}
				return Result{}
			}},
		}, func(c *Config) { c.Memory = 5 * 20 })
		synctest.Wait()
		for range 10 {
			r.q.Offer(r.accept(spool.LaneProcess, "owner"))
			synctest.Wait()
		}
		r.q.mu.Lock()
		octets := r.q.octets
		r.q.mu.Unlock()
		if octets != 2*20 {
			t.Errorf("%d octets in memory, want those of two messages", octets)
		}
		close(hold)
		synctest.Wait()
		r.empty()
	})
}

// TestFullMemoryLeavesEachLaneSome: a lane is not starved because others have filled the memory.
func TestFullMemoryLeavesEachLaneSome(t *testing.T) {
	t.Parallel()
	q := New(Config{Now: time.Now, Executors: map[string]Executor{"process": stepper{}}})
	l := q.lane(spool.LaneProcess)
	for _, tt := range []struct {
		name        string
		all, ofLane int
		coming      int
		want        bool
	}{
		{"all empty", 0, 0, 0, true},
		{"memory full, lane has little", maxReady, fewReady - 1, 0, true},
		{"memory full, lane has some", maxReady, fewReady, 0, false},
		{"memory full, lane has some on its way", maxReady, fewReady - 1, 1, false},
		{"lane almost full", maxLaneReady - 1, maxLaneReady - 1, 0, true},
		{"lane full", maxLaneReady, maxLaneReady, 0, false},
	} {
		q.ready, l.ready.n, l.coming = tt.all, tt.ofLane, tt.coming
		if got := q.admits(l); got != tt.want {
			t.Errorf("%s: admits %v, want %v", tt.name, got, tt.want)
		}
	}
}

// TestClaimedContentIsKeptAsFarAsItFits: a spool may give content with a claim.
func TestClaimedContentIsKeptAsFarAsItFits(t *testing.T) {
	t.Parallel()
	q := New(Config{Now: time.Now, Memory: 20, Executors: map[string]Executor{"process": stepper{}}})
	l := q.lane(spool.LaneProcess)
	for octets, kept := range map[int]bool{10: true, 11: false} {
		w := q.receive(l, &spool.Claimed{Message: &spool.Message{}, Content: inMemory{make([]byte, octets)}})
		if (w.content != nil) != kept {
			t.Errorf("content of %d octets kept: %v, want %v", octets, w.content != nil, kept)
		}
	}
}
