package spooltest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/spool"
)

func testClaimOrder(t *testing.T, f *fixture) {
	m := Message()
	a, b, c, d := Item(&m, 4, "l", Epoch), Item(&m, 2, "l", after(2)), Item(&m, 3, "l", after(2)), Item(&m, 1, "l", after(9))
	f.acceptItems(&m, []byte("x"), "", d, c, b, a)
	steps := []struct {
		n    int
		now  time.Time
		want []spool.Item
		next time.Time
	}{
		{n: 9, now: Epoch.Add(-1), want: nil, next: Epoch},
		{n: 0, now: after(3), want: nil, next: Epoch},
		{n: 1, now: after(3), want: []spool.Item{a}, next: after(2)},
		{n: 9, now: after(3), want: []spool.Item{b, c}, next: after(9)},
		{n: 9, now: after(9), want: []spool.Item{d}, next: time.Time{}},
		{n: 9, now: after(9), want: nil, next: time.Time{}},
	}
	for i, step := range steps {
		claimed, next, err := f.Claim(t.Context(), "l", step.n, "a", step.now, step.now.Add(time.Minute))
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		f.same("claimed", step.want, itemsOf(claimed))
		if !next.Equal(step.next) {
			t.Errorf("step %d: next is %v, want %v", i, next, step.next)
		}
	}
}

func testAcceptClaims(t *testing.T, f *fixture) {
	m := Message()
	item := Item(&m, 1, "l", Epoch)
	f.acceptItems(&m, []byte("x"), "a", item)
	if claimed := f.claim("l", 9, "b", after(1)); len(claimed) > 0 {
		t.Fatalf("claimed what accept gave to another")
	}
	f.refused("settle by another", f.Settle(t.Context(), spool.Settlement{Owner: "b", Out: keys(item)}), spool.ErrLeaseLost)
	f.settle(spool.Settlement{Owner: "a", Out: keys(item)})
}

func testLeaseEnd(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "l")
	f.claim("l", 1, "a", Epoch) // until after(60)
	if early := f.claim("l", 1, "b", after(59)); len(early) > 0 {
		t.Fatalf("claimed before the lease ended")
	}
	f.same("claimed", items, itemsOf(f.claim("l", 1, "b", after(60))))
	f.refused("settle", f.Settle(t.Context(), spool.Settlement{Owner: "a", Out: keys(items...)}), spool.ErrLeaseLost)
	f.refused("release", f.Release(t.Context(), "a", keys(items...)...), spool.ErrLeaseLost)
	f.refused("renew", f.Renew(t.Context(), "a", after(90)), spool.ErrLeaseLost)
	if err := f.Renew(t.Context(), "a", after(90)); err != nil {
		t.Errorf("a loss is told twice: %v", err)
	}
	f.settle(spool.Settlement{Owner: "b", Out: keys(items...)})
}

func testOwnLease(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "l")
	f.claim("l", 1, "a", Epoch)
	if again := f.claim("l", 1, "a", Epoch.AddDate(10, 0, 0)); len(again) > 0 { // S31
		t.Fatalf("an owner lost its own work to a clock that jumped")
	}
	f.settle(spool.Settlement{Owner: "a", Out: keys(items...)})
}

func testRenew(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "l", "l")
	f.claim("l", 1, "a", Epoch)
	if err := f.Renew(t.Context(), "a", after(300)); err != nil {
		t.Fatalf("renew: %v", err)
	}
	f.claim("l", 1, "a", Epoch) // until after(60), for it is not renewed
	f.same("claimed", items[1:], itemsOf(f.claim("l", 9, "b", after(100))))
	f.same("claimed", items[:1], itemsOf(f.claim("l", 9, "b", after(300))))
}

func testRelease(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "l", "l", "l")
	f.claim("l", 3, "a", Epoch)
	if err := f.Release(t.Context(), "a", keys(items[2], items[0])...); err != nil {
		t.Fatalf("release: %v", err)
	}
	f.same("claimed", []spool.Item{items[0], items[2]}, itemsOf(f.claim("l", 9, "b", Epoch)))
}

