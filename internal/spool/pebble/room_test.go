package pebble

import (
	"errors"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// TestS29NoRoomToOpen: a spool on a disk that is all but full is not opened, for the store would not say no; with room it is, and
// what was accepted is there.
func TestS29NoRoomToOpen(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, c := range []struct {
		name   string
		free   uint64 // octets
		inodes uint64
		all    uint64 // inodes
		err    error  // of asking
		want   error
	}{
		{"full", 0, 1000, 1000, nil, syscall.ENOSPC},
		{"room for a log, not for the tables of the one before", 17 * mib, 1000, 1000, nil, syscall.ENOSPC},
		{"no inodes", 1000 * mib, 0, 1000, nil, syscall.ENOSPC},
		{"few inodes", 1000 * mib, openInodes - 1, 1000, nil, syscall.ENOSPC},
		{"room", 1000 * mib, openInodes, 1000, nil, nil},
		{"inodes as they are needed", 1000 * mib, 0, 0, nil, nil},
		{"cannot say", 0, 0, 1000, errors.ErrUnsupported, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			s := openOn(t, fs, nil)
			acceptItems(t, s, 1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, err := Open("spool", Config{
				FS: fs, Logger: quiet,
				Usage:  func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: c.free, TotalBytes: 1 << 40}, c.err },
				Inodes: func() (uint64, uint64, error) { return c.inodes, c.all, c.err },
			})
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if err != nil {
				s = openOn(t, fs, nil)
			}
			checkAccepted(t, s)
		})
	}
}

// checkAccepted looks for the item that acceptItems made, and closes the spool.
func checkAccepted(t *testing.T, s *Spool) {
	t.Helper()
	claimed, _, err := s.Claim(t.Context(), "l", 10, "o", spooltest.Epoch.Add(time.Hour), spooltest.Epoch.Add(2*time.Hour))
	if err != nil || len(claimed) != 1 {
		t.Errorf("claimed %d items, %v; want one", len(claimed), err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestS29OpenAgain: whatever a disk refuses while the spool is opened is an error, and does not end the process; once the disk
// gives in, the same process opens the spool and has what was accepted.
func TestS29OpenAgain(t *testing.T) {
	t.Parallel()
	changes := func(k errorfs.OpKind) bool { return k.ReadOrWrite() == errorfs.OpIsWrite }
	for name, fails := range map[string]func(errorfs.Op) bool{
		"read-only":           func(op errorfs.Op) bool { return changes(op.Kind) },
		"log cannot be made":  func(op errorfs.Op) bool { return path.Ext(op.Path) == logSuffix && op.Kind == errorfs.OpCreate },
		"options":             func(op errorfs.Op) bool { return strings.Contains(op.Path, "dbtmp") && changes(op.Kind) },
		"directory":           func(op errorfs.Op) bool { return op.Kind == errorfs.OpOpenDir },
		"nothing can be read": func(op errorfs.Op) bool { return !changes(op.Kind) },
		"journal":             func(op errorfs.Op) bool { return path.Base(op.Path) == journalName },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			mem := vfs.NewMem()
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if broken.Load() && fails(op) {
					return syscall.EROFS
				}
				return nil
			}))
			s := openOn(t, fs, nil)
			acceptItems(t, s, 1)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			config := Config{FS: fs, Logger: quiet, Exit: func(int) { panic("the process ends") }}
			broken.Store(true)
			for range 3 {
				if s, err := Open("spool", config); err == nil {
					t.Fatal("it opens", s.Close())
				} else if !errors.Is(err, syscall.EROFS) || errors.Is(err, spool.ErrNewerFormat) {
					t.Fatalf("got %v, want %v", err, syscall.EROFS)
				}
			}
			broken.Store(false)
			s, err := Open("spool", config)
			if err != nil {
				t.Fatal(err)
			}
			checkAccepted(t, s)
		})
	}
}

// TestNewerStoreIsRefused: a directory of a later version of the store is no disk that gives in some day.
func TestNewerStoreIsRefused(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	if err := openOn(t, fs, nil).Close(); err != nil {
		t.Fatal(err)
	}
	names, err := fs.List("spool")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.format-version.") {
			newer := name[:strings.LastIndexByte(name, '.')] + ".999"
			if err := fs.Rename(fs.PathJoin("spool", name), fs.PathJoin("spool", newer)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Open("spool", Config{FS: fs, Logger: quiet}); !errors.Is(err, spool.ErrNewerFormat) {
		t.Errorf("got %v, want %v", err, spool.ErrNewerFormat)
	}
}
