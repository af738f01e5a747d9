package smtpd

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/conform"
)

// pipes is a listener in memory, so that a whole server lives in a bubble of synctest with its clock.
type pipes struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case err := <-p.errs:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// bubble is a server on pipes.
type bubble struct {
	*testServer
	pipes *pipes
}

func serveBubble() *bubble { return serveBubbleOf(newHost()) }

func serveBubbleOf(host *fakeHost) *bubble {
	p := newPipes()
	s := New(Config{Hostname: "server.example", Host: host})
	served := make(chan error, 1)
	host.listener.Name = "mx"
	go func() { served <- s.Serve(p, host.listener) }()
	return &bubble{testServer: &testServer{Server: s, host: host, listener: p, served: served}, pipes: p}
}

// dial begins a session and says EHLO. No wait of the client ends: the bubble would report it.
func (b *bubble) dial(t *testing.T) *client {
	t.Helper()
	c := b.connect(t)
	c.want("220")
	c.say("EHLO client.example", "250")
	return c
}

// connect begins a connection, from 192.0.2.1.
func (b *bubble) connect(t *testing.T) *client {
	ours, theirs := net.Pipe()
	b.pipes.conns <- addressed{theirs}
	return &client{t: t, conn: ours, from: bufio.NewReader(ours)}
}

// addressed is a pipe that says where it comes from.
type addressed struct{ net.Conn }

func (addressed) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:12345"))
}

// end ends the bubble's goroutines.
func (b *bubble) end(t *testing.T) {
	t.Helper()
	if err := b.Shutdown(context.Background()); err != nil {
		t.Errorf("shutting down: %v", err)
	}
	if err := <-b.served; err != nil {
		t.Errorf("Serve returned %v, want nil", err)
	}
}

// TestS11Deadlines: B12, S11. A client that is slow at any stage is cut off when its time is over and not before.
func TestS11Deadlines(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B12")
	tests := []struct {
		name   string
		client func(c *client) // what it does until it is cut off
		want   time.Duration
	}{
		{"idle", func(*client) {}, 5 * time.Minute},
		{"idle in a transaction", func(c *client) { c.say("MAIL FROM:<a@b>", "250") }, 5 * time.Minute},
		{"a command by octets", drip("N", 10*time.Second), 5 * time.Minute},
		{"idle after a command", func(c *client) { time.Sleep(4 * time.Minute); c.say("NOOP", "250") }, 9 * time.Minute},
		{"idle in content", func(c *client) { c.data() }, 3 * time.Minute},
		{"content by octets", func(c *client) { c.data(); drip("x", 10*time.Second)(c) }, 3 * time.Minute},
		{"content by lines", func(c *client) { c.data(); drip("x\r\n", 10*time.Second)(c) }, 3 * time.Minute},
		{"64 KiB and idle", func(c *client) {
			c.data()
			time.Sleep(2 * time.Minute)
			c.send(strings.Repeat("x", 64<<10))
		}, 5 * time.Minute},
		{"NOOP for ever", drip("NOOP\r\n", time.Minute), time.Hour},
		{"content for ever", func(c *client) {
			c.data()
			drip(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1<<10), 2*time.Minute)(c)
		}, time.Hour},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := serveBubble()
				c := b.dial(t)
				begun := time.Now()
				test.client(c)
				for reply := c.reply(); !strings.HasPrefix(reply, "421 4.4.2"); reply = c.reply() {
					if reply == "" {
						t.Fatal("got the end without 421")
					}
				}
				c.wantEnd()
				if got := time.Since(begun); got != test.want {
					t.Errorf("got cut off after %v, want %v", got, test.want)
				}
				<-b.host.closed
				if _, refused, _ := b.host.seen(); len(refused) != 1 || refused[0] != " 421 4.4.2" {
					t.Errorf("got refused %q, want the timeout", refused)
				}
				b.end(t)
				time.Sleep(5 * time.Minute) // for the client to see that it is over
			})
		})
	}
}

// TestSessionEndsWithItsReplies: a message that is committed when the session's time is over is answered all the same.
func TestSessionEndsWithItsReplies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble()
		c := b.dial(t)
		for range 30 {
			time.Sleep(2*time.Minute - time.Millisecond)
			c.say("NOOP", "250")
		}
		b.host.commit = func() { time.Sleep(time.Second) }
		c.data()
		c.send("text\r\n.\r\n")
		c.want("250", "421 4.4.2")
		c.wantEnd()
		b.end(t)
	})
}

