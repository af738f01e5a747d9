package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/internal/control"
	"sluice/test/harness"
)

// served is the first name of the certificate that SMTP clients get.
func served(t *testing.T, s *server) []string {
	t.Helper()
	certificate, err := s.gateway.certificates.Get(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return certificate.Leaf.DNSNames
}

// Without any setting there is TLS, with a certificate that names every ingress point.
func TestTheSelfSignedCertificate(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, "--hostname", "gateway.example", "--mail-domain", "mail.example", "--regions", "us-east-1,eu-central-1")
	s, _ := started(t, cfg)
	want := []string{
		"gateway.example", "mail.example", "*.mail.example",
		"*." + control.HostDomain("us-east-1", "mail.example"), "*." + control.HostDomain("eu-central-1", "mail.example"), "localhost",
	}
	if got := served(t, s); !slices.Equal(got, want) {
		t.Errorf("it is for %q, want %q", got, want)
	}
	for name, mode := range map[string]os.FileMode{"smtp-cert.pem": 0o644, "smtp-key.pem": 0o600} {
		if info, err := os.Stat(s.dir.file(name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: got %v, %v, want mode %o", name, info, err, mode)
		}
	}
}

func TestCertificatesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	first, firstKey, _ := selfSigned(t)
	second, secondKey, _ := selfSigned(t)
	cfg := testConfig(t, "--smtp-cert", first, "--smtp-key", firstKey)
	cfg.Certificates = []Certificate{{Cert: second, Key: secondKey}}
	s, _ := started(t, cfg)
	if _, err := os.Stat(s.dir.file("smtp-cert.pem")); err == nil {
		t.Error("a self-signed certificate was made, which nobody needs")
	}
	pairs := cfg.pairs()
	if len(pairs) != 2 || pairs[0].Cert != first || pairs[1].Key != secondKey {
		t.Errorf("the pairs are %v", pairs)
	}
}

func TestASpoiltSelfSignedCertificate(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	s, stop := started(t, cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(s.dir.file("smtp-key.pem")); err != nil {
		t.Fatal(err)
	}
	_, err := openServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
	var text strings.Builder
	if code := complain(&text, err); code != exitFailed || !strings.Contains(text.String(), "\nhint: move ") {
		t.Errorf("got %d and %q", code, text.String())
	}
}

func TestCertificatesAreLoadedAtASignal(t *testing.T) {
	t.Parallel()
	file, key, _ := selfSigned(t)
	s, _ := started(t, testConfig(t, "--smtp-cert", file, "--smtp-key", key))
	before, err := s.gateway.certificates.Get(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	otherFile, otherKey, _ := selfSigned(t)
	for from, to := range map[string]string{otherFile: file, otherKey: key} {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	signals := make(chan os.Signal)
	go s.reloadAt(t.Context(), signals)
	signals <- os.Interrupt
	harness.Eventually(t, "another certificate is served", func() bool {
		now, err := s.gateway.certificates.Get(&tls.ClientHelloInfo{})
		return err == nil && !now.Leaf.Equal(before.Leaf)
	})
}
