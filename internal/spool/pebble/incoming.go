package pebble

import (
	"context"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/message"
	"sluice/internal/spool"
)

const (
	memoryOctets = 1 << 20  // more of one message's content does not stay in memory while it comes in
	beyondOctets = 64 << 10 // what a session may hold when the budget is used up: without a buffer it could not go on
	// How many values are written to the store at once. The store takes them one after the other, and waits for the disk
	// now and then: hundreds of sessions would then hold a batch each, beside the budget.
	spillsAtOnce = 8
	// Each of so many values is synced, by all sessions together, so that the log is never more than a few MiB behind:
	// what is behind lies in memory, and an Accept has to wait for it.
	spillsPerSync = 4
)

// newSpills returns the batches that values are written with. Who has none waits for one.
func newSpills(db *pebble.DB) chan *pebble.Batch {
	spills := make(chan *pebble.Batch, spillsAtOnce)
	for range spillsAtOnce {
		spills <- newSpill(db)
	}
	return spills
}

func newSpill(db *pebble.DB) *pebble.Batch {
	return db.NewBatch(pebble.WithInitialSizeBytes(spool.ChunkOctets + batchOverhead))
}

// incoming is content on its way in. It stays in memory while it is small and the budget lasts, and goes into the batch
// of its Accept from there. Otherwise it is written as it comes, under an orphan key that Accept takes away.
type incoming struct {
	spool   *Spool
	id      message.ID
	buffer  *spool.Buffer // nil: ended
	spilled int64         // octets written to the store, all before those in the buffer
	beyond  bool          // memory was taken that the budget does not have: it must not outlive Accept
}

// Begin implements spool.Spool.
func (s *Spool) Begin(ctx context.Context, id message.ID) (spool.Incoming, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	return &incoming{spool: s, id: id, buffer: spool.NewBuffer(s.budget)}, nil
}

// Write implements spool.Incoming.
func (in *incoming) Write(p []byte) (int, error) {
	if in.buffer == nil {
		return 0, fmt.Errorf("write content of %s after its end: %w", in.id, spool.ErrInvalid)
	}
	written := 0
	for written < len(p) {
		n := in.take(p[written:])
		written += n
		if written == len(p) {
			break
		}
		if err := in.spill(); err != nil {
			return written, err
		}
	}
	return written, nil
}

// take fills the buffer: to its limit, or at least to what is granted beyond the budget.
func (in *incoming) take(p []byte) int {
	limit := memoryOctets
	if in.spilled > 0 {
		limit = spool.ChunkOctets
	}
	n := in.buffer.Write(p, limit)
	if n < len(p) && in.buffer.Size() < beyondOctets {
		in.beyond = true
		n += in.buffer.WriteBeyond(p[n:], beyondOctets)
	}
	return n
}

// spill writes the buffer to the store, a value at a time, and empties it.
func (in *incoming) spill() error {
	for _, piece := range in.buffer.Bytes() {
		if err := in.spillPiece(piece); err != nil {
			return fmt.Errorf("write content of %s: %w", in.id, err)
		}
	}
	in.buffer.Discard()
	return nil
}

func (in *incoming) spillPiece(piece []byte) error {
	batch := <-in.spool.spills
	defer func() { in.spool.spills <- batch }()
	if err := in.spool.enter(context.Background()); err != nil {
		return err
	}
	defer in.spool.leave()
	if in.spilled == 0 {
		setKey(batch, appendOrphanKey(nil, in.id))
	}
	set(batch, appendContentKey(nil, in.id, in.spilled), piece)
	in.spilled += int64(len(piece)) // whatever comes of it: an Abort must look for it
	if err := in.spool.db.Apply(batch, in.spool.spillOptions()); err != nil {
		batch = newSpill(in.spool.db) // the store may hold on to the other
		return err
	}
	batch.Reset()
	return nil
}

// spillOptions are those of the next value: whether it is synced.
func (s *Spool) spillOptions() *pebble.WriteOptions {
	if s.spilled.Add(1)%spillsPerSync == 0 {
		return s.sync
	}
	return pebble.NoSync
}

// Size implements spool.Incoming.
func (in *incoming) Size() int64 {
	if in.buffer == nil {
		return in.spilled
	}
	return in.spilled + int64(in.buffer.Size())
}

// Prefix implements spool.Incoming. What was written to the store is read back; what cannot be is left out, and the
// reading that matters says so.
func (in *incoming) Prefix() []byte {
	if in.buffer == nil {
		return nil
	}
	if in.spilled == 0 {
		return in.buffer.Prefix()
	}
	prefix := make([]byte, min(in.spilled, spool.PrefixOctets), spool.PrefixOctets)
	stored := &contentReader{spool: in.spool, id: in.id, end: in.spilled}
	n, err := io.ReadFull(stored, prefix)
	if err != nil {
		return prefix[:n]
	}
	rest := in.buffer.Prefix()
	return append(prefix, rest[:min(len(rest), cap(prefix)-n)]...)
}

// Abort implements spool.Incoming.
func (in *incoming) Abort() {
	if in.buffer == nil {
		return
	}
	in.buffer.Discard()
	in.buffer = nil
	if in.spilled == 0 || in.spool.enter(context.Background()) != nil { // closed: the next start sweeps it
		return
	}
	defer in.spool.leave()
	in.spool.removeAborted(in.id)
}

func (s *Spool) removeAborted(id message.ID) {
	batch := s.db.NewBatch()
	defer closeQuietly(batch)
	removeOrphan(batch, id)
	if err := s.db.Apply(batch, pebble.NoSync); err != nil {
		s.log.Error("spool: cannot remove aborted content", "message_id", id.String(), "error", err)
	}
}

// end gives what is in memory to the caller, nil unless that is everything and within the budget.
func (in *incoming) end() spool.Content {
	buffer := in.buffer
	in.buffer = nil
	if in.spilled > 0 || in.beyond {
		in.spilled += int64(buffer.Size())
		buffer.Discard()
		return nil
	}
	return buffer.Content()
}

// removeOrphan takes away streamed content that no message owns, and its key.
func removeOrphan(batch *pebble.Batch, id message.ID) {
	lower, upper := contentBounds(id)
	deleteRange(batch, lower, upper)
	singleDelete(batch, appendOrphanKey(nil, id))
}
