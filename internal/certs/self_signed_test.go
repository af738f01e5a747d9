package certs

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// selfSigned opens a self-signed certificate at a time.
func selfSigned(t *testing.T, dir string, now time.Time, names ...string) (*Certificates, *notes, error) {
	t.Helper()
	log := &notes{}
	c, err := Open(Config{
		SelfSigned: SelfSigned{Dir: dir, Names: names},
		Logger:     slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now },
	})
	return c, log, err
}

func mustSelfSign(t *testing.T, dir string, now time.Time, names ...string) (*x509.Certificate, *notes) {
	t.Helper()
	c, log, err := selfSigned(t, dir, now, names...)
	if err != nil {
		t.Fatal(err)
	}
	return c.table.Load().all[0].Leaf, log
}

func TestSelfSignedIsTrustedByWhoIsToldTo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, _, err := selfSigned(t, dir, time.Now(), "Gateway", "mail.localhost", "*.mail.localhost", "Bücher.example", "my_host", "192.0.2.1", "bad\xff", "")
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{selfSignedCert: 0o644, selfSignedKey: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: got %v, %v, want mode %o", name, info, err, mode)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("the directory has %v, %v", left, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, selfSignedCert))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for server, trusted := range map[string]bool{
		"gateway": true, "mail.localhost": true, "point.mail.localhost": true, "xn--bcher-kva.example": true, "my_host": true,
		"localhost": true, "127.0.0.1": true, "::1": true,
		"a.point.mail.localhost": false, "mail.example": false, "192.0.2.1": false,
	} {
		leaf, err := shake(c, &tls.Config{ServerName: server, RootCAs: roots})
		if (err == nil) != trusted {
			t.Errorf("%s: got %v, want trusted: %v", server, err, trusted)
		}
		if err == nil && leaf.PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("the key is %s", leaf.PublicKeyAlgorithm)
		}
	}
}

func TestSelfSignedIsUsedAgainAndRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	first, _ := mustSelfSign(t, dir, now, "gateway")
	if want := now.AddDate(10, 0, 0); !first.NotAfter.Equal(want) {
		t.Errorf("it ends %s, want %s", first.NotAfter, want)
	}
	second, _ := mustSelfSign(t, dir, first.NotAfter.Add(-renewBefore-time.Second), "gateway")
	if !second.Equal(first) {
		t.Error("it is another at a later start")
	}
	third, _ := mustSelfSign(t, dir, first.NotAfter.Add(-renewBefore), "gateway")
	if third.Equal(first) || !third.NotAfter.After(first.NotAfter) {
		t.Error("it was not renewed 30 days before its end")
	}
	if !third.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) {
		t.Error("it has another key: whoever knows the key trusts it no more")
	}
}

func TestSelfSignedIsRenewedWhileItIsServed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c, err := Open(Config{SelfSigned: SelfSigned{Dir: t.TempDir(), Names: []string{"gateway"}}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	first := c.table.Load().all[0].Leaf
	c.look()
	if !c.table.Load().all[0].Leaf.Equal(first) {
		t.Error("it is made anew without a reason")
	}
	now = first.NotAfter
	c.look()
	if c.table.Load().all[0].Leaf.Equal(first) {
		t.Error("it was not renewed")
	}
}

// A crash between the two files leaves a key without a certificate.
func TestSelfSignedAfterACrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, _ := mustSelfSign(t, dir, time.Now(), "gateway")
	remove(t, filepath.Join(dir, selfSignedCert))
	write(t, filepath.Join(dir, selfSignedCert+".new"), "half a certif")
	second, _ := mustSelfSign(t, dir, time.Now(), "gateway")
	if !second.PublicKey.(*ecdsa.PublicKey).Equal(first.PublicKey) {
		t.Error("the key was thrown away")
	}
}

func TestSelfSignedRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(cert, key string)
		want  string
	}{
		{"certificate without its key", func(_, key string) { remove(t, key) }, "no such file"},
		{"certificate is garbage", func(cert, _ string) { write(t, cert, "garbage") }, selfSignedCert},
		{"key is garbage", func(_, key string) { write(t, key, "garbage") }, selfSignedKey},
		{"key alone is garbage", func(cert, key string) { remove(t, cert); write(t, key, "garbage") }, "not in PEM"},
		{"key alone is another thing", func(cert, key string) { copyFile(t, cert, key); remove(t, cert) }, selfSignedKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			mustSelfSign(t, dir, time.Now(), "gateway")
			test.spoil(filepath.Join(dir, selfSignedCert), filepath.Join(dir, selfSignedKey))
			if _, _, err := selfSigned(t, dir, time.Now(), "gateway"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
	if _, _, err := selfSigned(t, filepath.Join(t.TempDir(), "none"), time.Now()); err == nil {
		t.Error("a directory that is not there: no error")
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(text))
}

// Other names are no reason to take away what clients trust.
func TestSelfSignedStaysWhenNamesChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, log := mustSelfSign(t, dir, time.Now(), "gateway")
	if log.count("has not all the names") != 0 {
		t.Error("it lacks names when it is new")
	}
	second, log := mustSelfSign(t, dir, time.Now(), "gateway", "mail.example")
	if !second.Equal(first) || slices.Contains(second.DNSNames, "mail.example") {
		t.Error("it was made anew")
	}
	if log.count("mail.example") != 1 {
		t.Error("nobody is told that it lacks a name")
	}
}
