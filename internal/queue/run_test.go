package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/spool"
	"sluice/internal/spool/memory"
)

// faulty is a spool whose verbs can fail.
type faulty struct {
	*memory.Spool
	settle   atomic.Pointer[func([]spool.Settlement) error] // called instead
	claim    atomic.Pointer[error]
	lanes    atomic.Pointer[error]
	claimed  atomic.Int64
	released atomic.Int64
}

func (f *faulty) Release(ctx context.Context, owner string, keys ...spool.ItemKey) error {
	f.released.Add(int64(len(keys)))
	return f.Spool.Release(ctx, owner, keys...)
}

func (f *faulty) Settle(ctx context.Context, settlements ...spool.Settlement) error {
	if fail := f.settle.Load(); fail != nil {
		return (*fail)(settlements)
	}
	return f.Spool.Settle(ctx, settlements...)
}

func (f *faulty) Claim(ctx context.Context, lane spool.Lane, n int, owner string, now, until time.Time) ([]spool.Claimed, time.Time, error) {
	if err := f.claim.Load(); err != nil {
		return nil, time.Time{}, *err
	}
	claimed, next, err := f.Spool.Claim(ctx, lane, n, owner, now, until)
	f.claimed.Add(int64(len(claimed)))
	return claimed, next, err
}

func (f *faulty) Lanes(ctx context.Context) ([]spool.LaneStat, error) {
	if err := f.lanes.Load(); err != nil {
		return nil, *err
	}
	return f.Spool.Lanes(ctx)
}

// newFaultyRig is newRig over a spool that can fail.
func newFaultyRig(t *testing.T, executors map[string]Executor) (*rig, *faulty) {
	f := &faulty{}
	r := newRig(t, executors, nil)
	r.stop()
	f.Spool = r.spool
	r.restart(executors, func(c *Config) { c.Spool = f })
	return r, f
}

var errDisk = errors.New("disk on fire")

func TestSettlementIsTriedAgain(t *testing.T) {
	t.Parallel()
	process := map[string]Executor{"process": stepper{step: func(_ context.Context, w *Work) Result {
		return Result{Next: []spool.Item{{Lane: "lambda/x", Recipients: w.Item.Recipients}}}
	}}}
	for _, tt := range []struct {
		name string
		fail func(f *faulty) func([]spool.Settlement) error
		left int // items of lane lambda in the end
	}{
		{"a failure of all", func(*faulty) func([]spool.Settlement) error {
			return func([]spool.Settlement) error { return errDisk }
		}, 3},
		{"a failure of one", func(f *faulty) func([]spool.Settlement) error {
			return func(s []spool.Settlement) error {
				if err := f.Spool.Settle(context.Background(), s[1:]...); err != nil {
					panic(err)
				}
				return &spool.SettleError{Failed: map[int]error{0: errDisk}}
			}
		}, 3},
		{"a failure of what was applied all the same", func(f *faulty) func([]spool.Settlement) error {
			return func(s []spool.Settlement) error {
				f.Spool.Settle(context.Background(), s...)
				return errDisk
			}
		}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, f := newFaultyRig(t, process)
				fail := tt.fail(f)
				f.settle.Store(&fail)
				r.queued(spool.LaneProcess, 3)
				time.Sleep(20 * time.Second)
				f.settle.Store(nil)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if n := len(r.items("lambda/x")); n != tt.left || len(r.items(spool.LaneProcess)) != 0 {
					t.Errorf("%d items of %d went on", n, tt.left)
				}
				r.tidy()
				r.free("lambda/x", tt.left)
			})
		})
	}
}

// free fails unless n items of the lane can be claimed by somebody else.
func (r *rig) free(lane spool.Lane, n int) {
	r.Helper()
	now := time.Now()
	claimed, _, err := r.spool.Claim(context.Background(), lane, n+1, "somebody else", now, now.Add(time.Hour))
	if err != nil || len(claimed) != n {
		r.Errorf("%d items of %s are free, want %d (%v)", len(claimed), lane, n, err)
	}
}

// TestAppliedButReportedAsFailed has successors that go on in memory, of settlements that were applied although the spool
// said otherwise: they must not be owned by nobody who runs them.
func TestAppliedButReportedAsFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := 0
		r, f := newFaultyRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients}}}
			}},
			"relay": stepper{step: func(context.Context, *Work) Result {
				done++
				return Result{}
			}},
		})
		fail := func(s []spool.Settlement) error {
			f.Spool.Settle(context.Background(), s...)
			f.settle.Store(nil)
			return errDisk
		}
		f.settle.Store(&fail)
		r.queued(spool.LaneProcess, 1)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if done != 1 {
			t.Errorf("successor ran %d times, want once", done)
		}
		r.empty()
	})
}

func TestCorruptSettlementGoesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaultyRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result { return Result{} }}})
		fail := func(s []spool.Settlement) error {
			f.settle.Store(nil)
			if len(s) > 1 {
				f.Spool.Settle(context.Background(), s[1:]...)
			}
			return &spool.SettleError{Failed: map[int]error{0: spool.ErrCorrupt}}
		}
		f.settle.Store(&fail)
		r.queued(spool.LaneProcess, 2)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		r.empty()
	})
}

func TestClaimsGoOnAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaultyRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result { return Result{} }}})
		f.claim.Store(&errDisk)
		f.lanes.Store(&errDisk)
		r.queued(spool.LaneProcess, 200)
		time.Sleep(10 * time.Second)
		f.claim.Store(nil)
		time.Sleep(claimRetry)
		synctest.Wait()
		r.empty()
	})
}

// TestRestartLoadsNoBacklog starts a queue beside a large backlog for a target that is down.
func TestRestartLoadsNoBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5_000
		dead := down(time.Second)
		r, f := newFaultyRig(t, map[string]Executor{"relay": targets(20, map[spool.Lane]*target{deadLane: dead})})
		r.stop()
		for range n {
			acceptIn(t, r.spool, deadLane, "")
		}
		f.claimed.Store(0)
		r.restart(map[string]Executor{"relay": targets(20, map[spool.Lane]*target{deadLane: dead})}, func(c *Config) { c.Spool = f })
		time.Sleep(time.Minute / 2)
		synctest.Wait()
		if s := r.state(deadLane); s.Items != n || s.Ready != 0 || s.State != "WAITING" {
			t.Errorf("lane is %+v", s)
		}
		if got := f.claimed.Load(); got > int64(claimBatch) {
			t.Errorf("%d items were read, want at most one batch of %d", got, claimBatch)
		}
		if dead.most != 1 {
			t.Errorf("%d attempts at once, want 1", dead.most)
		}
		r.tidy()
	})
}

// TestBacklogDrains measures how often the spool is asked while a large lane drains: in batches, and seldom idle.
func TestBacklogDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 5_000
		x := &target{took: time.Millisecond}
		r := newRig(t, map[string]Executor{"relay": targets(10, map[spool.Lane]*target{relayLane: x})}, nil)
		for range n {
			r.accept(relayLane, "")
		}
		start := time.Now()
		r.q.Notify(relayLane)
		for len(r.items(relayLane)) > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(start); took > n/10*time.Millisecond*11/10 {
			t.Errorf("took %v for what ten workers do in %v", took, n/10*time.Millisecond)
		}
		r.empty()
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		stop func(r *rig)
	}{
		{"the context of Run ends", func(r *rig) { r.stop() }},
		{"drain", func(r *rig) {
			if err := r.q.Drain(context.Background()); err != nil {
				r.Error(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var done atomic.Int64
				r := newRig(t, map[string]Executor{
					"process": stepper{Settings{Concurrency: 3}, func(ctx context.Context, w *Work) Result {
						<-ctx.Done() // the end of the context is no reason to stop in the middle
						time.Sleep(10 * time.Second)
						done.Add(1)
						return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients}}}
					}},
					"relay": stepper{step: func(context.Context, *Work) Result {
						t.Error("a step began after the stop")
						return Result{}
					}},
				}, nil)
				r.queued(spool.LaneProcess, 500)
				synctest.Wait()
				start := time.Now()
				tt.stop(r)
				if took := time.Since(start); took != 10*time.Second || done.Load() != 3 {
					t.Errorf("stopped after %v with %d steps done, want 3 after 10 s", took, done.Load())
				}
				r.tidy()
				r.free(spool.LaneProcess, 497)
				r.free(relayLane, 3)
			})
		})
	}
}

func TestStepsThatTakeTooLongAreLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		journal := &book{}
		stuck := make(chan struct{})
		r := newRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result {
			<-stuck
			return Result{}
		}}}, func(c *Config) { c.Journal = journal })
		r.queued(spool.LaneProcess, 2)
		synctest.Wait()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errDisk)
		defer cancel()
		if err := r.q.Drain(ctx); !errors.Is(err, errDisk) {
			t.Errorf("drain returned %v", err)
		}
		r.stop()
		if left := journal.running(); len(left) != 0 {
			t.Errorf("journal has %v running: they would count as crashed", left)
		}
		r.free(spool.LaneProcess, 1)
		close(stuck) // its result comes too late
		synctest.Wait()
		if n := len(r.items(spool.LaneProcess)); n != 2 {
			t.Errorf("%d items left, want 2", n)
		}
	})
}

func TestStopsAlthoughTheSpoolFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaultyRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result { return Result{} }}})
		fail := func([]spool.Settlement) error { return errDisk }
		f.settle.Store(&fail)
		r.queued(spool.LaneProcess, 3)
		synctest.Wait()
		start := time.Now()
		r.stop()
		if took := time.Since(start); took != DefaultGrace {
			t.Errorf("stopped after %v, want %v", took, DefaultGrace)
		}
		if n := len(r.items(spool.LaneProcess)); n != 3 {
			t.Errorf("%d items left, want 3", n)
		}
		r.tidy()
	})
}

func TestBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, map[string]Executor{
			"process": stepper{step: func(context.Context, *Work) Result { <-hold; return Result{} }},
			"relay":   targets(1, map[spool.Lane]*target{deadLane: down(0)}),
		}, nil)
		r.queued(deadLane, 1)
		time.Sleep(time.Hour)
		if why, behind := r.q.Behind(); behind {
			t.Errorf("behind for another lane: %s", why)
		}
		r.queued(spool.LaneProcess, 1)
		time.Sleep(maxProcessAge - time.Second)
		if why, behind := r.q.Behind(); behind {
			t.Errorf("behind too soon: %s", why)
		}
		time.Sleep(time.Minute)
		if why, behind := r.q.Behind(); !behind || !strings.Contains(why, "10m") {
			t.Errorf("behind %v: %q", behind, why)
		}
		close(hold)
		time.Sleep(time.Minute)
		if why, behind := r.q.Behind(); behind {
			t.Errorf("still behind: %s", why)
		}
	})
}

func TestBehindByOctets(t *testing.T) {
	t.Parallel()
	q := New(Config{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	for _, tt := range []struct {
		stat spool.LaneStat
		want bool
	}{
		{spool.LaneStat{Lane: spool.LaneProcess, Octets: 2 << 30, Oldest: time.Now()}, false},
		{spool.LaneStat{Lane: spool.LaneProcess, Octets: 2<<30 + 1, Oldest: time.Now()}, true},
		{spool.LaneStat{Lane: relayLane, Octets: 9 << 30}, false},
	} {
		q.judge([]spool.LaneStat{tt.stat})
		if _, got := q.Behind(); got != tt.want {
			t.Errorf("%+v: behind %v, want %v", tt.stat, got, tt.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		r := newRig(t, map[string]Executor{
			"process": stepper{step: func(context.Context, *Work) Result { return Result{} }},
			"relay":   targets(1, map[spool.Lane]*target{deadLane: down(0)}),
		}, func(c *Config) { c.Registerer = registry })
		r.queued(deadLane, 5)
		r.queued(spool.LaneProcess, 3)
		time.Sleep(pollTime)
		synctest.Wait()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, family := range families {
			for _, m := range family.Metric {
				name := family.GetName()
				for _, label := range m.Label {
					name += " " + label.GetValue()
				}
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
		for name, want := range map[string]float64{
			"mailmanager_queue_items relay":                   5,
			"mailmanager_queue_octets relay":                  5 * 20,
			"mailmanager_queue_lanes_waiting":                 1,
			"mailmanager_queue_steps_total process done":      3,
			"mailmanager_queue_steps_total relay unreachable": 1,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
	})
}

// TestEmptyLanesAreForgotten keeps a gateway with many targets from growing for ever.
func TestEmptyLanesAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]Executor{"relay": stepper{step: func(context.Context, *Work) Result { return Result{} }}}, nil)
		for i := range 100 {
			r.queued(spool.Lane(fmt.Sprintf("relay/%d", i)), 1)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if states := r.q.Lanes(); len(states) != 0 {
			t.Errorf("%d lanes are remembered: %+v", len(states), states[0])
		}
		r.empty()
	})
}

func TestLanesWithoutAnExecutorRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		r.queued("lambda/x", 3)
		time.Sleep(time.Hour)
		states := r.q.Lanes()
		if len(states) != 1 || states[0].State != "RESTING" || states[0].Items != 3 {
			t.Errorf("lanes: %+v", states)
		}
		if !slices.ContainsFunc(states, func(s LaneState) bool { return s.Oldest.Before(time.Now()) }) {
			t.Error("the age of the oldest item is not known")
		}
	})
}
