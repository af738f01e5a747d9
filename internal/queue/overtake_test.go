package queue

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/memory"
)

// TestClaimOvertakesTheCommitter claims successors that did not fit into memory after they are in the spool, and before the
// committer has noticed that they are.
func TestClaimOvertakesTheCommitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = maxLaneReady + 4*settleBatch
		var done atomic.Int64
		hold := make(chan struct{})
		r, f := newFaultyRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients}}}
			}},
			"relay": stepper{Settings{Concurrency: 20}, func(context.Context, *Work) Result {
				<-hold
				done.Add(1)
				return Result{}
			}},
		})
		slow := func(settlements []spool.Settlement) error {
			err := f.Spool.Settle(context.Background(), settlements...)
			if len(settlements[0].In) > 0 && !settlements[0].Claim {
				time.Sleep(2 * pollTime)
			}
			return err
		}
		f.settle.Store(&slow)
		synctest.Wait()
		for range n {
			r.q.Offer(r.accept(spool.LaneProcess, "owner"))
		}
		synctest.Wait()
		close(hold)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := int(done.Load()); got != n {
			t.Errorf("%d of %d items were done", got, n)
		}
		r.empty()
	})
}

// TestSuspectThatGoesBackLetsTheOthersGoOn has items of one lane wait for a suspect of another to run alone, which never
// begins: a step that was running finds its target down.
func TestSuspectThatGoesBackLetsTheOthersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const other, n = spool.Lane("relay/1/r/b"), 2 * lowReady // so many that no claim of more helps
		var done atomic.Int64
		r := newRig(t, map[string]Executor{"relay": stepper{Settings{Concurrency: 2, Probe: true}, func(_ context.Context, w *Work) Result {
			if w.Item.Lane == other {
				done.Add(1)
				return Result{}
			}
			time.Sleep(10 * time.Second)
			return Result{Unreachable: "down"}
		}}}, nil)
		synctest.Wait()
		r.q.Offer(r.accept(relayLane, "owner"))
		synctest.Wait()
		suspect := r.accept(relayLane, "owner")
		suspect.Item.Crashes = aloneCrashes
		r.q.Offer(suspect)
		for range n {
			r.q.Offer(r.accept(other, "owner"))
		}
		time.Sleep(30 * time.Second) // the lane that waits is not probed yet
		synctest.Wait()
		if got := int(done.Load()); got != n {
			t.Errorf("%d of %d items were done beside a lane that waits", got, n)
		}
	})
}

// unread is a spool in which a message's other items cannot be read.
type unread struct{ *memory.Spool }

func (u unread) Message(context.Context, message.ID) (*spool.Message, []spool.Item, error) {
	return nil, nil, spool.ErrCorrupt
}

// TestCorruptSiblingRepeatsNoStep settles a step that leaves several items although it cannot be read which numbers are
// taken: to run it again would deliver again, for ever.
func TestCorruptSiblingRepeatsNoStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var begun atomic.Int64
		executors := map[string]Executor{"relay": stepper{step: func(_ context.Context, w *Work) Result {
			begun.Add(1)
			time.Sleep(time.Second)
			return Result{Deferred: w.Item.Recipients[:1], Held: []Hold{{Reason: "failed", Recipients: w.Item.Recipients[1:2]}}}
		}}}
		r := newRig(t, executors, nil)
		r.stop()
		r.restart(executors, func(c *Config) { c.Spool = unread{r.spool} })
		synctest.Wait()
		r.q.Offer(r.accept(relayLane, "owner", "later@example.com", "never@example.com", "arrived@example.com"))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if got := begun.Load(); got != 1 {
			t.Errorf("%d steps began, want 1", got)
		}
		if deferred, held := r.items(relayLane), r.items(spool.HeldLane("failed")); len(deferred) != 1 || len(held) != 1 {
			t.Errorf("%d items deferred and %d held, want one each", len(deferred), len(held))
		}
	})
}
