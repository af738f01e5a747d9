package pebble

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
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

// promises are what a spool was heard to promise, before it crashes.
type promises struct {
	kept     map[message.ID]bool       // accepted, and not settled
	replaced map[message.ID]message.ID // accepted, and settled by one that is born: either is there, and never both
}

func newPromises() promises {
	return promises{kept: map[message.ID]bool{}, replaced: map[message.ID]message.ID{}}
}

func (p promises) count() int { return len(p.kept) + len(p.replaced) }

// flood is load on a spool that remembers what it was promised.
type flood struct {
	spool *Spool
	ticks chan struct{} // one for each message
	stop  chan struct{}
	all   sync.WaitGroup

	mu   sync.Mutex
	were promises
}

// newFlood starts writers: most messages are small, some are streamed; some are settled right away, some of those by a
// message that is born, as a bounce is.
func newFlood(t *testing.T, s *Spool, writers int) *flood {
	f := &flood{spool: s, ticks: make(chan struct{}), stop: make(chan struct{}), were: newPromises()}
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
	settlement := spool.Settlement{Owner: "o", Out: []spool.ItemKey{item.ItemKey}}
	accept(t, f.spool, a, spooltest.Octets(size))
	f.mu.Lock()
	switch size % 4 {
	case 0: // nobody was promised that it stays
	case 1:
		child := bounceOf(random.IntN(5_000))
		settlement.Births = []spool.Birth{child}
		f.were.replaced[m.ID] = child.Message.ID
	default:
		f.were.kept[m.ID] = true
	}
	f.mu.Unlock()
	if size%4 > 1 {
		return
	}
	if err := f.spool.Settle(t.Context(), settlement); err != nil {
		t.Errorf("settle: %v", err)
	}
}

// bounceOf is a message to be born, of so many octets.
func bounceOf(size int) spool.Birth {
	m := spooltest.Message()
	return spool.Birth{Message: m, Content: spooltest.Octets(size), Items: []spool.Item{spooltest.Item(&m, 0, "b", spooltest.Epoch)}}
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

// promised returns what must be there after a crash from now on.
func (f *flood) promised() promises {
	f.mu.Lock()
	defer f.mu.Unlock()
	return promises{kept: maps.Clone(f.were.kept), replaced: maps.Clone(f.were.replaced)}
}

// lost opens a spool from what a crash left and counts the promised messages that are not there whole.
func lost(t *testing.T, fs vfs.FS, promised promises) (missing int) {
	t.Helper()
	s := openOn(t, fs, nil)
	defer s.Close()
	there := map[message.ID]bool{}
	for _, lane := range []spool.Lane{"l", "b"} {
		items, err := s.Scan(t.Context(), lane, nil, 1<<20)
		if err != nil {
			t.Fatalf("scan: %v", err)
		}
		for _, c := range items {
			there[c.Item.Message] = true
			if !whole(t, s, c.Message) { // also of those that nobody was promised: what is there is there entirely
				t.Errorf("message %s is not there whole", c.Item.Message)
			}
		}
	}
	for id := range promised.kept {
		if !there[id] {
			missing++
		}
	}
	for parent, child := range promised.replaced {
		switch {
		case there[parent] && there[child]:
			t.Errorf("message %s is there beside what was born of its end", parent)
		case !there[parent] && !there[child]:
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

// cutsInARun is how often the power is cut while one spool is under load: what it holds is read after each.
const cutsInARun = 10

// pick is the size of a test: its short form, or its long one.
func pick(short, full int) int {
	if os.Getenv("SLUICE_SOAK") == "1" {
		return full
	}
	return short
}

// powerCuts runs load on a file system that forgets what is not synced, cuts the power at random points, and returns how
// many messages that were promised were not there after it.
func powerCuts(t *testing.T, sync *pebble.WriteOptions, seed uint64, cuts int) (missing, promised int) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 7))
	fs := vfs.NewCrashableMem()
	s := openOn(t, fs, spool.NewBudget(128<<10)) // so small that content is streamed
	defer s.Close()
	s.sync = sync
	f := newFlood(t, s, 8)
	for cut := range cuts {
		f.wait(3 + random.IntN(9))
		were := f.promised()
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 0, 50, 100}[cut%4], RNG: random}
		missing += lost(t, fs.CrashClone(cfg), were)
		promised += were.count()
	}
	f.end()
	return missing, promised
}

// TestPowerCut: what was answered with 250 survives the power cut at any moment, whole, or what was born of its end does
// (S28). The long form has 1,000 moments.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	runs := pick(5, 1000/cutsInARun)
	var missing, promised int
	for seed := range uint64(runs) {
		m, p := powerCuts(t, pebble.Sync, seed, cutsInARun)
		missing, promised = missing+m, promised+p
	}
	t.Logf("%d power cuts: %d of %d promises not kept", runs*cutsInARun, missing, promised)
	if missing > 0 || promised < 40*runs {
		t.Errorf("%d of %d accepted messages were lost", missing, promised)
	}
}

// TestPowerCutWithoutSync shows that TestPowerCut sees the difference.
func TestPowerCutWithoutSync(t *testing.T) {
	t.Parallel()
	missing, promised := powerCuts(t, pebble.NoSync, 7, cutsInARun)
	t.Logf("%d power cuts without syncs: %d of %d promises not kept", cutsInARun, missing, promised)
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
	were := f.promised()
	clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	if missing := lost(t, clone, were); missing > 0 {
		t.Errorf("%d of %d messages were lost", missing, were.count())
	}
	again := openOn(t, clone, nil)
	defer again.Close()
	stats, err := again.Lanes(t.Context())
	if err != nil || len(stats) != 2 || stats[0].Items != len(were.replaced) || stats[1].Items != len(were.kept) {
		t.Errorf("%d were born and %d were not settled, and the lanes have %+v, %v", len(were.replaced), len(were.kept), stats, err)
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
		if _, err := Open("spool", Config{FS: fs, Logger: quiet}); !errors.Is(err, spool.ErrNewerFormat) {
			t.Errorf("key %x: got %v, want %v", key, err, spool.ErrNewerFormat)
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
