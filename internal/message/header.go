package message

import (
	"bytes"
	"iter"
)

// MaxHeaderOctets is the longest header section that is accepted or looked at. Mail Manager, B21.
const MaxHeaderOctets = 256 << 10

// Header is a header section in the bytes it was received in, with or without the empty line that ends it. It is read
// tolerantly: a line that is no field is skipped together with its continuation lines, and nothing makes it fail
// (Mail Manager, D18). A Header is never changed and may be read by many goroutines at once. RFC 5322, section 2.2.
type Header []byte

// Field is one field of a Header; its slices point into the Header.
type Field struct {
	Name []byte // as received, without the colon
	Raw  []byte // what follows the colon, folded as received, without the line end that ends the field
	From int    // where the field begins in the Header, in octets
	To   int    // where the next line begins
}

// CutHeader returns the header section at the beginning of content, with the empty line that ends it, or all of content
// when there is no empty line. ok is false when the section is longer than MaxHeaderOctets: it is then cut there. The
// content may itself be cut, anywhere after the first MaxHeaderOctets + 1 octets.
func CutHeader(content []byte) (h Header, ok bool) {
	for at := 0; at < len(content) && at <= MaxHeaderOctets; {
		next := lineEnd(content, at)
		if len(trimLineEnd(content[at:next])) == 0 && next <= MaxHeaderOctets {
			return Header(content[:next]), true
		}
		at = next
	}
	if len(content) > MaxHeaderOctets {
		return Header(content[:MaxHeaderOctets]), false
	}
	return Header(content), true
}

// Fields yields the fields in their order, up to the empty line.
func (h Header) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) {
		for at := 0; at < len(h); {
			next := h.lineEnd(at)
			line := trimLineEnd(h[at:next])
			if len(line) == 0 {
				return
			}
			for next < len(h) && isBlank(h[next]) {
				next = h.lineEnd(next)
			}
			name, value, found := bytes.Cut(trimLineEnd(h[at:next]), []byte{':'})
			name = bytes.TrimRight(name, " \t") // RFC 5322, section 4.5.8: obsolete, and met
			if found && isFieldName(name) && !yield(Field{Name: name, Raw: value, From: at, To: next}) {
				return
			}
			at = next
		}
	}
}

// Count is how many fields have the name, in any case.
func (h Header) Count(name string) int {
	n := 0
	for f := range h.Fields() {
		if f.Is(name) {
			n++
		}
	}
	return n
}

// Is reports whether the field has the name, in any case. RFC 5322, section 1.2.2.
func (f Field) Is(name string) bool {
	return len(f.Name) == len(name) && bytes.EqualFold(f.Name, []byte(name))
}

// lineEnd is where the line that begins at at ends: after its LF, or at the end of the section.
func (h Header) lineEnd(at int) int { return lineEnd(h, at) }

func lineEnd(text []byte, at int) int {
	if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

// trimLineEnd takes off one CRLF or, because reading is tolerant, one LF.
func trimLineEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
		if n > 1 && line[n-2] == '\r' {
			line = line[:n-2]
		}
	}
	return line
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isFieldName: RFC 5322, section 3.6.8.
func isFieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(name) > 0
}
