package rule

import (
	"fmt"
	"math"
	"net/netip"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
)

// Set is a compiled rule set. It never changes and may be used by many goroutines at once.
type Set struct {
	rules    []compiledRule
	operands []operand
	headers  map[string]int // lower-case field name → operand
}

type compiledRule struct {
	name       string
	conditions []condition // all Conditions, then all Unless
	unless     int         // index of the first Unless
	actions    []Action
}

// condition is a test, whom it distinguishes, and what a reason says of it.
type condition struct {
	attribute string
	operator  string
	values    []string // cut for display
	why       string   // why it cannot tell, when that is its result
	scope     scope
	test      test
}

// scope says what a condition can distinguish.
type scope uint8

const (
	scopeMessage   scope = iota // one result for all recipients
	scopeNode                   // one for each state node: fields that AddHeader can add
	scopeRecipient              // one for each recipient
)

// What is wrong with a value.
const (
	whyOne       = "Member must have length equal to 1"
	whyUnion     = "Member must have exactly one supported key"
	whyOperator  = "Member must be an operator of this expression"
	whyAttribute = "Member must be an attribute of this expression"
	whyEmpty     = "Member must have length greater than or equal to 1"
)

// Why conditions cannot tell; each is then false in both senses (Mail Manager, D20).
const (
	whyNoVerdicts = "SPF and DKIM verdicts are not available"
	whyNoDMARC    = "DMARC results are not available"
	whyNoList     = "the address list does not exist"
	whyNoAddons   = "add-ons are not available"
	whyNoClient   = "the client's address is not known"
)

// Compile makes a Set from the API's rules. The error is a ValidationException that names the path of the value that
// cannot be used, and not the value. The rules must not be changed afterwards.
func Compile(rules []mailmanager.Rule) (*Set, error) {
	s := &Set{headers: map[string]int{}}
	for i, listed := range rules {
		path := fmt.Sprintf("rules.%d.member", i+1)
		r := compiledRule{name: string(mailmanager.Value(listed.Name)), unless: len(listed.Conditions)}
		for j, c := range listed.Conditions {
			if err := s.compileInto(&r, fmt.Sprintf("%s.conditions.%d.member", path, j+1), c); err != nil {
				return nil, err
			}
		}
		for j, c := range listed.Unless {
			if err := s.compileInto(&r, fmt.Sprintf("%s.unless.%d.member", path, j+1), c); err != nil {
				return nil, err
			}
		}
		for j, api := range listed.Actions {
			a, err := compileAction(fmt.Sprintf("%s.actions.%d.member", path, j+1), api)
			if err != nil {
				return nil, err
			}
			r.actions = append(r.actions, a)
		}
		s.rules = append(s.rules, r)
	}
	return s, nil
}

// Len is the number of rules.
func (s *Set) Len() int { return len(s.rules) }

func (s *Set) compileInto(r *compiledRule, path string, api mailmanager.RuleCondition) error {
	c, err := s.compileCondition(path, api)
	if err != nil {
		return err
	}
	c.values = forDisplay(c.values)
	r.conditions = append(r.conditions, c)
	return nil
}

func (s *Set) compileCondition(path string, api mailmanager.RuleCondition) (condition, error) {
	switch {
	case api.StringExpression != nil:
		return s.compileString(path+".stringExpression", api.StringExpression)
	case api.BooleanExpression != nil:
		return s.compileBoolean(path+".booleanExpression", api.BooleanExpression)
	case api.NumberExpression != nil:
		return compileNumber(path+".numberExpression", api.NumberExpression)
	case api.IpExpression != nil:
		return compileNetworks(path+".ipExpression", api.IpExpression)
	case api.VerdictExpression != nil:
		return compileVerdict(path+".verdictExpression", api.VerdictExpression)
	case api.DmarcExpression != nil:
		e := api.DmarcExpression
		return blind("DMARC_POLICY", string(mailmanager.Value(e.Operator)), texts(e.Values), whyNoDMARC), nil
	}
	return condition{}, match.Invalid(path, whyUnion)
}

// blind is a condition whose answer is not to be had.
func blind(attribute, operator string, values []string, why string) condition {
	return condition{attribute: attribute, operator: operator, values: values, why: why, test: blindTest{}}
}

// addon is a condition that asks an add-on. Mail Manager, F16.
func addon(path string, a *mailmanager.Analysis, operator string, values []string) (condition, error) {
	return blind(attributeAddon, operator, values, whyNoAddons), match.ResultField(path+".evaluate.analysis", a.ResultField)
}

func (s *Set) compileString(path string, e *mailmanager.RuleStringExpression) (condition, error) {
	values, operator := texts(e.Values), string(mailmanager.Value(e.Operator))
	to := mailmanager.Value(e.Evaluate)
	switch {
	case len(values) == 0:
		return condition{}, match.Invalid(path+".values", whyEmpty)
	case to.Analysis != nil:
		return addon(path, to.Analysis, operator, values)
	}
	c := condition{operator: operator, values: values}
	o, ok := c.operandOf(to)
	if !ok {
		return c, match.Invalid(path+".evaluate", whyAttribute)
	}
	strings, ok := match.NewStrings(operator, comparedValues(o, values), o.folding)
	if !ok {
		return c, match.Invalid(path+".operator", whyOperator)
	}
	if o.recipient {
		c.scope, c.test = scopeRecipient, &recipientTest{strings}
		return c, nil
	}
	c.test = &stringTest{strings, s.operand(o)}
	return c, nil
}

