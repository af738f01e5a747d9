package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/smtp"
)

// A talk is what a host says of two messages, reply by reply, and how far it has come with them by then.
type talk []struct {
	reply string
	state string // of both messages, once the reply is there in full; empty: no connection yet
}

// talks are conversations that go well.
var talks = map[string]struct {
	chunking bool
	talk     talk
}{
	"pipelined": {talk: talk{
		{"220 host\r\n", ""},
		{"250-host\r\n250 PIPELINING\r\n", "unattempted"},
		{"250 ok\r\n", "begun"},
		{"250 ok\r\n", "begun"},
		{"354 go\r\n", "uncertain unattempted"},
		{"250 one\r\n", "answered unattempted"},
		{"250 ok\r\n", "answered begun"},
		{"250 ok\r\n", "answered begun"},
		{"354 go\r\n", "answered uncertain"},
		{"250 two\r\n", "answered answered"},
		{"221 bye\r\n", "answered answered"},
	}},
	"lockstep": {talk: talk{
		{"220 host\r\n", ""},
		{"250 host\r\n", "unattempted"},
		{"250 ok\r\n", "begun"},
		{"250 ok\r\n", "begun"},
		{"354 go\r\n", "uncertain"},
		{"250 one\r\n", "answered unattempted"},
		{"250 ok\r\n", "answered begun"},
		{"250 ok\r\n", "answered begun"},
		{"354 go\r\n", "answered uncertain"},
		{"250 two\r\n", "answered answered"},
		{"221 bye\r\n", "answered answered"},
	}},
	"chunks": {chunking: true, talk: talk{
		{"220 host\r\n", ""},
		{"250-host\r\n250-CHUNKING\r\n250 PIPELINING\r\n", "uncertain"},
		{"250 ok\r\n", "uncertain"},
		{"250 ok\r\n", "uncertain"},
		{"250 one\r\n", "answered uncertain"},
		{"250 ok\r\n", "answered uncertain"},
		{"250 ok\r\n", "answered uncertain"},
		{"250 two\r\n", "answered answered"},
		{"221 bye\r\n", "answered answered"},
	}},
}

// hear lets the client send two messages to a host that says what it says, whatever it is told.
func hear(t *testing.T, says io.Reader, chunking bool) (states string, done []*Transaction, err error) {
	t.Helper()
	source := &list{}
	for range 2 {
		source.waiting = append(source.waiting, newTransaction([]string{"a@example.org", "b@example.net", "size=3"}))
		source.waiting[len(source.waiting)-1].Content.(*content).WriteString("x\r\n")
	}
	host := &tape{says: says}
	conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
		Hello:    "mail.example.org",
		Chunking: chunking,
		Dial:     func(context.Context, string, string) (net.Conn, error) { return host, nil },
	})
	if err != nil {
		return "", nil, err
	}
	err = conn.Deliver(source)
	conn.Close()
	var words []string
	for _, transaction := range source.done {
		words = append(words, transaction.State.String())
	}
	if source.out != 0 {
		t.Errorf("%d transactions were not handed back", source.out)
	}
	return strings.Join(words, " "), source.done, err
}

// TestConnectionLostAnywhere cuts conversations after every octet that the host says. What was answered stays answered; what the
// host may have taken, and only that, is uncertain.
func TestConnectionLostAnywhere(t *testing.T) {
	t.Parallel()
	for name, test := range talks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said, state := "", ""
			for _, next := range test.talk {
				for cut := range len(next.reply) {
					says := iotest.OneByteReader(strings.NewReader(said + next.reply[:cut]))
					got, _, err := hear(t, says, test.chunking)
					if got != state {
						t.Errorf("after %q: got %q (%v), want %q", said+next.reply[:cut], got, err, state)
					}
					if over := state == "answered answered"; (err == nil) != over {
						t.Errorf("after %q: got error %v", said+next.reply[:cut], err)
					}
				}
				said, state = said+next.reply, next.state
			}
		})
	}
}

// TestClosingAnywhere puts a 421 in place of every reply: it is the error, and no delivery.
func TestClosingAnywhere(t *testing.T) {
	t.Parallel()
	for name, test := range talks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			said := ""
			for _, next := range test.talk[:len(test.talk)-1] {
				_, done, err := hear(t, iotest.OneByteReader(strings.NewReader(said+"421 4.3.2 bye\r\n")), test.chunking)
				var reply *smtp.Reply
				if !errors.As(err, &reply) || reply.Code != codeClosing {
					t.Errorf("after %q: got %v, want the 421", said, err)
				}
				if got, most := deliveries(done), strings.Count(said, "250 one"); got > most {
					t.Errorf("after %q: %d deliveries", said, got)
				}
				said += next.reply
			}
		})
	}
}

