package smtpd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
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
	source  netip.Prefix // that the connection is counted for
	wire    wire
	in      input
	small   *[commandBufferOctets]byte
	large   *[contentBufferOctets]byte // nil unless in use

	open        bool         // the host knows of the session
	opened      Binding      // what Open returned: what remains after STARTTLS
	transaction *Transaction // nil outside of one
	chunks      *chunks      // a message that comes by BDAT; nil outside of one
	command     command
	logged      *smtp.Reply // the refusal that was logged last
	ended       bool        // no more commands are read
	linger      bool        // the client may still be sending

	errors   int // spent of maxErrors
	failures int // spent of maxFailures
	spent    int // spent of maxCommands
}

func newDialogue(s *Server, conn net.Conn, session *Session) *dialogue {
	d := &dialogue{server: s, ctx: s.ctx, session: session, small: s.commandBuffers.Get().(*[commandBufferOctets]byte)}
	d.wire = wire{socket: conn, conn: conn, until: session.Started.Add(sessionTimeout), stopping: d.stopping}
	d.in = input{from: &d.wire, buffer: d.small[:], ease: d.shrinkInput}
	return d
}

// run is the whole session, from the greeting to the end of the connection.
func (d *dialogue) run() {
	d.survive(d.converse)
	d.survive(d.reset) // content that is not complete goes, whatever ended the session
	d.drain()
	d.wire.close()
	if d.open {
		d.survive(func() { d.server.host.Closed(d.session) })
	}
	d.release()
}

// survive has a panic cost this session only.
func (d *dialogue) survive(do func()) {
	defer func() {
		if cause := recover(); cause != nil {
			d.server.log.Error("session panicked", "session", d.session.ID, "panic", cause, "stack", string(debug.Stack()))
			d.say(internalError)
			d.hangUp("internal error")
		}
	}()
	do()
}

// converse greets, and answers commands until one side ends the session.
func (d *dialogue) converse() {
	if refusal := d.greet(); refusal != nil {
		if refusal != d.logged {
			d.log(connectCommand, refusal)
		}
		d.say(refusal)
		d.hangUp(refusal.String())
	}
	for !d.ended {
		d.answer(d.next())
	}
}

// greet opens the session. The reply is nil, or one that refuses it. Who speaks before the greeting has not listened to it (S5).
func (d *dialogue) greet() *smtp.Reply {
	if refusal := d.readProxy(); refusal != nil || d.ended {
		return refusal
	}
	d.open = true
	binding, refusal := d.server.host.Open(d.ctx, d.session)
	d.session.Binding, d.opened = binding, binding
	implicit := d.session.Listener.TLS == TLSImplicit
	if implicit && !d.secure(connectCommand) {
		return nil
	}
	if refusal == nil && implicit {
		refusal = d.secured()
	}
	if refusal != nil {
		return refusal
	}
	if !d.silent() {
		return d.refuse(connectCommand, tooEarly)
	}
	d.wire.put(&smtp.Reply{Code: 220, Text: d.hostname() + " ESMTP"}) // Mail Manager, B1
	return nil
}

// say adds a reply to those that leave, unless the client waits for TLS and could not read it.
func (d *dialogue) say(reply *smtp.Reply) {
	if d.session.Listener.TLS != TLSImplicit || d.session.TLS.Version != "" {
		d.wire.put(reply)
	}
}

// silent reports whether the client has waited for the greeting.
func (d *dialogue) silent() bool {
	if d.server.silence == 0 || d.session.Listener.TLS == TLSImplicit {
		return !hasInput(d.wire.conn)
	}
	var octet [1]byte
	if err := d.wire.hurry(d.server.silence); err != nil {
		return true // the next read says why
	}
	n, err := d.wire.conn.Read(octet[:])
	return n == 0 && isTimeout(err)
}

// offer is what the session may use now.
func (d *dialogue) offer() Offer { return d.server.host.Offer(d.session) }

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
	d.session.Commands++
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
	if !reply.Positive() && reply != d.logged {
		d.log(d.command.verb.name, reply)
	}
	d.wire.put(reply)
	if reply.Code == 221 || reply.Code == 421 {
		d.finish(reply.String())
		d.linger = d.linger || len(d.in.window()) > 0
	}
	if reply.Code >= 500 && reply.Code <= 504 {
		d.errors++
	}
	switch {
	case d.ended:
	case d.errors >= maxErrors:
		d.giveUp(tooManyErrors)
	case d.failures >= maxFailures:
		d.giveUp(tooManyFailures)
	case d.spent >= maxCommands: // S12
		d.giveUp(tooManyCommands)
	}
}

// giveUp ends a session whose budget is spent.
func (d *dialogue) giveUp(reply *smtp.Reply) {
	d.wire.put(d.refuse("", reply))
	d.hangUp(reply.String())
}

// failed is the reply to an input that could not be read, nil when nobody is there to read it.
func (d *dialogue) failed(err error) *smtp.Reply {
	switch {
	case errors.Is(err, errLineTooLong):
		return d.refuse("", commandTooLong)
	case errors.Is(err, errBareLF):
		return d.refuse("", commandBareLF)
	case errors.Is(err, errStopping):
		d.finish("the server stopped")
		return d.refuse("", shuttingDown)
	case isTimeout(err):
		d.finish("timeout")
		return d.refuse("", timedOut)
	}
	d.finish("connection lost: " + err.Error())
	return nil
}

// refuse reports a reply of our own that refuses something. command is empty when none had been read.
func (d *dialogue) refuse(command string, reply *smtp.Reply) *smtp.Reply {
	d.server.host.Refused(d.session, d.transaction, command, reply)
	d.log(command, reply)
	return reply
}

// log writes a line of a refusal, whoever refuses.
func (d *dialogue) log(command string, reply *smtp.Reply) {
	d.logged = reply
	d.server.log.LogAttrs(d.ctx, slog.LevelInfo, "refused",
		slog.Any("session", d.session.ID), slog.String("command", command), slog.String("reply", reply.Error()))
}

// accepted notes a message that was taken; what the client did wrong before is forgiven.
func (d *dialogue) accepted() {
	d.session.Messages++
	d.errors, d.spent = 0, 0
}

// finish has no more commands read. The first reason is the one that is kept.
func (d *dialogue) finish(reason string) {
	d.ended = true
	if d.session.End == "" {
		d.session.End = reason
	}
}

// hangUp ends the session though the client may go on sending.
func (d *dialogue) hangUp(reason string) {
	d.finish(reason)
	d.linger = true
}

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
		d.server.contentBuffers.put(d.large)
	}
	if !d.server.log.Enabled(d.ctx, slog.LevelDebug) {
		return
	}
	d.server.log.LogAttrs(d.ctx, slog.LevelDebug, "session ended",
		slog.Any("session", d.session.ID), slog.String("listener", d.session.Listener.Name),
		slog.Any("client", d.session.Remote), slog.String("hello", d.session.Hello), slog.Int("commands", d.session.Commands),
		slog.Int("messages", d.session.Messages), slog.String("end", d.session.End), slog.Duration("took", time.Since(d.session.Started)))
}

// drain lets a client that is still sending see why it is sent away: closing with input unread would reset the connection
// under the reply.
func (d *dialogue) drain() {
	half, ok := d.wire.conn.(interface{ CloseWrite() error })
	if !d.linger || !ok {
		return
	}
	d.wire.socket.SetDeadline(time.Now().Add(lingerTimeout))
	if d.wire.flush() != nil || half.CloseWrite() != nil {
		return
	}
	io.Copy(io.Discard, io.LimitReader(d.wire.conn, lingerOctets))
}
