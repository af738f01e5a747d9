package schedule

import "time"

// Clock is a time that never jumps: the wall clock as it stood at the start, plus the time gone by since. A step of the
// wall clock, by NTP or by hand, moves neither what is due nor what has an age (S31). Safe for concurrent use.
type Clock struct {
	start   time.Time
	wall    func() time.Time
	elapsed func() time.Duration
}

// NewClock starts a clock. elapsed is the time since this call by a clock that does not step; nil stands for the
// monotonic reading of wall, which time.Now has.
func NewClock(wall func() time.Time, elapsed func() time.Duration) *Clock {
	start := wall()
	if elapsed == nil {
		elapsed = func() time.Duration { return wall().Sub(start) }
	}
	return &Clock{start: start.Round(0).UTC(), wall: wall, elapsed: elapsed}
}

// Now is the steady time, in UTC.
func (c *Clock) Now() time.Time { return c.start.Add(c.elapsed()) }

// Up is the time since the start.
func (c *Clock) Up() time.Duration { return c.elapsed() }

// At is the steady time so long after the start.
func (c *Clock) At(up time.Duration) time.Time { return c.start.Add(up) }

// Latest is the later of the steady time and the wall clock: what either has reached.
func (c *Clock) Latest() time.Time {
	steady, wall := c.Now(), c.wall().Round(0)
	if wall.After(steady) {
		return wall
	}
	return steady
}

// Earliest is the earlier of the steady time and the wall clock: what both have reached.
func (c *Clock) Earliest() time.Time {
	steady, wall := c.Now(), c.wall().Round(0)
	if wall.Before(steady) {
		return wall
	}
	return steady
}

// Age is the time since t on which the steady time and the wall clock agree: the smaller of the two.
func (c *Clock) Age(t time.Time) time.Duration {
	return min(c.Now().Sub(t), c.wall().Round(0).Sub(t))
}
