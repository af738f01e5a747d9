package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// closingTape takes so many octets and then no more, as a host does that has closed the connection.
type closingTape struct {
	tape
	takes int
}

func (c *closingTape) Write(p []byte) (int, error) {
	n := min(len(p), c.takes)
	c.takes -= n
	if n < len(p) {
		return n, syscall.EPIPE
	}
	return n, nil
}

// TestLastWords shows what becomes of a host that stops taking content: its refusal counts, an acceptance cannot be one.
func TestLastWords(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, says, want string
	}{
		{"refusal", "552 5.3.4 too big\r\n", "answered | 552 5.3.4 too big"},
		{"later", "451 4.3.0 disk full\r\n", "answered | 451 4.3.0 disk full"},
		{"closing", "421 4.3.2 going down\r\n", "answered | 421 4.3.2 going down"},
		{"silence", "", "begun | - | because broken pipe"},
		{"impossible acceptance", "250 2.0.0 taken\r\n", "begun | - | because broken pipe"},
		{"junk", "what?\r\n", "begun | - | because broken pipe"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			host := &closingTape{takes: 50_000}
			host.says = &talkInTurn{[]string{"220 h\r\n", "250-h\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n354 go\r\n", test.says}}
			conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
				Dial: func(context.Context, string, string) (net.Conn, error) { return host, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			transaction := newTransaction([]string{"a@example.org", "b@example.net"})
			transaction.Content.(*content).WriteString(strings.Repeat("0123456789\r\n", 10_000))
			err = conn.Deliver(&list{waiting: []*Transaction{transaction}})
			if !errors.Is(err, syscall.EPIPE) {
				t.Errorf("got %v, want a broken pipe", err)
			}
			if got := outcomes([]*Transaction{transaction}, nil)[0]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// talkInTurn gives one piece a read, so that nothing is said out of turn.
type talkInTurn struct{ pieces []string }

func (t *talkInTurn) Read(p []byte) (int, error) {
	if len(t.pieces) == 0 || t.pieces[0] == "" {
		return 0, io.EOF
	}
	n := copy(p, t.pieces[0])
	t.pieces = t.pieces[1:]
	return n, nil
}

// TestStalledContent shows that each block of the content has its own time: a host that reads slowly is waited for, one that
// stops is not.
func TestStalledContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		w := &blockWriter{conn: ours, timeout: 3 * time.Minute}
		go func() {
			for range 4 { // a block each 2 minutes: longer than one timeout in all
				time.Sleep(2 * time.Minute)
				io.CopyN(io.Discard, theirs, blockOctets)
			}
		}()
		start := time.Now()
		n, err := w.Write(make([]byte, 6*blockOctets))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || n != 4*blockOctets || took != 11*time.Minute {
			t.Errorf("got %d octets, %v after %v; want 4 blocks, a timeout, 11 minutes", n, err, took)
		}
	})
}

// TestCloseIsBounded shows that the farewell ends although the host does not answer it.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go io.Copy(io.Discard, theirs)
		start := time.Now()
		newConn(ours, DefaultTimeouts()).Close()
		if took := time.Since(start); took > quitTimeout {
			t.Errorf("took %v", took)
		}
	})
}

// TestCloseIsBoundedWithTLS: nor is TLS given more time for its own farewell, by a host that reads nothing more.
func TestCloseIsBoundedWithTLS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{TLS: TLS{Mode: Implicit, Config: &tls.Config{ServerName: hostName}}}
		security := trusted(t, &cfg)
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			secured := tls.Server(theirs, security)
			io.WriteString(secured, "220 host\r\n")
			secured.Read(make([]byte, 1_024)) // EHLO
			io.WriteString(secured, "250 host\r\n")
		}()
		cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		conn, err := Dial(t.Context(), "192.0.2.1:465", cfg)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		conn.Close()
		if took := time.Since(start); took > quitTimeout {
			t.Errorf("took %v", took)
		}
	})
}

// TestConnectTimeout shows that connecting is bounded, and ends with the context.
func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	never := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := Dial(t.Context(), "192.0.2.1:25", Config{Dial: never, Timeouts: Timeouts{Connect: 7 * time.Second}})
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != 7*time.Second {
			t.Errorf("got %v after %v", err, took)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Dial(ended, "192.0.2.1:25", Config{Dial: never}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v with an ended context", err)
		}
	})
}

// TestDialEndsWhileTheHostKeepsSilent: a server that stops does not wait for a greeting that may never come.
func TestDialEndsWhileTheHostKeepsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		silent := func(context.Context, string, string) (net.Conn, error) { return ours, nil }
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := Dial(ctx, "192.0.2.1:25", Config{Dial: silent})
		if took := time.Since(start); !errors.Is(err, context.Canceled) || took != time.Second {
			t.Errorf("got %v after %v, want the end of the context after 1s", err, took)
		}
		if _, err := ours.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("the connection is still open: %v", err)
		}
	})
}

// TestDeliverOverTCP sends over a real socket, with content larger than every buffer, and sends again after a pause.
func TestDeliverOverTCP(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := make(chan int, 10)
	go serveOnce(listener, taken)
	conn, err := Dial(t.Context(), listener.Addr().String(), Config{Hello: "mail.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		source := &list{}
		for range 5 {
			transaction := newTransaction([]string{"a@example.org", "b@example.net"})
			transaction.Content.(*content).WriteString(strings.Repeat(".234567890\r\n", 100_000))
			source.waiting = append(source.waiting, transaction)
		}
		if err := conn.Deliver(source); err != nil {
			t.Fatal(err)
		}
		for _, transaction := range source.done {
			if got := transaction.Replies[0].Code; got != 250 {
				t.Errorf("round %d: got %v", round, transaction.Replies[0])
			}
			if got, want := <-taken, 1_300_000; got != want {
				t.Errorf("the host took %d octets, want %d", got, want)
			}
		}
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// serveOnce is a host that takes what comes, and tells how many octets of content each message had on the wire.
func serveOnce(listener net.Listener, taken chan<- int) {
	nc, err := listener.Accept()
	if err != nil {
		return
	}
	serve(nc, taken)
}

func serve(nc net.Conn, taken chan<- int) {
	defer nc.Close()
	r, w := bufio.NewReader(nc), bufio.NewWriter(nc)
	say := func(reply string) {
		w.WriteString(reply + "\r\n")
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
	say("220 host")
	for {
		line, err := r.ReadString('\n')
		switch {
		case err != nil:
			return
		case strings.HasPrefix(line, "EHLO"):
			say("250-host\r\n250-CHUNKING\r\n250 PIPELINING")
		case strings.HasPrefix(line, "BDAT"):
			octets, _ := strconv.Atoi(strings.Fields(line)[1])
			io.CopyN(io.Discard, r, int64(octets))
			taken <- octets
			say("250 ok")
		case strings.HasPrefix(line, "DATA"):
			say("354 go")
			w.Flush()
			octets := 0
			for line, _ = r.ReadString('\n'); line != ".\r\n"; line, _ = r.ReadString('\n') {
				octets += len(line)
			}
			taken <- octets
			fallthrough
		default:
			say("250 ok")
		}
	}
}
