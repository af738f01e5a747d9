package schedule

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/conform"
)

const day = 24 * time.Hour

// middle is the chance that leaves a wait as the schedule has it.
const middle = 0.5

func TestRetryWait(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E5")
	short := Retry{First: time.Second, Longest: 5 * time.Second, GiveUp: time.Minute}
	for _, tt := range []struct {
		name   string
		retry  Retry
		n      int
		chance float64
		want   time.Duration
	}{
		{"first", Retry{}, 1, middle, time.Minute},
		{"second doubles", Retry{}, 2, middle, 2 * time.Minute},
		{"eighth", Retry{}, 8, middle, 128 * time.Minute},
		{"ninth is the longest", Retry{}, 9, middle, 4 * time.Hour},
		{"a thousandth does not overflow", Retry{}, 1000, middle, 4 * time.Hour},
		{"none failed yet counts as the first", Retry{}, 0, middle, time.Minute},
		{"earliest", Retry{}, 1, 0, 52500 * time.Millisecond},
		{"latest", Retry{}, 1, 0.9999999999999, 67499999999},
		{"settings", short, 3, middle, 4 * time.Second},
		{"settings, longest", short, 4, middle, 5 * time.Second},
		{"longest shorter than first", Retry{First: time.Minute, Longest: time.Second}, 1, middle, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.retry.Wait(tt.n, tt.chance); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestGivenUp(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		age  Age
		want bool
	}{
		{"first attempt", Age{Accepted: time.Second, Witnessed: day, Failed: 1}, false},
		{"just before the end", Age{Accepted: 5*day - 1, Witnessed: 9 * day, Failed: 36}, false},
		{"at the end", Age{Accepted: 5 * day, Witnessed: 9 * day, Failed: 36}, true},
		{"clock jumped years ahead before a restart", Age{Accepted: 3650 * day, Witnessed: time.Minute, Failed: 2}, false},
		{"and was not set right for half a day", Age{Accepted: 3650 * day, Witnessed: 12 * time.Hour, Failed: 2}, true},
		{"restarted on the last day, attempts bear witness", Age{Accepted: 5 * day, Witnessed: time.Second, Failed: 36}, true},
		{"clock jumped years back", Age{Accepted: -3650 * day, Witnessed: time.Hour, Failed: 2}, false},
		{"clock jumped years back, but the attempts took five days", Age{Accepted: -3650 * day, Witnessed: time.Hour, Failed: 60}, true},
		{"never attempted in a lane that waited five days", Age{Accepted: 5 * day, Witnessed: 5 * day, Failed: 1}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := (Retry{}).GivenUp(tt.age); got != tt.want {
				t.Errorf("%+v: got %v, want %v", tt.age, got, tt.want)
			}
		})
	}
}

// TestFiveDays walks the whole schedule of one item and counts its attempts.
func TestFiveDays(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E5")
	retry, at, failed := Retry{}, time.Duration(0), 1
	for !retry.GivenUp(Age{Accepted: at, Witnessed: at, Failed: failed}) {
		at += retry.Wait(failed, middle)
		failed++
	}
	if at < 5*day || at > 5*day+4*time.Hour {
		t.Errorf("given up after %v, want within four hours of five days", at)
	}
	if failed != 38 {
		t.Errorf("got %d attempts, want 38", failed)
	}
}

func TestProbeWait(t *testing.T) {
	t.Parallel()
	want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
	for i, minutes := range want {
		if got := (Probe{}).Wait(i+1, middle); got != minutes*time.Minute {
			t.Errorf("failure %d: got %v, want %v", i+1, got, minutes*time.Minute)
		}
	}
	if got := (Probe{First: time.Second, Longest: 3 * time.Second}).Wait(7, middle); got != 3*time.Second {
		t.Errorf("settings: got %v, want 3s", got)
	}
}

func TestWaitStaysNearTheSchedule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		retry := Retry{
			First:   time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "first")),
			Longest: time.Duration(rapid.Int64Range(0, int64(365*day)).Draw(t, "longest")),
		}
		n, chance := rapid.Int().Draw(t, "n"), rapid.Float64Range(0, 0.999999).Draw(t, "chance")
		got, plain := retry.Wait(n, chance), retry.Wait(n, middle)
		if got <= 0 || got < plain-plain/8-1 || got > plain+plain/8+1 {
			t.Fatalf("wait %v is not within an eighth of %v", got, plain)
		}
		if got > retry.Ahead() {
			t.Fatalf("wait %v is further ahead than %v", got, retry.Ahead())
		}
	})
}

func TestWaitedIsALowerBound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		retry, n := Retry{}, rapid.IntRange(0, 60).Draw(t, "n")
		var sum time.Duration
		for i := 1; i <= n; i++ {
			sum += retry.Wait(i, rapid.Float64Range(0, 0.999999).Draw(t, "chance"))
		}
		if got := retry.Waited(n); got > sum {
			t.Fatalf("%d waits took %v, but %v are said to have gone by", n, sum, got)
		}
	})
}

func TestRested(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                       string
		holding, rested, witnessed time.Duration
		want                       bool
	}{
		{"fresh", 7 * day, 0, day, false},
		{"just before", 7 * day, 7*day - 1, day, false},
		{"at the end", 7 * day, 7 * day, day, true},
		{"no holding time", 0, 3650 * day, 3650 * day, false},
		{"after a restart under another clock", 7 * day, 3650 * day, time.Minute, false},
		{"half a day later", 7 * day, 3650 * day, 12 * time.Hour, true},
		{"short holding time needs half of itself", time.Minute, time.Hour, 29 * time.Second, false},
		{"short holding time, witnessed", time.Minute, time.Hour, 30 * time.Second, true},
		{"clock jumped back", 7 * day, -3650 * day, 8 * day, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := Rested(tt.holding, tt.rested, tt.witnessed); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRestedAtIsTheFirstMomentThatRestedHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		holding := time.Duration(rapid.Int64Range(1, int64(30*day)).Draw(t, "holding"))
		before := time.Duration(rapid.Int64Range(0, int64(60*day)).Draw(t, "before"))
		at := RestedAt(holding, before)
		if !Rested(holding, before+at, at) || Rested(holding, before+at-1, at-1) {
			t.Fatalf("%v is not the first moment that %v has rested for %v", at, before, holding)
		}
	})
}
