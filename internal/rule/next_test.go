package rule

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

func to(address string) []mailmanager.RuleCondition {
	return conditions(stringCondition("RECIPIENT", "EQUALS", address))
}

// outcomeFrom gives each step, named rule.action, its outcome; others are queued.
func outcomeFrom(kinds map[string]OutcomeKind) outcomes {
	return func(s Step) Outcome {
		if kind, ok := kinds[fmt.Sprintf("%d.%d", s.Rule, s.Action)]; ok {
			return Outcome{Kind: kind, Reason: "as the test says"}
		}
		return Outcome{Kind: OutcomeQueued}
	}
}

// steps is a short form: rule.action.node head recipients.
func steps(taken []taken) []string {
	var out []string
	for _, s := range taken {
		head := strings.ReplaceAll(strings.ReplaceAll(s.Head, "\r\n", ";"), "X-", "")
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d.%d.%d [%s] %s", s.Rule, s.Action, s.Node, head, strings.Join(s.Recipients, " "))))
	}
	return out
}

// withoutState is what a reason knows of steps too.
func withoutState(in []taken) []taken {
	var out []taken
	for _, s := range in {
		out = append(out, taken{Rule: s.Rule, Action: s.Action, Name: s.Name, Recipients: s.Recipients})
	}
	return out
}

// outsideActions are the steps as the reasons tell them.
func outsideActions(reasons []Reason) []taken {
	var out []taken
	for _, r := range reasons {
		for _, a := range r.Actions {
			if a.Name == ActionRelay {
				out = append(out, taken{Rule: r.Rule, Action: a.Action, Name: a.Name, Recipients: a.Recipients})
			}
		}
	}
	return out
}

