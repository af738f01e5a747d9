package queue

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/message"
	"sluice/internal/schedule"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

const (
	day     = 24 * time.Hour
	decade  = 3650 * day
	resting = spool.Lane("held/unrouted")
)

// holding is an executor that holds everything.
var holding = map[string]Executor{"process": stepper{step: func(_ context.Context, w *Work) Result {
	return Result{Held: []Hold{{Reason: "unrouted", Recipients: w.Item.Recipients, Detail: "no rule took it"}}}
}}}

func TestHeldMailEndsAfterTheHoldingTime(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D7")
	for _, tt := range []struct {
		name    string
		heldFor time.Duration
		before  time.Duration // it is there still
		after   time.Duration // it is gone; 0: never
	}{
		{"default", 0, 7*day - time.Second, 7*day + time.Minute},
		{"setting", time.Hour, time.Hour - time.Second, time.Hour + time.Minute},
		{"for ever", -1, 13 * time.Hour, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, holding, func(c *Config) { c.HeldFor = tt.heldFor })
				const n = claimBatch + 10
				r.queued(spool.LaneProcess, n)
				time.Sleep(tt.before)
				synctest.Wait()
				if got := len(r.items(resting)); got != n {
					t.Fatalf("%d items are held, want %d", got, n)
				}
				if tt.after == 0 {
					return
				}
				time.Sleep(tt.after - tt.before)
				synctest.Wait()
				r.empty()
				held := r.trace.held()
				if last := held[len(held)-1]; len(held) != 2*n || !strings.Contains(last.Reason, "discarded after the holding time") || last.Lane != string(resting) {
					t.Errorf("trace has %d events, the last %+v", len(held), last)
				}
			})
		})
	}
}

func TestHeldMailIsBoundedInOctets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, holding, func(c *Config) { c.HeldOctets = 10 * 20 })
		var last spool.ItemKey
		for range 400 {
			last = r.accept(spool.LaneProcess, "").Item.ItemKey
			time.Sleep(time.Millisecond)
		}
		r.q.Notify(spool.LaneProcess)
		time.Sleep(time.Minute)
		synctest.Wait()
		items := r.items(resting)
		if len(items) != 10 || items[9].ItemKey != last {
			t.Errorf("%d items are held, want the 10 newest", len(items))
		}
		if held := r.trace.held(); !strings.Contains(held[len(held)-1].Reason, "as the oldest") {
			t.Errorf("trace ends with %+v", held[len(held)-1])
		}
		r.tidy()
	})
}

// reporting makes reports that say why, and nothing else.
type reporting struct{ late time.Duration }

func (reporting) Expired(item spool.Item, _ *spool.Message, why string) spool.Item {
	return spool.Item{Lane: spool.LaneReport, Recipients: item.Recipients, LastReply: why}
}

func (r reporting) Delayed(item spool.Item, _ *spool.Message, why string, waited time.Duration, _ time.Time) (spool.Item, bool) {
	return spool.Item{Lane: spool.LaneReport, Recipients: item.Recipients, LastReply: "late: " + why}, waited >= r.late
}

// Mail Manager, D7: the oldest is bounced, never silently removed.
func TestUnroutedMailBeyondTheBoundIsBounced(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D7")
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, holding, func(c *Config) { c.HeldOctets, c.Reports = 10*20, reporting{} })
		for range 40 {
			r.accept(spool.LaneProcess, "")
			time.Sleep(time.Millisecond)
		}
		r.q.Notify(spool.LaneProcess)
		time.Sleep(time.Minute)
		synctest.Wait()
		if held, bounced := len(r.items(resting)), len(r.items(spool.LaneReport)); held != 10 || bounced != 30 {
			t.Errorf("%d items are held and %d bounced, want 10 and 30", held, bounced)
		}
		r.tidy()
	})
}

