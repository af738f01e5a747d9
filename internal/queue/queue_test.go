package queue

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/spool/memory"
	"sluice/internal/trace"
)

// stepper is an executor that does one item after another with a function.
type stepper struct {
	Settings
	step func(ctx context.Context, w *Work) Result
}

func (s stepper) Lane(spool.Lane) Settings { return s.Settings }

func (s stepper) Work(ctx context.Context, feed Feed) {
	for w := feed.Next(ctx, time.Second); w != nil; w = feed.Next(ctx, time.Second) {
		feed.Done(w, s.step(ctx, w))
	}
}

// recorder is a Trace that remembers.
type recorder struct {
	mu     sync.Mutex
	events []trace.Event
}

func (r *recorder) Append(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) held() []trace.Held {
	r.mu.Lock()
	defer r.mu.Unlock()
	var held []trace.Held
	for _, e := range r.events {
		if e.Held != nil {
			held = append(held, *e.Held)
		}
	}
	return held
}

// rig is a queue over a spool in memory.
type rig struct {
	testing.TB
	spool  *memory.Spool
	budget *spool.Budget
	trace  *recorder
	q      *Queue
	stop   func()
}

const relayLane = spool.Lane("relay/1/r/a")

// newRig makes a queue that runs until the end of the test. It belongs into a synctest bubble. change may be nil.
func newRig(t testing.TB, executors map[string]Executor, change func(*Config)) *rig {
	budget := spool.NewBudget(0)
	r := &rig{TB: t, budget: budget, spool: memory.New(memory.Config{Budget: budget}), trace: &recorder{}}
	r.restart(executors, change)
	t.Cleanup(func() { r.stop() })
	return r
}

// restart starts another queue over the same spool; the one before must have been stopped.
func (r *rig) restart(executors map[string]Executor, change func(*Config)) {
	cfg := Config{
		Spool: r.spool, Trace: r.trace, Executors: executors, Owner: "owner", Now: time.Now,
		Random: func() float64 { return 0.5 }, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	r.q = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	q := r.q
	go func() { q.Run(ctx); close(done) }()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
}

// accept accepts a message with one item in the lane, which nobody owns or, with owner, the queue.
func (r *rig) accept(lane spool.Lane, owner string, recipients ...string) spool.Claimed {
	r.Helper()
	return acceptIn(r, r.spool, lane, owner, recipients...)
}

func acceptIn(t testing.TB, s spool.Spool, lane spool.Lane, owner string, recipients ...string) spool.Claimed {
	t.Helper()
	now := time.Now()
	id := message.NewID(now)
	in, err := s.Begin(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "Subject: x\r\n\r\nbody\r\n")
	if len(recipients) == 0 {
		recipients = []string{"one@example.com"}
	}
	item := spool.Item{ItemKey: spool.ItemKey{Message: id}, Lane: lane, Due: now, Recipients: toRecipients(recipients)}
	a := spool.Acceptance{
		Message: spool.Message{
			ID: id, ReceivedAt: now, Size: in.Size(), Trace: "Received: us\r\n", Session: message.Session{Account: "1", Region: "r"},
		},
		Content: in, Items: []spool.Item{item}, Owner: owner, Until: now.Add(leaseTime),
	}
	content, err := s.Accept(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if owner == "" {
		content.Release()
		content = nil
	}
	return spool.Claimed{Item: item, Message: &a.Message, Content: content}
}

func toRecipients(addresses []string) []message.Recipient {
	recipients := make([]message.Recipient, len(addresses))
	for i, a := range addresses {
		recipients[i].Path = smtp.Path{Received: a}
	}
	return recipients
}

// queued accepts n messages that wait in a lane.
func (r *rig) queued(lane spool.Lane, n int) {
	r.Helper()
	for range n {
		r.accept(lane, "")
	}
	r.q.Notify(lane)
}

// items returns the addresses of all that is in a lane.
func (r *rig) items(lane spool.Lane) []spool.Item {
	r.Helper()
	claimed, err := r.spool.Scan(context.Background(), lane, nil, 1<<20)
	if err != nil {
		r.Fatal(err)
	}
	var items []spool.Item
	for _, c := range claimed {
		items = append(items, c.Item)
	}
	return items
}

// empty fails unless nothing is left: no item in the spool, no content in memory, nothing owned.
func (r *rig) empty() {
	r.Helper()
	stats, _ := r.spool.Lanes(context.Background())
	if len(stats) > 0 {
		r.Errorf("spool still has %+v", stats)
	}
	r.tidy()
}

// tidy fails unless the queue holds nothing in memory.
func (r *rig) tidy() {
	r.Helper()
	if used := r.budget.Used(); used != 0 {
		r.Errorf("%d octets of content were not released", used)
	}
	checkTidy(r, r.q)
}

func checkTidy(t testing.TB, q *Queue) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ready+q.running+q.unsettled+len(q.owned)+len(q.suspects) != 0 || q.octets != 0 || q.alone != nil {
		t.Errorf("ready %d, running %d, unsettled %d, owned %d, suspects %d, octets %d, alone %v",
			q.ready, q.running, q.unsettled, len(q.owned), len(q.suspects), q.octets, q.alone)
	}
}

func (r *rig) state(lane spool.Lane) LaneState {
	for _, s := range r.q.Lanes() {
		if s.Lane == lane {
			return s
		}
	}
	return LaneState{}
}

func TestHandOverInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got string
		r := newRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients, Rule: 3}}}
			}},
			"relay": stepper{step: func(_ context.Context, w *Work) Result {
				got = string(bytes.Join(w.Chunks(), nil))
				return Result{Attempts: []trace.Attempt{{Status: "SUCCESS"}}}
			}},
		}, nil)
		synctest.Wait()
		if !r.q.Room(1000) {
			t.Fatal("no room in an empty queue")
		}
		owner, until := r.q.Lease()
		if owner != "owner" || !until.After(time.Now()) {
			t.Fatalf("lease of %s until %v", owner, until)
		}
		if !r.q.Offer(r.accept(spool.LaneProcess, owner)) {
			t.Fatal("offer was not taken")
		}
		synctest.Wait()
		if want := "Received: us\r\nSubject: x\r\n\r\nbody\r\n"; got != want {
			t.Errorf("got %q, want %q from memory", got, want)
		}
		r.empty()
		a := r.trace.events[len(r.trace.events)-1].Attempt
		if a.Rule != 3 || a.Number != 1 || a.Lane != string(relayLane) {
			t.Errorf("attempt was not completed: %+v", a)
		}
	})
}

