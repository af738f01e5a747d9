package pebble

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// Every key begins with the format number and its key space.
//
//	message   id, 0                              layout octet, message record    written once
//	item      id, 1, seq                         item record                     written anew when it comes in again
//	lane      length, name, due, id, seq         size, start of rule set's hash  written once
//	content   id, offset                         up to 256 KiB of content        written once
//	rules     hash                               rule set's source               written once or again with the same value
//	orphan    id                                 nothing                         written once; content without a message
//
// A message and its items are neighbours, so that one seek finds both. What is written once, or taken out before it is
// written again, goes out by SingleDelete: a message that comes and goes while it is in the memtable leaves nothing.
const keyFormat byte = 1

const (
	spaceMessages byte = 'm'
	spaceLanes    byte = 'l'
	spaceContent  byte = 'c'
	spaceRules    byte = 'r'
	spaceOrphans  byte = 'o'
)

// What follows the id in the space of messages.
const (
	partMessage byte = 0
	partItem    byte = 1
)

// How a message's content lies in its values; first octet of the message's value.
const (
	layoutWhole    byte = 0 // each value but the last has spool.ChunkOctets
	layoutStreamed byte = 1 // values of any length
)

const (
	idOctets    = len(message.ID{})
	seqOctets   = 4
	orderOctets = 8 + idOctets + seqOctets
	hashPrefix  = 8 // octets of the rule set's hash in the lane index: enough to know which rule sets are in use
)

var errMalformedKey = errors.New("malformed key")

func appendSpace(dst []byte, space byte) []byte { return append(dst, keyFormat, space) }

// spaceBounds are the first key of a space and the first behind it.
func spaceBounds(space byte) (lower, upper []byte) {
	return appendSpace(nil, space), appendSpace(nil, space+1)
}

func appendMessageKey(dst []byte, id message.ID) []byte {
	return append(append(appendSpace(dst, spaceMessages), id[:]...), partMessage)
}

func appendItemKey(dst []byte, key spool.ItemKey) []byte {
	dst = append(append(appendSpace(dst, spaceMessages), key.Message[:]...), partItem)
	return binary.BigEndian.AppendUint32(dst, key.Seq)
}

// parseMessagesKey takes a key of the space of messages apart.
func parseMessagesKey(key []byte) (id message.ID, part byte, seq uint32, err error) {
	if len(key) < 2+idOctets+1 {
		return id, 0, 0, errMalformedKey
	}
	copy(id[:], key[2:])
	part, rest := key[2+idOctets], key[2+idOctets+1:]
	if part == partItem && len(rest) == seqOctets {
		return id, part, binary.BigEndian.Uint32(rest), nil
	}
	if part != partMessage || len(rest) > 0 {
		return id, 0, 0, errMalformedKey
	}
	return id, part, 0, nil
}

func appendContentKey(dst []byte, id message.ID, offset int64) []byte {
	return binary.BigEndian.AppendUint64(append(appendSpace(dst, spaceContent), id[:]...), uint64(offset))
}

// contentBounds are the first key of a message's content and the first behind it.
func contentBounds(id message.ID) (lower, upper []byte) {
	return appendContentKey(nil, id, 0), append(appendContentKey(nil, id, -1), 0) // -1 is the largest as unsigned
}

func appendRulesKey(dst []byte, hash spool.Hash) []byte {
	return append(appendSpace(dst, spaceRules), hash[:]...)
}

func appendOrphanKey(dst []byte, id message.ID) []byte {
	return append(appendSpace(dst, spaceOrphans), id[:]...)
}

// order is where an item stands in its lane.
type order struct {
	due     int64 // see nanos
	message message.ID
	seq     uint32
}

func orderOf(i *spool.Item) order { return order{nanos(i.Due), i.Message, i.Seq} }

func (o order) key() spool.ItemKey { return spool.ItemKey{Message: o.message, Seq: o.seq} }

func (o order) compare(p order) int {
	return cmp.Or(cmp.Compare(o.due, p.due), bytes.Compare(o.message[:], p.message[:]), cmp.Compare(o.seq, p.seq))
}

// next is the order directly behind o.
func (o order) next() order {
	if o.seq < math.MaxUint32 {
		o.seq++
		return o
	}
	o.seq = 0
	for i := len(o.message) - 1; i >= 0; i-- {
		if o.message[i]++; o.message[i] != 0 {
			return o
		}
	}
	o.due++
	return o
}

func appendLanePrefix(dst []byte, lane spool.Lane) []byte {
	dst = binary.AppendUvarint(appendSpace(dst, spaceLanes), uint64(len(lane)))
	return append(dst, lane...)
}

func appendLaneKey(dst []byte, lane spool.Lane, o order) []byte {
	dst = appendLanePrefix(dst, lane)
	dst = binary.BigEndian.AppendUint64(dst, uint64(o.due)^1<<63) // so that octets sort as the numbers do
	dst = append(dst, o.message[:]...)
	return binary.BigEndian.AppendUint32(dst, o.seq)
}

// laneUpper is the first key behind a lane's.
func laneUpper(lane spool.Lane) []byte {
	upper := appendLanePrefix(nil, lane)
	for range orderOctets + 1 {
		upper = append(upper, 0xff)
	}
	return upper
}

// parseLaneKey takes a key of the lane index apart. The lane's name belongs to the key.
func parseLaneKey(key []byte) (lane []byte, o order, err error) {
	if len(key) < 2 {
		return nil, o, errMalformedKey
	}
	length, n := binary.Uvarint(key[2:])
	rest := key[2+max(n, 0):]
	if n <= 0 || length > uint64(len(rest)) || len(rest)-int(length) != orderOctets {
		return nil, o, errMalformedKey
	}
	lane, rest = rest[:length], rest[length:]
	o.due = int64(binary.BigEndian.Uint64(rest) ^ 1<<63)
	copy(o.message[:], rest[8:])
	o.seq = binary.BigEndian.Uint32(rest[8+idOctets:])
	return lane, o, nil
}

// appendLaneValue is what the lane index says of an item: its message's size and the start of its rule set's hash.
func appendLaneValue(dst []byte, i *spool.Item, m *spool.Message) []byte {
	_, rules := i.Rules(m)
	return append(binary.AppendUvarint(dst, uint64(max(m.Size, 0))), rules[:hashPrefix]...)
}

func parseLaneValue(value []byte) (size int64, rules [hashPrefix]byte, err error) {
	v, n := binary.Uvarint(value)
	if n <= 0 || len(value) != n+hashPrefix || v > math.MaxInt64 {
		return 0, rules, errMalformedKey
	}
	copy(rules[:], value[n:])
	return int64(v), rules, nil
}

// nanos is a time as the lane index orders it; times that nanoseconds cannot count, the zero time for one, are the
// smallest or the largest.
func nanos(t time.Time) int64 {
	switch seconds := t.Unix(); {
	case seconds <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	case seconds >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// timeOf undoes nanos; the smallest is the zero time.
func timeOf(nanos int64) time.Time {
	if nanos == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}
