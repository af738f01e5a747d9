package smtpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"sluice/internal/smtp"
)

var (
	commandTooLong  = smtp.NewReply(500, 5, 5, 2, "Line too long") // Mail Manager, B21
	commandBareLF   = smtp.NewReply(501, 5, 5, 2, "Lines end with CRLF")
	tooManyErrors   = smtp.NewReply(421, 4, 7, 0, "Too many errors")
	tooManyCommands = smtp.NewReply(421, 4, 7, 0, "Too many commands")
	timedOut        = smtp.NewReply(421, 4, 4, 2, "Timeout, closing connection")
	shuttingDown    = smtp.NewReply(421, 4, 3, 2, "Service closing")
	internalError   = smtp.NewReply(421, 4, 3, 0, "Internal error, closing connection")
	tooEarly        = smtp.NewReply(554, 5, 5, 1, "Client spoke before the greeting") // S5
)

// connectCommand stands for a command in what is refused before the first one.
const connectCommand = "CONNECT"

// dialogue runs a session: it reads commands, has them checked and done, and writes the replies.
type dialogue struct {
	server  *Server
	ctx     context.Context // ends when the server has waited long enough in Shutdown
	session *Session
	wire    wire
	in      input
	small   *[commandBufferOctets]byte
	large   *[contentBufferOctets]byte // nil unless in use

	transaction *Transaction // nil outside of one
	command     command
	ended       bool // no more commands are read
	linger      bool // the client may still be sending

	errors   int // spent of maxErrors
	spent    int // spent of maxCommands
	commands int
	messages int // accepted
}

func newDialogue(s *Server, conn net.Conn, session *Session) *dialogue {
	d := &dialogue{server: s, ctx: s.ctx, session: session, small: s.commandBuffers.Get().(*[commandBufferOctets]byte)}
	d.wire = wire{conn: conn, until: session.Started.Add(sessionTimeout), stopping: d.stopping}
	d.in = input{from: &d.wire, buffer: d.small[:]}
	return d
}

// run is the whole session, from the greeting to the end of the connection.
func (d *dialogue) run() {
	d.survive(d.converse)
	d.drain()
	d.wire.close()
	d.survive(func() { d.server.host.Closed(d.session) })
	d.release()
}

// survive has a panic cost this session only.
func (d *dialogue) survive(do func()) {
	defer func() {
		if cause := recover(); cause != nil {
			d.server.log.Error("session panicked", "session", d.session.ID, "panic", cause, "stack", string(debug.Stack()))
			d.wire.put(internalError)
			d.hangUp()
		}
	}()
	do()
}

// converse greets, and answers commands until one side ends the session.
func (d *dialogue) converse() {
	if !d.greet() {
		return
	}
	for !d.ended {
		d.answer(d.next())
	}
}

// greet opens the session, and reports whether it goes on. Who speaks before the greeting has not listened to it (S5).
func (d *dialogue) greet() bool {
	binding, refusal := d.server.host.Open(d.ctx, d.session)
	if refusal != nil {
		d.wire.put(refusal)
		return false
	}
	d.session.Binding = binding
	if hasInput(d.wire.conn) {
		d.wire.put(d.refuse(connectCommand, tooEarly))
		d.hangUp()
		return false
	}
	d.wire.put(&smtp.Reply{Code: 220, Text: d.hostname() + " ESMTP"}) // Mail Manager, B1
	return true
}

// next reads a command and does it.
func (d *dialogue) next() *smtp.Reply {
	d.shrinkInput()
	d.wire.allow(commandTimeout, 0)
	d.command = command{}
	line, err := d.in.line()
	if err != nil {
		return d.failed(err)
	}
	if d.stopping() {
		return d.failed(errStopping)
	}
	return d.execute(string(line))
}

