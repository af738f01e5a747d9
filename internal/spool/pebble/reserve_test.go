package pebble

import (
	"errors"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// newDisk is a spool of nothing but a disk, whose free space can be changed, with 100 octets in reserve.
func newDisk(free uint64) (s *Spool, change func(free uint64)) {
	var now atomic.Uint64
	now.Store(free)
	s = &Spool{disk: &disk{reserve: 100, usage: func() (vfs.DiskUsage, error) {
		return vfs.DiskUsage{AvailBytes: now.Load(), TotalBytes: 10 * gib}, nil
	}}}
	s.disk.check()
	return s, func(free uint64) {
		now.Store(free)
		s.disk.check()
	}
}

// TestReserveSize: what is free must hold what others were promised, the message and the reserve.
func TestReserveSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		free   uint64
		others []int64
		octets int64
		ok     bool
	}{
		{"fits", 150, nil, 50, true},
		{"one octet too many", 150, nil, 51, false},
		{"fits beside others", 200, []int64{30, 20}, 50, true},
		{"one octet too many beside others", 200, []int64{30, 20}, 51, false},
		{"nobody knows the size", 100, nil, 0, true},
		{"nobody knows the size, and the disk is short", 99, nil, 0, false},
		{"nobody knows the size, and all is promised", 150, []int64{50}, 0, true},
		{"negative", 100, nil, -1, true},
		{"negative, and the disk is short", 99, nil, -1, false},
		{"largest number", 1 << 40, nil, math.MaxInt64, false},
		{"largest number beside others", 1 << 40, []int64{1}, math.MaxInt64, false},
		{"full", 0, nil, 1, false},
		{"full, largest number", 0, nil, math.MaxInt64, false},
		{"more free than can be counted", math.MaxUint64, nil, math.MaxInt64, true},
		{"more free than can be counted, beside others", math.MaxUint64, []int64{1}, math.MaxInt64, false},
	} {
		s, _ := newDisk(c.free)
		for _, octets := range c.others {
			if _, _, ok := s.Reserve(octets); !ok {
				t.Errorf("%s: another's %d octets are refused", c.name, octets)
			}
		}
		release, reason, ok := s.Reserve(c.octets)
		if ok != c.ok || ok != (release != nil) || ok == strings.Contains(reason, "disk") {
			t.Errorf("%s: got %v, %q", c.name, ok, reason)
		}
	}
}

// TestReserveReleased: what is released can be promised again, once.
func TestReserveReleased(t *testing.T) {
	t.Parallel()
	s, _ := newDisk(200)
	first, _, _ := s.Reserve(60)
	second, _, _ := s.Reserve(40)
	first()
	first()
	if _, reason, ok := s.Reserve(61); ok {
		t.Errorf("61 octets are promised where 60 were released twice: %q", reason)
	}
	if _, reason, ok := s.Reserve(60); !ok {
		t.Errorf("what was released is refused: %s", reason)
	}
	second()
	if got := s.disk.promised.Load(); got != 60 {
		t.Errorf("%d octets are promised, want 60", got)
	}
}

// TestReserveShrinks: promises count against a disk that others fill, and are kept until they are released.
func TestReserveShrinks(t *testing.T) {
	t.Parallel()
	s, change := newDisk(300)
	release, _, ok := s.Reserve(150)
	if !ok {
		t.Fatal("150 of 200 octets are refused")
	}
	for _, step := range []struct {
		free   uint64
		octets int64
		ok     bool
	}{{300, 50, true}, {270, 21, false}, {270, 20, true}, {249, 0, false}, {99, 0, false}, {250, 0, true}} {
		change(step.free)
		again, reason, ok := s.Reserve(step.octets)
		if ok != step.ok {
			t.Errorf("%d octets free: %d octets: got %v, %q", step.free, step.octets, ok, reason)
		}
		if ok {
			again()
		}
	}
	if _, short := s.Short(); short {
		t.Error("promises make the disk short")
	}
	release()
	if _, reason, ok := s.Reserve(150); !ok {
		t.Errorf("what was released is refused: %s", reason)
	}
}

// TestReserveUnknown: a file system that cannot say has enough.
func TestReserveUnknown(t *testing.T) {
	t.Parallel()
	s := &Spool{disk: &disk{usage: func() (vfs.DiskUsage, error) { return vfs.DiskUsage{}, errors.New("no such call") }}}
	s.disk.check()
	if _, reason, ok := s.Reserve(1 << 50); !ok {
		t.Errorf("refused: %s", reason)
	}
}

// TestReserveAtOnce: however many ask at once, no more is promised than there is, and nobody is refused for one who asks
// for too much.
func TestReserveAtOnce(t *testing.T) {
	t.Parallel()
	const sessions, size, places = 64, 10, 20
	s, _ := newDisk(100 + places*size)
	var promised atomic.Int64
	releases := make(chan func(), sessions)
	var all sync.WaitGroup
	for range sessions {
		all.Go(func() {
			for range 100 {
				if _, _, ok := s.Reserve(places*size + 1); ok {
					t.Error("too much is promised")
				}
			}
			if release, _, ok := s.Reserve(size); ok {
				promised.Add(1)
				releases <- release
			}
		})
	}
	all.Wait()
	if got := promised.Load(); got != places {
		t.Errorf("%d sessions were promised room, want %d", got, places)
	}
	close(releases)
	for release := range releases {
		all.Go(release)
		all.Go(release)
	}
	all.Wait()
	if got := s.disk.promised.Load(); got != 0 {
		t.Errorf("%d octets are promised at the end", got)
	}
}

// TestReserveWithinASecond: an open spool sees the free space change (S29).
func TestReserveWithinASecond(t *testing.T) {
	t.Parallel()
	whileFree(t, []uint64{2 * gib, 3 * gib / 2, 2 * gib}, func(s *Spool, free uint64) {
		release, _, ok := s.Reserve(int64(gib))
		if ok != (free == 2*gib) {
			t.Errorf("%d octets free: 1 GiB is promised: %v", free, ok)
		}
		if ok {
			release()
		}
	})
}
