package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
)

// TestPick picks by name alone. Certificates are called by their first name.
func TestPick(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pairs := []Pair{
		issue(t, dir, "default", request{names: []string{"default.example"}}),
		issue(t, dir, "wildcard", request{names: []string{"*.example.net", "EXAMPLE.org"}}),
		issue(t, dir, "exact", request{names: []string{"mx.example.net", "*.deep.example.net"}}),
		issue(t, dir, "idn", request{names: []string{"xn--bcher-kva.example", "mail_host.example"}}),
		issue(t, dir, "late", request{names: []string{"late.example", "mx.example.net"}}),
		issue(t, dir, "nameless", request{}),
	}
	c, _ := open(t, pairs...)
	tests := []struct{ name, server, want string }{
		{"no name", "", "default.example"},
		{"unknown", "elsewhere.example", "default.example"},
		{"exact", "late.example", "late.example"},
		{"exact before wildcard, and the first of two", "mx.example.net", "mx.example.net"},
		{"wildcard", "other.example.net", "*.example.net"},
		{"second name", "example.org", "*.example.net"},
		{"upper case asked for", "MX.Example.NET", "mx.example.net"},
		{"a wildcard is one label", "a.b.example.net", "default.example"},
		{"a wildcard is not none", "example.net", "default.example"},
		{"wildcard below", "x.deep.example.net", "mx.example.net"},
		{"A-label", "xn--bcher-kva.example", "xn--bcher-kva.example"},
		{"U-label", "Bücher.example", "xn--bcher-kva.example"},
		{"underscore", "mail_host.example", "xn--bcher-kva.example"},
		{"final dot", "mx.example.net.", "mx.example.net"},
		{"the wildcard itself", "*.example.net", "*.example.net"},
		{"no name at all", "xn--\xff", "default.example"},
		{"too long", strings.Repeat("a.", 200) + "example.net", "default.example"},
		{"one label", "localhost", "default.example"},
		{"dots", "...", "default.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := c.Get(hello(test.server))
			if err != nil || got.Leaf.DNSNames[0] != test.want {
				t.Errorf("got %v, %v, want %s", got.Leaf.DNSNames, err, test.want)
			}
		})
	}
}

// hello is that of a client that can do everything.
func hello(server string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: server, SupportedVersions: []uint16{tls.VersionTLS13},
		SupportedCurves:  []tls.CurveID{tls.X25519, tls.CurveP256},
		SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256},
	}
}

// TestBothKindsOfKey has certificates with RSA and ECDSA for one name: a client gets one that it can verify.
func TestBothKindsOfKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, _ := open(t,
		issue(t, dir, "ecdsa", request{names: []string{"mx.example"}}),
		issue(t, dir, "rsa", request{names: []string{"mx.example"}, rsa: true}),
	)
	tests := []struct {
		name   string
		suite  uint16 // 0: any, in TLS 1.3
		server string
		want   x509.PublicKeyAlgorithm
	}{
		{"anything", 0, "mx.example", x509.ECDSA},
		{"ECDSA only", tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, "mx.example", x509.ECDSA},
		{"RSA only", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "mx.example", x509.RSA},
		{"RSA only, another name", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "other.example", x509.RSA},
		{"RSA only, no name", tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, "", x509.RSA},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := &tls.Config{ServerName: test.server, InsecureSkipVerify: true}
			if test.suite != 0 {
				client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{test.suite}
			}
			got, err := shake(c, client)
			if err != nil || got.PublicKeyAlgorithm != test.want {
				t.Errorf("got %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestAClientThatCanVerifyNothing(t *testing.T) {
	t.Parallel()
	c, _ := open(t, issue(t, t.TempDir(), "ecdsa", request{names: []string{"mx.example"}}))
	client := &tls.Config{
		ServerName: "mx.example", InsecureSkipVerify: true,
		MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256},
	}
	if _, err := shake(c, client); err == nil || !strings.Contains(err.Error(), "handshake failure") {
		t.Errorf("got %v, want a failure of the handshake", err)
	}
}

func BenchmarkGet(b *testing.B) {
	dir := b.TempDir()
	c, _ := open(b, issue(b, dir, "a", request{names: []string{"*.example"}}), issue(b, dir, "b", request{names: []string{"mx.example"}}))
	client := hello("mx.example")
	for b.Loop() {
		if _, err := c.Get(client); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNormal(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a.", maxNameOctets/2) + "a"
	for in, want := range map[string]string{
		"": "", ".": "", "MX.Example.": "mx.example", "Bücher.Example": "xn--bcher-kva.example", "my_host": "my_host",
		longest: longest, longest + "a": "", "bad\xff": "",
	} {
		if got := normal(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
