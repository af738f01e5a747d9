package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// epoch is when the tests take place; certificates are valid from a year before it to a year after it.
var epoch = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// party is whoever has a certificate and its key.
type party struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// change is what a test wants to be different about a certificate.
type change func(*x509.Certificate)

func expired(c *x509.Certificate)     { c.NotAfter = epoch.Add(-day) }
func notYetValid(c *x509.Certificate) { c.NotBefore = epoch.Add(day) }
func serial(n int64) change           { return func(c *x509.Certificate) { c.SerialNumber = big.NewInt(n) } }
func validUntil(t time.Time) change   { return func(c *x509.Certificate) { c.NotAfter = t } }
func extended(e ...pkix.Extension) change {
	return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, e...) }
}
func usage(u ...x509.ExtKeyUsage) change {
	return func(c *x509.Certificate) { c.ExtKeyUsage = u }
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string, changes []change) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: epoch.AddDate(-1, 0, 0), NotAfter: epoch.AddDate(1, 0, 0),
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func authorityTemplate(name string, changes []change) *x509.Certificate {
	return template(name, append([]change{func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign
	}}, changes...))
}

func (p party) sign(t testing.TB, c *x509.Certificate, key *ecdsa.PrivateKey) party {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, p.Certificate, key.Public(), p.key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return party{signed, key}
}

// newCA makes a CA that signed itself.
func newCA(t testing.TB, name string, changes ...change) party {
	t.Helper()
	c := authorityTemplate(name, changes)
	key := newKey(t)
	return party{c, key}.sign(t, c, key)
}

// renew makes another certificate of a CA, with the same name and key.
func (p party) renew(t testing.TB, changes ...change) party {
	t.Helper()
	c := authorityTemplate(p.Subject.CommonName, changes)
	return party{c, p.key}.sign(t, c, p.key)
}

// ca makes a CA below p, and cross one for a CA that is there.
func (p party) ca(t testing.TB, name string, changes ...change) party {
	t.Helper()
	return p.sign(t, authorityTemplate(name, changes), newKey(t))
}

func (p party) cross(t testing.TB, of party, changes ...change) party {
	t.Helper()
	return p.sign(t, authorityTemplate(of.Subject.CommonName, changes), of.key)
}

// client makes a client of p.
func (p party) client(t testing.TB, name string, changes ...change) party {
	t.Helper()
	return p.sign(t, template(name, append([]change{usage(x509.ExtKeyUsageClientAuth)}, changes...)), newKey(t))
}

// listOf is a revocation list of p as PEM.
func (p party) list(t testing.TB, l x509.RevocationList, serials ...int64) string {
	t.Helper()
	if l.Number == nil {
		l.Number = big.NewInt(1)
	}
	if l.ThisUpdate.IsZero() {
		l.ThisUpdate = epoch.Add(-day)
	}
	if l.NextUpdate.IsZero() {
		l.NextUpdate = epoch.AddDate(0, 6, 0)
	}
	for _, n := range serials {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(n), RevocationTime: l.ThisUpdate})
	}
	der, err := x509.CreateRevocationList(rand.Reader, &l, p.Certificate, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return block(pemCRL, der)
}

func (p party) revokes(t testing.TB, serials ...int64) string {
	t.Helper()
	return p.list(t, x509.RevocationList{}, serials...)
}

func block(blockType string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

func bundle(parties ...party) string {
	var b strings.Builder
	for _, p := range parties {
		b.WriteString(block(pemCertificate, p.Raw))
	}
	return b.String()
}

func chain(parties ...party) []*x509.Certificate {
	var out []*x509.Certificate
	for _, p := range parties {
		out = append(out, p.Certificate)
	}
	return out
}

func compile(t testing.TB, caPEM, crlPEM string) *Store {
	t.Helper()
	s, err := Compile(caPEM, crlPEM)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
