package action

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/certs/certtest"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/queue"
)

const relayName = "mx.example.net"

// secure lets the bench's host have a certificate of an authority that the configuration calls inside, and the relay its name.
func (b *bench) secure(t *testing.T, name string) {
	t.Helper()
	authority := certtest.New(t, "inside", nil)
	pool := x509.NewCertPool()
	pool.AddCert(authority.Certificate())
	b.config.Authorities = map[string]*x509.CertPool{"inside": pool}
	b.host.tls = &tls.Config{Certificates: []tls.Certificate{*authority.Issue(name, nil)}}
	b.relays.relay.Server = relayName
	b.config.Resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	b.config.Secret = func(context.Context, control.Scope, string) (string, error) {
		return `{"username":"u","password":"hunter2"}`, nil
	}
}

// TestRelayTLS shows when a relay gets mail, and over what: never in clear where TLS is required (S26), and credentials over
// verified TLS only (S27). Mail Manager, E4.
func TestRelayTLS(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E4")
	ca := func(r *control.Relay) { r.CA = "inside" }
	secret := func(r *control.Relay) { r.CA, r.SecretARN = "inside", testSecretARN }
	secretAlone := func(r *control.Relay) { r.SecretARN = testSecretARN }
	required := func(r *control.Relay) { r.TLS = control.RelayTLSRequired }
	verified := func(r *control.Relay) { r.TLS = control.RelayTLSVerified }
	const auth = "250-AUTH PLAIN LOGIN\r\n"
	const none = "m | unreachable: mx.example.net:25: 192.0.2.1:25: "
	const plain = "TLS is required, and there is none: host does not offer STARTTLS | IN_PROGRESS"
	const unknown = "TLS handshake: tls: failed to verify certificate: x509: certificate signed by unknown authority | IN_PROGRESS"
	tests := []struct {
		name  string
		relay func(*control.Relay)
		cert  string // the name in the host's certificate; empty: it has no TLS
		says  map[string]string
		more  string
		want  string
		tls   string // of the attempt
	}{
		{"offered and unknown", nil, "other.example.org", nil, "", "m | SUCCESS", "TLSv1.3 other.example.org"},
		{"not offered", nil, "", nil, "", "m | SUCCESS", ""},
		{"offered and refused", nil, relayName, map[string]string{"STARTTLS": "454 4.7.0 not now"}, "", "m | SUCCESS", ""},
		{"offered and broken", nil, relayName, map[string]string{"STARTTLS": drop}, "", none + "start TLS: EOF | IN_PROGRESS", ""},
		{"required", required, "other.example.org", nil, "", "m | SUCCESS", "TLSv1.3 other.example.org"},
		{"authority", ca, relayName, nil, "", "m | SUCCESS", "TLSv1.3 mx.example.net verified"},
		{"credentials", secret, relayName, nil, auth, "m | SUCCESS", "TLSv1.3 mx.example.net verified"},

		{"S26: required, stripped", required, "", nil, "", none + plain, ""},
		{"S26: required, refused", required, relayName, map[string]string{"STARTTLS": "454 4.7.0 not now"}, "",
			none + "TLS is required, and there is none: 454 4.7.0 not now | IN_PROGRESS", ""},
		{"S26: verified, stripped", verified, "", nil, "", none + plain, ""},
		{"S26: verified by nobody", verified, relayName, nil, "", none + unknown, ""},
		{"S26: verified with another name", ca, "other.example.org", nil, "",
			none + "TLS handshake: tls: failed to verify certificate: x509: certificate is valid for other.example.org, not mx.example.net | IN_PROGRESS", ""},
		{"authority that is not there", func(r *control.Relay) { r.CA = "outside" }, relayName, nil, "",
			`m | unreachable: mx.example.net:25: relay r-1: the tag sluice:ca names "outside", which is not in the configuration | IN_PROGRESS`, ""},
		{"S27: credentials, stripped", secret, "", nil, auth, none + plain, ""},
		{"S27: credentials, unknown certificate", secretAlone, relayName, nil, auth, none + unknown, ""},
		{"S27: weak AUTH only", secret, relayName, nil, "250-AUTH CRAM-MD5\r\n",
			none + "credentials cannot be used with this host: it offers AUTH CRAM-MD5 | IN_PROGRESS", ""},
		{"wrong password", secret, relayName, map[string]string{"AUTH": "535 5.7.8 hunter2 is wrong"}, auth,
			none + "authenticate: 535 5.7.8 (text withheld: it repeats the credentials) | IN_PROGRESS", ""},
		{"no AUTH now", secret, relayName, map[string]string{"AUTH": "454 4.7.0 later"}, auth, none + "authenticate: 454 4.7.0 later | IN_PROGRESS", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.secure(t, test.cert)
				if test.cert == "" {
					b.host.tls = nil
				}
				if test.relay != nil {
					test.relay(b.relays.relay)
				}
				b.host.says, b.host.more = replies(test.says), test.more
				b.feed.ready = []*queue.Work{b.item("m", "b@x")}
				if diff := cmp.Diff([]string{test.want}, b.run(t)); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				if got := lastTLS(b); got != test.tls {
					t.Errorf("the trace has TLS %q, want %q", got, test.tls)
				}
				if said := fmt.Sprintf("%+v", b.feed.done); strings.Contains(said, "hunter2") {
					t.Errorf("the password is in what is told: %s", said)
				}
			})
		})
	}
}

