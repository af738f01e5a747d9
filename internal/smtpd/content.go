package smtpd

import (
	"bytes"
	"errors"
	"io"

	"sluice/internal/smtp"
)

// lineEnd is what ends a line of content, and nothing else does (S1). RFC 5321, section 2.3.8.
const lineEnd string = "\r\n"

// refuseBareEnds is a guard: a CR or LF that is not part of a CRLF refuses the message (S2).
const refuseBareEnds bool = true

// What can be wrong with content.
var (
	bareEnd       = smtp.NewReply(554, 5, 6, 0, "Bare CR or LF in message")              // S2
	lineTooLong   = smtp.NewReply(554, 5, 6, 0, "Line too long")                         // Mail Manager, B21
	headerTooBig  = smtp.NewReply(552, 5, 3, 4, "Header section too big")                // Mail Manager, B21
	routingLoop   = smtp.NewReply(554, 5, 4, 6, "Routing loop detected")                 // Mail Manager, B11
	messageTooBig = smtp.NewReply(552, 5, 3, 4, "Message too big")                       // Mail Manager, B9
	notTaken      = smtp.NewReply(451, 4, 3, 0, "Message could not be taken, try later") // of a sink
)

// content is what DATA and BDAT have in common: take and takeEnd look at a message's lines, which may come in parts, and write
// gives the message to the sink. They are apart so that a run of many lines is written at once.
type content struct {
	to      io.Writer
	maxSize int64

	size     int64 // octets that went to the sink
	received int64 // octets that came, also after a refusal
	line     int   // octets of the current line that were seen
	header   headerCount
	refusal  *smtp.Reply // why the content is refused; nothing more goes to the sink
}

// CheckContent returns the reply that refuses content of at most maxSize octets, lines ended by CRLF, whoever is asked;
// nil when none does. Sessions look at what they are sent in the same way.
func CheckContent(text []byte, maxSize int64) *smtp.Reply {
	c := content{to: io.Discard, maxSize: maxSize}
	for line := range bytes.Lines(text) {
		c.takeEnd(line)
	}
	c.write(text)
	return c.verdict()
}

// takeEnd looks at the rest of a line with its end. A LF alone ends no line (S2).
func (c *content) takeEnd(rest []byte) {
	text, crlf := bytes.CutSuffix(rest, []byte(lineEnd))
	if !crlf {
		c.refuseBareEnd()
		c.take(rest)
		return
	}
	c.take(text)
	if !c.header.over {
		c.refuse(c.header.endLine(c.line))
	}
	c.line = 0
}

// take looks at a part of a line.
func (c *content) take(part []byte) {
	if bytes.IndexByte(part, '\r') >= 0 {
		c.refuseBareEnd()
	}
	c.line += len(part)
	if c.line > maxLineOctets {
		c.refuse(lineTooLong)
	}
	if !c.header.over {
		c.refuse(c.header.take(part))
	}
}

// write gives the sink a run of content.
func (c *content) write(run []byte) {
	c.received += int64(len(run))
	if len(run) == 0 || c.refusal != nil {
		return
	}
	c.size += int64(len(run))
	if c.size > c.maxSize {
		c.refuse(messageTooBig)
		return
	}
	if _, err := c.to.Write(run); err != nil {
		c.refuse(replyOf(err))
	}
}

// verdict is why the content is refused, nil when it is not.
func (c *content) verdict() *smtp.Reply {
	if c.refusal == messageTooBig {
		return c.refusal.Because(&SizeError{c.received})
	}
	return c.refusal
}

func (c *content) refuseBareEnd() {
	if refuseBareEnds {
		c.refuse(bareEnd)
	}
}

// refuse keeps the first reason.
func (c *content) refuse(reply *smtp.Reply) {
	if c.refusal == nil {
		c.refusal = reply
	}
}

// replyOf is the reply to an error of a sink.
func replyOf(err error) *smtp.Reply {
	if reply, ok := errors.AsType[*smtp.Reply](err); ok {
		return reply
	}
	return notTaken.Because(err)
}

// headerCount counts what is limited in the header section, which ends at the first empty line.
type headerCount struct {
	over     bool
	octets   int
	received int
	name     [len("received:")]byte // how the current line begins
	known    int                    // octets of name that are known
	folded   int                    // lines that the current field was folded to, the first aside
}

// take counts a part of a line.
func (h *headerCount) take(part []byte) *smtp.Reply {
	h.known += copy(h.name[h.known:], part)
	return h.add(len(part))
}

// endLine counts the end of a line that had so many octets.
func (h *headerCount) endLine(octets int) *smtp.Reply {
	h.over = octets == 0
	if h.known == len(h.name) && bytes.EqualFold(h.name[:], []byte("received:")) {
		h.received++
	}
	if h.known > 0 && (h.name[0] == ' ' || h.name[0] == '\t') {
		h.folded++
	} else {
		h.folded = 0
	}
	h.known = 0
	switch {
	case h.received > maxReceived:
		return routingLoop
	case h.folded > maxFoldedLines: // S12
		return headerTooBig
	}
	return h.add(len(lineEnd))
}

func (h *headerCount) add(octets int) *smtp.Reply {
	h.octets += octets
	if h.octets > maxHeaderOctets {
		return headerTooBig
	}
	return nil
}
