package ingress

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"sluice/internal/smtpd"
)

func from(address string) netip.Prefix { return smtpd.SourceOf(netip.MustParseAddr(address)) }

// TestS10Guard: ten thousand guesses are a few that are looked at, by source and by user.
func TestS10Guard(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	const guesses = 10_000
	tests := []struct {
		name string
		who  func(g *guard, i int) attempt
		want int // that are looked at
	}{
		{"one source, one user", func(g *guard, _ int) attempt { return g.attempt(from("192.0.2.1"), "inp-a") }, maxSourceFailures},
		{"one source, many users", func(g *guard, i int) attempt { return g.attempt(from("192.0.2.1"), fmt.Sprint(i)) }, maxSourceFailures},
		{"one network of IPv6", func(g *guard, i int) attempt { return g.attempt(from(fmt.Sprintf("2001:db8::%x", i+1)), fmt.Sprint(i)) }, maxSourceFailures},
		{"many sources, one user", func(g *guard, i int) attempt {
			return g.attempt(from(fmt.Sprintf("10.0.%d.%d", i/250, i%250)), "inp-a")
		}, maxUserFailures},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := newGuard()
			looked := 0
			for i := range guesses {
				if _, ok := g.begin(test.who(g, i), start.Add(time.Duration(i)*time.Millisecond)); ok {
					looked++
				}
			}
			if looked != test.want {
				t.Errorf("%d guesses were looked at, want %d", looked, test.want)
			}
			later := start.Add(guesses*time.Millisecond + lockedFor)
			if _, ok := g.begin(test.who(g, 0), later); !ok {
				t.Error("still locked after the time of the lock")
			}
		})
	}
}

// TestS10GuardSlows: every failure of a source makes the next one wait longer, up to a bound.
func TestS10GuardSlows(t *testing.T) {
	t.Parallel()
	g, now := newGuard(), time.Now()
	var before, all time.Duration
	for i := range maxSourceFailures {
		wait, ok := g.begin(g.attempt(from("192.0.2.1"), "inp-a"), now)
		if !ok || wait < before || wait > longestDelay || wait < firstDelay {
			t.Errorf("failure %d waits %v, %v, after %v", i+1, wait, ok, before)
		}
		before = wait
		all += wait
	}
	if before != longestDelay || all < time.Minute {
		t.Errorf("the last failure waits %v and all %v", before, all)
	}
}

// TestGuardForgives: who is right is forgiven, and is not locked out by what others guess.
func TestGuardForgives(t *testing.T) {
	t.Parallel()
	g, now := newGuard(), time.Now()
	owner := g.attempt(from("192.0.2.1"), "inp-a")
	for range 1_000 { // right each time: never locked, never slowed
		if wait, ok := g.begin(owner, now); !ok || wait != firstDelay {
			t.Fatalf("got %v, %v for the owner", wait, ok)
		}
		g.succeeded(owner, now)
	}
	for i := range 10_000 {
		g.begin(g.attempt(from(fmt.Sprintf("10.0.%d.%d", i/250, i%250)), "inp-a"), now)
	}
	if _, ok := g.begin(g.attempt(from("192.0.2.2"), "inp-a"), now); ok {
		t.Error("a stranger may try a user that is locked")
	}
	if _, ok := g.begin(owner, now); !ok {
		t.Error("guesses of others lock the owner out")
	}
	if _, ok := g.begin(g.attempt(from("192.0.2.2"), "inp-b"), now); !ok {
		t.Error("another user is locked too")
	}
	if _, ok := g.begin(owner, now.Add(knownFor)); !ok {
		t.Error("the lock is longer than its time")
	}
}

// TestGuardIsBounded: however many sources and users there are.
func TestGuardIsBounded(t *testing.T) {
	t.Parallel()
	g, now := newGuard(), time.Now()
	for i := range 3 * maxGuarded {
		address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		g.begin(g.attempt(smtpd.SourceOf(address), fmt.Sprint(i)), now)
	}
	if len(g.entries) > maxGuarded || g.recent.Len() != len(g.entries) {
		t.Errorf("%d entries and %d in the list, want at most %d", len(g.entries), g.recent.Len(), maxGuarded)
	}
}
