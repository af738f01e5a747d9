package access

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is one of the condition operators, without what may stand before and behind it.
type operator struct {
	compile func(c compiler, text string) (operand, error)
	negated bool
	null    bool
}

// operators is every operator there is. BinaryEquals is not: no condition key here is binary.
var operators = map[string]operator{
	"StringEquals":              {compile: texts(patternKind{plain: true})},
	"StringNotEquals":           {compile: texts(patternKind{plain: true}), negated: true},
	"StringEqualsIgnoreCase":    {compile: texts(patternKind{plain: true, fold: true})},
	"StringNotEqualsIgnoreCase": {compile: texts(patternKind{plain: true, fold: true}), negated: true},
	"StringLike":                {compile: texts(patternKind{})},
	"StringNotLike":             {compile: texts(patternKind{}), negated: true},

	"ArnEquals":    {compile: compileARN},
	"ArnNotEquals": {compile: compileARN, negated: true},
	"ArnLike":      {compile: compileARN},
	"ArnNotLike":   {compile: compileARN, negated: true},

	"NumericEquals":            {compile: numbers(equal)},
	"NumericNotEquals":         {compile: numbers(equal), negated: true},
	"NumericLessThan":          {compile: numbers(less)},
	"NumericLessThanEquals":    {compile: numbers(less | equal)},
	"NumericGreaterThan":       {compile: numbers(greater)},
	"NumericGreaterThanEquals": {compile: numbers(greater | equal)},

	"DateEquals":            {compile: dates(equal)},
	"DateNotEquals":         {compile: dates(equal), negated: true},
	"DateLessThan":          {compile: dates(less)},
	"DateLessThanEquals":    {compile: dates(less | equal)},
	"DateGreaterThan":       {compile: dates(greater)},
	"DateGreaterThanEquals": {compile: dates(greater | equal)},

	"IpAddress":    {compile: compileNetwork},
	"NotIpAddress": {compile: compileNetwork, negated: true},

	"Bool": {compile: compileBool},
	"Null": {compile: compileBool, null: true},
}

// texts compiles operands that are compared as strings.
func texts(k patternKind) func(compiler, string) (operand, error) {
	return func(c compiler, text string) (operand, error) {
		own := k // the table is everybody's
		own.variables = c.variables
		p, err := compilePattern(text, own)
		return &p, err
	}
}

// arnOperand is an ARN each of whose parts is a pattern: a * does not reach over a colon, but in the last part.
type arnOperand [arnParts]pattern

func compileARN(c compiler, text string) (operand, error) {
	parts := strings.SplitN(text, ":", arnParts)
	if len(parts) != arnParts {
		return nil, errors.New("is no ARN: it has six parts with colons between them")
	}
	var a arnOperand
	for i, part := range parts {
		var err error
		if a[i], err = compilePattern(part, patternKind{variables: c.variables}); err != nil {
			return nil, err
		}
	}
	return &a, nil
}

func (a *arnOperand) match(value string, r *Request) bool {
	for i := range a {
		part, rest, found := strings.Cut(value, ":")
		if i == arnParts-1 {
			part = value
		} else if !found {
			return false
		}
		if !a[i].match(part, r) {
			return false
		}
		value = rest
	}
	return true
}

// order is a set of ways in which a value may stand to an operand.
type order uint8

const (
	less order = 1 << iota
	equal
	greater
)

// has reports whether the result of a comparison, below, at or above 0, is in the set.
func (o order) has(compared int) bool {
	switch {
	case compared < 0:
		return o&less != 0
	case compared > 0:
		return o&greater != 0
	default:
		return o&equal != 0
	}
}

type numberOperand struct {
	order  order
	number float64
}

func numbers(o order) func(compiler, string) (operand, error) {
	return func(_ compiler, text string) (operand, error) {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n != n {
			return nil, errors.New("is no number")
		}
		return &numberOperand{o, n}, nil
	}
}

func (o *numberOperand) match(value string, _ *Request) bool {
	n, err := strconv.ParseFloat(value, 64)
	switch {
	case err != nil || n != n:
		return false
	case n < o.number:
		return o.order.has(-1)
	case n > o.number:
		return o.order.has(1)
	default:
		return o.order.has(0)
	}
}

type dateOperand struct {
	order order
	date  time.Time
}

// dateLayouts are the forms of ISO 8601 that IAM takes.
var dateLayouts = []string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02", "2006-01", "2006"}

// parseDate reads a date, or a number of seconds since 1970. A bare year is a date.
func parseDate(text string) (time.Time, bool) {
	for _, layout := range dateLayouts {
		if date, err := time.Parse(layout, text); err == nil {
			return date, true
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0), err == nil
}

func dates(o order) func(compiler, string) (operand, error) {
	return func(_ compiler, text string) (operand, error) {
		date, ok := parseDate(text)
		if !ok {
			return nil, errors.New("is no date such as 2026-01-31T00:00:00Z")
		}
		return &dateOperand{o, date}, nil
	}
}

func (o *dateOperand) match(value string, _ *Request) bool {
	date, ok := parseDate(value)
	return ok && o.order.has(date.Compare(o.date))
}

type networkOperand netip.Prefix

func compileNetwork(_ compiler, text string) (operand, error) {
	network, err := netip.ParsePrefix(text)
	if address, alone := netip.ParseAddr(text); alone == nil && address.Zone() == "" {
		network, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil || network.Addr().Is4In6() { // a client with such an address is an IPv4 client
		return nil, errors.New("is neither an address nor a network such as 10.0.0.0/8 or 2001:db8::/32")
	}
	o := networkOperand(network.Masked())
	return &o, nil
}

func (o *networkOperand) match(value string, _ *Request) bool {
	address, err := netip.ParseAddr(value)
	return err == nil && netip.Prefix(*o).Contains(address.Unmap().WithZone(""))
}

// boolOperand is compared with true and false; of other values it is neither.
type boolOperand bool

func compileBool(_ compiler, text string) (operand, error) {
	switch strings.ToLower(text) {
	case "true":
		return boolOperand(true), nil
	case "false":
		return boolOperand(false), nil
	default:
		return nil, errors.New("is neither true nor false")
	}
}

func (o boolOperand) match(value string, _ *Request) bool {
	want := "false"
	if o {
		want = "true"
	}
	return strings.EqualFold(value, want)
}
