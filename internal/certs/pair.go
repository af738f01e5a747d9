package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// maxFileOctets is far above any chain, and keeps a wrong file out of memory.
	maxFileOctets = 1 << 20
	// others is what a private key's mode must not have. A group may read it, as is usual for a group made for that.
	others fs.FileMode = 0o007
)

// pair is a certificate and the files it is from.
type pair struct {
	files       Pair
	certificate *tls.Certificate // the last that was loaded; its Leaf is set
	state       state            // of the files when they were last read
	failure     error            // why they could not be loaded then
	warned      time.Time        // when its end was last warned of
}

// state is how two files are, as far as can be seen without reading them: nil for one that is not there.
type state struct{ cert, key fs.FileInfo }

// look follows symbolic links: certbot and Kubernetes replace those.
func (p Pair) look() state {
	cert, _ := os.Stat(p.Cert) // what is not there cannot be read either, and reading says why
	key, _ := os.Stat(p.Key)
	return state{cert, key}
}

func (s state) same(other state) bool {
	return sameFile(s.cert, other.cert) && sameFile(s.key, other.key)
}

func sameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// load reads the files. Their state is taken before: what changes while they are read is seen at the next look.
func (p *pair) load() error {
	p.state = p.files.look()
	cert, err := readFile(p.files.Cert)
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	key, err := readFile(p.files.Key)
	if err != nil {
		return fmt.Errorf("read the private key: %w", err)
	}
	loaded, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", p.files.Cert, p.files.Key, err)
	}
	if p.certificate == nil || !loaded.Leaf.Equal(p.certificate.Leaf) {
		p.warned = time.Time{}
	}
	p.certificate = &loaded
	return nil
}

var errNotRegular = errors.New("it is not a regular file")

// readFile reads a small regular file: another kind could keep the reader waiting.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w", path, errNotRegular)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileOctets+1))
	if err == nil && len(text) > maxFileOctets {
		err = fmt.Errorf("%s has more than %d octets", path, maxFileOctets)
	}
	return text, err
}

func (p *pair) keyIsOpen() bool { return p.state.key != nil && p.state.key.Mode().Perm()&others != 0 }

// names are what the certificate says it is for.
func (p *pair) names() []string { return p.certificate.Leaf.DNSNames }
