package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/rule"
)

// said is an event of a message or session as a test tells it.
func said(at time.Time, id message.ID, sender, client string, recipients ...string) Event {
	facts := message.Session{Client: netip.MustParseAddrPort(client)}
	return Event{Time: at, Account: account, Region: region, Message: id, Session: message.NewID(at),
		Accepted: &Accepted{Facts: facts, ReversePath: sender, Recipients: recipients}}
}

// made is how the trace of a notification begins.
func made(at time.Time, id message.ID, recipient string) Event {
	return Event{Time: at, Account: account, Region: region, Message: id, Session: message.NewID(at), Made: &Made{Of: newID(), Recipients: []string{recipient}}}
}

func denied(at time.Time, sender, client, recipient string) Event {
	facts := message.Session{Client: netip.MustParseAddrPort(client)}
	return Event{Time: at, Account: account, Region: region, Session: message.NewID(at),
		Refused: &Refused{Facts: facts, ReversePath: sender, Reply: "550 no", Decisions: []policy.Decision{{Recipient: recipient}}}}
}

func ended(at time.Time, client string) Event {
	facts := message.Session{Client: netip.MustParseAddrPort(client)}
	return Event{Time: at, Account: account, Region: region, Session: message.NewID(at), Ended: &Ended{Facts: facts, Reason: "QUIT"}}
}

// find returns everything that a query finds, page by page.
func find(t testing.TB, l *Log, q Query) (found []Summary, pages int) {
	t.Helper()
	if q.Account == "" {
		q.Account, q.Region = account, region
	}
	for {
		page, err := l.Find(context.Background(), q)
		if err != nil {
			t.Fatalf("find: %v", err)
		}
		pages++
		found = append(found, page.Found...)
		if page.Next == "" {
			return found, pages
		}
		q.Token = page.Next
	}
}

func ids(found []Summary) (ids []message.ID) {
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	return ids
}

