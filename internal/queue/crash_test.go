package queue

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/spool"
)

// book is a Journal in memory. It lives on when the queue that writes it is cut off.
type book struct {
	mu    sync.Mutex
	slots []spool.ItemKey // the zero key: free
	old   []spool.ItemKey
}

func (b *book) Begin(key spool.ItemKey) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot := slices.Index(b.slots, spool.ItemKey{})
	if slot < 0 {
		slot = len(b.slots)
		b.slots = append(b.slots, key)
	}
	b.slots[slot] = key
	return slot
}

func (b *book) End(slot int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.slots[slot] == (spool.ItemKey{}) {
		panic("slot ended twice")
	}
	b.slots[slot] = spool.ItemKey{}
}

func (b *book) Interrupted() []spool.ItemKey { return b.old }

// running returns the items whose slots have not ended.
func (b *book) running() []spool.ItemKey {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.slots), func(k spool.ItemKey) bool { return k == spool.ItemKey{} })
}

// poison is an executor that panics for one recipient, and notes what runs beside it.
type poison struct {
	mu      sync.Mutex
	running int
	begun   int
	beside  []int // steps that ran at some time of it, for each time it ran
}

func (p *poison) step(_ context.Context, w *Work) Result {
	p.mu.Lock()
	beside := p.running
	p.running++
	p.begun++
	first := p.begun
	p.mu.Unlock()
	time.Sleep(100 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
	if w.Item.Recipients[0].Path.Received == "poison@example.com" {
		p.beside = append(p.beside, beside+p.begun-first)
		panic("poison")
	}
	return Result{}
}

func TestPanicsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, journal := &poison{}, &book{}
		r := newRig(t, map[string]Executor{
			"process": stepper{Settings{Concurrency: 4}, p.step}, "relay": stepper{Settings{Concurrency: 4, Probe: true}, p.step},
		}, func(c *Config) { c.Journal = journal })
		r.queued(relayLane, 20)
		for range 20 {
			r.accept(spool.LaneProcess, "")
		}
		r.accept(spool.LaneProcess, "", "poison@example.com")
		for range 20 {
			r.accept(spool.LaneProcess, "")
		}
		r.q.Notify(spool.LaneProcess)
		time.Sleep(10 * time.Second)
		synctest.Wait()

		if len(p.beside) != 3 || p.beside[0] == 0 || p.beside[2] != 0 {
			t.Errorf("ran with %v others beside it, want three times, alone at last", p.beside)
		}
		held := r.items("held/poison")
		if len(held) != 1 || held[0].LastReply != "panic: poison" || held[0].Recipients[0].Path.Received != "poison@example.com" {
			t.Errorf("held: %+v", held)
		}
		if n := len(r.items(spool.LaneProcess)) + len(r.items(relayLane)); n != 0 {
			t.Errorf("%d other items were not done", n)
		}
		if left := journal.running(); len(left) != 0 {
			t.Errorf("journal has %v running", left)
		}
		r.tidy()
	})
}

// TestInterruptedStepsAreCounted cuts processes off while a step runs, as kill -9 does.
func TestInterruptedStepsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var crashes []int
		deadly := true
		stuck := make(chan struct{})
		journal := &book{}
		executors := map[string]Executor{"process": stepper{Settings{Concurrency: 4}, func(_ context.Context, w *Work) Result {
			if w.Item.Recipients[0].Path.Received != "poison@example.com" {
				return Result{}
			}
			crashes = append(crashes, w.Item.Crashes)
			if deadly {
				<-stuck // the process ends here
			}
			return Result{Deferred: w.Item.Recipients}
		}}}
		dead := func(c *Config) { c.Grace, c.Journal = time.Nanosecond, journal }
		r := newRig(t, executors, dead)
		key := r.accept(spool.LaneProcess, "", "poison@example.com").Item.ItemKey
		r.q.Notify(spool.LaneProcess)
		for range 3 {
			synctest.Wait()
			running := journal.running()
			if !slices.Equal(running, []spool.ItemKey{key}) {
				t.Fatalf("journal has %v running, want %v", running, key)
			}
			r.stop()
			r.spool.Release(t.Context(), "owner", running...) // the leases of a dead process end
			journal = &book{old: running}
			r.restart(executors, dead)
			r.queued(spool.LaneProcess, 3)
		}
		synctest.Wait()
		if want := []int{0, 1, 2}; !slices.Equal(crashes, want) {
			t.Errorf("ran with crash counts %v, want %v", crashes, want)
		}
		held := r.items("held/poison")
		if len(held) != 1 || held[0].ItemKey != key || held[0].LastReply != endedWithProcess {
			t.Errorf("held: %+v", held)
		}
		if n := len(r.items(spool.LaneProcess)); n != 0 {
			t.Errorf("%d other items were not done", n)
		}
		r.tidy()
		close(stuck)
	})
}

