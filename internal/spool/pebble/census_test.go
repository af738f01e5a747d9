package pebble

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// TestCensus counts a message with two items whose content has two pieces, one that is on its way in, and nothing once they are
// gone.
func TestCensus(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), spool.NewBudget(1))
	m := spooltest.Message()
	items := []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch), spooltest.Item(&m, 2, "m", spooltest.Epoch)}
	accept(t, s, spool.Acceptance{Message: m, Items: items, Owner: "o"}, spooltest.Octets(2*memoryOctets))
	census := func(when string, want Census) {
		t.Helper()
		got, err := s.Census(t.Context())
		if err != nil || got.Contents > 0 != (want.Contents > 0) {
			t.Errorf("%s: got %+v, %v, want %+v", when, got, err, want)
		}
		if got.Contents = want.Contents; got != want {
			t.Errorf("%s: got %+v, want %+v", when, got, want)
		}
	}
	census("accepted", Census{Messages: 1, Items: 2, Places: 2, Contents: 1})
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{items[0].ItemKey}}); err != nil {
		t.Fatal(err)
	}
	census("one item is left", Census{Messages: 1, Items: 1, Places: 1, Contents: 1})
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{items[1].ItemKey}}); err != nil {
		t.Fatal(err)
	}
	census("the last has ended", Census{})
	in, err := s.Begin(t.Context(), spooltest.Message().ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(spooltest.Octets(4 * memoryOctets)); err != nil {
		t.Fatal(err)
	}
	census("on its way in", Census{Contents: 1, Orphans: 1})
	in.Abort()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Census(t.Context()); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("got %v of a closed spool", err)
	}
}