func TestEngine(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D1", "D2", "D4", "D5", "D6", "D7")
	dropOnFailure := relay(mailmanager.ActionFailurePolicyDrop)
	tests := []struct {
		name     string
		rules    []mailmanager.Rule
		outcomes map[string]OutcomeKind
		steps    []string
		unrouted []string
	}{
		{
			name:  "every rule runs, not the first alone",
			rules: []mailmanager.Rule{{Actions: actions(relay())}, {Actions: actions(relay(), relay())}},
			steps: []string{"1.1.1 [] a@a b@b", "2.1.1 [] a@a b@b", "2.2.1 [] a@a b@b"},
		},
		{
			name:     "per recipient",
			rules:    []mailmanager.Rule{{Conditions: to("b@b"), Actions: actions(relay())}},
			steps:    []string{"1.1.1 [] b@b"},
			unrouted: []string{"0.0.0 [] a@a"},
		},
		{
			name:     "Unless alone",
			rules:    []mailmanager.Rule{{Unless: to("b@b"), Actions: actions(relay())}},
			steps:    []string{"1.1.1 [] a@a"},
			unrouted: []string{"0.0.0 [] b@b"},
		},
		{
			name:     "no rules",
			unrouted: []string{"0.0.0 [] a@a b@b"},
		},
		{
			name:  "Drop takes its recipients from later rules",
			rules: []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(drop())}, {Actions: actions(relay())}},
			steps: []string{"2.1.1 [] b@b"},
		},
		{
			name:  "D4 actions after Drop are skipped",
			rules: []mailmanager.Rule{{Actions: actions(drop(), relay(), addHeader("X-A", "1"))}, {Actions: actions(relay())}},
		},
		{
			name: "D1 an added field splits the message, once for each node, in order of first recipient",
			rules: []mailmanager.Rule{
				{Conditions: to("b@b"), Actions: actions(addHeader("X-A", "1"))}, {Actions: actions(relay())},
				{Actions: actions(addHeader("X-B", "2"), relay())},
			},
			steps: []string{"2.1.1 [] a@a", "2.1.2 [A: 1;] b@b", "3.2.1 [B: 2;] a@a", "3.2.2 [B: 2;A: 1;] b@b"},
		},
		{
			name: "conditions see added fields, whose values are decoded",
			rules: []mailmanager.Rule{
				{Conditions: to("b@b"), Actions: actions(addHeader("X-A", "Grüße"))},
				{Conditions: conditions(stringCondition("X-A", "EQUALS", "grÜße")), Actions: actions(relay())},
				{Conditions: conditions(stringCondition("X-A", "NOT_EQUALS", "grüße")), Actions: actions(relay())},
			},
			steps: []string{"2.1.1 [A: =?utf-8?b?R3LDvMOfZQ==?=;] b@b", "3.1.1 [] a@a"},
		},
		{
			name: "D2 later conditions see the new recipients",
			rules: []mailmanager.Rule{
				{Conditions: to("a@a"), Actions: actions(replaceBy("c@c", "d@d"), relay())},
				{Conditions: to("a@a"), Actions: actions(relay())}, {Conditions: to("d@d"), Actions: actions(relay())},
			},
			steps:    []string{"1.2.1 [] c@c d@d", "3.1.1 [] d@d"},
			unrouted: []string{"0.0.0 [] b@b"},
		},
		{
			name:  "D2 several recipients collapse into one replacement, duplicates merge",
			rules: []mailmanager.Rule{{Actions: actions(replaceBy("c@c", "C@c", "c@C"), relay())}},
			steps: []string{"1.2.1 [] c@c C@c"},
		},
		{
			name:  "D2 a replacement that is a recipient already is not added",
			rules: []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(replaceBy("b@B", "c@c"))}, {Actions: actions(relay())}},
			steps: []string{"2.1.1 [] b@b c@c"},
		},
		{
			name: "D2 the same address in two nodes is two deliveries",
			rules: []mailmanager.Rule{
				{Conditions: to("a@a"), Actions: actions(addHeader("X-A", "1"))}, {Actions: actions(replaceBy("c@c"))}, {Actions: actions(relay())},
			},
			steps: []string{"3.1.1 [A: 1;] c@c", "3.1.2 [] c@c"},
		},
		{
			name:  "a recipient replaced by itself stays",
			rules: []mailmanager.Rule{{Actions: actions(replaceBy("a@a", "b@b"))}, {Actions: actions(relay())}},
			steps: []string{"2.1.1 [] a@a b@b"},
		},
		{
			name:     "D5 CONTINUE goes on with the next action",
			rules:    []mailmanager.Rule{{Actions: actions(relay(), addHeader("X-A", "1"), relay())}},
			outcomes: map[string]OutcomeKind{"1.1": OutcomeFailed},
			steps:    []string{"1.1.1 [] a@a b@b", "1.3.1 [A: 1;] a@a b@b"},
		},
		{
			name:     "D7 failed is not routed",
			rules:    []mailmanager.Rule{{Actions: actions(relay(), addHeader("X-A", "1"))}, {Conditions: to("b@b"), Actions: actions(relay())}},
			outcomes: map[string]OutcomeKind{"1.1": OutcomeFailed},
			steps:    []string{"1.1.1 [] a@a b@b", "2.1.1 [A: 1;] b@b"},
			unrouted: []string{"0.0.0 [A: 1;] a@a"},
		},
		{
			name:     "D5 DROP takes the recipients and routes them",
			rules:    []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(dropOnFailure, relay())}, {Actions: actions(relay())}},
			outcomes: map[string]OutcomeKind{"1.1": OutcomeFailed},
			steps:    []string{"1.1.1 [] a@a", "2.1.1 [] b@b"},
		},
		{
			name:     "E12 STOP_RULE skips the rest of the rule",
			rules:    []mailmanager.Rule{{Actions: actions(relay(), relay(), addHeader("X-A", "1"))}, {Actions: actions(relay())}},
			outcomes: map[string]OutcomeKind{"1.1": OutcomeStopRule, "2.1": OutcomeFailed},
			steps:    []string{"1.1.1 [] a@a b@b", "2.1.1 [] a@a b@b"},
		},
		{
			name:     "E12 STOP_RULE_SET ends it for the recipients, which count as routed",
			rules:    []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(relay(), relay())}, {Actions: actions(relay())}},
			outcomes: map[string]OutcomeKind{"1.1": OutcomeStopRuleSet, "2.1": OutcomeFailed},
			steps:    []string{"1.1.1 [] a@a", "2.1.1 [] b@b"},
			unrouted: []string{"0.0.0 [] b@b"},
		},
		{
			name:     "D7 a field added and a recipient replaced are not routes",
			rules:    []mailmanager.Rule{{Actions: actions(addHeader("X-A", "1"), replaceBy("c@c"))}},
			unrouted: []string{"0.0.0 [A: 1;] c@c"},
		},
		{
			name:  "a replacement of routed recipients is routed",
			rules: []mailmanager.Rule{{Actions: actions(relay(), replaceBy("c@c"))}},
			steps: []string{"1.1.1 [] a@a b@b"},
		},
		{
			name:     "a replacement of recipients of which one is not routed is not",
			rules:    []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(relay())}, {Actions: actions(replaceBy("c@c"))}},
			steps:    []string{"1.1.1 [] a@a"},
			unrouted: []string{"0.0.0 [] c@c"},
		},
		{
			name:     "unrouted by node, in order of first recipient",
			rules:    []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(addHeader("X-A", "1"))}},
			unrouted: []string{"0.0.0 [A: 1;] a@a", "0.0.0 [] b@b"},
		},
		{
			name: "a replacement is not merged with a recipient whose rules have ended",
			rules: []mailmanager.Rule{
				{Conditions: to("a@a"), Actions: actions(relay())}, {Actions: actions(replaceBy("a@a"), relay())},
			},
			outcomes: map[string]OutcomeKind{"1.1": OutcomeStopRuleSet},
			steps:    []string{"1.1.1 [] a@a", "2.2.1 [] a@a"},
		},
		{
			name:     "a recipient dropped by a failure is not with its node's other recipients",
			rules:    []mailmanager.Rule{{Conditions: to("a@a"), Actions: actions(addHeader("X-A", "1"))}, {Actions: actions(dropOnFailure, relay())}},
			outcomes: map[string]OutcomeKind{"2.1": OutcomeFailed},
			steps:    []string{"2.1.1 [A: 1;] a@a", "2.1.2 [] b@b"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := evaluate(compile(t, tt.rules...), factsOf(""), recipientsOf("a@a", "b@b"), outcomeFrom(tt.outcomes))
			if diff := cmp.Diff(tt.steps, steps(got.Steps)); diff != "" {
				t.Errorf("steps: %s", diff)
			}
			if diff := cmp.Diff(tt.unrouted, steps(got.Unrouted)); diff != "" {
				t.Errorf("unrouted: %s", diff)
			}
			if diff := cmp.Diff(withoutState(got.Steps), outsideActions(got.Reasons)); diff != "" {
				t.Errorf("steps, and what the reasons say of them: %s", diff)
			}
		})
	}
}

