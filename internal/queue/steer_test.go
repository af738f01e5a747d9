package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// everything is what the rig has: its messages are of this account and region.
var everything = Selection{Account: "1", Region: "r", Unreadable: true}

// restingLane is a lane without an executor: what comes there can be looked at.
const restingLane = spool.Lane("resting/1/r/a")

// steer carries out an order for everything, page by page, and fails unless it ends.
func (r *rig) steer(o Order, s Selection, n int) []Steered {
	r.Helper()
	o.By = "AKTEST"
	var all []Steered
	for from, pages := (Position{}), 0; ; pages++ {
		done, next, err := r.q.Steer(context.Background(), &o, &s, from, n)
		if err != nil || pages > 100_000 {
			r.Fatalf("page %d: %v", pages, err)
		}
		all = append(all, done...)
		if next.IsZero() {
			return all
		}
		from = next
	}
}

func (r *rig) steered() []trace.Steered {
	r.trace.mu.Lock()
	defer r.trace.mu.Unlock()
	var all []trace.Steered
	for _, e := range r.trace.events {
		if e.Steered != nil {
			all = append(all, *e.Steered)
		}
	}
	return all
}

// item puts an item into the spool, of a message with one recipient.
func (r *rig) item(change func(*spool.Item)) spool.Item {
	r.Helper()
	c := r.accept("elsewhere/1/r/a", "", "one@example.com")
	claimed, err := r.spool.ClaimItems(context.Background(), "test", time.Now(), time.Now().Add(time.Minute), []spool.ItemKey{c.Item.ItemKey})
	if err != nil || len(claimed) != 1 {
		r.Fatalf("claimed %d items, %v", len(claimed), err)
	}
	item := c.Item
	change(&item)
	if err := r.spool.Settle(context.Background(), spool.Settlement{Owner: "test", Out: []spool.ItemKey{item.ItemKey}, In: []spool.Item{item}}); err != nil {
		r.Fatal(err)
	}
	return item
}

