package policy

import (
	"fmt"
	"net/netip"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
)

// Policy is a compiled traffic policy. It never changes and may be used by many goroutines at once.
type Policy struct {
	statements []statement // every DENY, then every ALLOW
	conditions int         // in all statements
	fallback   mailmanager.AcceptAction
	maxSize    int64
}

type statement struct {
	index      int // 1-based, as listed
	action     mailmanager.AcceptAction
	conditions []condition
}

// condition is a test and what a reason says of it, whoever is tested.
type condition struct {
	attribute string
	operator  string
	values    []string
	test      test
}

// The attributes as reasons name them. Mail Manager, F19.
const (
	attributeRecipient = "RECIPIENT"
	attributeIPv4      = "SENDER_IP"
	attributeIPv6      = "SENDER_IPV6"
	attributeTLS       = "TLS_PROTOCOL"
	attributeList      = "IN_ADDRESS_LIST"
	attributeAddon     = "ADDON"
)

// Compile makes a policy from its source. The error is a ValidationException that names the path of the value that
// cannot be used, and not the value.
func Compile(s Source) (*Policy, error) {
	p := &Policy{fallback: s.Default, maxSize: MaxMessageOctets}
	if s.MaxSize > 0 {
		p.maxSize = min(p.maxSize, s.MaxSize)
	}
	if !isAction(s.Default) {
		return nil, match.Invalid("defaultAction", whyAction)
	}
	var allow []statement
	for i, listed := range s.Statements {
		compiled, err := compileStatement(i+1, listed)
		if err != nil {
			return nil, err
		}
		p.conditions += len(compiled.conditions)
		if compiled.action == mailmanager.AcceptActionAllow {
			allow = append(allow, compiled)
			continue
		}
		p.statements = append(p.statements, compiled)
	}
	p.statements = append(p.statements, allow...) // DENY first, however they are listed: Mail Manager, section 3
	return p, nil
}

// MaxSize is the largest content in octets that the policy lets in: its own limit or the service's, whichever is smaller.
func (p *Policy) MaxSize() int64 { return p.maxSize }

// What is wrong with a value.
const (
	whyAction    = "Member must satisfy enum value set: [ALLOW, DENY]"
	whyEmpty     = "Member must have length greater than or equal to 1"
	whyOne       = "Member must have length equal to 1"
	whyUnion     = "Member must have exactly one supported key"
	whyOperator  = "Member must be an operator of this expression"
	whyAttribute = "Member must be an attribute of this expression"
	whyNetwork   = "Member must be a network in CIDR notation of the expression's address family"
)

func isAction(a mailmanager.AcceptAction) bool {
	return a == mailmanager.AcceptActionAllow || a == mailmanager.AcceptActionDeny
}

func compileStatement(index int, listed mailmanager.PolicyStatement) (statement, error) {
	path := fmt.Sprintf("policyStatements.%d.member", index)
	s := statement{index: index, action: mailmanager.Value(listed.Action)}
	if !isAction(s.action) {
		return s, match.Invalid(path+".action", whyAction)
	}
	if len(listed.Conditions) == 0 { // Mail Manager, C5
		return s, match.Invalid(path+".conditions", whyEmpty)
	}
	for i, c := range listed.Conditions {
		compiled, err := compileCondition(fmt.Sprintf("%s.conditions.%d.member", path, i+1), c, s.action)
		if err != nil {
			return s, err
		}
		s.conditions = append(s.conditions, compiled)
	}
	return s, nil
}

func compileCondition(path string, c mailmanager.PolicyCondition, action mailmanager.AcceptAction) (condition, error) {
	switch {
	case c.StringExpression != nil:
		return compileString(path+".stringExpression", c.StringExpression)
	case c.IpExpression != nil:
		e := c.IpExpression
		if e.Evaluate == nil || mailmanager.Value(e.Evaluate.Attribute) != mailmanager.IngressIpv4AttributeSenderIp {
			return condition{}, match.Invalid(path+".ipExpression.evaluate", whyAttribute)
		}
		return compileNetworks(path+".ipExpression", e.Operator, texts(e.Values), networkTest{v6: false, action: action})
	case c.Ipv6Expression != nil:
		e := c.Ipv6Expression
		if e.Evaluate == nil || mailmanager.Value(e.Evaluate.Attribute) != mailmanager.IngressIpv6AttributeSenderIpv6 {
			return condition{}, match.Invalid(path+".ipv6Expression.evaluate", whyAttribute)
		}
		return compileNetworks(path+".ipv6Expression", e.Operator, texts(e.Values), networkTest{v6: true, action: action})
	case c.TlsExpression != nil:
		return compileTLS(path+".tlsExpression", c.TlsExpression)
	case c.BooleanExpression != nil:
		return compileBoolean(path+".booleanExpression", c.BooleanExpression)
	}
	return condition{}, match.Invalid(path, whyUnion)
}