// Mail Manager, E18 and E21: who waits too long is told once, and told again when it is given up.
func TestSendersAreTold(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E18", "E21")
	deferring := map[string]Executor{"process": stepper{step: func(_ context.Context, w *Work) Result {
		return Result{Deferred: w.Item.Recipients, Reply: "450 later"}
	}}}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, deferring, func(c *Config) { c.Reports = reporting{late: 4 * time.Hour} })
		r.accept(spool.LaneProcess, "")
		r.q.Notify(spool.LaneProcess)
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		if n := len(r.items(spool.LaneReport)); n != 0 {
			t.Errorf("%d reports after 3 hours, want none", n)
		}
		time.Sleep(50 * time.Hour)
		synctest.Wait()
		reports := r.items(spool.LaneReport)
		if len(reports) != 1 || reports[0].LastReply != "late: 450 later" || len(r.items(spool.LaneProcess)) != 1 {
			t.Errorf("after 53 hours: reports %+v, want one, and the item waits on", reports)
		}
		time.Sleep(5 * 24 * time.Hour)
		synctest.Wait()
		reports = r.items(spool.LaneReport)
		if len(reports) != 2 || len(r.items(spool.LaneProcess)) != 0 {
			t.Errorf("at the end: reports %+v, want two and no item", reports)
		}
		r.tidy()
	})
}

// The trace of a notification begins with the message that it is about.
func TestNotificationsAreTraced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		born := spool.Message{ID: message.NewID(time.Now()), Envelope: message.Envelope{Recipients: toRecipients([]string{"sender@example.org"})}}
		item := spool.Item{ItemKey: spool.ItemKey{Message: born.ID}, Lane: relayLane, Due: time.Now(), Recipients: born.Envelope.Recipients}
		r := newRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result {
			return Result{Births: []spool.Birth{{Message: born, Content: []byte("Subject: sorry\r\n\r\n"), Items: []spool.Item{item}}}}
		}}}, nil)
		about := r.accept(spool.LaneProcess, "")
		r.q.Notify(spool.LaneProcess)
		synctest.Wait()
		want := trace.Event{
			Time: time.Now(), Account: "1", Region: "r", Message: born.ID,
			Made: &trace.Made{Of: about.Message.ID, Recipients: []string{"sender@example.org"}, Size: 18},
		}
		if diff := cmp.Diff([]trace.Event{want}, r.trace.events); diff != "" {
			t.Error(diff)
		}
		r.stop() // the notification rests in its lane, which nobody has an executor for
	})
}

// wall is a clock that can be stepped beside the one of the bubble, which then stands for the monotonic one.
type wall struct{ step atomic.Int64 }

func (w *wall) set(c *Config) {
	start := time.Now()
	c.Now = func() time.Time { return time.Now().Add(time.Duration(w.step.Load())).Round(0) }
	c.Elapsed = func() time.Duration { return time.Since(start) }
}

// moments are when something happened.
type moments struct {
	mu sync.Mutex
	at []time.Time
}

func (m *moments) add() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = append(m.at, time.Now())
}

func (m *moments) all() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.at)
}

// failing is an executor that defers everything, and counts.
func failing(attempts *moments) map[string]Executor {
	return map[string]Executor{"relay": stepper{Settings{Concurrency: 1, Probe: true}, func(_ context.Context, w *Work) Result {
		attempts.add()
		return Result{Deferred: w.Item.Recipients, Reply: "450 later"}
	}}}
}

