package queue

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/conform"
	"sluice/internal/schedule"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

const deadLane = spool.Lane("relay/1/r/dead")

// target is what a relay leads to. An attempt takes a while.
type target struct {
	down atomic.Bool
	took time.Duration

	mu       sync.Mutex
	attempts []time.Time // that failed
	running  int
	most     int // at once
}

func (x *target) step(_ context.Context, w *Work) Result {
	x.mu.Lock()
	x.running++
	x.most = max(x.most, x.running)
	x.mu.Unlock()
	time.Sleep(x.took)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running--
	if x.down.Load() {
		x.attempts = append(x.attempts, time.Now())
		return Result{Unreachable: "connection refused"}
	}
	return Result{}
}

func down(took time.Duration) *target {
	x := &target{took: took}
	x.down.Store(true)
	return x
}

// targets is an executor of kind relay whose lanes have a target each.
func targets(concurrency int, lanes map[spool.Lane]*target) Executor {
	return stepper{Settings{Concurrency: concurrency, Probe: true}, func(ctx context.Context, w *Work) Result {
		return lanes[w.Item.Lane].step(ctx, w)
	}}
}

// TestProbe: D19, a correction of what a lane leads to frees the mail that waits for it, long before the lane's wait is over.
func TestProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dead := down(time.Millisecond)
		r := newRig(t, map[string]Executor{"relay": targets(20, map[spool.Lane]*target{deadLane: dead})}, nil)
		r.q.Probe(deadLane) // there is no such lane yet
		r.queued(deadLane, 500)
		time.Sleep(2 * time.Hour) // it waits half an hour at a time by now
		dead.down.Store(false)
		r.q.Probe(deadLane)
		r.q.Probe(deadLane)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if left := len(r.items(deadLane)); left != 0 {
			t.Errorf("%d items still wait", left)
		}
	})
}

func TestUnreachableLaneWaitsAndIsProbed(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E5")
	synctest.Test(t, func(t *testing.T) {
		dead := down(time.Millisecond)
		r := newRig(t, map[string]Executor{"relay": targets(20, map[spool.Lane]*target{deadLane: dead})}, nil)
		r.queued(deadLane, 500)
		before := r.items(deadLane)
		start := time.Now()
		time.Sleep(2 * time.Hour)
		synctest.Wait()

		var minutes []time.Duration
		for _, at := range dead.attempts {
			minutes = append(minutes, at.Sub(start).Truncate(time.Minute)/time.Minute)
		}
		if want := []time.Duration{0, 1, 3, 7, 15, 31, 61, 91}; !slices.Equal(minutes, want) {
			t.Errorf("probed after %v minutes, want %v", minutes, want)
		}
		if dead.most != 1 {
			t.Errorf("%d attempts at once, want 1", dead.most)
		}
		if s := r.state(deadLane); s.State != "WAITING" || s.Ready != 0 || s.Workers != 0 || s.Reason != "connection refused" || s.Items != 500 {
			t.Errorf("lane is %+v", s)
		}
		if after := r.items(deadLane); !slices.EqualFunc(before, after, sameItem) {
			t.Error("items of a waiting lane were rewritten")
		}
		r.tidy()

		dead.down.Store(false)
		time.Sleep(30*time.Minute + time.Second) // the next probe opens the lane fully
		synctest.Wait()
		if dead.most != 20 {
			t.Errorf("%d workers after the lane opened, want 20", dead.most)
		}
		r.empty()
	})
}

func sameItem(a, b spool.Item) bool {
	return a.ItemKey == b.ItemKey && a.Due.Equal(b.Due) && a.Attempts == b.Attempts && a.LastReply == b.LastReply
}

