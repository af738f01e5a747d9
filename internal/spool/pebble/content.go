package pebble

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// Content implements spool.Spool. A value that is missing or cannot be read ends the reading with ErrCorrupt, never
// early with success.
func (s *Spool) Content(ctx context.Context, id message.ID, from int64) (io.ReadCloser, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	m, streamed, err := s.findMessage(id)
	if err != nil {
		return nil, fmt.Errorf("content of %s: %w", id, err)
	}
	r := &contentReader{spool: s, id: id, at: max(0, min(from, m.Size)), end: m.Size}
	if streamed && r.at > 0 && r.at < r.end {
		if r.skip, err = s.intoValue(id, r.at); err != nil {
			return nil, fmt.Errorf("content of %s: %w", id, err)
		}
	} else if !streamed {
		r.skip = int(r.at % spool.ChunkOctets)
	}
	return r, nil
}

// findMessage returns a message from memory when it is claimed, else from the disk.
func (s *Spool) findMessage(id message.ID) (m *spool.Message, streamed bool, err error) {
	s.state.mu.Lock()
	if f := s.state.flights[id]; f != nil {
		m, streamed = f.message, f.streamed
	}
	s.state.mu.Unlock()
	if m != nil {
		return m, streamed, nil
	}
	value, err := s.get(appendMessageKey(nil, id), nil)
	if err != nil {
		return nil, false, err
	}
	return decodeMessage(value)
}

// intoValue returns how far an offset lies behind the start of its value.
func (s *Spool) intoValue(id message.ID, at int64) (int, error) {
	lower, upper := contentBounds(id)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return 0, readError(err)
	}
	defer closeQuietly(it)
	if !it.SeekLT(appendContentKey(nil, id, at+1)) {
		if err := it.Error(); err != nil {
			return 0, readError(err)
		}
		return 0, fmt.Errorf("no value at %d: %w", at, spool.ErrCorrupt)
	}
	key := it.Key()
	return int(at - int64(binary.BigEndian.Uint64(key[len(key)-8:]))), nil
}

// contentReader reads a message's values one after the other. It is used by one goroutine.
type contentReader struct {
	spool *Spool
	id    message.ID
	at    int64 // offset of the next octet
	end   int64
	skip  int    // octets of the next value that lie before at
	rest  []byte // of the value that is being read
	value []byte // memory for values
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.at >= r.end {
			return 0, io.EOF
		}
		if err := r.next(); err != nil {
			return 0, fmt.Errorf("content of %s at %d: %w", r.id, r.at, err)
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.at += int64(n)
	return n, nil
}

// next reads the value that holds the next octet. It copies it, so that a slow reader keeps nothing of the store.
func (r *contentReader) next() (err error) {
	if err := r.spool.enter(context.Background()); err != nil {
		return err
	}
	defer r.spool.leave()
	r.value, err = r.spool.get(appendContentKey(nil, r.id, r.at-int64(r.skip)), r.value)
	if errors.Is(err, spool.ErrNotFound) || err == nil && len(r.value) <= r.skip {
		return fmt.Errorf("missing: %w", spool.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	r.rest, r.skip = r.value[r.skip:], 0
	r.rest = r.rest[:min(int64(len(r.rest)), r.end-r.at)]
	return nil
}

// Close implements io.Closer.
func (r *contentReader) Close() error {
	r.at, r.rest = r.end, nil
	return nil
}
