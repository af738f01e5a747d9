package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// Extensions of revocation lists. RFC 5280, sections 5.2.4 and 5.2.5.
const (
	oidDeltaIndicator    = "2.5.29.27"
	oidDistributionPoint = "2.5.29.28"
)

// tagIndirect is the member indirectCRL of an issuing distribution point. RFC 5280, section 5.2.5.
const tagIndirect = 4

// list is a revocation list. A nil list revokes nothing and never expires.
type list struct {
	issuer     string // RFC 2253
	number     *big.Int
	thisUpdate time.Time
	nextUpdate time.Time           // zero: the list does not say
	revoked    map[string]struct{} // serial numbers
}

// newList takes a list that says all that there is to say of its issuer's certificates, and refuses any other: a list that
// is understood in part could call a revoked certificate good. RFC 5280, section 5.2.
func newList(parsed *x509.RevocationList) (*list, error) {
	for _, e := range parsed.Extensions {
		if err := checkListExtension(e); err != nil {
			return nil, err
		}
	}
	l := &list{
		issuer: distinguishedName(parsed.RawIssuer), number: parsed.Number, thisUpdate: parsed.ThisUpdate, nextUpdate: parsed.NextUpdate,
		revoked: make(map[string]struct{}, len(parsed.RevokedCertificateEntries)),
	}
	for _, entry := range parsed.RevokedCertificateEntries {
		if slices.ContainsFunc(entry.Extensions, func(e pkix.Extension) bool { return e.Critical }) {
			return nil, errCriticalInList // RFC 5280, section 5.3
		}
		l.revoked[serialKey(entry.SerialNumber)] = struct{}{}
	}
	return l, nil
}

// checkListExtension takes a distribution point, which may be critical and is how private CAs name where their list is, as
// long as the list is about the issuer's own certificates. RFC 5280, sections 5.2.4 and 5.2.5.
func checkListExtension(e pkix.Extension) error {
	switch e.Id.String() {
	case oidDeltaIndicator:
		return errPartialList
	case oidDistributionPoint:
		for part := range elements(e.Value) {
			if part.Class == asn1.ClassContextSpecific && part.Tag == tagIndirect {
				return errPartialList
			}
		}
		return nil
	}
	if e.Critical {
		return errCriticalInList
	}
	return nil
}

// serialKey is a serial number as a key. Hexadecimal takes linear time, however long the number is.
func serialKey(n *big.Int) string { return n.Text(16) }

// has reports whether a certificate is on the list. The caller knows that the list is its issuer's.
func (l *list) has(c *x509.Certificate) bool {
	if l == nil {
		return false
	}
	_, ok := l.revoked[serialKey(c.SerialNumber)]
	return ok
}

// expired reports whether a newer list should be there. A list that does not say when never expires. A list from the
// future counts: what it revokes is known. RFC 5280, section 5.1.2.5.
func (l *list) expired(now time.Time) bool {
	return l != nil && !l.nextUpdate.IsZero() && now.After(l.nextUpdate)
}

// newer reports whether the list was issued after another of the same issuer, by number and then by time.
// RFC 5280, section 5.2.3.
func (l *list) newer(than *list) bool {
	if a, b := l.number, than.number; a != nil && b != nil && a.Cmp(b) != 0 {
		return a.Cmp(b) > 0
	}
	return l.thisUpdate.After(than.thisUpdate)
}
