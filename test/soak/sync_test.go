package soak

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sluice/internal/conform"
	"sluice/test/harness"
	"sluice/test/load/sink"
	"sluice/test/peers/peer"
)

// S28, seen from outside: under strace, the write of each 250 to its client begins after a sync of the write-ahead log has ended
// that began when the content was written.
func TestS28SyncBeforeReply(t *testing.T) {
	conform.Check(t, "B14")
	const sessions, each = 10, 20
	peer.Require(t, "strace", "apt-get install strace")
	far := startSink(t, sink.Options{})
	server := harness.Start(t, quickRetries...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	calls := traced(t, server)

	var mu sync.Mutex
	ids := map[string]string{} // by a word of the content
	var clients sync.WaitGroup
	for session := range sessions {
		clients.Go(func() {
			for n := range each {
				word := fmt.Sprintf("word-%02d-%02d-of-this-message", session, n)
				// A block of the log may end within one of them, and not within both.
				content := fmt.Sprintf("Subject: %s\r\n\r\n%s\r\n%s\r\n", word, strings.Repeat("filler ", 100), word)
				id, err := harness.Deliver(address, "sender@example.org", "rcpt@example.net", content)
				if err != nil {
					t.Errorf("deliver: %v", err)
				}
				mu.Lock()
				ids[word] = id
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	log := calls()
	for word, id := range ids {
		if err := log.syncedBeforeReply(word, id); err != nil {
			t.Errorf("message %s: %v", id, err)
		}
	}
	if len(ids) != sessions*each {
		t.Errorf("%d messages were accepted, want %d", len(ids), sessions*each)
	}
	t.Logf("%d replies, each after a sync that began when the content was written; %d calls, %d syncs of the log",
		len(ids), len(log), len(log.find(func(c *systemCall) bool { return c.syncs() })))
}

// traced attaches strace to a server, and returns what ends that and tells the system calls. Where processes may not be traced the
// test is skipped.
func traced(t *testing.T, server *harness.Server) func() systemCalls {
	t.Helper()
	file := filepath.Join(t.TempDir(), "calls")
	command := exec.Command("strace", "-f", "-y", "-s", "1048576", "-e", "trace=write,writev,pwrite64,sendto,sendmsg,fsync,fdatasync",
		"-o", file, "-p", fmt.Sprint(server.PID()))
	said, err := command.StderrPipe()
	must(t, err)
	must(t, command.Start())
	lines := bufio.NewReader(said)
	first, err := lines.ReadString('\n')
	if err != nil || !strings.Contains(first, "attached") {
		_ = command.Wait()
		t.Skipf("processes may not be traced here: %s", strings.TrimSpace(first))
	}
	var rest sync.WaitGroup
	rest.Go(func() { _, _ = io.Copy(io.Discard, lines) })
	end := sync.OnceFunc(func() {
		_ = command.Process.Signal(os.Interrupt) // it lets go of the server
		rest.Wait()
		_ = command.Wait() // its status is that of the signal
	})
	t.Cleanup(end)
	return func() systemCalls {
		t.Helper()
		end()
		text, err := os.Open(file)
		must(t, err)
		defer text.Close()
		calls, err := readCalls(text)
		must(t, err)
		return calls
	}
}

// systemCall is one that returned. Lines of strace are in the order of what they tell: one call has ended before another
// began when its last line stands before the other's first.
type systemCall struct {
	name, text   string
	began, ended int // lines
}

// onLog reports whether the call is about the write-ahead log.
func (c *systemCall) onLog() bool {
	_, rest, _ := strings.Cut(c.text, "<")
	path, _, _ := strings.Cut(rest, ">")
	return strings.HasSuffix(path, ".log") && strings.Contains(path, "/spool/")
}

func (c *systemCall) syncs() bool {
	return (c.name == "fsync" || c.name == "fdatasync") && c.onLog() && strings.HasSuffix(c.text, "= 0")
}

func (c *systemCall) writes(word string) bool {
	return c.name != "fsync" && c.name != "fdatasync" && strings.Contains(c.text, word)
}

// systemCalls are those of a process, in the order of their ends.
type systemCalls []*systemCall

// wholeCall, begunCall and resumedCall are the lines that strace -f writes.
var (
	wholeCall   = regexp.MustCompile(`^(\d+) +(\w+)\((.*)$`)
	resumedCall = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
)

const unfinished = " <unfinished ...>"

// readCalls reads what strace wrote. Lines of signals and of ends of threads are none of calls.
func readCalls(r io.Reader) (systemCalls, error) {
	var calls systemCalls
	begun := map[string]*systemCall{} // by thread
	lines := bufio.NewReader(r)
	for number := 1; ; number++ {
		line, err := lines.ReadString('\n')
		line = strings.TrimSuffix(line, "\n")
		if m := resumedCall.FindStringSubmatch(line); m != nil && begun[m[1]] != nil {
			c := begun[m[1]]
			delete(begun, m[1])
			c.text, c.ended = c.text+m[3], number
			calls = append(calls, c)
		} else if m := wholeCall.FindStringSubmatch(line); m != nil {
			c := &systemCall{name: m[2], text: m[3], began: number, ended: number}
			if text, cut := strings.CutSuffix(c.text, unfinished); cut {
				c.text = text
				begun[m[1]] = c
			} else {
				calls = append(calls, c)
			}
		}
		if errors.Is(err, io.EOF) {
			return calls, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s systemCalls) find(want func(*systemCall) bool) (found systemCalls) {
	for _, c := range s {
		if want(c) {
			found = append(found, c)
		}
	}
	return found
}

// syncedBeforeReply looks for a sync between the write of a word of the content to the log and the reply with the message's id.
func (s systemCalls) syncedBeforeReply(word, id string) error {
	written := s.find(func(c *systemCall) bool { return c.onLog() && c.writes(word) })
	replied := s.find(func(c *systemCall) bool { return !c.onLog() && c.writes("250 2.0.0 OK "+id) })
	if len(written) == 0 || len(replied) == 0 {
		return fmt.Errorf("%d writes of the content and %d replies were seen", len(written), len(replied))
	}
	last, reply := written[len(written)-1], replied[0]
	between := s.find(func(c *systemCall) bool { return c.syncs() && c.began > last.ended && c.ended < reply.began })
	if len(between) == 0 {
		return fmt.Errorf("no sync between lines %d, where the content was written, and %d, where the reply began", last.ended, reply.began)
	}
	return nil
}

// TestSyncedBeforeReply shows what TestS28SyncBeforeReply would find.
func TestSyncedBeforeReply(t *testing.T) {
	t.Parallel()
	const (
		write = `7  write(9</d/spool/000002.log>, "\1\2word-1\r\n", 12) = 12`
		sync  = `8  fdatasync(9</d/spool/000002.log>) = 0`
		reply = `9  write(12<TCP:[1]>, "250 2.0.0 OK ID\r\n", 17) = 17`
	)
	tests := []struct {
		name  string
		lines []string
		err   string
	}{
		{"in order", []string{write, sync, reply}, ""},
		{"the write is cut in two", []string{`7  write(9</d/spool/000002.log>, "word-1", 6 <unfinished ...>`, `9  +++ exited with 0 +++`,
			`7  <... write resumed>) = 6`, sync, reply}, ""},
		{"the sync is cut in two", []string{write, `8  fsync(9</d/spool/000002.log> <unfinished ...>`, `8  <... fsync resumed>) = 0`, reply}, ""},
		{"no sync", []string{write, reply}, "no sync"},
		{"the reply comes first", []string{write, reply, sync}, "no sync"},
		{"the sync comes first", []string{sync, write, reply}, "no sync"},
		{"the sync began before the write had ended", []string{`7  write(9</d/spool/000002.log>, "word-1", 6 <unfinished ...>`,
			`8  fdatasync(9</d/spool/000002.log> <unfinished ...>`, `7  <... write resumed>) = 6`, `8  <... fdatasync resumed>) = 0`, reply}, "no sync"},
		{"the reply began before the sync had ended", []string{write, `8  fdatasync(9</d/spool/000002.log> <unfinished ...>`,
			`9  write(12<TCP:[1]>, "250 2.0.0 OK ID\r\n", 17 <unfinished ...>`, `8  <... fdatasync resumed>) = 0`, `9  <... write resumed>) = 17`}, "no sync"},
		{"the sync failed", []string{write, `8  fdatasync(9</d/spool/000002.log>) = -1 EIO (Input/output error)`, reply}, "no sync"},
		{"the sync is of another file", []string{write, `8  fdatasync(9</d/trace/000002.log>) = 0`, reply}, "no sync"},
		{"the content was not written", []string{sync, reply}, "0 writes"},
		{"another reply", []string{write, sync, strings.Replace(reply, "ID", "DI", 1)}, "0 replies"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			calls, err := readCalls(strings.NewReader(strings.Join(test.lines, "\n")))
			must(t, err)
			err = calls.syncedBeforeReply("word-1", "ID")
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}
