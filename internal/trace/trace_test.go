package trace

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/rule"
)

const (
	account = "123456789012"
	region  = "eu-central-1"
)

var (
	epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	quiet = slog.New(slog.NewJSONHandler(io.Discard, nil))
)

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func openLog(t testing.TB, dir string, c Config) *Log {
	t.Helper()
	c.Logger = quiet
	if c.Now == nil {
		c.Now = func() time.Time { return epoch }
	}
	l, err := Open(dir, c)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// messageEvents are the events of a message as policy, rules and queue make them: three statements, ten rules, one relay.
func messageEvents(id, session message.ID) []Event {
	facts := message.Session{
		ID: session, Account: account, Region: region, IngressPoint: "inp-0123456789abcdef", Listener: "pool", Started: epoch,
		Client: netip.MustParseAddrPort("192.0.2.1:4321"), Local: netip.MustParseAddrPort("198.51.100.1:25"),
		ClientName: "client.example.com", Hello: "client.example.com", Extended: true,
	}
	decision := policy.Decision{Recipient: "recipient@example.net", Action: mailmanager.AcceptActionAllow, By: 3}
	for i := range 3 {
		decision.Statements = append(decision.Statements, policy.StatementReason{Index: i + 1, Action: mailmanager.AcceptActionAllow, Matched: i == 2,
			Conditions: []policy.ConditionReason{{Attribute: "RECIPIENT", Operator: "ENDS_WITH", Values: []string{"@example.net", "@example.org"},
				Seen: "recipient@example.net", Result: match.Of(i == 2)}}})
	}
	var rules []rule.Reason
	for i := range 10 {
		r := rule.Reason{Rule: i + 1, Name: fmt.Sprintf("rule %d", i), Conditions: []rule.Condition{{Index: 1, Attribute: "SUBJECT", Operator: "CONTAINS",
			Values: []string{"word"}, Seen: []string{"A subject of the usual length for a mail"}, Result: match.Of(i == 9)}}}
		if i == 9 {
			r.Matched = []string{"recipient@example.net"}
			r.Actions = []rule.Done{{Action: 1, Name: "RELAY", Outcome: "QUEUED", Recipients: r.Matched}}
		}
		rules = append(rules, r)
	}
	event := Event{Time: epoch, Account: account, Region: region, Message: id, Session: session}
	accepted, decided, attempt := event, event, event
	accepted.Accepted = &Accepted{Facts: facts, ReversePath: "sender@example.com", Recipients: []string{"recipient@example.net"}, Size: 10240,
		TrafficPolicyID: "tp-1", Decisions: []policy.Decision{decision}, RuleSetID: "rs-1"}
	decided.Time, decided.Decided = epoch.Add(time.Millisecond), &Decided{RuleSetID: "rs-1", RuleSetHash: strings.Repeat("0a", 32), Rules: rules}
	attempt.Time, attempt.Attempt = epoch.Add(2*time.Millisecond), &Attempt{Rule: 10, RuleName: "rule 9", Action: 1, ActionName: "RELAY",
		Lane: "relay/" + account + "/" + region + "/relay-1", Number: 1, Status: "SUCCESS", Target: "127.0.0.1:2526",
		Recipients: []Reply{{Recipient: "recipient@example.net", Reply: "250 2.0.0 Ok: queued as 4F2B"}}, Took: 1234567}
	return []Event{accepted, decided, attempt}
}

func refusal(session message.ID, reply string) Event {
	return Event{Time: epoch, Account: account, Region: region, Session: session, Refused: &Refused{Command: "RCPT", Reply: reply}}
}

func newID() message.ID { return message.NewID(epoch) }

// get looks an id up in the tests' account and region.
func get(t *testing.T, l *Log, id message.ID) Record {
	t.Helper()
	r, err := l.Get(t.Context(), account, region, id)
	if err != nil {
		t.Fatalf("get %s: %v", id, err)
	}
	return r
}

func isNotFound(err error) bool {
	var coded *mailmanager.Error
	return errors.As(err, &coded) && coded.Code == mailmanager.CodeResourceNotFound
}

func same(t *testing.T, want, got []Event) {
	t.Helper()
	equal := cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })
	if d := cmp.Diff(want, got, equal); d != "" {
		t.Errorf("events (-want +got):\n%s", d)
	}
}

