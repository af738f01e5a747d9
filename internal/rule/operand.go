package rule

import (
	"slices"
	"strings"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

// operand is a value of the message that string conditions look at. Conditions with the same operand share it, so that it
// is decoded and folded once for an evaluation.
type operand struct {
	header      string // lower-case name of the fields it comes from; empty: the envelope or the session
	addresses   bool   // the fields are address lists (Mail Manager, D8)
	recipient   bool   // RECIPIENT: belongs to a recipient, not to the message
	envelope    envelopeValue
	certificate mailmanager.RuleClientCertificateAttribute // part of the client's certificate, or empty
	folding     match.Folding
}

// envelopeValue says which part of the envelope an operand is.
type envelopeValue uint8

const (
	envelopeNone envelopeValue = iota
	envelopeReversePath
	envelopeHello
)

// attributeOperands is every string attribute of the API. Mail Manager, section 4.3.
var attributeOperands = map[mailmanager.RuleStringEmailAttribute]operand{
	mailmanager.RuleStringEmailAttributeMailFrom:  {envelope: envelopeReversePath, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeHelo:      {envelope: envelopeHello, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeRecipient: {recipient: true, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeSender:    {header: "sender", addresses: true, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeFrom:      {header: "from", addresses: true, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeTo:        {header: "to", addresses: true, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeCc:        {header: "cc", addresses: true, folding: match.FoldAddress},
	mailmanager.RuleStringEmailAttributeSubject:   {header: "subject", folding: match.FoldUnicode},
}

// receiptHeaders ask for a read receipt. Mail Manager, D11.
var receiptHeaders = [...]string{"disposition-notification-to", "return-receipt-to", "x-confirm-reading-to"}

// maxHeaderNameOctets is the longest field name that a condition can ask for. Mail Manager, MimeHeaderAttribute.
const maxHeaderNameOctets = 258

// operand returns the index of an operand in the set, which it joins when it is new.
func (s *Set) operand(o operand) int {
	if i := slices.Index(s.operands, o); i >= 0 {
		return i
	}
	s.operands = append(s.operands, o)
	if o.header != "" {
		s.headers[o.header] = len(s.operands) - 1
	}
	return len(s.operands) - 1
}

func lower(name string) string { return strings.ToLower(name) }

// span is a part of values.text.
type span struct{ from, to int }

// element is one value of an operand: an address, a display form, the text of one field. The elements of an operand are a
// list, because the fields of a header section come in any order.
type element struct {
	text    span
	folded  span
	display bool // the display form of a mailbox, which only CONTAINS looks at (Mail Manager, D8)
	next    int  // index + 1 of the next element, 0: none
}

// chain is the list of an operand's elements, by index + 1.
type chain struct{ first, last int }

// values are what was derived from the facts of one evaluation: each operand at most once, all into the same memory, which
// the next evaluation uses again.
type values struct {
	set        *Set
	facts      *Facts
	text       []byte
	elements   []element
	operands   []chain
	headerRead bool
}

// maxKeptOctets is how much memory is kept for the next evaluation; one message with a huge header section should not
// make it stay.
const maxKeptOctets = 64 << 10

// reset forgets everything, for a new evaluation.
func (v *values) reset() {
	v.set, v.facts = nil, nil
	if cap(v.text) > maxKeptOctets {
		v.text, v.elements = nil, nil
	}
}

// prepare takes what comes from the envelope and the session, and makes room for the rest.
func (v *values) prepare(s *Set, f *Facts) {
	v.set, v.facts, v.headerRead = s, f, false
	v.text, v.elements = v.text[:0], v.elements[:0]
	v.operands = slices.Grow(v.operands[:0], len(s.operands))[:len(s.operands)]
	clear(v.operands)
	for i, o := range s.operands {
		switch o.envelope {
		case envelopeReversePath:
			v.addText(i, message.Unquoted(f.ReversePath))
		case envelopeHello:
			v.addText(i, f.Hello)
		}
		if o.certificate != "" {
			v.addCertificate(i, f.Certificate)
		}
	}
}

// first returns the first element of an operand, or nil.
func (v *values) first(operand int, root *message.Node) *element {
	if v.set.operands[operand].header != "" && !v.headerRead {
		v.readHeader(root)
	}
	return v.at(v.operands[operand].first)
}

func (v *values) next(e *element) *element { return v.at(e.next) }

func (v *values) at(link int) *element {
	if link == 0 {
		return nil
	}
	return &v.elements[link-1]
}

// bytes is the text of a span.
func (v *values) bytes(s span) []byte { return v.text[s.from:s.to] }

// readHeader reads every header operand of the set, in one pass. Fields taken away from the message are not seen.
func (v *values) readHeader(root *message.Node) {
	v.headerRead = true
	removed := root.Removed()
	var room [maxHeaderNameOctets]byte
	for f := range message.Header(v.facts.Header).Fields() {
		if len(f.Name) > len(room) {
			continue
		}
		name := match.FoldASCII.Append(room[:0], f.Name)
		i, wanted := v.set.headers[string(name)]
		if !wanted || isRemoved(f, removed) {
			continue
		}
		if v.set.operands[i].addresses {
			v.addMailboxes(i, f.Raw)
			continue
		}
		from := len(v.text)
		v.text = message.AppendText(v.text, f.Raw)
		v.add(i, element{text: span{from, len(v.text)}})
	}
}

func isRemoved(f message.Field, removed []message.Range) bool {
	return slices.ContainsFunc(removed, func(r message.Range) bool { return r.From <= int64(f.From) && int64(f.To) <= r.To })
}

func (v *values) addText(operand int, text string) {
	from := len(v.text)
	v.text = append(v.text, text...)
	v.add(operand, element{text: span{from, len(v.text)}})
}

// addMailboxes adds the bare address and the display form of each mailbox. Mail Manager, D8 and D9.
func (v *values) addMailboxes(operand int, raw []byte) {
	for mailbox := range message.Mailboxes(raw) {
		from := len(v.text)
		v.text = message.AppendAddress(v.text, mailbox)
		if len(v.text) > from && v.text[from] == '"' {
			v.text = append(v.text[:from], message.Unquoted(string(v.text[from:]))...)
		}
		address := span{from, len(v.text)}
		v.add(operand, element{text: address})
		from = len(v.text)
		v.text = message.AppendText(v.text, mailbox)
		v.add(operand, element{text: span{from, len(v.text)}, display: true})
	}
}

// add folds the element and links it.
func (v *values) add(operand int, e element) {
	from := len(v.text)
	v.text = v.set.operands[operand].folding.Append(v.text, v.bytes(e.text))
	e.folded = span{from, len(v.text)}
	v.link(operand, e)
}

// link puts the element at the end of the operand's list.
func (v *values) link(operand int, e element) {
	v.elements = append(v.elements, e)
	link := len(v.elements)
	list := &v.operands[operand]
	if list.last == 0 {
		list.first = link
	} else {
		v.elements[list.last-1].next = link
	}
	list.last = link
}