// addon is a condition that asks an add-on. Mail Manager, F16.
func addon(path string, a *mailmanager.IngressAnalysis, operator string, values []string) (condition, error) {
	return condition{attributeAddon, operator, values, blindTest(whyNoAddons)}, match.ResultField(path+".evaluate.analysis", a.ResultField)
}

func compileString(path string, e *mailmanager.IngressStringExpression) (condition, error) {
	operator := string(mailmanager.Value(e.Operator))
	strings, ok := match.NewStrings(operator, e.Values, match.FoldASCII)
	switch {
	case !ok:
		return condition{}, match.Invalid(path+".operator", whyOperator)
	case len(e.Values) == 0:
		return condition{}, match.Invalid(path+".values", whyEmpty)
	case e.Evaluate != nil && e.Evaluate.Analysis != nil:
		return addon(path, e.Evaluate.Analysis, operator, e.Values)
	case e.Evaluate == nil || mailmanager.Value(e.Evaluate.Attribute) != mailmanager.IngressStringEmailAttributeRecipient:
		return condition{}, match.Invalid(path+".evaluate", whyAttribute)
	}
	return condition{attributeRecipient, operator, e.Values, recipientTest{strings}}, nil
}

func compileNetworks(path string, operator *mailmanager.IngressIpOperator, values []string, t networkTest) (condition, error) {
	c := condition{attribute: attributeIPv4, operator: string(mailmanager.Value(operator)), values: values}
	if t.v6 {
		c.attribute = attributeIPv6
	}
	if len(values) == 0 {
		return c, match.Invalid(path+".values", whyEmpty)
	}
	var prefixes []netip.Prefix
	for i, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil || p.Addr().Is6() != t.v6 {
			return c, match.Invalid(fmt.Sprintf("%s.values.%d.member", path, i+1), whyNetwork)
		}
		prefixes = append(prefixes, p.Masked())
	}
	var ok bool
	if t.networks, ok = match.NewNetworks(c.operator, prefixes); !ok {
		return c, match.Invalid(path+".operator", whyOperator)
	}
	c.test = t
	return c, nil
}

func compileTLS(path string, e *mailmanager.IngressTlsProtocolExpression) (condition, error) {
	operator, version := string(mailmanager.Value(e.Operator)), string(mailmanager.Value(e.Value))
	tls, ok := match.NewTLS(operator, version)
	switch {
	case !ok:
		return condition{}, match.Invalid(path, "Member must have an operator and a TLS version that exist")
	case e.Evaluate == nil || mailmanager.Value(e.Evaluate.Attribute) != mailmanager.IngressTlsAttributeTlsProtocol:
		return condition{}, match.Invalid(path+".evaluate", whyAttribute)
	}
	return condition{attributeTLS, operator, []string{version}, tlsTest{tls}}, nil
}

func compileBoolean(path string, e *mailmanager.IngressBooleanExpression) (condition, error) {
	operator := string(mailmanager.Value(e.Operator))
	want, ok := match.NewBoolean(operator)
	if !ok {
		return condition{}, match.Invalid(path+".operator", whyOperator)
	}
	switch {
	case e.Evaluate != nil && e.Evaluate.Analysis != nil:
		a := e.Evaluate.Analysis
		values := []string{string(mailmanager.Value(a.Analyzer)), string(mailmanager.Value(a.ResultField))}
		return addon(path, a, operator, values)
	case e.Evaluate != nil && e.Evaluate.IsInAddressList != nil:
		to := e.Evaluate.IsInAddressList
		lists := texts(to.AddressLists)
		switch {
		case len(lists) != 1:
			return condition{}, match.Invalid(path+".evaluate.isInAddressList.addressLists", whyOne)
		case mailmanager.Value(to.Attribute) != mailmanager.IngressAddressListEmailAttributeRecipient:
			return condition{}, match.Invalid(path+".evaluate.isInAddressList.attribute", whyAttribute)
		}
		return condition{attributeList, operator, lists, listTest{lists[0], want}}, nil
	}
	return condition{}, match.Invalid(path+".evaluate", whyUnion)
}

// texts are the values as reasons show them.
func texts[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
