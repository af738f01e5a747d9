package smtpd

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// client speaks to a server without any opinion on what is right. Every wait of it ends with the test's patience.
type client struct {
	t    *testing.T
	conn net.Conn
	from *bufio.Reader
}

const patience = 20 * time.Second

func (s *testServer) dial(t *testing.T) *client {
	t.Helper()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{t: t, conn: conn, from: bufio.NewReader(conn)}
}

// open dials and says EHLO.
func (s *testServer) open(t *testing.T) *client {
	t.Helper()
	c := s.dial(t)
	c.want("220 point.example ESMTP")
	c.send("EHLO client.example\r\n")
	c.reply()
	return c
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, text); err != nil {
		c.t.Fatalf("sending %.40q: %v", text, err)
	}
}

// line reads a line without its end; it is empty at the end of the connection.
func (c *client) line() string {
	c.t.Helper()
	line, err := c.from.ReadString('\n')
	if err != nil && (err != io.EOF || line != "") {
		c.t.Fatalf("reading after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// reply reads a reply and returns its last line.
func (c *client) reply() string {
	c.t.Helper()
	for {
		if line := c.line(); len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

// want reads replies and compares the beginnings of their last lines.
func (c *client) want(beginnings ...string) {
	c.t.Helper()
	for i, want := range beginnings {
		if got := c.reply(); !strings.HasPrefix(got, want) || got == "" {
			c.t.Fatalf("reply %d: got %q, want %q", i+1, got, want)
		}
	}
}

// say sends a command and compares the reply.
func (c *client) say(command, want string) {
	c.t.Helper()
	c.send(command + "\r\n")
	c.want(want)
}

// wantEnd wants the connection closed without another word.
func (c *client) wantEnd() {
	c.t.Helper()
	if line := c.line(); line != "" {
		c.t.Fatalf("got %q, want the end", line)
	}
	c.conn.Close()
}

// data brings a session to where content is sent.
func (c *client) data() {
	c.t.Helper()
	c.say("MAIL FROM:<a@b.example>", "250")
	c.say("RCPT TO:<c@d.example>", "250")
	c.say("DATA", "354")
}

// hangUpUnheard ends the client's half of the connection.
func hangUpUnheard(c *client) { c.conn.(*net.TCPConn).CloseWrite() }
