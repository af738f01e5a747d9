package message

import (
	"bytes"
	"iter"
	"strings"
)

// Mailboxes yields each mailbox of an address list as it stands in a field's value, display name, comments and all. Groups
// are opened and their names left out; empty elements are skipped. What is not closed (a quote, a comment, an angle
// bracket) counts as an ordinary character, so that every value has a reading. The time is linear.
// RFC 5322, section 3.4.
func Mailboxes(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		open := closedIn(raw)
		from := 0
		for at := 0; at <= len(raw); {
			if at < len(raw) && raw[at] == ':' { // the end of a group's name
				from, at = at+1, at+1
				continue
			}
			if at < len(raw) && raw[at] != ',' && raw[at] != ';' {
				at, _ = open.skip(raw, at)
				continue
			}
			if mailbox := bytes.Trim(raw[from:at], " \t\r\n"); len(mailbox) > 0 && !yield(mailbox) {
				return
			}
			from, at = at+1, at+1
		}
	}
}

// AppendAddress appends the bare addr-spec of a mailbox to dst: what stands between the angle brackets, or all of it
// without any; without a source route, comments and blanks. Quotes around the local part stay: see Unquoted.
// RFC 5322, section 3.4.1; Mail Manager, D8.
func AppendAddress(dst, mailbox []byte) []byte {
	open := closedIn(mailbox)
	spec := mailbox
	for at := 0; at < len(mailbox); {
		end, _ := open.skip(mailbox, at)
		if mailbox[at] == '<' && end > at+1 {
			spec = cutRoute(mailbox[at+1:end-1], open)
			break
		}
		at = end
	}
	for at := 0; at < len(spec); {
		end, _ := open.skip(spec, at)
		switch c := spec[at]; {
		case c == '(' && end > at+1, c == ' ', c == '\t', c == '\r', c == '\n':
		default:
			dst = append(dst, spec[at:end]...)
		}
		at = end
	}
	return dst
}

// cutRoute takes an obsolete source route off. RFC 5322, section 4.4.
func cutRoute(spec []byte, open brackets) []byte {
	spec = bytes.TrimLeft(spec, " \t\r\n")
	if len(spec) == 0 || spec[0] != '@' {
		return spec
	}
	for at := 0; at < len(spec); {
		if spec[at] == ':' {
			return spec[at+1:]
		}
		at, _ = open.skip(spec, at)
	}
	return spec
}

// Unquoted returns an address in the form in which addresses are compared: quotes around its local part undone (S7). The
// text is shared unless there were quotes.
func Unquoted(address string) string {
	if !strings.HasPrefix(address, `"`) {
		return address
	}
	end, unclosed := quotes.skip([]byte(address), 0)
	if unclosed != 0 {
		return address
	}
	var b strings.Builder
	for i := 1; i < end-1; i++ {
		if address[i] == '\\' && i+1 < end-1 {
			i++
		}
		b.WriteByte(address[i])
	}
	return b.String() + address[end:]
}

// brackets is the set of constructs that are recognised while an address list is read.
type brackets uint8

const (
	quotes brackets = 1 << iota
	comments
	literals
	angles
)

// closedIn returns the constructs that are all closed in raw. It reads raw at most once for each of them and once more.
func closedIn(raw []byte) brackets {
	open := quotes | comments | literals | angles
next:
	for at := 0; at < len(raw); {
		end, unclosed := open.skip(raw, at)
		if unclosed != 0 {
			open &^= unclosed
			goto next
		}
		at = end
	}
	return open
}

func opener(c byte) brackets {
	switch c {
	case '"':
		return quotes
	case '(':
		return comments
	case '[':
		return literals
	case '<':
		return angles
	}
	return 0
}

// skip returns where the construct or the single character at raw[at] ends. When the construct, or one within it, is
// recognised but not closed, that is the next character, and unclosed says which.
func (open brackets) skip(raw []byte, at int) (end int, unclosed brackets) {
	kind := opener(raw[at]) & open
	if kind == 0 {
		return at + 1, 0
	}
	depth := 1
	for i := at + 1; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\' && kind != angles:
			i++
		case c == '(' && kind == comments:
			depth++
		case c == closer(kind):
			if depth--; depth == 0 {
				return i + 1, 0
			}
		case kind == angles && opener(c)&open&^angles != 0:
			inner, unclosed := (open &^ angles).skip(raw, i)
			if unclosed != 0 {
				return at + 1, unclosed
			}
			i = inner - 1
		}
	}
	return at + 1, kind
}

func closer(kind brackets) byte {
	switch kind {
	case quotes:
		return '"'
	case comments:
		return ')'
	case literals:
		return ']'
	}
	return '>'
}
