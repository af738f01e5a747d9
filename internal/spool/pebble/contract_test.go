package pebble

import (
	"io"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

var quiet = slog.New(slog.NewJSONHandler(io.Discard, nil))

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

// TestContractBeyondBudget runs the suite where no content has room in memory, so that all of it is streamed.
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
