package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
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

	"sluice/internal/certs/certtest"
	"sluice/internal/message"
	"sluice/internal/smtp"
)

// A dialogue is a file of testdata: what is to be sent, what passes over the wire, and what came of it.
//
//	# a comment
//	tls MODE [unverified]                       how the client uses TLS; it does not ask who the host is, or else does
//	auth USER PASSWORD                          its credentials
//	chunking                                    it uses BDAT
//	message FROM TO,TO [8bit] [utf8] [broken]   one transaction; FROM and TO as between the brackets, <> for none;
//	        [RET=FULL] [ENVID=ID] [size=5]      TO with NOTIFY and ORCPT is TO|NOTIFY|ORCPT
//	| a line of its content
//	C: a line that the host must receive
//	S: a line that the host then sends; nothing of the client may be unread at that moment
//	handshake                                   the host does its part of TLS
//	junk LINE                                   the host reads what comes, and answers with the line
//	close                                       the host closes the connection
//	hang                                        the host says nothing more
//	= the outcomes, one line a transaction, and the error of the connection
type dialogue struct {
	transactions []*Transaction
	wire         []string
	want         []string
	tls          string // directive, without the word
	auth         *Credentials
	chunking     bool
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
		case strings.HasPrefix(line, "tls "):
			d.tls = line[len("tls "):]
		case strings.HasPrefix(line, "auth "):
			words := strings.Fields(line)
			d.auth = &Credentials{User: words[1], Password: words[2]}
		case line == "chunking":
			d.chunking = true
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
		if transaction.Size == 0 {
			transaction.Size = int64(transaction.Content.(*content).Len())
		}
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
		From:       path(words[0]),
		EightBit:   slices.Contains(words, "8bit"),
		UTF8:       slices.Contains(words, "utf8"),
		Return:     wordWith(words, "RET="),
		EnvelopeID: wordWith(words, "ENVID="),
		Content:    &content{broken: slices.Contains(words, "broken")},
	}
	t.Size, _ = strconv.ParseInt(wordWith(words, "size="), 10, 64)
	for to := range strings.SplitSeq(words[1], ",") {
		parts := append(strings.Split(to, "|"), "", "")
		t.Recipients = append(t.Recipients, message.Recipient{
			Path: path(parts[0]), Notify: strings.ReplaceAll(path(parts[1]).Received, "+", ","), Original: path(parts[2]).Received,
		})
	}
	return t
}

// wordWith is what follows the prefix in the word that has it, or nothing.
func wordWith(words []string, prefix string) string {
	for _, word := range words {
		if rest, ok := strings.CutPrefix(word, prefix); ok {
			return path(rest).Received
		}
	}
	return ""
}

// host plays a side of a dialogue.
type host struct {
	conn     net.Conn
	r        *bufio.Reader
	security *tls.Config
}

// play is the host's side. It returns what went otherwise than written.
func (d dialogue) play(conn net.Conn, security *tls.Config) error {
	defer conn.Close()
	h := &host{conn: conn, r: bufio.NewReader(conn), security: security}
	for _, line := range d.wire {
		switch line {
		case "close":
			return nil
		case "hang":
			io.Copy(io.Discard, h.r) // until the client gives up
			return nil
		}
		if err := h.step(line); err != nil {
			return err
		}
	}
	if _, err := h.r.ReadByte(); err == nil {
		return fmt.Errorf("the client went on after the end")
	}
	return nil
}

func (h *host) step(line string) error {
	switch {
	case strings.HasPrefix(line, "C: "):
		got, err := h.r.ReadString('\n')
		if got = strings.TrimSuffix(got, "\r\n"); err != nil || got != line[3:] {
			return fmt.Errorf("host received %q (%v), want %q", got, err, line[3:])
		}
	case strings.HasPrefix(line, "S: "):
		if h.r.Buffered() > 0 {
			rest, _ := h.r.Peek(h.r.Buffered())
			return fmt.Errorf("client sent %q before %q", rest, line)
		}
		if _, err := io.WriteString(h.conn, strings.ReplaceAll(line[3:], `\r\n`, "\r\n")+"\r\n"); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
	case strings.HasPrefix(line, "junk "):
		h.conn.Read(make([]byte, 16<<10)) // the client's hello, whole
		io.WriteString(h.conn, line[len("junk "):]+"\r\n")
	case line == "handshake":
		secured := tls.Server(h.conn, h.security)
		secured.Handshake() // what is wrong is what the client says of it
		h.conn = secured
		h.r.Reset(secured)
	default:
		return fmt.Errorf("unknown line %q", line)
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

// deliveries counts the transactions that have a positive reply.
func deliveries(done []*Transaction) int {
	count := 0
	for _, transaction := range done {
		if transaction.State == Answered && positive(transaction.Replies[0]) {
			count++
		}
	}
	return count
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
	return d.talkAs(t, d.config(), nil)
}

// config is the client's part of the file.
func (d dialogue) config() Config {
	cfg := Config{Hello: "mail.example.org", Auth: d.auth, Chunking: d.chunking}
	mode, more, _ := strings.Cut(d.tls, " ")
	cfg.TLS.Mode = TLSMode(max(0, slices.Index([]string{"never", "opportunistic", "required", "implicit"}, mode)))
	cfg.TLS.Config = &tls.Config{ServerName: hostName, InsecureSkipVerify: more == "unverified"}
	return cfg
}

// talkAs is talk with a configuration, to a host with some kind of TLS; nil is the kind that the client trusts.
func (d dialogue) talkAs(t *testing.T, cfg Config, security *tls.Config) (done []*Transaction, err error) {
	ours, theirs := net.Pipe()
	if cfg.TLS.Mode != Never && security == nil {
		security = trusted(t, &cfg)
	}
	played := make(chan error, 1)
	go func() { played <- d.play(theirs, security) }()
	source := &list{waiting: d.transactions}
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	conn, err := Dial(t.Context(), "192.0.2.1:25", cfg)
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

// hostName is what the certificates of hosts are for.
const hostName = "host.example.net"

// trusted is what a host does TLS with that the client then trusts.
func trusted(t *testing.T, cfg *Config) *tls.Config {
	ca := certtest.New(t, "authority", nil)
	cfg.TLS.Config = cfg.TLS.Config.Clone()
	cfg.TLS.Config.RootCAs = x509.NewCertPool()
	cfg.TLS.Config.RootCAs.AddCert(ca.Certificate())
	return securityOf(ca.Issue(hostName, nil))
}

// securityOf is what a host with the certificate does TLS with. A session ticket would wait for a reader that writes.
func securityOf(certificate *tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*certificate}, SessionTicketsDisabled: true}
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