func flush(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

// TestFind writes six things into as many frames, and looks for them.
func TestFind(t *testing.T) {
	t.Parallel()
	at := func(i int) time.Time { return epoch.Add(time.Duration(i) * time.Minute) }
	events := []Event{
		said(at(0), newID(), "Alice@Example.com", "192.0.2.1:1", "bob@example.net", "Carol@example.net"),
		said(at(1), newID(), "", "192.0.2.2:1", "bob@example.net"),
		denied(at(2), "alice@example.com", "[::ffff:192.0.2.1]:1", "bob@example.net"),
		denied(at(3), "", "[2001:db8::1]:1", "dave@example.net"),
		ended(at(4), "192.0.2.2:9"),
		said(at(5), newID(), "mallory@example.org", "192.0.2.3:1", "carol@example.net"),
		made(at(6), newID(), "Alice@example.com"),
	}
	stranger := events[0]
	stranger.Account = "999999999999"
	abroad := events[0]
	abroad.Region = "us-east-1"
	addr := netip.MustParseAddr
	tests := []struct {
		name  string
		query Query
		want  []int // newest first
	}{
		{"everything", Query{}, []int{6, 5, 4, 3, 2, 1, 0}},
		{"another's sender of none", Query{Sender: "nobody@example.com"}, nil},
		{"part of a sender", Query{Sender: "example.com"}, nil},
		{"sender in another case", Query{Sender: "ALICE@example.com"}, []int{2, 0}},
		{"empty reverse-path", Query{Sender: "<>"}, []int{6, 1}}, // of 3 it is not known
		{"recipient", Query{Recipient: "bob@example.net"}, []int{2, 1, 0}},
		{"second recipient", Query{Recipient: "carol@example.net"}, []int{5, 0}},
		{"a sender is a recipient of notifications only", Query{Recipient: "alice@example.com"}, []int{6}},
		{"client", Query{Client: addr("192.0.2.1")}, []int{2, 0}},
		{"client mapped", Query{Client: addr("::ffff:192.0.2.2")}, []int{4, 1}},
		{"client of IPv6", Query{Client: addr("2001:db8::1")}, []int{3}},
		{"refused", Query{Refused: true}, []int{3, 2}},
		{"refused and sender", Query{Refused: true, Sender: "alice@example.com"}, []int{2}},
		{"sender and recipient", Query{Sender: "alice@example.com", Recipient: "carol@example.net"}, []int{0}},
		{"sender and recipient, not together", Query{Sender: "<>", Recipient: "carol@example.net"}, nil},
		{"since", Query{Since: at(4)}, []int{6, 5, 4}},
		{"until", Query{Until: at(1)}, []int{0}},
		{"between", Query{Since: at(1), Until: at(3)}, []int{2, 1}},
		{"after the end", Query{Since: at(7)}, nil},
		{"before the beginning", Query{Until: at(0)}, nil},
		{"another account", Query{Account: "111111111111", Region: region}, nil},
		{"no account", Query{Region: region, Account: "-"}, nil},
	}
	for _, frames := range []bool{true, false} { // a frame for each, or one for all
		dir := t.TempDir()
		l := openLog(t, dir, Config{})
		for _, e := range events {
			l.Append(e)
			if frames {
				flush(t, l)
			}
		}
		l.Append(stranger)
		l.Append(abroad)
		for _, limit := range []int{0, 1, 2} {
			for _, test := range tests {
				test.query.Limit = limit
				var want []message.ID
				for _, i := range test.want {
					s, _ := summarize(&events[i])
					want = append(want, s.ID)
				}
				found, _ := find(t, l, test.query)
				if d := cmp.Diff(want, ids(found)); d != "" {
					t.Errorf("%s, a frame each: %v, limit %d (-want +got):\n%s", test.name, frames, limit, d)
				}
			}
		}
	}
}

// TestFindOutcome tells the newest status of each step, whichever frame it is in.
func TestFindOutcome(t *testing.T) {
	t.Parallel()
	attempt := func(status string, action int, recipients ...string) Event {
		a := &Attempt{Rule: 1, Action: action, Status: status}
		for _, r := range recipients {
			a.Recipients = append(a.Recipients, Reply{Recipient: r})
		}
		return Event{Attempt: a}
	}
	queued := Event{Decided: &Decided{Rules: []rule.Reason{{Rule: 1, Actions: []rule.Done{{Action: 1, Outcome: "QUEUED", Recipients: []string{"a", "b"}}}}}}}
	dropped := Event{Decided: &Decided{Rules: []rule.Reason{{Rule: 1, Actions: []rule.Done{{Action: 1, Name: "DROP", Outcome: "STOP_RULE_SET", Recipients: []string{"a"}}}}}}}
	for name, test := range map[string]struct {
		events []Event
		want   string
	}{
		"nothing yet":            {nil, ""},
		"waits":                  {[]Event{queued}, "QUEUED"},
		"delivered at last":      {[]Event{queued, attempt("IN_PROGRESS", 1, "a", "b"), attempt("SUCCESS", 1, "a", "b")}, "SUCCESS"},
		"one is still tried":     {[]Event{queued, attempt("SUCCESS", 1, "a"), attempt("IN_PROGRESS", 1, "b")}, "IN_PROGRESS, SUCCESS"},
		"one action fails":       {[]Event{attempt("SUCCESS", 1, "a"), attempt("FAILURE", 2, "a")}, "FAILURE, SUCCESS"},
		"held":                   {[]Event{attempt("FAILURE", 1, "a"), {Held: &Held{Recipients: []string{"a"}}}}, "FAILURE, HELD"},
		"released and delivered": {[]Event{{Held: &Held{Recipients: []string{"a"}}}, {Steered: &Steered{Act: "RELEASE", Recipients: []string{"a"}}}, attempt("SUCCESS", 1, "a")}, "RELEASE, SUCCESS"},
		"sender was told":        {[]Event{attempt("FAILURE", 1, "a"), {Attempt: &Attempt{Rule: 1, Action: 1, Lane: "report", Status: "SUCCESS", Recipients: []Reply{{Recipient: "a"}}}}}, "FAILURE"},
		"dropped":                {[]Event{dropped}, "DROPPED"},
		"unrouted":               {[]Event{{Decided: &Decided{Unrouted: []string{"a"}}}}, "UNROUTED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := openLog(t, t.TempDir(), Config{})
			id := newID()
			l.Append(said(epoch, id, "s@example.com", "192.0.2.1:1", "a", "b"))
			for _, e := range test.events {
				flush(t, l)
				e.Time, e.Account, e.Region, e.Message = epoch, account, region, id
				l.Append(e)
			}
			l.Append(said(epoch, newID(), "other@example.com", "192.0.2.1:1", "a"))
			if found, _ := find(t, l, Query{Sender: "s@example.com"}); len(found) != 1 || found[0].Outcome != test.want {
				t.Errorf("got %+v, want outcome %q", found, test.want)
			}
		})
	}
}

