package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The files of the self-signed certificate. Clients may be given the first, to trust it.
const (
	selfSignedCert             = "smtp-cert.pem"
	selfSignedKey              = "smtp-key.pem"
	certMode       fs.FileMode = 0o644
	keyMode        fs.FileMode = 0o600
)

const (
	selfSignedYears = 10
	renewBefore     = 30 * 24 * time.Hour
	clockSkew       = time.Hour // a client's clock may be behind ours
)

// SelfSigned is a certificate that nobody but us vouches for: TLS without any setting, and something that clients can be
// told to trust. It is made on the first start, used by later ones and renewed 30 days before its end, with the same key.
type SelfSigned struct {
	Dir   string   // where it and its key are kept
	Names []string // domain names it is for, beside localhost and the loopback addresses; wildcards may be among them
}

func (s *SelfSigned) pair() Pair {
	return Pair{Cert: filepath.Join(s.Dir, selfSignedCert), Key: filepath.Join(s.Dir, selfSignedKey)}
}

// ends reports whether a self-signed certificate is to be renewed.
func (c *Certificates) ends(certificate *tls.Certificate) bool {
	return certificate != nil && !c.now().Before(certificate.Leaf.NotAfter.Add(-renewBefore))
}

// make makes the self-signed certificate when it is used, and is not there or ends. A certificate that cannot be read is
// left for its reader to complain of.
func (c *Certificates) make() error {
	if c.selfSigned == nil {
		return nil
	}
	files := c.selfSigned.pair()
	text, err := readFile(files.Cert)
	if err == nil && !c.ends(parse(text)) || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	key, err := signer(files.Key)
	if err == nil {
		err = c.selfSigned.sign(files.Cert, key, c.now())
	}
	if err != nil {
		return fmt.Errorf("make the self-signed certificate %s: %w", files.Cert, err)
	}
	c.log.Info("self-signed certificate made", "file", files.Cert)
	return nil
}

// parse is the certificate of a file that we wrote, nil for anything else.
func parse(text []byte) *tls.Certificate {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return &tls.Certificate{Leaf: leaf}
}

// signer returns the key of the self-signed certificate, which is made when there is none. It is written before any
// certificate, and never replaced: a crash leaves no certificate without its key.
func signer(path string) (crypto.Signer, error) {
	text, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newKey(path)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not in PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private key %s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key %s: %T cannot sign", path, key)
	}
	return signer, nil
}

func newKey(path string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, writeFile(path, keyMode, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// sign writes a new certificate. It is no CA's: some clients refuse those as a server's.
func (s *SelfSigned) sign(path string, key crypto.Signer, now time.Time) error {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Sluice, self-signed"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.AddDate(selfSignedYears, 0, 0),
		DNSNames:              s.names(),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	return writeFile(path, certMode, &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// names are the domain names of the certificate, each once. What is no name is left out.
func (s *SelfSigned) names() []string {
	var names []string
	for _, name := range append(slices.Clone(s.Names), "localhost") {
		rest, isWildcard := strings.CutPrefix(name, "*.")
		name = normal(rest)
		if name == "" || net.ParseIP(name) != nil {
			continue
		}
		if isWildcard {
			name = "*." + name
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// warnOfMissingNames says that the self-signed certificate was made before the names were what they are. It stays: clients
// may have been told to trust it.
func (c *Certificates) warnOfMissingNames() {
	if c.selfSigned == nil {
		return
	}
	leaf := c.pairs[0].certificate.Leaf
	missing := slices.DeleteFunc(c.selfSigned.names(), func(name string) bool { return slices.Contains(leaf.DNSNames, name) })
	if len(missing) > 0 {
		c.log.Warn("the self-signed certificate has not all the names it should have", "missing", missing,
			"hint", "move "+c.pairs[0].files.Cert+" away to have another made")
	}
}

// writeFile writes a file whole or not at all. Nobody else writes it: the directory is one server's.
func writeFile(path string, mode fs.FileMode, block *pem.Block) error {
	temporary, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, keyMode)
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // does nothing once it is renamed
	_, err = temporary.Write(pem.EncodeToMemory(block))
	if err := errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

// syncDirectory makes a rename survive a power cut.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
