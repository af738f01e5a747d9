// Package smtpd is the SMTP server: sockets, sessions and transactions. It knows the protocol and its limits, and nothing of
// ingress points, passwords, policies or the spool: those are behind Host, Binding and Sink.
//
// A session owns at most one transaction. A table pairs each verb with a check (order, syntax, limits) and a proceed (the
// effect); one loop writes their replies, and they leave when the input is empty, so that pipelined commands share packets.
// Source: RFC 5321, section 4; RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 2034
// (ENHANCEDSTATUSCODES), RFC 3030 (CHUNKING), RFC 3461 (DSN), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 9422 (LIMITS). Lines end at CRLF and nowhere else.
//
// Begin with New, then Serve each listener.
package smtpd

import (
	"context"
	"crypto/tls"
	"io"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// Host is what smtpd asks of the ingress points behind it. Its methods are called from the sessions' goroutines, at once.
// A reply of 421 ends the session, whoever gives it. The context ends when a shutdown has waited long enough.
type Host interface {
	// Open is called when a connection was accepted, before the greeting. It returns the binding when the listener has one
	// ingress point, nil when that is settled later, or a reply that refuses the connection (421), which is then closed.
	Open(ctx context.Context, s *Session) (Binding, *smtp.Reply)
	// Offer is what the session may use now. It is asked at each EHLO, STARTTLS and AUTH.
	Offer(s *Session) Offer
	// Handshake is what the session's TLS handshake is configured with, once the client has said hello. An error, like one of
	// the configuration's callbacks, ends the session: nothing is served in clear after it.
	Handshake(s *Session, hello *tls.ClientHelloInfo) (*tls.Config, error)
	// Secured is called after a handshake, with what it agreed in the session. It returns the binding from now on, nil when that
	// is settled later still, or a reply that refuses the session.
	Secured(ctx context.Context, s *Session) (Binding, *smtp.Reply)
	// Authenticate checks a user's password, and returns the binding from now on, or the reply that refuses. It may take its
	// time to refuse.
	Authenticate(ctx context.Context, s *Session, user, password string) (Binding, *smtp.Reply)
	// Bind is called at MAIL in a session that is not bound yet.
	Bind(ctx context.Context, s *Session) (Binding, *smtp.Reply)
	// Refused reports a reply of 4yz or 5yz that is not the host's own: smtpd gave it by itself (syntax, order, limits), or for an
	// error of Sink.Write. The transaction is nil outside of one. The command is a verb that is known, "unknown", "CONNECT" before
	// the greeting, or empty when no command had been read: a line that is none, a timeout, a shutdown, a budget that is spent.
	// A failed TLS handshake is reported the same way, though nothing is sent. The session may be one that Open was never
	// called for: there were too many, or its PROXY header was malformed.
	Refused(s *Session, t *Transaction, command string, reply *smtp.Reply)
	// Closed is called once for every connection that Open was called for, when it has ended: after the last method of its
	// binding and its sinks.
	Closed(s *Session)
}

// Offer is what depends on the ingress point, or on those that a session may still be bound to.
type Offer struct {
	StartTLS bool // RFC 3207
	Auth     bool // PLAIN and LOGIN: RFC 4954; Mail Manager, B2
	AuthNext bool // Auth would be offered after STARTTLS
}

// Binding ties a session to an ingress point; everything that depends on the point hangs on it. Its methods are called by
// the session's goroutine only.
type Binding interface {
	// Hostname is what the greeting and replies call us.
	Hostname() string
	// MaxSize is the largest content in octets (Mail Manager, B9).
	MaxSize() int64
	// MaxRecipients is how many recipients a transaction may have (Mail Manager, B10).
	MaxRecipients() int
	// Mail is asked once the command's own syntax and order are right. A nil reply accepts.
	Mail(ctx context.Context, t *Transaction) *smtp.Reply
	// Recipient is asked for each RCPT. A nil reply accepts and smtpd adds the recipient to the envelope.
	Recipient(ctx context.Context, t *Transaction, r message.Recipient) *smtp.Reply
	// Data is asked at DATA, before 354, and at the first BDAT. It returns where the content goes, or a reply that refuses.
	Data(ctx context.Context, t *Transaction) (Sink, *smtp.Reply)
	// Ended is called once for every transaction that Mail accepted, when it has ended, whatever ended it.
	Ended(t *Transaction)
}

// Sink takes a message's content, unstuffed, as received. An error of Write ends in a 4yz or 5yz after the rest was read and
// thrown away: a *smtp.Reply as it is, anything else as 451. Exactly one of Commit and Abort is called.
type Sink interface {
	io.Writer
	// Commit makes the message durable and returns the reply to the final dot.
	Commit(ctx context.Context) *smtp.Reply
	// Abort discards what was written.
	Abort()
}

// Transaction is one mail transaction: from MAIL to the end of data, RSET, or whatever else ends it. RFC 5321, section 3.3.
type Transaction struct {
	Session      *Session
	Envelope     message.Envelope
	DeclaredSize int64 // SIZE=, 0 when absent
	Host         any   // what the binding keeps with the transaction
}
