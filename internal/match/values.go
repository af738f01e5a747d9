package match

import (
	"net/netip"
	"strings"
)

// Networks is an IP operator with its networks. It may be used by many goroutines at once.
type Networks struct {
	prefixes []netip.Prefix
	negated  bool
}

// NewNetworks compiles CIDR_MATCHES or NOT_CIDR_MATCHES. ok is false for any other operator.
func NewNetworks(operator string, prefixes []netip.Prefix) (n Networks, ok bool) {
	n = Networks{prefixes: prefixes, negated: operator == "NOT_CIDR_MATCHES"}
	return n, n.negated || operator == "CIDR_MATCHES"
}

// ParseNetwork reads a network in CIDR notation, or an address, which is a network of one. Host bits are ignored.
// IPv4-mapped IPv6 is IPv4 (Mail Manager, C3).
func ParseNetwork(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		a, err := netip.ParseAddr(text)
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), err == nil && a.Zone() == ""
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// Holds reports whether the operator holds for an address: any network has it, or for NOT_CIDR_MATCHES none. An address of
// the other family is in no network.
func (n *Networks) Holds(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, p := range n.prefixes {
		if p.Contains(a) {
			return !n.negated
		}
	}
	return n.negated
}

// Negated reports whether the operator is NOT_CIDR_MATCHES.
func (n *Networks) Negated() bool { return n.negated }

// Number is a number operator with its value.
type Number struct {
	holds func(a, b float64) bool
	value float64
}

// numberOperators is every number operator of the API.
var numberOperators = map[string]func(a, b float64) bool{
	"EQUALS":                func(a, b float64) bool { return a == b },
	"NOT_EQUALS":            func(a, b float64) bool { return a != b },
	"LESS_THAN":             func(a, b float64) bool { return a < b },
	"GREATER_THAN":          func(a, b float64) bool { return a > b },
	"LESS_THAN_OR_EQUAL":    func(a, b float64) bool { return a <= b },
	"GREATER_THAN_OR_EQUAL": func(a, b float64) bool { return a >= b },
}

// NewNumber compiles a number operator. ok is false for an unknown one.
func NewNumber(operator string, value float64) (n Number, ok bool) {
	holds, ok := numberOperators[operator]
	return Number{holds: holds, value: value}, ok
}

// Holds reports whether the operator holds for a number.
func (n *Number) Holds(number float64) bool { return n.holds(number, n.value) }

// NewBoolean compiles IS_TRUE or IS_FALSE to the value that it asks for. ok is false for any other operator.
func NewBoolean(operator string) (want, ok bool) {
	return operator == "IS_TRUE", operator == "IS_TRUE" || operator == "IS_FALSE"
}

// TLS is a TLS version operator with its version.
type TLS struct {
	atLeast bool
	version int
}

// NewTLS compiles MINIMUM_TLS_VERSION or IS with TLS1_2 or TLS1_3. ok is false for any other.
func NewTLS(operator, version string) (t TLS, ok bool) {
	t = TLS{atLeast: operator == "MINIMUM_TLS_VERSION", version: tlsRank(version)}
	return t, t.version > 0 && (t.atLeast || operator == "IS")
}

// Holds reports whether the operator holds for a session's version. In clear (the empty version) none does
// (Mail Manager, C4).
func (t TLS) Holds(version string) bool {
	rank := tlsRank(version)
	if t.atLeast {
		return rank >= t.version
	}
	return rank == t.version
}

// tlsRank orders the versions of the API; 0 is clear text.
func tlsRank(version string) int {
	switch version {
	case "TLS1_2":
		return 1
	case "TLS1_3":
		return 2
	}
	return 0
}