// The first original's NOTIFY and ORCPT go with the replacement. Mail Manager, D2.
func TestReplacementKeepsDeliveryStatusParameters(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D2")
	recipients := recipientsOf("a@a", "b@b")
	recipients[0].Notify, recipients[0].Original = "FAILURE", "rfc822;a@a"
	recipients[1].Notify, recipients[1].Original = "NEVER", "rfc822;b@b"
	s := compile(t, mailmanager.Rule{Actions: actions(replaceBy("c@c", "d@d"), relay())})
	var c Cursor
	c.Reset(nil, recipients)
	step, more := s.Next(&c, factsOf(""), Outcome{}, &Reasons{})
	if !more || len(step.Recipients) != 2 {
		t.Fatalf("got %+v, %v", step, more)
	}
	for _, r := range step.Recipients {
		if r.Notify != "FAILURE" || r.Original != "rfc822;a@a" {
			t.Errorf("got %+v", r)
		}
	}
	if got := step.Recipients[0].Path; got.Local != "c" || got.Domain != "c" || got.Received != "c@c" {
		t.Errorf("got path %+v", got)
	}
}

// Every action of the API has its name, its failure policy and its place in Step.
func TestActionNames(t *testing.T) {
	t.Parallel()
	dropped := mailmanager.Ptr(mailmanager.ActionFailurePolicyDrop)
	tests := map[string]mailmanager.RuleAction{
		ActionRelay: relay(*dropped), ActionArchive: {Archive: &mailmanager.ArchiveAction{ActionFailurePolicy: dropped}},
		ActionWriteToS3: {WriteToS3: &mailmanager.S3Action{ActionFailurePolicy: dropped}}, ActionSend: {Send: &mailmanager.SendAction{ActionFailurePolicy: dropped}},
		ActionDeliverToMailbox:   {DeliverToMailbox: &mailmanager.DeliverToMailboxAction{ActionFailurePolicy: dropped}},
		ActionDeliverToQBusiness: {DeliverToQBusiness: &mailmanager.DeliverToQBusinessAction{ActionFailurePolicy: dropped}},
		ActionPublishToSns:       {PublishToSns: &mailmanager.SnsAction{ActionFailurePolicy: dropped}},
		ActionBounce:             {Bounce: &mailmanager.BounceAction{ActionFailurePolicy: dropped}},
		ActionInvokeLambda:       {InvokeLambda: &mailmanager.InvokeLambdaAction{ActionFailurePolicy: dropped}},
	}
	for name, action := range tests {
		s := compile(t, mailmanager.Rule{Name: mailmanager.Ptr(mailmanager.RuleName("the rule")), Actions: actions(action)})
		var c Cursor
		c.Reset(nil, recipientsOf("a@a"))
		step, _ := s.Next(&c, factsOf(""), Outcome{}, &Reasons{})
		if step.ActionName != name || step.Do.Name != name || step.Do.OnFailure != *dropped || step.RuleName != "the rule" || cmp.Diff(step.Do.RuleAction, action) != "" {
			t.Errorf("%s: got %+v", name, step)
		}
	}
	if a, err := compileAction("", relay()); err != nil || a.OnFailure != mailmanager.ActionFailurePolicyContinue {
		t.Errorf("got %v, %v, want CONTINUE by default", a.OnFailure, err)
	}
}

