package rule

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
)

// model is the specification said naively: a list of recipients, each with the fields added for it and the number of its
// state. Mail Manager, section 4.1; Mail Manager, D1 to D7.
type model struct {
	message []*modelRecipient
	states  int
	header  string   // value of X-A in the message as received, or empty
	names   []string // common names of the client's certificate
	decide  outcomes
	steps   []taken
	matched [][]string // of each rule
}

type modelRecipient struct {
	address string
	state   int
	fields  []string // added, the newest first: name: value
	routed  bool
	ended   bool // STOP_RULE_SET
}

func (m *model) run(rules []mailmanager.Rule) {
	for i, r := range rules {
		var matched []*modelRecipient
		if len(m.alive()) == 0 {
			return
		}
		for _, to := range m.alive() {
			if m.applies(r, to) {
				matched = append(matched, to)
			}
		}
		m.matched = append(m.matched, modelAddresses(matched))
		for j, a := range r.Actions {
			matched = m.act(i, j, a, matched)
		}
	}
}

func (m *model) alive() []*modelRecipient {
	return slices.DeleteFunc(slices.Clone(m.message), func(r *modelRecipient) bool { return r.ended })
}

func modelAddresses(recipients []*modelRecipient) []string {
	var out []string
	for _, r := range recipients {
		out = append(out, r.address)
	}
	return out
}

func (m *model) applies(r mailmanager.Rule, to *modelRecipient) bool {
	holds := func(c mailmanager.RuleCondition) bool { return m.holds(c, to) }
	return !slices.ContainsFunc(r.Conditions, func(c mailmanager.RuleCondition) bool { return !holds(c) }) && !slices.ContainsFunc(r.Unless, holds)
}

func (m *model) holds(c mailmanager.RuleCondition, to *modelRecipient) bool {
	e := c.StringExpression
	if e == nil {
		return false // the others that are drawn cannot tell
	}
	elements := []string{to.address}
	if e.Evaluate.ClientCertificateAttribute != nil {
		elements = m.names
	}
	if e.Evaluate.MimeHeaderAttribute != nil {
		elements = nil
		for _, f := range to.fields {
			if value, ok := strings.CutPrefix(f, string(*e.Evaluate.MimeHeaderAttribute)+": "); ok {
				elements = append(elements, value)
			}
		}
		if m.header != "" && *e.Evaluate.MimeHeaderAttribute == "X-A" {
			elements = append(elements, m.header)
		}
	}
	any := slices.ContainsFunc(elements, func(element string) bool {
		return slices.ContainsFunc(e.Values, func(v mailmanager.RuleStringValue) bool {
			if *e.Operator == mailmanager.RuleStringOperatorContains {
				return strings.Contains(element, string(v))
			}
			return element == string(v)
		})
	})
	return any != (*e.Operator == mailmanager.RuleStringOperatorNotEquals)
}

// act does one action and returns those whom the rest of the rule is for.
func (m *model) act(rule, action int, a mailmanager.RuleAction, matched []*modelRecipient) []*modelRecipient {
	var states []int
	for _, r := range matched {
		if !slices.Contains(states, r.state) {
			states = append(states, r.state)
		}
	}
	var left []*modelRecipient
	for i, state := range states {
		in := slices.DeleteFunc(slices.Clone(matched), func(r *modelRecipient) bool { return r.state != state })
		switch {
		case a.Drop != nil:
			m.remove(in)
		case a.AddHeader != nil:
			m.states++
			for _, r := range in {
				r.state = m.states
				r.fields = append([]string{string(*a.AddHeader.HeaderName) + ": " + string(*a.AddHeader.HeaderValue)}, r.fields...)
			}
			left = append(left, in...)
		case a.ReplaceRecipient != nil:
			left = append(left, m.replace(in, a.ReplaceRecipient.ReplaceWith)...)
		default:
			left = append(left, m.step(rule, action, i, a, in)...)
		}
	}
	inMessage := func(r *modelRecipient) bool { return !slices.Contains(left, r) }
	return slices.DeleteFunc(slices.Clone(m.message), inMessage)
}

