package pebble

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// failing counts the calls that change a file system or sync it, and has some of them fail. None fails once it is mended, and
// none returns once its process has ended.
type failing struct {
	calls  atomic.Int64
	mended atomic.Bool
	ended  atomic.Bool
	fails  func(call int64) bool
	failed atomic.Pointer[errorfs.Op] // the last
}

// MaybeError implements errorfs.Injector.
func (f *failing) MaybeError(op errorfs.Op) error {
	if f.ended.Load() {
		select {}
	}
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || f.mended.Load() || !f.fails(f.calls.Add(1)) {
		return nil
	}
	f.failed.Store(&op)
	return syscall.EIO
}

// String implements errorfs.Injector.
func (f *failing) String() string { return "failing" }

// process is one that uses a spool until it is through with that, or its disk ends it.
type process struct {
	disk  *failing
	ended chan error

	mu   sync.Mutex // held for good once it has ended
	were promises   // what was promised; to be read once it has ended
}

var errExit = errors.New("the process has ended with status 1")

// startProcess starts one on a file system, and waits until it has ended.
func startProcess(t *testing.T, fs vfs.FS, fails func(call int64) bool) *process {
	p := &process{disk: &failing{fails: fails}, were: newPromises(), ended: make(chan error, 100)}
	go func() { p.ended <- p.run(t, fs) }()
	select {
	case err := <-p.ended:
		if err != nil && !errors.Is(err, errExit) && !errors.Is(err, syscall.EIO) {
			t.Errorf("call %d fails: %v", p.disk.calls.Load(), err)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the process hangs after %d calls", p.disk.calls.Load())
	}
	return p
}

// run opens the spool, takes messages in, small and streamed, and defers, settles and bounces them.
func (p *process) run(t *testing.T, fs vfs.FS) error {
	exit := func(int) { // nothing that a process does comes after its end
		p.disk.ended.Store(true)
		p.mu.Lock()
		p.ended <- errExit
		select {}
	}
	s, err := Open("spool", Config{FS: errorfs.Wrap(fs, p.disk), Logger: quiet, Exit: exit, Budget: spool.NewBudget(64 << 10)})
	if err != nil {
		return err
	}
	defer func() {
		p.disk.mended.Store(true)
		closeQuietly(s)
	}()
	for round := range 12 {
		if err := p.round(t, s, round); err != nil {
			return err
		}
		if round%4 == 3 {
			if _, err := s.db.AsyncFlush(); err != nil { // tables and the manifest, and another log
				return err
			}
		}
	}
	return nil
}

// round takes one message in and ends the step of its item in one way after another.
func (p *process) round(t *testing.T, s *Spool, round int) error {
	m := spooltest.Message()
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	in, err := s.Begin(t.Context(), m.ID)
	if err != nil {
		return err
	}
	if _, err := in.Write(spooltest.Octets([]int{10, 20_000, 150_000}[round%3])); err != nil {
		in.Abort()
		return err
	}
	held, err := s.Accept(t.Context(), spool.Acceptance{
		Message: m, Content: in, Items: []spool.Item{item}, Rules: []byte("rules"), Owner: "o", Until: spooltest.Epoch,
	})
	if err != nil {
		return err
	}
	releaseContent(held)
	p.mu.Lock()
	settlement := spool.Settlement{Owner: "o", Out: []spool.ItemKey{item.ItemKey}}
	switch round % 4 {
	case 0: // it goes
	case 1:
		child := bounceOf(10_000)
		settlement.Births = []spool.Birth{child}
		p.were.replaced[m.ID] = child.Message.ID
	default: // it is deferred
		settlement.In = []spool.Item{item}
		p.were.kept[m.ID] = true
	}
	p.mu.Unlock()
	err = s.Settle(t.Context(), settlement)
	s.syncSettled()
	return err
}

// TestEachWriteFails has each call that changes the file system or syncs it fail in its turn, alone and with all that follow, and
// cuts the power after that: nothing that was accepted is lost, half there, or there twice (S29). The short form takes every
// few calls.
func TestEachWriteFails(t *testing.T) {
	t.Parallel()
	healthy := startProcess(t, vfs.NewCrashableMem(), func(int64) bool { return false })
	calls, accepted := healthy.disk.calls.Load(), healthy.were.count()
	if calls < 50 || accepted < 9 {
		t.Fatalf("%d calls and %d promises in all", calls, accepted)
	}
	stride := int64(pick(7, 1))
	ended, kept := 0, 0
	for n := int64(1); n <= calls; n += stride {
		for name, fails := range map[string]func(int64) bool{
			"alone": func(call int64) bool { return call == n }, "and all that follow": func(call int64) bool { return call >= n },
		} {
			fs := vfs.NewCrashableMem()
			p := startProcess(t, fs, fails)
			cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: int(n%2) * 50, RNG: rand.New(rand.NewPCG(uint64(n), 1))}
			clone := fs.CrashClone(cfg)
			p.disk.mended.Store(true)
			if missing := lost(t, clone, p.were); missing > 0 {
				t.Errorf("call %d fails, %s, %+v: %d of %d promises not kept", n, name, p.disk.failed.Load(), missing, p.were.count())
			}
			if p.were.count() < accepted {
				ended++
			}
			kept += p.were.count()
		}
	}
	t.Logf("%d calls, every %d. fails: %d processes ended early, %d promises kept", calls, stride, ended, kept)
	if ended == 0 || kept == 0 {
		t.Errorf("%d processes ended early, %d promises were kept: nothing was put to the test", ended, kept)
	}
}
