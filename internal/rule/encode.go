package rule

import (
	"encoding/binary"
	"errors"
	"fmt"

	"sluice/internal/message"
)

// cursorFormat is the version of the encoded form; a reader refuses a newer one.
const cursorFormat = 1

// Errors of encoded cursors and rule sets.
var (
	ErrMalformedCursor = errors.New("malformed cursor of a rule set")
	ErrMalformedSource = errors.New("malformed source of a rule set")
	ErrNewerFormat     = errors.New("written by a newer version")
)

// AppendBinary appends the encoded form: what UnmarshalBinary needs to go on where Next stopped. It never fails. It
// implements encoding.BinaryAppender.
func (c *Cursor) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, cursorFormat)
	for _, n := range []int{c.rule, c.action, c.group} {
		b = binary.AppendUvarint(b, uint64(n))
	}
	b = append(b, encodeBool(c.inside)|encodeBool(c.pending)<<1)
	root, _ := c.root().AppendBinary(nil) // never fails
	b = appendText(b, string(root))
	b = binary.AppendUvarint(b, uint64(len(c.nodes)-1))
	for _, n := range c.nodes[1:] {
		b = binary.AppendUvarint(b, uint64(n.parent))
		b = appendText(b, string(n.Field()))
	}
	b = binary.AppendUvarint(b, uint64(len(c.places)))
	for i := range c.places {
		p := &c.places[i]
		b = append(b, byte(p.flags))
		b = binary.AppendUvarint(b, uint64(p.node))
		for _, text := range []string{p.Path.Received, p.Path.Local, p.Path.Domain, p.Notify, p.Original} {
			b = appendText(b, text)
		}
	}
	return b, nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (c *Cursor) MarshalBinary() ([]byte, error) { return c.AppendBinary(nil) }

// UnmarshalBinary reads what AppendBinary wrote. It returns ErrNewerFormat or ErrMalformedCursor, and the cursor must then be
// Reset before it is used. It implements encoding.BinaryUnmarshaler.
func (c *Cursor) UnmarshalBinary(b []byte) error {
	if len(b) > 0 && b[0] != cursorFormat {
		return fmt.Errorf("cursor of format %d: %w", b[0], ErrNewerFormat)
	}
	d := decoder{left: string(b)}
	d.octet()
	c.rule, c.action, c.group = d.number(maxPlaces), d.number(maxPlaces), d.number(maxPlaces)
	position := d.octet()
	c.inside, c.pending = position&1 != 0, position&2 != 0
	c.nodes = d.nodes(c.nodes[:0])
	c.places = d.places(c.places[:0], len(c.nodes))
	if waits, sound := c.waits(); d.bad || d.left != "" || position > 3 || !sound || waits != c.pending {
		return ErrMalformedCursor
	}
	c.restart()
	return nil
}

// Resume makes the cursor go on where an encoded one stopped, in an evaluation of this set; see UnmarshalBinary. An encoded
// cursor that does not fit the set is malformed too.
func (s *Set) Resume(c *Cursor, encoded []byte) error {
	if err := c.UnmarshalBinary(encoded); err != nil {
		return err
	}
	if !c.pending {
		return nil
	}
	if c.rule >= len(s.rules) || c.action >= len(s.rules[c.rule].actions) || !s.rules[c.rule].actions[c.action].outside() {
		return ErrMalformedCursor
	}
	return nil
}

// waits reports whether some recipients belong to a step, and whether those that do can: the rule applies to them and they
// are in one node.
func (c *Cursor) waits() (some, sound bool) {
	node := -1
	for i := range c.places {
		p := &c.places[i]
		if !p.is(waiting) {
			continue
		}
		if p.flags&(gone|halted|matched|acted) != matched|acted || node >= 0 && p.node != node {
			return true, false
		}
		node = p.node
	}
	return node >= 0, true
}

// decoder takes values off a text. After a failure bad is set and every value is zero. Strings share the text.
type decoder struct {
	left string
	bad  bool
}

func (d *decoder) octet() byte {
	if d.bad || d.left == "" {
		d.bad = true
		return 0
	}
	b := d.left[0]
	d.left = d.left[1:]
	return b
}

// number takes off a number that is at most limit.
func (d *decoder) number(limit int) int {
	var n uint64
	for shift := 0; shift < 64; shift += 7 {
		b := d.octet()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	if d.bad || n > uint64(limit) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) text() string {
	n := d.number(len(d.left))
	if n > len(d.left) {
		d.bad = true
	}
	if d.bad {
		return ""
	}
	text := d.left[:n]
	d.left = d.left[n:]
	return text
}

func (d *decoder) nodes(nodes []node) []node {
	root, err := message.ParseNode([]byte(d.text()))
	d.bad = d.bad || err != nil
	nodes = append(nodes, node{Node: root})
	for n := d.number(maxPlaces); n > 0 && !d.bad; n-- {
		parent := d.number(len(nodes) - 1)
		field, err := message.ParseField([]byte(d.text()))
		d.bad = d.bad || err != nil
		nodes = append(nodes, node{nodes[parent].Add(field), parent})
	}
	return nodes
}

func (d *decoder) places(places []place, nodes int) []place {
	for n := d.number(maxPlaces); n > 0 && !d.bad; n-- {
		p := place{flags: flags(d.octet()), node: d.number(nodes - 1)}
		d.bad = d.bad || p.flags >= waiting<<1
		for _, text := range []*string{&p.Path.Received, &p.Path.Local, &p.Path.Domain, &p.Notify, &p.Original} {
			*text = d.text()
		}
		places = append(places, p)
	}
	return places
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func encodeBool(b bool) byte {
	if b {
		return 1
	}
	return 0
}
