package smtpclient

import (
	"io"
	"slices"
	"strconv"
	"unicode/utf8"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// codeClosing is the reply after which the host closes the connection. RFC 5321, section 3.8.
const codeClosing = 421

// codeTooMuch is 552: for a RCPT after others were accepted it stands for "too many recipients".
const codeTooMuch = 552

// State is how far a transaction came.
type State uint8

// The states. Only Answered means that the host is responsible for what it accepted, or refused; anything else counts as
// not delivered, and Uncertain is the one that a later attempt may turn into a duplicate.
const (
	// Unattempted: the host has said nothing about it, so that it may be tried elsewhere at once. Next: Begun, Answered.
	Unattempted State = iota
	// Begun: the host has answered a command of it, or its content could not be read. Next: Uncertain, Answered.
	Begun
	// Uncertain: the final dot or the last chunk may have reached the host, its reply has not reached us. Next: Answered.
	Uncertain
	// Answered: every recipient has its reply.
	Answered
)

// Transaction is one message for some recipients, and after it came back from Deliver, what became of it. RFC 5321,
// section 3.3.
type Transaction struct {
	From       smtp.Path
	Recipients []message.Recipient
	EightBit   bool        // the content is declared 8BITMIME
	UTF8       bool        // the envelope was declared SMTPUTF8
	Return     string      // RET: FULL, HDRS or empty (RFC 3461, section 4.3)
	EnvelopeID string      // ENVID, decoded, or empty (RFC 3461, section 4.4)
	Size       int64       // octets of the content, exactly
	Content    io.WriterTo // written at most once
	Tag        any         // the caller's own

	// State is how far it came.
	State State
	// Replies are the final replies, one a recipient in their order; each is set when the state is Answered.
	Replies []*smtp.Reply
	// Err is why the connection ended while the transaction was not answered.
	Err error
	// DSN says that the host offered DSN, and was told what the sender wants to be notified of. Otherwise that is the duty of
	// whoever sends: Mail Manager, E21.
	DSN bool

	utf8 bool // MAIL has SMTPUTF8
	data bool // the host waits for content
}

// Replies that we give in the host's stead, where sending could only fail.
var (
	replyTooBig       = smtp.NewReply(552, 5, 3, 4, "message is larger than the next hop takes")
	replyNoUTF8       = smtp.NewReply(550, 5, 6, 7, "next hop does not take internationalised addresses")
	replyBadSender    = smtp.NewReply(553, 5, 1, 7, "reverse-path cannot be sent")
	replyBadRecipient = smtp.NewReply(553, 5, 1, 3, "forward-path cannot be sent")
	replyBadParameter = smtp.NewReply(501, 5, 5, 4, "delivery status parameter cannot be sent")
)

// admit settles the recipients that need not be tried at this host, and reports whether any is left.
func (t *Transaction) admit(ext extensions) bool {
	t.State, t.Err, t.data = Unattempted, nil, false
	t.DSN = ext.dsn
	t.utf8 = ext.utf8 && (t.UTF8 || t.international())
	t.Replies = make([]*smtp.Reply, len(t.Recipients))
	switch refusal := refusePath(t.From, ext, replyBadSender); {
	case refusal != nil:
		t.settle(refusal)
	case ext.maxSize > 0 && t.Size > ext.maxSize: // RFC 1870, section 6.1
		t.settle(replyTooBig)
	case !t.sendsReturn():
		t.settle(replyBadParameter)
	default:
		for i := range t.Recipients {
			t.Replies[i] = t.refuseRecipient(i, ext)
		}
	}
	if !t.pending() {
		t.State = Answered
		return false
	}
	return true
}

func (t *Transaction) refuseRecipient(recipient int, ext extensions) *smtp.Reply {
	if refusal := refusePath(t.Recipients[recipient].Path, ext, replyBadRecipient); refusal != nil {
		return refusal
	}
	if !t.sendsStatus(recipient) {
		return replyBadParameter
	}
	return nil
}

// refusePath returns the reply for a path that cannot be sent to the host: one that would break its command line, or an
// internationalised one where SMTPUTF8 is missing (Mail Manager, E21).
func refusePath(path smtp.Path, ext extensions, bad *smtp.Reply) *smtp.Reply {
	for _, octet := range []byte(path.Received) {
		if octet < ' ' || octet == 0x7f {
			return bad
		}
	}
	if !ext.utf8 && !ascii(path) {
		return replyNoUTF8
	}
	return nil
}

// mail puts MAIL into the connection's buffer, with the parameters that the host knows.
func (t *Transaction) mail(c *Conn) {
	c.w.WriteString("MAIL FROM:<")
	c.w.WriteString(t.From.Received)
	c.w.WriteString(">")
	if c.ext.size {
		c.w.WriteString(" SIZE=")
		c.w.Write(strconv.AppendInt(c.w.AvailableBuffer(), t.Size, 10))
	}
	if t.EightBit && c.ext.eightBit {
		c.w.WriteString(" BODY=8BITMIME")
	}
	if t.utf8 {
		c.w.WriteString(" SMTPUTF8")
	}
	t.mailStatus(c)
	c.w.WriteString("\r\n")
}

// rcpt puts one RCPT into the connection's buffer.
func (t *Transaction) rcpt(c *Conn, recipient int) {
	c.w.WriteString("RCPT TO:<")
	c.w.WriteString(t.Recipients[recipient].Path.Received)
	c.w.WriteString(">")
	t.rcptStatus(c, recipient)
	c.w.WriteString("\r\n")
}

// international reports whether a path needs SMTPUTF8 (RFC 6531, section 3.2).
func (t *Transaction) international() bool {
	return !ascii(t.From) || slices.ContainsFunc(t.Recipients, func(r message.Recipient) bool { return !ascii(r.Path) })
}

func ascii(path smtp.Path) bool {
	for i := range len(path.Received) {
		if path.Received[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// pending reports whether a recipient is still without a reply that refuses it.
func (t *Transaction) pending() bool {
	return slices.Contains(t.Replies, nil)
}

// settle gives every pending recipient its reply.
func (t *Transaction) settle(reply *smtp.Reply) {
	for i := range t.Replies {
		if t.Replies[i] == nil {
			t.Replies[i] = reply
		}
	}
}

// refuse notes the host's refusal of one recipient. A 552 after others were accepted is the old way to say "too many
// recipients", and transient: RFC 5321, section 4.5.3.1.10.
func (t *Transaction) refuse(recipient int, reply *smtp.Reply, accepted bool) {
	if reply.Code == codeTooMuch && accepted {
		transient := *reply
		transient.Code, transient.Enhanced.Class = 452, min(transient.Enhanced.Class, 4)
		reply = &transient
	}
	t.Replies[recipient] = reply
}