func (m *model) remove(gone []*modelRecipient) {
	m.message = slices.DeleteFunc(m.message, func(r *modelRecipient) bool { return slices.Contains(gone, r) })
}

func (m *model) replace(in []*modelRecipient, with []mailmanager.EmailAddress) []*modelRecipient {
	var added []*modelRecipient
	m.remove(in)
	routed := !slices.ContainsFunc(in, func(r *modelRecipient) bool { return !r.routed })
	for _, address := range with {
		same := func(r *modelRecipient) bool {
			return r.state == in[0].state && r.address == string(address) && !r.ended
		}
		if slices.ContainsFunc(m.message, same) {
			continue
		}
		r := &modelRecipient{address: string(address), state: in[0].state, fields: in[0].fields, routed: routed}
		m.message, added = append(m.message, r), append(added, r)
	}
	return added
}

func (m *model) step(rule, action, group int, a mailmanager.RuleAction, in []*modelRecipient) []*modelRecipient {
	head := ""
	for _, f := range in[0].fields {
		head += f + "\r\n"
	}
	s := Step{Rule: rule + 1, Action: action + 1, ActionName: ActionRelay, NodeNumber: group + 1}
	m.steps = append(m.steps, taken{s.Rule, s.Action, s.NodeNumber, s.ActionName, head, modelAddresses(in)})
	outcome := m.decide(s).Kind
	failed := outcome == OutcomeFailed
	if failed && mailmanager.Value(a.Relay.ActionFailurePolicy) == mailmanager.ActionFailurePolicyDrop {
		m.remove(in)
		return nil
	}
	for _, r := range in {
		r.routed = r.routed || !failed
		r.ended = r.ended || outcome == OutcomeStopRuleSet
	}
	if outcome == OutcomeStopRule || outcome == OutcomeStopRuleSet {
		return nil
	}
	return in
}

func (m *model) unrouted() []taken {
	var out []taken
	byState := map[int]int{}
	for _, r := range m.message {
		if r.routed {
			continue
		}
		i, known := byState[r.state]
		if !known {
			i = len(out)
			byState[r.state] = i
			head := ""
			for _, f := range r.fields {
				head += f + "\r\n"
			}
			out = append(out, taken{Head: head})
		}
		out[i].Recipients = append(out[i].Recipients, r.address)
	}
	return out
}

func drawRules(t *rapid.T) []mailmanager.Rule {
	address := rapid.SampledFrom([]string{"a@x", "b@x", "ab@x", "c@x"})
	condition := rapid.Custom(func(t *rapid.T) mailmanager.RuleCondition {
		operator := rapid.SampledFrom([]string{"EQUALS", "NOT_EQUALS", "CONTAINS"}).Draw(t, "operator")
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 3:
			return certificateCondition("CN", operator, rapid.SampledFrom([]string{"1", "2", "12"}).Draw(t, "value"))
		case 0:
			return stringCondition("X-A", operator, rapid.SampledFrom([]string{"1", "2", "12"}).Draw(t, "value"))
		case 1:
			return stringCondition("X-B", operator, rapid.SampledFrom([]string{"1", "2", "12"}).Draw(t, "value"))
		case 2:
			return listCondition("IS_FALSE")
		}
		return stringCondition("RECIPIENT", operator, rapid.SliceOfN(address, 1, 2).Draw(t, "values")...)
	})
	action := rapid.Custom(func(t *rapid.T) mailmanager.RuleAction {
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			return drop()
		case 1, 2, 3:
			name := rapid.SampledFrom([]string{"X-A", "X-B"}).Draw(t, "name")
			return addHeader(name, rapid.SampledFrom([]string{"1", "2", "12"}).Draw(t, "value"))
		case 4, 5:
			var with []mailmanager.EmailAddress
			for _, a := range rapid.SliceOfNDistinct(address, 1, 3, rapid.ID[string]).Draw(t, "with") {
				with = append(with, mailmanager.EmailAddress(a))
			}
			return replaceBy(with...)
		}
		if rapid.Bool().Draw(t, "drop") {
			return relay(mailmanager.ActionFailurePolicyDrop)
		}
		return relay()
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) mailmanager.Rule {
		return mailmanager.Rule{
			Conditions: rapid.SliceOfN(condition, 0, 2).Draw(t, "conditions"), Unless: rapid.SliceOfN(condition, 0, 2).Draw(t, "unless"),
			Actions: rapid.SliceOfN(action, 1, 4).Draw(t, "actions"),
		}
	}), 0, 6).Draw(t, "rules")
}

