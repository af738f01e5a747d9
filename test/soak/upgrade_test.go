package soak

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"sync"
	"testing"
	"time"

	"sluice/test/harness"
	"sluice/test/load/ledger"
	"sluice/test/load/letter"
	"sluice/test/load/sink"
)

const (
	upgradeSessions = 20
	perSession      = 5 // messages, then another connection
)

// S32: the server is replaced under load by another on the same sockets, which whoever started both keeps open meanwhile. No
// connection is refused, no session ends but by 421 or its own QUIT, no message is lost, and none arrives twice.
func TestS32Upgrade(t *testing.T) {
	t.Parallel()
	upgrades, each := pick(3, 20), pick(500, 5000)
	far := startSink(t, sink.Options{})
	server := harness.Start(t, quickRetries...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	server.Stop(t)
	socket := keep(t, address)
	server = server.RestartInheriting(t, []net.Listener{socket.listener(t)}, quickRetries...)

	load := &steady{address: address, maker: letter.NewMaker(2000, "sender@example.org", "rcpt@example.net"), ledger: ledger.New()}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sessions sync.WaitGroup
	for n := range upgradeSessions {
		sessions.Go(func() { load.run(ctx, n) })
	}
	for n := range upgrades {
		load.await(t, (n+1)*each)
		server.Stop(t)
		server = server.RestartInheriting(t, []net.Listener{socket.listener(t)}, quickRetries...)
	}
	load.await(t, (upgrades+1)*each)
	stop()
	sessions.Wait()
	for _, err := range load.errors {
		t.Errorf("a client saw: %v", err)
	}
	emptied(t, server)
	server.Stop(t)
	report := ledger.Compare(load.ledger, far.Ledger)
	t.Logf("%d upgrades, %d sessions told 421: %s", upgrades, load.told, report)
	if err := report.Err(); err != nil || len(report.Repeated) > 0 {
		t.Errorf("%v, repeated %v", err, report.Repeated)
	}
}

// kept is a listening socket that nobody closes before the test ends.
type kept struct{ file *os.File }

func keep(t *testing.T, address string) kept {
	t.Helper()
	l, err := net.Listen("tcp4", address)
	must(t, err)
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	must(t, err)
	t.Cleanup(func() { file.Close() })
	return kept{file}
}

// listener is the socket once more, to be handed over.
func (k kept) listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.FileListener(k.file)
	must(t, err)
	return l
}

// steady are clients that send one message after another, and hold the server to its word.
type steady struct {
	address string
	maker   *letter.Maker
	ledger  *ledger.Ledger

	mu     sync.Mutex
	told   int     // sessions that were ended by 421
	errors []error // whatever else ended one
}

// await waits until so many messages were accepted in all.
func (s *steady) await(t *testing.T, messages int) {
	t.Helper()
	harness.Eventually(t, fmt.Sprint(messages, " messages are accepted"), func() bool { return s.ledger.Total(ledger.Accepted) >= messages })
}

// errTold says that the server ended the session with 421: the message was not taken.
var errTold = errors.New("421")

// run sends until ctx ends. A message that was not taken is sent again, on another connection.
func (s *steady) run(ctx context.Context, session int) {
	for number := 0; ctx.Err() == nil; {
		sent, err := s.connection(ctx, session, number)
		number += sent
		if err == nil {
			continue
		}
		s.mu.Lock()
		if errors.Is(err, errTold) {
			s.told++
		} else {
			s.errors = append(s.errors, err)
		}
		s.mu.Unlock()
		if !errors.Is(err, errTold) {
			return
		}
	}
}

// connection sends a few messages on one connection and returns how many were taken.
func (s *steady) connection(ctx context.Context, session, number int) (sent int, err error) {
	conn, err := net.Dial("tcp4", s.address)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &dialogue{conn: conn, r: textproto.NewReader(bufio.NewReader(conn))}
	c.expect("the greeting", 220)
	c.say("EHLO load.invalid", 250)
	for ; sent < perSession && c.err == nil && ctx.Err() == nil; sent++ {
		id := fmt.Sprintf("s%d-%d", session, number+sent)
		c.say("MAIL FROM:<sender@example.org>", 250)
		c.say("RCPT TO:<rcpt@example.net>", 250)
		c.say("DATA", 354)
		head, rest := s.maker.Wire(id)
		c.say(string(head)+string(rest)+".", 250)
		switch {
		case c.err == nil:
			s.ledger.Add(ledger.Key(id, "rcpt@example.net"), ledger.Accepted)
		case !errors.Is(c.err, errTold):
			s.ledger.Add(ledger.Key(id, "rcpt@example.net"), ledger.Uncertain)
			return sent, c.err
		default:
			return sent, c.err
		}
	}
	c.say("QUIT", 221)
	return sent, c.err
}

// dialogue is one session; after an error nothing more is said.
type dialogue struct {
	conn net.Conn
	r    *textproto.Reader
	err  error
}

func (d *dialogue) say(line string, want int) {
	if d.err != nil {
		return
	}
	_, writing := d.conn.Write([]byte(line + "\r\n")) // a server that said 421 may take no more, and yet its reply is here
	d.expect(fmt.Sprintf("%.20q", line), want)
	if d.err != nil && writing != nil && !errors.Is(d.err, errTold) {
		d.err = fmt.Errorf("%w, after %w", d.err, writing)
	}
}

func (d *dialogue) expect(what string, want int) {
	if d.err != nil {
		return
	}
	code, text, err := d.r.ReadResponse(0)
	switch {
	case err != nil:
		d.err = fmt.Errorf("%s: %w", what, err)
	case code == 421:
		d.err = errTold
	case code != want:
		d.err = fmt.Errorf("%s: got %d %s", what, code, text)
	}
}