// A step whose outcome is not known is returned again.
func TestStepIsRepeated(t *testing.T) {
	t.Parallel()
	s := compile(t, mailmanager.Rule{Actions: actions(addHeader("X-A", "1"), relay(), relay())})
	var c Cursor
	var r Reasons
	f := factsOf("")
	c.Reset(nil, recipientsOf("a@a", "b@b"))
	first, _ := s.Next(&c, f, Outcome{}, &r)
	again, more := s.Next(&c, f, Outcome{}, &r)
	if diff := cmp.Diff(takenOf(first), takenOf(again)); diff != "" || !more {
		t.Errorf("got another step: %s", diff)
	}
	if next, _ := s.Next(&c, f, Outcome{Kind: OutcomeQueued}, &r); next.Action != 3 {
		t.Errorf("got action %d after it, want 3", next.Action)
	}
	if _, more := s.Next(&c, f, Outcome{Kind: OutcomeQueued}, &r); more {
		t.Error("got a step after the last")
	}
	if _, more := s.Next(&c, f, Outcome{Kind: OutcomeQueued}, &r); more || len(r.Explain(s, &c, f)) != 1 {
		t.Error("asking again after the end changes something")
	}
}

// S17: rules that split and multiply recipients come to an end, and what they leave is unrouted, not lost.
func TestPlacesAreBounded(t *testing.T) {
	t.Parallel()
	var many []mailmanager.EmailAddress
	for i := range 100 {
		many = append(many, mailmanager.EmailAddress(fmt.Sprintf("r%d@x", i)))
	}
	var rules []mailmanager.Rule
	for i := range 20 {
		rules = append(rules,
			mailmanager.Rule{Conditions: to(fmt.Sprintf("r%d@x", i)), Actions: actions(addHeader("X-A", fmt.Sprint(i)))},
			mailmanager.Rule{Actions: actions(replaceBy(many...))})
	}
	s := compile(t, append(rules, mailmanager.Rule{Actions: actions(addHeader("X-B", "1"), relay())})...)
	var c Cursor
	c.Reset(nil, recipientsOf("a@a"))
	got := evaluateFrom(s, factsOf(""), &c, always(OutcomeQueued))
	if len(c.places) > maxPlaces || len(c.nodes) > maxPlaces || len(c.places) < maxPlaces/2 {
		t.Errorf("got %d places and %d nodes", len(c.places), len(c.nodes))
	}
	left := 0
	for _, g := range got.Unrouted {
		left += len(g.Recipients)
	}
	last := got.Reasons[len(got.Reasons)-1]
	done := last.Actions[len(last.Actions)-1]
	if left < 100 || len(got.Steps) != 0 || done.Outcome != "FAILED" || done.Why != whyTooMany || len(done.Recipients) != left {
		t.Errorf("got %d left, %d steps, and at the end %s %q", left, len(got.Steps), done.Outcome, done.Why)
	}
	if b, _ := c.AppendBinary(nil); s.Resume(new(Cursor), b) != nil {
		t.Error("the fullest cursor cannot be read back")
	}
}

