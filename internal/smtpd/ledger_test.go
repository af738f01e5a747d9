package smtpd

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// point is what a ledger offers and allows.
type point struct {
	startTLS, auth, unbound bool
	maxSize, maxRecipients  int
}

// says is the code by which a host refuses, 0 when it does not: the local part of an address names what happens.
func says(step, path string) int {
	local, _, _ := strings.Cut(path, "@")
	switch step + " " + local {
	case "mail denied":
		return 530
	case "mail gone":
		return 421
	case "rcpt denied":
		return 550
	case "data nodata":
		return 450
	case "write fullsink":
		return 452
	case "commit nocommit":
		return 451
	}
	return 0
}

// ledger is a host for one session, its own binding too. It notes what it is asked, and complains of what breaks the promises
// of Host, Binding and Sink whatever the client sent.
type ledger struct {
	PlainHost
	point point

	asked      []string // in order
	refused    []int    // codes by which it refused, and that were reported to it, in order
	complaints []string
	open       *Transaction
	sink       *entry // of the transaction
	closed     bool
}

func (l *ledger) note(format string, arguments ...any) {
	l.asked = append(l.asked, fmt.Sprintf(format, arguments...))
	l.complainIf(l.closed, "asked after the end: "+format)
}

func (l *ledger) complainIf(wrong bool, complaint string) {
	if wrong {
		l.complaints = append(l.complaints, complaint)
	}
}

// reply is what the host says.
func (l *ledger) reply(step, path string) *smtp.Reply {
	code := says(step, path)
	if code == 0 {
		return nil
	}
	return l.refuse(code)
}

func (l *ledger) refuse(code int) *smtp.Reply {
	l.refused = append(l.refused, code)
	return notWanted(code)
}

func notWanted(code int) *smtp.Reply {
	return smtp.NewReply(code, uint16(code/100), 7, 0, "The host does not want this")
}

func (l *ledger) Open(context.Context, *Session) (Binding, *smtp.Reply) {
	if l.point.unbound {
		return nil, nil
	}
	return l, nil
}

func (l *ledger) Bind(_ context.Context, s *Session) (Binding, *smtp.Reply) {
	l.complainIf(s.Binding != nil, "bound twice")
	return l, nil
}

func (l *ledger) Offer(*Session) Offer { return Offer{StartTLS: l.point.startTLS, Auth: l.point.auth} }

func (l *ledger) Authenticate(_ context.Context, s *Session, user, password string) (Binding, *smtp.Reply) {
	l.note("auth %q %q", user, password)
	l.complainIf(s.AuthUser != "" || l.open != nil, "authenticated twice, or in a transaction")
	if user != "user" || password != "right" {
		return nil, l.refuse(535)
	}
	return l, nil
}

func (l *ledger) Refused(_ *Session, t *Transaction, _ string, reply *smtp.Reply) {
	l.complainIf(t != l.open, "refused in another transaction")
	l.complainIf(l.closed, "refused after the end")
	l.refused = append(l.refused, reply.Code)
}

// sender is the reverse-path of the transaction that is open.
func (l *ledger) sender() string {
	if l.open == nil {
		return ""
	}
	return l.open.Envelope.ReversePath.String()
}

func (l *ledger) Closed(s *Session) {
	l.note("closed after %d commands and %d messages", s.Commands, s.Messages)
	l.complainIf(l.open != nil, "closed in a transaction")
	l.complainIf(s.End == "", "closed without a reason")
	l.closed = true
}

func (l *ledger) Hostname() string   { return "point.example" }
func (l *ledger) MaxSize() int64     { return int64(l.point.maxSize) }
func (l *ledger) MaxRecipients() int { return l.point.maxRecipients }

func (l *ledger) Mail(_ context.Context, t *Transaction) *smtp.Reply {
	path := t.Envelope.ReversePath
	l.note("mail %q", path)
	l.complainIf(l.open != nil || len(t.Envelope.Recipients) > 0, "MAIL in a transaction")
	l.complainIf(t.Session.Hello == "", "MAIL before a greeting")
	l.complainIf(!agrees(path), "reverse-path is not its local part and domain")
	refusal := l.reply("mail", path.String())
	if refusal == nil {
		l.open = t
	}
	return refusal
}

// agrees reports whether a path that is not quoted is its local part and its domain.
func agrees(path smtp.Path) bool {
	return strings.HasPrefix(path.Received, `"`) || path.IsNull() || path.Received == path.Local+"@"+path.Domain
}

func (l *ledger) Recipient(_ context.Context, t *Transaction, r message.Recipient) *smtp.Reply {
	l.note("rcpt %q", r.Path)
	l.complainIf(t != l.open || l.sink != nil, "RCPT outside of a transaction, or behind content")
	l.complainIf(!agrees(r.Path), "forward-path is not its local part and domain")
	return l.reply("rcpt", r.Path.String())
}

func (l *ledger) Data(_ context.Context, t *Transaction) (Sink, *smtp.Reply) {
	l.note("data")
	l.complainIf(t != l.open || l.sink != nil, "content outside of a transaction, or twice")
	l.complainIf(len(t.Envelope.Recipients) == 0, "content for nobody")
	if refusal := l.reply("data", l.sender()); refusal != nil {
		return nil, refusal
	}
	l.sink = &entry{ledger: l, envelope: t.Envelope}
	return l.sink, nil
}

func (l *ledger) Ended(t *Transaction) {
	l.note("ended")
	l.complainIf(t != l.open, "ended another transaction")
	l.complainIf(l.sink != nil && !l.sink.ended, "ended a transaction before its sink")
	l.open, l.sink = nil, nil
}

// entry is a sink of a ledger.
type entry struct {
	ledger   *ledger
	envelope message.Envelope
	content  bytes.Buffer
	failed   bool
	ended    bool
}

func (e *entry) Write(p []byte) (int, error) {
	e.ledger.complainIf(e.ended || e.failed, "wrote after the end of a sink, or after its error")
	e.ledger.complainIf(len(p) > contentBufferOctets, "wrote more at once than a buffer has")
	if code := says("write", e.envelope.ReversePath.String()); code != 0 {
		e.failed = true
		return 0, notWanted(code) // which is reported to Refused
	}
	return e.content.Write(p)
}

func (e *entry) Commit(context.Context) *smtp.Reply {
	var forward []string
	for _, recipient := range e.envelope.Recipients {
		forward = append(forward, recipient.Path.String())
	}
	e.ledger.note("commit %q > %q: %q", e.envelope.ReversePath, forward, e.content.Bytes())
	e.ledger.complainIf(e.failed, "committed what could not be written")
	e.ledger.complainIf(isBare(e.content.String()), "committed a bare line end")
	e.end()
	if refusal := e.ledger.reply("commit", e.envelope.ReversePath.String()); refusal != nil {
		return refusal
	}
	return okReply
}

func (e *entry) Abort() {
	e.ledger.note("abort")
	e.end()
}

func (e *entry) end() {
	e.ledger.complainIf(e.ended || e.ledger.sink != e, "ended a sink twice, or outside of its transaction")
	e.ended = true
}
