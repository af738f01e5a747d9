package smtpclient

import (
	"fmt"

	"sluice/internal/smtp"
)

// Source is where Deliver gets its transactions. Both methods are called by the goroutine that called Deliver.
type Source interface {
	// Next returns the next transaction, or nil for none. With wait it may take its time: the connection is idle.
	// Without, it must answer at once: a message is about to leave, and what is returned travels behind it.
	Next(wait bool) *Transaction
	// Done takes back each transaction that Next gave, exactly once, with its outcome.
	Done(*Transaction)
}

// Deliver runs transactions until the source has none, and then returns nil: the connection may be used again. Otherwise
// the error says why the connection ended; every transaction has gone back to the source nevertheless.
func (c *Conn) Deliver(src Source) error {
	s := stream{conn: c, src: src}
	err := s.run()
	if err != nil {
		c.gone = true
		s.giveUp(err)
	}
	return err
}

// stream is the transactions under way: at most one whose content is next to be sent and one whose envelope follows it.
type stream struct {
	conn      *Conn
	src       Source
	current   *Transaction
	following *Transaction
}

func (s *stream) run() error {
	for {
		if s.current == nil {
			s.current = s.take(true)
			if s.current == nil {
				return nil
			}
			if err := s.conn.begin(s.current); err != nil {
				return err
			}
		}
		if err := s.advance(); err != nil {
			return err
		}
	}
}

// advance ends the current transaction, whose envelope was answered. The following one takes its place, with its
// envelope answered too. RFC 2920, section 3.1 allows content to be the first command of a group.
func (s *stream) advance() error {
	if !s.current.data {
		s.done()
		return nil
	}
	if s.conn.ext.pipelining {
		s.following = s.take(false)
	}
	if err := s.conn.content(s.current, s.following); err != nil {
		return err
	}
	if err := s.conn.end(s.current); err != nil {
		return err
	}
	s.done()
	if s.current != nil {
		return s.conn.invitation(s.current, true)
	}
	return nil
}

// take gets a transaction of which something remains to be sent.
func (s *stream) take(wait bool) *Transaction {
	for {
		t := s.src.Next(wait)
		if t == nil || t.admit(s.conn.ext) {
			return t
		}
		s.src.Done(t)
	}
}

func (s *stream) done() {
	t := s.current
	s.current, s.following = s.following, nil
	s.src.Done(t)
}

// giveUp hands back what is under way on a connection that ended.
func (s *stream) giveUp(err error) {
	for s.current != nil {
		if s.current.State != Answered {
			s.current.Err = err
		}
		s.done()
	}
}

// begin sends the envelope and reads its replies, or all of a transaction that leaves in one go.
func (c *Conn) begin(t *Transaction) error {
	if err := c.quiet(); err != nil {
		return err
	}
	if c.stands {
		if err := c.reset(); err != nil {
			return err
		}
	}
	if c.chunks(t) {
		return c.chunk(t)
	}
	if !c.ext.pipelining {
		return c.invitation(t, false)
	}
	c.writeEnvelope(t)
	c.line("DATA")
	if err := c.w.Flush(); err != nil {
		return err
	}
	return c.invitation(t, true)
}

// reset ends a transaction that got no content: the host would refuse another MAIL. RFC 5321, section 4.1.4.
func (c *Conn) reset() error {
	reply, err := c.command(c.timeouts.Command, "RSET")
	if err != nil {
		return err
	}
	if !positive(reply) {
		return fmt.Errorf("reset: %w", reply)
	}
	c.stands = false
	return nil
}

// writeEnvelope puts MAIL and every RCPT into the write buffer.
func (c *Conn) writeEnvelope(t *Transaction) {
	t.mail(c)
	for i := range t.Recipients {
		if t.Replies[i] == nil {
			t.rcpt(c, i)
		}
	}
}

// invitation reads the replies to the envelope and to DATA. Afterwards either the host waits for the content or the
// transaction is answered.
func (c *Conn) invitation(t *Transaction, sent bool) error {
	accepted, err := c.envelope(t, sent)
	if err != nil || t.State == Answered {
		return err
	}
	if !accepted && !sent {
		return c.answered(t, nil)
	}
	return c.data(t, sent, accepted)
}