// TestS11Handshake: a TLS handshake has a minute in all, however it is dripped, and nothing is said in clear when it is over.
func TestS11Handshake(t *testing.T) {
	t.Parallel()
	const record = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc" // a ClientHello of which more is announced than comes
	tests := []struct {
		name   string
		mode   TLSMode
		client func(c *client)
	}{
		{"idle after STARTTLS", TLSStart, func(*client) {}},
		{"by octets after STARTTLS", TLSStart, func(c *client) { c.send(record); drip("x", 10*time.Second)(c) }},
		{"idle from the first octet on", TLSImplicit, func(*client) {}},
		{"by octets from the first on", TLSImplicit, func(c *client) { c.send(record); drip("x", 10*time.Second)(c) }},
	}
	for _, test := range tests {
		host := secureHost(t) // outside of the bubble: it makes keys
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				host.closed = make(chan *Session, 1) // of the bubble
				host.listener.TLS = test.mode
				b := serveBubbleOf(host)
				c := b.connect(t)
				command := connectCommand
				if test.mode == TLSStart {
					command = "STARTTLS"
					c.want("220")
					c.say("EHLO client.example", "250")
					c.say("STARTTLS", "220")
				}
				begun := time.Now()
				test.client(c)
				c.wantEnd()
				if got := time.Since(begun); got != time.Minute {
					t.Errorf("got cut off after %v, want a minute", got)
				}
				<-host.closed
				if _, refused, _ := host.seen(); len(refused) != 1 || refused[0] != command+" 421 4.7.0" {
					t.Errorf("got refused %q, want the handshake", refused)
				}
				b.end(t)
				time.Sleep(time.Minute) // for the client to see that it is over
			})
		})
	}
}

// TestS11TLS: behind a handshake the deadlines are those of any session; a record that comes by octets renews none.
func TestS11TLS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		client func(secured *client, socket net.Conn)
		want   time.Duration
	}{
		{"idle", func(*client, net.Conn) {}, 5 * time.Minute},
		{"a record by octets", func(c *client, socket net.Conn) {
			io.WriteString(socket, "\x17\x03\x03\x40\x00") // 16 KiB are to come
			drip("x", 10*time.Second)(&client{conn: socket})
		}, 5 * time.Minute},
		{"NOOP for ever", func(c *client, _ net.Conn) { drip("NOOP\r\n", time.Minute)(c) }, time.Hour},
	}
	for _, test := range tests {
		host := secureHost(t)
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				host.closed = make(chan *Session, 1)
				b := serveBubbleOf(host)
				c := b.dial(t)
				socket, begun := c.conn, time.Now()
				c.startTLS()
				c.say("EHLO client.example", "250")
				test.client(c, socket)
				for reply := c.reply(); !strings.HasPrefix(reply, "421 4.4.2"); reply = c.reply() {
					if reply == "" {
						t.Fatal("got the end without 421")
					}
				}
				if got := time.Since(begun); got != test.want {
					t.Errorf("got cut off after %v, want %v", got, test.want)
				}
				socket.Close()
				<-host.closed
				b.end(t)
				time.Sleep(5 * time.Minute)
			})
		})
	}
}

// TestS11Proxy: a proxy has ten seconds for its header, however it drips it, and is told that it took too long.
func TestS11Proxy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		client func(c *client)
	}{
		{"idle", func(*client) {}},
		{"version 1 by octets", func(c *client) { c.send("PROXY TCP4 "); drip("1", time.Second)(c) }},
		{"version 2 by octets", func(c *client) {
			c.send(binaryHeader(1, 0x11, fourAddresses, 1_000)[:16])
			drip("\x00", time.Second)(c)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				host := newHost()
				host.listener.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
				b := serveBubbleOf(host)
				c := b.connect(t)
				begun := time.Now()
				test.client(c)
				c.want("421 4.7.0")
				c.wantEnd()
				if got := time.Since(begun); got != 10*time.Second {
					t.Errorf("got cut off after %v, want 10s", got)
				}
				if _, refused, _ := host.seen(); len(refused) != 1 || refused[0] != "CONNECT 421 4.7.0" {
					t.Errorf("got refused %q, want the connection", refused)
				}
				b.end(t)
				time.Sleep(time.Minute)
			})
		})
	}
}

// TestS11Buffers: a client that stops sending does not keep a large buffer, however much it has sent before; one that fills it
// has it.
func TestS11Buffers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		sent  int
		large bool
	}{
		{"a few octets", 100, false},
		{"less than a small buffer", commandBufferOctets - 1, false},
		{"more than a small one", commandBufferOctets + 1_000, false},
		{"more than a large one", commandBufferOctets + contentBufferOctets + 1_000, false},
		{"a small and a large one", commandBufferOctets + contentBufferOctets, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := serveBubble()
				c := b.dial(t)
				c.data()
				c.send(strings.Repeat("Subject: it is slow...\r\n", test.sent/24+1)[:test.sent])
				synctest.Wait()
				for d := range b.dialogues {
					if large := d.large != nil; large != test.large {
						t.Errorf("got a large buffer %v, want %v", large, test.large)
					}
				}
				c.conn.Close()
				synctest.Wait()
				b.end(t)
			})
		})
	}
}

