// Package pebble is the embedded spool: one directory, one process, a log-structured store (cockroachdb/pebble) whose
// write-ahead log is what an accepted message survives a power cut by. Start with Open.
//
// On disk are messages, their content, items and the index of the lanes (keys.go). In memory are leases, the front of
// every lane and counts (state.go, lane.go). An Accept is one batch, synced, its sync shared with all that commit at the
// time; a Settle is one batch that rides on the next sync (durable.go). A record that cannot be read takes its item to
// the lane held/corrupt; everything else is served (corrupt.go). A write-ahead log that cannot be written ends the
// process before any reply (options.go). It leaves out what a cluster needs: another spool is for that.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/spool"
)

// Config is how a spool is opened. The zero value serves; it is only read by Open.
type Config struct {
	Budget     *spool.Budget         // of content in memory; nil: one of its own of spool.DefaultBudget
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: no metrics
	Reserve    uint64                // octets that must stay free; 0: the larger of 1 GiB and 5 % (docs/promises.md, Disks)

	// For tests. Nil: the operating system's.
	FS    vfs.FS
	Exit  func(status int)
	Usage func() (vfs.DiskUsage, error) // of the file system that the directory is on
	// Inodes is how many are free, and how many there are, on that file system.
	Inodes func() (free, total uint64, err error)
}

// Spool implements spool.Spool. Journal gives its spool.Journal.
type Spool struct {
	db      *pebble.DB
	state   *state
	budget  *spool.Budget
	rules   *ruleSets
	spills  chan *pebble.Batch
	spilled atomic.Int64 // values written to the store as they came
	log     *slog.Logger
	metrics *metrics
	disk    *disk
	running *journal

	commitWait time.Duration
	sync       *pebble.WriteOptions
	unsynced   atomic.Int64 // settlements committed
	synced     atomic.Int64 // of those, how many a sync has covered

	gate   sync.RWMutex // held for reading by every call
	closed bool
	stop   context.CancelFunc
	duties sync.WaitGroup
}

var (
	_ spool.Spool   = (*Spool)(nil)
	_ spool.Journal = (*journal)(nil)
)

// Open opens the spool in a directory, which is made, durably, when it is not there. It sweeps what a crash left, and reads the
// index of the lanes; messages and content are not read. Only one process can have it open. After an error nothing is open, and
// it may be tried again, but for spool.ErrNewerFormat, which stays.
func Open(dir string, c Config) (*Spool, error) {
	c = c.withDefaults(dir)
	s := &Spool{
		state:      newState(),
		budget:     c.Budget,
		log:        c.Logger,
		disk:       &disk{usage: c.Usage, inodes: c.Inodes, reserve: c.Reserve},
		commitWait: commitWait,
		sync:       pebble.Sync,
	}
	s.metrics = newMetrics(s)
	l := newLogger(c)
	db, err := openStore(dir, options(c, l, s.metrics), s.disk)
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	l.opened.Store(true)
	s.db, s.spills = db, newSpills(db)
	if err := s.recover(c.FS, dir); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), db.Close())
	}
	if err := s.metrics.register(c.Registerer); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), s.running.close(), db.Close())
	}
	s.start()
	return s, nil
}

// openStore opens the store, which panics when the directory cannot be synced: to those who start the process that is one
// line as any other that says why it cannot be started.
func openStore(dir string, o *pebble.Options, d *disk) (db *pebble.DB, err error) {
	if err := d.roomToOpen(dir, o); err != nil {
		return nil, err
	}
	defer func() {
		if cause := recover(); cause != nil {
			failed, ok := cause.(error)
			if _, broken := cause.(runtime.Error); broken || !ok {
				panic(cause)
			}
			err = failed
		}
	}()
	if db, err = pebble.Open(dir, o); err != nil && strings.Contains(err.Error(), unknownFormat) {
		return nil, fmt.Errorf("%w: %w", spool.ErrNewerFormat, err)
	}
	return db, readError(err)
}

// unknownFormat is what the store says of a directory that a later version of it has written; it has no error to compare with.
const unknownFormat = "unknown format major version"

