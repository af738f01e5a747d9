package pebble

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// flood is load on a spool that remembers what it was promised.
type flood struct {
	spool *Spool
	ticks chan struct{} // one for each message
	stop  chan struct{}
	all   sync.WaitGroup

	mu       sync.Mutex
	accepted map[message.ID]int // size, of messages that Accept returned nil for
	leaving  map[message.ID]bool
}

// newFlood starts writers: most messages are small, some are streamed; some are settled right away.
func newFlood(t *testing.T, s *Spool, writers int) *flood {
	f := &flood{spool: s, ticks: make(chan struct{}), stop: make(chan struct{}), accepted: map[message.ID]int{}, leaving: map[message.ID]bool{}}
	for seed := range uint64(writers) {
		random := rand.New(rand.NewPCG(seed, 1))
		f.all.Go(func() {
			for {
				f.message(t, random)
				select {
				case <-f.stop:
					return
				case f.ticks <- struct{}{}:
				}
			}
		})
	}
	return f
}

func (f *flood) message(t *testing.T, random *rand.Rand) {
	m := spooltest.Message()
	size := random.IntN(20_000)
	if random.IntN(10) == 0 {
		size = 100_000 + random.IntN(200_000) // more than the budget has
	}
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	a := spool.Acceptance{Message: m, Items: []spool.Item{item}, Rules: []byte("rules"), Owner: "o", Until: spooltest.Epoch}
	accept(t, f.spool, a, spooltest.Octets(size))
	f.mu.Lock()
	f.accepted[m.ID] = size
	f.leaving[m.ID] = size%4 == 0
	f.mu.Unlock()
	if size%4 == 0 {
		if err := f.spool.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{item.ItemKey}}); err != nil {
			t.Errorf("settle: %v", err)
		}
	}
}

// wait lets the writers do n messages, and whatever they are in the middle of.
func (f *flood) wait(n int) {
	for range n {
		<-f.ticks
	}
}

// end stops the writers.
func (f *flood) end() {
	close(f.stop)
	f.all.Wait()
}

// promised returns the messages that must be there after a crash from now on; settled ones need not.
func (f *flood) promised() map[message.ID]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := map[message.ID]int{}
	for id, size := range f.accepted {
		if !f.leaving[id] {
			ids[id] = size
		}
	}
	return ids
}

// lost opens a spool from what a crash left and counts the promised messages that are not there whole.
func lost(t *testing.T, fs vfs.FS, promised map[message.ID]int) (missing int) {
	t.Helper()
	s := openOn(t, fs, nil)
	defer s.Close()
	items, err := s.Scan(t.Context(), "l", nil, 1<<20)
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	there := map[message.ID]bool{}
	for _, c := range items {
		there[c.Item.Message] = true
		if !whole(t, s, c.Message) { // also of those that nobody was promised: what is there is there entirely
			t.Errorf("message %s is not there whole", c.Item.Message)
		}
	}
	for id := range promised {
		if !there[id] {
			missing++
		}
	}
	checkNoOrphans(t, s, there)
	return missing
}

func whole(t *testing.T, s *Spool, m *spool.Message) bool {
	t.Helper()
	r, err := s.Content(t.Context(), m.ID, 0)
	if err != nil {
		return false
	}
	content, err := io.ReadAll(r)
	return err == nil && bytes.Equal(content, spooltest.Octets(int(m.Size))) && r.Close() == nil
}

// checkNoOrphans fails when content, messages or orphan keys are there that belong to no item.
func checkNoOrphans(t *testing.T, s *Spool, there map[message.ID]bool) {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatalf("iterate: %v", err)
	}
	defer closeQuietly(it)
	for valid := it.First(); valid; valid = it.Next() {
		switch space := it.Key()[1]; space {
		case spaceContent, spaceMessages, spaceOrphans:
			if id := message.ID(it.Key()[2 : 2+idOctets]); !there[id] || space == spaceOrphans {
				t.Errorf("key %c of %s belongs to nothing", space, id)
			}
		}
	}
	if err := it.Error(); err != nil {
		t.Fatalf("iterate: %v", err)
	}
}

// powerCuts runs load on a file system that forgets what is not synced, cuts the power at random points, and returns how
// many messages that Accept had returned nil for were not there after it.
func powerCuts(t *testing.T, sync *pebble.WriteOptions) (missing, promised int) {
	t.Helper()
	random := rand.New(rand.NewPCG(7, 7))
	fs := vfs.NewCrashableMem()
	s := openOn(t, fs, spool.NewBudget(128<<10)) // so small that content is streamed
	defer s.Close()
	s.sync = sync
	f := newFlood(t, s, 8)
	for cut := range 8 {
		f.wait(25 + random.IntN(25))
		ids := f.promised()
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 50, 100}[cut%4], RNG: random}
		missing += lost(t, fs.CrashClone(cfg), ids)
		promised += len(ids)
	}
	f.end()
	return missing, promised
}