func testSettleLast(t *testing.T, f *fixture) {
	m, items := f.accept(Octets(1<<20+5), "l", "k")
	f.claim("l", 1, "a", Epoch)
	f.settle(spool.Settlement{Owner: "a", Out: keys(items[0])})
	_, left, err := f.Message(t.Context(), m.ID)
	if err != nil {
		t.Fatalf("message: %v", err)
	}
	f.same("items", items[1:], left)
	f.claim("k", 1, "a", Epoch)
	f.settle(spool.Settlement{Owner: "a", Out: keys(items[1])})
	_, _, err = f.Message(t.Context(), m.ID)
	f.refused("message", err, spool.ErrNotFound)
	_, err = f.content(m.ID, 0)
	f.refused("content", err, spool.ErrNotFound)
	stats, err := f.Lanes(t.Context())
	if err != nil || len(stats) > 0 {
		t.Errorf("lanes: got %v, %v, want none", stats, err)
	}
}

func testSettleIn(t *testing.T, f *fixture) {
	m, items := f.accept([]byte("x"), spool.LaneProcess)
	f.claim(spool.LaneProcess, 1, "a", Epoch)
	relay := Item(m, 2, "relay/1/r/a", Epoch)
	f.settle(spool.Settlement{Owner: "a", Out: keys(items...), In: []spool.Item{relay}, Claim: true, Until: after(60)})
	if claimed := f.claim(relay.Lane, 9, "b", after(1)); len(claimed) > 0 {
		t.Fatalf("claimed what settle gave to its owner")
	}
	later, now := Item(m, 3, "mx/example.com", after(5)), Item(m, 4, "mx/example.com", Epoch)
	f.settle(spool.Settlement{Owner: "a", Out: keys(relay), In: []spool.Item{later, now}})
	f.same("lane", []spool.Item{now, later}, f.items("mx/example.com"))
	f.same("claimed", []spool.Item{now}, itemsOf(f.claim("mx/example.com", 9, "b", after(1))))
	f.same("claimed", []spool.Item{later}, itemsOf(f.claim("mx/example.com", 9, "b", after(5))))
	f.same("lane", []spool.Item(nil), f.items(relay.Lane))
}

func testReschedule(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "l")
	item := items[0]
	for attempt := 1; attempt < 20; attempt++ {
		f.same("claimed", []spool.Item{item}, itemsOf(f.claim("l", 9, "a", item.Due)))
		out := keys(item)
		item.Attempts = attempt
		if attempt%3 > 0 { // sometimes it comes back as it was
			item.Due = item.Due.Add(time.Hour)
		}
		f.settle(spool.Settlement{Owner: "a", Out: out, In: []spool.Item{item}})
	}
	f.claim("l", 9, "a", item.Due)
	f.settle(spool.Settlement{Owner: "a", Out: keys(item), In: []spool.Item{item}, Claim: true, Until: item.Due.Add(time.Minute)})
	if claimed := f.claim("l", 9, "b", item.Due); len(claimed) > 0 {
		t.Fatalf("claimed what came in claimed")
	}
	f.settle(spool.Settlement{Owner: "a", Out: keys(item)})
	_, _, err := f.Message(t.Context(), item.Message)
	f.refused("message", err, spool.ErrNotFound)
}

func testSettleLost(t *testing.T, f *fixture) {
	m, items := f.accept([]byte("x"), "l", "l")
	f.claim("l", 1, "a", Epoch)
	f.claim("l", 1, "b", Epoch)
	err := f.Settle(t.Context(), spool.Settlement{Owner: "a", Out: keys(items...), In: []spool.Item{Item(m, 9, "k", Epoch)}})
	f.refused("settle", err, spool.ErrLeaseLost)
	f.same("lane l", items, f.items("l"))
	f.same("lane k", []spool.Item(nil), f.items("k"))
	f.settle(spool.Settlement{Owner: "a", Out: keys(items[0])})
	f.refused("twice", f.Settle(t.Context(), spool.Settlement{Owner: "a", Out: keys(items[0])}), spool.ErrLeaseLost)
}

