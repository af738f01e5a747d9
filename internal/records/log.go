package records

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What waits to be written, and for how long.
const (
	queueOctets = 8 << 20                // waiting and being written; more is dropped
	wakeOctets  = 256 << 10              // waiting, so that the writer does not wait for its time
	keepOctets  = 1 << 20                // of a buffer that is used again
	flushEvery  = 200 * time.Millisecond // a record is on its way after that
	closeWait   = 5 * time.Second        // for what is left, when a reader of standard error is stuck
)

// ErrStuck says that Close gave up on an output that takes nothing.
var ErrStuck = errors.New("log records are left that the output does not take")

// Config is how a Log is opened. The zero value has every kind off.
type Config struct {
	Kinds      []Kind                // what is written; none: nothing, and no file is opened
	Path       string                // a file, which is appended to; empty or "-": standard error
	Output     io.Writer             // instead of Path; not closed
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: no metrics

	queue int // octets; 0: queueOctets
}

// Log queues records and writes them in batches. It is safe for concurrent use.
type Log struct {
	enabled [kinds]bool
	queue   int
	logger  *slog.Logger
	metrics metrics

	mu      sync.Mutex
	closed  bool
	pending []byte // whole lines
	writing int    // octets that the writer took and has not written

	wake    chan struct{}   // pending has wakeOctets
	reopens chan chan error // Reopen waits for the answer
	stop    chan struct{}
	stopped chan struct{} // guards closeErr

	// Of the writer.
	out      *output
	spare    []byte // the memory that pending is swapped with
	failing  bool   // the last write did
	closeErr error
}

// Open opens the output and starts the writer. The error is that of the file, or of a metric that is registered already.
func Open(c Config) (*Log, error) {
	l := &Log{
		queue: c.queue, logger: c.Logger, metrics: newMetrics(),
		wake: make(chan struct{}, 1), reopens: make(chan chan error),
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	if l.queue == 0 {
		l.queue = queueOctets
	}
	if l.logger == nil {
		l.logger = slog.Default()
	}
	if err := l.metrics.register(c.Registerer); err != nil {
		return nil, err
	}
	if len(c.Kinds) == 0 {
		close(l.stopped)
		return l, nil
	}
	for _, k := range c.Kinds {
		l.enabled[k] = true
	}
	var err error
	if l.out, err = openOutput(c); err != nil {
		return nil, err
	}
	go l.run()
	return l, nil
}

// Enabled reports whether records of the kind are written, so that nothing is put together for one that is not.
func (l *Log) Enabled(k Kind) bool { return l.enabled[k] }

// Append takes a record, unless its kind is off. It does not wait for the output: when the writer does not keep up, or after
// Close, the record is dropped and counted. What the record points to may be changed afterwards.
func (l *Log) Append(r Record) {
	if !l.enabled[r.kind()] {
		return
	}
	text, err := line(r)
	if err != nil {
		l.metrics.drop(dropEncode, 1)
		l.logger.Error("log record dropped", "error", err)
		return
	}
	l.mu.Lock()
	taken := !l.closed && len(l.pending)+l.writing+len(text) <= l.queue
	if taken {
		l.pending = append(l.pending, text...)
	}
	full := len(l.pending) >= wakeOctets
	l.mu.Unlock()
	if !taken {
		l.metrics.drop(dropQueue, 1)
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

// Reopen writes what is queued, then opens the file anew, by its name: after it was renamed, for instance. When that fails
// the old file stays in use. It does nothing for standard error.
func (l *Log) Reopen() error {
	answer := make(chan error, 1)
	select {
	case l.reopens <- answer:
		return <-answer
	case <-l.stopped:
		return nil
	}
}

// Close writes what is queued and closes the file. It returns ErrStuck when that takes too long. Records that are appended
// later are dropped.
func (l *Log) Close() error {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if !closed {
		close(l.stop)
	}
	select {
	case <-l.stopped:
		return l.closeErr
	case <-time.After(closeWait):
		return ErrStuck
	}
}

// run is the writer.
func (l *Log) run() {
	defer close(l.stopped)
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	for {
		select {
		case <-l.wake:
			l.write()
		case <-flush.C:
			l.write()
		case answer := <-l.reopens:
			l.write()
			answer <- l.out.reopen()
		case <-l.stop:
			l.write()
			l.closeErr = l.out.close()
			return
		}
	}
}

// write writes what is pending. What the output does not take is lost: the next batch may fare better.
func (l *Log) write() {
	l.mu.Lock()
	batch := l.pending
	l.pending, l.writing = l.spare[:0], len(batch)
	l.mu.Unlock()
	if len(batch) > 0 {
		n, err := l.out.write(batch)
		l.metrics.written.Add(float64(bytes.Count(batch[:n], lineEnd)))
		l.metrics.drop(dropWrite, bytes.Count(batch[n:], lineEnd))
		l.tell(err)
	}
	if l.spare = batch[:0]; cap(batch) > keepOctets {
		l.spare = nil
	}
	l.mu.Lock()
	l.writing = 0
	l.mu.Unlock()
}

// tell logs that writing begins to fail, and that it no longer does.
func (l *Log) tell(err error) {
	switch {
	case err != nil && !l.failing:
		l.logger.Error("log records cannot be written and are dropped", "error", err)
	case err == nil && l.failing:
		l.logger.Info("log records are written again")
	}
	l.failing = err != nil
}
