package message

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what others said. A line may have 998 octets (RFC 5322, section 2.1.1), and need not have a place to fold.
const (
	maxDiagnosticOctets int = 512
	maxTextOctets       int = 900 // more than the 500 of a Bounce action's Message
	maxMessageIDOctets  int = 250
)

// subjects are for people; programs read the part for them.
var subjects = map[DeliveryAction]string{
	ActionFailed:    "Mail could not be delivered",
	ActionDelayed:   "Mail is delayed",
	ActionRelayed:   "Mail was passed on",
	ActionDelivered: "Mail was delivered",
}

// openings are our first words.
var openings = map[DeliveryAction]string{
	ActionFailed: "Your message could not be delivered to every recipient. What follows says\r\n" +
		"which of them did not get it, and why. It will not be tried again for them.",
	ActionDelayed: "Your message has not been delivered to every recipient yet. You need not do\r\n" +
		"anything, and need not send it again: it is tried again until it is delivered\r\n" +
		"or too old.",
	ActionRelayed:   "You asked to be told when your message was delivered.",
	ActionDelivered: "You asked to be told when your message was delivered.",
}

// fates say what became of a recipient.
var fates = map[DeliveryAction]string{
	ActionFailed:    "could not be delivered.",
	ActionDelayed:   "has not been delivered yet.",
	ActionDelivered: "was delivered.",
	ActionRelayed:   "was passed on to a host that will not report what becomes of it.",
	ActionExpanded:  "was delivered to a list, and may go to many from there.",
}

// text is the part for people.
func (w *dsnWriter) text(r *Report) part {
	about := r.about()
	w.line("This is the mail system at " + traceName(r.ReportingMTA) + ".")
	w.line("")
	if r.Text != "" {
		w.paragraph(r.Text)
	} else {
		w.line(openings[about])
	}
	for i := range r.Recipients {
		w.line("")
		w.fate(&r.Recipients[i])
	}
	if w.international {
		return part{"text/plain; charset=utf-8", w.take()}
	}
	return part{"text/plain; charset=us-ascii", w.take()}
}

// paragraph writes a text of several lines.
func (w *dsnWriter) paragraph(text string) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(cut(text, maxTextOctets))
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		w.line(w.clean(line))
	}
}

func (w *dsnWriter) fate(d *DeliveryStatus) {
	w.line("<" + w.clean(d.Recipient.Path.Received) + ">")
	w.line("    " + fates[d.Action])
	host := "The next hop"
	if d.Remote != "" {
		host = "The host " + traceName(d.Remote)
	}
	switch {
	case d.Reply != nil && d.Remote != "":
		w.quotation(host+" said:", d.Reply.String())
	case d.Reply != nil:
		w.quotation("The reason:", d.Reply.String())
	case d.Explanation != "":
		w.quotation("The reason:", d.Explanation)
	case d.Action == ActionFailed:
		w.line("    " + host + " could not be reached for too long.")
	case d.Action == ActionDelayed:
		w.line("    " + host + " could not be reached.")
	}
	if d.Action == ActionDelayed && !d.RetryUntil.IsZero() {
		w.line("    It is tried again until " + d.RetryUntil.UTC().Format(time.RFC1123Z) + ".")
	}
}

// quotation writes what others said, set off from what we say.
func (w *dsnWriter) quotation(who, said string) {
	w.line("    " + who)
	w.line(strings.ReplaceAll(foldLine("      "+w.diagnostic(said)), "\r\n ", "\r\n      "))
}

// diagnostic is what others said, in one line of bounded length. RFC 3464, section 2.3.6.
func (w *dsnWriter) diagnostic(said string) string {
	return strings.Join(strings.Fields(w.clean(cut(said, maxDiagnosticOctets))), " ")
}

// clean replaces every character that has no place in a line: controls, marks that turn the direction of text, what is not
// UTF-8, and without SMTPUTF8 what is not ASCII.
func (w *dsnWriter) clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\r' || r == '\n':
			return ' '
		case ' ' <= r && r < 0x7f, w.international && r >= utf8.RuneSelf && r != utf8.RuneError && unicode.IsPrint(r):
			return r
		default:
			return '?'
		}
	}, text)
}

// cut shortens a text to so many octets, and shows it.
func cut(text string, octets int) string {
	const mark = "..."
	if len(text) <= octets {
		return text
	}
	end := octets - len(mark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + mark
}

// messageID is an id without what would end it. RFC 5322, section 3.6.4.
func messageID(id string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune(`<>()[]:;,\"`, r) {
			return '?'
		}
		return r
	}, cut(id, maxMessageIDOctets))
}
