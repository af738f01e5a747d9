package message

import (
	"strings"
	"time"

	"sluice/internal/smtp"
)

// DeliveryAction is what was done for a recipient. RFC 3464, section 2.3.3.
type DeliveryAction string

// The actions that are reported.
const (
	ActionFailed    DeliveryAction = "failed"    // nothing more will be tried
	ActionDelayed   DeliveryAction = "delayed"   // it will be tried again
	ActionDelivered DeliveryAction = "delivered" // to the mailbox
	ActionRelayed   DeliveryAction = "relayed"   // to a next hop that will not report
	ActionExpanded  DeliveryAction = "expanded"  // to the members of a list
)

// DeliveryStatus is what became of one recipient. RFC 3464, section 2.3.
type DeliveryStatus struct {
	Recipient   Recipient // the final recipient, with ORCPT
	Action      DeliveryAction
	Status      smtp.EnhancedCode // zero: what Reply says, see Code
	Reply       *smtp.Reply       // the next hop's, or ours when Remote is empty; nil: there was none
	Remote      string            // the next hop, by name or as an address literal; empty: none
	Explanation string            // why, where there is no Reply; strangers will read it. Empty: not told
	LastAttempt time.Time         // zero: not told
	RetryUntil  time.Time         // of ActionDelayed; zero: not told
}

// Code is the status to report: Status, else the reply's enhanced code when its class is that of the action and of the reply,
// else the nearest to the reply's code. Mail that is given up has a code of class 4, that of the last attempt, as RFC 3463,
// section 3.5 has it. RFC 3464, section 2.3.4.
func (d *DeliveryStatus) Code() smtp.EnhancedCode {
	class := d.class()
	switch {
	case d.Status.Class != 0:
		return d.Status
	case d.Reply == nil:
		return unanswered[d.Action]
	case d.Reply.Enhanced.Class == class && d.Reply.Code/100 == int(class):
		return d.Reply.Enhanced
	}
	if code := statusOfReply[d.Reply.Code]; code.Class == class {
		return code
	}
	return smtp.EnhancedCode{Class: class}
}

func (d *DeliveryStatus) class() uint16 {
	switch d.Action {
	case ActionFailed:
		if d.Reply != nil && d.Reply.Permanent() {
			return 5
		}
		return 4
	case ActionDelayed:
		return 4
	default:
		return 2
	}
}

// unanswered has the codes where nobody replied. RFC 3463, sections 3.1 and 3.5.
var unanswered = map[DeliveryAction]smtp.EnhancedCode{
	ActionFailed:    {Class: 4, Subject: 4, Detail: 7}, // delivery time expired
	ActionDelayed:   {Class: 4, Subject: 4, Detail: 0},
	ActionDelivered: {Class: 2},
	ActionRelayed:   {Class: 2},
	ActionExpanded:  {Class: 2},
}

// statusOfReply has the nearest codes to replies that have none: where the registry of RFC 5248 names one, that, and else the
// general code of the subject.
var statusOfReply = map[int]smtp.EnhancedCode{
	421: {Class: 4, Subject: 3, Detail: 2},  // not accepting messages
	432: {Class: 4, Subject: 7, Detail: 12}, // password transition needed
	450: {Class: 4, Subject: 2, Detail: 0},  // mailbox unavailable
	451: {Class: 4, Subject: 3, Detail: 0},  // local error
	452: {Class: 4, Subject: 3, Detail: 1},  // storage full
	454: {Class: 4, Subject: 7, Detail: 0},  // authentication fails for now
	455: {Class: 4, Subject: 5, Detail: 4},  // parameters cannot be served now

	500: {Class: 5, Subject: 5, Detail: 2}, // syntax
	501: {Class: 5, Subject: 5, Detail: 4}, // arguments
	502: {Class: 5, Subject: 5, Detail: 1}, // not implemented
	503: {Class: 5, Subject: 5, Detail: 1}, // out of order
	504: {Class: 5, Subject: 5, Detail: 4}, // parameter not implemented
	521: {Class: 5, Subject: 3, Detail: 2}, // accepts no mail (RFC 7504)
	530: {Class: 5, Subject: 7, Detail: 0}, // authentication required
	534: {Class: 5, Subject: 7, Detail: 9},
	535: {Class: 5, Subject: 7, Detail: 8},
	538: {Class: 5, Subject: 7, Detail: 11},
	550: {Class: 5, Subject: 2, Detail: 0}, // mailbox unavailable, for whatever reason
	551: {Class: 5, Subject: 1, Detail: 6}, // has moved
	552: {Class: 5, Subject: 2, Detail: 2}, // mailbox full
	553: {Class: 5, Subject: 1, Detail: 3}, // mailbox name
	554: {Class: 5, Subject: 0, Detail: 0},
	555: {Class: 5, Subject: 5, Detail: 4},  // parameters of MAIL or RCPT
	556: {Class: 5, Subject: 1, Detail: 10}, // domain accepts no mail (RFC 7505)
}

// status is the part for programs. RFC 3464, section 2; RFC 6533, section 4.
func (w *dsnWriter) status(r *Report) part {
	if r.Envelope.EnvelopeID != "" {
		w.field("Original-Envelope-Id", r.Envelope.EnvelopeID)
	}
	w.field("Reporting-MTA", "dns; "+traceName(r.ReportingMTA))
	w.date("Arrival-Date", r.Arrived)
	for i := range r.Recipients {
		w.line("")
		w.recipient(&r.Recipients[i])
	}
	if w.international {
		return part{"message/global-delivery-status", w.take()}
	}
	return part{"message/delivery-status", w.take()}
}

// recipient writes the fields of one recipient, in the order of RFC 3464, section 2.3.
func (w *dsnWriter) recipient(d *DeliveryStatus) {
	if original := w.original(d.Recipient.Original); original != "" {
		w.field("Original-Recipient", original)
	}
	kind := "rfc822"
	if !d.Recipient.Path.IsASCII() {
		kind = "utf-8"
	}
	w.field("Final-Recipient", kind+"; "+d.Recipient.Path.Received)
	w.field("Action", string(d.Action))
	w.field("Status", d.Code().String())
	if d.Remote != "" {
		w.field("Remote-MTA", "dns; "+traceName(d.Remote))
	}
	switch {
	case d.Reply != nil:
		w.field("Diagnostic-Code", "smtp; "+w.diagnostic(d.Reply.String()))
	case d.Explanation != "":
		w.field("Diagnostic-Code", "x-sluice; "+w.diagnostic(d.Explanation))
	}
	w.date("Last-Attempt-Date", d.LastAttempt)
	if d.Action == ActionDelayed {
		w.date("Will-Retry-Until", d.RetryUntil)
	}
}

// original is ORCPT without the encoding of the parameter; where only ASCII may stand, type utf-8 keeps its own, which is ASCII.
// Empty for a value that cannot be read. RFC 3461, section 6.3; RFC 6533, section 3.
func (w *dsnWriter) original(value string) string {
	kind, address, ok := smtp.DecodeOriginal(value)
	switch {
	case !ok:
		return ""
	case strings.EqualFold(kind, "utf-8") && !w.international:
		return kind + "; " + value[len(kind)+len(";"):]
	default:
		return kind + "; " + address
	}
}