func TestItemsThatWaitInTheSpoolAreClaimed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		tell func(*rig)
		wait time.Duration
	}{
		{"told", func(r *rig) { r.q.Notify(relayLane) }, 0},
		{"found by the poll", func(*rig) {}, pollTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 3*claimBatch + 1
				done := 0
				r := newRig(t, map[string]Executor{"relay": stepper{step: func(_ context.Context, w *Work) Result {
					done++
					return Result{}
				}}}, nil)
				synctest.Wait()
				for range n {
					r.accept(relayLane, "")
				}
				tt.tell(r)
				time.Sleep(tt.wait)
				synctest.Wait()
				if done != n {
					t.Errorf("%d of %d items were done", done, n)
				}
				r.empty()
			})
		})
	}
}

func TestOfferIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]Executor{"relay": stepper{Settings: Settings{Probe: true}, step: func(context.Context, *Work) Result {
			return Result{Unreachable: "down"}
		}}}, nil)
		r.queued(relayLane, 1)
		synctest.Wait()
		refused := func(when string, lane spool.Lane) {
			c := r.accept(lane, "owner")
			if r.q.Offer(c) {
				t.Errorf("offer was taken %s", when)
			}
			c.Content.Release()
		}
		refused("for a lane that waits", relayLane)
		refused("for a lane that nobody runs", "lambda/x")
		r.stop()
		refused("after the end", relayLane)
		if r.q.Room(1) {
			t.Error("room after the end")
		}
	})
}

func TestRoomIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		r := newRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result {
			<-hold
			return Result{}
		}}}, func(c *Config) { c.Memory = 90 })
		synctest.Wait()
		if r.q.Room(46) {
			t.Error("room for more than half of the memory")
		}
		for range 2 { // of 20 octets each
			if !r.q.Room(20) {
				t.Fatal("no room for what fits")
			}
			r.q.Offer(r.accept(spool.LaneProcess, "owner"))
		}
		if r.q.Room(20) {
			t.Error("room for more than what fits")
		}
		close(hold)
		synctest.Wait()
		if !r.q.Room(20) {
			t.Error("no room although everything is done")
		}
		r.empty()
	})
}

// TestALaneKeepsNoMoreThanItsShare fills the lane of a slow executor and sees the rest wait in the spool, unclaimed.
func TestALaneKeepsNoMoreThanItsShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = maxLaneReady + 500
		var order []uint32
		hold := make(chan struct{})
		r := newRig(t, map[string]Executor{
			"process": stepper{step: func(_ context.Context, w *Work) Result {
				items := make([]spool.Item, n)
				for i := range items {
					items[i] = spool.Item{Lane: relayLane, Recipients: w.Item.Recipients, Action: i}
				}
				return Result{Next: items}
			}},
			"relay": stepper{step: func(_ context.Context, w *Work) Result {
				<-hold
				order = append(order, uint32(w.Item.Action))
				return Result{}
			}},
		}, nil)
		synctest.Wait()
		r.q.Offer(r.accept(spool.LaneProcess, "owner"))
		synctest.Wait()
		if got := r.state(relayLane).Ready; got > maxLaneReady {
			t.Errorf("%d items in memory, want at most %d", got, maxLaneReady)
		}
		close(hold)
		time.Sleep(time.Minute)
		synctest.Wait()
		slices.Sort(order)
		if len(slices.Compact(order)) != n {
			t.Errorf("%d of %d items were done, once each", len(order), n)
		}
		r.empty()
	})
}

func TestSeveralSuccessorsGetDifferentNumbers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, map[string]Executor{"process": stepper{step: func(_ context.Context, w *Work) Result {
			to := w.Item.Recipients
			if w.Item.Attempts == 1 {
				return Result{Held: []Hold{{Reason: "c", Recipients: to, Detail: "later"}, {Reason: "d", Recipients: to}}}
			}
			return Result{
				Deferred: to, Next: []spool.Item{{Lane: "lambda/x", Recipients: to}, {Lane: "lambda/y", Recipients: to}},
				Held: []Hold{{Reason: "a", Recipients: to, State: nil}, {Reason: "b", Recipients: to}},
			}
		}}}, nil)
		c := r.accept(spool.LaneProcess, "")
		r.q.Notify(spool.LaneProcess)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		_, items, err := r.spool.Message(t.Context(), c.Item.Message)
		if err != nil {
			t.Fatal(err)
		}
		var lanes []string
		for _, item := range items {
			lanes = append(lanes, fmt.Sprintf("%d %s", item.Seq, item.Lane))
		}
		want := []string{"0 held/c", "1 lambda/x", "2 lambda/y", "3 held/a", "4 held/b", "5 held/d"}
		if !slices.Equal(lanes, want) {
			t.Errorf("got %v, want %v", lanes, want)
		}
		if held := r.trace.held(); len(held) != 4 || held[2].Reason != "later" {
			t.Errorf("trace has held %+v", held)
		}
	})
}
