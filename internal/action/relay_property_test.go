package action

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"sluice/internal/queue"
)

// TestRelayKeepsAccount lets connections break, hang and refuse at random moments. Every item must be reported once, and
// must be settled if and only if the host has said that it took it; and the host must have said so at most once.
func TestRelayKeepsAccount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		messages := rapid.IntRange(1, 6).Draw(r, "messages")
		faults := rapid.MapOf(rapid.IntRange(1, 40), rapid.SampledFrom([]string{
			drop, drop, hang, "421 closing", "450 later", "550 no", "354 what", "nonsense",
		})).Draw(r, "faults")
		var wrong []string
		synctest.Test(t, func(t *testing.T) { wrong = account(t, messages, faults) })
		if wrong != nil {
			r.Fatal(strings.Join(wrong, "\n"))
		}
	})
}

// account relays so many messages to a host whose nth reply is a fault if there is one for n, and returns what is wrong.
func account(t *testing.T, messages int, faults map[int]string) (wrong []string) {
	b := newBench()
	var count atomic.Int64
	b.host.says = func(int, string) string { return faults[int(count.Add(1))] }
	var want []string
	for i := range messages {
		name := fmt.Sprint("m", i)
		want = append(want, name)
		b.feed.ready = append(b.feed.ready, b.item(name, "b@x"))
	}
	b.run(t)
	synctest.Wait()
	var got []string
	for _, done := range b.feed.done {
		got = append(got, done.name)
		taken := 0
		for _, name := range b.host.taken {
			if name == done.name {
				taken++
			}
		}
		if settled := isSettled(done.result); settled != (taken == 1) || taken > 1 {
			wrong = append(wrong, fmt.Sprintf("%s: the host took it %d times", done, taken))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		wrong = append(wrong, fmt.Sprintf("reported %v, want each of %v once", got, want))
	}
	return wrong
}

func isSettled(r queue.Result) bool {
	return r.Unreachable == "" && len(r.Deferred) == 0 && len(r.Held) == 0 && len(r.Next) == 0
}
