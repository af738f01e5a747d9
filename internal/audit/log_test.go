package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func entry(n int) Entry {
	return Entry{
		Time: noon, RequestID: fmt.Sprint(n), Operation: "MailManagerSvc.GetRelay", Resources: []string{"arn:x"}, Account: "111111111111",
		Region: "eu-west-1", Principal: "arn:aws:iam::111111111111:user/jo", AccessKeyID: "AKSLEXAMPLE", Address: "192.0.2.7:4242",
		UserAgent: "aws-cli/2", Code: "OK", Status: 200, Duration: 1500 * time.Microsecond,
	}
}

func opened(t *testing.T, cfg Config) *Log {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // closed by the test already, or told there
	return l
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func dropped(l *Log, reason string) int {
	return int(testutil.ToFloat64(l.dropped.WithLabelValues(reason)))
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := opened(t, Config{Output: &out, Registerer: prometheus.NewRegistry()})
	l.Append(entry(1))
	unknown := Entry{Time: noon, RequestID: "2", Operation: "unknown\n{\"verified\":true}", AccessKeyID: "AK\x00\"ID", Address: "[::ffff:192.0.2.8]:1", UserAgent: "\xff\u2028", Code: "UnrecognizedClientException", Status: 403}
	l.Append(unknown)
	closed(t, l)
	want := `{"time":"2026-03-01T12:00:00Z","request_id":"1","operation":"MailManagerSvc.GetRelay","resources":["arn:x"],"account":"111111111111","region":"eu-west-1",` +
		`"principal":"arn:aws:iam::111111111111:user/jo","access_key_id":"AKSLEXAMPLE","verified":true,"source":"192.0.2.7","user_agent":"aws-cli/2","outcome":"OK","status":200,"duration_us":1500}`
	first, second, _ := strings.Cut(out.String(), "\n")
	if first != want {
		t.Errorf("got  %s\nwant %s", first, want)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(second), &got); err != nil || strings.Count(second, "\n") != 1 || got["verified"] != false || got["source"] != "192.0.2.8" || got["operation"] != unknown.Operation {
		t.Errorf("got %s, %v", second, err)
	}
}

// Whatever callers choose, an entry is one line of JSON, of bounded length.
func TestLinesAreOneEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := func(label string) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, label)) }
		e := Entry{Time: noon, Operation: text("operation"), AccessKeyID: text("key"), UserAgent: text("agent"), Address: text("address"), Code: "OK"}
		e.Resources = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return string(rapid.SliceOfN(rapid.Byte(), 0, 3000).Draw(t, "resource")) }), 0, 30).Draw(t, "resources")
		line, err := encode(&e)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' || !json.Valid(line) || len(line) > 256<<10 {
			t.Errorf("got %q", line)
		}
	})
}

func TestFilesAreRotatedAndBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit", "audit.jsonl")
	now := noon
	l := opened(t, Config{Path: path, Now: func() time.Time { now = now.Add(time.Second); return now }, fileOctets: 1000, files: 3})
	for i := range 30 {
		l.Append(entry(i))
	}
	closed(t, l)
	names, err := filepath.Glob(path + "*")
	if err != nil || len(names) != 3 {
		t.Fatalf("got %v, %v, want 3 files", names, err)
	}
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() > 1000 {
			t.Errorf("%s: got mode %v and %d octets, %v", name, info.Mode(), info.Size(), err)
		}
	}
	if last := read(t, path); !strings.Contains(last, `"request_id":"29"`) {
		t.Errorf("the newest entry is not in the file: %s", last)
	}
}