func TestRecordOfMessageAndSession(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{})
	id, session := newID(), newID()
	events := messageEvents(id, session)
	refused := refusal(session, "550 5.7.1 no")
	refused.Time = epoch.Add(-time.Second)
	for _, other := range messageEvents(newID(), newID()) {
		l.Append(other)
	}
	l.Append(events[2]) // in any order
	l.Append(events[0])
	l.Append(refused)
	l.Append(events[1])
	check := func(l *Log) {
		t.Helper()
		record := get(t, l, id)
		if record.Version != Version || record.ID != id {
			t.Errorf("record says version %d, id %s", record.Version, record.ID)
		}
		same(t, events, record.Events)
		same(t, append([]Event{refused}, events...), get(t, l, session).Events)
	}
	check(l) // still buffered
	check(l)
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	check(openLog(t, dir, Config{}))
}

// TestScope shows that a record is found by its own account and region only, and that nothing tells it from one that is
// not there (S36).
func TestScope(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), Config{})
	id := newID()
	for _, e := range messageEvents(id, newID()) {
		l.Append(e)
	}
	unknown := newID()
	for name, c := range map[string]struct {
		account, region string
		id              message.ID
	}{
		"another account": {"999999999999", region, id},
		"another region":  {account, "us-east-1", id},
		"no account":      {"", "", id},
		"unknown":         {account, region, unknown},
		"zero":            {account, region, message.ID{}},
	} {
		record, err := l.Get(t.Context(), c.account, c.region, c.id)
		if !isNotFound(err) || len(record.Events) > 0 {
			t.Errorf("%s: got %d events, %v", name, len(record.Events), err)
		} else if err.Error() != strings.ReplaceAll(err.Error(), "another", "") || !strings.Contains(err.Error(), c.id.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	get(t, l, id)
}

// TestManyFrames finds a message whose events are days, files and thousands of other events apart.
func TestManyFrames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := &clock{now: epoch}
	l := openLog(t, dir, Config{Now: now.Now, segment: 20_000})
	id, session := newID(), newID()
	var want []Event
	for day := range 4 {
		now.set(epoch.AddDate(0, 0, day))
		for range 5 {
			e := refusal(session, fmt.Sprintf("450 day %d", day))
			e.Message, e.Time = id, now.Now().Add(time.Duration(len(want)))
			want = append(want, e)
			l.Append(e)
			for range 500 {
				for _, other := range messageEvents(newID(), newID()) {
					l.Append(other)
				}
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatalf("flush: %v", err)
			}
		}
	}
	same(t, want, get(t, l, id).Events)
	files, err := filepath.Glob(filepath.Join(dir, "*"+dataSuffix))
	if err != nil || len(files) < 8 {
		t.Errorf("%d files, %v; want several a day", len(files), err)
	}
	if dropped := testutil.ToFloat64(l.metrics.byReason[dropBuffer]); dropped > 0 {
		t.Errorf("%v events dropped", dropped)
	}
}

func TestClockBack(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), Config{Now: func() time.Time { return epoch.AddDate(-10, 0, 0) }})
	session := newID() // ten years before the file it is in
	l.Append(refusal(session, "450 later"))
	if got := get(t, l, session); len(got.Events) != 1 {
		t.Errorf("got %d events", len(got.Events))
	}
}

