package certs

import (
	"crypto/tls"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxNameOctets is the longest domain name (RFC 1035, section 2.3.4).
const maxNameOctets = 253

// table is the certificates by name. It does not change once it is made.
type table struct {
	all      []*tls.Certificate            // in the order of the configuration
	exact    map[string][]*tls.Certificate // by name
	wildcard map[string][]*tls.Certificate // by what follows "*."
}

func newTable(all []*tls.Certificate) *table {
	t := &table{all: all, exact: map[string][]*tls.Certificate{}, wildcard: map[string][]*tls.Certificate{}}
	for _, certificate := range all {
		for _, name := range certificate.Leaf.DNSNames {
			names := t.exact
			if rest, ok := strings.CutPrefix(name, "*."); ok {
				name, names = rest, t.wildcard
			}
			if name = normal(name); name != "" {
				names[name] = append(names[name], certificate)
			}
		}
	}
	return t
}

// pick returns the certificate for a handshake; nil when there is none at all.
func (t *table) pick(hello *tls.ClientHelloInfo) *tls.Certificate {
	name := normal(hello.ServerName)
	_, parent, _ := strings.Cut(name, ".") // a wildcard stands for one label (RFC 6125, section 6.4.3)
	nameless := *hello
	nameless.ServerName = "" // the name is our affair; the client may be able to verify another, and mostly does not care
	var first *tls.Certificate
	for _, candidates := range [][]*tls.Certificate{t.exact[name], t.wildcard[parent], t.all} {
		for _, certificate := range candidates {
			if nameless.SupportsCertificate(certificate) == nil {
				return certificate
			}
			if first == nil {
				first = certificate
			}
		}
	}
	return first
}

// normal is a domain name as names are compared: in A-labels and lower case. It is empty for what is no name.
func normal(name string) string {
	name = strings.TrimSuffix(name, ".")
	if len(name) > maxNameOctets || !utf8.ValidString(name) {
		return ""
	}
	if isASCII(name) {
		return strings.ToLower(name) // with an underscore too, which idna refuses
	}
	inASCII, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return ""
	}
	return inASCII
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
