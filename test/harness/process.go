package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long the harness waits for a process to do what it must; it is only ever used up by a failure.
const (
	patience = 60 * time.Second
	interval = 10 * time.Millisecond // between two questions
)

// Process is a running sluice.
type Process struct {
	command *exec.Cmd
	entries chan map[string]any // the first line of its log
	lines   chan string         // of standard output
	exited  chan struct{}

	mu  sync.Mutex
	log strings.Builder // standard error
}

// launch starts sluice with files from descriptor 3 on, an environment of its own and arguments. What it logged is shown when
// the test fails.
func launch(t testing.TB, files []*os.File, environment []string, args ...string) *Process {
	t.Helper()
	p := &Process{
		command: exec.Command(Binary(t), args...),
		entries: make(chan map[string]any, 1),
		lines:   make(chan string, 1<<16),
		exited:  make(chan struct{}),
	}
	p.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GORACE=halt_on_error=1"}, environment...)
	p.command.ExtraFiles = files
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	logs, err := p.command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	readers.Go(func() { p.readLog(logs) })
	readers.Go(func() { p.readLines(out) })
	go func() {
		readers.Wait()
		_ = p.command.Wait() // ProcessState has what it says
		close(p.exited)
	}()
	t.Cleanup(func() { p.cleanUp(t) })
	return p
}

// await waits until the process is ready by some measure, and fails the test when it ends before.
func (p *Process) await(t testing.TB, ready func() bool) {
	t.Helper()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !ready(); {
		select {
		case <-p.exited:
			t.Fatalf("sluice %v ended before it was ready:\n%s", p.command.Args, p.Log())
		case <-ticker.C:
		}
		if time.Now().After(deadline) {
			t.Fatalf("sluice %v was not ready within %s:\n%s", p.command.Args, patience, p.Log())
		}
	}
}

// readLog keeps standard error, and its first JSON line for whoever waits for it.
func (p *Process) readLog(r io.Reader) {
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		var entry map[string]any
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			continue
		}
		select {
		case p.entries <- entry:
		default: // it is not the first
		}
	}
}

func (p *Process) readLines(r io.Reader) {
	defer close(p.lines)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		p.lines <- lines.Text()
	}
}

// Log is what the process wrote to standard error so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// PID is the process id.
func (p *Process) PID() int { return p.command.Process.Pid }

// Kill ends the process as a power cut would, and returns once it is gone.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.end(t, syscall.SIGKILL)
}

// Stop ends the process with SIGTERM, and fails the test unless it exits with 0.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	p.end(t, syscall.SIGTERM)
	if code := p.command.ProcessState.ExitCode(); code != 0 {
		t.Errorf("sluice exited with %d after SIGTERM, want 0:\n%s", code, p.Log())
	}
}

// Ended waits until the process has ended by itself and returns its status.
func (p *Process) Ended(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("sluice did not end within %s", patience)
	}
	return p.command.ProcessState.ExitCode()
}

func (p *Process) end(t testing.TB, signal os.Signal) {
	t.Helper()
	if err := p.command.Process.Signal(signal); err != nil {
		t.Errorf("signal sluice: %v", err)
	}
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("sluice did not end within %s of %s", patience, signal)
	}
}

func (p *Process) cleanUp(t testing.TB) {
	select {
	case <-p.exited:
	default:
		_ = p.command.Process.Kill() // it may have ended by itself meanwhile
		<-p.exited
	}
	if t.Failed() {
		t.Logf("standard error of sluice:\n%s", p.Log())
	}
}
