package ingress

import (
	"container/list"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Limits of guessing passwords. S10; Mail Manager, B4.
const (
	maxSourceFailures int           = 20               // of one source, then it is locked
	maxUserFailures   int           = 100              // for one user, then it is locked for sources that it is not known from
	lockedFor         time.Duration = 15 * time.Minute // after the last failure; failures are forgotten then
	firstDelay        time.Duration = 250 * time.Millisecond
	longestDelay      time.Duration = 8 * time.Second
	knownFor          time.Duration = 24 * time.Hour // that a user is known from a source where it was right
	maxGuarded        int           = 1 << 16        // sources, users and pairs of them that are remembered
)

// attempt is who tries to be whom. The user is a hash of the name, which the client may choose as long as it likes.
type attempt struct {
	source netip.Prefix
	user   uint64
}

// guard slows those who guess passwords, and locks them out: by source, whoever they try to be, and by user, wherever they come
// from. A lock that others bring on a user does not hold where the user was right of late, so that guessing keeps nobody from
// sending. It is safe for concurrent use.
type guard struct {
	seed maphash.Seed

	mu      sync.Mutex
	entries map[any]*list.Element // of guarded, by netip.Prefix, uint64 or attempt
	recent  list.List             // the longest untouched at the back
}

// guarded is what is remembered of a source, a user or a pair of them.
type guarded struct {
	key      any
	failures int
	until    time.Time // when it is forgotten
}

func newGuard() *guard { return &guard{seed: maphash.MakeSeed(), entries: map[any]*list.Element{}} }

func (g *guard) attempt(source netip.Prefix, user string) attempt {
	return attempt{source: source, user: maphash.String(g.seed, user)}
}

// begin counts an attempt as failed, until succeeded says otherwise, so that attempts at once are no way around. It returns
// how long a failure has to wait; ok is false when the source or the user is locked and the password must not be looked at.
func (g *guard) begin(a attempt, now time.Time) (wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	source, user := g.failures(a.source, now), g.failures(a.user, now)
	known := g.find(a, now) != nil
	if source >= maxSourceFailures || user >= maxUserFailures && !known {
		return 0, false
	}
	g.touch(a.source, now.Add(lockedFor)).failures++
	if !known {
		g.touch(a.user, now.Add(lockedFor)).failures++
	}
	return min(firstDelay<<min(source, maxSourceFailures), longestDelay), true
}

// succeeded forgives the source, takes back what begin counted for the user, and remembers that the two belong together.
func (g *guard) succeeded(a attempt, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.find(a.source, now); e != nil {
		e.failures = 0
	}
	if e := g.find(a.user, now); e != nil && e.failures > 0 && g.find(a, now) == nil {
		e.failures--
	}
	g.touch(a, now.Add(knownFor))
}

func (g *guard) failures(key any, now time.Time) int {
	if e := g.find(key, now); e != nil {
		return e.failures
	}
	return 0
}

// find returns what is remembered of a key, nil when it is nothing or forgotten.
func (g *guard) find(key any, now time.Time) *guarded {
	element, ok := g.entries[key]
	if !ok {
		return nil
	}
	e := element.Value.(*guarded)
	if now.Before(e.until) {
		return e
	}
	g.recent.Remove(element)
	delete(g.entries, key)
	return nil
}

// touch remembers a key until then. When there are too many, the longest untouched is forgotten.
func (g *guard) touch(key any, until time.Time) *guarded {
	if element, ok := g.entries[key]; ok {
		g.recent.MoveToFront(element)
		e := element.Value.(*guarded)
		e.until = until
		return e
	}
	if len(g.entries) >= maxGuarded {
		oldest := g.recent.Back()
		delete(g.entries, oldest.Value.(*guarded).key)
		g.recent.Remove(oldest)
	}
	e := &guarded{key: key, until: until}
	g.entries[key] = g.recent.PushFront(e)
	return e
}
