// Package letter makes the messages that the load tools send, and recognises them where they arrive: each has an id of its
// own and a checksum of its body, in one header field. Its lines begin with dots often enough to find out who loses one.
package letter

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// field is the header field that identifies a letter: "X-Load-Id: id checksum".
const field = "X-Load-Id: "

// lineOctets is a full line of the filler, with its CRLF.
const lineOctets = 72

// A Maker makes letters of one size. It is safe for concurrent use.
type Maker struct {
	from, to string
	filler   []byte // what follows the line of the id in every body
	stuffed  []byte // the same as it goes over the wire
}

// NewMaker returns a maker of letters of so many octets and a few more for the id, between two addresses for their header sections.
func NewMaker(size int, from, to string) *Maker {
	m := &Maker{from: from, to: to}
	header, _ := m.head("")
	m.filler = filler(size - len(header))
	m.stuffed = bytes.ReplaceAll(m.filler, []byte("\n."), []byte("\n.."))
	return m
}

// filler makes lines of chance, the same for the same size; the first does not begin with a dot.
func filler(octets int) []byte {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,;"
	chance := rand.New(rand.NewPCG(1, uint64(max(octets, 0))))
	var lines []byte
	for number := 0; len(lines) < octets; number++ {
		line := make([]byte, min(lineOctets, max(octets-len(lines), 3)))
		for i := range line {
			line[i] = alphabet[chance.IntN(len(alphabet))]
		}
		switch {
		case number == 0:
			line[0] = '-'
		case number%8 == 7:
			line[0] = '.'
		}
		lines = append(lines, line...)
		copy(lines[len(lines)-2:], "\r\n")
	}
	return lines
}

// head is the header section of the letter and the first line of its body.
func (m *Maker) head(id string) (head []byte, body int) {
	first := id + "\r\n"
	sum := crc32.Update(crc32.Checksum([]byte(first), table()), table(), m.filler)
	head = fmt.Appendf(nil, "From: <%s>\r\nTo: <%s>\r\nSubject: load %s\r\nMessage-ID: <%s@load.invalid>\r\n"+field+"%s %08x\r\n\r\n",
		m.from, m.to, id, id, id, sum)
	return append(head, first...), len(head)
}

// Wire returns the letter with that id as it goes over the wire after DATA, in two parts, with its final dot.
func (m *Maker) Wire(id string) (head, rest []byte) {
	head, _ = m.head(id)
	return head, m.stuffed
}

// Read finds the id in content as it arrived, without dot-stuffing, and whether the body is what was sent. The id is empty
// for what is not a letter.
func Read(content []byte) (id string, whole bool) {
	header, body, found := bytes.Cut(content, []byte("\r\n\r\n"))
	if !found {
		return "", false
	}
	at := bytes.Index(header, []byte("\r\n"+field))
	if at >= 0 {
		at += len("\r\n")
	} else if !bytes.HasPrefix(header, []byte(field)) {
		return "", false
	}
	value, _, _ := bytes.Cut(header[max(at, 0)+len(field):], []byte("\r\n"))
	name, sum, _ := bytes.Cut(value, []byte(" "))
	return string(name), fmt.Sprintf("%08x", crc32.Checksum(body, table())) == string(sum)
}

// table is that of CRC-32C, which processors compute at memory speed.
func table() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
