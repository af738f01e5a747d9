// Package sink is an SMTP server that accepts everything: the next hop of a gateway under test. It tells what arrived and
// can keep it in a maildir. Start with New.
package sink

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
)

const (
	hostname               = "sink.localhost"
	maxContentOctets int64 = 1 << 30
	maxRecipients          = 1000
	maxHeaderOctets        = 64 << 10 // of what is looked at for the subject
)

// Message is a message that arrived.
type Message struct {
	ID          message.ID
	ReversePath string
	Recipients  []string
	Octets      int64
	Header      textproto.MIMEHeader // what can be read of it; empty when nothing can
}

// String is the message on one line. What a peer wrote is quoted, so that it cannot pretend to be another line.
func (m *Message) String() string {
	recipients := make([]string, len(m.Recipients))
	for i, r := range m.Recipients {
		recipients[i] = quote(r)
	}
	return fmt.Sprintf("%s from=%s to=%s octets=%d subject=%s",
		m.ID, quote(m.ReversePath), strings.Join(recipients, ","), m.Octets, quote(m.Header.Get("Subject")))
}

func quote(text string) string { return strconv.QuoteToGraphic(text) }

// Config says what a sink does with what arrives. The zero Config accepts and forgets.
type Config struct {
	Maildir string         // directory that messages are kept in; empty: they are not kept
	Arrived func(*Message) // called for each message once it is kept, one after the other; nil: nobody is told
}

// Host is the sink as smtpd sees it: it implements smtpd.Host and smtpd.Binding. It is safe for concurrent use.
type Host struct {
	smtpd.PlainHost
	maildir *maildir // nil: messages are not kept

	mu      sync.Mutex // held while arrived runs
	arrived func(*Message)
}

var (
	_ smtpd.Host    = (*Host)(nil)
	_ smtpd.Binding = (*Host)(nil)
)

// New returns a sink. It creates the maildir if need be.
func New(cfg Config) (*Host, error) {
	h := &Host{arrived: cfg.Arrived}
	if cfg.Maildir == "" {
		return h, nil
	}
	dir, err := openMaildir(cfg.Maildir)
	h.maildir = dir
	return h, err
}

// Open binds every session to the sink itself.
func (h *Host) Open(context.Context, *smtpd.Session) (smtpd.Binding, *smtp.Reply) { return h, nil }

// Bind is never called: Open has bound the session.
func (h *Host) Bind(context.Context, *smtpd.Session) (smtpd.Binding, *smtp.Reply) { return h, nil }

// Hostname is what the sink calls itself.
func (h *Host) Hostname() string { return hostname }

// MaxSize is 1 GiB.
func (h *Host) MaxSize() int64 { return maxContentOctets }

// MaxRecipients is 1,000.
func (h *Host) MaxRecipients() int { return maxRecipients }

// Mail accepts.
func (h *Host) Mail(context.Context, *smtpd.Transaction) *smtp.Reply { return nil }

// Recipient accepts.
func (h *Host) Recipient(context.Context, *smtpd.Transaction, message.Recipient) *smtp.Reply {
	return nil
}

// Ended does nothing: there is nothing that a transaction holds.
func (h *Host) Ended(*smtpd.Transaction) {}

// Data takes the content.
func (h *Host) Data(_ context.Context, t *smtpd.Transaction) (smtpd.Sink, *smtp.Reply) {
	in := &incoming{host: h, message: Message{ID: message.NewID(time.Now()), ReversePath: t.Envelope.ReversePath.String()}}
	for _, r := range t.Envelope.Recipients {
		in.message.Recipients = append(in.message.Recipients, r.Path.String())
	}
	if h.maildir == nil {
		return in, nil
	}
	file, err := h.maildir.create(in.message.ID.String())
	if err != nil {
		return nil, smtp.NewReply(451, 4, 3, 0, "Cannot keep the message").Because(err)
	}
	in.file = file
	return in, nil
}

// incoming is a message on its way in. It implements smtpd.Sink.
type incoming struct {
	host    *Host
	message Message
	prefix  bytes.Buffer // the beginning, which has the header section
	file    *maildirFile // nil: it is not kept
}

// Write counts and keeps.
func (in *incoming) Write(p []byte) (int, error) {
	in.message.Octets += int64(len(p))
	if room := maxHeaderOctets - in.prefix.Len(); room > 0 {
		in.prefix.Write(p[:min(room, len(p))])
	}
	if in.file == nil {
		return len(p), nil
	}
	return in.file.Write(p)
}

// Commit tells that the message arrived.
func (in *incoming) Commit(context.Context) *smtp.Reply {
	if in.file != nil {
		if err := in.file.deliver(); err != nil {
			return smtp.NewReply(451, 4, 3, 0, "Cannot keep the message").Because(err)
		}
	}
	// A header section that cannot be read to its end gives what came before the mistake.
	in.message.Header, _ = textproto.NewReader(bufio.NewReader(&in.prefix)).ReadMIMEHeader()
	in.host.tell(&in.message)
	return smtp.NewReply(250, 2, 0, 0, "OK "+in.message.ID.String())
}

func (h *Host) tell(m *Message) {
	if h.arrived == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.arrived(m)
}

// Abort forgets the message.
func (in *incoming) Abort() {
	if in.file != nil {
		in.file.discard()
	}
}