// TestPowerCut: what was answered with 250 survives (S28).
func TestPowerCut(t *testing.T) {
	t.Parallel()
	missing, promised := powerCuts(t, pebble.Sync)
	t.Logf("%d of %d lost", missing, promised)
	if missing > 0 || promised < 200 {
		t.Errorf("%d of %d accepted messages were lost", missing, promised)
	}
}

// TestPowerCutWithoutSync shows that TestPowerCut sees the difference.
func TestPowerCutWithoutSync(t *testing.T) {
	t.Parallel()
	missing, promised := powerCuts(t, pebble.NoSync)
	t.Logf("%d of %d lost", missing, promised)
	if missing == 0 {
		t.Errorf("none of %d messages was lost although nothing was synced", promised)
	}
}

// TestKill: when the process dies and the system lives, nothing that was accepted is lost either, and what was settled
// before the last sync is gone (S28).
func TestKill(t *testing.T) {
	t.Parallel()
	fs := vfs.NewCrashableMem()
	s := openOn(t, fs, nil)
	defer s.Close()
	f := newFlood(t, s, 4)
	f.wait(100)
	f.end()
	s.syncSettled()
	ids := f.promised()
	clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	if missing := lost(t, clone, ids); missing > 0 {
		t.Errorf("%d of %d messages were lost", missing, len(ids))
	}
	again := openOn(t, clone, nil)
	defer again.Close()
	stats, err := again.Lanes(t.Context())
	if err != nil || len(stats) != 1 || stats[0].Items != len(ids) {
		t.Errorf("%d messages were not settled, and the lane has %+v, %v", len(ids), stats, err)
	}
}

// TestSettlementIsSynced: a settlement survives a power cut 50 ms later though nobody accepts anything.
func TestSettlementIsSynced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewCrashableMem()
		s := openOn(t, fs, nil)
		m := acceptItems(t, s, 1)
		claimed, _, err := s.Claim(t.Context(), "l", 1, "o", spooltest.Epoch.Add(time.Hour), spooltest.Epoch)
		if err != nil || len(claimed) != 1 {
			t.Fatalf("claimed %d, %v", len(claimed), err)
		}
		if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{claimed[0].Item.ItemKey}}); err != nil {
			t.Fatalf("settle: %v", err)
		}
		atOnce := fs.CrashClone(vfs.CrashCloneCfg{})
		time.Sleep(50 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		later := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		for _, c := range []struct {
			name string
			fs   vfs.FS
			want error
		}{{"at once", atOnce, nil}, {"after 50 ms", later, spool.ErrNotFound}} {
			s := openOn(t, c.fs, nil)
			if _, _, err := s.Message(t.Context(), m.ID); !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
		}
	})
}

// TestAcceptCoversSettlements: the sync of an accept is the settlements' too, and then nobody syncs for them again.
func TestAcceptCoversSettlements(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	s.unsynced.Add(3)
	acceptItems(t, s, 1)
	if got := s.synced.Load(); got < 3 {
		t.Errorf("%d settlements are covered, want 3", got)
	}
}

func TestRuleSetsAreSwept(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openOn(t, fs, nil)
	used, unused := spooltest.Message(), spooltest.Message()
	unused.RuleSet = spool.Hash{1}
	for _, m := range []spool.Message{used, unused} {
		item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
		accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{item}, Rules: []byte("rules"), Owner: "o"}, nil)
	}
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{{Message: unused.ID, Seq: 1}}}); err != nil {
		t.Fatalf("settle: %v", err)
	}
	for range 2 { // open twice: what is kept once is kept on
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		s = openOn(t, fs, nil)
		if rules, err := s.RuleSet(t.Context(), used.RuleSet); err != nil || string(rules) != "rules" {
			t.Errorf("rule set in use: %q, %v", rules, err)
		}
		if _, err := s.RuleSet(t.Context(), unused.RuleSet); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("rule set not in use: %v", err)
		}
	}
	accept(t, s, spool.Acceptance{Message: unused, Items: []spool.Item{spooltest.Item(&unused, 1, "l", spooltest.Epoch)}, Rules: []byte("again")}, nil)
	if rules, err := s.RuleSet(t.Context(), unused.RuleSet); err != nil || string(rules) != "again" {
		t.Errorf("rule set in use again: %q, %v", rules, err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	for _, key := range [][]byte{{keyFormat + 1, 'x'}, {keyFormat - 1, 'x'}} {
		fs := vfs.NewMem()
		s := openOn(t, fs, nil)
		acceptItems(t, s, 1)
		if err := errors.Join(s.db.Set(key, nil, pebble.Sync), s.Close()); err != nil {
			t.Fatalf("close: %v", err)
		}
		if _, err := Open("spool", Config{FS: fs, Logger: quiet}); !errors.Is(err, errNewer) {
			t.Errorf("key %x: got %v, want %v", key, err, errNewer)
		}
	}
}

func TestOneOwnerOfTheDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(dir, Config{Logger: quiet})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer s.Close()
	if second, err := Open(dir, Config{Logger: quiet}); err == nil {
		second.Close()
		t.Errorf("opened twice")
	}
}
