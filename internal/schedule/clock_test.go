package schedule

import (
	"testing"
	"testing/synctest"
	"time"
)

// clocks is a wall clock that can be stepped and an elapsed time that cannot.
type clocks struct {
	wall    time.Time
	elapsed time.Duration
}

func (c *clocks) pass(d time.Duration) { c.wall, c.elapsed = c.wall.Add(d), c.elapsed+d }

func TestClockDoesNotStep(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		step   time.Duration
		age    time.Duration // of an item from the start, after the step
		latest time.Time
		early  time.Time
	}{
		{"no step", 0, time.Hour, start.Add(time.Hour), start.Add(time.Hour)},
		{"ten years ahead", 3650 * day, time.Hour, start.Add(time.Hour + 3650*day), start.Add(time.Hour)},
		{"ten years back", -3650 * day, time.Hour - 3650*day, start.Add(time.Hour), start.Add(time.Hour - 3650*day)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := &clocks{wall: start}
			clock := NewClock(func() time.Time { return c.wall }, func() time.Duration { return c.elapsed })
			c.pass(time.Hour)
			c.wall = c.wall.Add(tt.step)
			if got, want := clock.Now(), start.Add(time.Hour); !got.Equal(want) {
				t.Errorf("now: got %v, want %v", got, want)
			}
			if got := clock.Age(start); got != tt.age {
				t.Errorf("age: got %v, want %v", got, tt.age)
			}
			if got := clock.Latest(); !got.Equal(tt.latest) {
				t.Errorf("latest: got %v, want %v", got, tt.latest)
			}
			if got := clock.Earliest(); !got.Equal(tt.early) {
				t.Errorf("earliest: got %v, want %v", got, tt.early)
			}
			if clock.Up() != time.Hour || !clock.At(time.Hour).Equal(clock.Now()) {
				t.Errorf("up for %v, at an hour %v", clock.Up(), clock.At(time.Hour))
			}
		})
	}
}

func TestClockUsesTheMonotonicReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		clock := NewClock(time.Now, nil)
		time.Sleep(time.Minute)
		if clock.Up() != time.Minute || !clock.Now().Equal(time.Now()) {
			t.Errorf("up for %v, now %v", clock.Up(), clock.Now())
		}
	})
}