// TestWrongRepliesAnywhere puts what is no reply, or one that fits nowhere, in place of every reply.
func TestWrongRepliesAnywhere(t *testing.T) {
	t.Parallel()
	wrongs := map[string]string{
		"1yz":              "150 wait\r\n",
		"6yz":              "650 what\r\n",
		"text only":        "yes, of course\r\n",
		"empty line":       "\r\n",
		"code too short":   "25 ok\r\n",
		"code too long":    "2500 ok\r\n",
		"no space":         "250ok\r\n",
		"NUL":              "\x00\x00\x00\r\n",
		"codes differ":     "250-ok\r\n550 no\r\n",
		"HTTP":             "HTTP/1.1 200 OK\r\n",
		"TLS alert":        "\x15\x03\x01\x00\x02\x02\x28\n",
		"334":              "334 \r\n",
		"endless line":     "250 " + strings.Repeat("x", 1<<20),
		"endless lines":    strings.Repeat("250-ok\r\n", 1<<17),
		"endless spaces":   strings.Repeat(" ", 1<<20),
		"endless CRs":      "250 ok" + strings.Repeat("\r", 1<<20),
		"endless nonsense": strings.Repeat("\xff", 1<<20),
	}
	for name, test := range talks {
		for kind, wrong := range wrongs {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				said := ""
				for _, next := range test.talk[:len(test.talk)-1] {
					if next.reply[0] != '3' || wrong[0] != '3' { // else it is what was asked for
						wrongReply(t, said, wrong, test.chunking)
					}
					said += next.reply
				}
			})
		}
	}
}

func wrongReply(t *testing.T, said, wrong string, chunking bool) {
	t.Helper()
	rest := strings.NewReader(wrong)
	says := io.MultiReader(iotest.OneByteReader(strings.NewReader(said)), rest)
	_, done, err := hear(t, says, chunking)
	refused := new(smtp.Reply)
	if !errors.Is(err, ErrProtocol) && !(errors.As(err, &refused) && refused.Code == 334) {
		t.Errorf("after %q: got %v, want a protocol error", said, err)
	}
	if taken, most := len(wrong)-rest.Len(), 16<<10; taken > most {
		t.Errorf("after %q: %d octets were read, want %d at most", said, taken, most)
	}
	if got, most := deliveries(done), strings.Count(said, "250 one"); got > most {
		t.Errorf("after %q: %d deliveries", said, got)
	}
}

// TestRepliesSplitAnyhow lets the host's octets arrive one by one, a second apart, and in pieces of other sizes.
func TestRepliesSplitAnyhow(t *testing.T) {
	t.Parallel()
	for name, test := range talks {
		for _, octets := range []int{1, 2, 3, 7} {
			t.Run(fmt.Sprint(name, octets), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var pieces []string
					for _, next := range test.talk {
						for piece := range slices.Chunk([]byte(next.reply), octets) {
							pieces = append(pieces, string(piece))
						}
					}
					states, done, err := hear(t, &slowly{talkInTurn{pieces}}, test.chunking)
					if err != nil || states != "answered answered" || deliveries(done) != 2 {
						t.Errorf("got %q, %v", states, err)
					}
				})
			})
		}
	}
}

// slowly takes a second for each piece.
type slowly struct{ talkInTurn }

func (s *slowly) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.talkInTurn.Read(p)
}

// TestSlowReplies shows that a reply has its time as a whole: octets that trickle in do not renew it.
func TestSlowReplies(t *testing.T) {
	t.Parallel()
	const endless = "220-still here\r\n"
	for _, pause := range []time.Duration{time.Second, time.Minute, 4 * time.Minute} {
		t.Run(pause.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for i := 0; ; i++ {
						time.Sleep(pause)
						if _, err := theirs.Write([]byte{endless[i%len(endless)]}); err != nil {
							return
						}
					}
				}()
				start := time.Now()
				_, err := Dial(t.Context(), "192.0.2.1:25", Config{
					Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil },
				})
				if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != 5*time.Minute {
					t.Errorf("got %v after %v, want a timeout after 5m", err, took)
				}
				<-ended
			})
		})
	}
}

// TestTooFewReplies: a host that leaves out one reply keeps the client waiting, and what it said counts for nothing.
func TestTooFewReplies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dialogue{
			transactions: []*Transaction{newTransaction([]string{"a@example.org", "b@example.net,c@example.net"})},
			wire: []string{"S: 220 host", "C: EHLO mail.example.org", "S: 250-host", "S: 250 PIPELINING",
				"C: MAIL FROM:<a@example.org>", "C: RCPT TO:<b@example.net>", "C: RCPT TO:<c@example.net>", "C: DATA",
				"S: 250 ok", "S: 550 no", "S: 250 ok", "hang"},
		}
		done, err := d.talk(t)
		want := []string{"begun | 550 no | - | because read pipe: i/o timeout", "connection: read pipe: i/o timeout"}
		if diff := cmp.Diff(want, outcomes(done, err)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestHugeHello: a reply to EHLO of as many and as long lines as are taken at all is understood; one line more is not.
func TestHugeHello(t *testing.T) {
	t.Parallel()
	for lines, want := range map[int]error{127: nil, 128: ErrProtocol} {
		hello := strings.Repeat("250-"+strings.Repeat("X", 2_000)+"\r\n", lines) + "250 PIPELINING\r\n"
		conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
			Dial: func(context.Context, string, string) (net.Conn, error) {
				return &tape{says: iotest.OneByteReader(strings.NewReader("220 host\r\n" + hello))}, nil
			},
		})
		if !errors.Is(err, want) || err == nil && !conn.ext.pipelining {
			t.Errorf("%d lines: got %v, want %v", lines+1, err, want)
		}
	}
}
