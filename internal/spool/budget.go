package spool

import (
	"sync"
	"sync/atomic"
)

// DefaultBudget is how much content all sessions and what follows them hold in memory together, in octets.
// Source: docs/promises.md, Accept.
const DefaultBudget int64 = 64 << 20

// ChunkOctets is the size of the largest chunk of content, in memory and in a store's values.
// Source: docs/promises.md, Accept.
const ChunkOctets = 256 << 10

// The capacities of chunks. A message of 10 KB must not hold 256 KiB; and the octets of a chunk that grows are copied
// seldom. The largest has room for the octet after it that Buffer.Prefix promises.
var chunkClasses = [...]int{4 << 10, 16 << 10, 64 << 10, ChunkOctets}

const prefixRoom = 1

// Budget bounds the content in memory. It is one for the whole process and safe for concurrent use. The chunks that it
// covers are kept for use again.
type Budget struct {
	limit int64
	used  atomic.Int64
	pools [len(chunkClasses)]sync.Pool
}

// NewBudget returns a budget of limit octets; 0 is DefaultBudget.
func NewBudget(limit int64) *Budget {
	if limit == 0 {
		limit = DefaultBudget
	}
	return &Budget{limit: limit}
}

// TryAcquire takes n octets if they are there.
func (b *Budget) TryAcquire(n int64) bool {
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

// Acquire takes n octets even beyond the limit. It is for the small buffer without which a session could not go on.
func (b *Budget) Acquire(n int64) { b.used.Add(n) }

// Release gives n octets back.
func (b *Budget) Release(n int64) { b.used.Add(-n) }

// Used is how many octets are taken.
func (b *Budget) Used() int64 { return b.used.Load() }

// Limit is how many octets there are.
func (b *Budget) Limit() int64 { return b.limit }

// chunk is a piece of content: data has the capacity of its class, and the content's octets as its length.
type chunk struct {
	data  []byte
	class int
}

func (c *chunk) room() int { return chunkClasses[c.class] - len(c.data) }

// classFor is the smallest class that holds n octets, or the largest.
func classFor(n int) int {
	for class, capacity := range chunkClasses {
		if n <= capacity {
			return class
		}
	}
	return len(chunkClasses) - 1
}

// take returns an empty chunk of a class whose octets the caller has acquired.
func (b *Budget) take(class int) *chunk {
	if c, ok := b.pools[class].Get().(*chunk); ok {
		return c
	}
	capacity := chunkClasses[class]
	if capacity == ChunkOctets {
		capacity += prefixRoom
	}
	return &chunk{data: make([]byte, 0, capacity), class: class}
}

// give releases a chunk and its octets.
func (b *Budget) give(c *chunk) {
	c.data = c.data[:0]
	b.Release(int64(chunkClasses[c.class]))
	b.pools[c.class].Put(c)
}