func TestStepThatEndsClearsTheCount(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  Result
	}{
		{"deferred", Result{Deferred: toRecipients([]string{"a"})}},
		{"unreachable", Result{Unreachable: "down"}},
		{"held", Result{Held: []Hold{{Reason: "x", Recipients: toRecipients([]string{"a"})}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := 0
				r := newRig(t, map[string]Executor{"relay": stepper{Settings{Probe: true}, func(_ context.Context, w *Work) Result {
					n++
					if n == 1 {
						panic("once")
					}
					if w.Item.Crashes != 1 {
						t.Errorf("runs again with count %d, want 1", w.Item.Crashes)
					}
					return tt.end
				}}}, nil)
				c := r.accept(relayLane, "")
				r.q.Notify(relayLane)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				_, items, err := r.spool.Message(t.Context(), c.Item.Message)
				if err != nil || n != 2 || items[0].Crashes != 0 {
					t.Errorf("after %d steps: %+v, %v", n, items, err)
				}
				r.tidy()
			})
		})
	}
}

// TestSuspectsOfAWaitingLaneHoldUpNobody has two items that must run alone in a lane that cannot be reached: the first
// finds that out, and the second must not wait for its turn.
func TestSuspectsOfAWaitingLaneHoldUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		steps := map[spool.ItemKey]int{}
		unreachable := 0
		r := newRig(t, map[string]Executor{
			"relay": stepper{Settings{Concurrency: 2, Probe: true}, func(_ context.Context, w *Work) Result {
				mu.Lock()
				defer mu.Unlock()
				if steps[w.Item.ItemKey]++; steps[w.Item.ItemKey] <= 2 {
					panic("twice")
				}
				unreachable++
				return Result{Unreachable: "down"}
			}},
			"process": stepper{step: func(context.Context, *Work) Result { return Result{} }},
		}, nil)
		// Both are suspects from the start, and in memory at once.
		for range 2 {
			c := r.accept(relayLane, "owner")
			c.Item.Crashes = 2
			steps[c.Item.ItemKey] = 2
			r.q.Offer(c)
		}
		time.Sleep(10 * time.Second)
		r.queued(spool.LaneProcess, 5)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if left := len(r.items(spool.LaneProcess)); left != 0 || unreachable != 1 {
			t.Errorf("%d items were held up, %d attempts", left, unreachable)
		}
		r.tidy()
	})
}

func TestWorkerThatPanicsWithoutAnItemIsNotStartedForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := newRig(t, map[string]Executor{"process": worker(func(ctx context.Context, feed Feed) {
			if n.Add(1) < 4 {
				panic("no item yet")
			}
			stepper{step: func(context.Context, *Work) Result { return Result{} }}.Work(ctx, feed)
		})}, nil)
		r.queued(spool.LaneProcess, 3)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if s := r.state(spool.LaneProcess); n.Load() != 1 || s.State != "WAITING" || s.Reason != "panic: no item yet" {
			t.Errorf("%d workers, lane %+v", n.Load(), s)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		r.empty()
	})
}

func TestWhatAnExecutorForgetsGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := newRig(t, map[string]Executor{"process": worker(func(ctx context.Context, feed Feed) {
			w := feed.Next(ctx, 0)
			if n++; n == 1 || w == nil {
				return // with the item in its hands
			}
			feed.Done(w, Result{})
			feed.Done(w, Result{Deferred: w.Item.Recipients}) // it is not there any more
		})}, nil)
		r.queued(spool.LaneProcess, 1)
		synctest.Wait()
		r.empty()
	})
}

func TestItemWithoutALaneCountsAsACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result {
			return Result{Next: []spool.Item{{}}}
		}}}, nil)
		r.queued(spool.LaneProcess, 1)
		synctest.Wait()
		if n := len(r.items("held/poison")); n != 1 {
			t.Errorf("%d items are held as poison, want 1", n)
		}
		r.tidy()
	})
}