// operandOf returns the operand that a string condition asks for, and notes its name and scope. ok is false when there is
// none.
func (c *condition) operandOf(to mailmanager.RuleStringToEvaluate) (o operand, ok bool) {
	switch {
	case to.MimeHeaderAttribute != nil:
		c.attribute, c.scope = string(*to.MimeHeaderAttribute), scopeNode
		return operand{header: lower(c.attribute), folding: match.FoldUnicode}, len(c.attribute) <= maxHeaderNameOctets
	case to.ClientCertificateAttribute != nil:
		c.attribute = attributeCertificate + string(*to.ClientCertificateAttribute)
		folding, ok := certificateFoldings[*to.ClientCertificateAttribute]
		return operand{certificate: *to.ClientCertificateAttribute, folding: folding}, ok
	}
	c.attribute = string(mailmanager.Value(to.Attribute))
	o, ok = attributeOperands[mailmanager.Value(to.Attribute)]
	return o, ok
}

// Comparison is how the values of a string attribute are compared.
type Comparison struct {
	Attribute string // as reasons name it
	Folding   match.Folding
	Single    bool // it always has exactly one value; others may have none or several
}

// ComparisonOf returns how the values of what a string condition asks for are compared. ok is false where that takes more
// than folding, or no value is to be had.
func ComparisonOf(to mailmanager.RuleStringToEvaluate) (_ Comparison, ok bool) {
	var c condition
	o, ok := c.operandOf(to)
	single := o.recipient || o.envelope != envelopeNone
	return Comparison{c.attribute, o.folding, single}, ok && o.certificate != mailmanager.RuleClientCertificateAttributeSerialNumber
}

// The attributes of reasons that the API has no word for. Mail Manager, F19.
const (
	attributeAddon = "ADDON"
	attributeList  = "IN_ADDRESS_LIST"
)

// texts are the values as plain strings, which hide nothing when they are printed.
func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}

func (s *Set) compileBoolean(path string, e *mailmanager.RuleBooleanExpression) (condition, error) {
	c := condition{operator: string(mailmanager.Value(e.Operator))}
	want, ok := match.NewBoolean(c.operator)
	if !ok {
		return c, match.Invalid(path+".operator", whyOperator)
	}
	to := mailmanager.Value(e.Evaluate)
	if a := to.Analysis; a != nil {
		values := []string{string(mailmanager.Value(a.Analyzer)), string(mailmanager.Value(a.ResultField))}
		return addon(path, a, c.operator, values)
	}
	if l := to.IsInAddressList; l != nil {
		return s.compileList(path+".evaluate.isInAddressList", l, c.operator, want)
	}
	c.attribute = string(mailmanager.Value(to.Attribute))
	switch mailmanager.Value(to.Attribute) {
	case mailmanager.RuleBooleanEmailAttributeTls:
		c.test = &tlsTest{want: want}
	case mailmanager.RuleBooleanEmailAttributeTlsWrapped:
		c.test = &tlsTest{want: want, wrapped: true}
	case mailmanager.RuleBooleanEmailAttributeReadReceiptRequested:
		t := &receiptTest{want: want}
		for i, name := range receiptHeaders {
			t.operands[i] = s.operand(operand{header: name, folding: match.FoldUnicode})
		}
		c.scope, c.test = scopeNode, t
	default:
		return c, match.Invalid(path+".evaluate", whyAttribute)
	}
	return c, nil
}

func compileNumber(path string, e *mailmanager.RuleNumberExpression) (condition, error) {
	value := mailmanager.Value(e.Value)
	c := condition{attribute: string(mailmanager.RuleNumberEmailAttributeMessageSize), operator: string(mailmanager.Value(e.Operator))}
	c.values = []string{formatNumber(value)}
	number, ok := match.NewNumber(c.operator, value)
	switch {
	case !ok:
		return c, match.Invalid(path+".operator", whyOperator)
	case e.Value == nil || math.IsNaN(value) || math.IsInf(value, 0):
		return c, match.Invalid(path+".value", "Member must be a finite number")
	case e.Evaluate == nil || string(mailmanager.Value(e.Evaluate.Attribute)) != c.attribute:
		return c, match.Invalid(path+".evaluate", whyAttribute)
	}
	c.test = &sizeTest{number}
	return c, nil
}

// compileNetworks takes networks and single addresses of both families: the API's pattern allows them, and a rule meets
// clients of both.
func compileNetworks(path string, e *mailmanager.RuleIpExpression) (condition, error) {
	c := condition{attribute: string(mailmanager.RuleIpEmailAttributeSourceIp), operator: string(mailmanager.Value(e.Operator))}
	c.values, c.why = texts(e.Values), whyNoClient
	var prefixes []netip.Prefix
	for i, v := range c.values {
		p, ok := match.ParseNetwork(v)
		if !ok {
			return c, match.Invalid(fmt.Sprintf("%s.values.%d.member", path, i+1), "Member must be an IP address or a network in CIDR notation")
		}
		prefixes = append(prefixes, p)
	}
	networks, ok := match.NewNetworks(c.operator, prefixes)
	switch {
	case !ok:
		return c, match.Invalid(path+".operator", whyOperator)
	case len(prefixes) == 0:
		return c, match.Invalid(path+".values", whyEmpty)
	case e.Evaluate == nil || string(mailmanager.Value(e.Evaluate.Attribute)) != c.attribute:
		return c, match.Invalid(path+".evaluate", whyAttribute)
	}
	c.test = &networkTest{networks}
	return c, nil
}

func compileVerdict(path string, e *mailmanager.RuleVerdictExpression) (condition, error) {
	to, operator := mailmanager.Value(e.Evaluate), string(mailmanager.Value(e.Operator))
	switch {
	case to.Analysis != nil:
		return addon(path, to.Analysis, operator, texts(e.Values))
	case to.Attribute != nil:
		return blind(string(*to.Attribute), operator, texts(e.Values), whyNoVerdicts), nil
	}
	return condition{}, match.Invalid(path+".evaluate", whyUnion)
}
