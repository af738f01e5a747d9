package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

// Why a client is not let in. Mail Manager, section 2.3; Mail Manager, B6.
var (
	ErrNoCertificate         = errors.New("no client certificate")
	ErrExpired               = errors.New("client certificate, or one between it and its CA, is expired or not yet valid")
	ErrUnknownAuthority      = errors.New("client certificate is of no CA in the trust store")
	ErrAuthorityExpired      = errors.New("client certificate is of a CA in the trust store that is expired or not yet valid")
	ErrRevoked               = errors.New("client certificate, or one that it depends on, is revoked")
	ErrRevocationListExpired = errors.New("client certificate is of a CA in the trust store whose revocation list is expired")
	ErrUnsuitable            = errors.New("client certificate is not for clients, or breaks a rule of its CA")
)

// maxIntermediates is how many certificates beside its own a client's chain is built from; real chains have one or two.
const maxIntermediates = 16

// Verify returns nil for a client whose certificates, its own first and then the intermediate ones in any order, lead to a CA
// of the store that is valid at now, as each of them is, and of which none is revoked. Its own certificate must be one for
// clients, if it says what it is for. An error is one of ErrNoCertificate, ErrExpired, ErrUnknownAuthority,
// ErrAuthorityExpired, ErrRevoked, ErrRevocationListExpired and ErrUnsuitable. RFC 5280, section 6; Mail Manager, B6.
func (s *Store) Verify(chain []*x509.Certificate, now time.Time) error {
	if len(chain) == 0 {
		return ErrNoCertificate
	}
	presented := chain[:min(len(chain), 1+maxIntermediates)]
	if outOfDate(presented[0], now) {
		return ErrExpired
	}
	m := s.at(now)
	options := x509.VerifyOptions{
		Roots: m.roots, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range presented[1:] {
		options.Intermediates.AddCert(c)
	}
	chains, err := withReadNames(presented[0]).Verify(options)
	if err != nil {
		return m.explain(presented, err)
	}
	return s.checkRevocation(chains, now)
}

// withReadNames returns a certificate of which crypto/x509 does not hold against it that its alternative names are critical
// and of kinds that only Facts reads. RFC 5280, section 4.2.1.6.
func withReadNames(c *x509.Certificate) *x509.Certificate {
	if !slices.ContainsFunc(c.UnhandledCriticalExtensions, isAlternativeNames) {
		return c
	}
	read := *c
	read.UnhandledCriticalExtensions = slices.DeleteFunc(slices.Clone(c.UnhandledCriticalExtensions), isAlternativeNames)
	return &read
}

// checkRevocation wants one chain of which no certificate is revoked by its issuer. The list of an issuer counts whichever
// certificate the issuer has in the chain.
func (s *Store) checkRevocation(chains [][]*x509.Certificate, now time.Time) error {
	var first error
	for _, chain := range chains {
		err := s.checkChain(chain, now)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func (s *Store) checkChain(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain[:len(chain)-1] {
		l := s.listOf(chain[i+1])
		if l.has(c) {
			return ErrRevoked
		}
		if l.expired(now) {
			return ErrRevocationListExpired
		}
	}
	return nil
}

// moment is the store as it is between two changes by time alone.
type moment struct {
	from, until time.Time // until does not belong to it; zero: for ever
	roots       *x509.CertPool
	out         []outcast
}

// outcast is a CA that does not count, and why.
type outcast struct {
	certificate *x509.Certificate
	why         error
}

// at returns the store as it is at now. It is made anew when a CA or a list begins or ends to be valid, and otherwise found.
func (s *Store) at(now time.Time) *moment {
	if m := s.moment.Load(); m != nil && !now.Before(m.from) && (m.until.IsZero() || now.Before(m.until)) {
		return m
	}
	m := &moment{roots: x509.NewCertPool()}
	for _, a := range s.authorities {
		m.bound(a.certificate.NotBefore, now)
		m.bound(a.certificate.NotAfter.Add(1), now) // the end of validity belongs to it
		if a.list != nil {
			m.bound(a.list.nextUpdate.Add(1), now)
		}
		if why := a.check(now); why != nil {
			m.out = append(m.out, outcast{a.certificate, why})
			continue
		}
		m.roots.AddCert(a.certificate)
	}
	s.moment.Store(m)
	return m
}

// bound narrows the moment around now to one side of a change.
func (m *moment) bound(change, now time.Time) {
	switch {
	case !change.After(now):
		if change.After(m.from) {
			m.from = change
		}
	case m.until.IsZero() || change.Before(m.until):
		m.until = change
	}
}

// check says why a CA does not count at now. A CA leaves the store with its list: without it nobody can say which of its
// certificates are good. Mail Manager, section 2.3.
func (a *authority) check(now time.Time) error {
	switch {
	case a.revoked:
		return ErrRevoked
	case outOfDate(a.certificate, now):
		return ErrAuthorityExpired
	case a.list.expired(now):
		return ErrRevocationListExpired
	}
	return nil
}

// explain names the reason for which no chain was found.
func (m *moment) explain(presented []*x509.Certificate, err error) error {
	invalid, _ := errors.AsType[x509.CertificateInvalidError](err)
	expired := invalid.Cert != nil && invalid.Reason == x509.Expired
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); !unknown && !expired {
		return ErrUnsuitable
	}
	for _, o := range m.out {
		if slices.ContainsFunc(presented, o.issued) {
			return o.why
		}
	}
	if expired {
		return ErrExpired
	}
	return ErrUnknownAuthority
}

// issued reports whether a certificate is the CA's own, or was signed by it.
func (o outcast) issued(c *x509.Certificate) bool {
	return c.Equal(o.certificate) || bytes.Equal(c.RawIssuer, o.certificate.RawSubject) && c.CheckSignatureFrom(o.certificate) == nil
}