// drawOutcomes gives every step its own outcome, the same whenever it is asked.
func drawOutcomes(t *rapid.T) outcomes {
	kinds := rapid.SliceOfN(rapid.SampledFrom([]OutcomeKind{
		OutcomeSucceeded, OutcomeQueued, OutcomeQueued, OutcomeFailed, OutcomeFailed, OutcomeStopRule, OutcomeStopRuleSet,
	}), 11, 11).Draw(t, "outcomes")
	return func(s Step) Outcome {
		return Outcome{Kind: kinds[(s.Rule*7+s.Action*3+s.NodeNumber)%len(kinds)], Reason: "drawn"}
	}
}

// drawn is one case: rules, and all that they see.
type drawn struct {
	rules       []mailmanager.Rule
	recipients  []string
	header      string
	certificate *message.Certificate
	decide      outcomes
}

func drawCase(t *rapid.T) drawn {
	d := drawn{
		recipients: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a@x", "b@x", "ab@x", "d@x"}), 1, 4, rapid.ID[string]).Draw(t, "recipients"),
		header:     rapid.SampledFrom([]string{"", "1"}).Draw(t, "header"),
		rules:      drawRules(t), decide: drawOutcomes(t),
	}
	if rapid.Bool().Draw(t, "certificate") {
		d.certificate = &message.Certificate{CommonNames: rapid.SliceOfN(rapid.SampledFrom([]string{"1", "12"}), 0, 2).Draw(t, "names")}
	}
	return d
}

func (d drawn) facts() *Facts {
	header := "Subject: a\r\n\r\n"
	if d.header != "" {
		header = "Subject: a\r\nX-A: " + d.header + "\r\n\r\n"
	}
	f := factsOf(header)
	f.Certificate = d.certificate
	return f
}

func (d drawn) model() model {
	m := model{decide: d.decide, header: d.header}
	if d.certificate != nil {
		m.names = d.certificate.CommonNames
	}
	for _, r := range d.recipients {
		m.message = append(m.message, &modelRecipient{address: r})
	}
	return m
}

func TestEngineEqualsTheModel(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D1", "D7")
	rapid.Check(t, func(t *rapid.T) {
		d := drawCase(t)
		m := d.model()
		m.run(d.rules)
		s, err := Compile(d.rules)
		if err != nil {
			t.Fatal(err)
		}
		got := evaluate(s, d.facts(), recipientsOf(d.recipients...), d.decide)
		if diff := cmp.Diff(m.steps, got.Steps); diff != "" {
			t.Fatalf("steps, model and engine: %s", diff)
		}
		if diff := cmp.Diff(m.unrouted(), got.Unrouted); diff != "" {
			t.Fatalf("unrouted, model and engine: %s", diff)
		}
		var matched [][]string
		for _, r := range got.Reasons {
			matched = append(matched, r.Matched)
		}
		if diff := cmp.Diff(m.matched, matched); diff != "" {
			t.Fatalf("matched, model and engine: %s", diff)
		}
		checkReasons(t, d.rules, got)
	})
}

