package generate_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/certs/certtest"
	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

// secureServer is an SMTP server that wants TLS, and then the user "user" with the password "pass:word".
type secureServer struct {
	config     *tls.Config
	implicit   bool
	handshakes atomic.Int64
}

func (s *secureServer) listen(t *testing.T) (address string) {
	t.Helper()
	s.config = &tls.Config{Certificates: []tls.Certificate{*certtest.New(t, "test CA", nil).Issue("server.example", nil)}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.speak(conn)
		}
	}()
	return l.Addr().String()
}

func (s *secureServer) speak(conn net.Conn) {
	defer conn.Close()
	if s.implicit {
		conn = s.secure(conn)
	}
	fmt.Fprint(conn, "220 test\r\n")
	secure, authenticated, lines := s.implicit, false, bufio.NewScanner(conn)
	for lines.Scan() {
		verb, argument, _ := strings.Cut(lines.Text(), " ")
		switch {
		case verb == "EHLO":
			fmt.Fprint(conn, "250 test\r\n")
		case verb == "STARTTLS" && !secure:
			fmt.Fprint(conn, "220 go on\r\n")
			conn, secure = s.secure(conn), true
			lines = bufio.NewScanner(conn)
		case verb == "AUTH" && secure:
			authenticated = argument == "PLAIN AHVzZXIAcGFzczp3b3Jk"
			fmt.Fprint(conn, map[bool]string{true: "235 you are\r\n", false: "535 you are not\r\n"}[authenticated])
		case verb == "DATA" && authenticated:
			fmt.Fprint(conn, "354 go on\r\n")
			for lines.Scan() && lines.Text() != "." {
			}
			fmt.Fprint(conn, "250 taken\r\n")
		case authenticated:
			fmt.Fprint(conn, "250 ok\r\n")
		default:
			fmt.Fprint(conn, "530 authenticate first\r\n")
		}
	}
}

func (s *secureServer) secure(conn net.Conn) net.Conn {
	s.handshakes.Add(1)
	return tls.Server(conn, s.config)
}

// TestSecure sends over TLS, as a user: a connection is used again, or not, and has one handshake.
func TestSecure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		mode          generate.TLS
		password      string
		perConnection int
		accepted      int
		connections   int
	}{
		{"STARTTLS, kept", generate.StartTLS, "pass:word", 0, 4, 1},
		{"STARTTLS, each its own", generate.StartTLS, "pass:word", 1, 4, 4},
		{"implicit", generate.Implicit, "pass:word", 2, 4, 2},
		{"in clear", generate.Clear, "pass:word", 0, 0, 0},
		{"another password", generate.StartTLS, "password", 0, 0, 0},
		{"no password", generate.StartTLS, "", 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := secureServer{implicit: test.mode == generate.Implicit}
			result, err := generate.Run(t.Context(), s.listen(t), generate.Options{
				Messages: 4, Sessions: 1, PerConnection: test.perConnection, TLS: test.mode, User: "user", Password: test.password,
			})
			if err != nil || result.Ledger.Total(ledger.Accepted) != test.accepted || result.Connections != test.connections {
				t.Errorf("got %s, %v, want %d accepted over %d connections", result, err, test.accepted, test.connections)
			}
			if handshakes := int(s.handshakes.Load()); test.accepted > 0 && handshakes != test.connections {
				t.Errorf("got %d handshakes, want %d", handshakes, test.connections)
			}
		})
	}
}

// TestRate: messages begin when they are due, and the time that one waits for a session counts.
func TestRate(t *testing.T) {
	t.Parallel()
	s, err := sink.Listen("127.0.0.1:0", sink.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	result, err := generate.Run(t.Context(), s.Addr(), generate.Options{Messages: 10, Rate: 100})
	if err != nil || result.Took < 90*time.Millisecond || len(result.Latencies) != 10 {
		t.Errorf("got %s, %v and %d latencies, want 10 in no less than 90ms", result, err, len(result.Latencies))
	}
	s.Behave(sink.Behaviour{BlackHole: true})
	time.AfterFunc(200*time.Millisecond, func() { s.Behave(sink.Behaviour{}) }) // connections that wait are closed
	result, err = generate.Run(t.Context(), s.Addr(), generate.Options{Messages: 2, Rate: 1000, Sessions: 1, Persist: time.Minute})
	if err != nil || result.Percentile(1) < 150*time.Millisecond || result.Percentile(100) < 150*time.Millisecond {
		t.Errorf("got %s, %v, want both messages to have waited", result, err)
	}
}

// TestPercentile: it is one of the latencies, the next longer one where it lies between two.
func TestPercentile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ of, percent, want int }{
		{0, 50, 0}, {1, 0, 1}, {1, 50, 1}, {1, 100, 1}, {2, 50, 1}, {2, 51, 2}, {200, 99, 198}, {201, 99, 199}, {10, 100, 10},
	} {
		latencies := make([]time.Duration, test.of)
		for i := range latencies {
			latencies[i] = time.Duration(i + 1)
		}
		if got := (generate.Result{Latencies: latencies}).Percentile(test.percent); got != time.Duration(test.want) {
			t.Errorf("%d%% of %d: got %d, want %d", test.percent, test.of, got, test.want)
		}
	}
}
