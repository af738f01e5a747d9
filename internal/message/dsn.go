package message

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"sluice/internal/smtp"
)

// MaxReturnedOctets is the longest message that a Report returns whole; of others it returns the header section.
const MaxReturnedOctets = 64 << 10

// ErrNoReport says that a Report has nobody to go to or nothing to say.
var ErrNoReport = errors.New("no notification without a reverse-path and a recipient to report on")

// Report is a delivery status notification before it is written: what became of a message, for the sender of it. Whether it may
// be sent is not asked here, but that nothing goes to the null reverse-path. RFC 3464; RFC 6522; Mail Manager, E14 and E18.
type Report struct {
	ID           string    // of the notification, for its Message-ID: the same when it is made twice (Mail Manager, E20)
	From         smtp.Path // who speaks: the postmaster of our host, or the Sender of a Bounce action
	ReportingMTA string    // our host name
	Made         time.Time
	Arrived      time.Time // when the message came in; zero: not told
	Envelope     Envelope  // of the message: reverse-path, ENVID, RET, SMTPUTF8; its recipients are not looked at
	Recipients   []DeliveryStatus
	Text         string // for people, in place of our first words; empty: those. Lines end in LF or CRLF; bounded
	Content      []byte // the message, or at least its first MaxHeaderOctets + 1 octets; empty: none is returned
}

// Message writes the notification. The envelope has the null reverse-path, and says whether a next hop must offer 8BITMIME and
// SMTPUTF8. Nothing that others said can end a line or a part: what could is replaced by question marks (S38), and the boundary
// is not in the parts. The same Report is always written the same. The error is ErrNoReport.
func (r *Report) Message() (Envelope, []byte, error) {
	if r.Envelope.ReversePath.IsNull() || len(r.Recipients) == 0 {
		return Envelope{}, nil, ErrNoReport // RFC 3464, section 2: no notification of a notification
	}
	w := dsnWriter{international: r.international()}
	parts := []part{w.text(r), w.status(r)}
	if len(r.Content) > 0 {
		parts = append(parts, r.returned(w.international))
	}
	envelope := Envelope{
		EightBit:   slices.ContainsFunc(parts, part.eightBit),
		UTF8:       !r.From.IsASCII() || !r.Envelope.ReversePath.IsASCII(),
		Recipients: []Recipient{{Path: r.Envelope.ReversePath}},
	}
	return envelope, w.message(r, parts, envelope.EightBit), nil
}

// international reports whether the notification has the form of RFC 6533: the message or a path needs it.
func (r *Report) international() bool {
	return r.Envelope.UTF8 || !r.From.IsASCII() || !r.Envelope.ReversePath.IsASCII() ||
		slices.ContainsFunc(r.Recipients, func(d DeliveryStatus) bool {
			return !d.Recipient.Path.IsASCII() || !isPrintable(d.Recipient.Original)
		})
}

// about is the action that the notification is most about: the worst there is.
func (r *Report) about() DeliveryAction {
	for _, action := range [...]DeliveryAction{ActionFailed, ActionDelayed, ActionRelayed} {
		if slices.ContainsFunc(r.Recipients, func(d DeliveryStatus) bool { return d.Action == action }) {
			return action
		}
	}
	return ActionDelivered
}

// returned is the part with the message or its header section. Only who is told of a failure may have the whole message back.
// RFC 3461, section 4.3; RFC 6533, section 5.
func (r *Report) returned(international bool) part {
	if r.about() == ActionFailed && r.Envelope.Return != "HDRS" && len(r.Content) <= MaxReturnedOctets {
		if international {
			return part{"message/global", r.Content}
		}
		return part{"message/rfc822", r.Content}
	}
	header, _ := CutHeader(r.Content)
	fields := header
	if empty := []byte("\r\n"); bytes.Equal(header, empty) || bytes.HasSuffix(header, []byte("\r\n\r\n")) {
		fields = header[:len(header)-len(empty)]
	}
	if international {
		return part{"message/global-headers", fields}
	}
	return part{"text/rfc822-headers", fields}
}

// part is a part of the notification.
type part struct {
	kind string // media type with parameters
	body []byte
}

func (p part) eightBit() bool {
	return slices.ContainsFunc(p.body, func(octet byte) bool { return octet >= 0x80 })
}

// dsnWriter writes fields and lines. It alone decides which characters may stand in them.
type dsnWriter struct {
	international bool // characters outside ASCII may be written
	out           []byte
}

// take returns what was written, and begins anew.
func (w *dsnWriter) take() []byte {
	out := w.out
	w.out = nil
	return out
}

// line writes a line that is ours, or was cleaned.
func (w *dsnWriter) line(text string) { w.out = append(append(w.out, text...), "\r\n"...) }

// field writes a field, folded. Whatever the value is, it is one field.
func (w *dsnWriter) field(name, value string) {
	w.line(foldLine(name + ": " + cut(w.clean(value), maxTextOctets)))
}

// date writes a field with a date, or none for the zero time.
func (w *dsnWriter) date(name string, when time.Time) {
	if !when.IsZero() {
		w.field(name, when.UTC().Format(time.RFC1123Z))
	}
}

// message puts the parts together. RFC 2046, section 5.1; RFC 3834, section 5.
func (w *dsnWriter) message(r *Report, parts []part, eightBit bool) []byte {
	report := "delivery-status"
	if w.international {
		report = "global-delivery-status"
	}
	boundary := boundaryOf(r.ID, parts)
	w.field("From", "Mail Delivery System <"+r.From.Received+">")
	w.field("To", "<"+r.Envelope.ReversePath.Received+">")
	w.field("Subject", subjects[r.about()])
	w.date("Date", r.Made)
	w.field("Message-ID", "<"+messageID(r.ID)+">")
	w.field("Auto-Submitted", "auto-replied")
	w.field("MIME-Version", "1.0")
	w.field("Content-Type", "multipart/report; report-type="+report+`; boundary="`+boundary+`"`)
	w.encoding(eightBit)
	for _, p := range parts {
		w.line("")
		w.line("--" + boundary)
		w.field("Content-Type", p.kind)
		w.encoding(p.eightBit())
		w.line("")
		w.out = append(w.out, p.body...)
	}
	w.line("")
	w.line("--" + boundary + "--")
	return w.take()
}

// encoding names the transfer encoding. Content that was returned may not have any other: RFC 2046, section 5.2.1.
func (w *dsnWriter) encoding(eightBit bool) {
	if eightBit {
		w.field("Content-Transfer-Encoding", "8bit")
	}
}

// boundaryOf makes a boundary from an id that is in none of the parts.
func boundaryOf(id string, parts []part) string {
	for n := 0; ; n++ {
		sum := sha256.Sum256([]byte(id + " " + strconv.Itoa(n)))
		boundary := "=_" + hex.EncodeToString(sum[:16])
		if !slices.ContainsFunc(parts, func(p part) bool { return bytes.Contains(p.body, []byte(boundary)) }) {
			return boundary
		}
	}
}