// checkReasons: every rule that ran has its reason, in order, and in each every recipient is either among the matched or
// ruled out by exactly one condition, or by one for everyone.
// The actions are those that were taken, with their recipients.
func checkReasons(t *rapid.T, rules []mailmanager.Rule, got result) {
	if diff := cmp.Diff(withoutState(got.Steps), outsideActions(got.Reasons)); diff != "" {
		t.Fatalf("steps, and what the reasons say of them: %s", diff)
	}
	for i, r := range got.Reasons {
		if r.Rule != i+1 || r.Resumed {
			t.Fatalf("reason %d is of rule %d", i+1, r.Rule)
		}
		seen := len(rules[i].Conditions) + len(rules[i].Unless)
		if len(r.Matched) > 0 && len(r.Conditions) < seen {
			t.Fatalf("rule %d matched and has %d reasons for %d conditions", r.Rule, len(r.Conditions), seen)
		}
		if len(r.Matched) == 0 && len(r.Conditions) == 0 {
			t.Fatalf("rule %d did not match and has no reason", r.Rule)
		}
		for _, c := range r.Conditions {
			if c.Attribute == "" || c.Operator == "" || len(c.Values) == 0 || c.Index == 0 {
				t.Fatalf("condition without its parts: %+v", c)
			}
		}
	}
}

// Going on from the encoded cursor after every step is the same as going straight through: with the same reasons, and with
// new ones in each process, which together have the same conditions.
func TestEncodedCursorGoesOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawCase(t)
		s, err := Compile(d.rules)
		if err != nil {
			t.Fatal(err)
		}
		f := d.facts()
		var root *message.Node
		if rapid.Bool().Draw(t, "root") {
			root = root.Remove(message.Range{From: 3, To: 4}).Add("X-B: 12\r\n")
		}
		straight := new(Cursor)
		straight.Reset(root, recipientsOf(d.recipients...))
		want := evaluateFrom(s, f, straight, d.decide)

		c, last := new(Cursor), Outcome{}
		c.Reset(root, recipientsOf(d.recipients...))
		var got result
		var kept, fresh Reasons
		var parts []Reason
		for {
			step, more := s.Next(c, f, last, &kept)
			if !more {
				break
			}
			got.Steps = append(got.Steps, takenOf(step))
			last = d.decide(step)
			encoded, err := c.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			c = new(Cursor)
			if err := s.Resume(c, encoded); err != nil {
				t.Fatal(err)
			}
			other := new(Cursor)
			if err := other.UnmarshalBinary(encoded); err != nil {
				t.Fatal(err)
			}
			if again, _ := other.AppendBinary(nil); string(again) != string(encoded) {
				t.Fatalf("got %x written again, want %x", again, encoded)
			}
			fresh.Reset()
			s.Next(other, f, last, &fresh)
			parts = append(parts, fresh.Explain(s, other, f)...)
		}
		got = got.finish(s, f, c, &kept)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("straight through, and by encoded cursors: %s", diff)
		}
		for _, part := range parts {
			if whole := want.Reasons[part.Rule-1]; !part.Resumed && cmp.Diff(whole.Conditions, part.Conditions) != "" {
				t.Fatalf("conditions of rule %d: %s", part.Rule, cmp.Diff(whole.Conditions, part.Conditions))
			} else if part.Resumed && len(part.Conditions) > 0 {
				t.Fatalf("conditions of rule %d again: %+v", part.Rule, part.Conditions)
			}
		}
	})
}

// Recipients that no rule applies to are left exactly as they were.
func TestUnmatchedRecipientsAreUntouched(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawCase(t)
		for i := range d.rules {
			d.rules[i].Unless = append(d.rules[i].Unless, stringCondition("RECIPIENT", "EQUALS", "bystander@x"))
		}
		s, err := Compile(d.rules)
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(d.recipients)).Draw(t, "at")
		with := recipientsOf(slices.Insert(slices.Clone(d.recipients), at, "bystander@x")...)
		with[at].Notify, with[at].Original = "DELAY", "rfc822;b@x"
		var c Cursor
		c.Reset(nil, with)
		got := evaluateFrom(s, d.facts(), &c, d.decide)
		for _, step := range got.Steps {
			if slices.Contains(step.Recipients, "bystander@x") {
				t.Fatalf("got step %+v", step)
			}
		}
		for _, g := range c.Unrouted() {
			for _, r := range g.Recipients {
				if r == with[at] && g.Node == nil {
					return
				}
			}
		}
		t.Fatalf("the bystander is not among the unrouted: %+v", got.Unrouted)
	})
}
