package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// A dialogue is a file of testdata: what is to be sent, what passes over the wire, and what came of it.
//
//	# a comment
//	message FROM TO,TO [8bit] [utf8] [broken]   one transaction; FROM and TO as between the brackets, <> for none
//	| a line of its content
//	C: a line that the host must receive
//	S: a line that the host then sends; nothing of the client may be unread at that moment
//	close                                       the host closes the connection
//	hang                                        the host says nothing more
//	= the outcomes, one line a transaction, and the error of the connection
type dialogue struct {
	transactions []*Transaction
	wire         []string
	want         []string
}

func readDialogue(t *testing.T, file string) dialogue {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d dialogue
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "message "):
			d.transactions = append(d.transactions, newTransaction(strings.Fields(line)[1:]))
		case line[0] == '|':
			last := d.transactions[len(d.transactions)-1]
			fmt.Fprintf(last.Content.(*content), "%s\r\n", strings.TrimPrefix(line[1:], " "))
		case line[0] == '=':
			d.want = append(d.want, strings.TrimSpace(line[1:]))
		default:
			d.wire = append(d.wire, line)
		}
	}
	for _, transaction := range d.transactions {
		transaction.Size = int64(transaction.Content.(*content).Len())
	}
	return d
}

// content can fail at its end, as a file can.
type content struct {
	bytes.Buffer
	broken bool
}

func (c *content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c.Bytes())
	if c.broken {
		err = os.ErrInvalid
	}
	return int64(n), err
}

func path(text string) smtp.Path {
	if text == "<>" {
		return smtp.Path{}
	}
	unquoted, err := strconv.Unquote(`"` + text + `"`)
	if err != nil {
		panic(err)
	}
	return smtp.Path{Received: unquoted}
}

func newTransaction(words []string) *Transaction {
	t := &Transaction{
		From:     path(words[0]),
		EightBit: slices.Contains(words, "8bit"),
		UTF8:     slices.Contains(words, "utf8"),
		Content:  &content{broken: slices.Contains(words, "broken")},
	}
	for to := range strings.SplitSeq(words[1], ",") {
		t.Recipients = append(t.Recipients, message.Recipient{Path: path(to)})
	}
	return t
}

// play is the host's side. It returns what went otherwise than written.
func (d dialogue) play(conn net.Conn) error {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, line := range d.wire {
		switch {
		case line == "close":
			return nil
		case line == "hang":
			r.ReadByte() // until the client gives up
			return nil
		case strings.HasPrefix(line, "C: "):
			got, err := r.ReadString('\n')
			if got = strings.TrimSuffix(got, "\r\n"); err != nil || got != line[3:] {
				return fmt.Errorf("host received %q (%v), want %q", got, err, line[3:])
			}
		case strings.HasPrefix(line, "S: "):
			if r.Buffered() > 0 {
				rest, _ := r.Peek(r.Buffered())
				return fmt.Errorf("client sent %q before %q", rest, line)
			}
			if _, err := io.WriteString(conn, strings.ReplaceAll(line[3:], `\r\n`, "\r\n")+"\r\n"); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
		default:
			return fmt.Errorf("unknown line %q", line)
		}
	}
	if _, err := r.ReadByte(); err == nil {
		return fmt.Errorf("the client went on after the end")
	}
	return nil
}

// list is a source of transactions that are all there, or each only once the one before is done.
type list struct {
	waiting []*Transaction
	out     int
	done    []*Transaction
}

func (l *list) Next(bool) *Transaction {
	if len(l.waiting) == 0 {
		return nil
	}
	t := l.waiting[0]
	l.waiting = l.waiting[1:]
	l.out++
	return t
}

func (l *list) Done(t *Transaction) {
	l.out--
	l.done = append(l.done, t)
}

func (s State) String() string {
	return [...]string{"unattempted", "begun", "uncertain", "answered"}[s]
}

// outcomes are the transactions as a dialogue writes them.
func outcomes(transactions []*Transaction, err error) []string {
	var lines []string
	for _, t := range transactions {
		words := []string{t.State.String()}
		for _, reply := range t.Replies {
			if reply == nil {
				words = append(words, "-")
			} else {
				words = append(words, reply.String())
			}
		}
		if t.Err != nil {
			words = append(words, "because "+t.Err.Error())
		}
		lines = append(lines, strings.Join(words, " | "))
	}
	return append(lines, fmt.Sprint("connection: ", err))
}

func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.dialogue")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".dialogue"), func(t *testing.T) {
			t.Parallel()
			d := readDialogue(t, file)
			synctest.Test(t, func(t *testing.T) { runDialogue(t, d) })
		})
	}
}

func runDialogue(t *testing.T, d dialogue) {
	done, err := d.talk(t)
	slices.SortStableFunc(done, func(a, b *Transaction) int {
		return slices.Index(d.transactions, a) - slices.Index(d.transactions, b)
	})
	if diff := cmp.Diff(d.want, outcomes(done, err)); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

// talk sends the transactions to a host that plays its side, and returns those that came back.
func (d dialogue) talk(t *testing.T) (done []*Transaction, err error) {
	ours, theirs := net.Pipe()
	played := make(chan error, 1)
	go func() { played <- d.play(theirs) }()
	source := &list{waiting: d.transactions}
	conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
		Hello: "mail.example.org",
		Dial:  func(context.Context, string, string) (net.Conn, error) { return ours, nil },
	})
	if err == nil {
		err = conn.Deliver(source)
		conn.Close()
	}
	if wrong := <-played; wrong != nil {
		t.Error(wrong)
	}
	if source.out != 0 {
		t.Errorf("%d transactions were not handed back", source.out)
	}
	return source.done, err
}

// TestTimeouts shows that each wait for the host ends by itself, after the time of RFC 5321, section 4.5.3.2.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	const greeting, hello = "S: 220 hello", "C: EHLO mail.example.org"
	envelope := []string{greeting, hello, "S: 250 host", "C: MAIL FROM:<a@example.org>", "S: 250 ok",
		"C: RCPT TO:<b@example.net>", "S: 250 ok", "C: DATA"}
	tests := []struct {
		name  string
		wire  []string
		want  time.Duration
		state State
	}{
		{"greeting", nil, 5 * time.Minute, Unattempted},
		{"hello", []string{greeting, hello}, 5 * time.Minute, Unattempted},
		{"mail", envelope[:4], 5 * time.Minute, Unattempted},
		{"rcpt", envelope[:6], 5 * time.Minute, Begun},
		{"data", envelope, 2 * time.Minute, Begun},
		{"dot", append(slices.Clone(envelope), "S: 354 go", "C: x", "C: ."), 10 * time.Minute, Uncertain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := dialogue{wire: append(slices.Clone(test.wire), "hang")}
				transaction := newTransaction([]string{"a@example.org", "b@example.net"})
				transaction.Content.(*content).WriteString("x\r\n")
				d.transactions = []*Transaction{transaction}
				start := time.Now()
				_, err := d.talk(t)
				if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != test.want {
					t.Errorf("got %v after %v, want a timeout after %v", err, took, test.want)
				}
				if transaction.State != test.state {
					t.Errorf("got state %v, want %v", transaction.State, test.state)
				}
			})
		})
	}
}
