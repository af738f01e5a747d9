package queue

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

func TestSelection(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	m := &spool.Message{
		Session: message.Session{Account: "1", Region: "r"}, ReceivedAt: noon, Size: 1000,
		Envelope: message.Envelope{ReversePath: smtp.Path{Received: "Ann@Bücher.example"}},
	}
	bounce := &spool.Message{Session: m.Session, ReceivedAt: noon, Size: 1000}
	unreadable := &spool.Message{}
	item := &spool.Item{Lane: relayLane, Recipients: toRecipients([]string{"one@example.com", "two@Example.NET"})}
	held := &spool.Item{Lane: "held/unrouted"}
	foreign := &spool.Item{Lane: "relay/1/other/a"}
	mine := Selection{Account: "1", Region: "r"}
	with := func(change func(*Selection)) Selection {
		s := mine
		change(&s)
		return s
	}
	tests := []struct {
		name string
		s    Selection
		m    *spool.Message
		item *spool.Item
		want bool
	}{
		{"all of mine", mine, m, item, true},
		{"of another account", Selection{Account: "2", Region: "r"}, m, held, false},
		{"of another region", Selection{Account: "1", Region: "s"}, m, held, false},
		{"in a lane of another region", mine, m, foreign, false},
		{"in the lane of a host", mine, bounce, &spool.Item{Lane: spool.HopLane("h:25")}, true},
		{"of another account, in the lane of a host", Selection{Account: "2", Region: "r"}, bounce, &spool.Item{Lane: spool.HopLane("h:25")}, false},
		{"unreadable, and nobody's", mine, unreadable, held, false},
		{"unreadable, for whom they are shown", with(func(s *Selection) { s.Unreadable = true }), unreadable, held, true},
		{"its lane", with(func(s *Selection) { s.Lane = string(relayLane) }), m, item, true},
		{"the lanes of its kind", with(func(s *Selection) { s.Lane = "relay" }), m, item, true},
		{"the lanes of its kind, with a slash", with(func(s *Selection) { s.Lane = "relay/" }), m, item, true},
		{"part of a lane's name", with(func(s *Selection) { s.Lane = "rel" }), m, item, false},
		{"another lane", with(func(s *Selection) { s.Lane = "held" }), m, item, false},
		{"its sender, spelled otherwise", with(func(s *Selection) { s.Sender = "ANN@xn--bcher-kva.example" }), m, item, true},
		{"its sender's domain", with(func(s *Selection) { s.Sender = "@bücher.example" }), m, item, true},
		{"a domain above", with(func(s *Selection) { s.Sender = "@example" }), m, item, false},
		{"another sender", with(func(s *Selection) { s.Sender = "bob@bücher.example" }), m, item, false},
		{"part of its sender", with(func(s *Selection) { s.Sender = "nn@bücher.example" }), m, item, false},
		{"the null sender", with(func(s *Selection) { s.Sender = "<>" }), m, item, false},
		{"the null sender of a bounce", with(func(s *Selection) { s.Sender = "<>" }), bounce, item, true},
		{"a sender, of a bounce", with(func(s *Selection) { s.Sender = "@bücher.example" }), bounce, item, false},
		{"its second recipient's domain", with(func(s *Selection) { s.Recipient = "@example.net" }), m, item, true},
		{"another recipient", with(func(s *Selection) { s.Recipient = "three@example.com" }), m, item, false},
		{"the null recipient", with(func(s *Selection) { s.Recipient = "<>" }), m, item, false},
		{"older", with(func(s *Selection) { s.ReceivedBefore = noon.Add(1) }), m, item, true},
		{"not older", with(func(s *Selection) { s.ReceivedBefore = noon }), m, item, false},
		{"younger", with(func(s *Selection) { s.ReceivedAfter = noon.Add(-1) }), m, item, true},
		{"not younger", with(func(s *Selection) { s.ReceivedAfter = noon }), m, item, false},
		{"large enough", with(func(s *Selection) { s.MinSize = 1000 }), m, item, true},
		{"too small", with(func(s *Selection) { s.MinSize = 1001 }), m, item, false},
		{"small enough", with(func(s *Selection) { s.MaxSize = 1000 }), m, item, true},
		{"too large", with(func(s *Selection) { s.MaxSize = 999 }), m, item, false},
	}
	for _, test := range tests {
		if got := test.s.matches(test.m, test.item); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// find pages through everything and returns the keys that were found.
func (r *rig) find(s Selection, n int) (keys []spool.ItemKey, pages int) {
	r.Helper()
	for from := (Position{}); ; pages++ {
		found, next, err := r.q.Find(context.Background(), &s, from, n)
		if err != nil || len(found) > n || pages > 100_000 {
			r.Fatalf("page %d: %d items, %v", pages, len(found), err)
		}
		for _, f := range found {
			keys = append(keys, f.Item.ItemKey)
		}
		if next.IsZero() {
			return keys, pages + 1
		}
		from = next
	}
}

// Pages of any size have every item once, over lanes, and go on when what they ended with is gone.
func TestFindPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil, nil)
		for _, lane := range []spool.Lane{restingLane, "held/a", "held/b", "resting/1/other/a"} {
			r.queued(lane, 7)
		}
		for _, n := range []int{1, 2, 7, 20, 21, 22, 1000} {
			keys, _ := r.find(everything, n)
			slices.SortFunc(keys, func(a, b spool.ItemKey) int { return slices.Compare(a.Message[:], b.Message[:]) })
			if len(slices.Compact(keys)) != 21 {
				t.Errorf("pages of %d: %d items", n, len(keys))
			}
		}
		_, from, _ := r.q.Find(t.Context(), &everything, Position{}, 7)
		r.steer(Order{Act: ActDiscard}, Selection{Account: "1", Region: "r", Lane: "held/a"}, 100)
		if found, _, err := r.q.Find(t.Context(), &everything, from, 100); err != nil || len(found) != 14 {
			t.Errorf("behind what is gone: %d items, %v", len(found), err)
		}
	})
}