// TestBoundedBuffer shows that Append neither waits nor grows when the writer does not keep up (S18).
func TestBoundedBuffer(t *testing.T) {
	t.Parallel()
	blocked := make(chan struct{})
	l := openLog(t, t.TempDir(), Config{open: func(string) (file, error) {
		<-blocked
		return nil, errors.New("no disk")
	}})
	session := newID()
	l.Append(refusal(session, "450 first"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.Flush(ctx); err == nil { // the writer has it and waits for the disk
		t.Fatalf("flushed to a disk that does not answer")
	}
	for range bufferEvents + 100 {
		l.Append(refusal(session, "450 later"))
	}
	if dropped := testutil.ToFloat64(l.metrics.byReason[dropBuffer]); dropped < 99 || dropped > 101 {
		t.Errorf("%v events dropped, want 100", dropped)
	}
	close(blocked)
}

// TestTooLarge shows that an event beyond the limit is dropped alone.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), Config{})
	session := newID()
	l.Append(refusal(session, "450 first"))
	l.Append(refusal(session, strings.Repeat("x", eventOctets)))
	l.Append(refusal(session, "450 last"))
	if got := get(t, l, session); len(got.Events) != 2 {
		t.Errorf("got %d events, want 2", len(got.Events))
	}
	if dropped := testutil.ToFloat64(l.metrics.byReason[dropEvent]); dropped != 1 {
		t.Errorf("%v events dropped, want 1", dropped)
	}
}

// failingFile is a disk that is full while the test says so: it takes half of what is written.
type failingFile struct {
	*os.File
	full func() bool
}

func (f failingFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.full() {
		return f.File.WriteAt(p, off)
	}
	n, _ := f.File.WriteAt(p[:len(p)/2], off)
	return n, errors.New("no space left on device")
}

// TestDiskFull shows that nothing but the events of the time is lost, whether data or index does not fit, and that what
// was half written is not in the way (S18, S29).
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{dataSuffix, indexSuffix} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var mu sync.Mutex
			var full bool
			set := func(is bool) { mu.Lock(); defer mu.Unlock(); full = is }
			l := openLog(t, dir, Config{open: func(name string) (file, error) {
				f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
				return failingFile{f, func() bool { mu.Lock(); defer mu.Unlock(); return full && strings.HasSuffix(name, suffix) }}, err
			}})
			before, during, later := newID(), newID(), newID()
			for _, step := range []struct {
				id   message.ID
				full bool
			}{{before, false}, {during, true}, {during, true}, {later, false}} {
				set(step.full)
				l.Append(refusal(step.id, "450 later"))
				if err := l.Flush(t.Context()); err != nil {
					t.Fatalf("flush: %v", err)
				}
			}
			get(t, l, before)
			get(t, l, later)
			_, err := l.Get(t.Context(), account, region, during)
			if found, whole := err == nil, suffix == indexSuffix; found != whole {
				t.Errorf("what did not fit is found: %v, want %v: %v", found, whole, err)
			}
			if dropped := testutil.ToFloat64(l.metrics.byReason[dropDisk]); dropped != 2 {
				t.Errorf("%v events dropped, want 2", dropped)
			}
			if err := l.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			get(t, openLog(t, dir, Config{}), later)
		})
	}
}

// TestTornTail cuts the newest files everywhere: what is whole before the cut is found, and the log goes on.
func TestTornTail(t *testing.T) {
	t.Parallel()
	whole := t.TempDir()
	l := openLog(t, whole, Config{})
	var ids []message.ID
	var sizes []int64 // of the data, after each
	name := filepath.Join(whole, "2026-03-01.0001")
	for range 4 {
		ids = append(ids, newID())
		l.Append(refusal(ids[len(ids)-1], "450 later"))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatalf("flush: %v", err)
		}
		info, err := os.Stat(name + dataSuffix)
		if err != nil {
			t.Fatalf("stat: %v", err)
		}
		sizes = append(sizes, info.Size())
	}
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	data, index := read(t, name+dataSuffix), read(t, name+indexSuffix)
	for cut := 0; cut <= len(data); cut += 7 {
		checkTorn(t, ids, sizes, data[:cut], index)
	}
	for cut := 0; cut <= len(index); cut += 7 { // the data says everything
		checkTorn(t, ids, sizes, data, index[:cut])
	}
	checkTorn(t, ids, sizes, append(data[:len(data):len(data)], make([]byte, 4096)...), index) // a file that grew before it was written
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return content
}

func checkTorn(t *testing.T, ids []message.ID, sizes []int64, data, index []byte) {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, "2026-03-01.0001")
	for suffix, content := range map[string][]byte{dataSuffix: data, indexSuffix: index} {
		if err := os.WriteFile(name+suffix, content, 0o600); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	l := openLog(t, dir, Config{})
	defer l.Close()
	next := newID()
	l.Append(refusal(next, "450 later"))
	get(t, l, next)
	for i, id := range ids {
		_, err := l.Get(t.Context(), account, region, id)
		if found, want := err == nil, int64(len(data)) >= sizes[i]; found != want {
			t.Fatalf("data of %d octets, index of %d: event %d found is %v, want %v: %v", len(data), len(index), i, found, want, err)
		}
	}
}

