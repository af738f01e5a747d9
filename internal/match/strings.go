package match

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Folding is how spelling is levelled before strings are compared. Values are folded when they are compiled and operands
// once a message, with the same folding.
type Folding uint8

// The foldings.
const (
	FoldASCII   Folding = iota // A to Z only: traffic policies (Mail Manager, C2)
	FoldUnicode                // simple case folding: rules (Mail Manager, D10)
	FoldAddress                // simple case folding, and A-labels as U-labels: addresses and domains in rules (S24)
)

// Append appends text, folded, to dst. Octets that are not UTF-8 pass through.
func (f Folding) Append(dst, text []byte) []byte {
	if f == FoldAddress && hasALabel(text) {
		text = toULabels(text)
	}
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf || f == FoldASCII {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if size == 1 {
			dst = append(dst, c)
		} else {
			dst = utf8.AppendRune(dst, foldRune(r))
		}
		i += size
	}
	return dst
}

// foldRune returns the one rune that stands for all that differ from r in case: the smallest of them, in lower case when
// it is a letter of ASCII.
func foldRune(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		least += 'a' - 'A'
	}
	return least
}

// aLabelPrefix begins an A-label. RFC 5890, section 2.3.2.1.
const aLabelPrefix = "xn--"

// maxLabelOctets bounds what is decoded, because decoding is not linear. RFC 1035, section 2.3.4.
const maxLabelOctets = 63

func hasALabel(text []byte) bool {
	for at := 0; ; at++ {
		i := bytes.Index(text[at:], []byte("--"))
		if i < 0 {
			return false
		}
		if at += i; at >= 2 && text[at-2]|0x20 == 'x' && text[at-1]|0x20 == 'n' {
			return true
		}
	}
}

// toULabels replaces every A-label that decodes by its U-label.
func toULabels(text []byte) []byte {
	var out []byte
	for len(text) > 0 {
		n := bytes.IndexFunc(text, func(c rune) bool { return !isLabelRune(c) })
		if n < 0 {
			n = len(text)
		}
		if n == 0 {
			out, text = append(out, text[0]), text[1:]
			continue
		}
		label := text[:n]
		text = text[n:]
		if n > len(aLabelPrefix) && n <= maxLabelOctets && bytes.EqualFold(label[:len(aLabelPrefix)], []byte(aLabelPrefix)) {
			if u, err := idna.Punycode.ToUnicode(strings.ToLower(string(label))); err == nil {
				label = []byte(u)
			}
		}
		out = append(out, label...)
	}
	return out
}

func isLabelRune(c rune) bool {
	return c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// Strings is a string operator with its values. It may be used by many goroutines at once.
type Strings struct {
	compare func(element, value []byte) bool
	negated bool
	partial bool
	folding Folding
	values  [][]byte // folded
}

// NewStrings compiles an operator of the API: EQUALS, NOT_EQUALS, STARTS_WITH, ENDS_WITH or CONTAINS. ok is false for any
// other.
func NewStrings(operator string, values []string, folding Folding) (s Strings, ok bool) {
	s = Strings{folding: folding, negated: operator == "NOT_EQUALS", partial: operator == "CONTAINS"}
	switch operator {
	case "EQUALS", "NOT_EQUALS":
		s.compare = bytes.Equal
	case "STARTS_WITH":
		s.compare = bytes.HasPrefix
	case "ENDS_WITH":
		s.compare = bytes.HasSuffix
	case "CONTAINS":
		s.compare = bytes.Contains
	default:
		return Strings{}, false
	}
	for _, v := range values {
		s.values = append(s.values, folding.Append(nil, []byte(v)))
	}
	return s, true
}

// Any reports whether a folded element compares with any of the values; for NOT_EQUALS, whether it equals one. The
// condition holds when Any is true of any element, and for a Negated operator when it is true of none: an operand without
// elements matches negated operators only (Mail Manager, C1 and D9).
func (s *Strings) Any(element []byte) bool {
	for _, v := range s.values {
		if s.compare(element, v) {
			return true
		}
	}
	return false
}

// Negated reports whether the operator is NOT_EQUALS.
func (s *Strings) Negated() bool { return s.negated }

// Contains reports whether the operator is CONTAINS, the one that also looks at display forms (Mail Manager, D8).
func (s *Strings) Contains() bool { return s.partial }

// Folding is how elements must be folded.
func (s *Strings) Folding() Folding { return s.folding }
