package ingress

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/certs/certtest"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/smtpd"
)

// fixedCertificate is the server's, whoever asks.
type fixedCertificate struct{ *tls.Certificate }

func (c fixedCertificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.Certificate, nil
}

// withTLS gives the gateway a certificate.
func withTLS(t *testing.T, c *Config) {
	c.Certificates = fixedCertificate{certtest.New(t, "server CA", nil).Issue("mx.test", nil)}
}

// caller is a client of the gateway.
type caller struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

// call connects and reads the greeting.
func call(t *testing.T, address string) *caller {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &caller{t: t, conn: conn, from: bufio.NewReader(conn)}
	c.reply()
	return c
}

func (c *caller) reply() string {
	c.t.Helper()
	return readReply(c.t, c.from)
}

// say sends a line and wants a reply that begins so.
func (c *caller) say(line, want string) string {
	c.t.Helper()
	fmt.Fprintf(c.conn, "%s\r\n", line)
	got := c.reply()
	if !strings.HasPrefix(got, want) {
		c.t.Errorf("%s: got %q, want %q", line, got, want)
	}
	return got
}

// secure says EHLO and STARTTLS, makes the handshake and says EHLO again.
func (c *caller) secure(config *tls.Config) error {
	c.t.Helper()
	c.say("EHLO client.test", "250")
	c.say("STARTTLS", "220")
	config.InsecureSkipVerify = true
	conn := tls.Client(c.conn, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.conn, c.from = conn, bufio.NewReader(conn)
	fmt.Fprint(c.conn, "EHLO client.test\r\n")
	for { // in TLS 1.3 the client is told by its first read that its certificate is not taken
		line, err := c.from.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "250 ") {
			return nil
		}
	}
}

// deliver sends a message.
func (c *caller) deliver(want string) {
	c.t.Helper()
	c.say("MAIL FROM:<a@example.org>", "250")
	c.say("RCPT TO:<b@example.net>", "250")
	c.say("DATA", "354")
	c.say(testContent+".", want)
}

func plain(user, password string) string {
	return "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password))
}

// point makes a point like the gateway's own, and puts it on the gateway's shared listener.
func (g *gateway) add(t *testing.T, id string, change func(*control.IngressPoint)) *control.IngressPoint {
	t.Helper()
	p := *g.point
	p.Key, p.ARecord = testKey(id), id+".test"
	change(&p)
	g.plane.set(&p)
	if _, err := g.in.Open(t.Context(), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// shared makes a gateway whose first point is on a shared listener, at the address.
func shared(t *testing.T, listener ListenerConfig) (g *gateway, address string) {
	t.Helper()
	address = fmt.Sprintf("127.0.0.1:%d", freePorts(t, 1))
	listener.Addresses = []string{address}
	g = newGateway(t, func(g *gateway, c *Config) {
		withTLS(t, c)
		c.Listeners = map[string]ListenerConfig{"mx": listener}
		g.point.Listeners = []string{"mx"}
	})
	return g, address
}

// TestTLSPolicies: Mail Manager, section 2.4 and B3.
func TestTLSPolicies(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B3")
	for policy, inClear := range map[mailmanager.TlsPolicy]string{
		mailmanager.TlsPolicyOptional: "250", mailmanager.TlsPolicyRequired: "530 5.7.0 Must issue", mailmanager.TlsPolicyFips: "530 5.7.0 Must issue",
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, func(g *gateway, c *Config) { withTLS(t, c); g.point.TlsPolicy = policy })
			c := call(t, g.address)
			c.say("EHLO client.test", "250")
			c.say("MAIL FROM:<a@example.org>", inClear)
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				c := call(t, g.address)
				if err := c.secure(&tls.Config{MinVersion: version, MaxVersion: version}); err != nil {
					t.Fatal(err)
				}
				c.deliver("250 2.0.0 OK ")
				if facts := g.trace.last(t).Accepted.Facts; facts.TLSVersion == "" || facts.TLSCipher == "" {
					t.Errorf("traced %+v, want TLS", facts)
				}
			}
		})
	}
}