func testSettleSome(t *testing.T, f *fixture) {
	_, one := f.accept([]byte("x"), "l")
	_, two := f.accept([]byte("y"), "k")
	f.claim("l", 1, "a", Epoch)
	err := f.Settle(t.Context(), spool.Settlement{Owner: "a", Out: keys(two...)}, spool.Settlement{Owner: "a", Out: keys(one...)})
	var failed *spool.SettleError
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || !errors.Is(failed.Failed[0], spool.ErrLeaseLost) {
		t.Fatalf("settle: got %v, want the first to fail alone", err)
	}
	f.same("lane l", []spool.Item(nil), f.items("l"))
	f.same("lane k", two, f.items("k"))
}

func testSettleRefusals(t *testing.T, f *fixture) {
	m, items := f.accept([]byte("x"), "l", "k")
	other := Message()
	f.claim("l", 1, "a", Epoch)
	for name, s := range map[string]spool.Settlement{
		"nothing out":     {Owner: "a", In: []spool.Item{Item(m, 9, "l", Epoch)}},
		"out twice":       {Owner: "a", Out: keys(items[0], items[0])},
		"in twice":        {Owner: "a", Out: keys(items[0]), In: []spool.Item{Item(m, 9, "l", Epoch), Item(m, 9, "k", Epoch)}},
		"in without lane": {Owner: "a", Out: keys(items[0]), In: []spool.Item{Item(m, 9, "", Epoch)}},
		"another message": {Owner: "a", Out: keys(items[0]), In: []spool.Item{Item(&other, 1, "l", Epoch)}},
	} {
		f.refused(name, f.Settle(t.Context(), s), spool.ErrInvalid)
	}
	f.same("lane", items[:1], f.items("l"))
}

// testSettleAtOnce settles the items of one message from many sides: it must be gone after the last, not before.
func testSettleAtOnce(t *testing.T, f *fixture) {
	lanes := make([]spool.Lane, 40)
	for i := range lanes {
		lanes[i] = "l"
	}
	m, items := f.accept([]byte("x"), lanes...)
	f.claim("l", len(items), "a", Epoch)
	var workers sync.WaitGroup
	for _, item := range items {
		workers.Go(func() {
			if err := f.Settle(t.Context(), spool.Settlement{Owner: "a", Out: keys(item)}); err != nil {
				t.Errorf("settle: %v", err)
			}
		})
	}
	workers.Wait()
	_, _, err := f.Message(t.Context(), m.ID)
	f.refused("message", err, spool.ErrNotFound)
}

func testScan(t *testing.T, f *fixture) {
	m := Message()
	var items []spool.Item
	for seq := range uint32(25) {
		items = append(items, Item(&m, seq, "l", after(int(seq)/3)))
	}
	f.acceptItems(&m, []byte("x"), "", append(slices.Clone(items), Item(&m, 99, "la", Epoch))...)
	f.claim("l", 4, "a", after(1)) // claimed ones are there all the same
	var got []spool.Item
	for {
		var last *spool.Item
		if len(got) > 0 {
			last = &got[len(got)-1]
		}
		page, err := f.Scan(t.Context(), "l", last, 4)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, itemsOf(page)...)
	}
	f.same("pages", items, got)
}

