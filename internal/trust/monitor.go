package trust

import (
	"slices"
	"time"
)

// Limits of what a log record shows of a trust store. Mail Manager, section 11.
const (
	nearExpiry   = 90 * 24 * time.Hour
	maxMonitored = 10 // of each kind
)

// Monitoring is what is wrong with a trust store, or will be soon, in the order of the bundle. Mail Manager, section 11.
type Monitoring struct {
	CAs  []CA
	CRLs []CRL
}

// CA is a CA that is invalid or near its expiry.
type CA struct {
	Subject             string // RFC 2253
	NotBefore, NotAfter time.Time
}

// CRL is a revocation list that is invalid or near its expiry.
type CRL struct {
	Issuer                 string // RFC 2253
	ThisUpdate, NextUpdate time.Time
}

// Monitor returns the first ten CAs and the first ten revocation lists that are invalid at now or expire within 90 days.
func (s *Store) Monitor(now time.Time) Monitoring {
	var m Monitoring
	soon := now.Add(nearExpiry)
	var seen []*list
	for _, a := range s.authorities {
		if len(m.CAs) < maxMonitored && (a.revoked || outOfDate(a.certificate, now) || outOfDate(a.certificate, soon)) {
			m.CAs = append(m.CAs, CA{a.subject, a.certificate.NotBefore, a.certificate.NotAfter})
		}
		if a.list == nil || len(m.CRLs) == maxMonitored || slices.Contains(seen, a.list) {
			continue
		}
		if now.Before(a.list.thisUpdate) || a.list.expired(soon) {
			seen = append(seen, a.list)
			m.CRLs = append(m.CRLs, CRL{a.list.issuer, a.list.thisUpdate, a.list.nextUpdate})
		}
	}
	return m
}