// TestFindOverMidnight finds by the time of the event, whatever day its file is of.
func TestFindOverMidnight(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	now := &clock{}
	l := openLog(t, t.TempDir(), Config{Now: now.Now})
	var want []message.ID
	for i := range 4 { // two before, two after, each written a second late: the second on the next day
		id := newID()
		happened := midnight.Add(time.Duration(2*i-3) * 500 * time.Millisecond)
		now.set(happened.Add(time.Second))
		l.Append(said(happened, id, "s@example.com", "192.0.2.1:1", "r@example.com"))
		flush(t, l)
		want = append([]message.ID{id}, want...)
	}
	for name, test := range map[string]struct {
		query Query
		want  []message.ID
	}{
		"before":          {Query{Until: midnight}, want[2:]},
		"after":           {Query{Since: midnight}, want[:2]},
		"around":          {Query{Since: midnight.Add(-time.Second), Until: midnight.Add(time.Second)}, want[1:3]},
		"in another zone": {Query{Since: midnight.In(time.FixedZone("", -12*3600))}, want[:2]},
		"days before":     {Query{Until: midnight.AddDate(0, 0, -3)}, nil},
		"days after":      {Query{Since: midnight.AddDate(0, 0, 3)}, nil},
	} {
		found, _ := find(t, l, test.query)
		if d := cmp.Diff(test.want, ids(found)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestFindInOldSegments finds in what was written before there were words, and both in one file.
func TestFindInOldSegments(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{})
	old, between, newer := newID(), newID(), newID()
	for _, id := range []message.ID{old, between} {
		l.Append(said(epoch, id, "s@example.com", "192.0.2.1:1", "r@example.com"))
		flush(t, l)
	}
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	name := filepath.Join(dir, "2026-03-01.0001"+indexSuffix)
	if err := os.WriteFile(name, idsOnly(t, read(t, name)), 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	l = openLog(t, dir, Config{})
	l.Append(said(epoch, newer, "s@example.com", "192.0.2.1:1", "r@example.com"))
	found, _ := find(t, l, Query{Sender: "s@example.com"})
	if d := cmp.Diff([]message.ID{newer, between, old}, ids(found)); d != "" {
		t.Errorf("found (-want +got):\n%s", d)
	}
	get(t, l, old)
	if found, _ := find(t, l, Query{Sender: "t@example.com"}); len(found) > 0 {
		t.Errorf("found %d of nobody", len(found))
	}
}

// idsOnly writes an index as it was before there were words.
func idsOnly(t *testing.T, index []byte) (old []byte) {
	t.Helper()
	for len(index) > 0 {
		e, rest, err := parseEntry(index)
		if err != nil {
			t.Fatalf("index: %v", err)
		}
		e.idsOnly, e.marks = true, e.marks[:2*markOctets]
		old = e.append(old)
		index = rest
	}
	return old
}

// TestFindIsBounded: one call reads so many frames, and says where to go on; no frame is left out or read twice.
func TestFindIsBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{segment: 10_000})
	for i := range 2*findFrames + 10 {
		l.Append(said(epoch, newID(), fmt.Sprintf("s%d@example.com", i%2), "192.0.2.1:1", "r@example.com"))
		flush(t, l)
	}
	if found, pages := find(t, l, Query{Limit: MaxFindLimit}); len(found) != 2*findFrames+10 || pages < 3 {
		t.Errorf("found %d in %d pages", len(found), pages)
	}
	if found, pages := find(t, l, Query{Limit: MaxFindLimit, Until: epoch.Add(-time.Minute)}); len(found) > 0 || pages > 2 {
		t.Errorf("found %d in %d pages, want the index to tell that there is nothing", len(found), pages)
	}
	if found, _ := find(t, l, Query{Sender: "s1@example.com"}); len(found) != findFrames+5 {
		t.Errorf("found %d, want %d", len(found), findFrames+5)
	}
}

// TestFindAfterRecovery: an index that is lost is made anew with its words.
func TestFindAfterRecovery(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{})
	id := newID()
	l.Append(said(epoch, id, "s@example.com", "192.0.2.1:1", "r@example.com"))
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	name := filepath.Join(dir, "2026-03-01.0001"+indexSuffix)
	before := read(t, name)
	if err := os.Remove(name); err != nil {
		t.Fatalf("remove: %v", err)
	}
	l = openLog(t, dir, Config{})
	if after := read(t, name); !bytes.Equal(before, after) {
		t.Errorf("the index is not what it was")
	}
	if found, _ := find(t, l, Query{Recipient: "r@example.com"}); len(found) != 1 || found[0].ID != id {
		t.Errorf("found %+v", found)
	}
}