// Every act on every kind of item: where it goes, and that it keeps what it needs there.
func TestSteer(t *testing.T) {
	t.Parallel()
	in := time.Hour
	waiting := func(i *spool.Item) {
		i.Lane, i.Due, i.Attempts, i.LastReply, i.Cursor, i.Rule = restingLane, i.Due.Add(in), 3, "450 later", []byte("cursor"), 2
	}
	held := func(i *spool.Item) {
		i.Lane, i.Origin, i.LastReply, i.State, i.Crashes = "held/failed", restingLane, "550 no", []byte("state"), 3
	}
	old := func(i *spool.Item) { i.Lane, i.LastReply = "held/failed", "550 no" }
	corrupt := func(i *spool.Item) { i.Lane, i.Origin = spool.LaneCorrupt, restingLane }
	rules := Order{Act: ActReroute, RuleSetID: "rs-2", RuleSet: spool.Hash{2}}
	relay := Order{Act: ActReroute, Relay: "resting/1/r/b"}
	tests := []struct {
		name  string
		order Order
		item  func(*spool.Item)
		want  func(spool.Item) *spool.Item // what is left of it; a nil function: as it was, and SKIPPED
	}{
		{"hold what waits", Order{Act: ActHold}, waiting, func(i spool.Item) *spool.Item {
			i.Lane, i.Origin, i.Due, i.LastReply = "held/operator", restingLane, i.Due.Add(-in), "held by AKTEST"
			return &i
		}},
		{"hold what is held", Order{Act: ActHold}, held, nil},
		{"release", Order{Act: ActRelease}, held, func(i spool.Item) *spool.Item {
			i.Lane, i.Origin, i.Crashes = restingLane, "", 2
			return &i
		}},
		{"release what waits", Order{Act: ActRelease}, waiting, nil},
		{"release from nowhere", Order{Act: ActRelease}, old, nil},
		{"release what cannot be read", Order{Act: ActRelease}, corrupt, nil},
		{"retry", Order{Act: ActRetry}, waiting, func(i spool.Item) *spool.Item {
			i.Due = i.Due.Add(-in)
			return &i
		}},
		{"retry what is held", Order{Act: ActRetry}, held, nil},
		{"discard what waits", Order{Act: ActDiscard}, waiting, func(spool.Item) *spool.Item { return nil }},
		{"discard what is held", Order{Act: ActDiscard}, held, func(spool.Item) *spool.Item { return nil }},
		{"discard what cannot be read", Order{Act: ActDiscard}, corrupt, func(spool.Item) *spool.Item { return nil }},
		{"reroute through rules", rules, waiting, func(i spool.Item) *spool.Item {
			return &spool.Item{ItemKey: i.ItemKey, Lane: spool.LaneProcess, Due: i.Due.Add(-in), Recipients: i.Recipients, RuleSetID: "rs-2", RuleSet: spool.Hash{2}}
		}},
		{"reroute through the rules that it waits for", rules, func(i *spool.Item) {
			i.Lane, i.RuleSetID, i.RuleSet = spool.LaneProcess, "rs-2", spool.Hash{2}
		}, nil},
		{"reroute to a relay", relay, held, func(i spool.Item) *spool.Item {
			return &spool.Item{ItemKey: i.ItemKey, Lane: relay.Relay, Due: i.Due, Recipients: i.Recipients, State: i.State, ActionName: "RELAY"}
		}},
		{"reroute to a relay in the middle of the rules", relay, waiting, nil},
		{"reroute to the relay that it waits for", relay, func(i *spool.Item) { i.Lane = relay.Relay }, nil},
		{"bounce", Order{Act: ActBounce}, held, func(i spool.Item) *spool.Item {
			i.Lane = "resting/bounce"
			return &i
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, nil, func(c *Config) {
					c.Bounce = func(_ context.Context, _ *spool.Message, item *spool.Item) error {
						item.Lane = "resting/bounce"
						return nil
					}
				})
				item := r.item(test.item)
				checkSteer(t, r, &test.order, item, test.want)
			})
		})
	}
}

func checkSteer(t *testing.T, r *rig, order *Order, item spool.Item, follow func(spool.Item) *spool.Item) {
	want, outcome := []spool.Item{item}, SteerSkipped
	if follow != nil {
		want, outcome = nil, SteerDone
		if left := follow(item); left != nil {
			want = []spool.Item{*left}
		}
	}
	order.By = "AKTEST"
	for _, order.DryRun = range []bool{true, false} {
		done, err := r.q.SteerPicked(t.Context(), order, &everything, []Pick{{Message: item.Message}})
		if err != nil || len(done) != 1 || done[0].Outcome != outcome || (outcome == SteerSkipped) != (done[0].Reason != "") {
			t.Fatalf("got %+v, %v, want %s", done, err, outcome)
		}
		if left := r.items(item.Lane); order.DryRun && (len(left) != 1 || len(r.steered()) > 0) {
			t.Errorf("a dry run leaves %v, and traces %v", left, r.steered())
		}
	}
	_, left, _ := r.spool.Message(context.Background(), item.Message)
	if diff := cmp.Diff(want, left, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	events := r.steered()
	if follow == nil {
		if len(events) > 0 {
			t.Errorf("traced %+v of an act that was not done", events)
		}
		return
	}
	traced := trace.Steered{Act: string(order.Act), By: "AKTEST", Lane: string(item.Lane), RuleSetID: order.RuleSetID, Recipients: message.Addresses(item.Recipients)}
	if len(want) > 0 {
		traced.To = string(want[0].Lane)
	}
	if diff := cmp.Diff([]trace.Steered{traced}, events); diff != "" {
		t.Errorf("trace (-want +got):\n%s", diff)
	}
	checkTidy(t, r.q)
}

// What a step runs for is left alone; what only waits for its turn, in memory, is not.
func TestSteerBesideWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &target{took: time.Minute}
		r := newRig(t, map[string]Executor{"relay": targets(2, map[spool.Lane]*target{relayLane: x})}, nil)
		r.queued(relayLane, 10)
		synctest.Wait()
		outcomes := map[SteerOutcome]int{}
		for _, s := range r.steer(Order{Act: ActHold}, everything, 1000) {
			outcomes[s.Outcome]++
		}
		running := r.state(relayLane).Running
		if running == 0 || outcomes[SteerBusy] != running || outcomes[SteerDone] != 10-running {
			t.Errorf("got %v, want %d busy and the others done", outcomes, running)
		}
		time.Sleep(5 * time.Minute)
		if left := r.items("held/operator"); len(left) != 10-running || len(r.items(relayLane)) > 0 {
			t.Errorf("%d are held and %d wait", len(left), len(r.items(relayLane)))
		}
		r.tidy()
		r.steer(Order{Act: ActRelease}, everything, 3)
		time.Sleep(10 * time.Minute)
		r.empty()
	})
}

