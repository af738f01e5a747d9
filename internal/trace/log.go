package trace

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What is kept, and how it is gathered. Source: docs/promises.md, Explain.
const (
	DefaultMaxAge          = 7 * 24 * time.Hour
	DefaultMaxOctets int64 = 5 << 30

	bufferEvents  = 8192                   // waiting to be written; more are dropped
	wakeEvents    = 1024                   // waiting, so that the writer does not wait for its time
	flushEvery    = 200 * time.Millisecond // an event is on its way to the disk after that
	frameOctets   = 256 << 10              // of JSON in one frame, and the event that fills it
	eventOctets   = 4 << 20                // larger events are dropped
	segmentOctets = 64 << 20               // of a file, then the next begins: what retention removes at once
	pruneEvery    = time.Hour
)

// Config is how a Log is opened. The zero value serves.
type Config struct {
	MaxAge     time.Duration         // 0: DefaultMaxAge
	MaxOctets  int64                 // on disk; 0: DefaultMaxOctets
	Now        func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: no metrics

	segment int64 // octets of a file; 0: segmentOctets
	open    func(name string) (file, error)
}

// file is what is asked of a file that is written.
type file interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Close() error
}

// Log keeps trace events on disk. It is safe for concurrent use. It never stands in the way of mail: what cannot be
// buffered or written is dropped and counted (S18).
type Log struct {
	config  Config
	store   *store
	metrics *metrics

	mu      sync.Mutex
	closed  bool
	pending []Event
	spare   []Event // the memory that pending is swapped with; of the writer

	wake    chan struct{}      // pending has wakeEvents
	flushes chan chan struct{} // Flush waits for the channel it sends
	stop    chan struct{}
	stopped chan struct{}
	events  atomic.Uint64
}

// Open opens the log in a directory, which is made when it is not there. What a crash tore off the newest file is cut.
func Open(dir string, c Config) (*Log, error) {
	c = c.withDefaults()
	l := &Log{
		config:  c,
		wake:    make(chan struct{}, 1),
		flushes: make(chan chan struct{}),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	l.metrics = newMetrics()
	store, err := openStore(dir, c, l.metrics)
	if err != nil {
		return nil, err
	}
	l.store = store
	if err := l.metrics.register(c.Registerer); err != nil {
		return nil, err
	}
	go l.run()
	return l, nil
}

func (c Config) withDefaults() Config {
	if c.MaxAge == 0 {
		c.MaxAge = DefaultMaxAge
	}
	if c.MaxOctets == 0 {
		c.MaxOctets = DefaultMaxOctets
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.segment == 0 {
		c.segment = segmentOctets
	}
	if c.open == nil {
		c.open = func(name string) (file, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) }
	}
	return c
}

// Events is how many events were appended: something happens to mail while it grows.
func (l *Log) Events() uint64 { return l.events.Load() }

// Append takes an event. It does not wait for a disk: when the writer does not keep up, or after Close, the event is
// dropped and counted. What the event points to must not be changed any more.
func (l *Log) Append(e Event) {
	l.events.Add(1)
	l.mu.Lock()
	taken := !l.closed && len(l.pending) < bufferEvents
	if taken {
		l.pending = append(l.pending, e)
	}
	full := len(l.pending) == wakeEvents
	l.mu.Unlock()
	if !taken {
		l.metrics.dropped(dropBuffer, 1)
		return
	}
	if full {
		l.signal()
	}
}

func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default: // it is awake
	}
}

// Flush returns when what was appended before is written or dropped, or ctx ends, or the log is closed.
func (l *Log) Flush(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case l.flushes <- done:
	case <-l.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close writes what is buffered and ends. Events that are appended later are dropped. Get goes on.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return nil
	}
	close(l.stop)
	<-l.stopped
	l.metrics.unregister()
	return l.store.close()
}

// run is the writer.
func (l *Log) run() {
	defer close(l.stopped)
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	prune := time.NewTicker(pruneEvery)
	defer prune.Stop()
	for {
		select {
		case <-l.wake:
			l.write()
		case <-flush.C:
			l.write()
		case <-prune.C:
			l.store.prune()
		case done := <-l.flushes:
			l.write()
			close(done)
		case <-l.stop:
			l.write()
			return
		}
	}
}

// write writes what is pending.
func (l *Log) write() {
	l.mu.Lock()
	events := l.pending
	l.pending = l.spare[:0]
	l.mu.Unlock()
	for i := range events {
		l.store.add(&events[i])
	}
	l.store.flush()
	clear(events) // what they point to is let go
	l.spare = events[:0]
}