// drip sends a text again and again until the connection ends, as the rest of the test goes on.
func drip(text string, pause time.Duration) func(*client) {
	return func(c *client) {
		go func() {
			for {
				time.Sleep(pause)
				if _, err := io.WriteString(c.conn, text); err != nil {
					return
				}
			}
		}()
	}
}

// TestDeadlineOfReplies: a client that does not read is cut off too.
func TestDeadlineOfReplies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble()
		c := b.dial(t)
		begun := time.Now()
		c.send("NOOP\r\n") // a pipe has no buffer: the reply stays until it is read
		<-b.host.closed
		if got := time.Since(begun); got != 5*time.Minute {
			t.Errorf("got cut off after %v, want 5m", got)
		}
		b.end(t)
	})
}

// TestAcceptSurvives: accepting goes on after errors, with pauses that double and do not grow for ever.
func TestAcceptSurvives(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble()
		begun := time.Now()
		for range 3 {
			b.pipes.errs <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		}
		b.dial(t).say("QUIT", "221")
		if got, want := time.Since(begun), (5+10+20)*time.Millisecond; got != want {
			t.Errorf("got pauses of %v, want %v", got, want)
		}
		begun = time.Now()
		for range 20 {
			b.pipes.errs <- errors.New("some other error")
		}
		if got := time.Since(begun); got < 10*time.Second || got > 20*time.Second {
			t.Errorf("got pauses of %v for 20 errors, want at most a second each", got)
		}
		begun = time.Now()
		b.end(t) // does not wait for the pause
		if got := time.Since(begun); got > 0 {
			t.Errorf("got %v until the end, want none", got)
		}
	})
}

// TestShutdown: idle sessions get 421 at once, one in a transaction may finish it, and then gets 421 too.
func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble()
		idle, halfCommand, transaction, content := b.dial(t), b.dial(t), b.dial(t), b.dial(t)
		halfCommand.send("MAIL FR")
		transaction.say("MAIL FROM:<a@b.example>", "250")
		content.data()
		content.send("one\r\n")
		synctest.Wait()
		begun := time.Now()
		done := make(chan error, 1)
		go func() { done <- b.Shutdown(context.Background()) }()
		for _, c := range []*client{idle, halfCommand} {
			c.want("421 4.3.2")
			c.wantEnd()
		}
		if got := time.Since(begun); got >= time.Second {
			t.Errorf("got 421 after %v, want it within a second", got)
		}
		time.Sleep(time.Minute)
		content.send("two\r\n.\r\n")
		content.want("250", "421 4.3.2")
		content.wantEnd()
		transaction.say("RCPT TO:<c@d.example>", "250")
		select {
		case err := <-done:
			t.Fatalf("Shutdown returned %v before the transaction was over", err)
		default:
		}
		transaction.send("RSET\r\n")
		transaction.want("250", "421")
		transaction.wantEnd()
		if err := <-done; err != nil {
			t.Errorf("got %v, want no error", err)
		}
		if messages, _, _ := b.host.seen(); len(messages) != 1 || !strings.Contains(messages[0], `"one\r\ntwo\r\n"`) {
			t.Errorf("got %q, want the message that was being sent", messages)
		}
	})
}

// TestShutdownEnds: when its time is over, what is left is cut off, and nothing of it is taken.
func TestShutdownEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble()
		c := b.dial(t)
		c.data()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		begun := time.Now()
		if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if got := time.Since(begun); got != 30*time.Second {
			t.Errorf("got %v, want 30s", got)
		}
		<-b.host.closed
		if messages, _, aborted := b.host.seen(); len(messages) != 0 || aborted != 1 {
			t.Errorf("got %d messages and %d aborted, want 0 and 1", len(messages), aborted)
		}
		if err := b.Server.ctx.Err(); err == nil {
			t.Error("the sessions' context goes on, want it ended")
		}
	})
}

// TestShutdownPipelined: a command that was pipelined behind a transaction is not done after Shutdown was called.
func TestShutdownPipelined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := serveBubble()
		called := make(chan struct{})
		b.host.data = func() {
			go func() { b.Shutdown(context.Background()); close(called) }()
			<-b.stop
		}
		c := b.dial(t)
		c.send("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
		c.want("250", "250", "354")
		c.send(".\r\nMAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\n")
		c.want("250", "421 4.3.2")
		c.wantEnd()
		<-called
	})
}
