// Package smtpclient is one connection to one next hop: greeting, EHLO or HELO, TLS, authentication, and mail transactions,
// with a reply for every recipient. Where the host offers PIPELINING (RFC 2920) the envelope of the next message travels
// behind the content of the one before, so that a busy connection costs one round trip and about one write a message.
//
// It knows nothing of queues: a Source gives it transactions and takes each back with its outcome. It never reports a
// message as delivered without a 2yz reply to the final dot, or to the last chunk, and never changes content but for the
// dots of RFC 5321, section 4.5.2. It never sends credentials but to a host that TLS has verified, and never goes on in
// clear on a connection where TLS was begun. Start with Dial.
package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"sluice/internal/smtp"
)

const (
	readBufferOctets  = 4 << 10
	writeBufferOctets = 32 << 10 // an envelope and a 10 KB message leave in one write
)

// quitTimeout bounds the whole farewell; nothing depends on it.
const quitTimeout = 2 * time.Second

// lastWordsTimeout is how long a host that stopped taking content is listened to for its reason.
const lastWordsTimeout = 5 * time.Second

var (
	// ErrProtocol says that the host broke the protocol in a way that makes its replies unusable.
	ErrProtocol = errors.New("protocol error")
	// ErrContent says that our own content could not be read; the host is not to blame.
	ErrContent = errors.New("content cannot be read")
)

// Timeouts bound each wait for the host. A field of zero takes its value of DefaultTimeouts.
type Timeouts struct {
	Connect   time.Duration // TCP connection
	Handshake time.Duration // TLS, the whole of it
	Greeting  time.Duration // initial 220
	Command   time.Duration // EHLO, STARTTLS, AUTH, MAIL, RCPT, RSET, each
	Data      time.Duration // 354 after DATA
	Block     time.Duration // writing 64 KiB
	Dot       time.Duration // reply to the final dot or the last chunk
}

// DefaultTimeouts returns those of RFC 5321, section 4.5.3.2, which sets none for the connection and for TLS.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Connect:   30 * time.Second,
		Handshake: time.Minute,
		Greeting:  5 * time.Minute,
		Command:   5 * time.Minute,
		Data:      2 * time.Minute,
		Block:     3 * time.Minute,
		Dot:       10 * time.Minute,
	}
}

func (t Timeouts) orDefault() Timeouts {
	def := DefaultTimeouts()
	for _, f := range []struct{ field, def *time.Duration }{
		{&t.Connect, &def.Connect}, {&t.Handshake, &def.Handshake}, {&t.Greeting, &def.Greeting},
		{&t.Command, &def.Command}, {&t.Data, &def.Data}, {&t.Block, &def.Block}, {&t.Dot, &def.Dot},
	} {
		if *f.field == 0 {
			*f.field = *f.def
		}
	}
	return t
}