func TestSuccessorsForAWaitingLaneStayInTheSpool(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dead := down(0)
		r, f := newFaultyRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				return Result{Next: []spool.Item{{Lane: deadLane, Recipients: w.Item.Recipients}}}
			}},
			"relay": targets(20, map[spool.Lane]*target{deadLane: dead}),
		})
		synctest.Wait()
		for range 50 {
			r.q.Offer(r.accept(spool.LaneProcess, "owner"))
			synctest.Wait()
		}
		if len(dead.attempts) != 1 {
			t.Errorf("%d attempts, want 1", len(dead.attempts))
		}
		if n := len(r.items(deadLane)); n != 50 {
			t.Errorf("%d items wait, want 50", n)
		}
		if n := f.released.Load(); n != 1 {
			t.Errorf("%d items were claimed and given back, want only the one that was tried", n)
		}
		r.tidy()
	})
}

// TestOpenLaneWhoseTargetGoesDown has many attempts running when the target goes: they count as one failure.
func TestOpenLaneWhoseTargetGoesDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &target{took: time.Second}
		r := newRig(t, map[string]Executor{"relay": targets(8, map[spool.Lane]*target{deadLane: x})}, nil)
		r.queued(deadLane, 100)
		time.Sleep(2500 * time.Millisecond)
		x.down.Store(true)
		time.Sleep(time.Second)
		synctest.Wait()
		if s := r.state(deadLane); s.State != "WAITING" || s.Failures != 1 || s.Running != 0 {
			t.Errorf("lane is %+v", s)
		}
		if len(x.attempts) != 8 {
			t.Errorf("%d attempts failed, want the 8 that were running", len(x.attempts))
		}
		if n := len(r.items(deadLane)); n != 100-1-8 {
			t.Errorf("%d items wait, want %d", n, 100-1-8)
		}
		r.tidy()
	})
}

// TestLateSuccessOpensAWaitingLane has an attempt that succeeds after another could not reach the target.
func TestLateSuccessOpensAWaitingLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int64
		r := newRig(t, map[string]Executor{"relay": stepper{Settings{Concurrency: 2, Probe: true}, func(context.Context, *Work) Result {
			switch n.Add(1) {
			case 2:
				time.Sleep(10 * time.Second)
			case 3:
				return Result{Unreachable: "reset"}
			}
			return Result{}
		}}}, nil)
		r.queued(relayLane, 10)
		time.Sleep(5 * time.Second)
		if s := r.state(relayLane); s.State != "WAITING" {
			t.Errorf("lane is %+v", s)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		synctest.Wait()
		r.empty()
	})
}

func TestDeferredItemIsRetriedAloneAndGivenUp(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E5")
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		var other atomic.Int64
		r := newRig(t, map[string]Executor{"relay": stepper{Settings{Concurrency: 5, Probe: true}, func(_ context.Context, w *Work) Result {
			if len(w.Item.Recipients) == 1 {
				other.Add(1)
				return Result{}
			}
			at = append(at, time.Now())
			return Result{
				Deferred: w.Item.Recipients[:2], Reply: "451 4.7.1 Try again later",
				Attempts: []trace.Attempt{{Status: "IN_PROGRESS"}},
			}
		}}}, nil)
		start := time.Now()
		r.accept(relayLane, "", "a@example.com", "b@example.com", "c@example.com")
		r.queued(relayLane, 20)
		time.Sleep(6 * 24 * time.Hour)
		synctest.Wait()

		if n := other.Load(); n != 20 {
			t.Errorf("%d other items were done, want 20", n)
		}
		want := start
		for i, got := range at {
			if got.Sub(want).Abs() > time.Second {
				t.Fatalf("attempt %d was made after %v, want %v", i+1, got.Sub(start), want.Sub(start))
			}
			want = want.Add((schedule.Retry{}).Wait(i+1, 0.5))
		}
		if len(at) != 38 {
			t.Errorf("%d attempts, want 38", len(at))
		}
		held := r.items("held/expired")
		if len(held) != 1 || held[0].LastReply != "451 4.7.1 Try again later" || len(held[0].Recipients) != 2 || held[0].Attempts != 38 {
			t.Fatalf("held: %+v", held)
		}
		var numbers []int
		for _, e := range r.trace.events {
			if e.Attempt == nil {
				continue
			}
			numbers = append(numbers, e.Attempt.Number)
			if last := e.Attempt.Number == 38; e.Attempt.Next.IsZero() != last {
				t.Errorf("attempt %d says that the next is at %v", e.Attempt.Number, e.Attempt.Next)
			}
		}
		if len(numbers) != 38 || numbers[0] != 1 || numbers[37] != 38 {
			t.Errorf("trace has attempts %v", numbers)
		}
		r.tidy()
	})
}

