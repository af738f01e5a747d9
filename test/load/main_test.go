package main

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

// run runs the command as main does.
func run(ctx context.Context, args ...string) error {
	parser, err := kong.New(&commands{}, kong.Name("load"), kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	return parsed.Run()
}

// TestCommands sends from one command to the other and compares what they wrote down.
func TestCommands(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	sent, taken := filepath.Join(t.TempDir(), "sent"), filepath.Join(t.TempDir(), "taken")
	sunk := make(chan error, 1)
	go func() {
		sunk <- run(t.Context(), "sink", "--listen", address, "-n", "30", "--defer", "1", "--for", "100ms", "--ledger", taken)
	}()
	if err := run(t.Context(), "generate", "--server", address, "-n", "30", "--persist", "1m", "--ledger", sent); err != nil {
		t.Fatal(err)
	}
	if err := <-sunk; err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), "compare", sent, taken); err != nil {
		t.Error(err)
	}
	missing := ledger.New()
	missing.Add(ledger.Key("m-31", "rcpt@example.net"), ledger.Accepted)
	if err := missing.Save(sent); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), "compare", sent, taken); err == nil || !strings.Contains(err.Error(), "1 missing (m-31/rcpt@example.net)") {
		t.Errorf("got %v, want what is missing", err)
	}
}

func TestCommandsRefuse(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, args := range map[string][]string{
		"no command":          {},
		"no server":           {"generate"},
		"no listen address":   {"sink"},
		"nobody to slow down": {"slow"},
		"a bad TLS mode":      {"generate", "--server", "127.0.0.1:1", "--tls", "sometimes"},
		"a bad share":         {"sink", "--listen", "127.0.0.1:0", "--drop", "often"},
		"a bad address":       {"sink", "--listen", "nowhere"},
		"one ledger":          {"compare", "main.go"},
		"no ledger":           {"compare", "main.go", "main.go"},
	} {
		if err := run(ended, args...); err == nil {
			t.Errorf("%s: no refusal", name)
		}
	}
}

// TestSlow holds connections for a while, and ends.
func TestSlow(t *testing.T) {
	t.Parallel()
	s, err := sink.Listen("127.0.0.1:0", sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := run(t.Context(), "slow", "--server", s.Addr(), "-n", "8", "--for", "100ms"); err != nil {
		t.Error(err)
	}
}

// TestResultString shows the line that scripts read.
func TestResultString(t *testing.T) {
	t.Parallel()
	l := ledger.New()
	l.Add("a", ledger.Accepted)
	l.Add("b", ledger.Refused)
	latencies := make([]time.Duration, 200)
	for i := range latencies {
		latencies[i] = time.Duration(i+1) * time.Millisecond
	}
	got := generate.Result{Ledger: l, Took: 500 * time.Millisecond, Connections: 2, Latencies: latencies}.String()
	if want := "accepted=1 refused=1 uncertain=0 rate=2/s (0.50 s) connections=2 p50=100ms p99=198ms"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