// TestFIPSSuites: B18. At a FIPS point no other suite is agreed, and a client without an approved one is not served.
func TestFIPSSuites(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B18")
	g := newGateway(t, func(g *gateway, c *Config) { withTLS(t, c); g.point.TlsPolicy = mailmanager.TlsPolicyFips })
	tests := []struct {
		name   string
		config *tls.Config
		served bool
	}{
		{"any", &tls.Config{}, true},
		{"TLS 1.2 without an approved suite", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, false},
		{"TLS 1.2, approved", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}}, true},
		{"without an approved curve", &tls.Config{CurvePreferences: []tls.CurveID{tls.X25519}}, false},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := call(t, g.address)
			err := c.secure(test.config)
			if served := err == nil; served != test.served {
				t.Fatalf("got %v, want served %v", err, test.served)
			}
			if test.served {
				c.say("MAIL FROM:<a@example.org>", "250")
			}
		})
	}
}

// TestFIPSWhateverTLS13Prefers: Go lets nobody choose the suites of TLS 1.3, so that a client that prefers another comes to
// TLS 1.2 (Mail Manager, B18).
func TestFIPSWhateverTLS13Prefers(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B18")
	g := newGateway(t, func(g *gateway, c *Config) { withTLS(t, c); g.point.TlsPolicy = mailmanager.TlsPolicyFips })
	session := &smtpd.Session{Listener: &smtpd.Listener{Tag: pointTag{g.point.Key}}}
	for _, test := range []struct {
		suites []uint16
		max    uint16
	}{
		{[]uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_CHACHA20_POLY1305_SHA256}, 0},
		{[]uint16{tls.TLS_CHACHA20_POLY1305_SHA256, tls.TLS_AES_128_GCM_SHA256}, tls.VersionTLS12},
		{[]uint16{tls.TLS_CHACHA20_POLY1305_SHA256}, tls.VersionTLS12},
		{[]uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}, 0},
	} {
		config, err := g.in.Host().Handshake(session, &tls.ClientHelloInfo{CipherSuites: test.suites})
		if err != nil || config.MaxVersion != test.max {
			t.Errorf("%x: got %+v, %v, want at most version %x", test.suites, config, err, test.max)
		}
		if config.VerifyConnection(tls.ConnectionState{CipherSuite: tls.TLS_CHACHA20_POLY1305_SHA256}) == nil {
			t.Errorf("%x: a suite that is not approved is taken", test.suites)
		}
	}
}

// authGateway has one AUTH point, whose password is "right-password".
func authGateway(t *testing.T, change func(*gateway, *Config)) *gateway {
	return newGateway(t, func(g *gateway, c *Config) {
		withTLS(t, c)
		g.point.Type, g.point.TlsPolicy = mailmanager.IngressPointTypeAuth, mailmanager.TlsPolicyRequired
		g.plane.passwords = map[string]string{g.point.ID: "right-password"}
		if change != nil {
			change(g, c)
		}
	})
}

// TestAuthPoint: Mail Manager, section 2.2 and B4.
func TestAuthPoint(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A4", "B4")
	g := authGateway(t, nil)
	c := call(t, g.address)
	if err := c.secure(&tls.Config{}); err != nil {
		t.Fatal(err)
	}
	c.say("MAIL FROM:<a@example.org>", "530 5.7.0 Authentication required")
	c.say(plain(g.point.ID, "wrong"), "535 5.7.8")
	if event := g.trace.last(t); event.Refused == nil || event.Refused.Command != "AUTH" || strings.Contains(event.Refused.Reason, "wrong-") {
		t.Errorf("traced %+v, want the refused AUTH", event)
	}
	c.say(plain(strings.ToUpper(g.point.ID), "right-password"), "535 5.7.8") // Mail Manager, A4
	c.say(plain(g.point.ID, "right-password"), "235 2.7.0")
	c.deliver("250")
	facts := g.trace.last(t).Accepted.Facts
	if facts.AuthUser != g.point.ID || facts.AuthVersion != "version-of-"+g.point.ID {
		t.Errorf("traced %+v, want the user and the password's version", facts)
	}
}

