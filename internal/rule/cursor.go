package rule

import (
	"iter"
	"slices"
	"strings"

	"sluice/internal/match"
	"sluice/internal/message"
)

// maxPlaces bounds the recipients and the state nodes that an evaluation makes, the ones it began with included: rules that
// split and multiply recipients could else double them without end (S17). It leaves room for each of 100 recipients in a
// state of its own to be replaced by 100.
const maxPlaces = 10_100

// Cursor is the state of one evaluation: where it stands in the rule set, and each recipient with its state node. Between
// two calls of Next it can be encoded and go on in another process. It also keeps what was derived from the facts, which
// is not encoded but derived again. Reset begins an evaluation and uses all memory of the one before. A Cursor is used by
// one goroutine at a time. The zero Cursor is ready for Reset or UnmarshalBinary.
type Cursor struct {
	rule    int  // index of the rule
	action  int  // index of the action, within the rule
	group   int  // how many nodes the action has run for
	inside  bool // the rule's conditions have been decided and its actions are being done
	pending bool // a step was returned whose outcome is not known yet
	nodes   []node
	places  []place

	values  values
	living  []int // indexes of the places that rules still see
	stale   bool  // living is out of date
	epoch   int   // changes with living
	active  []int // scratch: the places for which no condition has failed yet
	results []match.Result
	renamed []int // scratch: new node of each node
}

// node is a state node and which one it came from. The first is the state that the evaluation began with.
type node struct {
	*message.Node
	parent int
}

// place is a recipient in a state. Places are never taken out, only marked, so that reasons can point to them.
type place struct {
	message.Recipient
	node   int
	flags  flags
	folded span // of the address, in Cursor.values.text
}

// flags are what has become of a place.
type flags uint8

const (
	gone    flags = 1 << iota // taken off the message: Drop, a failure policy, or replaced (Mail Manager, D5 and D7)
	halted                    // no rule sees it any more: STOP_RULE_SET, or too many recipients
	routed                    // Mail Manager, D7
	matched                   // the rule that is running applies to it
	acted                     // the action that is running has been done for it
	waiting                   // it belongs to the step whose outcome is awaited
)

func (p *place) is(f flags) bool { return p.flags&f != 0 }

// Reset begins an evaluation: root is the state that all recipients start in (nil: as received).
func (c *Cursor) Reset(root *message.Node, recipients []message.Recipient) {
	c.rule, c.action, c.group, c.inside, c.pending = 0, 0, 0, false, false
	c.nodes = append(c.nodes[:0], node{Node: root})
	c.places = c.places[:0]
	for _, r := range recipients {
		c.places = append(c.places, place{Recipient: r})
	}
	c.restart()
}

// restart forgets what was derived.
func (c *Cursor) restart() {
	c.values.reset()
	c.stale = true
}

// prepare makes the values those of the facts, for the set.
func (c *Cursor) prepare(s *Set, f *Facts) {
	if c.values.set == s && c.values.facts == f {
		return
	}
	c.values.prepare(s, f)
	for i := range c.places {
		c.places[i].folded = span{}
	}
}

// Group is recipients that share a state.
type Group struct {
	Node       *message.Node
	Recipients []message.Recipient
}

// Unrouted returns the recipients that nothing was done for, by node, in order of first recipient, once Next has returned
// false. Mail Manager, D7.
func (c *Cursor) Unrouted() []Group {
	var groups []Group
	byNode := map[int]int{}
	for i := range c.places {
		p := &c.places[i]
		if p.is(gone | routed) {
			continue
		}
		g, known := byNode[p.node]
		if !known {
			g = len(groups)
			byNode[p.node] = g
			groups = append(groups, Group{Node: c.nodes[p.node].Node})
		}
		groups[g].Recipients = append(groups[g].Recipients, p.Recipient)
	}
	return groups
}

func (c *Cursor) root() *message.Node { return c.nodes[0].Node }

// alive returns the indexes of the places that rules still see.
func (c *Cursor) alive() []int {
	if c.stale {
		c.stale = false
		c.epoch++
		c.living = c.living[:0]
		for i := range c.places {
			if !c.places[i].is(gone | halted) {
				c.living = append(c.living, i)
			}
		}
	}
	return c.living
}

// folded is a recipient's address as it is compared.
func (c *Cursor) folded(at int) []byte {
	p := &c.places[at]
	if p.folded.to == 0 {
		v := &c.values
		from := len(v.text)
		v.text = append(v.text, message.Unquoted(p.Path.Received)...)
		to := len(v.text)
		v.text = match.FoldAddress.Append(v.text, v.text[from:to])
		p.folded = span{to, len(v.text)}
	}
	return c.values.bytes(p.folded)
}

// added yields the fields of an operand that were added to a node, the newest first.
func (c *Cursor) added(operand, at int) iter.Seq[message.AddedField] {
	return func(yield func(message.AddedField) bool) {
		name := c.values.set.operands[operand].header
		if name == "" {
			return
		}
		for n := c.nodes[at].Node; n != nil; n = n.Parent() {
			if f := n.Field(); f != "" && strings.EqualFold(f.Name(), name) && !yield(f) {
				return
			}
		}
	}
}

// mark sets flags of places and clears others.
func (c *Cursor) mark(places []int, set, unset flags) {
	for _, i := range places {
		c.places[i].flags = c.places[i].flags&^unset | set
	}
	if set&(gone|halted) != 0 {
		c.stale = true
	}
}

// with returns the indexes of the places that have all of the wanted flags and none of the others, in scratch memory that
// the next call uses again.
func (c *Cursor) with(wanted, others flags) []int {
	c.active = c.active[:0]
	for _, i := range c.alive() {
		if f := c.places[i].flags; f&wanted == wanted && f&others == 0 {
			c.active = append(c.active, i)
		}
	}
	return c.active
}

// rename empties the map from nodes to their successors.
func (c *Cursor) rename() []int {
	c.renamed = slices.Grow(c.renamed[:0], len(c.nodes))[:len(c.nodes)]
	clear(c.renamed)
	return c.renamed
}
