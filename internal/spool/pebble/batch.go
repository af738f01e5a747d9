package pebble

import (
	"github.com/cockroachdb/pebble/v2"

	"sluice/internal/spool"
)

// batchOverhead is what a batch needs beside content: its records, keys and headers; it grows when that is not enough.
const batchOverhead = 2 << 10

// must is for what a batch that is not indexed cannot fail at: appending to its memory.
func must(err error) {
	if err != nil {
		panic("spool: batch: " + err.Error())
	}
}

func set(b *pebble.Batch, key, value []byte)         { must(b.Set(key, value, nil)) }
func setKey(b *pebble.Batch, key []byte)             { must(b.Set(key, nil, nil)) }
func singleDelete(b *pebble.Batch, key []byte)       { must(b.SingleDelete(key, nil)) }
func deleteRange(b *pebble.Batch, from, upto []byte) { must(b.DeleteRange(from, upto, nil)) }

// setContent writes what is in the buffer of an incoming message behind what it has spilled.
func setContent(b *pebble.Batch, in *incoming) {
	var scratch [64]byte
	offset := in.spilled
	for _, piece := range in.buffer.Bytes() {
		set(b, appendContentKey(scratch[:0], in.id, offset), piece)
		offset += int64(len(piece))
	}
}

// setBirth writes a message that is born of a settlement, whole.
func setBirth(b *pebble.Batch, ad *admission, content []byte) {
	for offset := 0; offset < len(content); offset += spool.ChunkOctets {
		piece := content[offset:min(len(content), offset+spool.ChunkOctets)]
		set(b, appendContentKey(nil, ad.message.ID, int64(offset)), piece)
	}
	setMessage(b, ad.message, false)
	for i := range ad.items {
		setItem(b, &ad.items[i], ad.message)
	}
}

// setMessage writes a message's record.
func setMessage(b *pebble.Batch, m *spool.Message, streamed bool) {
	var scratch [1024]byte
	value := append(scratch[:0], layoutWhole)
	if streamed {
		value[0] = layoutStreamed
	}
	set(b, appendMessageKey(nil, m.ID), spool.AppendMessage(value, m))
}

// setItem writes an item's record and its place in its lane.
func setItem(b *pebble.Batch, i *spool.Item, m *spool.Message) {
	var key [128]byte
	var record [512]byte
	set(b, appendItemKey(key[:0], i.ItemKey), spool.AppendItem(record[:0], i))
	set(b, appendLaneKey(key[:0], i.Lane, orderOf(i)), appendLaneValue(record[:0], i, m))
}

// removeItem takes away an item and its place.
func removeItem(b *pebble.Batch, lane spool.Lane, at order) {
	var key [128]byte
	singleDelete(b, appendItemKey(key[:0], at.key()))
	singleDelete(b, appendLaneKey(key[:0], lane, at))
}

// removeMessage takes away a message and its content.
func removeMessage(b *pebble.Batch, m *spool.Message, streamed bool) {
	var key [64]byte
	singleDelete(b, appendMessageKey(key[:0], m.ID))
	if streamed {
		lower, upper := contentBounds(m.ID)
		deleteRange(b, lower, upper)
		return
	}
	for offset := int64(0); offset < m.Size; offset += spool.ChunkOctets {
		singleDelete(b, appendContentKey(key[:0], m.ID, offset))
	}
}
