package message

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits of a node's encoded form. A rule set adds at most 400 fields: 40 rules of 10 actions (Mail Manager, quotas).
const (
	nodeFormat        = 1
	maxFieldOctets    = 4096 // a rendered field; NewField makes at most 600
	maxHeaderNameSize = 64   // Mail Manager, AddHeader
)

// Errors of nodes and fields.
var (
	ErrMalformedNode = errors.New("malformed message state")
	ErrNewerFormat   = errors.New("written by a newer version")
	ErrFieldName     = errors.New("malformed field name")
	ErrFieldValue    = errors.New("field value holds a line end or NUL")
)

// Node is the state of a message for some of its recipients: what was changed since it was received. It is one change, a
// field added on top or a range of the content taken away, and the node before it. Nodes are immutable and shared; the
// nil *Node is the content as received. Mail Manager, D1.
type Node struct {
	parent *Node
	field  AddedField
	gone   Range // of the content as received; empty when the change is a field
}

// Range is octets of a content: From is the first, To the first after it.
type Range struct {
	From, To int64
}

// AddedField is a rendered header field with its CRLF, made by NewField.
type AddedField string

// NewField renders a field: folded where the value has blanks, and as encoded words when the value has anything but
// printable ASCII (Mail Manager, E21). It returns ErrFieldName for a name that cannot be one, and ErrFieldValue for a value
// with CR, LF or NUL (S38).
func NewField(name, value string) (AddedField, error) {
	if len(name) > maxHeaderNameSize || !isFieldName([]byte(name)) || strings.Contains(name, ":") {
		return "", ErrFieldName
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return "", ErrFieldValue
	}
	if isPrintable(value) {
		return AddedField(foldLine(name+": "+value) + "\r\n"), nil
	}
	return AddedField(name + ": " + encodeWords(value) + "\r\n"), nil
}

// Name is the field's name.
func (f AddedField) Name() string {
	name, _, _ := strings.Cut(string(f), ":")
	return name
}

// Value is the field's value as rendered, without the line end.
func (f AddedField) Value() string {
	_, value, _ := strings.Cut(string(f), ":")
	return strings.TrimSuffix(value, "\r\n")
}

// Add returns the state with the field on top of all others.
func (n *Node) Add(field AddedField) *Node { return &Node{parent: n, field: field} }

// Remove returns the state without a range of the content as received.
func (n *Node) Remove(gone Range) *Node { return &Node{parent: n, gone: gone} }

// Parent is the state before the last change; nil for the content as received.
func (n *Node) Parent() *Node {
	if n == nil {
		return nil
	}
	return n.parent
}

// Field is the field that the last change added, or empty.
func (n *Node) Field() AddedField {
	if n == nil {
		return ""
	}
	return n.field
}

// Fields returns the fields added, the newest, which stands on top, first.
func (n *Node) Fields() []AddedField {
	var fields []AddedField
	for ; n != nil; n = n.parent {
		if n.field != "" {
			fields = append(fields, n.field)
		}
	}
	return fields
}

