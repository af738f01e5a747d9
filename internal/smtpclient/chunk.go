package smtpclient

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
)

// maxChunkOctets is the largest content that is sent before the host has accepted a recipient: what leaves in one write.
const maxChunkOctets int64 = writeBufferOctets

// What can be wrong with content whose size was announced.
var (
	errShorter = errors.New("it is shorter than its size")
	errLonger  = errors.New("it is longer than its size")
)

// chunks reports whether a transaction leaves in one go. RFC 3030, section 4.2 wants PIPELINING for that.
func (c *Conn) chunks(t *Transaction) bool {
	return c.chunking && c.ext.chunking && c.ext.pipelining && 0 < t.Size && t.Size <= maxChunkOctets
}

// chunk sends a whole transaction, its content as the one chunk, and reads the replies. RFC 3030, section 2.
func (c *Conn) chunk(t *Transaction) error {
	c.writeEnvelope(t)
	c.line("BDAT ", strconv.FormatInt(t.Size, 10), " LAST")
	whole := exactWriter{w: c.w, left: t.Size}
	_, err := t.Content.WriteTo(&whole)
	if c.block.failed != nil {
		return c.block.failed
	}
	if err == nil {
		err = whole.end()
	}
	if err != nil {
		t.State = Begun // another host would fare no better
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
	if err := c.w.Flush(); err != nil {
		return err // the host lacks the end, and cannot take the message
	}
	t.State = Uncertain
	return c.chunkReplies(t)
}

// chunkReplies reads the replies to a transaction that was sent in one go. The host had to take the content whatever it thought
// of the envelope; without a recipient its reply to that means nothing.
func (c *Conn) chunkReplies(t *Transaction) error {
	accepted, err := c.envelope(t, true)
	if err != nil || t.State == Answered {
		return err
	}
	if !accepted {
		t.State = Begun
	}
	reply, err := c.reply(c.timeouts.Dot)
	switch {
	case err != nil:
		return err
	case intermediate(reply):
		return fmt.Errorf("%w: %s to the last chunk", ErrProtocol, reply)
	}
	c.stands = c.stands && !positive(reply)
	return c.answered(t, reply) // which settles nobody if all were refused
}

// exactWriter passes on as many octets as were announced. It keeps the last one until the end, so that content of another size
// is never a message to the host.
type exactWriter struct {
	w      *bufio.Writer
	left   int64 // octets that are still to come
	last   byte
	failed error
}

// Write implements io.Writer.
func (e *exactWriter) Write(p []byte) (int, error) {
	switch {
	case int64(len(p)) > e.left:
		e.failed = errLonger
		return 0, e.failed
	case len(p) == 0:
		return 0, nil
	}
	e.left -= int64(len(p))
	now := p
	if e.left == 0 {
		now, e.last = p[:len(p)-1], p[len(p)-1]
	}
	if _, err := e.w.Write(now); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end passes on the last octet, if it is the last.
func (e *exactWriter) end() error {
	switch {
	case e.failed != nil:
		return e.failed
	case e.left > 0:
		return errShorter
	}
	return e.w.WriteByte(e.last)
}