func (c Config) withDefaults(dir string) Config {
	if c.Budget == nil {
		c.Budget = spool.NewBudget(0)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.FS == nil {
		c.FS = vfs.Default
		if c.Inodes == nil {
			c.Inodes = func() (free, total uint64, err error) { return inodesOf(dir) }
		}
	}
	if c.Exit == nil {
		c.Exit = os.Exit
	}
	if c.Usage == nil {
		fs := c.FS
		c.Usage = func() (vfs.DiskUsage, error) {
			usage, err := fs.GetDiskUsage(dir)
			if errors.Is(err, os.ErrNotExist) { // it is yet to be made
				return fs.GetDiskUsage(fs.PathDir(dir))
			}
			return usage, err
		}
	}
	return c
}

// recover brings the state in memory up to what is on disk.
func (s *Spool) recover(fs vfs.FS, dir string) error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.sweepOrphans(); err != nil {
		return err
	}
	used, err := s.readLanes()
	if err != nil {
		return err
	}
	if s.rules, err = s.sweepRules(used); err != nil {
		return err
	}
	s.running, err = openJournal(fs, fs.PathJoin(dir, journalName), s.hasItem)
	return err
}

// start begins the duties that run beside the calls.
func (s *Spool) start() {
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.disk.check()
	s.duties.Go(func() { every(ctx, settleSyncEvery, s.syncSettled) })
	s.duties.Go(func() { every(ctx, diskCheckEvery, s.checkDisk) })
}

// every calls work at each tick until ctx ends.
func every(ctx context.Context, interval time.Duration, work func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			work()
		}
	}
}

// enter begins a call; leave ends it.
func (s *Spool) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.gate.RLock()
	if s.closed {
		s.gate.RUnlock()
		return spool.ErrClosed
	}
	return nil
}

func (s *Spool) leave() { s.gate.RUnlock() }

// Journal is where the steps that run are noted. It must not be used after Close.
func (s *Spool) Journal() spool.Journal { return s.running }

// Close implements spool.Spool.
func (s *Spool) Close() error {
	s.gate.Lock()
	closed := s.closed
	s.closed = true
	s.gate.Unlock()
	if closed {
		return spool.ErrClosed
	}
	s.stop()
	s.duties.Wait()
	s.syncSettled()
	s.metrics.unregister()
	return errors.Join(s.db.Close(), s.running.close())
}

// get returns a copy of a value: ErrNotFound when there is none, ErrCorrupt when it cannot be read.
func (s *Spool) get(key, buf []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if err != nil {
		return nil, readError(err)
	}
	buf = append(buf[:0], value...)
	return buf, closer.Close()
}

// readError puts an error of the store into the spool's words.
func readError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pebble.ErrNotFound):
		return spool.ErrNotFound
	case pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", spool.ErrCorrupt, err)
	default:
		return err
	}
}

// readItem reads an item's record.
func (s *Spool) readItem(key spool.ItemKey) (spool.Item, error) {
	record, err := s.get(appendItemKey(nil, key), nil)
	if err != nil {
		return spool.Item{}, fmt.Errorf("item %s/%d: %w", key.Message, key.Seq, err)
	}
	return spool.DecodeItem(record)
}

func (s *Spool) hasItem(key spool.ItemKey) bool {
	_, closer, err := s.db.Get(appendItemKey(nil, key))
	if err == nil {
		err = closer.Close()
	}
	return !errors.Is(err, pebble.ErrNotFound) // one that cannot be read is there
}

var errShortMessage = fmt.Errorf("message record: empty: %w", spool.ErrCorrupt)

// decodeMessage takes a message's value apart.
func decodeMessage(value []byte) (m *spool.Message, streamed bool, err error) {
	if len(value) == 0 {
		return nil, false, errShortMessage
	}
	m, err = spool.DecodeMessage(value[1:])
	return m, value[0] == layoutStreamed, err
}

// closeQuietly closes what only reading was done with; its error says nothing that the reading did not.
func closeQuietly(c io.Closer) { _ = c.Close() }
