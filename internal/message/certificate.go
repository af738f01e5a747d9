package message

import (
	"slices"
	"time"
)

// Certificate is what a client's certificate says of it: the facts that rules and logs use. It never changes, and sessions
// may share it. Names are as the certificate has them; a list is empty when the certificate has none of its kind.
// RFC 5280, sections 4.1.2 and 4.2.1.6; Mail Manager, section 4.4.
type Certificate struct {
	CommonNames    []string // every one of the subject (Mail Manager, D16)
	SerialNumber   string   // upper-case hexadecimal octets, separated by colons: 0A:DE
	RFC822Names    []string
	DNSNames       []string
	DirectoryNames []string // RFC 2253
	URIs           []string
	IPAddresses    []string
	RegisteredIDs  []string // object identifiers in dotted form
	Subject        string   // RFC 2253
	Issuer         string   // RFC 2253
	NotBefore      time.Time
	NotAfter       time.Time
}

// AlternativeNames returns the subject's alternative names of every kind in one new list. Mail Manager, section 11.
func (c *Certificate) AlternativeNames() []string {
	return slices.Concat(c.RFC822Names, c.DNSNames, c.DirectoryNames, c.URIs, c.IPAddresses, c.RegisteredIDs)
}
