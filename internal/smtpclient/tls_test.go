package smtpclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

func TestTLSFacts(t *testing.T) {
	t.Parallel()
	const ended = "|C: QUIT|S: 221 bye"
	tests := []struct {
		name, mode, wire string
		version          uint16
		want             TLSFacts
	}{
		{"in clear", "opportunistic", greeted + "S: 250 host" + ended, 0, TLSFacts{}},
		{"TLS 1.3", "required", secured + "S: 250 host" + ended, tls.VersionTLS13,
			TLSFacts{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Peer: hostName, Verified: true}},
		{"TLS 1.2", "implicit", "handshake|" + greeted + "S: 250 host" + ended, tls.VersionTLS12,
			TLSFacts{Version: "TLSv1.2", Cipher: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Peer: hostName, Verified: true}},
		{"unverified", "opportunistic unverified", secured + "S: 250 host" + ended, tls.VersionTLS12,
			TLSFacts{Version: "TLSv1.2", Cipher: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Peer: hostName}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := script(test.mode, test.wire)
				cfg := d.config()
				security := trusted(t, &cfg)
				security.MaxVersion = test.version
				ours, theirs := net.Pipe()
				cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
				played := make(chan error, 1)
				go func() { played <- d.play(theirs, security) }()
				conn, err := Dial(t.Context(), "192.0.2.1:25", cfg)
				if err != nil {
					t.Fatal(err)
				}
				if got := conn.TLS(); test.version == tls.VersionTLS13 && strings.HasPrefix(got.Cipher, "TLS_") {
					test.want.Cipher = got.Cipher // depends on the processor
				}
				if got := conn.TLS(); got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
				conn.Close()
				if err := <-played; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestTLSConfig: what the caller leaves out is completed for the address, in a copy.
func TestTLSConfig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, address string
		in            *tls.Config
		server        string
		least         uint16
	}{
		{"nothing", "192.0.2.1:25", nil, "192.0.2.1", tls.VersionTLS12},
		{"a name", "mx.example.net:25", &tls.Config{}, "mx.example.net", tls.VersionTLS12},
		{"IPv6", "[2001:db8::1]:25", &tls.Config{MinVersion: tls.VersionTLS10}, "2001:db8::1", tls.VersionTLS12},
		{"all", "192.0.2.1:25", &tls.Config{ServerName: hostName, MinVersion: tls.VersionTLS13}, hostName, tls.VersionTLS13},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			before := test.in.Clone()
			got := TLS{Config: test.in}.configFor(test.address)
			if got.ServerName != test.server || got.MinVersion != test.least || got.InsecureSkipVerify {
				t.Errorf("got %q, %x", got.ServerName, got.MinVersion)
			}
			if before != nil && (before.ServerName != test.in.ServerName || before.MinVersion != test.in.MinVersion) {
				t.Error("the caller's own was changed")
			}
		})
	}
}

func TestPeerName(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   x509.Certificate
		want string
	}{
		{"none", x509.Certificate{}, ""},
		{"common name", x509.Certificate{Subject: pkix.Name{CommonName: "a b"}}, "a b"},
		{"DNS name", x509.Certificate{Subject: pkix.Name{CommonName: "a b"}, DNSNames: []string{"mx.example", "other"}}, "mx.example"},
		{"controls", x509.Certificate{DNSNames: []string{"a\r\nb\x1b[m\u0085\u202e"}}, "a??b?[m??"},
		{"not UTF-8", x509.Certificate{DNSNames: []string{"a\xff"}}, "a?"},
		{"endless", x509.Certificate{DNSNames: []string{strings.Repeat("a", 300)}}, strings.Repeat("a", 255)},
		{"cut within a character", x509.Certificate{DNSNames: []string{strings.Repeat("a", 254) + "é"}}, strings.Repeat("a", 254) + "?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := peerName(&test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
