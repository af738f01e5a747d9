// Package throttle says when an account asks for too much: a token bucket for each account and operation, as AWS has them
// (Mail Manager, A15). It knows nothing of what an operation is. A request costs one look-up and one compare-and-swap; no
// lock is held, and there is no more than a fixed number of buckets. Start with New.
package throttle

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Rate is how much an account may ask for. The zero Rate has no limit.
type Rate struct {
	PerSecond float64 // requests a second in the long run, from MinPerSecond to MaxPerSecond
	Burst     int     // requests that may come at once after a rest, from 1 to MaxBurst
}

// Bounds of a Rate, ours: between them all times of a bucket fit into 64 bits of nanoseconds.
const (
	MinPerSecond float64 = 1.0 / 3600 // one an hour
	MaxPerSecond float64 = 1e6
	MaxBurst     int     = 100_000
)

// maxBuckets is how many pairs of account and operation are kept in mind, ours: hundreds of accounts, each with every operation.
const maxBuckets = 1 << 16

// sweepEvery is how often buckets that nobody uses any more are looked for, ours: one sweep takes milliseconds.
const sweepEvery = time.Second

// Limiter keeps the buckets. It is safe for concurrent use.
type Limiter struct {
	rateOf  func(account, operation string) Rate
	most    int64
	epoch   time.Time
	buckets sync.Map // key to *bucket
	n       atomic.Int64
	swept   atomic.Int64 // when, since epoch
}

type key struct{ account, operation string }

// bucket is a token bucket as the one number it needs: when it will be full again, in nanoseconds since the epoch. A request moves
// that by interval, and has to wait as long as it would lie further ahead than room (the generic cell rate algorithm).
type bucket struct {
	interval, room int64
	full           atomic.Int64
}

// New returns a Limiter of rates that do not change. now is when it begins; later times are not before it.
func New(rateOf func(account, operation string) Rate, now time.Time) *Limiter {
	l := &Limiter{rateOf: rateOf, most: maxBuckets, epoch: now}
	l.swept.Store(-int64(sweepEvery))
	return l
}

// Take lets one request of an account for an operation pass, and returns 0; or it returns after how long one would pass, and
// nothing is taken.
func (l *Limiter) Take(account, operation string, now time.Time) (wait time.Duration) {
	at := int64(max(now.Sub(l.epoch), 0))
	k := key{account, operation}
	if found, ok := l.buckets.Load(k); ok {
		return found.(*bucket).take(at)
	}
	rate := l.rateOf(account, operation)
	if rate.PerSecond == 0 {
		return 0
	}
	if !l.hasRoom(at) {
		return sweepEvery
	}
	interval := int64(math.Ceil(float64(time.Second) / rate.PerSecond))
	made := &bucket{interval: interval, room: interval * int64(rate.Burst)}
	found, there := l.buckets.LoadOrStore(k, made)
	if !there {
		l.n.Add(1)
	}
	return found.(*bucket).take(at)
}

func (b *bucket) take(at int64) time.Duration {
	for {
		full := b.full.Load()
		next := max(full, at) + b.interval
		if over := next - at - b.room; over > 0 {
			return time.Duration(over)
		}
		if b.full.CompareAndSwap(full, next) {
			return 0
		}
	}
}

// hasRoom reports whether one more bucket may be made, after those that are full have gone: each is as good as none.
func (l *Limiter) hasRoom(at int64) bool {
	if l.n.Load() < l.most {
		return true
	}
	last := l.swept.Load()
	if at < last+int64(sweepEvery) || !l.swept.CompareAndSwap(last, at) {
		return false
	}
	l.buckets.Range(func(k, found any) bool {
		if found.(*bucket).full.Load() <= at && l.buckets.CompareAndDelete(k, found) {
			l.n.Add(-1)
		}
		return true
	})
	return l.n.Load() < l.most
}
