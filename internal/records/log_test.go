package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/conform"
)

var both = []Kind{KindIngressApplication, KindTrafficPolicyDebug}

func open(t *testing.T, c Config) *Log {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	l, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closed(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// named is a record that the recipient tells from others.
func named(recipient string) Record {
	return application(openPoint, inClear("192.0.2.1"), envelope("a@b", recipient), nil)
}

// check says how many lines a text has, all of which must be whole records, and what the log counted.
func check(t *testing.T, l *Log, text string, written, queue, write float64) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	for _, line := range lines[:len(lines)-1] {
		if !json.Valid([]byte(line)) {
			t.Errorf("got a line %q", line)
		}
	}
	if lines[len(lines)-1] != "" || len(lines)-1 != int(written) {
		t.Errorf("got %d lines and the rest %q, want %v", len(lines)-1, lines[len(lines)-1], written)
	}
	counted(t, l, written, queue, write)
}

func counted(t *testing.T, l *Log, written, queue, write float64) {
	t.Helper()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"written", testutil.ToFloat64(l.metrics.written), written},
		{"dropped, queue", testutil.ToFloat64(l.metrics.dropped.WithLabelValues(dropQueue)), queue},
		{"dropped, write", testutil.ToFloat64(l.metrics.dropped.WithLabelValues(dropWrite)), write},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// writes is an output that tells one write from the next.
type writes struct{ each []string }

func (w *writes) Write(p []byte) (int, error) {
	w.each = append(w.each, string(p))
	return len(p), nil
}

func TestOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records")
	l := open(t, Config{Path: path})
	l.Append(named("a@a"))
	if l.Enabled(KindIngressApplication) || l.Enabled(KindTrafficPolicyDebug) {
		t.Error("got a kind that is on")
	}
	if err := errors.Join(l.Reopen(), l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no file", err)
	}
	counted(t, l, 0, 0, 0)
}

func TestKindsAreOneByOne(t *testing.T) {
	t.Parallel()
	for _, on := range both {
		var out bytes.Buffer
		l := open(t, Config{Kinds: []Kind{on}, Output: &out})
		for _, k := range both {
			if l.Enabled(k) != (k == on) {
				t.Errorf("%s: got %s %v", on, k, l.Enabled(k))
			}
		}
		l.Append(named("a@a"))
		l.Append(debugged(inClear("192.0.2.1"), decide(t, "192.0.2.1", "a@a"), nil))
		closed(t, l)
		check(t, l, out.String(), 1, 0, 0)
		if debug := strings.Contains(out.String(), "traffic_policy_id"); debug != (on == KindTrafficPolicyDebug) {
			t.Errorf("%s: got %s", on, out.String())
		}
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out writes
		l := open(t, Config{Kinds: both, Output: &out})
		for range 100 {
			l.Append(named("a@a"))
		}
		time.Sleep(flushEvery + time.Millisecond) // of the bubble
		synctest.Wait()
		l.Append(named("b@b"))
		closed(t, l)
		if len(out.each) != 2 || strings.Count(out.each[0], "\n") != 100 {
			t.Errorf("got %d writes, want the first with 100 records and the last with 1", len(out.each))
		}
		check(t, l, strings.Join(out.each, ""), 101, 0, 0)
	})
}

// A large batch does not wait for its time.
func TestWake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out writes
		l := open(t, Config{Kinds: both, Output: &out})
		l.Append(named(strings.Repeat("a", wakeOctets)))
		synctest.Wait()
		if len(out.each) != 1 {
			t.Errorf("got %d writes before the time of flushing", len(out.each))
		}
		closed(t, l)
	})
}

// blocked is an output whose reader is stuck until it is freed.
type blocked struct {
	bytes.Buffer
	free chan struct{}
}

func (b *blocked) Write(p []byte) (int, error) {
	<-b.free
	return b.Buffer.Write(p)
}

// S18: a queue that is full, what is being written included, drops, counts, and does not wait.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &blocked{free: make(chan struct{})}
		one, err := line(named("a@a"))
		if err != nil {
			t.Fatal(err)
		}
		l := open(t, Config{Kinds: both, Output: out, queue: 10*len(one) + 1})
		for range 4 {
			l.Append(named("a@a"))
		}
		time.Sleep(flushEvery) // of the bubble
		synctest.Wait()        // the writer is in its write
		for range 10 {
			l.Append(named("a@a"))
		}
		counted(t, l, 0, 4, 0)
		close(out.free)
		time.Sleep(flushEvery)
		synctest.Wait()
		l.Append(named("a@a")) // there is room again
		closed(t, l)
		check(t, l, out.String(), 11, 4, 0)
		l.Append(named("a@a"))
		counted(t, l, 11, 5, 0)
	})
}

func TestCloseGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := &blocked{free: make(chan struct{})}
		l := open(t, Config{Kinds: both, Output: out})
		l.Append(named("a@a"))
		start := time.Now()
		if err, took := l.Close(), time.Since(start); !errors.Is(err, ErrStuck) || took != 5*time.Second {
			t.Errorf("got %v after %s", err, took)
		}
		close(out.free)
		closed(t, l)
		check(t, l, out.String(), 1, 0, 0)
	})
}

var errFull = errors.New("no space left on device")

