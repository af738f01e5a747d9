package pebble

import (
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// How the store is tuned. Source: measured, docs/performance.md. Memtables and cache lie on the collector's heap in a
// binary without cgo, so that about twice as much is resident; larger ones are no faster.
const (
	memTableOctets   = 16 << 20  // what comes and goes within it is never written to a table
	memTableLeast    = 1 << 20   // on a small disk; see memTableSize
	memTableShare    = 64        // of the disk, at most
	memTablesMax     = 3         // then writers wait for a flush
	cacheOctets      = 32 << 20  // the memtables count within it, or nothing would be left for blocks
	walOctetsPerSync = 1 << 20   // streamed content goes to the disk steadily, not all with the next sync
	l0Compact        = 4         // sublevels
	l0Stop           = 36        // sublevels; then writers wait for a compaction
	baseOctets       = 256 << 20 // L1 before it is compacted further
	filterBits       = 10        // a key; else looking one up reads a block, of a whole value, of every table that might have it
)

// options are the store's. The format is pinned: a newer version of the library must not make the directory unreadable
// for the one before. Value separation is left off: it is experimental in this version.
func options(c Config, l *logger, m *metrics) *pebble.Options {
	o := &pebble.Options{
		FS:                          logFS{FS: c.FS, fatal: l.lost},
		FormatMajorVersion:          pebble.FormatTableFormatV6,
		Logger:                      l,
		CacheSize:                   cacheOctets,
		MemTableSize:                memTableSize(c.Usage),
		MemTableStopWritesThreshold: memTablesMax,
		WALBytesPerSync:             walOctetsPerSync,
		L0CompactionThreshold:       l0Compact,
		L0StopWritesThreshold:       l0Stop,
		LBaseMaxBytes:               baseOctets,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { c.Logger.Error("spool: background work failed", "error", err) },
			DataCorruption: func(info pebble.DataCorruptionInfo) { // the default ends the process (S30)
				m.corrupt.Inc()
				c.Logger.Error("spool: file is corrupt", "path", info.Path, "error", info.Details)
			},
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				m.stalls.Inc()
				c.Logger.Warn("spool: writers wait", "reason", info.Reason)
			},
		},
	}
	o.Levels[0].FilterPolicy = bloom.FilterPolicy(filterBits) // the levels below have it from there
	return o
}

// memTableSize is that of a memtable, and with it that of a file of the log, of which there are up to memTablesMax + 1, each
// of its full size from the start: on a small disk they must leave room for mail.
func memTableSize(usage func() (vfs.DiskUsage, error)) uint64 {
	u, err := usage()
	if err != nil {
		return memTableOctets
	}
	return min(memTableOctets, max(memTableLeast, u.TotalBytes/memTableShare))
}

// logger is what the store reports to.
type logger struct {
	log    *slog.Logger
	exit   func(status int)
	opened atomic.Bool // the store is
}

func newLogger(c Config) *logger { return &logger{log: c.Logger, exit: c.Exit} }

// lost is for a log that cannot be made, written or synced. Before the store is open it returns, for nothing was promised yet:
// the store hands the error to whoever opens it, who may try again.
func (l *logger) lost(format string, args ...any) {
	if l.opened.Load() {
		l.Fatalf(format, args...)
	}
}

// Infof is about compactions and the like: nothing that an operator acts on.
func (l *logger) Infof(string, ...any) {}

func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("spool: " + fmt.Sprintf(format, args...))
}

// Fatalf never returns: the store goes on after it as if what failed had been written, and Accept would report success
// for what is not on disk. Source: docs/promises.md, Disks; S29.
func (l *logger) Fatalf(format string, args ...any) {
	l.log.Error("spool: cannot go on: " + fmt.Sprintf(format, args...))
	l.exit(1)
	select {} // an injected exit returns
}