// Removed returns the ranges taken away, in their order in the content, none of them touching another.
func (n *Node) Removed() []Range {
	var ranges []Range
	for ; n != nil; n = n.parent {
		if n.gone.To > n.gone.From {
			ranges = append(ranges, n.gone)
		}
	}
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	merged := ranges[:0]
	for _, r := range ranges {
		if last := len(merged) - 1; last >= 0 && r.From <= merged[last].To {
			merged[last].To = max(merged[last].To, r.To)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}

// Head is what stands before the content: the trace fields, then the fields added. Both have their CRLFs.
func (n *Node) Head(trace string) string {
	if n == nil {
		return trace
	}
	var b strings.Builder
	b.WriteString(trace)
	for _, f := range n.Fields() {
		b.WriteString(string(f))
	}
	return b.String()
}

// Size is the octets of the message as it leaves, of a content of that many octets.
func (n *Node) Size(trace string, content int64) int64 {
	size := content + int64(len(trace))
	for _, f := range n.Fields() {
		size += int64(len(f))
	}
	for _, r := range n.Removed() {
		size -= max(0, min(r.To, content)-min(r.From, content))
	}
	return size
}

// Chunks returns the message as it leaves, as slices: the head, then those of the content without what was taken away.
// The content is not copied and must not be changed.
func (n *Node) Chunks(trace string, content [][]byte) [][]byte {
	removed := n.Removed()
	chunks := make([][]byte, 0, len(content)+1+len(removed))
	if head := n.Head(trace); head != "" {
		chunks = append(chunks, []byte(head))
	}
	var at int64
	for _, chunk := range content {
		from, to := at, at+int64(len(chunk))
		for _, r := range removed {
			if r.To <= from || r.From >= to {
				continue
			}
			if r.From > from {
				chunks = append(chunks, chunk[from-at:r.From-at])
			}
			from = min(r.To, to)
		}
		if from < to {
			chunks = append(chunks, chunk[from-at:])
		}
		at = to
	}
	return chunks
}

// Reader reads the message as it leaves, from a content that is read from its beginning. The result implements
// io.WriterTo when content does and nothing was taken away. Errors are those of content.
func (n *Node) Reader(trace string, content io.Reader) io.Reader {
	head := n.Head(trace)
	if removed := n.Removed(); len(removed) > 0 {
		content = &gapReader{r: content, gaps: removed}
	}
	if head == "" {
		return content
	}
	return io.MultiReader(strings.NewReader(head), content)
}

// gapReader reads r without the gaps.
type gapReader struct {
	r    io.Reader
	at   int64
	gaps []Range
}

// Read implements io.Reader.
func (g *gapReader) Read(p []byte) (int, error) {
	if len(g.gaps) > 0 && g.gaps[0].From <= g.at {
		n, err := io.CopyN(io.Discard, g.r, g.gaps[0].To-g.at)
		g.at += n
		if err != nil {
			return 0, err
		}
		g.gaps = g.gaps[1:]
	}
	if len(g.gaps) > 0 {
		p = p[:min(int64(len(p)), g.gaps[0].From-g.at)]
	}
	n, err := g.r.Read(p)
	g.at += int64(n)
	return n, err
}

// AppendBinary appends the encoded form, which ParseNode reads: a format number, then the changes, oldest first. The nil
// node has no octets. It never fails. It implements encoding.BinaryAppender.
func (n *Node) AppendBinary(b []byte) ([]byte, error) {
	if n == nil {
		return b, nil
	}
	var changes []*Node
	for ; n != nil; n = n.parent {
		changes = append(changes, n)
	}
	b = append(b, nodeFormat)
	for _, c := range slices.Backward(changes) {
		b = binary.AppendUvarint(b, uint64(len(c.field))) // 0: a range follows
		if c.field != "" {
			b = append(b, c.field...)
			continue
		}
		b = binary.AppendUvarint(b, uint64(c.gone.From))
		b = binary.AppendUvarint(b, uint64(c.gone.To))
	}
	return b, nil
}

// ParseNode reads what AppendBinary wrote; no octets are the nil node. It returns ErrNewerFormat or ErrMalformedNode.
func ParseNode(b []byte) (*Node, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != nodeFormat {
		return nil, fmt.Errorf("message state of format %d: %w", b[0], ErrNewerFormat)
	}
	var n *Node
	for b = b[1:]; len(b) > 0; {
		next, size := n.parseChange(b)
		if size <= 0 {
			return nil, ErrMalformedNode
		}
		n, b = next, b[size:]
	}
	if n == nil {
		return nil, ErrMalformedNode
	}
	return n, nil
}

// parseChange reads one change. The size is 0 when it is malformed.
func (n *Node) parseChange(b []byte) (*Node, int) {
	length, size := binary.Uvarint(b)
	if size <= 0 {
		return nil, 0
	}
	if length > 0 {
		if length > maxFieldOctets || length > uint64(len(b)-size) {
			return nil, 0
		}
		field, err := ParseField(b[size : size+int(length)])
		if err != nil {
			return nil, 0
		}
		return n.Add(field), size + int(length)
	}
	from, fromSize := binary.Uvarint(b[size:])
	if fromSize <= 0 {
		return nil, 0
	}
	to, toSize := binary.Uvarint(b[size+fromSize:])
	if toSize <= 0 || from > to || to > maxContentOctets {
		return nil, 0
	}
	return n.Remove(Range{From: int64(from), To: int64(to)}), size + fromSize + toSize
}

// maxContentOctets bounds the ranges that are read: far above any message, far below the end of int64.
const maxContentOctets = 1 << 40

// ParseField reads a rendered field back. It returns ErrMalformedNode for anything that would not be exactly one field.
func ParseField(b []byte) (AddedField, error) {
	fields := 0
	for f := range Header(b).Fields() {
		fields++
		if f.From != 0 || f.To != len(b) {
			return "", ErrMalformedNode
		}
	}
	bare := bytes.ReplaceAll(b, []byte("\r\n"), nil)
	if fields != 1 || !bytes.HasSuffix(b, []byte("\r\n")) || bytes.ContainsAny(bare, "\r\n\x00") {
		return "", ErrMalformedNode
	}
	return AddedField(b), nil
}

// isPrintable reports whether a value can stand in a field as it is: printable ASCII and tabs.
func isPrintable(value string) bool {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c >= 0x7f {
			return false
		}
	}
	return true
}

// maxLineOctets is where lines are folded if they can be. RFC 5322, section 2.1.1.
const maxLineOctets = 78

// foldLine breaks a field's line before blanks, such that unfolding gives the same text back and no line is all blank.
func foldLine(line string) string {
	var b strings.Builder
	for len(line) > maxLineOctets {
		at := foldingPoint(line)
		if at < 0 {
			break
		}
		b.WriteString(line[:at] + "\r\n")
		line = line[at:]
	}
	return b.String() + line
}

// foldingPoint is the last blank within the limit, or else the first beyond it, that has something other than a blank on
// either side of the break; -1 when there is none.
func foldingPoint(line string) int {
	best := -1
	text := false // something other than a blank precedes
	for i := range len(line) - 1 {
		if !isBlank(line[i]) {
			text = true
			continue
		}
		if !text || isBlank(line[i+1]) || strings.HasSuffix(line[:i], ":") {
			continue
		}
		if i > maxLineOctets && best >= 0 {
			break
		}
		best = i
	}
	return best
}
