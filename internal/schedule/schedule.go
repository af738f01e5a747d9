// Package schedule decides when: when the next attempt of an item is due, when a lane whose target cannot be reached is
// probed, when an item is given up, and when a held one has rested long enough. It is pure; chance and clocks are
// injected. Start with Retry and Probe; Clock is for whoever must not be fooled by a clock that jumps.
//
// The schedule in words, with the default settings (Mail Manager, E5; RFC 5321, section 4.5.4.1):
//
// The first attempt is made at once. After the first that fails the next is due in 1 minute, then in 2, 4, 8, 16, 32,
// 64 and 128 minutes, then every 4 hours. Each wait is lengthened or shortened by up to an eighth, by chance, so that
// what failed together does not come back together. An item that fails 5 days or more after its acceptance is given up.
//
// A lane whose target cannot be reached waits 1 minute, then 2, 4, 8 and 16, then 30 minutes at a time, jittered in the
// same way; after each wait one item probes it. The first probe that reaches the target opens the lane fully.
//
// Nothing ends because a clock jumped: the age of an item counts as far as clocks agree on it, and half a day of it, or
// half the limit when that is shorter, must have been witnessed: by this process since it began, or by the waits between
// the attempts already made (S31 of what the gateway must survive).
package schedule

import "time"

// The settings that are used where an operator sets none. Source: Mail Manager, E5 and D7.
const (
	DefaultFirstRetry   time.Duration = time.Minute
	DefaultLongestRetry time.Duration = 4 * time.Hour
	DefaultGiveUp       time.Duration = 5 * 24 * time.Hour
	DefaultFirstProbe   time.Duration = time.Minute
	DefaultLongestProbe time.Duration = 30 * time.Minute
	DefaultHolding      time.Duration = 7 * 24 * time.Hour
)

const (
	// jitterParts: a wait differs from the schedule by up to one part in so many, either way.
	jitterParts time.Duration = 8
	// longestWitness is how much of an age must have been witnessed at most. A wrong clock is noticed and set right in less.
	longestWitness time.Duration = 12 * time.Hour
	// maxDoublings keeps a wait from overflowing: 2^40 times the shortest is longer than any other bound.
	maxDoublings int = 40
)

// Retry is the schedule of an item that fails by itself. A zero field stands for its default.
type Retry struct {
	First   time.Duration // after the first failed attempt
	Longest time.Duration // the wait doubles up to this
	GiveUp  time.Duration // after acceptance
}

// Age is what is known of how long an item has been tried.
type Age struct {
	Accepted  time.Duration // since acceptance, as far as clocks agree; negative when they make no sense
	Witnessed time.Duration // how long this process has run
	Failed    int           // attempts that failed, the last one included
}

// Wait is the time from the n-th failed attempt (1 for the first) to the next. chance lies in [0, 1).
// Source: Mail Manager, E5.
func (r Retry) Wait(n int, chance float64) time.Duration {
	r = r.orDefault()
	return jitter(doubled(r.First, r.Longest, n), chance)
}

// GivenUp reports whether an item whose attempt has just failed is not tried again. Source: Mail Manager, E5; S31.
func (r Retry) GivenUp(a Age) bool {
	r = r.orDefault()
	waited := r.Waited(a.Failed - 1)
	return over(r.GiveUp, max(a.Accepted, waited), max(a.Witnessed, waited))
}

// Limit is how long after its acceptance an item is tried.
func (r Retry) Limit() time.Duration { return r.orDefault().GiveUp }

// Waited is the least time that n waits between attempts have taken. It is evidence of age that no clock can forge.
func (r Retry) Waited(n int) time.Duration {
	r = r.orDefault()
	var sum time.Duration
	for i := 1; i <= n && sum < r.GiveUp; i++ {
		sum += jitter(doubled(r.First, r.Longest, i), 0)
	}
	return sum
}

// Ahead is the furthest that an item can honestly be due in the future. An item that is due later was scheduled under
// another clock.
func (r Retry) Ahead() time.Duration {
	r = r.orDefault()
	return r.Longest + r.Longest/jitterParts
}

func (r Retry) orDefault() Retry {
	return Retry{
		First:   positive(r.First, DefaultFirstRetry),
		Longest: positive(r.Longest, DefaultLongestRetry),
		GiveUp:  positive(r.GiveUp, DefaultGiveUp),
	}
}

// Probe is the schedule of a lane whose target cannot be reached. A zero field stands for its default.
type Probe struct {
	First   time.Duration
	Longest time.Duration
}

// Wait is the time from the n-th failure in a row (1 for the first) to the next probe. chance lies in [0, 1).
// Source: Mail Manager, E5.
func (p Probe) Wait(n int, chance float64) time.Duration {
	first := positive(p.First, DefaultFirstProbe)
	return jitter(doubled(first, positive(p.Longest, DefaultLongestProbe), n), chance)
}

// Rested reports whether a held item has rested for the holding time. A holding time of zero never ends. rested is how
// long it has been held as far as clocks agree, witnessed how long this process has run. Source: Mail Manager, D7; S31.
func Rested(holding, rested, witnessed time.Duration) bool {
	return holding > 0 && over(holding, rested, witnessed)
}

// RestedAt is the earliest that Rested can hold, counted from the start of the process, for an item that had rested for
// so long at that moment.
func RestedAt(holding, rested time.Duration) time.Duration {
	return max(holding-rested, witness(holding))
}

func over(limit, age, witnessed time.Duration) bool {
	return age >= limit && witnessed >= witness(limit)
}

func witness(limit time.Duration) time.Duration { return min(limit/2, longestWitness) }

// doubled is first, doubled n-1 times, up to longest.
func doubled(first, longest time.Duration, n int) time.Duration {
	wait := first
	for i := 1; i < min(n, maxDoublings) && wait < longest; i++ {
		wait *= 2
	}
	return min(wait, longest)
}

func jitter(wait time.Duration, chance float64) time.Duration {
	spread := wait / jitterParts
	return wait - spread + time.Duration(2*chance*float64(spread))
}

func positive(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}
