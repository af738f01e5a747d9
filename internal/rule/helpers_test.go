package rule

import (
	"net/netip"
	"strings"
	"testing"

	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/smtp"
)

// The API's rules are all pointers; these make them readable.

func stringCondition(attribute, operator string, values ...string) mailmanager.RuleCondition {
	e := &mailmanager.RuleStringExpression{
		Evaluate: &mailmanager.RuleStringToEvaluate{}, Operator: mailmanager.Ptr(mailmanager.RuleStringOperator(operator)),
	}
	if strings.HasPrefix(attribute, "X-") {
		e.Evaluate.MimeHeaderAttribute = mailmanager.Ptr(mailmanager.MimeHeaderAttribute(attribute))
	} else {
		e.Evaluate.Attribute = mailmanager.Ptr(mailmanager.RuleStringEmailAttribute(attribute))
	}
	for _, v := range values {
		e.Values = append(e.Values, mailmanager.RuleStringValue(v))
	}
	return mailmanager.RuleCondition{StringExpression: e}
}

func certificateCondition(attribute mailmanager.RuleClientCertificateAttribute, operator string, values ...string) mailmanager.RuleCondition {
	c := stringCondition("", operator, values...)
	c.StringExpression.Evaluate = &mailmanager.RuleStringToEvaluate{ClientCertificateAttribute: &attribute}
	return c
}

func sourceCondition(operator string, values ...mailmanager.RuleIpStringValue) mailmanager.RuleCondition {
	return mailmanager.RuleCondition{IpExpression: &mailmanager.RuleIpExpression{
		Evaluate: &mailmanager.RuleIpToEvaluate{Attribute: mailmanager.Ptr(mailmanager.RuleIpEmailAttributeSourceIp)},
		Operator: mailmanager.Ptr(mailmanager.RuleIpOperator(operator)), Values: values,
	}}
}

func sizeCondition(operator string, value float64) mailmanager.RuleCondition {
	return mailmanager.RuleCondition{NumberExpression: &mailmanager.RuleNumberExpression{
		Evaluate: &mailmanager.RuleNumberToEvaluate{Attribute: mailmanager.Ptr(mailmanager.RuleNumberEmailAttributeMessageSize)},
		Operator: mailmanager.Ptr(mailmanager.RuleNumberOperator(operator)), Value: &value,
	}}
}

func booleanCondition(attribute, operator string) mailmanager.RuleCondition {
	return mailmanager.RuleCondition{BooleanExpression: &mailmanager.RuleBooleanExpression{
		Evaluate: &mailmanager.RuleBooleanToEvaluate{Attribute: mailmanager.Ptr(mailmanager.RuleBooleanEmailAttribute(attribute))},
		Operator: mailmanager.Ptr(mailmanager.RuleBooleanOperator(operator)),
	}}
}

func verdictCondition(attribute mailmanager.RuleVerdictAttribute, operator string) mailmanager.RuleCondition {
	return mailmanager.RuleCondition{VerdictExpression: &mailmanager.RuleVerdictExpression{
		Evaluate: &mailmanager.RuleVerdictToEvaluate{Attribute: &attribute},
		Operator: mailmanager.Ptr(mailmanager.RuleVerdictOperator(operator)), Values: []mailmanager.RuleVerdict{"PASS"},
	}}
}

func dmarcCondition(operator string) mailmanager.RuleCondition {
	return mailmanager.RuleCondition{DmarcExpression: &mailmanager.RuleDmarcExpression{
		Operator: mailmanager.Ptr(mailmanager.RuleDmarcOperator(operator)), Values: []mailmanager.RuleDmarcPolicy{"REJECT"},
	}}
}

var analysis = &mailmanager.Analysis{
	Analyzer:    mailmanager.Ptr(mailmanager.AnalyzerArn("arn:aws:ses:us-east-1:1:addon-instance/ai-1")),
	ResultField: mailmanager.Ptr(mailmanager.ResultField("isPassed")),
}

// listCondition asks whether FROM is in a list.
func listCondition(operator string) mailmanager.RuleCondition {
	return inListCondition("FROM", operator)
}

func inListCondition(attribute mailmanager.RuleAddressListEmailAttribute, operator string) mailmanager.RuleCondition {
	c := booleanCondition("", operator)
	c.BooleanExpression.Evaluate = &mailmanager.RuleBooleanToEvaluate{IsInAddressList: &mailmanager.RuleIsInAddressList{
		Attribute: mailmanager.Ptr(attribute), AddressLists: []mailmanager.AddressListArn{listARN},
	}}
	return c
}