func TestNodesAreBounded(t *testing.T) {
	t.Parallel()
	s := compile(t, mailmanager.Rule{Actions: actions(addHeader("X-B", "1"), relay())})
	var c Cursor
	c.Reset(nil, recipientsOf("a@a"))
	for len(c.nodes) < maxPlaces {
		c.nodes = append(c.nodes, node{(*message.Node)(nil).Add("X-A: 1\r\n"), 0})
	}
	got := evaluateFrom(s, factsOf(""), &c, always(OutcomeQueued))
	if len(got.Unrouted) != 1 || len(got.Steps) != 0 || len(c.nodes) > maxPlaces {
		t.Errorf("got %+v", got)
	}
}

// A cursor's memory does not bring anything of one message into the next.
func TestResetForgets(t *testing.T) {
	t.Parallel()
	s := compile(t,
		mailmanager.Rule{Conditions: conditions(stringCondition("X-A", "EQUALS", "one")), Actions: actions(addHeader("X-B", "1"))},
		mailmanager.Rule{Conditions: to("a@a"), Actions: actions(relay())})
	var c Cursor
	f := factsOf("X-A: one\r\n")
	for i, header := range []string{"X-A: one\r\n", "X-A: two\r\n", "X-A: one\r\n"} {
		*f = *factsOf(header) // the same memory for other facts
		c.Reset(nil, recipientsOf([]string{"a@a", "b@b", "a@a"}[i]))
		got := evaluateFrom(s, f, &c, always(OutcomeQueued))
		fresh := evaluate(s, factsOf(header), recipientsOf([]string{"a@a", "b@b", "a@a"}[i]), always(OutcomeQueued))
		if diff := cmp.Diff(fresh, got); diff != "" {
			t.Errorf("message %d: %s", i, diff)
		}
	}
}