// TestClockJumps steps the wall clock while mail waits (S31): no mass expiry, no early retry storm, and none too late.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		step    time.Duration
		restart bool
		soonest time.Duration // of the next attempt, after the step
		latest  time.Duration
	}{
		{"ten years ahead", decade, false, 25 * time.Minute, 35 * time.Minute},
		{"ten years back", -decade, false, 25 * time.Minute, 35 * time.Minute},
		{"ten years ahead, over a restart", decade, true, 0, time.Minute},
		{"ten years back, over a restart", -decade, true, 0, 35 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 50
				var attempts moments
				clock := &wall{}
				r := newRig(t, failing(&attempts), clock.set)
				r.queued(relayLane, n)
				time.Sleep(35 * time.Minute) // attempts at 0, 1, 3, 7, 15, 31 minutes; the next is due at 63
				synctest.Wait()
				if got := len(attempts.all()); got != 6*n {
					t.Fatalf("%d attempts before the step, want %d", got, 6*n)
				}
				if tt.restart {
					r.stop()
				}
				clock.step.Store(int64(tt.step))
				if tt.restart {
					r.restart(failing(&attempts), clock.set)
				}
				stepped := time.Now()
				time.Sleep(40 * time.Minute)
				synctest.Wait()
				if got := len(attempts.all()) - 6*n; got != n {
					t.Fatalf("%d attempts in 40 minutes after the step, want one for each item: %d", got, n)
				}
				for _, at := range attempts.all()[6*n:] {
					if after := at.Sub(stepped); after < tt.soonest || after > tt.latest {
						t.Fatalf("attempt %v after the step, want %v to %v", after, tt.soonest, tt.latest)
					}
				}
				if held := r.items("held/expired"); len(held) != 0 {
					t.Errorf("%d items were given up", len(held))
				}
				r.tidy()
			})
		})
	}
}

// TestHeldMailSurvivesClockJumps steps the clock past the holding time (S31).
func TestHeldMailSurvivesClockJumps(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			clock := &wall{}
			r := newRig(t, holding, clock.set)
			r.queued(spool.LaneProcess, 5)
			time.Sleep(time.Hour)
			if restart {
				r.stop()
			}
			clock.step.Store(int64(decade))
			if restart {
				r.restart(holding, clock.set)
			}
			time.Sleep(11 * time.Hour)
			synctest.Wait()
			clock.step.Store(0) // somebody noticed
			time.Sleep(day)
			synctest.Wait()
			if n := len(r.items(resting)); n != 5 {
				t.Errorf("restart %v: %d items are held, want 5", restart, n)
			}
			r.tidy()
		})
	}
}

// TestNewMailFlowsAfterAClockJump has sessions that date what they accept by a wall clock that was stepped.
func TestNewMailFlowsAfterAClockJump(t *testing.T) {
	t.Parallel()
	for _, step := range []time.Duration{decade, -decade, time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			clock := &wall{}
			r := newRig(t, map[string]Executor{"process": stepper{step: func(context.Context, *Work) Result { return Result{} }}}, clock.set)
			time.Sleep(time.Hour)
			clock.step.Store(int64(step))
			c := r.accept("nowhere", "somebody") // dated as ingress does
			item := c.Item
			item.Lane, item.Due = spool.LaneProcess, time.Now().Add(step)
			if err := r.spool.Settle(t.Context(), spool.Settlement{Owner: "somebody", Out: []spool.ItemKey{item.ItemKey}, In: []spool.Item{item}}); err != nil {
				t.Fatal(err)
			}
			c.Content.Release()
			r.q.Notify(spool.LaneProcess)
			time.Sleep(2 * pollTime)
			synctest.Wait()
			if why, behind := r.q.Behind(); behind {
				t.Errorf("step %v: behind: %s", step, why)
			}
			r.empty()
		})
	}
}

// TestGiveUpNeedsAWitness restarts a queue under a clock that is years ahead: what fails then is not given up.
func TestGiveUpNeedsAWitness(t *testing.T) {
	t.Parallel()
	q := New(Config{Now: time.Now})
	young := &spool.Message{ReceivedAt: time.Now().Add(-decade)}
	if q.givenUp(young, 3) {
		t.Error("given up at the third attempt of a process that has just begun")
	}
	if !q.givenUp(young, 38) {
		t.Error("not given up although its attempts took five days")
	}
	if q.cfg.HeldFor != schedule.DefaultHolding {
		t.Errorf("holding time is %v", q.cfg.HeldFor)
	}
}