// TestAuthInClear: only a private point whose TLS policy is OPTIONAL takes a password in clear (Mail Manager, B2).
func TestAuthInClear(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B2")
	private := authGateway(t, func(g *gateway, _ *Config) { g.point.Private, g.point.TlsPolicy = true, mailmanager.TlsPolicyOptional })
	c := call(t, private.address)
	c.say("EHLO client.test", "250")
	c.say(plain(private.point.ID, "right-password"), "235")
	c.deliver("250")
	c = call(t, private.address)
	c.say("EHLO client.test", "250")
	c.say(plain(private.point.ID, "right-password"), "235")
	if err := c.secure(&tls.Config{}); err != nil {
		t.Fatal(err)
	}
	c.say("MAIL FROM:<a@example.org>", "530 5.7.0 Authentication required")
	if facts := private.trace.last(t).Refused.Facts; facts.AuthUser != "" || facts.AuthVersion != "" {
		t.Errorf("traced %+v after STARTTLS, want nothing of what was proved in clear (S3)", facts)
	}
	public := authGateway(t, nil)
	c = call(t, public.address)
	c.say("EHLO client.test", "250")
	c.say(plain(public.point.ID, "right-password"), "538 5.7.11")
}

// TestS10TenThousandGuesses: on the wire, a few of them are looked at, whether they come from one source or are for one user, and
// each that is has to wait; all others are sent away.
func TestS10TenThousandGuesses(t *testing.T) {
	t.Parallel()
	const (
		guesses       = 10_000
		smtpdFailures = 3 // of a session (Mail Manager, B4)
	)
	tests := []struct {
		name   string
		source func(i int) net.Addr
		user   func(i int) string
		want   int64 // passwords that are looked at
	}{
		{"one source", func(int) net.Addr { return nil }, func(i int) string { return fmt.Sprint("inp-", i%7) }, int64(maxSourceFailures)},
		{"one user", func(i int) net.Addr {
			return &net.TCPAddr{IP: net.IPv4(127, 1, byte(i/10>>8), byte(i/10))} // ten of each
		}, func(int) string { return "inp-test" }, int64(maxUserFailures)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var waited atomic.Int64
			g := authGateway(t, func(g *gateway, _ *Config) { g.point.Private, g.point.TlsPolicy = true, mailmanager.TlsPolicyOptional })
			g.in.pause = func(_ context.Context, wait time.Duration) { waited.Add(int64(wait)) }
			failed, locked := 0, 0
			for i := 0; i < guesses; {
				dialer := net.Dialer{LocalAddr: test.source(i)}
				conn, err := dialer.Dial("tcp", g.address)
				if err != nil {
					t.Fatal(err)
				}
				c := &caller{t: t, conn: conn, from: bufio.NewReader(conn)}
				c.reply()
				c.say("EHLO client.test", "250")
				for more := true; more && i < guesses; i++ {
					fmt.Fprintf(conn, "%s\r\n", plain(test.user(i), "wrong"))
					switch reply := c.reply(); {
					case strings.HasPrefix(reply, "535 5.7.8"):
						failed++
						more = test.source(i) == nil && failed%smtpdFailures != 0
					case strings.HasPrefix(reply, "421 4.7.0"):
						locked++
						more = false
					default:
						t.Fatalf("guess %d: got %q", i, reply)
					}
				}
				conn.Close()
			}
			if g.plane.checks.Load() != test.want || int64(failed) != test.want || failed+locked != guesses {
				t.Errorf("%d passwords were looked at, %d failed and %d were locked out, want %d looked at", g.plane.checks.Load(), failed, locked, test.want)
			}
			if time.Duration(waited.Load()) < time.Duration(test.want)*firstDelay {
				t.Errorf("the failures waited %v in all", time.Duration(waited.Load()))
			}
		})
	}
}

// TestS10Locked: a source that guesses is locked out, on the wire, whether the users exist or not.
func TestS10Locked(t *testing.T) {
	t.Parallel()
	g := authGateway(t, nil)
	now := g.in.cfg.Now()
	for i := range maxSourceFailures { // as many as it takes, without their waits
		g.in.guard.begin(g.in.guard.attempt(from("127.0.0.1"), fmt.Sprint("inp-", i)), now)
	}
	for _, user := range []string{g.point.ID, "inp-unknown"} {
		c := call(t, g.address)
		if err := c.secure(&tls.Config{}); err != nil {
			t.Fatal(err)
		}
		before := g.plane.checks.Load()
		c.say(plain(user, "right-password"), "421 4.7.0 Too many failed authentications")
		if g.plane.checks.Load() != before {
			t.Error("the password was looked at")
		}
	}
}

