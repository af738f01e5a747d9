package rule

import (
	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/match"
)

// Lists finds address lists as they are now, by what a condition names: an ARN or an id (Mail Manager, A24). It is asked
// for each condition and recipient that get their turn, and must answer without waiting.
type Lists interface {
	AddressList(idOrARN string) (*addresslist.List, bool)
}

// compileList compiles the question whether an address is in a list.
func (s *Set) compileList(path string, l *mailmanager.RuleIsInAddressList, operator string, want bool) (condition, error) {
	attribute, lists := string(mailmanager.Value(l.Attribute)), texts(l.AddressLists)
	c := condition{attribute: attributeList, operator: operator, values: append([]string{attribute}, lists...), why: whyNoList}
	if len(lists) != 1 {
		return c, match.Invalid(path+".addressLists", whyOne)
	}
	o, ok := attributeOperands[mailmanager.RuleStringEmailAttribute(attribute)]
	switch {
	case !ok || !o.isAddress():
		return c, match.Invalid(path+".attribute", whyAttribute)
	case o.recipient:
		c.scope, c.test = scopeRecipient, &recipientListTest{lists[0], want}
	default:
		c.test = &listTest{lists[0], want, s.operand(o)}
	}
	return c, nil
}

// isAddress reports whether the operand is an address, or several. Mail Manager, section 4.3.
func (o *operand) isAddress() bool {
	return o.recipient || o.addresses || o.envelope == envelopeReversePath
}

// addressList is the list as it is now. One that does not exist cannot tell (Mail Manager, D20).
func (c *Cursor) addressList(idOrARN string) (*addresslist.List, bool) {
	lists := c.values.facts.Lists
	if lists == nil {
		return nil, false
	}
	return lists.AddressList(idOrARN)
}

// listTest asks whether an address of the message is in a list. Of several, one is enough for IS_TRUE, and IS_FALSE wants
// that none is: an operand without addresses matches it (Mail Manager, D9).
type listTest struct {
	list    string
	want    bool
	operand int
}

func (t *listTest) of(c *Cursor, _ int) match.Result {
	list, ok := c.addressList(t.list)
	if !ok {
		return match.CannotTell
	}
	any := false
	for e := c.values.first(t.operand, c.root()); e != nil && !any; e = c.values.next(e) {
		any = !e.display && list.Contains(c.values.bytes(e.folded))
	}
	return match.Of(any == t.want)
}

func (t *listTest) seen(c *Cursor, _ int) []string {
	var texts []string
	for e := c.values.first(t.operand, c.root()); e != nil && len(texts) < maxSeenValues; e = c.values.next(e) {
		if !e.display {
			texts = append(texts, string(c.values.bytes(e.text)))
		}
	}
	return forDisplay(texts)
}

// recipientListTest asks whether a recipient is in a list.
type recipientListTest struct {
	list string
	want bool
}

func (t *recipientListTest) of(c *Cursor, at int) match.Result {
	list, ok := c.addressList(t.list)
	if !ok {
		return match.CannotTell
	}
	return match.Of(list.Contains(c.folded(at)) == t.want)
}

func (t *recipientListTest) seen(*Cursor, int) []string { return nil } // the reason names the recipients
