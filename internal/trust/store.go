package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Which member of a trust store an error of Compile is about. Mail Manager, TrustStore.
var (
	ErrCAContent  = errors.New("CAContent")
	ErrCrlContent = errors.New("CrlContent")
)

// Types of PEM blocks. RFC 7468, sections 5.1 and 6.
const (
	pemCertificate = "CERTIFICATE"
	pemCRL         = "X509 CRL"
)

// maxSignatureChecks bounds the work of Compile, which a hundred CAs with one name and a hundred lists would make long. One
// list of each CA of the largest bundle needs half as many. Mail Manager, CAContent.
const maxSignatureChecks = 1000

// Store is a trust store. Apart from what it remembers to be fast it never changes, and it may be used by many goroutines at
// once.
type Store struct {
	authorities []*authority
	lists       map[issuer]*list
	moment      atomic.Pointer[moment]
}

// authority is a CA of the bundle.
type authority struct {
	certificate *x509.Certificate
	subject     string // RFC 2253
	list        *list  // what it revoked, or nil
	revoked     bool   // by another CA of the bundle, or by itself
}

// issuer is who signs: certificates of one name and one key are one issuer, such as a CA that was renewed.
type issuer struct{ name, key string }

// Compile makes a Store of a bundle of CAs and, unless it is empty, of revocation lists, each of one of these CAs. Of several
// lists of one CA the newest counts. An error is ErrCAContent or ErrCrlContent; it says what is wrong with which PEM block,
// and nothing of what is in it. Mail Manager, section 2.3.
func Compile(caPEM, crlPEM string) (*Store, error) {
	c := compiler{store: &Store{lists: map[issuer]*list{}}}
	if err := eachBlock(caPEM, pemCertificate, c.addAuthority); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCAContent, err)
	}
	if crlPEM != "" {
		if err := eachBlock(crlPEM, pemCRL, c.addList); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCrlContent, err)
		}
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCrlContent, err)
	}
	return c.store, nil
}

// pemBegin is how every block begins. RFC 7468, section 2.
const pemBegin = "-----BEGIN "

// eachBlock calls add for each PEM block of text, of which there must be one. Every block that begins must end, too: the
// decoder passes over others, and a revocation list that was cut off would revoke nothing in silence.
func eachBlock(text, blockType string, add func(der []byte) error) error {
	begun := strings.Count(text, pemBegin)
	rest := []byte(text)
	for n := 1; n <= max(begun, 1); n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return fmt.Errorf("%d of %d PEM blocks are whole", n-1, begun)
		}
		if block.Type != blockType {
			return fmt.Errorf("block %d is not of type %s", n, blockType)
		}
		if err := add(block.Bytes); err != nil {
			return fmt.Errorf("block %d %w", n, err)
		}
	}
	return nil
}

// compiler fills a Store.
type compiler struct {
	store  *Store
	checks int // signatures checked
}

// What is wrong with a block. Errors of crypto/x509 are not passed on: they quote what they read.
var (
	errNoCertificate    = errors.New("is not a certificate that can be read")
	errNoAuthority      = errors.New("is not the certificate of a CA")
	errUnusable         = errors.New("has a key or a critical extension that is not supported")
	errNoList           = errors.New("is not a revocation list that can be read")
	errPartialList      = errors.New("is a delta or indirect revocation list, which is not supported")
	errCriticalInList   = errors.New("has a critical extension that is not supported")
	errForeignList      = errors.New("is a revocation list that no CA of the bundle signed, or none that may")
	errTooManyOfOneName = errors.New("has too many CAs of one name to be checked")
)

func (c *compiler) addAuthority(der []byte) error {
	certificate, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		return errNoCertificate
	case !isAuthority(certificate):
		return errNoAuthority
	case certificate.PublicKey == nil || len(certificate.UnhandledCriticalExtensions) > 0:
		return errUnusable
	}
	for _, a := range c.store.authorities {
		if a.certificate.Equal(certificate) {
			return nil
		}
	}
	added := &authority{certificate: certificate, subject: distinguishedName(certificate.RawSubject)}
	c.store.authorities = append(c.store.authorities, added)
	return nil
}

// isAuthority reports whether a certificate may sign others. RFC 5280, sections 4.2.1.3 and 4.2.1.9.
func isAuthority(c *x509.Certificate) bool {
	maySign := c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0
	if !c.BasicConstraintsValid {
		return maySign && c.Version < 3
	}
	return maySign && c.IsCA
}

func (c *compiler) addList(der []byte) error {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return errNoList
	}
	signer, err := c.signer(parsed)
	if err != nil {
		return err
	}
	added, err := newList(parsed)
	if err != nil {
		return err
	}
	by := issuer{string(signer.RawSubject), string(signer.RawSubjectPublicKeyInfo)}
	if old := c.store.lists[by]; old == nil || added.newer(old) {
		c.store.lists[by] = added
	}
	return nil
}

// signer returns the CA of the bundle that signed a list.
func (c *compiler) signer(l *x509.RevocationList) (*x509.Certificate, error) {
	for _, a := range c.store.authorities {
		if !bytes.Equal(a.certificate.RawSubject, l.RawIssuer) {
			continue
		}
		if err := c.count(); err != nil {
			return nil, err
		}
		if l.CheckSignatureFrom(a.certificate) == nil {
			return a.certificate, nil
		}
	}
	return nil, errForeignList
}

func (c *compiler) count() error {
	if c.checks++; c.checks > maxSignatureChecks {
		return errTooManyOfOneName
	}
	return nil
}

// finish gives each CA its list, and finds those that are revoked themselves.
func (c *compiler) finish() error {
	for _, a := range c.store.authorities {
		a.list = c.store.listOf(a.certificate)
	}
	for _, a := range c.store.authorities {
		if err := c.findRevoked(a); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) findRevoked(a *authority) error {
	for _, by := range c.store.authorities {
		if !bytes.Equal(by.certificate.RawSubject, a.certificate.RawIssuer) || !by.list.has(a.certificate) {
			continue
		}
		if err := c.count(); err != nil {
			return err
		}
		a.revoked = a.revoked || a.certificate.CheckSignatureFrom(by.certificate) == nil
	}
	return nil
}

// listOf returns the list of a CA, which need not be one of the bundle, or nil.
func (s *Store) listOf(ca *x509.Certificate) *list {
	return s.lists[issuer{string(ca.RawSubject), string(ca.RawSubjectPublicKeyInfo)}]
}

// outOfDate reports whether now is outside of a certificate's validity, whose ends belong to it. RFC 5280, section 4.1.2.5.
func outOfDate(c *x509.Certificate, now time.Time) bool {
	return now.Before(c.NotBefore) || now.After(c.NotAfter)
}
