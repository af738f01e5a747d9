package sink

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"sluice/test/load/ledger"
	"sluice/test/load/letter"
)

const (
	bufferOctets     = 64 << 10
	maxContentOctets = 64 << 20
	farewell         = 5 * time.Second // bounds the end of a connection that the client does not end
)

// moment is where in a transaction something goes wrong.
type moment int

const (
	never moment = iota
	atMail
	atRecipient
	atData
	atEnd // after all of the content, before the reply
	inContent
	afterEnd
)

// fate is what will go wrong with a transaction.
type fate struct {
	at    moment
	reply string // empty: the connection is dropped
}

// session is one connection.
type session struct {
	sink       *Sink
	conn       net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	chance     *rand.Rand
	content    []byte // reused
	fate       fate
	recipients []string // nil: none were accepted
	mail       bool
	null       bool // the reverse-path is null
}

func newSession(s *Sink, conn net.Conn, number uint64) *session {
	return &session{
		sink:   s,
		conn:   conn,
		r:      bufio.NewReaderSize(conn, bufferOctets),
		w:      bufio.NewWriterSize(conn, 4<<10),
		chance: rand.New(rand.NewPCG(s.options.Seed, number)),
	}
}

func (c *session) run() {
	if c.sink.behaviour.Load().BlackHole {
		c.sink.swallow(c.conn)
		return
	}
	defer c.w.Flush()
	c.say("220 sink.invalid ESMTP")
	for {
		line, err := c.line()
		if err != nil || !c.command(line) {
			return
		}
	}
}

// line reads one command, after sending what was said if there is none yet.
func (c *session) line() (string, error) {
	if c.r.Buffered() == 0 {
		if err := c.w.Flush(); err != nil {
			return "", err
		}
	}
	line, err := c.r.ReadSlice('\n')
	return string(bytes.TrimRight(line, "\r\n")), err
}

func (c *session) say(reply string) {
	c.w.WriteString(reply)
	c.w.WriteString("\r\n")
}

// command does one command and reports whether the session goes on.
func (c *session) command(line string) bool {
	if c.sink.behaviour.Load().BlackHole {
		c.w.Flush() // what was answered before, was
		c.sink.swallow(c.conn)
		return false
	}
	verb, argument, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		c.say("250-sink.invalid")
		if !c.sink.options.Lockstep {
			c.say("250-PIPELINING")
		}
		c.say("250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES")
	case "HELO", "RSET", "NOOP":
		c.mail, c.recipients = false, nil
		c.say("250 2.0.0 ok")
	case "MAIL":
		c.null = strings.Contains(argument, "<>")
		return c.begin()
	case "RCPT":
		return c.recipient(argument)
	case "DATA":
		return c.data()
	case "QUIT":
		c.say("221 2.0.0 bye")
		c.w.Flush()
		return false
	default:
		c.say("500 5.5.1 what?")
	}
	return true
}

func (c *session) begin() bool {
	if c.mail {
		c.say("503 5.5.1 nested MAIL")
		return true
	}
	c.fate = c.draw()
	if c.fate.at == atMail {
		return c.fail()
	}
	c.mail = true
	c.say("250 2.1.0 ok")
	return true
}

// draw decides by chance what will go wrong.
func (c *session) draw() fate {
	b := c.sink.behaviour.Load()
	switch roll := c.chance.Float64(); {
	case roll < b.Defer:
		return fate{c.between(atRecipient, atEnd), "451 4.3.0 not now"}
	case roll < b.Defer+b.Reject:
		return fate{c.between(atRecipient, atEnd), "550 5.7.1 not at all"}
	case roll < b.Defer+b.Reject+b.Drop:
		return fate{at: c.between(atMail, afterEnd)}
	}
	return fate{}
}

func (c *session) between(first, last moment) moment {
	return first + moment(c.chance.IntN(int(last-first)+1))
}

func (c *session) recipient(argument string) bool {
	_, path, found := strings.Cut(argument, "<")
	path, _, closed := strings.Cut(path, ">")
	switch {
	case !c.mail || !found || !closed:
		c.say("503 5.5.1 no")
	case c.fate.at == atRecipient:
		return c.fail()
	case c.fails(path):
		c.say("550 5.1.1 nobody of that name")
	default:
		c.recipients = append(c.recipients, path)
		c.say("250 2.1.5 ok")
	}
	return true
}

