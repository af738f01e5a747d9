package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/action"
	"sluice/internal/admin"
	"sluice/internal/control"
	"sluice/internal/ingress"
	"sluice/internal/message"
	"sluice/internal/process"
	"sluice/internal/queue"
	"sluice/internal/schedule"
	"sluice/internal/spool"
	"sluice/internal/spool/pebble"
	"sluice/internal/store"
	"sluice/internal/trace"
)

// storageRetry is how often opening mail is tried again. A try that fails costs a few system calls. Source: docs/promises.md, Disks.
const storageRetry = 2 * time.Second

// mail is what moves mail: the spool, the trace, and the queue on them.
type mail struct {
	trace *trace.Log
	spool *pebble.Spool
	queue *queue.Queue
	undo  []func() error // in the order of opening
}

// storage is whether mail is open, and why not. A start whose disk does not let it be opened serves the API all the same, answers
// 421 where mail comes in, and tries again (S29).
type storage struct {
	mail    atomic.Pointer[mail]   // nil: not open
	reason  atomic.Pointer[string] // of the last try that failed; nil: there was none
	awaited chan struct{}          // closed when no more tries are made
}

func newStorage(r prometheus.Registerer) *storage {
	s := &storage{awaited: make(chan struct{})}
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "mailmanager_storage_open", Help: "1 once the spool and the trace are open; 0 while that is tried and mail is answered 421.",
	}, func() float64 {
		if s.mail.Load() == nil {
			return 0
		}
		return 1
	}))
	return s
}

// failing is the readiness of the disk.
func (s *storage) failing() (reason string, failing bool) {
	if m := s.mail.Load(); m != nil {
		return m.spool.Short()
	}
	if why := s.reason.Load(); why != nil {
		return *why, true
	}
	return "the spool is not open yet", true
}

// behind is the readiness of the queue, which is not behind with mail that cannot come.
func (s *storage) behind() (reason string, behind bool) {
	if m := s.mail.Load(); m != nil {
		return m.queue.Behind()
	}
	return "", false
}

// isFinal reports whether an error of opening stays whatever becomes of the disk.
func isFinal(err error) bool {
	return errors.Is(err, spool.ErrNewerFormat) || errors.Is(err, store.ErrNewerFormat)
}

// tryMail opens mail and joins it with what takes mail in. What a disk refuses is told and remembered, and is no error: it may be
// tried again. The end of ctx undoes it: nothing is begun when the server stops.
func (g *gateway) tryMail(ctx context.Context) error {
	m, err := g.openMail(ctx)
	if err == nil && ctx.Err() != nil {
		return m.close()
	}
	if err != nil && !isFinal(err) {
		g.tellStorage(err)
		return nil
	}
	if err != nil {
		return hint(err, "run the version that wrote it")
	}
	m.queue = g.newQueue(m)
	g.storage.mail.Store(m)
	g.ingress.Carry(ingress.Mail{Spool: m.spool, Queue: m.queue, Trace: m.trace, Reserve: m.spool.Reserve})
	g.admin.serve(g.adminConfig(admin.Mail{Traces: m.trace, Lanes: m.spool, Queue: m.queue, RuleSets: m.spool}))
	if g.storage.reason.Load() != nil {
		g.server.log.Info("the storage is open: mail is served")
	}
	return nil
}

// tellStorage logs why mail cannot be opened, once for each reason.
func (g *gateway) tellStorage(err error) {
	reason := err.Error()
	if before := g.storage.reason.Swap(&reason); before == nil || *before != reason {
		g.server.log.Error("mail is answered 421: its storage cannot be opened, which is tried again every "+storageRetry.String(),
			"error", reason, "hint", storageHint(err))
	}
}

// storageHint is what an operator can do about storage that cannot be opened.
func storageHint(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system for writing"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "let the user that runs sluice read and write there"
	case errors.Is(err, syscall.EAGAIN):
		return "stop the process that has it open"
	case errors.Is(err, spool.ErrCorrupt):
		return "move the spool away to go on without its mail; sluice rescue reads what is left of it"
	default:
		return "put right what the error names"
	}
}

// awaitMail waits until mail is open, and tries that at each tick. It returns nil when ctx ends before, or with an error that
// stays.
func (g *gateway) awaitMail(ctx context.Context, again <-chan time.Time) (*mail, error) {
	defer close(g.storage.awaited)
	for {
		if m := g.storage.mail.Load(); m != nil {
			return m, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-again:
		}
		if err := g.tryMail(ctx); err != nil {
			return nil, err
		}
	}
}

// openMail opens what the queue stands on: the trace first, which is the quicker to open and to close again, and with them the store for
// writing, which needs less of the disk than they do.
func (g *gateway) openMail(ctx context.Context) (_ *mail, err error) {
	s, m := g.server, &mail{}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.close())
		}
	}()
	if m.trace, err = trace.Open(s.dir.file(traceFolder), trace.Config{Logger: s.log, Registerer: s.registry}); err != nil {
		return nil, fmt.Errorf("open the trace: %w", err)
	}
	m.undo = append(m.undo, m.trace.Close)
	config := pebble.Config{Logger: s.log, Registerer: s.registry, Reserve: s.cfg.DiskReserve}
	if m.spool, err = pebble.Open(s.dir.file(spoolFolder), config); err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	m.undo = append(m.undo, m.spool.Close)
	if err = g.store.Reopen(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

func (g *gateway) newQueue(m *mail) *queue.Queue {
	s := g.server
	reports := action.Reports{Now: time.Now}
	processor := process.New(process.Config{
		RuleSets: g.control, Sources: m.spool, Lists: g.control, Planner: g.planner,
		Strict: g.profiles.Strict, Logger: s.log, Registerer: s.registry,
	})
	return queue.New(queue.Config{
		Spool: m.spool, Trace: process.Recorder{Trace: m.trace, Records: g.records, RuleSets: g.control}, Journal: m.spool.Journal(), Owner: message.NewID(time.Now()).String(),
		Executors: map[string]queue.Executor{"process": processor, "relay": g.relays, "hop": g.relays, "report": g.reporter},
		Reports:   reports, Bounce: reports.Bounce,
		Now: time.Now, Logger: s.log, Registerer: s.registry,
		Retry:   schedule.Retry{First: time.Duration(s.cfg.RetryFirst), Longest: time.Duration(s.cfg.RetryMax), GiveUp: time.Duration(s.cfg.GiveUp)},
		Probe:   schedule.Probe{First: time.Duration(s.cfg.ProbeFirst), Longest: time.Duration(s.cfg.ProbeMax)},
		HeldFor: time.Duration(s.cfg.HeldFor), HeldOctets: s.cfg.HeldOctets,
	})
}

// close gives the disk back, after the queue has run or instead of that.
func (m *mail) close() error {
	var all []error
	for _, undo := range slices.Backward(m.undo) {
		all = append(all, undo())
	}
	return errors.Join(all...)
}

// probe has the lane of a relay tried again: what it leads to was changed.
func (g *gateway) probe(key control.Key) {
	if m := g.storage.mail.Load(); m != nil {
		m.queue.Probe(spool.RelayLane(key.Account, key.Region, key.ID))
	}
}

// traffic counts what happens to mail.
func (g *gateway) traffic() uint64 {
	if m := g.storage.mail.Load(); m != nil {
		return m.trace.Events()
	}
	return 0
}

// drainMail lets running steps end, once it is clear whether mail was opened at all.
func (g *gateway) drainMail(ctx context.Context) error {
	<-g.storage.awaited
	if m := g.storage.mail.Load(); m != nil {
		return m.queue.Drain(ctx)
	}
	return nil
}
