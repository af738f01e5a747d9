package action

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/bounce"
	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

const (
	drop = "drop" // the host closes the connection instead of replying
	hang = "hang" // the host replies no more
)

// host is a next hop that replies as says wants: for the connection's number, from 1, and a line; "" is the connection itself,
// "." the end of data. An empty reply is the usual one. It lives in memory, so that its time is the test's.
type host struct {
	says func(connection int, line string) string
	tls  *tls.Config // nil: STARTTLS is not offered
	wrap bool        // TLS from the first octet
	more string      // lines of the reply to EHLO, each with its code and CRLF

	mu      sync.Mutex
	dials   []string // addresses, in order
	lines   []string // commands received, over all connections
	taken   []string // first lines of contents that were answered 2yz
	refuses map[string]error
}

func (h *host) dial(_ context.Context, _, address string) (net.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dials = append(h.dials, address)
	if err := h.refuses[address]; err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	go h.serve(theirs, len(h.dials))
	return ours, nil
}

func (h *host) serve(conn net.Conn, number int) {
	defer func() { conn.Close() }()
	secured := false
	if h.wrap {
		conn, secured = tls.Server(conn, h.tls), true
	}
	r := bufio.NewReader(conn)
	if h.reply(conn, number, "", "220 host") == "" {
		return
	}
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		h.note(line)
		usual := "250 ok"
		switch {
		case strings.HasPrefix(line, "EHLO"):
			usual = "250-host\r\n250-PIPELINING\r\n" + h.more + "250 SMTPUTF8"
			if h.tls != nil && !secured {
				usual = strings.Replace(usual, "250-PIPE", "250-STARTTLS\r\n250-PIPE", 1)
			}
		case strings.HasPrefix(line, "AUTH"):
			usual = "235 2.7.0 welcome"
		case line == "DATA":
			usual = "354 go"
		}
		said := h.reply(conn, number, line, usual)
		if said == "" || line == "DATA" && said[0] == '3' && !h.content(conn, r, number) {
			return
		}
		if line == "STARTTLS" && said[0] == '2' {
			conn, secured = tls.Server(conn, h.tls), true
			r = bufio.NewReader(conn)
		}
	}
}

// content reads to the end of data and replies.
func (h *host) content(conn net.Conn, r *bufio.Reader, number int) bool {
	var first string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		if first == "" {
			first = strings.TrimSpace(line)
		}
	}
	said := h.reply(conn, number, ".", "250 taken")
	if said != "" && said[0] == '2' {
		h.mu.Lock()
		h.taken = append(h.taken, first)
		h.mu.Unlock()
	}
	return said != ""
}

func (h *host) note(line string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line)
}

// reply says what it returns; empty when the connection is over.
func (h *host) reply(conn net.Conn, number int, line, usual string) string {
	reply := ""
	if h.says != nil {
		reply = h.says(number, line)
	}
	switch reply {
	case "":
		reply = usual
	case drop:
		return ""
	case hang:
		io.Copy(io.Discard, conn)
		return ""
	}
	if _, err := io.WriteString(conn, reply+"\r\n"); err != nil {
		return ""
	}
	return reply
}

// relays are relays that can change under the executor.
type relays struct {
	mu    sync.Mutex
	relay *control.Relay
	seen  int // look-ups
	then  func(seen int, r *relays)
}

func (r *relays) Relay(scope control.Scope, idOrARN string) (*control.Relay, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	if r.then != nil {
		r.then(r.seen, r)
	}
	if r.relay == nil || r.relay.Scope != scope || r.relay.ID != idOrARN && r.relay.ARN != idOrARN {
		return nil, false
	}
	return r.relay, true
}

func testRelay(change func(*control.Relay)) *control.Relay {
	relay := &control.Relay{
		Key:    control.Key{Scope: control.Scope{Account: "000000000000", Region: "eu-west-1"}, ID: "r-1"},
		ARN:    "arn:aws:ses:eu-west-1:000000000000:mailmanager-smtp-relay/r-1",
		Server: "192.0.2.1",
		Port:   25,
	}
	if change != nil {
		change(relay)
	}
	return relay
}

// feed gives the items it has, and keeps what became of each.
type feed struct {
	mu      sync.Mutex
	ready   []*queue.Work
	arrived chan struct{}
	done    []outcome
	after   map[string][]*queue.Work // arrive when the named one is done
}

type outcome struct {
	name   string
	result queue.Result
}

func (f *feed) Lane() spool.Lane { return spool.RelayLane("000000000000", "eu-west-1", "r-1") }

