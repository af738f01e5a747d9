package pebble

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

var quiet = jsonLog(io.Discard)

// jsonLog logs to a writer.
func jsonLog(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

// openOn opens a spool on a file system.
func openOn(t testing.TB, fs vfs.FS, budget *spool.Budget) *Spool {
	t.Helper()
	s, err := Open("spool", Config{FS: fs, Budget: budget, Logger: quiet})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	spooltest.Run(t, func(t testing.TB, budget *spool.Budget) spool.Spool {
		return openOn(t, vfs.NewMem(), budget)
	})
}

func TestContractOnDisk(t *testing.T) {
	t.Parallel()
	spooltest.Run(t, func(t testing.TB, budget *spool.Budget) spool.Spool {
		s, err := Open(t.TempDir(), Config{Budget: budget, Logger: quiet})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		return s
	})
}

// TestHistories runs with windows so small that lanes are read on and cut short all the time.
func TestHistories(t *testing.T) {
	t.Parallel()
	spooltest.Compare(t, func(t testing.TB, budget *spool.Budget) spool.Spool {
		s := openOn(t, vfs.NewMem(), budget)
		s.state.window = window{front: 3, refill: 2}
		return s
	})
}