func TestShowSaysHowItemsAre(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		x := &target{took: time.Minute}
		r := newRig(t, map[string]Executor{"relay": targets(2, map[spool.Lane]*target{relayLane: x})}, nil)
		for lane, want := range map[spool.Lane]string{relayLane: ItemActive, "held/a": ItemHeld, restingLane: ItemDue} {
			c := r.accept(lane, "")
			r.q.Notify(lane)
			synctest.Wait()
			m, found, err := r.q.Show(t.Context(), &everything, c.Item.Message)
			if err != nil || m.ID != c.Item.Message || len(found) != 1 || found[0].State != want {
				t.Errorf("%s: got %+v, %v, want %s", lane, found, err, want)
			}
		}
		due := r.item(func(i *spool.Item) { i.Lane, i.Due = restingLane, i.Due.Add(time.Hour) })
		if _, found, err := r.q.Show(t.Context(), &everything, due.Message); err != nil || found[0].State != ItemDeferred {
			t.Errorf("got %+v, %v", found, err)
		}
		time.Sleep(2 * time.Minute)
	})
}

// 20,000 items are paged through and steered in pieces: what a page looks at is bounded, and so is the memory that it takes. It
// is not parallel, for the memory of other tests would count.
func TestManyItems(t *testing.T) {
	const items, lanes = 20_000, 100
	r := newRig(t, nil, func(c *Config) { c.Trace = nothing{} })
	for i := range items {
		r.accept(spool.Lane(fmt.Sprintf("resting/1/r/%d", i%lanes)), "")
	}
	nothingSuch := everything
	nothingSuch.Sender = "nobody@example.com"
	if keys, pages := r.find(nothingSuch, 100); len(keys) > 0 || pages < items/maxLooked {
		t.Errorf("found %d items in %d pages", len(keys), pages)
	}
	if keys, pages := r.find(everything, 1000); len(keys) != items || pages < items/1000 {
		t.Errorf("found %d items in %d pages", len(keys), pages)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	held := r.steer(Order{Act: ActHold}, everything, 1000)
	if len(held) != items || slices.ContainsFunc(held, func(s Steered) bool { return s.Outcome != SteerDone }) {
		t.Errorf("%d items were steered", len(held))
	}
	held = nil
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d octets more are used", grown)
	}
	if left := r.items("held/operator"); len(left) != items {
		t.Errorf("%d items are held", len(left))
	}
	checkTidy(t, r.q)
}

func TestMeter(t *testing.T) {
	t.Parallel()
	var m meter
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name   string
		pass   time.Duration
		events int
		want   float64
	}{
		{"nothing", 0, 0, 0},
		{"a burst", 0, 60, 1},
		{"more", 30 * time.Second, 60, 2},
		{"the burst is forgotten", 30 * time.Second, 0, 1},
		{"a clock that steps back", -time.Minute, 60, 2},
		{"long after", time.Hour, 6, 0.1},
	}
	for _, test := range tests {
		now = now.Add(test.pass)
		for range test.events {
			m.add(now)
		}
		if got := m.rate(now); got != test.want {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
