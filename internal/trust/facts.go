package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"iter"
	"math/big"
	"net/netip"
	"strings"

	"sluice/internal/message"
)

// Limits of what is taken of a certificate: it is kept with every message and shown in every log record. What is over a
// limit is left out whole, because a name that was cut could be taken for another.
const (
	maxNames        = 100      // common names and alternative names together
	maxNamesOctets  = 16 << 10 // of all of these
	maxNameOctets   = 1 << 10  // of each, and of a subject or an issuer
	maxSerialOctets = 64       // RFC 5280, section 4.1.2.2, has 20
)

const (
	oidCommonName       = "2.5.4.3"   // RFC 5280, appendix A.1
	oidAlternativeNames = "2.5.29.17" // RFC 5280, section 4.2.1.6
)

// Kinds of names. RFC 5280, section 4.2.1.6.
const (
	tagRFC822Name    = 1
	tagDNSName       = 2
	tagDirectoryName = 4
	tagURI           = 6
	tagIPAddress     = 7
	tagRegisteredID  = 8
)

// Facts returns what a certificate says of its subject, of which nothing is true unless the certificate is verified. It is
// nil for a nil certificate. Texts are UTF-8; names that are malformed or too many are left out. Mail Manager, D16.
func Facts(leaf *x509.Certificate) *message.Certificate {
	if leaf == nil {
		return nil
	}
	facts := &message.Certificate{
		SerialNumber: serialNumber(leaf.SerialNumber),
		Subject:      distinguishedName(leaf.RawSubject), Issuer: distinguishedName(leaf.RawIssuer),
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
	}
	n := names{facts: facts}
	for _, attribute := range leaf.Subject.Names {
		if text, ok := attribute.Value.(string); ok && attribute.Type.String() == oidCommonName {
			n.add(&facts.CommonNames, text)
		}
	}
	for _, e := range leaf.Extensions {
		if isAlternativeNames(e.Id) {
			for name := range elements(e.Value) {
				n.addAlternative(name)
			}
		}
	}
	return facts
}

func isAlternativeNames(id asn1.ObjectIdentifier) bool { return id.String() == oidAlternativeNames }

// names adds to the names of a certificate while the limits allow it.
type names struct {
	facts         *message.Certificate
	count, octets int
}

func (n *names) add(to *[]string, text string) {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if text == "" || len(text) > maxNameOctets || n.count == maxNames || n.octets+len(text) > maxNamesOctets {
		return
	}
	n.count++
	n.octets += len(text)
	*to = append(*to, text)
}

func (n *names) addAlternative(name asn1.RawValue) {
	if name.Class != asn1.ClassContextSpecific || name.IsCompound != (name.Tag == tagDirectoryName) || len(name.Bytes) > maxNameOctets {
		return
	}
	switch name.Tag {
	case tagRFC822Name:
		n.add(&n.facts.RFC822Names, string(name.Bytes))
	case tagDNSName:
		n.add(&n.facts.DNSNames, string(name.Bytes))
	case tagDirectoryName:
		n.add(&n.facts.DirectoryNames, distinguishedName(name.Bytes))
	case tagURI:
		n.add(&n.facts.URIs, string(name.Bytes))
	case tagIPAddress:
		if address, ok := netip.AddrFromSlice(name.Bytes); ok {
			n.add(&n.facts.IPAddresses, address.Unmap().String())
		}
	case tagRegisteredID:
		var id x509.OID
		if id.UnmarshalBinary(name.Bytes) == nil {
			n.add(&n.facts.RegisteredIDs, id.String())
		}
	}
}

// elements yields the elements of a DER sequence, up to the first that is malformed.
func elements(der []byte) iter.Seq[asn1.RawValue] {
	return func(yield func(asn1.RawValue) bool) {
		var sequence asn1.RawValue
		if _, err := asn1.Unmarshal(der, &sequence); err != nil || sequence.Tag != asn1.TagSequence || !sequence.IsCompound {
			return
		}
		for rest := sequence.Bytes; len(rest) > 0; {
			var element asn1.RawValue
			var err error
			if rest, err = asn1.Unmarshal(rest, &element); err != nil || !yield(element) {
				return
			}
		}
	}
}

// distinguishedName is a name in the form of RFC 2253, with its parts as they stand in it, or empty when it is too long or
// cannot be read. pkix.Name is not that: it puts parts in another order.
func distinguishedName(der []byte) string {
	var parts pkix.RDNSequence
	if len(der) > maxNameOctets {
		return ""
	}
	if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 {
		return ""
	}
	return strings.ToValidUTF8(parts.String(), "\uFFFD")
}

// serialNumber is a serial number in octets, such as 0A:DE, or empty when it is too long. Mail Manager, section 11.
func serialNumber(n *big.Int) string {
	octets := n.Bytes()
	if len(octets) > maxSerialOctets {
		return ""
	}
	if len(octets) == 0 {
		octets = []byte{0}
	}
	return strings.ReplaceAll(fmt.Sprintf("% X", octets), " ", ":")
}
