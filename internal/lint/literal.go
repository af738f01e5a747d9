package lint

import (
	"fmt"
	"net/netip"
	"strings"

	"sluice/internal/match"
)

// literal is a condition as something that must hold, or must not, of the values of an attribute.
type literal struct {
	label     string // condition 1, unless 2
	attribute string
	single    bool // the attribute has exactly one value
	holds     bool // false: none of the values may compare
	values    []value
}

// value is one value of a condition.
type value interface {
	// implies reports whether an attribute that compares with this value also compares with the other.
	implies(other value) bool
	// allows reports whether one and the same value of an attribute can compare with both.
	allows(other value) bool
}

// contradiction returns two literals that cannot both hold, or nil: one that must hold and has no value left, and the last
// of those that take its values.
func contradiction(literals []literal) (a, b *literal) {
	for i := range literals {
		if p := &literals[i]; p.holds {
			if killer := exhausted(p, literals); killer != nil {
				return p, killer
			}
		}
	}
	return nil, nil
}

// exhausted returns what takes the last value of p, or nil when one is left.
func exhausted(p *literal, literals []literal) (killer *literal) {
	for _, v := range p.values {
		if killer = taker(p, v, literals); killer == nil {
			return nil
		}
	}
	return killer
}

// taker returns a literal that does not hold when p does by its value v.
func taker(p *literal, v value, literals []literal) *literal {
	for i := range literals {
		q := &literals[i]
		if q == p || q.attribute != p.attribute {
			continue
		}
		implied, allowed := false, false
		for _, w := range q.values {
			implied = implied || v.implies(w)
			allowed = allowed || v.allows(w)
		}
		if !q.holds && implied || q.holds && p.single && !allowed {
			return q
		}
	}
	return nil
}

// text is a value of a string condition, folded.
type text struct{ operator, text string }

func (t text) implies(other value) bool {
	o, ok := other.(text)
	if !ok {
		return false
	}
	switch {
	case t.operator == "EQUALS":
		return o.compares(t.text)
	case o.operator == "CONTAINS":
		return strings.Contains(t.text, o.text)
	}
	return t.operator == o.operator && o.compares(t.text)
}

func (t text) allows(other value) bool {
	o, ok := other.(text)
	switch {
	case !ok:
		return false
	case t.operator == "EQUALS":
		return o.compares(t.text)
	case o.operator == "EQUALS" || t.operator == o.operator && t.operator != "CONTAINS":
		return t.compares(o.text) || o.compares(t.text)
	}
	return true
}

// compares reports whether a folded text compares with the value.
func (t text) compares(with string) bool {
	switch t.operator {
	case "EQUALS":
		return with == t.text
	case "STARTS_WITH":
		return strings.HasPrefix(with, t.text)
	case "ENDS_WITH":
		return strings.HasSuffix(with, t.text)
	}
	return strings.Contains(with, t.text)
}

// texts are the values of a string condition, and whether one of them must compare: NOT_EQUALS is EQUALS turned.
func texts[T ~string](operator string, folding match.Folding, listed []T) (values []value, holds bool) {
	holds = operator != "NOT_EQUALS"
	if !holds {
		operator = "EQUALS"
	}
	for _, v := range listed {
		values = append(values, text{operator, string(folding.Append(nil, []byte(v)))})
	}
	return values, holds
}

// network is a value of an IP condition.
type network struct{ netip.Prefix }

func (n network) implies(other value) bool {
	o, ok := other.(network)
	return ok && o.Bits() <= n.Bits() && o.Contains(n.Addr())
}

func (n network) allows(other value) bool {
	o, ok := other.(network)
	return ok && o.Overlaps(n.Prefix)
}

// networks are the values of an IP condition; what is no network has none, and Compile says so.
func networks[T ~string](operator string, listed []T) (values []value, holds bool) {
	for _, v := range listed {
		if p, ok := match.ParseNetwork(string(v)); ok {
			values = append(values, network{p})
		}
	}
	return values, operator != "NOT_CIDR_MATCHES"
}

// truth is the value of a boolean condition.
type truth struct{}

func (truth) implies(value) bool { return true }

func (truth) allows(value) bool { return true }

// both says which two conditions contradict each other.
func both(a, b *literal) string {
	return fmt.Sprintf("it can never match: %s and %s contradict each other about %s", a.label, b.label, a.attribute)
}