func TestFilesOfOthersStay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, other := range []string{".bak", ".2026"} {
		if err := os.WriteFile(path+other, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := noon
	l := opened(t, Config{Path: path, Now: func() time.Time { now = now.Add(time.Second); return now }, fileOctets: 500, files: 1})
	for i := range 5 {
		l.Append(entry(i))
	}
	closed(t, l)
	if names, err := filepath.Glob(path + "*"); err != nil || len(names) != 3 {
		t.Errorf("got %v, %v", names, err)
	}
}

// A line that a crash has cut off is not joined to the next.
func TestTornLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	if err := os.WriteFile(path, []byte(`{"time":`), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		l := opened(t, Config{Path: path})
		l.Append(entry(i))
		closed(t, l)
	}
	lines := strings.Split(strings.TrimSpace(read(t, path)), "\n")
	if len(lines) != 3 || lines[0] != `{"time":` || !json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) {
		t.Errorf("got %q", lines)
	}
}

// full is a disk that takes nothing while it is full.
type full struct {
	mu   sync.Mutex
	full bool
	bytes.Buffer
}

func (f *full) set(full bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.full = full
}

func (f *full) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return 0, errors.New("no space left")
	}
	return f.Buffer.Write(p)
}

// S18: a full disk loses entries, which are counted, and stops nobody.
func TestS18FullDisk(t *testing.T) {
	t.Parallel()
	disk, log := &full{full: true}, &lockedBuffer{}
	l := opened(t, Config{Output: disk, Logger: slog.New(slog.NewTextHandler(log, nil))})
	for i := range 5 {
		l.Append(entry(i))
	}
	for dropped(l, dropWrite) < 5 {
		runtime.Gosched()
	}
	disk.set(false)
	l.Append(entry(6))
	closed(t, l)
	if !strings.Contains(disk.String(), `"request_id":"6"`) || testutil.ToFloat64(l.written) != 1 {
		t.Errorf("got %s", disk)
	}
	if text := log.String(); strings.Count(text, "cannot be written") != 1 || strings.Count(text, "written again") != 1 {
		t.Errorf("got log %s", text)
	}
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// stuck is a disk that does not answer until it is let go.
type stuck struct{ gate chan struct{} }

func (s stuck) Write(p []byte) (int, error) { <-s.gate; return len(p), nil }

// S18: a disk that does not answer holds nobody up.
func TestS18StuckDisk(t *testing.T) {
	t.Parallel()
	disk := stuck{make(chan struct{})}
	l := opened(t, Config{Output: disk, waiting: 3})
	for i := range 10 {
		l.Append(entry(i))
	}
	if n := dropped(l, dropWaiting); n < 6 || n > 7 { // one may be with the writer
		t.Errorf("%d were dropped", n)
	}
	close(disk.gate)
	closed(t, l)
	before := dropped(l, dropWaiting)
	l.Append(entry(11))
	if dropped(l, dropWaiting) != before+1 {
		t.Error("an entry after Close is not counted")
	}
}

// S18: strangers do not push out what users have done.
func TestS18Strangers(t *testing.T) {
	t.Parallel()
	l := opened(t, Config{Output: io.Discard})
	for i := range 3 * maxStrangers {
		e := entry(i)
		e.Principal = ""
		l.Append(e)
		l.Append(entry(i))
	}
	later := entry(0)
	later.Principal, later.Time = "", noon.Add(time.Second)
	l.Append(later)
	closed(t, l)
	if n := dropped(l, dropStranger); n != 2*maxStrangers || dropped(l, dropWaiting) != 0 {
		t.Errorf("%d entries of strangers were dropped, want %d", n, 2*maxStrangers)
	}
	if n := int(testutil.ToFloat64(l.written)); n != 4*maxStrangers+1 {
		t.Errorf("%d entries were written", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	if _, err := Open(Config{Path: directory}); err == nil {
		t.Error("a directory is a log")
	}
	if err := os.WriteFile(filepath.Join(directory, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: filepath.Join(directory, "file", "audit.jsonl")}); err == nil {
		t.Error("a log is below a file")
	}
	registry := prometheus.NewRegistry()
	opened(t, Config{Output: io.Discard, Registerer: registry})
	if _, err := Open(Config{Output: io.Discard, Registerer: registry}); err == nil {
		t.Error("metrics are registered twice")
	}
}
