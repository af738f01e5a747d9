package throttle

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func every(rate Rate) func(string, string) Rate { return func(string, string) Rate { return rate } }

func TestTake(t *testing.T) {
	t.Parallel()
	type request struct {
		at   time.Duration
		wait time.Duration // 0: it passes
	}
	ms := time.Millisecond
	tests := []struct {
		name string
		rate Rate
		come []request
	}{
		{"no limit", Rate{}, []request{{0, 0}, {0, 0}, {0, 0}}},
		{"one a second", Rate{1, 1}, []request{{0, 0}, {0, 1000 * ms}, {999 * ms, 1 * ms}, {1000 * ms, 0}, {1000 * ms, 1000 * ms}}},
		{"a burst, then the rate", Rate{10, 3}, []request{{0, 0}, {0, 0}, {0, 0}, {0, 100 * ms}, {100 * ms, 0}, {100 * ms, 100 * ms}, {350 * ms, 0}, {350 * ms, 0}, {350 * ms, 50 * ms}}},
		{"a rest gives no more than the burst", Rate{10, 2}, []request{{time.Hour, 0}, {time.Hour, 0}, {time.Hour, 100 * ms}}},
		{"slower than one a second", Rate{0.5, 1}, []request{{0, 0}, {500 * ms, 1500 * ms}, {2000 * ms, 0}}},
		{"one an hour", Rate{MinPerSecond, 1}, []request{{0, 0}, {0, time.Hour}}},
		{"the greatest of all", Rate{MinPerSecond, MaxBurst}, []request{{100 * 365 * 24 * time.Hour, 0}}},
		{"a clock that goes back", Rate{1, 1}, []request{{time.Second, 0}, {-time.Second, 2 * time.Second}, {2 * time.Second, 0}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := New(every(test.rate), begin)
			for i, r := range test.come {
				if got := l.Take("a", "op", begin.Add(r.at)); got != r.wait {
					t.Errorf("request %d: got a wait of %s, want %s", i+1, got, r.wait)
				}
			}
		})
	}
}

func TestAccountsAndOperationsAreApart(t *testing.T) {
	t.Parallel()
	l := New(func(account, operation string) Rate {
		if account == "a" && operation == "free" {
			return Rate{}
		}
		return Rate{1, 1}
	}, begin)
	for _, k := range []key{{"a", "op"}, {"a", "other"}, {"b", "op"}, {"a", "free"}, {"a", "free"}} {
		if wait := l.Take(k.account, k.operation, begin); wait != 0 {
			t.Errorf("%v: got a wait of %s", k, wait)
		}
	}
	if l.Take("a", "op", begin) == 0 || l.Take("b", "op", begin) == 0 {
		t.Error("a bucket is not its account's and operation's")
	}
}

// Whatever comes when, no more passes than the burst and what the rate allows; and who waits as long as was said gets through.
func TestTakeKeepsTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{PerSecond: rapid.Float64Range(0.01, 1000).Draw(t, "rate"), Burst: rapid.IntRange(1, 50).Draw(t, "burst")}
		l := New(every(rate), begin)
		at, passed := time.Duration(0), 0
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			at += time.Duration(rapid.Int64Range(0, int64(3*time.Second)).Draw(t, "pause"))
			wait := l.Take("a", "op", begin.Add(at))
			if wait > 0 && rapid.Bool().Draw(t, "patient") {
				at += wait
				if again := l.Take("a", "op", begin.Add(at)); again != 0 {
					t.Fatalf("after a wait of %s: another of %s", wait, again)
				}
				wait = 0
			}
			if wait == 0 {
				passed++
			}
			if most := float64(rate.Burst) + at.Seconds()*rate.PerSecond; float64(passed) > most+1e-6 {
				t.Fatalf("%d passed in %s, at most %f may", passed, at, most)
			}
		}
	})
}

func TestTakeAtOnce(t *testing.T) {
	t.Parallel()
	const callers, burst = 8, 1000
	l := New(every(Rate{1, burst}), begin)
	var passed atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range burst {
				if l.Take("a", "op", begin) == 0 {
					passed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if passed.Load() != burst {
		t.Errorf("%d passed, want %d", passed.Load(), burst)
	}
}

// There are never more buckets than the limit: who comes then is throttled until others rest.
func TestBucketsAreBounded(t *testing.T) {
	t.Parallel()
	l := New(every(Rate{1, 1}), begin)
	l.most = 10
	take := func(i int, at time.Duration) time.Duration {
		return l.Take(fmt.Sprint("account-", i), "op", begin.Add(at))
	}
	for i := range 10 {
		if wait := take(i, 0); wait != 0 {
			t.Fatalf("account %d: got a wait of %s", i, wait)
		}
	}
	if wait := take(10, 0); wait != sweepEvery {
		t.Errorf("one too many: got a wait of %s", wait)
	}
	if wait := take(0, 0); wait != time.Second {
		t.Errorf("one that is there: got a wait of %s", wait)
	}
	if wait := take(10, sweepEvery); wait != 0 {
		t.Errorf("when the others have rested: got a wait of %s", wait)
	}
	if n := l.n.Load(); n != 1 {
		t.Errorf("got %d buckets, want those in use", n)
	}
}

func BenchmarkTake(b *testing.B) {
	l := New(every(Rate{MaxPerSecond, MaxBurst}), begin)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Take("000000000000", "MailManagerSvc.GetRelay", begin)
		}
	})
}
