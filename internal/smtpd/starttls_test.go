package smtpd

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sluice/internal/certs/certtest"
)

// secureHost offers STARTTLS, and AUTH once TLS is there.
func secureHost(t *testing.T) *fakeHost {
	t.Helper()
	host := newHost()
	host.offer = Offer{StartTLS: true, Auth: true}
	host.tls = &tls.Config{Certificates: []tls.Certificate{*certtest.New(t, "test CA", nil).Issue("point.example", nil)}}
	return host
}

// handshake goes on over TLS.
func (c *client) handshake(config *tls.Config) error {
	conn := tls.Client(c.conn, config)
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.conn, c.from = conn, bufio.NewReader(conn)
	return nil
}

// startTLS goes on over TLS and says nothing yet.
func (c *client) startTLS() {
	c.t.Helper()
	c.say("STARTTLS", "220 2.0.0")
	if err := c.handshake(&tls.Config{InsecureSkipVerify: true, ServerName: "point.example"}); err != nil {
		c.t.Fatal(err)
	}
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		host := secureHost(t)
		s := serve(t, host, nil)
		c := s.dial(t)
		c.want("220")
		c.send("EHLO client.example\r\n")
		if reply := c.whole(); !strings.Contains(reply, "STARTTLS") || strings.Contains(reply, "AUTH") {
			t.Errorf("in clear got %q, want STARTTLS and no AUTH", reply)
		}
		c.say("STARTTLS", "220")
		if err := c.handshake(&tls.Config{InsecureSkipVerify: true, ServerName: "point.example", MaxVersion: version}); err != nil {
			t.Fatal(err)
		}
		c.say("MAIL FROM:<a@b.example>", "503 5.5.1") // EHLO comes first
		c.send("EHLO client.example\r\n")
		if reply := c.whole(); strings.Contains(reply, "STARTTLS") || !strings.Contains(reply, "AUTH LOGIN PLAIN") {
			t.Errorf("over TLS got %q, want AUTH and no STARTTLS", reply)
		}
		c.say("STARTTLS", "503 5.5.1")
		c.data()
		c.say(".", "250")
		c.say("QUIT", "221")
		session := <-host.closed
		want := map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[version]
		if got := session.TLS; got.Version != want || got.Cipher == "" || got.ServerName != "point.example" || got.Wrapped {
			t.Errorf("got %+v, want %s", got, want)
		}
	}
}

// whole reads a reply with all its lines.
func (c *client) whole() string {
	c.t.Helper()
	var lines []string
	for {
		line := c.line()
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, "\n")
		}
	}
}

// TestS3ForgetsClear: what is sent behind STARTTLS in the same segment is never a command, and what was agreed in clear is gone.
func TestS3ForgetsClear(t *testing.T) {
	t.Parallel()
	host := secureHost(t)
	s := serve(t, host, nil)
	c := s.dial(t)
	c.want("220")
	c.say("EHLO client.example", "250")
	c.send("STARTTLS\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<c@d.example>\r\n")
	c.want("220 2.0.0")
	if err := c.handshake(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	c.say("RCPT TO:<c@d.example>", "503 5.5.1")
	c.say("MAIL FROM:<a@b.example>", "503 5.5.1")
	c.say("AUTH PLAIN AHVzZXIAcmlnaHQ=", "503 5.5.1")
	c.say("EHLO client.example", "250")
	c.data()
	c.say(".", "250 2.0.0 OK 1")
	c.say("QUIT", "221")
	<-host.closed
	if messages, _, _ := host.seen(); len(messages) != 1 || strings.Contains(messages[0], "evil") {
		t.Errorf("got %q, want the message that was sent over TLS", messages)
	}
}

// TestS3FailedHandshake: nothing is served, and nothing is said, in clear after a handshake that failed.
func TestS3FailedHandshake(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		sent string
	}{
		{"clear text", "EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nx\r\n.\r\n"},
		{"a record of nothing", "\x16\x03\x01\x00\x05hello"},
		{"the end", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			host := secureHost(t)
			c := serve(t, host, nil).open(t)
			c.say("STARTTLS", "220")
			c.send(test.sent)
			c.conn.(*net.TCPConn).CloseWrite()
			rest, _ := io.ReadAll(c.from) // a TLS alert at most; the connection may be reset behind it
			if strings.Contains(string(rest), "250") || strings.Contains(string(rest), "421") {
				t.Errorf("got %q after a failed handshake", rest)
			}
			session := <-host.closed
			_, refused, _ := host.seen()
			if len(refused) != 1 || refused[0] != "STARTTLS 421 4.7.0" || !strings.HasPrefix(session.End, "TLS handshake: ") {
				t.Errorf("got refused %q and end %q, want the handshake", refused, session.End)
			}
		})
	}
}

func TestStartTLSOrder(t *testing.T) {
	t.Parallel()
	c := serve(t, secureHost(t), nil).dial(t)
	c.want("220")
	c.say("STARTTLS", "503 5.5.1")
	c.say("EHLO client.example", "250")
	c.say("STARTTLS now", "501 5.5.4")
	c.say("MAIL FROM:<a@b.example>", "250")
	c.say("STARTTLS", "503 5.5.1")
	c.say("RCPT TO:<c@d.example>", "250") // the transaction is unharmed
	plain := serve(t, newHost(), nil).open(t)
	plain.say("STARTTLS", "502 5.5.1")
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	host := secureHost(t)
	host.listener.TLS = TLSImplicit
	s := serve(t, host, nil)
	c := s.dial(t)
	if err := c.handshake(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	c.want("220 point.example ESMTP")
	c.say("EHLO client.example", "250")
	c.say("STARTTLS", "503 5.5.1")
	c.say("AUTH PLAIN AHVzZXIAcmlnaHQ=", "235 2.7.0")
	c.data()
	c.say(".", "250")
	c.say("QUIT", "221")
	if session := <-host.closed; !session.TLS.Wrapped || session.AuthUser != "user" {
		t.Errorf("got %+v of user %q, want it wrapped", session.TLS, session.AuthUser)
	}
	refused := s.dial(t)
	if err := refused.handshake(&tls.Config{InsecureSkipVerify: true, ServerName: "refused.example"}); err != nil {
		t.Fatal(err)
	}
	refused.want("421 4.3.2")
	refused.wantEnd()
	clear := s.dial(t)
	clear.send("EHLO client.example\r\n")
	if rest, _ := io.ReadAll(clear.from); strings.Contains(string(rest), "2") && strings.Contains(string(rest), "EHLO") {
		t.Errorf("got %q in clear", rest)
	}
}

// TestShutdownInHandshake: a client that is in the middle of its handshake keeps nobody waiting.
func TestShutdownInHandshake(t *testing.T) {
	t.Parallel()
	host := secureHost(t)
	s := serve(t, host, nil)
	c := s.open(t)
	c.say("STARTTLS", "220")
	begun := time.Now()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second { // a second is wanted
		t.Errorf("the shutdown took %v", took)
	}
}
