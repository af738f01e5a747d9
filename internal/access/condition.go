package access

import (
	"slices"
	"strings"
)

// quantifier says how a key with several values is compared.
type quantifier uint8

const (
	single   quantifier = iota
	forAny              // one of the request's values must do
	forEvery            // each must, also if there is none
)

// condition is one key under one operator.
type condition struct {
	key      Key
	quantify quantifier
	ifExists bool // holds when the request has no such key
	negated  bool // a value does when it is none of the operands
	null     bool // the operator Null: is compared with whether the key is there
	operands []operand
}

// operand is one value that a policy compares with.
type operand interface {
	match(value string, r *Request) bool
}

// keyResourceTag is a tag of the resource that a request is about.
const keyResourceTag = "aws:resourcetag"

// keys are the condition keys. A tag key is followed by a slash and a tag's key; a list has several values.
// Source: Mail Manager, section 12.
var keys = map[string]struct{ tag, list bool }{
	"aws:currenttime":                 {},
	"aws:epochtime":                   {},
	"aws:principalaccount":            {},
	"aws:principalarn":                {},
	"aws:requestedregion":             {},
	"aws:securetransport":             {},
	"aws:sourceip":                    {},
	"aws:useragent":                   {},
	"aws:userid":                      {},
	"aws:username":                    {},
	"aws:tagkeys":                     {list: true},
	"aws:requesttag":                  {tag: true},
	keyResourceTag:                    {tag: true},
	"ses:addonsubscriptionarn":        {},
	"ses:mailmanageringresspointtype": {},
	"ses:mailmanagerrulesetarn":       {},
	"ses:mailmanagertrafficpolicyarn": {},
}

// ParseKey reads a condition key. ok is false when there is no such key.
func ParseKey(text string) (key Key, ok bool) {
	name, tag, tagged := strings.Cut(text, "/")
	key = Key{Name: strings.ToLower(name), Tag: tag}
	kind, known := keys[key.Name]
	return key, known && kind.tag == tagged && (!tagged || tag != "")
}

// KeyNames are the condition keys there are, in lower case and in order; those of tags end in a slash.
func KeyNames() []string {
	names := make([]string, 0, len(keys))
	for name, kind := range keys {
		if kind.tag {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c compiler) conditions(path string, n *node) ([]condition, error) {
	if n.kind != nodeObject {
		return nil, wrong(path, "is no object")
	}
	var all []condition
	for i := range n.members {
		m := &n.members[i]
		at := join(path, m.name)
		base, op, err := readOperator(at, m.name)
		if err != nil {
			return nil, err
		}
		if m.value.kind != nodeObject {
			return nil, wrong(at, "is no object of keys and values")
		}
		for j := range m.value.members {
			one, err := c.condition(at, base, op, &m.value.members[j])
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// readOperator takes the name of an operator apart: base has everything of a condition but key and operands.
func readOperator(path, name string) (base condition, op operator, err error) {
	rest := name
	if after, ok := strings.CutPrefix(rest, "ForAnyValue:"); ok {
		rest, base.quantify = after, forAny
	} else if after, ok := strings.CutPrefix(rest, "ForAllValues:"); ok {
		rest, base.quantify = after, forEvery
	}
	rest, base.ifExists = strings.CutSuffix(rest, "IfExists")
	op, ok := operators[rest]
	if !ok || op.null && (base.ifExists || base.quantify != single) {
		return base, op, wrong(path, "there is no such operator")
	}
	base.negated, base.null = op.negated, op.null
	return base, op, nil
}

func (c compiler) condition(path string, base condition, op operator, m *member) (condition, error) {
	at := join(path, m.name)
	var ok bool
	if base.key, ok = ParseKey(m.name); !ok {
		return base, wrong(at, "there is no such condition key: %s", strings.Join(KeyNames(), ", "))
	}
	if keys[base.key.Name].list && base.quantify == single && !base.null {
		return base, wrong(at, "has several values: put ForAnyValue: or ForAllValues: before the operator")
	}
	values, paths := m.value.items(at)
	if len(values) == 0 {
		return base, wrong(at, "has no value")
	}
	base.operands = make([]operand, len(values))
	for i := range values {
		if values[i].kind != nodeString && values[i].kind != nodeScalar {
			return base, wrong(paths[i], "is no string, number or boolean")
		}
		compiled, err := op.compile(c, values[i].text)
		if err != nil {
			return base, wrong(paths[i], "%v", err)
		}
		base.operands[i] = compiled
	}
	return base, nil
}

// holds tests a condition. A key that the request does not have satisfies IfExists, ForAllValues and negated operators.
func (c *condition) holds(r *Request) bool {
	values, ok := r.values(c.key)
	ok = ok && len(values) > 0
	if c.null {
		return c.any(nullText[!ok], r)
	}
	if !ok {
		return c.ifExists || c.quantify == forEvery || c.negated && c.quantify == single
	}
	// A single key has one value. Should it ever have more, one is enough to satisfy an operator and every one is needed to
	// satisfy its negation.
	every := c.quantify == forEvery || c.quantify == single && c.negated
	for _, value := range values {
		if does := c.any(value, r) != c.negated; does != every {
			return does
		}
	}
	return every
}

// nullText is how a policy writes that a key is absent.
var nullText = map[bool]string{true: "true", false: "false"}

// any reports whether a value is one of the operands.
func (c *condition) any(value string, r *Request) bool {
	for _, o := range c.operands {
		if o.match(value, r) {
			return true
		}
	}
	return false
}

// values looks a key up.
func (r *Request) values(key Key) ([]string, bool) {
	if r.Context == nil {
		return nil, false
	}
	return r.Context.Values(key)
}