// TestDeadLaneIsGivenUp lets a target stay away: what waits for it ends by age, all of it, and no sooner.
func TestDeadLaneIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dead := down(0)
		executors := map[string]Executor{"relay": targets(20, map[spool.Lane]*target{deadLane: dead})}
		r := newRig(t, executors, func(c *Config) { c.Retry.GiveUp = 10 * time.Hour })
		r.queued(deadLane, 300)
		time.Sleep(2 * time.Hour)
		r.queued(deadLane, 7)
		time.Sleep(8*time.Hour - time.Minute)
		synctest.Wait()
		if n := len(r.items("held/expired")); n != 0 {
			t.Fatalf("%d items were given up before their time", n)
		}
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		if n, left := len(r.items("held/expired")), len(r.items(deadLane)); n != 300 || left != 7 {
			t.Errorf("%d items were given up and %d wait, want 300 and 7", n, left)
		}
		r.tidy()
	})
}

// rate is how long a lane takes for its items in a gateway that does nothing else, or that has the other lanes too.
func rate(t *testing.T, workers int, others map[spool.Lane]*target) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		lanes := map[spool.Lane]*target{relayLane: {took: 10 * time.Millisecond}}
		for lane, x := range others {
			lanes[lane] = x
		}
		r := newRig(t, map[string]Executor{"relay": targets(10, lanes)}, func(c *Config) {
			c.Workers, c.Grace = workers, time.Hour
		})
		for lane := range others {
			r.queued(lane, 1000)
		}
		time.Sleep(time.Minute)
		start := time.Now()
		r.queued(relayLane, n)
		for len(r.items(relayLane)) > 0 {
			time.Sleep(20 * time.Millisecond)
		}
		took = time.Since(start)
	})
	return took
}

func TestLanesDoNotSlowEachOtherDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		workers int
		others  map[spool.Lane]*target
	}{
		{"one that refuses", 512, map[spool.Lane]*target{"relay/1": down(0)}},
		{"one that never answers", 512, map[spool.Lane]*target{"relay/1": down(5 * time.Minute)}},
		{"one that is slow", 512, map[spool.Lane]*target{"relay/1": {took: 10 * time.Minute}}},
		{"many that never answer", 40, map[spool.Lane]*target{
			"relay/1": down(5 * time.Minute), "relay/2": down(5 * time.Minute), "relay/3": down(5 * time.Minute),
			"relay/4": down(5 * time.Minute), "relay/5": down(5 * time.Minute), "relay/6": down(5 * time.Minute),
		}},
		{"others with a large backlog and too few workers", 20, map[spool.Lane]*target{"relay/1": {took: 250 * time.Millisecond}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			alone := rate(t, tt.workers, nil)
			beside := rate(t, tt.workers, tt.others)
			if float64(alone) < 0.9*float64(beside) {
				t.Errorf("takes %v beside the others, %v alone: less than 90 %% of its rate", beside, alone)
			}
		})
	}
}