const listARN = "arn:aws:ses:us-east-1:1:mailmanager-address-list/al-1"

// lists are address lists by their ARNs.
type lists map[string]*addresslist.List

func (l lists) AddressList(idOrARN string) (*addresslist.List, bool) {
	list, ok := l[idOrARN]
	return list, ok
}

// listOf is the one list that there is.
func listOf(t testing.TB, members ...string) lists {
	t.Helper()
	l := addresslist.New()
	for _, text := range members {
		e, err := addresslist.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(e)
	}
	return lists{listARN: l}
}

func relay(policy ...mailmanager.ActionFailurePolicy) mailmanager.RuleAction {
	a := &mailmanager.RelayAction{Relay: mailmanager.Ptr(mailmanager.IdOrArn("r-1"))}
	if len(policy) > 0 {
		a.ActionFailurePolicy = &policy[0]
	}
	return mailmanager.RuleAction{Relay: a}
}

func drop() mailmanager.RuleAction {
	return mailmanager.RuleAction{Drop: &mailmanager.DropAction{}}
}

func addHeader(name, value string) mailmanager.RuleAction {
	return mailmanager.RuleAction{AddHeader: &mailmanager.AddHeaderAction{
		HeaderName: mailmanager.Ptr(mailmanager.HeaderName(name)), HeaderValue: mailmanager.Ptr(mailmanager.HeaderValue(value)),
	}}
}

func replaceBy(addresses ...mailmanager.EmailAddress) mailmanager.RuleAction {
	return mailmanager.RuleAction{ReplaceRecipient: &mailmanager.ReplaceRecipientAction{ReplaceWith: addresses}}
}

func conditions(c ...mailmanager.RuleCondition) []mailmanager.RuleCondition { return c }

func actions(a ...mailmanager.RuleAction) []mailmanager.RuleAction { return a }

func compile(t testing.TB, rules ...mailmanager.Rule) *Set {
	t.Helper()
	s, err := Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// recipientsOf are recipients with their addresses.
func recipientsOf(addresses ...string) []message.Recipient {
	var out []message.Recipient
	for _, a := range addresses {
		local, domain, _ := strings.Cut(a, "@")
		out = append(out, message.Recipient{Path: smtp.Path{Received: a, Local: local, Domain: domain}})
	}
	return out
}

func addressesOf(recipients []message.Recipient) []string {
	var out []string
	for _, r := range recipients {
		out = append(out, r.Path.Received)
	}
	return out
}

func factsOf(header string) *Facts {
	return &Facts{
		ReversePath: "jo@example.org", Hello: "mail.example.org", Client: netip.MustParseAddr("192.0.2.1"), Size: 1000, Header: []byte(header),
	}
}

// taken is a step as tests see it.
type taken struct {
	Rule, Action, Node int
	Name               string
	Head               string // what stands before the content
	Recipients         []string
}

func takenOf(s Step) taken {
	return taken{s.Rule, s.Action, s.NodeNumber, s.ActionName, s.Node.Head(""), addressesOf(s.Recipients)}
}

// result is all that an evaluation came to.
type result struct {
	Steps    []taken
	Unrouted []taken
	Reasons  []Reason
}

// outcomes says what becomes of a step.
type outcomes func(Step) Outcome

func always(kind OutcomeKind) outcomes {
	return func(Step) Outcome { return Outcome{Kind: kind, Reason: "as the test says"} }
}

// evaluate runs a set to its end.
func evaluate(s *Set, f *Facts, recipients []message.Recipient, decide outcomes) result {
	var c Cursor
	c.Reset(nil, recipients)
	return evaluateFrom(s, f, &c, decide)
}

func evaluateFrom(s *Set, f *Facts, c *Cursor, decide outcomes) result {
	var out result
	var r Reasons
	var last Outcome
	for {
		step, more := s.Next(c, f, last, &r)
		if !more {
			break
		}
		out.Steps = append(out.Steps, takenOf(step))
		last = decide(step)
	}
	return out.finish(s, f, c, &r)
}

func (out result) finish(s *Set, f *Facts, c *Cursor, r *Reasons) result {
	for _, g := range c.Unrouted() {
		out.Unrouted = append(out.Unrouted, taken{Head: g.Node.Head(""), Recipients: addressesOf(g.Recipients)})
	}
	out.Reasons = r.Explain(s, c, f)
	return out
}