func (f *feed) Next(ctx context.Context, wait time.Duration) *queue.Work {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.ready) == 0 && wait > 0 {
		f.mu.Unlock()
		select {
		case <-f.arrived:
		case <-time.After(wait):
		case <-ctx.Done():
		}
		f.mu.Lock()
	}
	if len(f.ready) == 0 || ctx.Err() != nil {
		return nil
	}
	w := f.ready[0]
	f.ready = f.ready[1:]
	return w
}

func (f *feed) Done(w *queue.Work, r queue.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, outcome{w.Item.RuleName, r})
	f.ready = append(f.ready, f.after[w.Item.RuleName]...)
}

// contents are the messages' contents, by id.
type contents map[message.ID]string

func (c contents) Content(ctx context.Context, id message.ID, _ int64) (io.ReadCloser, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	text, ok := c[id]
	if !ok {
		return nil, fmt.Errorf("content: %w", spool.ErrCorrupt)
	}
	if text, broken := strings.CutSuffix(text, "!"); broken {
		return io.NopCloser(io.MultiReader(strings.NewReader(text), failing{})), nil
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk gone") }

// bench is an executor with a host, a relay and messages. A message's name stands in its content's first line, and in the
// item's rule name, which the executor leaves alone.
type bench struct {
	host   host
	relays relays
	feed   feed
	store  contents
	config RelayConfig
}

func newBench() *bench {
	b := &bench{store: contents{}, relays: relays{relay: testRelay(nil)}}
	b.feed.arrived = make(chan struct{})
	b.feed.after = map[string][]*queue.Work{}
	b.config = RelayConfig{
		Relays: &b.relays,
		Secret: func(context.Context, control.Scope, string) (string, error) {
			return `{"username":"u","password":"p"}`, nil
		},
		Hello: "mail.example.org",
		Dial:  b.host.dial,
		Resolve: func(_ context.Context, name string) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
		},
		Log: slog.New(slog.DiscardHandler),
	}
	return b
}

// item makes an item of a message for its recipients.
func (b *bench) item(name string, to ...string) *queue.Work {
	id := message.ID{byte(len(b.store) >> 8), byte(len(b.store))}
	b.store[id] = name + "\r\nsecond line\r\n"
	m := &spool.Message{
		ID:       id,
		Envelope: message.Envelope{ReversePath: smtp.Path{Received: "a@example.org"}},
		Size:     int64(len(b.store[id])),
	}
	item := spool.Item{ItemKey: spool.ItemKey{Message: id}, Lane: b.feed.Lane(), RuleName: name}
	for _, recipient := range to {
		item.Recipients = append(item.Recipients, message.Recipient{Path: smtp.Path{Received: recipient}})
	}
	return queue.NewWork(spool.Claimed{Item: item, Message: m}, b.store)
}

// run lets one worker work until it has nothing more to do, and returns what became of the items, as text.
func (b *bench) run(t *testing.T) []string {
	t.Helper()
	NewRelayExecutor(b.config).Work(t.Context(), &b.feed)
	var lines []string
	for _, done := range b.feed.done {
		lines = append(lines, done.String())
	}
	return lines
}

// String is the outcome on one line.
func (o outcome) String() string {
	words := []string{o.name}
	if o.result.Unreachable != "" {
		words = append(words, "unreachable: "+o.result.Unreachable)
	}
	for _, r := range o.result.Deferred {
		words = append(words, "deferred "+r.Path.Received+" "+o.result.Reply)
	}
	for _, h := range o.result.Held {
		var to []string
		for _, r := range h.Recipients {
			to = append(to, r.Path.Received)
		}
		words = append(words, fmt.Sprintf("held/%s %s %s", h.Reason, strings.Join(to, ","), h.Detail))
	}
	for i := range o.result.Next {
		words = append(words, reported(&o.result.Next[i]))
	}
	var statuses []string
	for _, a := range o.result.Attempts {
		statuses = append(statuses, a.Status)
	}
	return strings.Join(append(words, strings.Join(statuses, "+")), " | ")
}

// reported is what an item of lane report tells, on one line.
func reported(item *spool.Item) string {
	fates, err := fatesOf(item)
	if err != nil || item.Lane != spool.LaneReport {
		return fmt.Sprintf("%s: %v", item.Lane, err)
	}
	var told []string
	for i, f := range fates {
		word := map[bounce.Outcome]string{bounce.Failed: "failed", bounce.Relayed: "relayed", bounce.Delayed: "delayed"}[f.Outcome]
		told = append(told, strings.Join([]string{word, item.Recipients[i].Path.Received, f.said()}, " "))
	}
	return "report: " + strings.Join(told, "; ")
}