// Config is how connections are made.
type Config struct {
	Hello    string // our name: the argument of EHLO and HELO
	Timeouts Timeouts
	TLS      TLS          // zero: all in clear
	Auth     *Credentials // nil: none; else the connection is authenticated or there is none
	// Chunking sends a small message in one go with its envelope, by BDAT, where the host offers CHUNKING and PIPELINING.
	// That saves a round trip for a message with none before it, and leaves its outcome uncertain when the connection is
	// lost before any of it was answered.
	Chunking bool
	// Dial opens the TCP connection; nil is a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Conn is an open session that is ready for transactions. It is used by one goroutine.
type Conn struct {
	raw      net.Conn // the TCP connection
	net      net.Conn // the same, or TLS on it
	r        *bufio.Reader
	w        *bufio.Writer
	block    *blockWriter // beneath w
	timeouts Timeouts
	tls      TLSFacts
	auth     *Credentials // that the host has seen
	ext      extensions
	greeting *smtp.Reply
	offer    *smtp.Reply // to the last EHLO; nil: the host knows HELO only
	chunking bool
	stands   bool // the host keeps a transaction that must be reset before the next MAIL
	served   int  // transactions that the host answered
	gone     bool // the connection is of no more use
}

// Dial connects to an address, host:port with the host best an IP address, and greets, turns to TLS and authenticates as the
// configuration wants it. The error wraps a *smtp.Reply when the host refused by one; else it may be a *HandshakeError or an
// *AuthError, or wrap ErrNoTLS, ErrNoAuth or ErrProtocol. Ending ctx ends it at once, also while the host keeps silent: no
// message is under way yet.
func Dial(ctx context.Context, address string, cfg Config) (*Conn, error) {
	timeouts := cfg.Timeouts.orDefault()
	dial := cfg.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	connecting, cancel := context.WithTimeout(ctx, timeouts.Connect)
	defer cancel()
	nc, err := dial(connecting, "tcp", address)
	if err != nil {
		return nil, err
	}
	unwatch := context.AfterFunc(ctx, func() { nc.Close() })
	c := newConn(nc, timeouts)
	c.chunking = cfg.Chunking
	err = c.introduce(cfg, cfg.TLS.configFor(address))
	if !unwatch() { // ctx ended, and the connection with it
		return nil, context.Cause(ctx)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// introduce is all that precedes the first transaction.
func (c *Conn) introduce(cfg Config, security *tls.Config) error {
	if cfg.TLS.Mode == Implicit {
		if err := c.secure(security); err != nil {
			return err
		}
	}
	if err := c.greet(); err != nil {
		return err
	}
	if err := c.hello(cfg.Hello); err != nil {
		return err
	}
	if cfg.TLS.Mode == Opportunistic || cfg.TLS.Mode == Required {
		if err := c.upgrade(cfg, security); err != nil {
			return err
		}
	}
	if cfg.Auth != nil {
		return c.authenticate(cfg.Auth)
	}
	return nil
}

func newConn(nc net.Conn, timeouts Timeouts) *Conn {
	block := &blockWriter{conn: nc, timeout: timeouts.Block}
	return &Conn{
		raw:      nc,
		net:      nc,
		r:        bufio.NewReaderSize(nc, readBufferOctets),
		w:        bufio.NewWriterSize(block, writeBufferOctets),
		block:    block,
		timeouts: timeouts,
	}
}

// Served is how many transactions the host has answered on this connection.
func (c *Conn) Served() int { return c.served }

// Greeting is how the host greeted us, in its words.
func (c *Conn) Greeting() string { return c.greeting.String() }

// Offers are the service extensions that the host offered after all else was set up, as it spelled them.
func (c *Conn) Offers() []string {
	if c.offer == nil {
		return nil
	}
	return strings.Split(c.offer.Text, "\n")[1:]
}

// Close ends the session, with QUIT when the host still listens. RFC 5321, section 4.1.1.10.
func (c *Conn) Close() error {
	if c.gone {
		return c.raw.Close() // without the farewell of TLS
	}
	c.gone = true
	c.net.SetDeadline(time.Time{}) // of the last block
	defer time.AfterFunc(quitTimeout, func() { c.raw.Close() }).Stop()
	if _, err := c.net.Write([]byte("QUIT\r\n")); err == nil {
		c.read() // the answer changes nothing
	}
	return c.net.Close()
}

// greet waits for the 220. RFC 5321, section 3.1.
func (c *Conn) greet() error {
	reply, err := c.reply(c.timeouts.Greeting)
	if err != nil {
		return fmt.Errorf("wait for greeting: %w", err)
	}
	if !positive(reply) {
		return fmt.Errorf("greeting: %w", reply)
	}
	c.greeting = reply
	return nil
}

// command sends one line and waits for its reply.
func (c *Conn) command(timeout time.Duration, parts ...string) (*smtp.Reply, error) {
	if err := c.quiet(); err != nil {
		return nil, err
	}
	c.line(parts...)
	if err := c.w.Flush(); err != nil {
		return nil, err
	}
	return c.reply(timeout)
}

// line puts a command into the write buffer. Errors are kept by the buffer until it is flushed.
func (c *Conn) line(parts ...string) {
	for _, part := range parts {
		c.w.WriteString(part)
	}
	c.w.WriteString("\r\n")
}

// reply reads one reply, however many lines it has, within the timeout.
func (c *Conn) reply(timeout time.Duration) (*smtp.Reply, error) {
	c.net.SetReadDeadline(time.Now().Add(timeout))
	return c.read()
}

// read reads one reply. No reply repeats our password.
func (c *Conn) read() (*smtp.Reply, error) {
	reply, err := smtp.ReadReply(c.r)
	switch {
	case errors.Is(err, smtp.ErrMalformedReply):
		return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
	case err != nil:
		return nil, err
	}
	return c.auth.conceal(reply), nil
}

// quiet reports an error when the host has spoken although nothing was asked: its replies would no longer belong to
// our commands.
func (c *Conn) quiet() error {
	if c.r.Buffered() == 0 {
		return nil
	}
	reply, err := c.read()
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: reply out of turn: %s", ErrProtocol, reply)
}

// blockWriter gives every block of the content its own deadline. RFC 5321, section 4.5.3.2.5.
type blockWriter struct {
	conn    net.Conn
	timeout time.Duration
	failed  error
}

const blockOctets = 64 << 10

func (w *blockWriter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		w.conn.SetWriteDeadline(time.Now().Add(w.timeout))
		n, err := w.conn.Write(p[written:min(len(p), written+blockOctets)])
		written += n
		if err != nil {
			w.failed = err
			return written, err
		}
	}
	return written, nil
}