// execute has a command checked and done.
func (d *dialogue) execute(line string) *smtp.Reply {
	name, argument := smtp.ParseCommand(line)
	c := &d.command
	c.verb, c.argument = findVerb(name), argument
	d.commands++
	d.spent++
	if refusal := c.verb.check(d, c); refusal != nil {
		return d.refuse(c.verb.name, refusal)
	}
	return c.verb.proceed(d, c)
}

// answer counts a reply and adds it to those that leave when the input is empty. 221 and 421 end the session.
// RFC 5321, section 3.8.
func (d *dialogue) answer(reply *smtp.Reply) {
	if reply == nil {
		return
	}
	d.count(d.command.verb, reply)
	d.wire.put(reply)
	if reply.Code == 221 || reply.Code == 421 {
		d.ended = true
		d.linger = d.linger || len(d.in.window()) > 0
	}
	if reply.Code >= 500 && reply.Code <= 504 {
		d.errors++
	}
	switch {
	case d.ended:
	case d.errors >= maxErrors:
		d.wire.put(d.refuse("", tooManyErrors))
		d.hangUp()
	case d.spent >= maxCommands: // S12
		d.wire.put(d.refuse("", tooManyCommands))
		d.hangUp()
	}
}

// failed is the reply to an input that could not be read, nil when nobody is there to read it.
func (d *dialogue) failed(err error) *smtp.Reply {
	switch {
	case errors.Is(err, errLineTooLong):
		return d.refuse("", commandTooLong)
	case errors.Is(err, errBareLF):
		return d.refuse("", commandBareLF)
	}
	d.ended = true
	switch {
	case errors.Is(err, errStopping):
		return d.refuse("", shuttingDown)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return d.refuse("", timedOut)
	}
	return nil
}

// refuse reports a reply of our own that refuses something. command is empty when none had been read.
func (d *dialogue) refuse(command string, reply *smtp.Reply) *smtp.Reply {
	if d.session.Binding != nil {
		d.session.Binding.Refused(d.transaction, command, reply)
	}
	d.server.log.LogAttrs(d.ctx, slog.LevelInfo, "refused",
		slog.Any("session", d.session.ID), slog.String("command", command), slog.String("reply", reply.Error()))
	return reply
}

// accepted notes a message that was taken; what the client did wrong before is forgiven.
func (d *dialogue) accepted() {
	d.messages++
	d.errors, d.spent = 0, 0
}

// hangUp ends the session though the client may go on sending.
func (d *dialogue) hangUp() { d.ended, d.linger = true, true }

// stopping reports whether a wait for input is to end because the server shuts down: not in a transaction.
func (d *dialogue) stopping() bool { return d.transaction == nil && d.server.stopping() }

// count counts a reply by its verb.
func (d *dialogue) count(v *verb, reply *smtp.Reply) {
	d.server.metrics.replied(v, reply.Code)
}

// release gives back what the session held.
func (d *dialogue) release() {
	d.in.buffer = nil
	d.server.commandBuffers.Put(d.small)
	if d.large != nil {
		d.server.contentBuffers.Put(d.large)
	}
	if !d.server.log.Enabled(d.ctx, slog.LevelDebug) {
		return
	}
	d.server.log.LogAttrs(d.ctx, slog.LevelDebug, "session ended",
		slog.Any("session", d.session.ID), slog.String("listener", d.session.Listener),
		slog.Any("client", d.session.Remote), slog.String("hello", d.session.Hello), slog.Int("commands", d.commands),
		slog.Int("messages", d.messages), slog.Duration("took", time.Since(d.session.Started)))
}

// drain lets a client that is still sending see why it is sent away: closing with input unread would reset the connection
// under the reply.
func (d *dialogue) drain() {
	half, ok := d.wire.conn.(interface{ CloseWrite() error })
	if !d.linger || !ok {
		return
	}
	d.wire.conn.SetDeadline(time.Now().Add(lingerTimeout))
	if d.wire.flush() != nil || half.CloseWrite() != nil {
		return
	}
	io.Copy(io.Discard, io.LimitReader(d.wire.conn, lingerOctets))
}