// envelope reads the replies to MAIL and RCPT, and reports whether a recipient was accepted. The envelope is sent already, or
// else each command is sent once the one before it was answered.
func (c *Conn) envelope(t *Transaction, sent bool) (accepted bool, err error) {
	if !sent {
		t.mail(c)
	}
	mail, err := c.answer(sent)
	if err != nil {
		return false, err
	}
	if mail.Code == codeClosing {
		t.State = Unattempted // the host has had enough of this connection, or of us, but not of this message
		return false, mail
	}
	t.State = max(t.State, Begun)
	c.stands = positive(mail)
	if !c.stands && !sent {
		return false, c.answered(t, mail)
	}
	accepted, err = c.recipients(t, sent)
	if err != nil || t.State == Answered {
		return false, err
	}
	if !c.stands {
		t.settle(mail)
		accepted = false
	}
	return accepted, nil
}

// recipients reads the reply to each RCPT, and reports whether one was accepted.
func (c *Conn) recipients(t *Transaction, sent bool) (accepted bool, err error) {
	for i := range t.Recipients {
		if t.Replies[i] != nil {
			continue // refused by admit, not sent
		}
		if !sent {
			t.rcpt(c, i)
		}
		reply, err := c.answer(sent)
		switch {
		case err != nil:
			return false, err
		case reply.Code == codeClosing:
			return false, c.answered(t, reply)
		case positive(reply):
			accepted = true
		case c.stands: // without a transaction the reply says nothing of the recipient
			t.refuse(i, reply, accepted)
		}
	}
	return accepted, nil
}

// data reads the reply to DATA.
func (c *Conn) data(t *Transaction, sent, accepted bool) error {
	if !sent {
		c.line("DATA")
		if err := c.w.Flush(); err != nil {
			return err
		}
	}
	reply, err := c.reply(c.timeouts.Data)
	switch {
	case err != nil:
		return err
	case positive(reply):
		return fmt.Errorf("%w: %s to DATA", ErrProtocol, reply)
	case !reply.Positive():
		return c.answered(t, reply)
	case !accepted:
		return c.loneDot(t)
	}
	t.data = true
	return nil
}

// loneDot answers a host that asks for content although it has accepted no recipient. RFC 2920, section 3.1.
func (c *Conn) loneDot(t *Transaction) error {
	if _, err := c.command(c.timeouts.Dot, "."); err != nil {
		return err
	}
	c.stands = false
	return c.answered(t, nil)
}

// content sends the content and behind it, in the same group, the envelope that follows.
func (c *Conn) content(t, following *Transaction) error {
	if err := c.quiet(); err != nil {
		return err
	}
	dots := newDotWriter(c.w)
	if _, err := t.Content.WriteTo(dots); err != nil {
		if c.block.failed != nil {
			return c.lastWords(t, err)
		}
		return fmt.Errorf("%w: %w", ErrContent, err) // no dot: the host must not take half a message for a whole one
	}
	t.State = Uncertain
	dots.end()
	if following != nil {
		c.writeEnvelope(following)
		c.line("DATA")
	}
	if err := c.w.Flush(); err != nil {
		return c.lastWords(t, err)
	}
	return nil
}

// lastWords looks for the reason of a host that closed the connection while content was being sent. Only a refusal can be
// one: it has not seen all of the content.
func (c *Conn) lastWords(t *Transaction, broken error) error {
	if reply, err := c.reply(lastWordsTimeout); err == nil && !reply.Positive() {
		c.answered(t, reply)
	}
	return broken
}

// end reads the reply to the final dot.
func (c *Conn) end(t *Transaction) error {
	reply, err := c.reply(c.timeouts.Dot)
	if err != nil {
		return err
	}
	if intermediate(reply) {
		return fmt.Errorf("%w: %s to the end of data", ErrProtocol, reply)
	}
	c.stands = false
	return c.answered(t, reply)
}

// answered ends a transaction: what is pending gets the reply, if there is one. The error is that of a host which said that
// it closes the connection.
func (c *Conn) answered(t *Transaction, reply *smtp.Reply) error {
	if reply != nil {
		t.settle(reply)
	}
	t.State = Answered
	c.served++
	if reply != nil && reply.Code == codeClosing {
		return reply
	}
	return nil
}

// answer reads the reply to MAIL or RCPT, after sending what is in the buffer unless that is under way.
func (c *Conn) answer(sent bool) (*smtp.Reply, error) {
	if !sent {
		if err := c.w.Flush(); err != nil {
			return nil, err
		}
	}
	reply, err := c.reply(c.timeouts.Command)
	if err == nil && intermediate(reply) {
		return nil, fmt.Errorf("%w: %s to a command of the envelope", ErrProtocol, reply)
	}
	return reply, err
}

// positive reports whether the command was done; intermediate, whether the host waits for more. RFC 5321, section 4.2.1.
func positive(reply *smtp.Reply) bool     { return reply.Code/100 == 2 }
func intermediate(reply *smtp.Reply) bool { return reply.Code/100 == 3 }
