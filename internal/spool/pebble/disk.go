package pebble

import (
	"context"
	"fmt"
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
)

// reclaimEvery is how often, at most, space that settled messages hold is given back while it is short.
const reclaimEvery = 30 * time.Second

// disk watches the free space.
type disk struct {
	usage     func() (vfs.DiskUsage, error)
	reserve   uint64 // 0: the default
	short     atomic.Pointer[string]
	reclaimed time.Time // when; of the goroutine that checks
	settled   int64     // settlements that were committed then
}

// Short reports whether the disk has less free space than its reserve, and why mail cannot be taken then, for logs and
// /readyz. It is cheap and safe for concurrent use.
func (s *Spool) Short() (reason string, short bool) {
	if r := s.disk.short.Load(); r != nil {
		return *r, true
	}
	return "", false
}

// check looks at the free space. A file system that cannot say has enough.
func (d *disk) check() {
	usage, err := d.usage()
	if err != nil {
		d.short.Store(nil)
		return
	}
	reserve := d.reserve
	if reserve == 0 {
		reserve = max(reserveOctets, usage.TotalBytes/100*reservePercent)
	}
	if usage.AvailBytes >= reserve {
		d.short.Store(nil)
		return
	}
	reason := fmt.Sprintf("disk: %d MiB free, %d MiB are reserved", usage.AvailBytes>>20, reserve>>20)
	d.short.Store(&reason)
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
