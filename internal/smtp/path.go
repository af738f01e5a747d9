package smtp

import (
	"strings"

	"golang.org/x/net/idna"
)

// Path is a reverse-path or forward-path that remembers what was received. The zero Path is the null reverse-path.
// Received is what stood between the angle brackets, without a source route; it is what rules see as the address and
// what is relayed. Local is the local part with quoting undone; Domain is as received.
// Source: RFC 5321, section 4.1.2.
type Path struct {
	Received string
	Local    string
	Domain   string
}

// IsNull reports whether the path is <>.
func (p Path) IsNull() bool { return p.Received == "" }

// String is the path as it stands between angle brackets on the wire.
func (p Path) String() string { return p.Received }

// IsASCII reports whether the path can go where SMTPUTF8 is not offered. RFC 6531, section 3.1.
func (p Path) IsASCII() bool {
	for i := range len(p.Received) {
		if p.Received[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Equal reports whether both paths name one mailbox: quoting does not matter, nor the case of the domain, nor whether
// the domain is spelled in U-labels or A-labels. The local part is the receiving host's business and is compared octet
// by octet. RFC 5321, section 2.4.
func (p Path) Equal(other Path) bool {
	return p.Local == other.Local && equalDomains(p.Domain, other.Domain)
}

func equalDomains(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	inASCII, err := idna.Lookup.ToASCII(a)
	if err != nil {
		return false
	}
	other, err := idna.Lookup.ToASCII(b)
	return err == nil && inASCII == other
}
