package action

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/control"
	"sluice/internal/queue"
)

// TestRate shows that the messages of a lane leave evenly, however many workers there are, however long it was quiet, and at once
// where there is no rate.
func TestRate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		rate    int
		workers int
		want    []time.Duration // when each message left
	}{
		{"none", 0, 1, []time.Duration{0, 0, 0, 0}},
		{"60 a minute", 60, 1, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}},
		{"60 a minute, more workers than messages", 60, 8, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}},
		{"600 a minute", 600, 3, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond}},
		{"1 a minute", 1, 1, []time.Duration{0, time.Minute, 2 * time.Minute, 3 * time.Minute}},
		{"2 a minute", 2, 2, []time.Duration{0, 30 * time.Second, time.Minute, 90 * time.Second}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.relays.relay.Rate = test.rate
				for i := range test.want {
					b.feed.ready = append(b.feed.ready, b.item(fmt.Sprint("m", i), "b@x"))
				}
				time.Sleep(time.Hour) // a quiet hour saves nothing up
				if diff := cmp.Diff(test.want, b.leave(t, test.workers)); diff != "" {
					t.Errorf("moments (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// leave lets workers work as a queue does, until nothing waits any more, and returns when each message left.
func (b *bench) leave(t *testing.T, workers int) []time.Duration {
	t.Helper()
	var left []time.Duration
	began := time.Now()
	b.host.says = func(_ int, line string) string {
		if strings.HasPrefix(line, "MAIL") {
			b.host.mu.Lock()
			defer b.host.mu.Unlock()
			left = append(left, time.Since(began))
		}
		return ""
	}
	executor := NewRelayExecutor(b.config)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for b.feed.waits() {
				executor.Work(t.Context(), &b.feed)
			}
		})
	}
	working.Wait()
	return left
}

func (f *feed) waits() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ready) > 0
}

// TestRateKeepsNoConnectionIdle shows that a connection that would have to wait for longer than it may be idle is ended, and that
// one whose next message leaves sooner is kept.
func TestRateKeepsNoConnectionIdle(t *testing.T) {
	t.Parallel()
	for rate, want := range map[int]int{60: 1, 4: 3} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.relays.relay.Rate = rate
			for range 3 {
				b.feed.ready = append(b.feed.ready, b.item("m", "b@x"))
			}
			b.leave(t, 1)
			if got := len(b.host.dials); got != want {
				t.Errorf("%d a minute: got %d connections, want %d", rate, got, want)
			}
		})
	}
}

// TestRateHoldsNobody shows that a worker whose message may not leave soon goes home without one, and at once when it is to stop.
func TestRateHoldsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.relays.relay.Rate = 1
		b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x")}
		executor := NewRelayExecutor(b.config)
		began := time.Now()
		executor.Work(t.Context(), &b.feed)
		if took := time.Since(began); took != pacePatience || len(b.feed.ready) != 1 {
			t.Errorf("the worker went home after %v, leaving %d", took, len(b.feed.ready))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		executor.Work(ctx, &b.feed)
		if took := time.Since(began); took != time.Second || len(b.feed.ready) != 1 {
			t.Errorf("the worker stopped after %v, leaving %d", took, len(b.feed.ready))
		}
	})
}

// TestRateIsCorrected shows that a higher rate counts at once.
func TestRateIsCorrected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.relays.relay.Rate = 1
		b.feed.ready = []*queue.Work{b.item("one", "b@x"), b.item("two", "b@x")}
		executor := NewRelayExecutor(b.config)
		executor.Work(t.Context(), &b.feed)
		b.relays.relay = testRelay(func(r *control.Relay) { r.Rate = 60 })
		began := time.Now()
		executor.Work(t.Context(), &b.feed)
		if took := time.Since(began); len(b.feed.ready) != 0 || took > time.Second+DefaultIdle {
			t.Errorf("%d wait after %v", len(b.feed.ready), took)
		}
	})
}

// TestRateAfterQuiet shows that messages which come at once to several idle workers do not leave at once.
func TestRateAfterQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.relays.relay.Rate = 600
		for range 3 {
			b.feed.ready = append(b.feed.ready, b.item("first", "b@x"))
		}
		go func() {
			time.Sleep(2 * time.Second) // all three are idle
			b.feed.mu.Lock()
			for range 3 {
				b.feed.ready = append(b.feed.ready, b.item("second", "b@x"))
			}
			b.feed.mu.Unlock()
			close(b.feed.arrived)
		}()
		got := b.leave(t, 3)
		const step = 100 * time.Millisecond
		want := []time.Duration{0, step, 2 * step, 2 * time.Second, 2*time.Second + step, 2*time.Second + 2*step}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("moments (-want +got):\n%s", diff)
		}
	})
}
