package queue

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/memory"
)

// world is what becomes of recipients while several queues work on one spool.
type world struct {
	mu      sync.Mutex
	random  *rand.Rand
	spool   *memory.Spool
	lose    bool                     // leases can be lost, and steps then run twice
	running map[spool.ItemKey]string // who runs the item's step
	settled map[string]int           // how often each recipient was delivered
	wrong   []string
}

// begin notes that a step runs, and draws how it ends and when.
func (x *world) begin(owner string, w *Work) (end int, took time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if who, ok := x.running[w.Item.ItemKey]; ok && !x.lose {
		x.wrong = append(x.wrong, fmt.Sprintf("%s runs what %s runs", owner, who))
	}
	x.running[w.Item.ItemKey] = owner
	return x.random.IntN(100), time.Duration(x.random.IntN(3000)) * time.Millisecond
}

func (x *world) end(w *Work) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.running, w.Item.ItemKey)
}

func (x *world) deliver(recipients []message.Recipient) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range recipients {
		x.settled[r.Path.Received]++
	}
}

// process splits a message over two lanes, with some recipients held, deferred or done.
func (x *world) process(owner string) Executor {
	return stepper{Settings{Concurrency: 4}, func(_ context.Context, w *Work) Result {
		end, took := x.begin(owner, w)
		time.Sleep(took / 10)
		x.end(w)
		to := w.Item.Recipients
		switch {
		case end < 3:
			panic("process")
		case end < 10:
			return Result{Deferred: to, Reply: "not now"}
		case len(to) < 3:
			return Result{Next: []spool.Item{{Lane: relayLane, Recipients: to}}}
		}
		return Result{
			Next: []spool.Item{{Lane: relayLane, Recipients: to[:1]}, {Lane: deadLane, Recipients: to[1:2]}},
			Held: []Hold{{Reason: "unrouted", Recipients: to[2:]}},
		}
	}}
}

// relay delivers, defers, holds, panics or cannot reach its target.
func (x *world) relay(owner string) Executor {
	return stepper{Settings{Concurrency: 3, Probe: true}, func(_ context.Context, w *Work) Result {
		end, took := x.begin(owner, w)
		time.Sleep(took)
		x.end(w)
		to := w.Item.Recipients
		switch {
		case end < 3:
			panic("relay")
		case end < 20:
			return Result{Unreachable: "connection refused"}
		case end < 40:
			x.deliver(to[1:])
			return Result{Deferred: to[:1], Reply: "450 busy"}
		case end < 50:
			return Result{Held: []Hold{{Reason: "failed", Recipients: to}}}
		}
		x.deliver(to)
		return Result{}
	}}
}

// queue starts a queue with an owner of its own. It ends with the context.
func (x *world) queue(ctx context.Context, group *sync.WaitGroup, owner string) *Queue {
	q := New(Config{
		Spool: x.spool, Trace: &recorder{}, Owner: owner, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Executors: map[string]Executor{"process": x.process(owner), "relay": x.relay(owner)},
	})
	group.Go(func() { q.Run(ctx) })
	return q
}

// left returns how often each recipient is in the spool.
func (x *world) left(t *testing.T) map[string]int {
	stats, err := x.spool.Lanes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]int{}
	for _, stat := range stats {
		claimed, err := x.spool.Scan(context.Background(), stat.Lane, nil, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claimed {
			for _, r := range c.Item.Recipients {
				left[r.Path.Received]++
			}
		}
	}
	return left
}

// TestNoRecipientIsLost lets several owners, who come and go, work on the same messages with random outcomes. Each
// recipient ends delivered, held or queued, and once; only where leases are lost may it be delivered twice.
func TestNoRecipientIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		lose := rapid.SampledFrom([]float64{0, 0, 0.02, 0.1}).Draw(rt, "leases lost")
		messages, restarts := rapid.IntRange(1, 60).Draw(rt, "messages"), rapid.IntRange(0, 3).Draw(rt, "restarts")
		synctest.Test(t, func(t *testing.T) {
			budget := spool.NewBudget(0)
			x := &world{
				random: rand.New(rand.NewPCG(seed, 1)), spool: memory.New(memory.Config{Budget: budget, Lose: lose, Seed: seed}), lose: lose > 0,
				running: map[spool.ItemKey]string{}, settled: map[string]int{},
			}
			x.live(t, messages, restarts)
			if used := budget.Used(); used != 0 {
				t.Errorf("%d octets of content were not released", used)
			}
			for _, wrong := range x.wrong {
				t.Error(wrong)
			}
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// live runs three queues over some lives and judges what became of every recipient.
func (x *world) live(t *testing.T, messages, restarts int) {
	var accepted []string
	for life := range restarts + 1 {
		ctx, cancel := context.WithCancel(context.Background())
		var group sync.WaitGroup
		var queues []*Queue
		for i := range 3 {
			queues = append(queues, x.queue(ctx, &group, fmt.Sprintf("owner %d/%d", life, i)))
		}
		synctest.Wait()
		for i := range messages {
			var to []string
			for j := range 1 + i%5 {
				to = append(to, fmt.Sprintf("%d-%d-%d@example.com", life, i, j))
			}
			accepted = append(accepted, to...)
			x.acceptFor(t, queues[i%3], to)
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(time.Duration(life+1) * 20 * time.Minute)
		cancel()
		group.Wait()
		for _, q := range queues {
			checkTidy(t, q)
		}
	}
	left := x.left(t)
	for _, to := range accepted {
		if n := left[to] + x.settled[to]; n == 0 || (n > 1 && !x.lose) {
			t.Errorf("%s was delivered %d times and is in %d items", to, x.settled[to], left[to])
		}
		if left[to] > 1 {
			t.Errorf("%s is in %d items", to, left[to])
		}
	}
}

// acceptFor accepts a message as ingress does.
func (x *world) acceptFor(t *testing.T, q *Queue, to []string) {
	owner := ""
	if q.Room(100) {
		owner, _ = q.Lease()
	}
	c := acceptIn(t, x.spool, spool.LaneProcess, owner, to...)
	if owner != "" && q.Offer(c) {
		return
	}
	if owner != "" {
		c.Content.Release()
		x.spool.Release(context.Background(), owner, c.Item.ItemKey)
	}
	q.Notify(spool.LaneProcess)
}