// A lane that waits for its target tries it when its mail is retried.
func TestRetryProbes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := down(time.Second)
		r := newRig(t, map[string]Executor{"relay": targets(2, map[spool.Lane]*target{relayLane: x})}, nil)
		r.queued(relayLane, 3)
		time.Sleep(3 * time.Second)
		if s := r.state(relayLane); s.State != "WAITING" || s.Error == "" || s.ErrorAt.IsZero() {
			t.Fatalf("got %+v", s)
		}
		found, _, err := r.q.Find(t.Context(), &everything, Position{}, 10)
		if err != nil || len(found) != 3 || found[0].State != ItemWaiting {
			t.Fatalf("got %+v, %v", found, err)
		}
		x.down.Store(false)
		for _, s := range r.steer(Order{Act: ActRetry}, everything, 10) {
			if s.Outcome != SteerDone {
				t.Errorf("got %+v", s)
			}
		}
		time.Sleep(4 * time.Second)
		r.empty()
		if len(r.steered()) != 3 {
			t.Errorf("traced %+v", r.steered())
		}
		if s := r.state(relayLane); s.Rate == 0 {
			t.Errorf("got %+v, want a rate", s)
		}
	})
}

func TestSteerRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		mine := r.accept(restingLane, "", "one@example.com")
		seq := uint32(9)
		picks := []Pick{{Message: mine.Item.Message, Seq: &seq}, {Message: [25]byte{1}}, {Message: mine.Item.Message}}
		for _, s := range []*Selection{{Account: "1", Region: "s"}, {Account: "2", Region: "r"}} { // S36
			done, err := r.q.SteerPicked(t.Context(), &Order{Act: ActDiscard}, s, picks)
			if err != nil || len(done) != 3 || slices.ContainsFunc(done, func(s Steered) bool { return s.Outcome != SteerSkipped }) {
				t.Errorf("got %+v, %v", done, err)
			}
			if done, _, err := r.q.Steer(t.Context(), &Order{Act: ActDiscard}, s, Position{}, 9); err != nil || len(done) > 0 {
				t.Errorf("got %+v, %v", done, err)
			}
		}
		if _, _, err := r.q.Steer(t.Context(), &Order{Act: ActBounce}, &everything, Position{}, 9); !errors.Is(err, ErrNoBounces) {
			t.Errorf("bounce: got %v", err)
		}
		if _, err := r.q.SteerPicked(t.Context(), &Order{Act: ActBounce}, &everything, picks); !errors.Is(err, ErrNoBounces) {
			t.Errorf("bounce: got %v", err)
		}
		if _, _, err := r.q.Show(t.Context(), &Selection{Account: "2"}, mine.Item.Message); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("show: got %v", err)
		}
		r.stop()
		if _, _, err := r.q.Steer(t.Context(), &Order{Act: ActDiscard}, &everything, Position{}, 9); !errors.Is(err, ErrStopping) {
			t.Errorf("stopped: got %v", err)
		}
		if left := r.items(restingLane); len(left) != 1 {
			t.Errorf("left %v", left)
		}
	})
}

