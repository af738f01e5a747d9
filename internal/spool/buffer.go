package spool

import "sync/atomic"

// PrefixOctets is how much of a message's beginning Incoming.Prefix gives at most.
const PrefixOctets = ChunkOctets + prefixRoom

// Buffer gathers content in memory, charged to a budget. The last chunk grows through the classes until it is full, so
// that every chunk but the last holds ChunkOctets. It is used by one goroutine. Content or Discard ends it.
type Buffer struct {
	budget *Budget
	chunks []*chunk
	size   int
	store  [4]*chunk // what chunks begins in: most messages need no more
}

// NewBuffer returns an empty buffer that takes its memory from the budget.
func NewBuffer(budget *Budget) *Buffer {
	b := &Buffer{budget: budget}
	b.chunks = b.store[:0]
	return b
}

// Size is the octets gathered.
func (b *Buffer) Size() int { return b.size }

// Write takes as much of p as fits below limit octets altogether and into the budget, and returns how much that was.
func (b *Buffer) Write(p []byte, limit int) int {
	return b.write(p, limit, b.budget.TryAcquire)
}

// WriteBeyond is Write for who cannot go on otherwise: it goes beyond the budget where that is used up.
func (b *Buffer) WriteBeyond(p []byte, limit int) int {
	return b.write(p, limit, func(n int64) bool { b.budget.Acquire(n); return true })
}

func (b *Buffer) write(p []byte, limit int, acquire func(int64) bool) int {
	p = p[:max(0, min(len(p), limit-b.size))]
	taken := 0
	for taken < len(p) {
		last := b.room(len(p)-taken, acquire)
		if last == nil {
			break
		}
		n := min(last.room(), len(p)-taken)
		last.data = append(last.data, p[taken:taken+n]...)
		taken += n
	}
	b.size += taken
	return taken
}

// room returns the last chunk with room for at least one octet, or nil when the budget refuses. want is how much is to
// come.
func (b *Buffer) room(want int, acquire func(int64) bool) *chunk {
	if len(b.chunks) == 0 {
		return b.extend(want, acquire)
	}
	last := b.chunks[len(b.chunks)-1]
	switch {
	case last.room() > 0:
		return last
	case len(last.data) == ChunkOctets:
		return b.extend(want, acquire)
	}
	class := classFor(len(last.data) + want)
	if !acquire(int64(chunkClasses[class])) {
		return nil
	}
	grown := b.budget.take(class)
	grown.data = append(grown.data, last.data...)
	b.budget.give(last)
	b.chunks[len(b.chunks)-1] = grown
	return grown
}

// extend begins a further chunk.
func (b *Buffer) extend(want int, acquire func(int64) bool) *chunk {
	class := classFor(want)
	if !acquire(int64(chunkClasses[class])) {
		return nil
	}
	c := b.budget.take(class)
	b.chunks = append(b.chunks, c)
	return c
}

// Prefix returns up to the first PrefixOctets in one piece. It is valid until the buffer ends.
func (b *Buffer) Prefix() []byte {
	if len(b.chunks) == 0 {
		return nil
	}
	head := b.chunks[0].data
	if len(b.chunks) == 1 {
		return head
	}
	head = head[:ChunkOctets+1]
	head[ChunkOctets] = b.chunks[1].data[0] // a following chunk is begun only for an octet to come
	return head
}

// Bytes returns what was gathered. It is valid until the buffer is written to or ends.
func (b *Buffer) Bytes() [][]byte {
	pieces := make([][]byte, len(b.chunks))
	for i, c := range b.chunks {
		pieces[i] = c.data
	}
	return pieces
}

// Discard gives the memory back. The buffer is empty then and can be used again.
func (b *Buffer) Discard() {
	for i, c := range b.chunks {
		b.budget.give(c)
		b.chunks[i] = nil
	}
	b.chunks = b.chunks[:0]
	b.size = 0
}

// Content ends the buffer and returns what it gathered, with one reference.
func (b *Buffer) Content() Content {
	c := &content{buffer: b, pieces: b.Bytes()}
	c.references.Store(1)
	return c
}

// content is a buffer that is shared and not written to any more.
type content struct {
	references atomic.Int32
	buffer     *Buffer
	pieces     [][]byte
}

func (c *content) Bytes() [][]byte { return c.pieces }
func (c *content) Size() int64     { return int64(c.buffer.size) }
func (c *content) Retain()         { c.references.Add(1) }

func (c *content) Release() {
	switch left := c.references.Add(-1); {
	case left < 0:
		panic("spool: content released more often than retained")
	case left == 0:
		c.pieces = nil
		c.buffer.Discard()
	}
}
