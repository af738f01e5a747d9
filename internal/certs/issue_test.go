package certs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// request is a certificate that a test wants.
type request struct {
	names []string
	end   time.Time // zero: in a year
	rsa   bool
}

// issue makes a pair, DIR/NAME.pem and DIR/NAME.key, in place of the one before.
func issue(t testing.TB, dir, name string, r request) Pair {
	t.Helper()
	pair := Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
	der, err := x509.MarshalPKCS8PrivateKey(issueCert(t, pair.Cert, r))
	if err != nil {
		t.Fatal(err)
	}
	write(t, pair.Key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	return pair
}

// issueCert makes a certificate alone, and returns its key.
func issueCert(t testing.TB, path string, r request) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if r.rsa {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	} else {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.end.IsZero() {
		r.end = time.Now().AddDate(1, 0, 0)
	}
	template := &x509.Certificate{DNSNames: r.names, NotBefore: time.Now().Add(-time.Hour), NotAfter: r.end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return key
}

// write replaces a file by another with the text.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// shake does a handshake on a pair of sockets, and returns the server's certificate.
func shake(c *Certificates, client *tls.Config) (*x509.Certificate, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	served := make(chan error, 1)
	go func() {
		defer theirs.Close()
		served <- tls.Server(theirs, &tls.Config{GetCertificate: c.Get, SessionTicketsDisabled: true}).Handshake()
	}()
	conn := tls.Client(ours, client)
	if err := conn.Handshake(); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0], <-served
}

// socketPair is two connected sockets with buffers, which a net.Pipe has not: a client that refuses the certificate says so
// while the server still writes.
func socketPair() (ours, theirs net.Conn, err error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]net.Conn
	for i, fd := range pair {
		file := os.NewFile(uintptr(fd), "pair")
		conn, failed := net.FileConn(file)
		err = errors.Join(err, failed, file.Close())
		conns[i] = conn
	}
	return conns[0], conns[1], err
}
