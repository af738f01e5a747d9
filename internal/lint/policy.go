package lint

import (
	"fmt"
	"slices"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
)

// Policy returns what is wrong with a traffic policy, which Compile takes: first the statements, then the whole.
func Policy(statements []mailmanager.PolicyStatement, fallback mailmanager.AcceptAction, known Known) []Finding {
	var found []Finding
	allows := fallback == mailmanager.AcceptActionAllow
	for i := range statements {
		s := &statements[i]
		add := func(code Code, level Level, text, hint string) {
			found = append(found, Finding{Code: code, Level: level, Index: i + 1, Text: text, Hint: hint})
		}
		never := neverDecides(s)
		if never != "" {
			add(NeverDecides, LevelError, never, "remove one of the conditions, or make two statements of them")
		}
		blinds := blindOfStatement(s)
		for _, blind := range blinds {
			add(PolicyIsBlind, LevelWarning, blind, "do not depend on it yet")
		}
		missing := missingLists(s, known.Lists)
		for _, text := range missing {
			add(ListIsMissing, LevelError, text, hintNoList)
		}
		if mailmanager.Value(s.Action) != mailmanager.AcceptActionAllow {
			continue
		}
		if fallback == mailmanager.AcceptActionAllow {
			add(Useless, LevelWarning, "it has no effect: DENY statements come first, and what none of them denies is allowed anyway",
				"make the default action DENY, or remove the statement")
		}
		allows = allows || never == "" && len(blinds)+len(missing) == 0
	}
	if !allows {
		found = append(found, Finding{
			Code: DeniesAll, Level: LevelError, Text: "it lets nobody in: the default action is DENY, and no ALLOW statement can match",
			Hint: "add an ALLOW statement, or make the default action ALLOW",
		})
	}
	return found
}

// neverDecides says why a statement can never match, or nothing.
func neverDecides(s *mailmanager.PolicyStatement) string {
	var literals []literal
	versions := []string{"", "TLS1_2", "TLS1_3"} // in clear, and the versions that there are
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if e := c.TlsExpression; e != nil {
			if tls, ok := match.NewTLS(string(mailmanager.Value(e.Operator)), string(mailmanager.Value(e.Value))); ok {
				versions = slices.DeleteFunc(versions, func(v string) bool { return !tls.Holds(v) })
			}
			continue
		}
		if l, ok := literalOfStatement(c); ok {
			l.label = fmt.Sprintf("condition %d", i+1)
			literals = append(literals, l)
		}
	}
	if a, b := contradiction(literals); a != nil {
		return both(a, b)
	}
	if len(versions) == 0 {
		return "it can never match: its conditions of TLS_PROTOCOL leave no version"
	}
	return bothFamilies(literals, mailmanager.Value(s.Action))
}

// literalOfStatement is a condition of a statement; ok is false for those that say nothing of the values here.
func literalOfStatement(c *mailmanager.PolicyCondition) (l literal, ok bool) {
	l.single = true
	switch {
	case c.StringExpression != nil && mailmanager.Value(c.StringExpression.Evaluate).Attribute != nil:
		e := c.StringExpression
		l.attribute = string(*e.Evaluate.Attribute)
		l.values, l.holds = texts(string(mailmanager.Value(e.Operator)), match.FoldASCII, e.Values)
	case c.IpExpression != nil:
		l.attribute = string(mailmanager.IngressIpv4AttributeSenderIp)
		l.values, l.holds = networks(string(mailmanager.Value(c.IpExpression.Operator)), c.IpExpression.Values)
	case c.Ipv6Expression != nil:
		l.attribute = string(mailmanager.IngressIpv6AttributeSenderIpv6)
		l.values, l.holds = networks(string(mailmanager.Value(c.Ipv6Expression.Operator)), c.Ipv6Expression.Values)
	default:
		return l, false
	}
	return l, true
}

// bothFamilies finds conditions of both address families that no client can meet: an address of the other family meets only
// NOT_CIDR_MATCHES, and only in a DENY statement. Mail Manager, C3.
func bothFamilies(literals []literal, action mailmanager.AcceptAction) string {
	wants := func(attribute string) *literal {
		i := slices.IndexFunc(literals, func(l literal) bool {
			return l.attribute == attribute && (l.holds || action == mailmanager.AcceptActionAllow)
		})
		if i < 0 {
			return nil
		}
		return &literals[i]
	}
	a, b := wants(string(mailmanager.IngressIpv4AttributeSenderIp)), wants(string(mailmanager.IngressIpv6AttributeSenderIpv6))
	if a == nil || b == nil {
		return ""
	}
	return fmt.Sprintf("it can never match: %s wants an IPv4 client and %s an IPv6 client", a.label, b.label)
}

// missingLists says which conditions are about address lists that do not exist. Mail Manager, C7.
func missingLists(s *mailmanager.PolicyStatement, lists Exist) (texts []string) {
	for i := range s.Conditions {
		e := s.Conditions[i].BooleanExpression
		if e == nil {
			continue
		}
		in := mailmanager.Value(e.Evaluate).IsInAddressList
		if in != nil && len(in.AddressLists) > 0 && !lists.has(string(in.AddressLists[0])) {
			texts = append(texts, whyNoList(fmt.Sprintf("condition %d", i+1), string(in.AddressLists[0]), "the statement never matches"))
		}
	}
	return texts
}

// blindOfStatement says which conditions this version cannot tell. Mail Manager, C6.
func blindOfStatement(s *mailmanager.PolicyStatement) (texts []string) {
	for i := range s.Conditions {
		if isAboutAddon(&s.Conditions[i]) {
			texts = append(texts, fmt.Sprintf("condition %d asks for an add-on, not available in this version: the statement never matches", i+1))
		}
	}
	return texts
}

func isAboutAddon(c *mailmanager.PolicyCondition) bool {
	switch {
	case c.BooleanExpression != nil:
		return mailmanager.Value(c.BooleanExpression.Evaluate).Analysis != nil
	case c.StringExpression != nil:
		return mailmanager.Value(c.StringExpression.Evaluate).Analysis != nil
	}
	return false
}