// fails reports whether nothing is taken for the recipient.
func (c *session) fails(recipient string) bool {
	prefix := c.sink.behaviour.Load().Fails
	return prefix != "" && strings.HasPrefix(recipient, prefix)
}

// fail lets the fate come true, and reports whether the session goes on.
func (c *session) fail() bool {
	if c.fate.reply == "" {
		c.part()
		return false
	}
	c.say(c.fate.reply)
	return true
}

func (c *session) data() bool {
	switch {
	case len(c.recipients) == 0:
		c.say("554 5.5.1 no recipients")
		return true
	case c.fate.at == atData:
		return c.fail()
	}
	c.say("354 go ahead")
	if c.w.Flush() != nil {
		return false
	}
	if c.fate.at == inContent {
		c.r.Peek(1) // the client has read all that was said before
		return false
	}
	content, err := c.readContent()
	if err != nil {
		return false
	}
	goesOn := c.end(content)
	c.mail, c.recipients = false, nil
	return goesOn
}

// readContent reads to the end of data, and undoes the dots. The result is valid until the next call.
func (c *session) readContent() ([]byte, error) {
	const terminator = "\r\n.\r\n"
	buf := append(c.content[:0], "\r\n"...) // so that no content at all is found to end too
	for {
		if _, err := c.r.Peek(1); err != nil {
			return nil, err
		}
		part, _ := c.r.Peek(c.r.Buffered())
		from := max(0, len(buf)-len(terminator)+1)
		buf = append(buf, part...)
		at := bytes.Index(buf[from:], []byte(terminator))
		if at < 0 {
			c.r.Discard(len(part))
			if len(buf) > maxContentOctets {
				return nil, fmt.Errorf("over %d octets", maxContentOctets)
			}
			continue
		}
		c.r.Discard(len(part) - (len(buf) - from - at - len(terminator)))
		c.content = buf
		return unstuff(buf[len("\r\n") : from+at+len("\r\n")]), nil
	}
}

// unstuff undoes doubled dots in place. RFC 5321, section 4.5.2.
func unstuff(content []byte) []byte {
	if bytes.HasPrefix(content, []byte(".")) {
		content = content[1:]
	}
	kept := 0
	for rest := content; ; {
		at := bytes.Index(rest, []byte("\n."))
		if at < 0 {
			return content[:kept+copy(content[kept:], rest)]
		}
		kept += copy(content[kept:], rest[:at+1])
		rest = rest[at+2:]
	}
}

// end takes a message: it notes it and says what its fate wants said.
func (c *session) end(content []byte) bool {
	if c.fate.at == atEnd && c.fate.reply != "" {
		return c.fail()
	}
	id, whole := letter.Read(content)
	mark := ledger.Arrived
	switch {
	case c.fate.at == atEnd:
		mark = ledger.Unanswered
	case !whole:
		mark = ledger.Damaged
	}
	if id != "" {
		for _, recipient := range c.recipients {
			c.sink.Ledger.Add(ledger.Key(id, recipient), mark)
		}
	}
	if mark == ledger.Unanswered {
		return c.fail()
	}
	if c.null {
		c.bounced(content)
	}
	c.sink.took()
	c.say("250 2.0.0 taken")
	if c.fate.at == afterEnd {
		c.part()
		return false
	}
	return true
}

// bounced notes what a notification says has failed. What comes from the null reverse-path and is none is not noted.
func (c *session) bounced(content []byte) {
	bounce, err := letter.ReadBounce(content)
	if err != nil {
		return
	}
	for _, recipient := range bounce.Failed {
		c.sink.Ledger.Add(ledger.Key(bounce.ID, recipient), ledger.Bounced)
	}
}

// part ends the connection such that what was said arrives: a close with unread commands could destroy it, and the ledger
// would say answered of what was not.
func (c *session) part() {
	c.w.Flush()
	c.conn.SetReadDeadline(time.Now().Add(farewell))
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
	io.Copy(io.Discard, c.r)
}
