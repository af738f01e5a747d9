package trace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"

	"sluice/internal/message"
)

// A data file is a row of frames; so that any zstd tool can print it, our header of a frame is a skippable frame of
// zstd's. Behind it is one zstd frame with checksum; within are events, one JSON object a line.
//
//	octets 0-3    0x184D2A50, little-endian
//	octets 4-7    12, little-endian: what follows of the header
//	octet  8      format number
//	octets 12-15  length of the zstd frame, little-endian
//	octets 16-19  length of its content, little-endian
const (
	frameFormat  byte   = 1
	frameMagic   uint32 = 0x184D2A50 // RFC 8878, section 3.1.2
	headerOctets        = 20
	maxFrame            = frameOctets + eventOctets + 1<<20 // packed or not, with room for what does not compress
)

// Errors of reading.
var (
	errTorn  = errors.New("torn or corrupt")
	errNewer = errors.New("written by a newer version")
)

// codec compresses and decompresses frames. Unpacking is safe for concurrent use.
type codec struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newCodec() (*codec, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(frameOctets), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("make zstd encoder: %w", err)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxFrame))
	if err != nil {
		return nil, fmt.Errorf("make zstd decoder: %w", err)
	}
	return &codec{encoder, decoder}, nil
}

// pack appends a frame with its header to dst.
func (c *codec) pack(dst, lines []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerOctets)...)
	dst = c.encoder.EncodeAll(lines, dst)
	header := dst[start:]
	binary.LittleEndian.PutUint32(header, frameMagic)
	binary.LittleEndian.PutUint32(header[4:], headerOctets-8)
	header[8] = frameFormat
	binary.LittleEndian.PutUint32(header[12:], uint32(len(header)-headerOctets))
	binary.LittleEndian.PutUint32(header[16:], uint32(len(lines)))
	return dst
}

// parseHeader returns the lengths of the zstd frame and of its content.
func parseHeader(header []byte) (packed, raw int, err error) {
	if len(header) < headerOctets || binary.LittleEndian.Uint32(header) != frameMagic ||
		binary.LittleEndian.Uint32(header[4:]) != headerOctets-8 {
		return 0, 0, errTorn
	}
	if format := header[8]; format != frameFormat {
		return 0, 0, fmt.Errorf("frame format %d, this version reads %d: %w", format, frameFormat, errNewer)
	}
	sizes := [2]uint32{binary.LittleEndian.Uint32(header[12:]), binary.LittleEndian.Uint32(header[16:])}
	if sizes[0] > maxFrame || sizes[1] > maxFrame {
		return 0, 0, errTorn
	}
	return int(sizes[0]), int(sizes[1]), nil
}

// unpack returns the lines of the frame that data begins with, and its length with header.
func (c *codec) unpack(data []byte) (lines []byte, length int, err error) {
	packed, raw, err := parseHeader(data)
	if err != nil {
		return nil, 0, err
	}
	length = headerOctets + packed
	if len(data) < length {
		return nil, 0, errTorn
	}
	lines, err = c.decoder.DecodeAll(data[headerOctets:length], make([]byte, 0, raw))
	if err != nil || len(lines) != raw {
		return nil, 0, fmt.Errorf("%w: %d octets of %d: %v", errTorn, len(lines), raw, err)
	}
	return lines, length, nil
}

// An index file has an entry for every frame of its data file: which messages and sessions the frame has events of.
//
//	octets 0-3    format number and three zeros
//	octets 4-7    how many marks, little-endian
//	octets 8-15   the frame's offset, little-endian
//	octets 16-19  the frame's length with header, little-endian
//	octets 20-27  the time of the earliest event that Find lists, ms since 1970, little-endian; not in format 1
//	octets 28-35  that of the latest; not in format 1
//	              marks of 8 octets; those of format 1 are of ids only
//	              CRC-32C of all before, little-endian
const (
	entryFormat    byte = 2
	entryFormatIDs byte = 1 // written before Find was
	entryOctets         = 36
	entryOctetsIDs      = 20
	markOctets          = 8
	sumOctets           = 4
	maxMarks            = maxFrame / 4 // of ids and words: each has more octets in a line
)

// mark stands in an index for a message or session, by the last octets of its id, which are random; or for a word, by a
// hash (word.go).
type mark [markOctets]byte

func markOf(id message.ID) mark { return mark(id[len(id)-markOctets:]) }

// entry is where a frame is and what it has.
type entry struct {
	offset       int64
	length       int
	marks        []byte
	idsOnly      bool  // of format 1: it has no words and no times
	since, until int64 // see the form
}

// has reports whether the frame may have events of the mark.
func (e *entry) has(m mark) bool {
	for marks := e.marks; len(marks) > 0; marks = marks[markOctets:] {
		if mark(marks) == m {
			return true
		}
	}
	return false
}

func (e *entry) append(dst []byte) []byte {
	start := len(dst)
	format := entryFormat
	if e.idsOnly {
		format = entryFormatIDs
	}
	dst = append(dst, format, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(e.marks)/markOctets))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.offset))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.length))
	if !e.idsOnly {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.since))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.until))
	}
	dst = append(dst, e.marks...)
	return binary.LittleEndian.AppendUint32(dst, sum(dst[start:]))
}

// parseEntry reads the entry that index begins with, and returns the rest.
func parseEntry(index []byte) (e entry, rest []byte, err error) {
	head, err := entryHead(index)
	if err != nil {
		return e, nil, err
	}
	count := binary.LittleEndian.Uint32(index[4:])
	if count > maxMarks || len(index) < head+int(count)*markOctets+sumOctets {
		return e, nil, errTorn
	}
	end := head + int(count)*markOctets
	if binary.LittleEndian.Uint32(index[end:]) != sum(index[:end]) {
		return e, nil, errTorn
	}
	e.offset = int64(binary.LittleEndian.Uint64(index[8:]))
	e.length = int(binary.LittleEndian.Uint32(index[16:]))
	e.marks = index[head:end]
	if e.idsOnly = head == entryOctetsIDs; !e.idsOnly {
		e.since = int64(binary.LittleEndian.Uint64(index[20:]))
		e.until = int64(binary.LittleEndian.Uint64(index[28:]))
	}
	if e.offset < 0 || e.length < headerOctets || e.length > headerOctets+maxFrame {
		return e, nil, errTorn
	}
	return e, index[end+sumOctets:], nil
}

// entryHead is the length of what stands before the marks of an entry.
func entryHead(index []byte) (octets int, err error) {
	if len(index) == 0 {
		return 0, errTorn
	}
	switch index[0] {
	case entryFormat:
		octets = entryOctets
	case entryFormatIDs:
		octets = entryOctetsIDs
	default:
		return 0, fmt.Errorf("index format %d, this version reads %d: %w", index[0], entryFormat, errNewer)
	}
	if len(index) < octets+sumOctets {
		return 0, errTorn
	}
	return octets, nil
}

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// eachLine calls do for every line until it returns false.
func eachLine(lines []byte, do func(line []byte) bool) {
	for line := range bytes.Lines(lines) {
		if !do(line) {
			return
		}
	}
}