// TestWorkersAreShared has three lanes that each could use all workers there are.
func TestWorkersAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lanes := map[spool.Lane]*target{}
		names := []spool.Lane{"relay/1", "relay/2", "relay/3"}
		for _, name := range names {
			lanes[name] = &target{took: time.Second}
		}
		r := newRig(t, map[string]Executor{"relay": targets(12, lanes)}, func(c *Config) { c.Workers = 12 })
		for _, name := range names {
			r.queued(name, 1000)
			time.Sleep(5 * time.Second)
		}
		time.Sleep(5 * time.Second)
		for _, name := range names {
			if got := r.state(name).Workers; got != 4 {
				t.Errorf("%s has %d workers, want a third of 12", name, got)
			}
		}
	})
}

// TestIdleWorkersMakeRoom has a lane that keeps idle workers while another wants some.
func TestIdleWorkersMakeRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		idler := stepper{Settings: Settings{Concurrency: 4, Probe: true}}
		r := newRig(t, map[string]Executor{"relay": patient{idler}}, func(c *Config) { c.Workers = 4 })
		r.queued("relay/1", 10)
		time.Sleep(time.Second)
		if got := r.state("relay/1").Workers; got != 4 {
			t.Fatalf("%d workers are idle, want all 4", got)
		}
		r.queued("relay/2", 10)
		time.Sleep(time.Second)
		synctest.Wait()
		r.empty()
	})
}

// patient is an executor whose workers wait an hour for the next item.
type patient struct{ stepper }

func (p patient) Work(ctx context.Context, feed Feed) {
	for w := feed.Next(ctx, time.Hour); w != nil; w = feed.Next(ctx, time.Hour) {
		time.Sleep(time.Millisecond)
		feed.Done(w, Result{})
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type call struct {
			name string
			wait time.Duration
			took time.Duration
			item bool
		}
		calls := []call{
			{"an item that is there", 0, 0, true},
			{"none, and no wait", 0, 0, false},
			{"none within the wait", time.Second, time.Second, false},
			{"one that comes", 10 * time.Second, 2 * time.Second, true},
			{"the context ends", time.Hour, 3 * time.Second, false},
		}
		finished := false
		r := newRig(t, map[string]Executor{"relay": worker(func(ctx context.Context, feed Feed) {
			if feed.Lane() != relayLane {
				t.Errorf("feed is of lane %s", feed.Lane())
			}
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(6*time.Second, cancel)
			for _, c := range calls {
				start := time.Now()
				w := feed.Next(ctx, c.wait)
				if took := time.Since(start); (w != nil) != c.item || took != c.took {
					t.Errorf("%s: item %v after %v, want %v after %v", c.name, w != nil, took, c.item, c.took)
				}
				if w != nil {
					feed.Done(w, Result{})
				}
			}
			finished = true
		})}, nil)
		r.queued(relayLane, 1)
		time.Sleep(3 * time.Second)
		r.queued(relayLane, 1)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		if !finished {
			t.Error("worker has not finished")
		}
		r.empty()
	})
}

// TestProbeIsOneItem has a worker that would hold several items at once.
func TestProbeIsOneItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]Executor{"relay": greedy{stepper{Settings: Settings{Concurrency: 1, Probe: true}}, t}}, nil)
		r.queued(relayLane, 3)
		synctest.Wait()
		r.empty()
	})
}

type greedy struct {
	stepper
	t *testing.T
}

func (g greedy) Work(ctx context.Context, feed Feed) {
	first := feed.Next(ctx, 0)
	if feed.Next(ctx, 0) != nil {
		g.t.Error("a second item was given before the first had reached the target")
	}
	feed.Done(first, Result{})
	second, third := feed.Next(ctx, 0), feed.Next(ctx, 0)
	if second == nil || third == nil {
		g.t.Error("a lane that is open gives one item at a time")
		return
	}
	feed.Done(third, Result{})
	feed.Done(second, Result{})
}

// worker is an executor with one worker at a time.
type worker func(ctx context.Context, feed Feed)

func (w worker) Lane(spool.Lane) Settings            { return Settings{Concurrency: 1} }
func (w worker) Work(ctx context.Context, feed Feed) { w(ctx, feed) }
