package pebble

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

const gib uint64 = 1 << 30

func TestReserve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		free, total uint64
		reserve     uint64
		err         error
		short       bool
	}{
		{"large disk, over 5 %", 51 * gib, 1000 * gib, 0, nil, false},
		{"large disk, under 5 %", 49 * gib, 1000 * gib, 0, nil, true},
		{"small disk, over 1 GiB", gib, 10 * gib, 0, nil, false},
		{"small disk, under 1 GiB", gib - 1, 10 * gib, 0, nil, true},
		{"setting, over", 100, 1000 * gib, 100, nil, false},
		{"setting, under", 99, 1000 * gib, 100, nil, true},
		{"full", 0, 10 * gib, 1, nil, true},
		{"cannot say", 0, 0, 0, errors.New("no such call"), false},
	} {
		d := &disk{reserve: c.reserve, usage: func() (vfs.DiskUsage, error) {
			return vfs.DiskUsage{AvailBytes: c.free, TotalBytes: c.total}, c.err
		}}
		s := &Spool{disk: d}
		d.check()
		if reason, short := s.Short(); short != c.short || short != strings.Contains(reason, "disk") {
			t.Errorf("%s: got %v, %q", c.name, short, reason)
		}
	}
}

// TestInodes: a disk without inodes is as short as one without room (S29).
func TestInodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		free, total uint64
		err         error
		short       bool
	}{
		{"enough", 1000, 1 << 20, nil, false},
		{"too few", 999, 1 << 20, nil, true},
		{"none", 0, 1 << 20, nil, true},
		{"few in all, enough", 20, 400, nil, false},
		{"few in all, too few", 19, 400, nil, true},
		{"made as they are needed", 0, 0, nil, false},
		{"cannot say", 0, 1 << 20, errors.New("no such call"), false},
	} {
		d := &disk{
			usage:  func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: 50 * gib, TotalBytes: 100 * gib}, nil },
			inodes: func() (free, total uint64, err error) { return c.free, c.total, c.err },
		}
		s := &Spool{disk: d}
		d.check()
		if reason, short := s.Short(); short != c.short || short != strings.Contains(reason, "inodes") {
			t.Errorf("%s: got %v, %q", c.name, short, reason)
		}
		if _, _, ok := s.Reserve(0); ok == c.short {
			t.Errorf("%s: room is promised: %v", c.name, ok)
		}
	}
}

// TestMemTableSize: the log leaves room for mail on a small disk (S29).
func TestMemTableSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		total uint64
		err   error
		want  uint64
	}{
		{"large disk", 1000 * gib, nil, 16 << 20},
		{"1 GiB", gib, nil, 16 << 20},
		{"half a GiB", gib / 2, nil, 8 << 20},
		{"64 MiB", 64 << 20, nil, 1 << 20},
		{"tiny", 1 << 20, nil, 1 << 20},
		{"cannot say", 0, errors.New("no such call"), 16 << 20},
	} {
		got := memTableSize(func() (vfs.DiskUsage, error) { return vfs.DiskUsage{TotalBytes: c.total}, c.err })
		if got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// whileFree calls check a second after each change of the octets that are free, without opening the spool again.
func whileFree(t *testing.T, changes []uint64, check func(s *Spool, free uint64)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Uint64
		free.Store(2 * gib)
		s, err := Open("spool", Config{FS: vfs.NewMem(), Logger: quiet, Usage: func() (vfs.DiskUsage, error) {
			return vfs.DiskUsage{AvailBytes: free.Load(), TotalBytes: 10 * gib}, nil
		}})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		for _, now := range changes {
			free.Store(now)
			time.Sleep(time.Second) // of the bubble's clock
			synctest.Wait()
			check(s, now)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	})
}

// TestShortWithinASecond: mail is refused within a second of space being short, and taken again without a restart (S29).
func TestShortWithinASecond(t *testing.T) {
	t.Parallel()
	whileFree(t, []uint64{2 * gib, gib / 2, 2 * gib}, func(s *Spool, free uint64) {
		if _, short := s.Short(); short != (free < gib) {
			t.Errorf("%d octets free: short is %v", free, short)
		}
	})
}

// TestReclaim: while space is short what settled messages held is given back.
func TestReclaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		short := func() (vfs.DiskUsage, error) { return vfs.DiskUsage{AvailBytes: gib / 2, TotalBytes: 10 * gib}, nil }
		s, err := Open("spool", Config{FS: vfs.NewMem(), Logger: quiet, Usage: short})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		for range 20 {
			comeAndGo(t, s)
		}
		before := contentOnDisk(t, s)
		time.Sleep(time.Second) // of the bubble's clock
		synctest.Wait()
		if after := contentOnDisk(t, s); after > before/10 {
			t.Errorf("content of settled messages holds %d octets, of %d", after, before)
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	})
}

// comeAndGo settles a message after it was written to a table.
func comeAndGo(t *testing.T, s *Spool) {
	t.Helper()
	m := spooltest.Message()
	accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}, Owner: "o"}, spooltest.Octets(100_000))
	if err := s.db.Flush(); err != nil {
		t.Fatalf("flush: %v", err)
	}
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{{Message: m.ID, Seq: 1}}}); err != nil {
		t.Fatalf("settle: %v", err)
	}
}

func contentOnDisk(t *testing.T, s *Spool) uint64 {
	t.Helper()
	lower, upper := spaceBounds(spaceContent)
	octets, err := s.db.EstimateDiskUsage(lower, upper)
	if err != nil {
		t.Fatalf("usage: %v", err)
	}
	return octets
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	for range 2 { // a registry outlives a spool
		s, err := Open("spool", Config{FS: vfs.NewMem(), Logger: quiet, Registerer: registry})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		acceptItems(t, s, 3)
		want := `
# HELP mailmanager_spool_items Items in the lanes of a kind.
# TYPE mailmanager_spool_items gauge
mailmanager_spool_items{kind="l"} 3
# HELP mailmanager_spool_octets Content that items in the lanes of a kind stand for.
# TYPE mailmanager_spool_octets gauge
mailmanager_spool_octets{kind="l"} 21
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "mailmanager_spool_items", "mailmanager_spool_octets"); err != nil {
			t.Error(err)
		}
		if second, err := Open("other", Config{FS: vfs.NewMem(), Logger: quiet, Registerer: registry}); err == nil {
			second.Close()
			t.Errorf("two spools share metrics")
		}
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
}

func TestLogger(t *testing.T) {
	t.Parallel()
	var line bytes.Buffer
	l := &logger{log: jsonLog(&line), exit: func(int) {}}
	l.Infof("nothing %d", 1)
	l.Errorf("went wrong %d", 2)
	if got := line.String(); strings.Contains(got, "nothing") || !strings.Contains(got, "spool: went wrong 2") {
		t.Errorf("logged %q", got)
	}
	c := Config{Logger: jsonLog(&line)}.withDefaults("spool")
	options(c, newLogger(c), newMetrics(nil)).EventListener.DataCorruption(pebble.DataCorruptionInfo{Path: "000001.sst"})
	if !strings.Contains(line.String(), "000001.sst") {
		t.Errorf("corruption is not logged: %q", line.String())
	}
}
