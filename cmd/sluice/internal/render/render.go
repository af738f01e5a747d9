// Package render shows trace records and the queue to people: what happened, in order, and why. What strangers wrote is
// quoted where it could pretend to be something else. Start with Trace.
package render

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"sluice/internal/policy"
	"sluice/internal/rule"
	"sluice/internal/trace"
)

const (
	timeForm = "2006-01-02 15:04:05.000Z"
	margin   = "    " // of what belongs to an event

	recipientsInLine = 3 // of what a search found
)

// page is where a record is written. Errors are kept by the writer until Flush.
type page struct{ *bufio.Writer }

// line writes a line at a depth.
func (p page) line(depth int, format string, args ...any) {
	p.WriteString(strings.Repeat(margin, depth))
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

// Trace writes a record.
func Trace(w io.Writer, record trace.Record) error {
	p := page{bufio.NewWriter(w)}
	p.line(0, "%s", record.ID)
	for i := range record.Events {
		p.event(&record.Events[i])
	}
	return p.Flush()
}

func (p page) event(e *trace.Event) {
	at := e.Time.UTC().Format(timeForm)
	switch {
	case e.Accepted != nil:
		p.accepted(at, e.Accepted)
	case e.Made != nil:
		p.line(0, "%s  made of what became of %s", at, e.Made.Of)
		p.line(1, "from %s for %s, %d octets", path(e.Made.ReversePath), list(e.Made.Recipients), e.Made.Size)
	case e.Refused != nil:
		p.refused(at, e.Refused)
	case e.Decided != nil:
		p.decided(at, e.Decided)
	case e.Attempt != nil:
		p.attempt(at, e.Attempt)
	case e.Held != nil:
		p.line(0, "%s  held in %s for %s: %s", at, e.Held.Lane, list(e.Held.Recipients), plain(e.Held.Reason))
	case e.Steered != nil:
		p.steered(at, e.Steered)
	case e.Ended != nil:
		p.ended(at, e.Ended)
	default:
		p.line(0, "%s  something that this version does not know", at)
	}
}

func (p page) accepted(at string, a *trace.Accepted) {
	p.line(0, "%s  accepted by ingress point %s", at, a.Facts.IngressPoint)
	p.line(1, "from %s at %s, EHLO %s, session %s", path(a.ReversePath), a.Facts.Client, plain(a.Facts.Hello), a.Facts.ID)
	p.line(1, "for %s, %d octets", list(a.Recipients), a.Size)
	p.decisions(a.TrafficPolicyID, a.Decisions)
}

func (p page) refused(at string, r *trace.Refused) {
	what := r.Command
	if what == "" {
		what = "session"
	}
	p.line(0, "%s  refused %s: %s", at, what, plain(r.Reply))
	p.line(1, "from %s at %s, EHLO %s, session %s", path(r.ReversePath), r.Facts.Client, plain(r.Facts.Hello), r.Facts.ID)
	if r.Reason != "" {
		p.line(1, "because %s", plain(r.Reason))
	}
	p.decisions(r.TrafficPolicyID, r.Decisions)
}

func (p page) ended(at string, e *trace.Ended) {
	p.line(0, "%s  session ended without a message after %s: %s", at, e.Took.Round(time.Millisecond), plain(e.Reason))
	p.line(1, "from %s, EHLO %s, %d commands, session %s", e.Facts.Client, plain(e.Facts.Hello), e.Commands, e.Facts.ID)
}

func (p page) decisions(policyID string, decisions []policy.Decision) {
	for i := range decisions {
		d := &decisions[i]
		by := "the default action"
		if d.By > 0 {
			by = "statement " + strconv.Itoa(d.By)
		}
		p.line(1, "traffic policy %s: %s %s by %s", policyID, d.Action, plain(d.Recipient), by)
		for _, s := range d.Statements {
			p.line(2, "statement %d, %s: %s", s.Index, s.Action, matches(s.Matched))
			for _, c := range s.Conditions {
				p.condition(3, comparison{c.Attribute, c.Operator, c.Values, []string{c.Seen}, c.Result.String(), c.Why})
			}
		}
	}
}

func (p page) decided(at string, d *trace.Decided) {
	p.line(0, "%s  decided by rule set %s", at, d.RuleSetID)
	for i := range d.Rules {
		p.rule(&d.Rules[i])
	}
	if len(d.Unrouted) > 0 {
		p.line(1, "no rule routes %s", list(d.Unrouted))
	}
}

func (p page) rule(r *rule.Reason) {
	name := "rule " + strconv.Itoa(r.Rule)
	if r.Name != "" {
		name += " " + strconv.QuoteToGraphic(r.Name)
	}
	switch {
	case r.Resumed:
		p.line(1, "%s goes on", name)
	case len(r.Matched) == 0:
		p.line(1, "%s: no match", name)
	default:
		p.line(1, "%s: match for %s", name, list(r.Matched))
	}
	for _, c := range r.Conditions {
		if c.Unless {
			c.Attribute = "unless " + c.Attribute
		}
		p.condition(2, comparison{c.Attribute, c.Operator, c.Values, c.Seen, c.Result.String(), c.Why})
	}
	for _, a := range r.Actions {
		p.action(a)
	}
}

func (p page) action(a rule.Done) {
	text := fmt.Sprintf("action %d, %s: %s", a.Action, a.Name, a.Outcome)
	if a.Why != "" {
		text += ", " + plain(a.Why)
	}
	if a.Dropped {
		text += "; its failure policy drops the recipients"
	}
	p.line(2, "%s", text)
}

// comparison is a condition of either language.
type comparison struct {
	attribute, operator string
	values, seen        []string
	result              string
	why                 string
}

func (p page) condition(depth int, c comparison) {
	text := c.attribute + " " + c.operator
	if len(c.values) > 0 {
		text += " " + quoted(c.values, " or ")
	}
	text += ": " + strings.ToLower(strings.ReplaceAll(c.result, "_", " "))
	if c.why != "" {
		text += ", " + plain(c.why)
	}
	if len(c.seen) > 0 {
		text += ", it is " + quoted(c.seen, ", ")
	}
	p.line(depth, "%s", text)
}

func (p page) attempt(at string, a *trace.Attempt) {
	text := fmt.Sprintf("%s  attempt %d of rule %d, action %d, %s", at, a.Number, a.Rule, a.Action, a.ActionName)
	if a.Rule == 0 { // an operator's act, no rule's
		text = fmt.Sprintf("%s  attempt %d, %s", at, a.Number, a.ActionName)
	}
	if a.Target != "" {
		text += " at " + a.Target
	}
	text += ": " + a.Status
	if a.Status == "QUEUED" { // of a simulation
		text += " in " + a.Lane
	}
	if a.Took > 0 {
		text += ", it took " + a.Took.Round(100*time.Microsecond).String()
	}
	p.line(0, "%s", text)
	if a.TLS != nil {
		p.line(1, "over %s", protection(a.TLS))
	}
	if a.Reason != "" {
		p.line(1, "because %s", plain(a.Reason))
	}
	for _, r := range a.Recipients {
		p.line(1, "%s", strings.TrimSuffix(plain(r.Recipient)+": "+plain(r.Reply), ": ")) // no reply came where no host was reached
	}
	if !a.Next.IsZero() {
		p.line(1, "next at %s", a.Next.UTC().Format(timeForm))
	}
}

// Found writes what a search found, a line each.
func Found(w io.Writer, found []trace.Summary) error {
	p := page{bufio.NewWriter(w)}
	for i := range found {
		p.found(&found[i])
	}
	return p.Flush()
}

func (p page) found(s *trace.Summary) {
	text := fmt.Sprintf("%s  %s  %-8s", s.Time.UTC().Format(timeForm), s.ID, s.Kind)
	if s.IsMessage() || s.Sender != "" || len(s.Recipients) > 0 {
		text += "  " + path(s.Sender)
	}
	if n := len(s.Recipients); n > 0 {
		text += " → " + list(s.Recipients[:min(n, recipientsInLine)])
		if n > recipientsInLine {
			text += fmt.Sprintf(" and %d more", n-recipientsInLine)
		}
	}
	if s.Client.IsValid() {
		text += "  from " + s.Client.Addr().Unmap().String()
	}
	if s.Outcome != "" {
		text += "  " + plain(s.Outcome)
	}
	p.line(0, "%s", text)
}

// protection is TLS in a few words.
func protection(t *trace.TLS) string {
	text := t.Version + ", " + t.Cipher
	if t.Peer == "" {
		return text + ", without a certificate that has a name"
	}
	text += ", certificate of " + plain(t.Peer)
	if t.Verified {
		return text + ", verified"
	}
	return text + ", not verified"
}

// steered tells an operator's act in the words of sluice queue.
func (p page) steered(at string, s *trace.Steered) {
	text := fmt.Sprintf("%s  %s by %s, for %s: it was in %s", at, plain(strings.ToLower(s.Act)), plain(s.By), list(s.Recipients), s.Lane)
	if s.To != "" {
		text += ", and goes to " + s.To
	}
	if s.RuleSetID != "" {
		text += ", through rule set " + s.RuleSetID
	}
	p.line(0, "%s", text)
}

func matches(yes bool) string {
	if yes {
		return "match"
	}
	return "no match"
}

// path is a reverse-path as it stands on the wire.
func path(reverse string) string { return "<" + plain(reverse) + ">" }

func list(addresses []string) string {
	safe := make([]string, len(addresses))
	for i, a := range addresses {
		safe[i] = plain(a)
	}
	return strings.Join(safe, ", ")
}

func quoted(values []string, between string) string {
	safe := make([]string, len(values))
	for i, v := range values {
		safe[i] = strconv.QuoteToGraphic(v)
	}
	return strings.Join(safe, between)
}

// plain is a text as it is when it stays on its line and shows what it is; else quoted. Characters that turn the
// direction of writing count as invisible.
func plain(text string) string {
	for _, r := range text {
		if !unicode.IsPrint(r) {
			return strconv.QuoteToGraphic(text)
		}
	}
	return text
}
