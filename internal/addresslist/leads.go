package addresslist

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// leadShards is how many parts leads have. It is a power of two.
const leadShards = 128

// leads counts what members share that begin alike, by hash. Two that share 39 bits of a hash are counted as one, which
// costs look-ups and is never wrong: what is led to is looked for, and decides.
type leads struct{ shards [leadShards]leadShard }

type leadShard struct {
	mu    sync.Mutex // of whoever changes it
	slots atomic.Pointer[[]atomic.Uint64]
	taken int
}

// A slot is a tag, which is odd so that no slot is like an empty one, and a count. A count that is full stays so.
const (
	countBits = 24
	maxCount  = 1<<countBits - 1
	tagBit    = 1 << countBits
	tagMask   = ^uint64(maxCount)
)

func tagOf(hash uint64) uint64 { return hash&tagMask | tagBit }

// firstSlot is where a tag is looked for first. The lowest bits of a hash choose the shard, and are not in the tag.
func firstSlot(tag uint64, slots int) int { return int(tag >> (countBits + 1) & uint64(slots-1)) }

func (l *leads) shard(hash uint64) *leadShard { return &l.shards[hash%leadShards] }

// has reports whether anything is counted for a hash.
func (l *leads) has(hash uint64) bool {
	slots := l.shard(hash).slots.Load()
	if slots == nil {
		return false
	}
	tag := tagOf(hash)
	for i := firstSlot(tag, len(*slots)); ; i = (i + 1) & (len(*slots) - 1) {
		switch s := (*slots)[i].Load(); {
		case s == 0:
			return false
		case s&tagMask == tag:
			return s&maxCount > 0
		}
	}
}

// count adds to the count of a hash, and returns by how many octets it has grown.
func (l *leads) count(hash uint64, change int) (grown int64) {
	s := l.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if slots := s.slots.Load(); slots == nil || (s.taken+1)*4 > len(*slots)*3 {
		grown = s.rebuild()
	}
	s.add(tagOf(hash), change)
	return grown
}

// add adds to the count of a tag, for which there is room.
func (s *leadShard) add(tag uint64, change int) {
	slots := *s.slots.Load()
	for i := firstSlot(tag, len(slots)); ; i = (i + 1) & (len(slots) - 1) {
		old := slots[i].Load()
		switch {
		case old == 0:
			s.taken++
			slots[i].Store(tag | uint64(change))
			return
		case old&tagMask != tag:
			continue
		case old&maxCount != maxCount:
			slots[i].Store(uint64(int64(old) + int64(change)))
		}
		return
	}
}

// rebuild copies what is counted to where there is room for as much again.
func (s *leadShard) rebuild() (grown int64) {
	var old []atomic.Uint64
	if slots := s.slots.Load(); slots != nil {
		old = *slots
	}
	counted := 0
	for i := range old {
		if old[i].Load()&maxCount > 0 {
			counted++
		}
	}
	size := minSlots
	for size*2 < (counted+1)*3 {
		size *= 2
	}
	slots := make([]atomic.Uint64, size)
	for i := range old {
		o := old[i].Load()
		if o&maxCount == 0 {
			continue
		}
		at := firstSlot(o&tagMask, size)
		for slots[at].Load() != 0 {
			at = (at + 1) & (size - 1)
		}
		slots[at].Store(o)
	}
	s.slots.Store(&slots)
	s.taken = counted
	return int64(size-len(old)) * int64(unsafe.Sizeof(slots[0]))
}
