package main

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/test/harness"
)

// slowHost is a next hop that does not answer the end of data until it may.
type slowHost struct {
	net.Listener
	may   chan struct{}
	taken atomic.Int64 // messages
}

func newSlowHost(t *testing.T) *slowHost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	h := &slowHost{Listener: l, may: make(chan struct{})}
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			go h.serve(conn)
		}
	}()
	return h
}

func (h *slowHost) serve(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "220 slow\r\n")
	content := false
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		switch line := lines.Text(); {
		case content && line == ".":
			h.taken.Add(1)
			content = false
			<-h.may
			fmt.Fprint(conn, "250 taken\r\n")
		case content:
		case line == "DATA":
			content = true
			fmt.Fprint(conn, "354 go on\r\n")
		default:
			fmt.Fprint(conn, "250 yes\r\n")
		}
	}
}

// beginMail opens a session and a transaction in it, up to the content.
func beginMail(t *testing.T, address string) *textproto.Conn {
	t.Helper()
	conn, err := textproto.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, step := range []struct {
		code int
		then string
	}{{220, "EHLO client.example"}, {250, "MAIL FROM:<a@example.org>"}, {250, "RCPT TO:<b@example.net>"}, {250, "DATA"}, {354, "Subject: x"}} {
		if _, _, err := conn.ReadResponse(step.code); err != nil {
			t.Fatal(err)
		}
		if err := conn.PrintfLine("%s", step.then); err != nil {
			t.Fatal(err)
		}
	}
	return conn
}

// TestASessionThatTakesAllTheTimeCutsNoRelaying stops a server while one session never ends and another brings a message
// late: it is relayed once, by the next start (S32).
func TestASessionThatTakesAllTheTimeCutsNoRelaying(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	cfg.SessionDrain = Duration(3 * time.Second)
	host := newSlowHost(t)
	s, stop := started(t, cfg)
	relay, err := apiOf(s).CreateRelay(t.Context(), &mailmanager.CreateRelayInput{
		RelayName: aws.String("slow"), ServerName: aws.String("127.0.0.1"), ServerPort: aws.Int32(int32(host.Addr().(*net.TCPAddr).Port)),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})
	if err != nil {
		t.Fatal(err)
	}
	address := openPoint(t, s, &types.RuleActionMemberRelay{Value: types.RelayAction{Relay: relay.RelayId}})
	beginMail(t, address)
	late := beginMail(t, address)
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	harness.Eventually(t, "no step begins", func() bool { return !s.gateway.storage.mail.Load().queue.Room(0) })
	late.PrintfLine("\r\nbody\r\n.")
	if _, text, err := late.ReadResponse(250); err != nil || !strings.HasPrefix(text, "2.0.0 OK") {
		t.Fatalf("got %q, %v", text, err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	close(host.may)
	second, _ := started(t, cfg)
	harness.Eventually(t, "the spool is empty", func() bool {
		lanes, err := second.gateway.storage.mail.Load().spool.Lanes(t.Context())
		return err == nil && len(lanes) == 0
	})
	if got := host.taken.Load(); got != 1 {
		t.Errorf("the message was delivered %d times, want once", got)
	}
}
