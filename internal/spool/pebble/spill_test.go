package pebble

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// TestSpillsAtOnce: no more values are on their way to the store than there are batches, however many sessions stream;
// the others wait, and all of it comes back whole.
func TestSpillsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openOn(t, vfs.NewMem(), nil)
		held := make([]*pebble.Batch, spillsAtOnce)
		for i := range held {
			held[i] = <-s.spills
		}
		content := spooltest.Octets(memoryOctets + 3*spool.ChunkOctets + 7)
		var all sync.WaitGroup
		var streamed atomic.Int64
		ids := make([]message.ID, 3*spillsAtOnce)
		for i := range ids {
			m := spooltest.Message()
			ids[i] = m.ID
			all.Go(func() {
				accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}}, content)
				streamed.Add(1)
			})
		}
		synctest.Wait()
		if got := s.spilled.Load(); got != 0 || streamed.Load() != 0 {
			t.Errorf("%d values and %d messages were written without a batch", got, streamed.Load())
		}
		for _, batch := range held {
			s.spills <- batch
		}
		all.Wait()
		for _, id := range ids {
			holds(t, s, id, content)
		}
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
}

func holds(t *testing.T, s *Spool, id message.ID, want []byte) {
	t.Helper()
	r, err := s.Content(t.Context(), id, 0)
	if err != nil {
		t.Errorf("content: %v", err)
		return
	}
	defer closeQuietly(r)
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
		t.Errorf("content: got %d octets, %v, want %d", len(got), err, len(want))
	}
}

// TestSpillsAreSynced: the log does not fall behind what comes in, whichever sessions it comes from.
func TestSpillsAreSynced(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	for range 3 {
		in, err := s.Begin(t.Context(), message.NewID(spooltest.Epoch))
		if err != nil {
			t.Fatalf("begin: %v", err)
		}
		defer in.Abort()
		if _, err := in.Write(spooltest.Octets(memoryOctets + 1)); err != nil {
			t.Fatalf("write: %v", err)
		}
	}
	if got, want := s.spilled.Load(), int64(3*memoryOctets/spool.ChunkOctets); got != want {
		t.Fatalf("%d values were written, want %d", got, want)
	}
	unsynced := 0
	for range 100 {
		if unsynced++; s.spillOptions() == s.sync {
			unsynced = 0
		}
		if behind := unsynced * spool.ChunkOctets; behind >= 1<<20 {
			t.Fatalf("%d octets are written without a sync", behind)
		}
	}
}

// TestSpillAfterClose: content that is on its way when the spool is closed says so, and leaves nothing hanging.
func TestSpillAfterClose(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	in, err := s.Begin(t.Context(), message.NewID(spooltest.Epoch))
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	for range 2 * spillsAtOnce {
		if _, err := in.Write(spooltest.Octets(memoryOctets + 1)); err == nil {
			t.Fatal("a closed spool takes content")
		}
	}
	in.Abort()
}

// TestTablesAreFiltered: a value is looked for in the tables that have it, not read from every one that might.
func TestTablesAreFiltered(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	content := spooltest.Octets(memoryOctets + 1)
	var ids []message.ID
	for range 3 { // fewer tables than are compacted, and each spans the keys of the others
		for range 5 {
			m := spooltest.Message()
			ids = append(ids, m.ID)
			accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}}, content)
		}
		if err := s.db.Flush(); err != nil {
			t.Fatalf("flush: %v", err)
		}
	}
	for _, id := range ids {
		holds(t, s, id, content)
	}
	if hits := s.db.Metrics().Filter.Hits; hits == 0 {
		t.Error("no table was passed over")
	}
}
