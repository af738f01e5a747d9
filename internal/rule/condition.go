package rule

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"sluice/internal/match"
	"sluice/internal/message"
)

// test is what every kind of condition can do. at is the index of a node or of a place, as the condition's scope says.
type test interface {
	of(c *Cursor, at int) match.Result
	// seen is the value that was compared, for people.
	seen(c *Cursor, at int) []string
}

// Compile-time list of the kinds of conditions.
var _ = []test{(*stringTest)(nil), (*recipientTest)(nil), (*listTest)(nil), (*recipientListTest)(nil), (*receiptTest)(nil), (*tlsTest)(nil), (*sizeTest)(nil), (*networkTest)(nil), blindTest{}}

// stringTest compares an operand of the message.
type stringTest struct {
	strings match.Strings
	operand int
}

func (t *stringTest) of(c *Cursor, at int) match.Result {
	any := t.anyAdded(c, at)
	for e := c.values.first(t.operand, c.root()); e != nil && !any; e = c.values.next(e) {
		if !e.display || t.strings.Contains() { // Mail Manager, D8
			any = t.strings.Any(c.values.bytes(e.folded))
		}
	}
	return match.Of(any != t.strings.Negated()) // Mail Manager, D9
}

// anyAdded looks at the fields that were added to the node.
func (t *stringTest) anyAdded(c *Cursor, at int) bool {
	for f := range c.added(t.operand, at) {
		var room [256]byte
		text := message.AppendText(room[:0], []byte(f.Value()))
		if t.strings.Any(t.strings.Folding().Append(nil, text)) {
			return true
		}
	}
	return false
}

func (t *stringTest) seen(c *Cursor, at int) []string {
	var texts []string
	for f := range c.added(t.operand, at) {
		texts = append(texts, string(message.AppendText(nil, []byte(f.Value()))))
	}
	for e := c.values.first(t.operand, c.root()); e != nil && len(texts) < maxSeenValues; e = c.values.next(e) {
		if !e.display || t.strings.Contains() {
			texts = append(texts, string(c.values.bytes(e.text)))
		}
	}
	return forDisplay(texts)
}

// recipientTest compares a recipient's address, quoting undone (S7), plus-tag and all.
type recipientTest struct{ strings match.Strings }

func (t *recipientTest) of(c *Cursor, at int) match.Result {
	return match.Of(t.strings.Any(c.folded(at)) != t.strings.Negated())
}

func (t *recipientTest) seen(*Cursor, int) []string { return nil } // the reason names the recipients

// receiptTest: READ_RECEIPT_REQUESTED, any of three fields present and not empty. Mail Manager, D11.
type receiptTest struct {
	want     bool
	operands [len(receiptHeaders)]int
}

func (t *receiptTest) of(c *Cursor, at int) match.Result {
	return match.Of(t.requested(c, at) == t.want)
}

func (t *receiptTest) requested(c *Cursor, at int) bool {
	for _, operand := range t.operands {
		for f := range c.added(operand, at) {
			if strings.Trim(f.Value(), " \t") != "" {
				return true
			}
		}
		for e := c.values.first(operand, c.root()); e != nil; e = c.values.next(e) {
			if e.text.to > e.text.from {
				return true
			}
		}
	}
	return false
}

func (t *receiptTest) seen(c *Cursor, at int) []string {
	return []string{strconv.FormatBool(t.requested(c, at))}
}

// tlsTest: TLS and TLS_WRAPPED. Mail Manager, D12.
type tlsTest struct {
	want    bool
	wrapped bool
}

func (t *tlsTest) is(f *Facts) bool {
	if t.wrapped {
		return f.TLSWrapped
	}
	return f.TLS
}

func (t *tlsTest) of(c *Cursor, _ int) match.Result { return match.Of(t.is(c.values.facts) == t.want) }

func (t *tlsTest) seen(c *Cursor, _ int) []string {
	return []string{strconv.FormatBool(t.is(c.values.facts))}
}

// sizeTest: MESSAGE_SIZE. Mail Manager, D10.
type sizeTest struct{ number match.Number }

func (t *sizeTest) of(c *Cursor, _ int) match.Result {
	return match.Of(t.number.Holds(float64(c.values.facts.Size)))
}

func (t *sizeTest) seen(c *Cursor, _ int) []string {
	return []string{strconv.FormatInt(c.values.facts.Size, 10)}
}

func formatNumber(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// networkTest: SOURCE_IP.
type networkTest struct{ networks match.Networks }

func (t *networkTest) of(c *Cursor, _ int) match.Result {
	client := c.values.facts.Client
	if client == (netip.Addr{}) {
		return match.CannotTell
	}
	return match.Of(t.networks.Holds(client))
}

func (t *networkTest) seen(c *Cursor, _ int) []string {
	if client := c.values.facts.Client; client.IsValid() {
		return []string{client.Unmap().String()}
	}
	return nil
}

// blindTest is a condition whose answer is not to be had. Mail Manager, D20.
type blindTest struct{}

func (blindTest) of(*Cursor, int) match.Result { return match.CannotTell }

func (blindTest) seen(*Cursor, int) []string { return nil }

// Limits of what a reason shows, so that a trace stays small whatever the message (S18).
const (
	maxSeenValues = 10
	maxSeenOctets = 256
)

// forDisplay returns the values cut to what a reason shows.
func forDisplay(values []string) []string {
	values = values[:min(len(values), maxSeenValues)]
	for i, v := range values {
		if len(v) > maxSeenOctets {
			n := maxSeenOctets
			for n > maxSeenOctets-utf8.UTFMax && !utf8.RuneStart(v[n]) {
				n--
			}
			values[i] = v[:n] + "…"
		}
	}
	return values
}