// TestCorruptFrame spoils a frame in the middle: the others are found (S30).
func TestCorruptFrame(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{})
	session := newID()
	for i := range 3 {
		l.Append(refusal(session, fmt.Sprintf("450 %d", i)))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatalf("flush: %v", err)
		}
	}
	name := filepath.Join(dir, "2026-03-01.0001"+dataSuffix)
	data := read(t, name)
	data[len(data)/2] ^= 0xff
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatalf("write: %v", err)
	}
	if got := get(t, l, session).Events; len(got) != 2 || got[0].Refused.Reply != "450 0" || got[1].Refused.Reply != "450 2" {
		t.Errorf("got %d events, want the first and the last", len(got))
	}
}

// TestNewerFormat leaves what a newer version wrote alone.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := openLog(t, dir, Config{})
	l.Append(refusal(newID(), "450 old"))
	if err := l.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	name := filepath.Join(dir, "2026-03-01.0001")
	data := read(t, name+dataSuffix)
	data[8]++
	if err := errors.Join(os.WriteFile(name+dataSuffix, data, 0o600), os.Remove(name+indexSuffix)); err != nil {
		t.Fatalf("spoil: %v", err)
	}
	l = openLog(t, dir, Config{})
	id := newID()
	l.Append(refusal(id, "450 new"))
	get(t, l, id)
	if after := read(t, name+dataSuffix); string(after) != string(data) {
		t.Errorf("a newer version's file was changed")
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	days := func(t *testing.T, dir string) (names []string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"+dataSuffix))
		if err != nil {
			t.Fatalf("glob: %v", err)
		}
		for _, f := range files {
			names = append(names, filepath.Base(f)[len("2026-03-"):len(dayLayout)])
		}
		return names
	}
	fill := func(t *testing.T, l *Log, now *clock, n int) {
		t.Helper()
		for day := range n {
			now.set(epoch.AddDate(0, 0, day))
			l.Append(refusal(newID(), strings.Repeat("x", 1000)))
			if err := l.Flush(t.Context()); err != nil {
				t.Fatalf("flush: %v", err)
			}
		}
	}
	t.Run("age", func(t *testing.T) {
		t.Parallel()
		dir, now := t.TempDir(), &clock{}
		fill(t, openLog(t, dir, Config{Now: now.Now}), now, 10)
		if d := cmp.Diff([]string{"03", "04", "05", "06", "07", "08", "09", "10"}, days(t, dir)); d != "" {
			t.Errorf("days (-want +got):\n%s", d)
		}
	})
	t.Run("size", func(t *testing.T) {
		t.Parallel()
		dir, now := t.TempDir(), &clock{}
		fill(t, openLog(t, dir, Config{Now: now.Now, MaxOctets: 600}), now, 6)
		if got := days(t, dir); len(got) > 4 || len(got) < 2 || got[len(got)-1] != "06" {
			t.Errorf("days %v are left, want the newest", got)
		}
	})
	t.Run("clock jumps", func(t *testing.T) { // S31
		t.Parallel()
		dir, now := t.TempDir(), &clock{}
		l := openLog(t, dir, Config{Now: now.Now})
		fill(t, l, now, 5)
		now.set(epoch.AddDate(10, 0, 0))
		l.Append(refusal(newID(), "450 later"))
		if err := l.Flush(t.Context()); err != nil {
			t.Fatalf("flush: %v", err)
		}
		if got := days(t, dir); len(got) != 5 {
			t.Errorf("days %v are left, want all but one and the new one", got)
		}
	})
}

func TestAppendAtOnce(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), Config{})
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 50 {
				id := newID()
				for _, e := range messageEvents(id, newID()) {
					l.Append(e)
				}
				if record, err := l.Get(t.Context(), account, region, id); err != nil || len(record.Events) != 3 {
					t.Errorf("got %d events, %v", len(record.Events), err)
				}
			}
		})
	}
	workers.Wait()
}