// TestS10SameWork: whatever is wrong, a password is checked, so that the time tells nothing.
func TestS10SameWork(t *testing.T) {
	t.Parallel()
	g := authGateway(t, nil)
	for i, user := range []string{g.point.ID, "inp-unknown", "", "someone@example.org"} {
		c := call(t, g.address)
		if err := c.secure(&tls.Config{}); err != nil {
			t.Fatal(err)
		}
		got := c.say(plain(user, "wrong"), "535 5.7.8 Authentication failed")
		if got != "535 5.7.8 Authentication failed" || g.plane.checks.Load() != int64(i+1) {
			t.Errorf("user %q: got %q after %d checks, want %d", user, got, g.plane.checks.Load(), i+1)
		}
	}
}

// TestSharedListener: points on one listener are told apart by local address, server name, user and default (Mail Manager, B19).
func TestSharedListener(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	g, address := shared(t, ListenerConfig{})
	g.add(t, "inp-auth", func(p *control.IngressPoint) {
		p.Type, p.TlsPolicy = mailmanager.IngressPointTypeAuth, mailmanager.TlsPolicyRequired
	})
	g.add(t, "inp-named", func(p *control.IngressPoint) { p.Hostnames = []string{"named.example"} })
	g.add(t, "inp-closed", func(p *control.IngressPoint) { p.Hostnames, p.Serving = []string{"closed.example"}, false })
	g.plane.passwords = map[string]string{"inp-auth": "right-password"}

	open := func(name string) *caller {
		c := call(t, address)
		if err := c.secure(&tls.Config{ServerName: name}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	accepted := func(c *caller, want string) {
		t.Helper()
		c.deliver("250")
		if got := g.trace.last(t).Accepted.Facts.IngressPoint; got != want {
			t.Errorf("accepted by %s, want %s", got, want)
		}
	}
	accepted(open("NAMED.example"), "inp-named")
	accepted(open("inp-named.test"), "inp-named") // its ARecord
	byUser := open("")
	byUser.say(plain("inp-auth", "right-password"), "235")
	accepted(byUser, "inp-auth")
	open("").say("MAIL FROM:<a@example.org>", "421 4.3.2")                // nothing tells, and there is no default
	open("named.example").say(plain("inp-auth", "right-password"), "502") // it is settled that this is another point
	refused := call(t, address)                                           // B13, and it is known by the name alone
	if err := refused.secure(&tls.Config{ServerName: "closed.example"}); err == nil {
		t.Error("a closed point serves")
	}
}

// TestSharedListenerByAddress: the local address tells first, a proxy's word for it included.
func TestSharedListenerByAddress(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	g, address := shared(t, ListenerConfig{ProxyFrom: prefixes("127.0.0.0/8")})
	g.add(t, "inp-here", func(p *control.IngressPoint) { p.Addresses = addresses("192.0.2.25") })
	for local, want := range map[string]string{"192.0.2.25": "inp-here", "192.0.2.26": "inp-test"} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "PROXY TCP4 198.51.100.7 %s 1234 25\r\n", local)
		c := &caller{t: t, conn: conn, from: bufio.NewReader(conn)}
		c.reply()
		c.say("EHLO client.test", "250")
		c.deliver("250")
		facts := g.trace.last(t).Accepted.Facts
		if facts.IngressPoint != want || facts.Client.Addr().String() != "198.51.100.7" {
			t.Errorf("%s: accepted by %s from %v, want %s", local, facts.IngressPoint, facts.Client, want)
		}
	}
}

// TestSessionWithoutMessageIsTraced: also one that nobody refused anything.
func TestSessionWithoutMessageIsTraced(t *testing.T) {
	t.Parallel()
	g := newGateway(t, nil)
	talk(t, g.address, "EHLO client.test", "QUIT")
	ended := g.trace.await(t, func(e *traceEvent) bool { return e.Ended != nil })
	if ended.Ended.Reason != "221 2.0.0 Bye" || ended.Ended.Commands != 2 || ended.Account != testScope.Account {
		t.Errorf("traced %+v", ended.Ended)
	}
}
