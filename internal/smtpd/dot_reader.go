package smtpd

import (
	"bytes"
	"errors"
	"io"

	"sluice/internal/smtp"
)

// What can be wrong with content.
var (
	bareEnd       = smtp.NewReply(554, 5, 6, 0, "Bare CR or LF in message")              // S2
	lineTooLong   = smtp.NewReply(554, 5, 6, 0, "Line too long")                         // Mail Manager, B21
	headerTooBig  = smtp.NewReply(552, 5, 3, 4, "Header section too big")                // Mail Manager, B21
	routingLoop   = smtp.NewReply(554, 5, 4, 6, "Routing loop detected")                 // Mail Manager, B11
	messageTooBig = smtp.NewReply(552, 5, 3, 4, "Message too big")                       // Mail Manager, B9
	notTaken      = smtp.NewReply(451, 4, 3, 0, "Message could not be taken, try later") // of a sink
)

// dotReader reads content as DATA sends it: it ends at CRLF "." CRLF and nowhere else (S1), the dot that was stuffed before
// a line is taken away, and the rest goes to the sink as it stands in the input's buffer. Content that is refused is read
// to its end all the same, so that none of it is taken for commands. RFC 5321, section 4.5.2.
type dotReader struct {
	in      *input
	to      io.Writer
	maxSize int64
	grow    func() // called when the client sends faster than the buffer takes

	size    int64 // octets that went to the sink
	line    int   // octets of the current line that were seen
	begun   bool  // the current line has begun: a dot is no longer its first octet
	header  headerCount
	refusal *smtp.Reply // why the content is refused; nothing more goes to the sink
}

// read reads to the end of the data. It returns the reply that refuses the content, if any, or the error that ended the
// input before the end.
func (r *dotReader) read() (*smtp.Reply, error) {
	for {
		used, ended := r.scan(r.in.window())
		r.in.discard(used)
		if ended {
			return r.refusal, nil
		}
		if r.in.full {
			r.grow()
		}
		if err := r.in.fill(); err != nil {
			return nil, err
		}
	}
}

// scan takes what it can of the window, and leaves what only the octets that follow explain: a CR at the end, and a dot at the
// beginning of a line without two octets after it, which any honest content still has.
func (r *dotReader) scan(window []byte) (used int, ended bool) {
	from, at := 0, 0 // window[from:at] is still to be written
	for at < len(window) {
		if window[at] == '.' && !r.begun {
			if len(window)-at < len(".\r\n") {
				break
			}
			r.write(window[from:at])
			if window[at+1] == '\r' && window[at+2] == '\n' {
				return at + len(".\r\n"), true
			}
			at++
			from = at
		}
		end := bytes.IndexByte(window[at:], '\n')
		if end < 0 {
			part := bytes.TrimSuffix(window[at:], []byte{'\r'})
			r.take(part)
			at += len(part)
			break
		}
		r.takeEnd(window[at : at+end+1])
		at += end + 1
	}
	r.write(window[from:at])
	return at, false
}

// takeEnd looks at the rest of a line with its end. A LF alone ends no line (S2).
func (r *dotReader) takeEnd(rest []byte) {
	text, crlf := bytes.CutSuffix(rest, []byte("\r\n"))
	if !crlf {
		r.refuse(bareEnd)
		r.take(rest)
		return
	}
	r.take(text)
	if !r.header.over {
		r.refuse(r.header.endLine(r.line))
	}
	r.line, r.begun = 0, false
}

// take looks at a part of a line.
func (r *dotReader) take(part []byte) {
	if bytes.IndexByte(part, '\r') >= 0 {
		r.refuse(bareEnd)
	}
	r.begun = r.begun || len(part) > 0
	r.line += len(part)
	if r.line > maxLineOctets {
		r.refuse(lineTooLong)
	}
	if !r.header.over {
		r.refuse(r.header.take(part))
	}
}

// write gives the sink a run of content.
func (r *dotReader) write(run []byte) {
	if len(run) == 0 || r.refusal != nil {
		return
	}
	r.size += int64(len(run))
	if r.size > r.maxSize {
		r.refuse(messageTooBig)
		return
	}
	if _, err := r.to.Write(run); err != nil {
		r.refuse(replyOf(err))
	}
}

// refuse keeps the first reason.
func (r *dotReader) refuse(reply *smtp.Reply) {
	if r.refusal == nil {
		r.refusal = reply
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
	h.known = 0
	if h.received > maxReceived {
		return routingLoop
	}
	return h.add(len("\r\n"))
}

func (h *headerCount) add(octets int) *smtp.Reply {
	h.octets += octets
	if h.octets > maxHeaderOctets {
		return headerTooBig
	}
	return nil
}
