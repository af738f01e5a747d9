package sink_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

func listen(t *testing.T, options sink.Options) *sink.Sink {
	t.Helper()
	s, err := sink.Listen("127.0.0.1:0", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestGeneratorAndSinkAgree runs the two against each other, with nothing between them that could lose or repeat anything.
func TestGeneratorAndSinkAgree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		sink     sink.Options
		generate generate.Options
		accepted int // deliveries; -1: as chance has it
	}{
		{"plain", sink.Options{}, generate.Options{Messages: 300}, 300},
		{"connection each", sink.Options{}, generate.Options{Messages: 100, PerConnection: 1}, 100},
		{"lockstep offered", sink.Options{Lockstep: true}, generate.Options{Messages: 100}, 100},
		{"lockstep chosen", sink.Options{}, generate.Options{Messages: 100, Lockstep: true}, 100},
		{"large", sink.Options{}, generate.Options{Messages: 5, Size: 1 << 20}, 5},
		{"several recipients", sink.Options{}, generate.Options{Messages: 50, To: []string{"a@x", "b@x", "c@x"}}, 150},
		{"deferred for a while", sink.Options{Behaviour: sink.Behaviour{Defer: 0.3}}, generate.Options{Messages: 60, Persist: time.Minute}, 60},
		{"all refused", sink.Options{Behaviour: sink.Behaviour{Reject: 1}}, generate.Options{Messages: 50, Persist: time.Minute}, 0},
		{"deferred, not persisted", sink.Options{Behaviour: sink.Behaviour{Defer: 1}}, generate.Options{Messages: 50}, 0},
		{"dropped", sink.Options{Behaviour: sink.Behaviour{Drop: 0.3}}, generate.Options{Messages: 200, Persist: time.Minute}, -1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := listen(t, test.sink)
			result, err := generate.Run(t.Context(), s.Addr(), test.generate)
			if err != nil {
				t.Fatal(err)
			}
			if got := result.Ledger.Total(ledger.Accepted); test.accepted >= 0 && got != test.accepted {
				t.Errorf("got %d accepted, want %d", got, test.accepted)
			}
			report := ledger.Compare(result.Ledger, s.Ledger)
			if err := report.Err(); err != nil {
				t.Errorf("%v: %s", err, report)
			}
			unanswered, uncertain := s.Ledger.Keys(ledger.Unanswered), result.Ledger.Keys(ledger.Uncertain)
			for _, key := range unanswered {
				if !slices.Contains(uncertain, key) {
					t.Errorf("%s was never answered, and the generator is not uncertain of it", key)
				}
			}
		})
	}
}

// TestDrops shows that a sink that drops connections does so at every moment, and lists what it did not answer.
func TestDrops(t *testing.T) {
	t.Parallel()
	s := listen(t, sink.Options{Behaviour: sink.Behaviour{Drop: 1}})
	result, err := generate.Run(t.Context(), s.Addr(), generate.Options{Messages: 200})
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]bool{
		"accepted":   result.Ledger.Total(ledger.Accepted) > 0, // dropped after the reply
		"refused":    result.Ledger.Total(ledger.Refused) > 0,  // dropped before the content
		"uncertain":  result.Ledger.Total(ledger.Uncertain) > s.Ledger.Total(ledger.Unanswered),
		"unanswered": s.Ledger.Total(ledger.Unanswered) > 0,
	}
	for name, seen := range counts {
		if !seen {
			t.Errorf("none %s: %s", name, result)
		}
	}
}

// TestBlackHole shows that nothing is answered until the behaviour changes.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	s := listen(t, sink.Options{Behaviour: sink.Behaviour{BlackHole: true}})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v from a black hole, want nothing", err)
	}
	s.Behave(sink.Behaviour{})
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want the connection closed", err)
	}
	if result, _ := generate.Run(t.Context(), s.Addr(), generate.Options{}); result.Ledger.Total(ledger.Accepted) != 1 {
		t.Errorf("afterwards: %s", result)
	}
	if total, peak := s.Connections(); total != 2 || peak < 1 {
		t.Errorf("got %d connections, %d at once", total, peak)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	s := listen(t, sink.Options{})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Await(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := s.Await(ended, 0); err != nil {
		t.Errorf("got %v for what is so already", err)
	}
	waited := make(chan error)
	go func() { waited <- s.Await(t.Context(), 10) }()
	generate.Run(t.Context(), s.Addr(), generate.Options{Messages: 10})
	if err := <-waited; err != nil || s.Taken() != 10 {
		t.Errorf("got %v after %d messages", err, s.Taken())
	}
}

// TestFails shows that some recipients are refused and others of the same message are not.
func TestFails(t *testing.T) {
	t.Parallel()
	s := listen(t, sink.Options{Behaviour: sink.Behaviour{Fails: "fail-"}})
	result, err := generate.Run(t.Context(), s.Addr(), generate.Options{Messages: 20, To: []string{"a@x", "fail-b@x", "c-fail-@x"}})
	if err != nil {
		t.Fatal(err)
	}
	if accepted, refused := result.Ledger.Total(ledger.Accepted), result.Ledger.Total(ledger.Refused); accepted != 40 || refused != 20 {
		t.Errorf("got %d accepted and %d refused, want 40 and 20", accepted, refused)
	}
	if peaks := s.Peaks(); len(peaks) != 1 || peaks[s.Addr()] < 1 {
		t.Errorf("got peaks %v", peaks)
	}
}

// TestBounces shows that the sink notes of whom a notification says that they failed, and nothing of other mail without a
// reverse-path.
func TestBounces(t *testing.T) {
	t.Parallel()
	s := listen(t, sink.Options{})
	notification := "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x\r\n\r\n" +
		"Final-Recipient: rfc822;one@x\r\nAction: failed\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-Load-Id: m-1 0\r\n--b--\r\n"
	for _, content := range []string{notification, "Subject: nothing of the kind\r\n\r\n"} {
		if _, err := harness.Deliver(s.Addr(), "", "sender@x", content); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"m-1/one@x"}, s.Ledger.Keys(ledger.Bounced)); diff != "" || s.Ledger.Len() != 1 {
		t.Errorf("bounced (-want +got):\n%s", diff)
	}
}

// TestDialogue shows the sink's side of what a careless client may say.
func TestDialogue(t *testing.T) {
	t.Parallel()
	s := listen(t, sink.Options{})
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "HELO x\r\nRCPT TO:<a@x>\r\nDATA\r\nFROB\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nRCPT TO:nobody\r\nRCPT TO:<a@x>\r\n"+
		"RSET\r\nDATA\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\n.\r\nNOOP\r\nQUIT\r\n")
	var codes []string
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		codes = append(codes, lines.Text()[:3])
	}
	want := strings.Fields("220 250 503 554 500 250 503 503 250 250 554 250 250 354 250 250 221")
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("replies (-want +got):\n%s", diff)
	}
	if s.Taken() != 1 || s.Ledger.Len() != 0 {
		t.Errorf("got %d messages, %d in the ledger; want one without an id", s.Taken(), s.Ledger.Len())
	}
}