func testLanes(t *testing.T, f *fixture) {
	m := Message()
	f.acceptItems(&m, Octets(1000), "", Item(&m, 1, "b", after(5)), Item(&m, 2, "b", after(3)), Item(&m, 3, "a", after(9)))
	check := func(want ...spool.LaneStat) {
		t.Helper()
		got, err := f.Lanes(t.Context())
		if err != nil {
			t.Fatalf("lanes: %v", err)
		}
		f.same("lanes", want, got)
	}
	check(spool.LaneStat{Lane: "a", Items: 1, Octets: 1000, Oldest: after(9)}, spool.LaneStat{Lane: "b", Items: 2, Octets: 2000, Oldest: after(3)})
	f.claim("b", 1, "o", after(3)) // claimed ones count
	check(spool.LaneStat{Lane: "a", Items: 1, Octets: 1000, Oldest: after(9)}, spool.LaneStat{Lane: "b", Items: 2, Octets: 2000, Oldest: after(3)})
	f.settle(spool.Settlement{Owner: "o", Out: []spool.ItemKey{{Message: m.ID, Seq: 2}}, In: []spool.Item{Item(&m, 4, "c", Epoch)}})
	check(spool.LaneStat{Lane: "a", Items: 1, Octets: 1000, Oldest: after(9)}, spool.LaneStat{Lane: "b", Items: 1, Octets: 1000, Oldest: after(5)},
		spool.LaneStat{Lane: "c", Items: 1, Octets: 1000, Oldest: Epoch})
}

// testLanesWhileSettling looks at the lanes all the time while an item is rescheduled in one and moved to the other: it is
// counted once.
func testLanesWhileSettling(t *testing.T, f *fixture) {
	_, items := f.accept([]byte("x"), "a")
	item := items[0]
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			stats, err := f.Lanes(t.Context())
			if err != nil || len(stats) != 1 || stats[0].Items != 1 {
				t.Errorf("got %+v, %v, want one lane with one item", stats, err)
				return
			}
		}
	})
	for _, to := range strings.Repeat("aabb", 100) {
		f.claim(item.Lane, 1, "o", item.Due)
		item.Lane, item.Due = spool.Lane(to), item.Due.Add(time.Second)
		f.settle(spool.Settlement{Owner: "o", Out: keys(item), In: []spool.Item{item}})
	}
	close(done)
	looking.Wait()
}

// testLongLane takes a lane apart that is longer than any window on it, with items given back and coming in meanwhile.
func testLongLane(t *testing.T, f *fixture) {
	const messages, each, n = 60, 50, 3000
	for i := range messages {
		m := Message()
		var items []spool.Item
		for seq := range uint32(each) {
			items = append(items, Item(&m, seq, "l", after((i*7+int(seq))/10)))
		}
		f.acceptItems(&m, []byte("x"), "", items...)
	}
	seen := map[spool.ItemKey]int{}
	for round := 0; len(seen) < n; round++ {
		claimed := f.claim("l", 100, "a", after(n))
		if len(claimed) == 0 {
			t.Fatalf("the lane ended after %d of %d items", len(seen), n)
		}
		if round%3 == 0 {
			if err := f.Release(t.Context(), "a", keys(itemsOf(claimed)...)...); err != nil {
				t.Fatalf("release: %v", err)
			}
			continue
		}
		for _, c := range claimed {
			seen[c.Item.ItemKey]++
		}
	}
	for key, times := range seen {
		if times > 1 {
			t.Errorf("item %d claimed %d times", key.Seq, times)
		}
	}
	if more := f.claim("l", 1, "a", after(n)); len(more) > 0 {
		t.Errorf("more items than came in")
	}
}

// testWorkers lets several owners accept, claim and settle at once: every item is done once.
func testWorkers(t *testing.T, f *fixture) {
	const owners, each = 4, 100
	var all sync.WaitGroup
	var mu sync.Mutex
	done := map[spool.ItemKey]int{}
	for owner := range owners {
		name := string(rune('a' + owner))
		all.Go(func() {
			for range each {
				f.accept(Octets(100), "l")
				for _, c := range f.claim("l", 2, name, Epoch) {
					mu.Lock()
					done[c.Item.ItemKey]++
					mu.Unlock()
					f.settle(spool.Settlement{Owner: name, Out: keys(c.Item)})
				}
			}
		})
	}
	all.Wait()
	for _, c := range f.claim("l", owners*each, "z", Epoch) {
		done[c.Item.ItemKey]++
	}
	if len(done) != owners*each {
		t.Errorf("%d items were claimed, want %d", len(done), owners*each)
	}
	for key, times := range done {
		if times > 1 {
			t.Errorf("item %s/%d was claimed %d times", key.Message, key.Seq, times)
		}
	}
}