func TestAfterClose(t *testing.T) {
	t.Parallel()
	l := openLog(t, t.TempDir(), Config{})
	session := newID()
	l.Append(refusal(session, "450 later"))
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatalf("close: %v", err)
	}
	l.Append(refusal(session, "450 too late"))
	if got := get(t, l, session).Events; len(got) != 1 {
		t.Errorf("got %d events, want 1", len(got))
	}
}

// FuzzFrame reads what claims to be a frame: bounded, and what is read can be written and read again.
func FuzzFrame(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.pack(nil, []byte(`{"time":"2026-03-01T12:00:00Z"}`+"\n")))
	f.Add(c.pack(nil, make([]byte, 100_000)))
	f.Add([]byte{0x50, 0x2A, 0x4D, 0x18, 12, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, length, err := c.unpack(data)
		if err != nil {
			return
		}
		if length > len(data) || len(lines) > maxFrame {
			t.Fatalf("%d octets from %d, %d lines", length, len(data), len(lines))
		}
		again, _, err := c.unpack(c.pack(nil, lines))
		if err != nil || string(again) != string(lines) {
			t.Fatalf("does not come back: %v", err)
		}
	})
}

// FuzzIndex reads what claims to be an index: bounded, and parse, print, parse is stable.
func FuzzIndex(f *testing.F) {
	id := newID()
	var m marker
	m.addID(id)
	whole := (&entry{offset: 0, length: 100, marks: m.marks, idsOnly: true}).append(nil)
	f.Add(whole)
	f.Add(append(whole, whole[:30]...))
	f.Add((&entry{offset: 1 << 40, length: 21, idsOnly: true}).append(nil))
	for _, e := range messageEvents(id, newID()) {
		m.take(&e)
	}
	f.Add((&entry{offset: 7, length: 100, marks: m.marks, since: m.since, until: m.until}).append(nil))
	f.Fuzz(func(t *testing.T, index []byte) {
		for len(index) > 0 {
			e, rest, err := parseEntry(index)
			if err != nil {
				return
			}
			if len(rest) >= len(index) {
				t.Fatalf("nothing was read")
			}
			e.has(markOf(id))
			printed := e.append(nil)
			again, left, err := parseEntry(printed)
			if err != nil || len(left) > 0 || again.offset != e.offset || again.length != e.length || string(again.marks) != string(e.marks) ||
				again.idsOnly != e.idsOnly || again.since != e.since || again.until != e.until {
				t.Fatalf("does not come back: %v", err)
			}
			index = rest
		}
	})
}

// FuzzEvent reads a line as an event: what is read can be written, and comes back.
func FuzzEvent(f *testing.F) {
	for _, e := range messageEvents(newID(), newID()) {
		line, err := json.Marshal(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var e, again Event
		if json.Unmarshal(line, &e) != nil {
			return
		}
		printed, err := json.Marshal(e)
		if err != nil || bytes.Contains(printed, []byte(`"result":""`)) {
			return // a time that cannot be written, a condition that was not decided
		}
		if err := json.Unmarshal(printed, &again); err != nil {
			t.Fatalf("does not come back: %v", err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	l := openLog(b, b.TempDir(), Config{})
	events := messageEvents(newID(), newID())
	for b.Loop() {
		for i := range events {
			l.Append(events[i])
		}
	}
	b.ReportMetric(testutil.ToFloat64(l.metrics.byReason[dropBuffer])/float64(b.N*len(events)), "dropped/event")
}

// BenchmarkWrite is what the writer does for one message.
func BenchmarkWrite(b *testing.B) {
	l := openLog(b, b.TempDir(), Config{})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	store, err := openStore(b.TempDir(), l.config, l.metrics)
	if err != nil {
		b.Fatal(err)
	}
	var messages [1000][]Event // ids differ
	for i := range messages {
		messages[i] = messageEvents(newID(), newID())
	}
	n := 0
	for b.Loop() {
		for _, e := range messages[n%len(messages)] {
			store.add(&e)
		}
		n++
	}
	store.flush()
	b.ReportMetric(float64(store.sizeOf("2026-03-01.0001"))/float64(n), "octets/message")
}
