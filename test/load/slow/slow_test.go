package slow

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/test/harness"
)

// server is one that answers every command with what leads on, and keeps what comes at the stages where octets come slowly.
type server struct {
	net.Listener
	greeting string

	mu    sync.Mutex
	conns []net.Conn
	raw   map[net.Conn]string // what came after DATA or STARTTLS, or all of it without a greeting
}

func serve(t *testing.T, greeting string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, greeting: greeting, raw: map[net.Conn]string{}}
	t.Cleanup(func() { l.Close(); s.hangUp() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, conn)
			s.mu.Unlock()
			go s.speak(conn)
		}
	}()
	return s
}

func (s *server) speak(conn net.Conn) {
	from := bufio.NewReader(conn)
	for reply := s.greeting; reply != ""; {
		io.WriteString(conn, reply)
		line, err := from.ReadString('\n')
		switch {
		case err != nil:
			return
		case line == "DATA\r\n":
			io.WriteString(conn, "354 Go on\r\n")
			reply = ""
		case line == "STARTTLS\r\n":
			io.WriteString(conn, "220 Go on\r\n")
			reply = ""
		default:
			reply = "250-It is\r\n250 OK\r\n"
		}
	}
	for {
		octet, err := from.ReadByte()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.raw[conn] += string([]byte{octet})
		s.mu.Unlock()
	}
}

// came is what came of each connection at a stage that begins like that.
func (s *server) came(beginning string) (texts []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.raw {
		if strings.HasPrefix(text, beginning) {
			texts = append(texts, text)
		}
	}
	return texts
}

// hangUp ends the connections that there are.
func (s *server) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
}

const quick = 50 * time.Millisecond

// TestStages: half of the connections are in a handshake, the others are spread, and those that do not idle go on by octets.
func TestStages(t *testing.T) {
	t.Parallel()
	plain, wrapped := serve(t, "220 test\r\n"), serve(t, "")
	c := Start(plain.Addr().String(), Options{Connections: 16, Pause: quick, Implicit: wrapped.Addr().String(), Content: 100})
	defer c.Close()
	want := [stages]int{Connected: 2, Greeted: 2, Command: 2, Content: 2, StartTLS: 4, Implicit: 4}
	harness.Eventually(t, "all are open", func() bool { return c.Count().Open == want })
	for _, stage := range []struct {
		of        *server
		beginning string
		number    int
		at        int // octets that come at once
	}{
		{plain, "Subject: slow\r\n\r\n", 2, 100},
		{plain, "\x16\x03\x01", 4, len(c.hello) / 2},
		{wrapped, "\x16\x03\x01", 4, len(c.hello) / 2},
	} {
		harness.Eventually(t, "octets come after the first", func() bool {
			slowly := 0
			for _, text := range stage.of.came(stage.beginning) {
				if len(text) > stage.at+2 {
					slowly++
				}
			}
			return slowly == stage.number
		})
	}
	if got := c.Count().String(); got != "open=16 connected=2 greeted=2 command=2 content=2 starttls=4 implicit=4 ended=0 failed=0" {
		t.Errorf("got %s", got)
	}
}

// TestEnded: what the server ends is noticed at every stage, and is opened again when that is asked for.
func TestEnded(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		s := serve(t, "220 test\r\n")
		c := Start(s.Addr().String(), Options{Connections: 16, Pause: quick, Again: again})
		defer c.Close()
		harness.Eventually(t, "all are open", func() bool { return c.Count().Total() == 16 })
		s.hangUp()
		harness.Eventually(t, "the end is noticed", func() bool { return c.Count().Ended == 16 })
		if again {
			harness.Eventually(t, "all are open again", func() bool { return c.Count().Total() == 16 })
		} else if left := c.Count().Total(); left != 0 {
			t.Errorf("got %d open, want none", left)
		}
	}
}

// TestFailed: who is refused on the way is counted, with the first reason, and not tried again.
func TestFailed(t *testing.T) {
	t.Parallel()
	s := serve(t, "421 not now\r\n")
	c := Start(s.Addr().String(), Options{Connections: 4, Pause: quick, Again: true})
	defer c.Close()
	harness.Eventually(t, "all have failed", func() bool { return c.Count().Failed == 4 })
	if n := c.Count(); n.Total() != 0 || n.Err == nil || !strings.Contains(n.String(), `got "421 not now", want 220`) {
		t.Errorf("got %s", n)
	}
	nobody := serve(t, "")
	nobody.Close()
	none := Start(nobody.Addr().String(), Options{Connections: 1, Pause: quick})
	defer none.Close()
	harness.Eventually(t, "nobody is there", func() bool { return none.Count().Failed == 1 })
}

// TestClientHello: it is a whole one, such as a server takes.
func TestClientHello(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	go func() {
		ours.Write(clientHello())
		io.Copy(io.Discard, ours)
	}()
	name := make(chan string, 1)
	config := &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		name <- hello.ServerName
		return nil, io.EOF
	}}
	if err := tls.Server(theirs, config).Handshake(); err == nil {
		t.Error("got a handshake, want the end of it")
	}
	if got := <-name; got != "slow.invalid" {
		t.Errorf("got a hello for %q", got)
	}
}