// A bounce that fails leaves the item where it was, for others to have.
func TestBounceThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, func(c *Config) {
			c.Bounce = func(context.Context, *spool.Message, *spool.Item) error { return errDisk }
		})
		r.queued(restingLane, 2)
		done := r.steer(Order{Act: ActBounce}, everything, 9)
		if len(done) != 2 || done[0].Outcome != SteerFailed || done[1].Outcome != SteerFailed {
			t.Errorf("got %+v", done)
		}
		synctest.Wait()
		r.free(restingLane, 2)
		checkTidy(t, r.q)
	})
}

// Where the spool does not say what it did, nobody is told that it was done; and what was somebody else's stays that.
func TestSteerWhenTheSpoolFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want SteerOutcome
	}{{spool.ErrLeaseLost, SteerBusy}, {spool.ErrCorrupt, SteerFailed}} {
		synctest.Test(t, func(t *testing.T) {
			r, f := newFaultyRig(t, nil)
			r.queued(restingLane, 2)
			fail := func(settlements []spool.Settlement) error {
				failed := map[int]error{}
				for i := range settlements {
					failed[i] = test.err
				}
				return &spool.SettleError{Failed: failed}
			}
			f.settle.Store(&fail)
			done := r.steer(Order{Act: ActDiscard}, everything, 9)
			if len(done) != 2 || done[0].Outcome != test.want || done[1].Outcome != test.want {
				t.Errorf("%v: got %+v", test.err, done)
			}
			if left := r.items(restingLane); len(left) != 2 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// A caller that goes away is not waited for, and what it began is done.
func TestSteerIsCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, f := newFaultyRig(t, nil)
		r.queued(restingLane, 1)
		fail := func([]spool.Settlement) error { return errDisk }
		f.settle.Store(&fail)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		done, _, err := r.q.Steer(ctx, &Order{Act: ActDiscard}, &everything, Position{}, 9)
		if !errors.Is(err, context.DeadlineExceeded) || len(done) != 1 || done[0].Outcome != SteerFailed {
			t.Errorf("got %+v, %v", done, err)
		}
		f.settle.Store(nil)
		time.Sleep(time.Minute)
		r.empty()
	})
}

// An order ends although what it released comes back to be held again, and reaches what is due later.
func TestSteerEndsBesideWhatComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refusing := stepper{Settings{Concurrency: 4}, func(_ context.Context, w *Work) Result {
			time.Sleep(time.Millisecond)
			return Result{Held: []Hold{{Reason: "zz", Recipients: w.Item.Recipients}}}
		}}
		r := newRig(t, map[string]Executor{"relay": refusing}, nil)
		for range 20 {
			r.item(func(i *spool.Item) { i.Lane, i.Origin = "held/a", relayLane })
		}
		o, all := Order{Act: ActRelease}, 0
		for from := (Position{}); ; {
			done, next, err := r.q.Steer(t.Context(), &o, &everything, from, 1)
			if err != nil || len(done) > 1 {
				t.Fatalf("got %+v, %v", done, err)
			}
			all += len(done)
			time.Sleep(time.Second) // it is refused, and held again
			if from = next; from.IsZero() || all > 100 {
				break
			}
		}
		if all != 20 || len(r.items("held/zz")) != 20 {
			t.Errorf("%d were released, and %d are held again", all, len(r.items("held/zz")))
		}
		r.item(func(i *spool.Item) { i.Lane, i.Due = restingLane, i.Due.Add(time.Hour) })
		if done := r.steer(Order{Act: ActDiscard}, Selection{Account: "1", Region: "r", Lane: string(restingLane)}, 9); len(done) != 1 {
			t.Errorf("of what is due later: %+v", done)
		}
	})
}