func TestExplainAgain(t *testing.T) {
	t.Parallel()
	s := compile(t,
		mailmanager.Rule{Conditions: conditions(stringCondition("SUBJECT", "EQUALS", "a")), Actions: actions(relay())},
		mailmanager.Rule{Conditions: to("a@a"), Actions: actions(relay())},
		mailmanager.Rule{Conditions: to("a@a"), Unless: conditions(stringCondition("MAIL_FROM", "EQUALS", "b")), Actions: actions(relay())})
	var c Cursor
	var r Reasons
	f := factsOf("Subject: b\r\n")
	c.Reset(nil, recipientsOf("a@a"))
	s.Next(&c, f, Outcome{}, &r)
	once := r.Explain(s, &c, f)
	other := *factsOf("Subject: b\r\nX-A: c\r\n") // elsewhere: what was derived is derived again
	other.ReversePath = "a longer one than before"
	if diff := cmp.Diff(once, r.Explain(s, &c, &other)); diff != "" {
		t.Error(diff)
	}
	if step, more := s.Next(&c, f, Outcome{Kind: OutcomeQueued}, &r); !more || step.Rule != 3 {
		t.Errorf("got step %+v, %v after it", step, more)
	}
	r.Reset()
	if got := r.Explain(s, &c, f); len(got) != 0 || r.CannotTell() != 0 {
		t.Errorf("got %v after Reset", got)
	}
}

// S18: a condition that every recipient meets with another value fills no more of a trace than 100 values.
func TestReasonsOfManyNodesAreBounded(t *testing.T) {
	t.Parallel()
	const many = 150
	var addresses []string
	for i := range many {
		addresses = append(addresses, fmt.Sprintf("r%d@x", i))
	}
	for operator, matched := range map[string]int{"EQUALS": 0, "NOT_EQUALS": many} {
		s := compile(t, mailmanager.Rule{Conditions: conditions(stringCondition("X-A", operator, "z")), Actions: actions(relay())})
		var c Cursor
		c.Reset(nil, recipientsOf(addresses...))
		for i := range c.places {
			c.nodes = append(c.nodes, node{(*message.Node)(nil).Add(message.AddedField(fmt.Sprintf("X-A: %d\r\n", i))), 0})
			c.places[i].node = i + 1
		}
		reason := evaluateFrom(s, factsOf(""), &c, always(OutcomeQueued)).Reasons[0]
		concerned := 0
		for i, cond := range reason.Conditions {
			concerned += len(cond.Recipients)
			if cond.Seen[0] != fmt.Sprint(i) {
				t.Errorf("%s: condition %d saw %q", operator, i, cond.Seen)
			}
		}
		if len(reason.Conditions) != maxNodeReasons || len(reason.Matched) != matched || concerned != many-matched {
			t.Errorf("%s: got %d reasons, %d matched, %d concerned", operator, len(reason.Conditions), len(reason.Matched), concerned)
		}
	}
}

// halfBlind is a condition on recipients that can be told for none but the first.
type halfBlind struct{}

func (halfBlind) of(_ *Cursor, at int) match.Result {
	if at == 0 {
		return match.NoMatch
	}
	return match.CannotTell
}

func (halfBlind) seen(*Cursor, int) []string { return nil }

// "Cannot tell" is never quietly "no match", whatever a condition distinguishes.
func TestCannotTellOfEachRecipient(t *testing.T) {
	t.Parallel()
	s := compile(t, mailmanager.Rule{Unless: to("x@x"), Actions: actions(relay())})
	s.rules[0].conditions[0].test, s.rules[0].conditions[0].why = halfBlind{}, "the test says so"
	for _, unless := range []int{0, 1} { // the condition is one of Unless, or of Conditions
		s.rules[0].unless = unless
		got := evaluate(s, factsOf(""), recipientsOf("a@a", "b@b", "c@c"), always(OutcomeQueued))
		i := slices.IndexFunc(got.Reasons[0].Conditions, func(c Condition) bool { return c.Result == match.CannotTell })
		if i < 0 {
			t.Fatalf("unless %d: got %+v", unless, got.Reasons)
		}
		c := got.Reasons[0].Conditions[i]
		if strings.Join(c.Recipients, " ") != "b@b c@c" || c.Why != "the test says so" || len(got.Reasons[0].Matched) != 3*(1-unless) {
			t.Errorf("unless %d: got %+v, %d matched", unless, c, len(got.Reasons[0].Matched))
		}
	}
}
