package pebble

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The reserve that must stay free on the file system for MAIL to be taken, when no setting says otherwise, and how often
// that is looked at. Source: docs/promises.md, Disks; S29 (452 within 1 s).
const (
	reserveOctets  uint64 = 1 << 30
	reservePercent uint64 = 5
	diskCheckEvery        = 500 * time.Millisecond

	reserveInodes uint64 = 1000 // or reservePercent of them where that is less
)

// reclaimEvery is how often, at most, space that settled messages hold is given back while it is short.
const reclaimEvery = 30 * time.Second

// disk watches the free space.
type disk struct {
	usage     func() (vfs.DiskUsage, error)
	inodes    func() (free, total uint64, err error) // nil: there are always enough
	reserve   uint64                                 // 0: the default
	short     atomic.Pointer[string]
	room      atomic.Int64 // octets that are free beyond the reserve; negative: short
	promised  atomic.Int64 // octets, by Reserve
	reclaimed time.Time    // when; of the goroutine that checks
	settled   int64        // settlements that were committed then
}

// Short reports whether the disk has less free space than its reserve, and why mail cannot be taken then, for logs and
// /readyz. It is cheap and safe for concurrent use.
func (s *Spool) Short() (reason string, short bool) {
	if r := s.disk.short.Load(); r != nil {
		return *r, true
	}
	return "", false
}

// Reserve promises room for a message of so many octets, 0 when nobody knows, until it is released. It refuses when the
// free space, less what others were promised, would fall below the reserve; the reason is for logs, and release is nil
// then. Release may be called more than once, and must not be called before the content was accepted or given up: what is
// written until the next look at the free space is nobody's otherwise. Content that is under way counts twice, as promised
// and as written: that errs on the safe side. It makes no system call and is safe for concurrent use.
// Source: RFC 1870, section 6.1; docs/promises.md, Disks.
func (s *Spool) Reserve(octets int64) (release func(), reason string, ok bool) {
	if octets = max(octets, 0); s.disk.promise(octets) {
		return sync.OnceFunc(func() { s.disk.promised.Add(-octets) }), "", true
	}
	if reason, short := s.Short(); short {
		return nil, reason, false
	}
	return nil, fmt.Sprintf("disk: no room for %d octets: %d MiB are free beyond the reserve, %d MiB of them promised to other sessions",
		octets, s.disk.room.Load()>>20, s.disk.promised.Load()>>20), false
}

// promise adds to what is promised if there is room. Nothing is added on the way to a refusal: one that asks for too much
// must not have others refused.
func (d *disk) promise(octets int64) bool {
	for {
		room, promised := d.room.Load(), d.promised.Load()
		if octets > room || promised > room-octets {
			return false
		}
		if d.promised.CompareAndSwap(promised, promised+octets) {
			return true
		}
	}
}

// check looks at the free space. A file system that cannot say has enough.
func (d *disk) check() {
	usage, err := d.usage()
	if err != nil {
		d.short.Store(nil)
		d.room.Store(math.MaxInt64)
		return
	}
	reserve := d.reserve
	if reserve == 0 {
		reserve = max(reserveOctets, usage.TotalBytes/100*reservePercent)
	}
	d.room.Store(difference(usage.AvailBytes, reserve))
	reason := d.noInodes()
	if usage.AvailBytes < reserve {
		reason = fmt.Sprintf("disk: %d MiB free, %d MiB are reserved", usage.AvailBytes>>20, reserve>>20)
	}
	if reason == "" {
		d.short.Store(nil)
		return
	}
	d.room.Store(min(-1, d.room.Load()))
	d.short.Store(&reason)
}

// noInodes says that there are too few inodes: a disk may have room, and none for another file. A file system that cannot say,
// or makes them as they are needed, has enough.
func (d *disk) noInodes() (reason string) {
	if d.inodes == nil {
		return ""
	}
	free, total, err := d.inodes()
	reserve := min(reserveInodes, total/100*reservePercent)
	if err != nil || free >= reserve {
		return ""
	}
	return fmt.Sprintf("disk: %d inodes free, %d are reserved", free, reserve)
}

// difference is a - b, or as near to it as there is.
func difference(a, b uint64) int64 {
	if a < b {
		return -int64(min(b-a, math.MaxInt64))
	}
	return int64(min(a-b, math.MaxInt64))
}

// checkDisk looks at the free space and, while it is short, gives back what settled messages hold: without new mail
// nothing else would. Source: docs/promises.md, Disks.
func (s *Spool) checkDisk() {
	_, was := s.Short()
	s.disk.check()
	reason, short := s.Short()
	if short != was {
		s.log.Warn("spool: free space", "short", short, "reason", reason)
	}
	settled := s.unsynced.Load()
	if !short || settled == s.disk.settled || time.Since(s.disk.reclaimed) < reclaimEvery {
		return
	}
	s.disk.settled, s.disk.reclaimed = settled, time.Now()
	s.reclaim()
}

// reclaim flushes and compacts the content.
func (s *Spool) reclaim() {
	lower, upper := spaceBounds(spaceContent)
	err := s.db.Flush()
	if err == nil {
		err = s.db.Compact(context.Background(), lower, upper, false)
	}
	if err != nil {
		s.log.Error("spool: cannot reclaim space", "error", err)
	}
}
