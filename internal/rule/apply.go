package rule

import (
	"fmt"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// apply does an action that changes only the message's own state. None can fail (Mail Manager, D6) but for the bound on
// what an evaluation makes: an action that would pass it is not done, and its recipients are seen by no rule any more and
// end unrouted, where people find them.
func (a *Action) apply(c *Cursor, places []int, r *Reasons) {
	m := mark{kind: markAction, index: c.action, outcome: OutcomeSucceeded}
	if a.makes(c, places) > maxPlaces {
		m.outcome, m.why = OutcomeFailed, whyTooMany
		r.add(m, places)
		c.mark(places, halted, matched)
		return
	}
	r.add(m, places)
	switch a.Name {
	case ActionDrop:
		c.mark(places, gone, matched)
	case ActionAddHeader:
		c.addField(a.field, places)
	case ActionReplaceRecipient:
		c.replace(a, places)
	}
}

var whyTooMany = fmt.Sprintf("the message would have more than %d recipients and states", maxPlaces)

// makes is how many nodes or places there will be when the action is done, at most.
func (a *Action) makes(c *Cursor, places []int) int {
	distinct := 0
	renamed := c.rename()
	for _, at := range places {
		if node := c.places[at].node; renamed[node] == 0 {
			renamed[node] = 1
			distinct++
		}
	}
	if a.Name == ActionAddHeader {
		return len(c.nodes) + distinct
	}
	return len(c.places) + distinct*len(a.replacement)
}

// addField makes one new node for each distinct node of the places. Mail Manager, D1.
func (c *Cursor) addField(field message.AddedField, places []int) {
	renamed := c.rename()
	for _, at := range places {
		p := &c.places[at]
		if renamed[p.node] == 0 {
			renamed[p.node] = len(c.nodes)
			c.nodes = append(c.nodes, node{c.nodes[p.node].Add(field), p.node})
		}
		p.node = renamed[p.node]
	}
}

// replace puts the action's addresses in the place of the recipients, for each distinct node. Mail Manager, D2.
func (c *Cursor) replace(a *Action, places []int) {
	for i, at := range places {
		if first := &c.places[at]; !first.is(gone) {
			c.replaceNode(a, first.node, places[i:])
		}
	}
	c.stale = true
}

// replaceNode replaces the recipients in one node. The new ones are routed if all the old ones were: a duty that was done
// for each of them is done. An address that another recipient of the node has already is not added: that is the same
// delivery.
func (c *Cursor) replaceNode(a *Action, in int, places []int) {
	duty := c.places[places[0]] // the first original's NOTIFY and ORCPT go with the replacement: Mail Manager, D2
	kept := routed
	for _, at := range places {
		if p := &c.places[at]; p.node == in {
			kept &= p.flags
			p.flags = gone | p.flags&routed
		}
	}
	for _, address := range a.replacement {
		if c.has(in, address) {
			continue
		}
		added := place{Recipient: duty.Recipient, node: in, flags: matched | kept}
		added.Path = address
		c.places = append(c.places, added)
	}
}

// has reports whether a recipient in the node has the address already.
func (c *Cursor) has(in int, address smtp.Path) bool {
	for i := range c.places {
		if p := &c.places[i]; p.node == in && !p.is(gone|halted) && same(p.Path, address) {
			return true
		}
	}
	return false
}
