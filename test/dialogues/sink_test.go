package dialogues

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"testing"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
	"sluice/test/harness"
)

// sink is the next hop: it takes everything and knows messages by the ids that the gateway gave them. It implements smtpd.Host and
// smtpd.Binding.
type sink struct {
	smtpd.PlainHost

	mu       sync.Mutex
	arrived  map[string]arrival // by id
	expected map[string]bool
}

// arrival is a message that arrived.
type arrival struct {
	text     string // as an M: line has it
	received string // the gateway's own field, as an R: line has it
}

// startSink starts a sink and returns its port.
func startSink(t *testing.T) (*sink, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{arrived: map[string]arrival{}, expected: map[string]bool{}}
	server := smtpd.New(smtpd.Config{Hostname: "sink.example", Host: s})
	go server.Serve(l, smtpd.Listener{Name: "sink"})
	t.Cleanup(func() { l.Close() })
	return s, l.Addr().(*net.TCPAddr).Port
}

func (s *sink) Open(context.Context, *smtpd.Session) (smtpd.Binding, *smtp.Reply) { return s, nil }

func (s *sink) Bind(context.Context, *smtpd.Session) (smtpd.Binding, *smtp.Reply) { return s, nil }

func (s *sink) Hostname() string { return "sink.example" }

func (s *sink) MaxSize() int64 { return 2 * smtpd.DefaultMaxSize }

func (s *sink) MaxRecipients() int { return 1000 }

func (s *sink) Mail(context.Context, *smtpd.Transaction) *smtp.Reply { return nil }

func (s *sink) Recipient(context.Context, *smtpd.Transaction, message.Recipient) *smtp.Reply {
	return nil
}

func (s *sink) Data(_ context.Context, t *smtpd.Transaction) (smtpd.Sink, *smtp.Reply) {
	return &incoming{sink: s, envelope: &t.Envelope}, nil
}

func (s *sink) Ended(*smtpd.Transaction) {}

// incoming is a message on its way in.
type incoming struct {
	bytes.Buffer
	sink     *sink
	envelope *message.Envelope
}

func (i *incoming) Abort() {}

// ownField is the trace field that the gateway puts on top (Mail Manager, E1).
var ownField = regexp.MustCompile(`\AReceived: ((?:[^\r]|\r\n[ \t])* id (` + anID + `)(?:[^\r;]|\r\n[ \t])*);\r\n[ \t][^\r]*\r\n`)

func (i *incoming) Commit(context.Context) *smtp.Reply {
	field := ownField.FindStringSubmatch(i.String())
	if field == nil {
		return smtp.NewReply(554, 5, 6, 0, "No Received field of the gateway")
	}
	content := strings.TrimPrefix(i.String(), field[0])
	i.sink.mu.Lock()
	defer i.sink.mu.Unlock()
	i.sink.arrived[field[2]] = arrival{
		text:     fmt.Sprintf("%s: %q", envelopeText(i.envelope), content),
		received: regexp.MustCompile(`\r\n[ \t]+`).ReplaceAllString(field[1], " "),
	}
	return smtp.NewReply(250, 2, 0, 0, "OK")
}

// envelopeText is an envelope with everything that the gateway passed on.
func envelopeText(e *message.Envelope) string {
	var b strings.Builder
	b.WriteString(e.ReversePath.String())
	flag(&b, "BODY=8BITMIME", e.EightBit)
	flag(&b, "SMTPUTF8", e.UTF8)
	flag(&b, "RET="+e.Return, e.Return != "")
	flag(&b, "ENVID="+e.EnvelopeID, e.EnvelopeID != "")
	b.WriteString(" >")
	for _, r := range e.Recipients {
		flag(&b, r.Path.String(), true)
		flag(&b, "NOTIFY="+r.Notify, r.Notify != "")
		flag(&b, "ORCPT="+r.Original, r.Original != "")
	}
	return b.String()
}

func flag(b *strings.Builder, text string, is bool) {
	if is {
		b.WriteString(" " + text)
	}
}

// expect notes that a message was accepted.
func (s *sink) expect(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expected[id] = true
}

// await waits for a message to arrive.
func (s *sink) await(t *testing.T, id string) (found arrival) {
	t.Helper()
	harness.Eventually(t, "message "+id+" arrives", func() (ok bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		found, ok = s.arrived[id]
		return ok
	})
	return found
}

// wantNothingElse wants no message that no client was told of.
func (s *sink) wantNothingElse(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, found := range s.arrived {
		if !s.expected[id] {
			t.Errorf("message %s arrived, which no client was told of: %.200s", id, found.text)
		}
	}
}
