// Package certtest issues certificates for tests: authorities, servers and clients, good ones and bad ones, and revocation
// lists. Start with New.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"
)

// lifetime is how long before and after now certificates are good, unless a change says otherwise.
const lifetime = 24 * time.Hour

// serialBits is the size of serial numbers: random, so that no two are alike.
const serialBits = 64

// CA is a certificate authority. It is not safe for concurrent use.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority whose own certificate is as change leaves it; nil leaves it as it is.
func New(t testing.TB, name string, change func(*x509.Certificate)) *CA {
	t.Helper()
	template := newTemplate(name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	template.ExtKeyUsage = nil
	if change != nil {
		change(template)
	}
	key := newKey(t)
	return &CA{t: t, cert: sign(t, template, template, &key.PublicKey, key), key: key}
}

// PEM is the authority's certificate.
func (ca *CA) PEM() string { return encode("CERTIFICATE", ca.cert.Raw) }

// Certificate is the authority's certificate.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// Issue makes a certificate for a name, good for servers and clients, as change leaves it; nil leaves it as it is.
func (ca *CA) Issue(name string, change func(*x509.Certificate)) *tls.Certificate {
	ca.t.Helper()
	template := newTemplate(name)
	template.DNSNames = []string{name}
	if change != nil {
		change(template)
	}
	key := newKey(ca.t)
	leaf := sign(ca.t, template, ca.cert, &key.PublicKey, ca.key)
	return &tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// CRL is a list of revoked certificates that is good until then.
func (ca *CA) CRL(until time.Time, revoked ...*tls.Certificate) string {
	ca.t.Helper()
	list := &x509.RevocationList{Number: newSerial(ca.t), ThisUpdate: time.Now().Add(-lifetime), NextUpdate: until}
	if !list.ThisUpdate.Before(until) {
		list.ThisUpdate = until.Add(-lifetime)
	}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: c.Leaf.SerialNumber, RevocationTime: list.ThisUpdate,
		})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, ca.cert, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	return encode("X509 CRL", der)
}

// Expired makes a certificate one that has expired an hour ago.
func Expired(template *x509.Certificate) {
	template.NotBefore, template.NotAfter = time.Now().Add(-lifetime), time.Now().Add(-time.Hour)
}

// Loopback adds the addresses of this machine.
func Loopback(template *x509.Certificate) {
	template.IPAddresses = append(template.IPAddresses, net.IPv4(127, 0, 0, 1), net.IPv6loopback)
}

// CertPEM is a certificate in PEM.
func CertPEM(c *tls.Certificate) string { return encode("CERTIFICATE", c.Certificate[0]) }

// KeyPEM is its private key in PEM.
func KeyPEM(t testing.TB, c *tls.Certificate) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return encode("PRIVATE KEY", der)
}

func newTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   time.Now().Add(-lifetime),
		NotAfter:    time.Now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func sign(t testing.TB, template, parent *x509.Certificate, public *ecdsa.PublicKey, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	if template.SerialNumber == nil {
		template.SerialNumber = newSerial(t)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
