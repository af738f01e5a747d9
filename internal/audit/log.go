package audit

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of what is kept and of what waits.
const (
	// maxFileOctets is how long a file grows before the next is begun.
	maxFileOctets int64 = 64 << 20
	// maxFiles is how many are kept, the current one included: 1 GiB.
	maxFiles int = 16
	// maxWaiting is how many lines wait for the disk.
	maxWaiting int = 8192
	// maxStrangers is how many entries a second are taken of calls that nobody's key has signed: strangers are not to push
	// out what users have done.
	maxStrangers int = 100
	// closeWait is how long Close waits for an output that is stuck.
	closeWait = 5 * time.Second
)

// ErrStuck says that Close gave up on an output that takes nothing.
var ErrStuck = errors.New("audit entries are left that the output does not take")

// Config is how a Log is opened.
type Config struct {
	Path       string                // a file, whose older parts lie beside it; or "-": standard error
	Output     io.Writer             // instead of Path; not closed
	Now        func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: no metrics

	fileOctets int64 // 0: maxFileOctets
	files      int   // 0: maxFiles
	waiting    int   // 0: maxWaiting
}

// Log writes entries. It is safe for concurrent use.
type Log struct {
	cfg     Config
	dropped *prometheus.CounterVec
	written prometheus.Counter

	mu        sync.Mutex
	closed    bool
	second    int64 // of the last stranger's entry
	strangers int   // in that second
	lines     chan []byte

	stopped  chan struct{} // guards closeErr
	closeErr error

	// Of the writer.
	out     output
	failing bool
}

// Why entries are dropped.
const (
	dropWaiting  = "waiting"  // the disk does not keep up, or the log is closed
	dropWrite    = "write"    // writing failed
	dropStranger = "stranger" // too many that are signed by nobody's key
	dropEncode   = "encode"   // the entry has no JSON
)

// Open opens the output and starts the writer. The error is that of the file, or of a metric that is registered already.
func Open(cfg Config) (*Log, error) {
	cfg.setDefaults()
	l := &Log{
		cfg: cfg, lines: make(chan []byte, cfg.waiting), stopped: make(chan struct{}),
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mailmanager_audit_entries_written_total", Help: "Audit entries written.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailmanager_audit_entries_dropped_total", Help: "Audit entries dropped, by reason.",
		}, []string{"reason"}),
	}
	for _, reason := range [...]string{dropWaiting, dropWrite, dropStranger, dropEncode} {
		l.dropped.WithLabelValues(reason) // so that a zero is seen
	}
	if cfg.Registerer != nil {
		if err := errors.Join(cfg.Registerer.Register(l.written), cfg.Registerer.Register(l.dropped)); err != nil {
			return nil, err
		}
	}
	var err error
	if l.out, err = openOutput(&l.cfg); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	go l.run()
	return l, nil
}

func (cfg *Config) setDefaults() {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.fileOctets == 0 {
		cfg.fileOctets = maxFileOctets
	}
	if cfg.files == 0 {
		cfg.files = maxFiles
	}
	if cfg.waiting == 0 {
		cfg.waiting = maxWaiting
	}
}

// Append takes an entry. It waits for nothing: an entry that cannot be taken is dropped and counted.
func (l *Log) Append(e Entry) {
	text, err := encode(&e)
	if err != nil {
		l.drop(dropEncode)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Principal == "" && l.crowded(e.Time) {
		l.drop(dropStranger)
		return
	}
	if l.closed {
		l.drop(dropWaiting)
		return
	}
	select {
	case l.lines <- text:
	default:
		l.drop(dropWaiting)
	}
}

// crowded counts an entry of a stranger, and reports whether there were too many in that second.
func (l *Log) crowded(at time.Time) bool {
	if second := at.Unix(); second != l.second {
		l.second, l.strangers = second, 0
	}
	l.strangers++
	return l.strangers > maxStrangers
}

func (l *Log) drop(reason string) { l.dropped.WithLabelValues(reason).Inc() }

// Close writes what waits and closes the file. It returns ErrStuck when that takes too long. Entries that come later are
// dropped.
func (l *Log) Close() error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.lines)
	}
	l.mu.Unlock()
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
	for text := range l.lines {
		err := l.out.write(text)
		if err != nil {
			l.drop(dropWrite)
		} else {
			l.written.Inc()
		}
		l.tell(err)
	}
	l.closeErr = l.out.close()
}

// tell logs that writing begins to fail, and that it no longer does.
func (l *Log) tell(err error) {
	switch {
	case err != nil && !l.failing:
		l.cfg.Logger.Error("audit entries cannot be written and are dropped", "error", err)
	case err == nil && l.failing:
		l.cfg.Logger.Info("audit entries are written again")
	}
	l.failing = err != nil
}