// lastTLS is the TLS of the last attempt, on one line.
func lastTLS(b *bench) string {
	attempts := b.feed.done[len(b.feed.done)-1].result.Attempts
	facts := attempts[len(attempts)-1].TLS
	if facts == nil {
		return ""
	}
	words := []string{facts.Version, facts.Peer}
	if facts.Verified {
		words = append(words, "verified")
	}
	return strings.Join(words, " ")
}

// TestImplicitTLS shows that port 465 has TLS from the first octet on.
func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E4")
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.secure(t, relayName)
		b.host.wrap, b.relays.relay.Port, b.relays.relay.CA = true, submissionsPort, "inside"
		b.feed.ready = []*queue.Work{b.item("m", "b@x")}
		if got := b.run(t); got[0] != "m | SUCCESS" || lastTLS(b) != "TLSv1.3 mx.example.net verified" {
			t.Errorf("got %v over %q", got, lastTLS(b))
		}
	})
}

// TestWrongPasswordCountsOnce shows that credentials which one address refuses for good are not tried at the next, and those that it
// refuses for now are.
func TestWrongPasswordCountsOnce(t *testing.T) {
	t.Parallel()
	for reply, want := range map[string]int{"535 5.7.8 no": 1, "454 4.7.0 later": 2} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.secure(t, relayName)
			b.config.Resolve = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}, nil
			}
			b.relays.relay.CA, b.relays.relay.SecretARN = "inside", testSecretARN
			b.host.more, b.host.says = "250-AUTH LOGIN PLAIN\r\n", replies(map[string]string{"AUTH": reply})
			b.feed.ready = []*queue.Work{b.item("m", "b@x")}
			b.run(t)
			if got := len(b.host.dials); got != want {
				t.Errorf("%s: got %d connections, want %d", reply, got, want)
			}
		})
	}
}

// TestBrokenHandshake shows that TLS which is only offered, and fails, does not keep mail back; where it is required, it does.
func TestBrokenHandshake(t *testing.T) {
	t.Parallel()
	for mode, want := range map[control.RelayTLS]string{
		"":                       "m | SUCCESS",
		control.RelayTLSRequired: "m | unreachable: mx.example.net:25: 192.0.2.1:25: TLS handshake: remote error: tls: handshake failure | IN_PROGRESS",
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.secure(t, relayName)
			b.relays.relay.TLS = mode
			b.host.tls.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
				return &tls.Config{CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}, MaxVersion: tls.VersionTLS12, Certificates: b.host.tls.Certificates}, nil
			}
			b.feed.ready = []*queue.Work{b.item("m", "b@x")}
			if got := b.run(t); got[0] != want {
				t.Errorf("%q: got %s, want %s", mode, got[0], want)
			}
		})
	}
}

// TestTry shows what a trial tells of each address, and that it sends no mail.
func TestTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.secure(t, relayName)
		b.config.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}, nil
		}
		b.host.refuses = map[string]error{"[2001:db8::1]:25": &net.OpError{Op: "dial", Err: fmt.Errorf("no route")}}
		b.host.more = "250-AUTH PLAIN\r\n250-SIZE 1000\r\n"
		b.relays.relay.CA, b.relays.relay.SecretARN = "inside", testSecretARN
		executor := NewRelayExecutor(b.config)
		got := executor.Try(t.Context(), b.relays.relay)
		first, second := got.Addresses[0], got.Addresses[1]
		if first.Address != "192.0.2.1:25" || first.Greeting != "220 host" || first.User != "u" || first.Failure != "" || first.TLS == nil || !first.TLS.Verified {
			t.Errorf("got %+v", first)
		}
		if diff := cmp.Diff([]string{"PIPELINING", "AUTH PLAIN", "SIZE 1000", "SMTPUTF8"}, first.Offers); diff != "" {
			t.Errorf("offers (-want +got):\n%s", diff)
		}
		if second.Failure != "dial: no route" || second.TLS != nil {
			t.Errorf("got %+v", second)
		}

		b.host.says = replies(map[string]string{"AUTH": "535 5.7.8 no"})
		refused := executor.Try(t.Context(), b.relays.relay).Addresses[0]
		if refused.Failure != "authenticate: 535 5.7.8 no" || refused.User != "" || refused.TLS == nil || refused.TLS.Peer != relayName {
			t.Errorf("got %+v", refused)
		}
		b.host.says = replies(map[string]string{"": hang})
		if silent := executor.Try(t.Context(), b.relays.relay); !strings.Contains(silent.Addresses[0].Failure, "timeout") || silent.Took != trialTimeout {
			t.Errorf("got %+v", silent)
		}
		b.relays.relay.CA = "outside"
		if failed := executor.Try(t.Context(), b.relays.relay); failed.Addresses != nil || !strings.Contains(failed.Failure, `names "outside"`) {
			t.Errorf("got %+v", failed)
		}
		for _, line := range b.host.lines {
			if strings.HasPrefix(line, "MAIL") {
				t.Errorf("mail was sent: %s", line)
			}
		}
	})
}
