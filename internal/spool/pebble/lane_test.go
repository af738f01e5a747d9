package pebble

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// TestLaneLosesNothing lets many workers claim, give back, reschedule and settle the items of one lane while more come
// in, with a window so small that the index is read all the time: every item must be claimable until it is settled, and
// none twice at once.
func TestLaneLosesNothing(t *testing.T) {
	t.Parallel()
	const items = 400
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	s.state.window = window{front: 4, refill: 3}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for range items / 4 {
			acceptItems(t, s, 4)
		}
	})
	w := &laneWork{spool: s, running: map[spool.ItemKey]bool{}, left: items}
	var workers sync.WaitGroup
	for seed := range uint64(6) {
		workers.Go(func() { w.run(t, rand.New(rand.NewPCG(seed, 0))) })
	}
	accepting.Wait()
	workers.Wait()
	stats, err := s.Lanes(t.Context())
	if err != nil || len(stats) > 0 || len(s.state.leases) > 0 || len(s.state.flights) > 0 || len(s.state.lanes) > 0 {
		t.Errorf("left: %v, %v, %d leases, %d messages, %d lanes", stats, err, len(s.state.leases), len(s.state.flights), len(s.state.lanes))
	}
}

// acceptItems takes in a message with items in the lane l that nobody owns.
func acceptItems(t testing.TB, s *Spool, n int) *spool.Message {
	m := spooltest.Message()
	a := spool.Acceptance{Message: m, Rules: []byte("rules")}
	for seq := range n {
		a.Items = append(a.Items, spooltest.Item(&m, uint32(seq), "l", spooltest.Epoch.Add(time.Duration(rand.IntN(100)))))
	}
	accept(t, s, a, []byte("content"))
	return &m
}

// accept takes a message in and lets go of its content.
func accept(t testing.TB, s *Spool, a spool.Acceptance, content []byte) {
	in, err := s.Begin(t.Context(), a.Message.ID)
	if err != nil {
		t.Errorf("begin: %v", err)
		return
	}
	if _, err := in.Write(content); err != nil {
		t.Errorf("write: %v", err)
		return
	}
	a.Content = in
	held, err := s.Accept(t.Context(), a)
	if err != nil {
		t.Errorf("accept: %v", err)
		return
	}
	releaseContent(held)
}

// laneWork is what workers share.
type laneWork struct {
	spool   *Spool
	mu      sync.Mutex
	running map[spool.ItemKey]bool
	left    int
}

func (w *laneWork) run(t *testing.T, random *rand.Rand) {
	now := spooltest.Epoch.Add(time.Second)
	for w.waiting() > 0 {
		claimed, _, err := w.spool.Claim(t.Context(), "l", random.IntN(4), "o", now, now)
		if err != nil {
			t.Errorf("claim: %v", err)
			return
		}
		for _, c := range claimed {
			w.begin(t, c.Item.ItemKey)
		}
		for _, c := range claimed {
			if err := w.end(t, c.Item, random.IntN(3)); err != nil {
				t.Errorf("end: %v", err)
				return
			}
		}
	}
}

func (w *laneWork) waiting() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left
}

func (w *laneWork) begin(t *testing.T, key spool.ItemKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[key] {
		t.Errorf("item %s/%d was claimed twice", key.Message, key.Seq)
	}
	w.running[key] = true
}

func (w *laneWork) end(t *testing.T, item spool.Item, how int) error {
	w.mu.Lock()
	delete(w.running, item.ItemKey)
	w.mu.Unlock()
	out := spool.Settlement{Owner: "o", Out: []spool.ItemKey{item.ItemKey}}
	switch how {
	case 0:
		return w.spool.Release(t.Context(), "o", item.ItemKey)
	case 1:
		item.Due = item.Due.Add(time.Duration(rand.IntN(100)))
		out.In = []spool.Item{item}
	default:
		w.mu.Lock()
		w.left--
		w.mu.Unlock()
	}
	return w.spool.Settle(t.Context(), out)
}

// TestClaimedItemsAreNotReadAgain shows that a lane full of claimed items costs a Claim nothing: the bound passes over
// each of them once.
func TestClaimedItemsAreNotReadAgain(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	for range 20 {
		acceptItems(t, s, 100)
	}
	now := spooltest.Epoch.Add(time.Second)
	claimed, _, err := s.Claim(t.Context(), "l", 2000, "o", now, now)
	if err != nil || len(claimed) != 2000 {
		t.Fatalf("claimed %d, %v", len(claimed), err)
	}
	l := s.state.lanes["l"]
	if !l.end || len(l.front) > 0 {
		t.Errorf("the bound is not behind what is claimed")
	}
	if err := s.Release(t.Context(), "o", claimed[0].Item.ItemKey, claimed[1999].Item.ItemKey); err != nil {
		t.Fatalf("release: %v", err)
	}
	if !l.end || len(l.front) != 2 {
		t.Errorf("what is given back is not at the front: %d orders", len(l.front))
	}
}