// full is an output that has room for some octets; each write that fails makes it smaller by what it took.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// S18: what the disk does not take is lost and counted; what it takes afterwards begins on a line of its own.
func TestWriteError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		one, err := line(named("a@a"))
		if err != nil {
			t.Fatal(err)
		}
		var told bytes.Buffer
		out := &full{room: 2*len(one) + 5}
		l := open(t, Config{Kinds: both, Output: out, Logger: slog.New(slog.NewTextHandler(&told, nil))})
		batch := func(records int) {
			for range records {
				l.Append(named("a@a"))
			}
			time.Sleep(flushEvery) // of the bubble
			synctest.Wait()
		}
		batch(4)
		counted(t, l, 2, 0, 2)
		batch(3)
		counted(t, l, 2, 0, 5)
		out.room = 1 << 20
		batch(2)
		closed(t, l)
		check(t, l, strings.Replace(out.String(), string(one[:5])+"\n", "", 1), 4, 0, 5)
		if got := told.String(); strings.Count(got, "\n") != 2 || strings.Count(got, errFull.Error()) != 1 {
			t.Errorf("got %q, want one line when writing fails and one when it does not", got)
		}
	})
}

// S18, with the kernel's own full disk.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	l := open(t, Config{Kinds: both, Path: "/dev/full"})
	l.Append(named("a@a"))
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Append(named("a@a"))
	closed(t, l)
	counted(t, l, 0, 0, 2)
}

func TestRotation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records")
	l := open(t, Config{Kinds: both, Path: path})
	l.Append(named("first@a"))
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	l.Append(named("second@a"))
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // the next file cannot be made
		t.Fatal(err)
	}
	if err := l.Reopen(); err == nil {
		t.Error("got no error for a file that cannot be opened")
	}
	l.Append(named("third@a"))
	closed(t, l)
	first, second := content(t, path+".1"), content(t, path+".2")
	check(t, l, first+second, 3, 0, 0)
	if !strings.Contains(first, "first@a") || !strings.Contains(second, "second@a") || !strings.Contains(second, "third@a") {
		t.Errorf("got %q then %q", first, second)
	}
}

func TestFileIsAppendedTo(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F18")
	for before, want := range map[string]string{"": "", "{}\n": "{}\n", "{\"torn": "{\"torn\n"} {
		path := filepath.Join(t.TempDir(), "records")
		if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
			t.Fatal(err)
		}
		l := open(t, Config{Kinds: both, Path: path})
		l.Append(named("a@a"))
		closed(t, l)
		got, whole := strings.CutPrefix(content(t, path), want)
		if !whole {
			t.Errorf("%q: got %q", before, got)
		}
		check(t, l, got, 1, 0, 0)
	}
}

func TestNewFileIsOurs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records")
	l := open(t, Config{Kinds: both, Path: path})
	closed(t, l)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("got %v, %v: records name senders and recipients", info.Mode(), err)
	}
}

func TestStandardError(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F18")
	for _, path := range []string{"", "-"} {
		l := open(t, Config{Kinds: both, Path: path})
		if l.out.to != io.Writer(os.Stderr) {
			t.Errorf("%q: got %v", path, l.out.to)
		}
		if err := errors.Join(l.Reopen(), l.Close()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stderr.Stat(); err != nil {
			t.Errorf("%q: standard error was closed: %v", path, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Open(Config{Kinds: both, Path: filepath.Join(t.TempDir(), "none", "records")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v for a folder that is not there", err)
	}
	registry := prometheus.NewRegistry()
	l := open(t, Config{Registerer: registry})
	closed(t, l)
	if _, err := Open(Config{Registerer: registry}); err == nil {
		t.Error("got no error for metrics that are there already")
	}
}

func TestRecordThatHasNoJSONIsCounted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	l := open(t, Config{Kinds: both, Output: &out})
	l.Append(application(mtlsPoint, overTLS(), envelope("a@b"), &Metadata{Certificate: &Certificate{NotAfter: noon.AddDate(9000, 0, 0)}}))
	closed(t, l)
	check(t, l, out.String(), 0, 0, 0)
	if got := testutil.ToFloat64(l.metrics.dropped.WithLabelValues(dropEncode)); got != 1 {
		t.Errorf("got %v", got)
	}
}

// Many append while the file is rotated: every record is in one of the files, or counted.
func TestManyAppend(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "records")
	l := open(t, Config{Kinds: both, Path: path, queue: 20 << 10})
	const sessions, records, rotations = 8, 200, 5
	var group sync.WaitGroup
	for range sessions {
		group.Go(func() {
			for range records {
				l.Append(named("a@a"))
			}
		})
	}
	var text strings.Builder
	for range rotations {
		if err := os.Rename(path, path+".old"); err != nil {
			t.Fatal(err)
		}
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
		text.WriteString(content(t, path+".old"))
	}
	group.Wait()
	closed(t, l)
	text.WriteString(content(t, path))
	dropped := testutil.ToFloat64(l.metrics.dropped.WithLabelValues(dropQueue))
	check(t, l, text.String(), sessions*records-dropped, dropped, 0)
}

func BenchmarkAppend(b *testing.B) {
	l, err := Open(Config{Kinds: both, Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	r := named("a@a")
	b.ReportAllocs()
	for b.Loop() {
		l.Append(r)
	}
}