// TestFindPassesOverACorruptFrame: the others are served (S30).
func TestFindPassesOverACorruptFrame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{})
	for range 3 {
		l.Append(denied(epoch, "s@example.com", "192.0.2.1:1", "r@example.com"))
		flush(t, l)
	}
	name := filepath.Join(dir, "2026-03-01.0001"+dataSuffix)
	data := read(t, name)
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	if found, _ := find(t, l, Query{Sender: "s@example.com"}); len(found) != 2 {
		t.Errorf("found %d, want 2", len(found))
	}
}

// TestS18TraceGivesWay: on a full disk and in a flood events are dropped and counted, appending goes on at once, and what
// was kept is found.
func TestS18TraceGivesWay(t *testing.T) {
	t.Parallel()
	full := true
	l := openLog(t, t.TempDir(), Config{open: func(name string) (file, error) {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		return failingFile{f, func() bool { return full }}, err // full is changed between flushes only
	}})
	const flood = 3 * bufferEvents
	for range flood {
		l.Append(denied(epoch, "lost@example.com", "192.0.2.1:1", "r@example.com"))
	}
	flush(t, l)
	drops := testutil.ToFloat64(l.metrics.byReason[dropBuffer]) + testutil.ToFloat64(l.metrics.byReason[dropDisk])
	if drops != flood {
		t.Errorf("%v events are counted as dropped, want %d", drops, flood)
	}
	full = false
	l.Append(denied(epoch, "kept@example.com", "192.0.2.1:1", "r@example.com"))
	flush(t, l)
	if found, _ := find(t, l, Query{}); len(found) != 1 || found[0].Sender != "kept@example.com" {
		t.Errorf("found %d, want what came when there was room", len(found))
	}
}

func TestFindTokens(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), Config{})
	l.Append(said(epoch, newID(), "s@example.com", "192.0.2.1:1", "r@example.com"))
	for _, token := range []string{
		"x", "/", "//", "2026-03-01.0001", "2026-03-01.0001/1", "2026-03-01.0001/-1/0", "2026-03-01.0001/0/-1", "2026-03-01.0001/0/0/0",
		"2026-03-01.0001/0/9999999999", "2026-03-01.0001/99999999999999999999/0", "../etc/passwd/0/0", "2026-03-01/0/0", " 2026-03-01.0001/0/0",
	} {
		if _, err := l.Find(t.Context(), Query{Account: account, Region: region, Token: token}); !errors.Is(err, ErrToken) {
			t.Errorf("%q: got %v", token, err)
		}
	}
	for token, want := range map[string]int{"2026-03-01.0001/0/0": 0, "2026-03-01.0001/0/1": 1, "2026-02-28.0001/5/5": 0, "2027-01-01.0001/5/5": 1} {
		page, err := l.Find(t.Context(), Query{Account: account, Region: region, Token: token})
		if err != nil || len(page.Found) != want || page.Next != "" {
			t.Errorf("%q: got %+v, %v", token, page, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Find(ctx, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// FuzzPlace reads a token: what is taken prints to what reads the same, and names no file outside.
func FuzzPlace(f *testing.F) {
	f.Add("2026-03-01.0001/17/3")
	f.Add("../../etc/passwd/1/1")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := parsePlace(token)
		if err != nil || token == "" {
			return
		}
		if again, err := parsePlace(p.String()); err != nil || again != p || strings.ContainsAny(p.name, `/\`) {
			t.Fatalf("%q read as %+v, then %+v, %v", token, p, again, err)
		}
	})
}

// BenchmarkFind looks for the sender of one message of 20,000.
func BenchmarkFind(b *testing.B) {
	l := openLog(b, b.TempDir(), Config{})
	for i := range 20_000 {
		for _, e := range messageEvents(newID(), newID()) {
			if e.Accepted != nil && i == 10_000 {
				e.Accepted.ReversePath = "rare@example.com"
			}
			l.Append(e)
		}
		if i%2000 == 0 {
			flush(b, l)
		}
	}
	for b.Loop() {
		if found, _ := find(b, l, Query{Sender: "rare@example.com"}); len(found) != 1 {
			b.Fatalf("found %d", len(found))
		}
	}
}
