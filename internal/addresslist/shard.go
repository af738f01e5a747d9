package addresslist

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unsafe"
)

// shard is a part of a list. Whoever changes it holds the lock.
type shard struct {
	mu    sync.Mutex
	table atomic.Pointer[table] // nil: there is no member
}

// table is the members of a shard: an open-addressed hash table of places in an arena of keys. Readers find it in any
// state that a writer can leave: a key is written behind all others before the one store that makes it found, and no octet
// of the arena is written twice.
type table struct {
	slots  []atomic.Uint64 // 32 bits of hash, 32 bits of place; empty: 0. Their number is a power of two
	arena  []byte          // at each place: the key's length in two octets, the key
	filter []atomic.Uint64 // a bit for each hash that is there, among eight for each slot; what was removed may be left

	// The rest is the writers' alone.
	used    int // octets of the arena
	dead    int // octets of the arena that belong to keys that are gone
	members int
	taken   int // slots that are not empty
}

// Places that are no places in an arena.
const (
	placeEmpty uint32 = iota
	placeGone         // of a key that was removed: look-ups go on behind it
	firstPlace
)

// Sizes of a table.
const (
	lengthOctets = 2
	minSlots     = 8
	slotsOfWord  = 8 // slots whose filter is one word
	wordBits     = 64
	minArena     = 128
)

func slotOf(hash uint64, place uint32) uint64 { return hash>>32<<32 | uint64(place) }

// filterBit is where the filter has the bit of a hash, by bits that choose neither the shard nor the slot.
func (t *table) filterBit(hash uint64) (word, bit uint64) {
	i := hash / shards & uint64(len(t.filter)*wordBits-1)
	return i / wordBits, 1 << (i % wordBits)
}

// mayHave is false of most hashes that are not there. It reads little memory, and what it answers can nearly always be
// foretold: an address is looked up in up to 240 forms, of which hardly any is there.
func (t *table) mayHave(hash uint64) bool {
	if t == nil {
		return false
	}
	word, bit := t.filterBit(hash)
	return t.filter[word].Load()&bit != 0
}

// find returns the slot of the member with these parts. It is asked without the lock.
func (t *table) find(hash uint64, p parts) (slot int, there bool) {
	if t == nil {
		return 0, false
	}
	mask := uint64(len(t.slots) - 1)
	for i := hash >> 32 & mask; ; i = (i + 1) & mask {
		switch s := t.slots[i].Load(); {
		case s == 0:
			return 0, false
		case s>>32 == hash>>32 && uint32(s) >= firstPlace && p.are(t.key(uint32(s))):
			return int(i), true
		}
	}
}

// key is the key at a place.
func (t *table) key(place uint32) []byte {
	from := uint64(place) + lengthOctets
	return t.arena[from : from+uint64(binary.LittleEndian.Uint16(t.arena[place:]))]
}

// insert adds a key that is not there. It returns by how many octets the shard has grown.
func (s *shard) insert(seed maphash.Seed, hash uint64, key []byte) (grown int64) {
	t := s.table.Load()
	if !t.hasRoom(lengthOctets + len(key)) {
		grown = s.rebuild(seed, lengthOctets+len(key))
		t = s.table.Load()
	}
	t.put(hash, key)
	return grown
}

// hasRoom reports whether a key of so many octets fits, with a quarter of the slots left empty so that look-ups end soon.
func (t *table) hasRoom(octets int) bool {
	return t != nil && t.used+octets <= len(t.arena) && (t.taken+1)*4 <= len(t.slots)*3
}

// put adds a key that fits.
func (t *table) put(hash uint64, key []byte) {
	place := uint32(t.used)
	binary.LittleEndian.PutUint16(t.arena[place:], uint16(len(key)))
	copy(t.arena[t.used+lengthOctets:], key)
	t.used += lengthOctets + len(key)
	mask := uint64(len(t.slots) - 1)
	i := hash >> 32 & mask
	for uint32(t.slots[i].Load()) >= firstPlace {
		i = (i + 1) & mask
	}
	if t.slots[i].Load() == 0 {
		t.taken++
	}
	t.members++
	word, bit := t.filterBit(hash)
	t.filter[word].Or(bit)
	t.slots[i].Store(slotOf(hash, place))
}

// remove removes the key at a slot. It returns by how many octets the shard has grown.
func (s *shard) remove(seed maphash.Seed, slot int) (grown int64) {
	t := s.table.Load()
	t.dead += lengthOctets + len(t.key(uint32(t.slots[slot].Load())))
	t.slots[slot].Store(uint64(placeGone))
	t.members--
	if t.dead > minArena && t.dead > t.used/2 {
		return s.rebuild(seed, 0)
	}
	return 0
}

// rebuild copies what is there to a table with room for as much again in slots, and for half as much again in the arena.
func (s *shard) rebuild(seed maphash.Seed, extra int) (grown int64) {
	old := s.table.Load()
	if old == nil {
		old = &table{used: int(firstPlace)}
	}
	live := old.used - old.dead
	slots := minSlots
	for slots*2 < (old.members+1)*3 {
		slots *= 2
	}
	t := &table{
		slots: make([]atomic.Uint64, slots), arena: make([]byte, max(minArena, live+live/2+extra)),
		filter: make([]atomic.Uint64, slots/slotsOfWord), used: int(firstPlace),
	}
	for i := range old.slots {
		if place := uint32(old.slots[i].Load()); place >= firstPlace {
			key := old.key(place)
			t.put(cut(key).hash(seed), key)
		}
	}
	s.table.Store(t)
	return t.octets() - old.octets()
}

func (t *table) octets() int64 {
	if t.slots == nil {
		return 0
	}
	return int64(len(t.arena)) + int64(len(t.slots)+len(t.filter))*int64(unsafe.Sizeof(t.slots[0])) + int64(unsafe.Sizeof(*t))
}
