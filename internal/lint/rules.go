package lint

import (
	"fmt"

	"sluice/internal/mailmanager"
	"sluice/internal/rule"
)

// RuleSet returns what is wrong with rules, which Compile takes, in their order.
func RuleSet(rules []mailmanager.Rule, known Known) []Finding {
	l := &rulesLint{known: known}
	for i := range rules {
		l.rule(i+1, &rules[i])
	}
	if !l.routes {
		l.found = append(l.found, Finding{
			Code: EndsUnrouted, Level: LevelWarning, Text: "no rule without conditions routes or drops: mail that no rule matches is held as unrouted",
			Hint: "end the rule set with a rule that has no conditions and relays or drops the rest",
		})
	}
	return l.found
}

// rulesLint goes through one rule set.
type rulesLint struct {
	known   Known
	found   []Finding
	index   int  // of the rule at hand
	dropped int  // the first rule that drops every message; 0: none yet
	routes  bool // a rule without conditions routes or drops
}

func (l *rulesLint) rule(index int, r *mailmanager.Rule) {
	l.index = index
	add := func(code Code, level Level, text, hint string) {
		l.found = append(l.found, Finding{code, level, index, string(mailmanager.Value(r.Name)), text, hint})
	}
	if l.dropped > 0 {
		add(NeverReached, LevelError, fmt.Sprintf("it is never reached: rule %d has no conditions and drops every message", l.dropped), "move it before that rule, or remove it")
	}
	if why := neverMatches(r); why != "" {
		add(NeverMatches, LevelError, why, "remove one of the conditions, or make two rules of them")
	}
	for _, blind := range blindOfRule(r) {
		add(CannotTell, LevelWarning, blind, "do not depend on it yet")
	}
	for _, missing := range l.missingLists(r) {
		add(NoSuchList, LevelError, missing, hintNoList)
	}
	l.actions(r, add)
}

// missingLists says which conditions are about address lists that do not exist. Mail Manager, D20.
func (l *rulesLint) missingLists(r *mailmanager.Rule) (texts []string) {
	check := func(label string, c *mailmanager.RuleCondition, effect string) {
		if list, ok := listOf(c); ok && !l.known.Lists.has(list) {
			texts = append(texts, whyNoList(label, list, effect))
		}
	}
	for i := range r.Conditions {
		check(fmt.Sprintf("condition %d", i+1), &r.Conditions[i], "the rule never matches")
	}
	for i := range r.Unless {
		check(fmt.Sprintf("unless %d", i+1), &r.Unless[i], "it excepts nobody")
	}
	return texts
}

// listOf is the address list that a condition is about; ok is false when it is about something else.
func listOf(c *mailmanager.RuleCondition) (list string, ok bool) {
	if c.BooleanExpression == nil {
		return "", false
	}
	in := mailmanager.Value(c.BooleanExpression.Evaluate).IsInAddressList
	if in == nil || len(in.AddressLists) == 0 {
		return "", false
	}
	return string(in.AddressLists[0]), true
}

// actions looks at what the rule does.
func (l *rulesLint) actions(r *mailmanager.Rule, add func(Code, Level, string, string)) {
	everyone := len(r.Conditions)+len(r.Unless) == 0
	dropped := 0
	for j, a := range r.Actions {
		label := fmt.Sprintf("action %d", j+1)
		if dropped > 0 {
			add(NeverDone, LevelWarning, fmt.Sprintf("%s is never done: action %d drops the message", label, dropped), "remove it, or move it before the Drop")
			return
		}
		switch {
		case a.Drop != nil:
			dropped = j + 1
			if everyone && l.dropped == 0 {
				l.dropped = l.index
			}
		case a.Relay != nil:
			l.relay(label, string(mailmanager.Value(a.Relay.Relay)), everyone, add)
			continue
		case a.AddHeader != nil, a.ReplaceRecipient != nil:
			continue
		default:
			l.archive(label, a.Archive, add)
			add(NotAvailable, LevelWarning, label+" is not available in this version: it always fails", "relay the message instead")
			continue
		}
		l.routes = l.routes || everyone
	}
}

func (l *rulesLint) relay(label, id string, everyone bool, add func(Code, Level, string, string)) {
	if !l.known.Relays.has(id) {
		add(NoSuchRelay, LevelError, fmt.Sprintf("%s always fails: relay %q does not exist", label, id), "create the relay, or name another")
		return
	}
	l.routes = l.routes || everyone
}

// archive looks for the archive of an action that may be of another kind. Mail Manager, A6 and A23.
func (l *rulesLint) archive(label string, a *mailmanager.ArchiveAction, add func(Code, Level, string, string)) {
	if a == nil {
		return
	}
	if target := string(mailmanager.Value(a.TargetArchive)); !l.known.Archives.has(target) {
		add(NoSuchArchive, LevelError, fmt.Sprintf("%s always fails: archive %q does not exist, or is being deleted", label, target),
			"create the archive, or name another")
	}
}

// neverMatches says why a rule can never match, or nothing.
func neverMatches(r *mailmanager.Rule) string {
	left := anySize()
	var literals []literal
	add := func(label string, c *mailmanager.RuleCondition, wanted bool) {
		if e := c.NumberExpression; e != nil {
			operator := string(mailmanager.Value(e.Operator))
			if !wanted {
				operator = turned[operator]
			}
			left.narrow(operator, mailmanager.Value(e.Value))
			return
		}
		if l, ok := literalOf(c); ok {
			l.label, l.holds = label, l.holds == wanted
			literals = append(literals, l)
		}
	}
	for i := range r.Conditions {
		add(fmt.Sprintf("condition %d", i+1), &r.Conditions[i], true)
	}
	for i := range r.Unless {
		add(fmt.Sprintf("unless %d", i+1), &r.Unless[i], false)
	}
	if a, b := contradiction(literals); a != nil {
		return both(a, b)
	}
	if left.none() {
		return noSize()
	}
	return ""
}

// literalOf is a condition of a rule; ok is false for those that say nothing of the values here.
func literalOf(c *mailmanager.RuleCondition) (l literal, ok bool) {
	switch {
	case c.StringExpression != nil:
		e := c.StringExpression
		how, ok := rule.ComparisonOf(mailmanager.Value(e.Evaluate))
		l.attribute, l.single = how.Attribute, how.Single
		l.values, l.holds = texts(string(mailmanager.Value(e.Operator)), how.Folding, e.Values)
		return l, ok
	case c.IpExpression != nil:
		l.attribute, l.single = string(mailmanager.RuleIpEmailAttributeSourceIp), true
		l.values, l.holds = networks(string(mailmanager.Value(c.IpExpression.Operator)), c.IpExpression.Values)
		return l, true
	case c.BooleanExpression != nil:
		e := c.BooleanExpression
		l.attribute = string(mailmanager.Value(mailmanager.Value(e.Evaluate).Attribute))
		l.values, l.holds = []value{truth{}}, mailmanager.Value(e.Operator) == mailmanager.RuleBooleanOperatorIsTrue
		return l, l.attribute != ""
	}
	return l, false
}

// blindOfRule says which conditions this version cannot tell. Mail Manager, D20.
func blindOfRule(r *mailmanager.Rule) (texts []string) {
	for i := range r.Conditions {
		if what := blind(&r.Conditions[i]); what != "" {
			texts = append(texts, fmt.Sprintf("condition %d asks for %s, not available in this version: the rule never matches", i+1, what))
		}
	}
	for i := range r.Unless {
		if what := blind(&r.Unless[i]); what != "" {
			texts = append(texts, fmt.Sprintf("unless %d asks for %s, not available in this version: it excepts nobody", i+1, what))
		}
	}
	return texts
}

// blind is what a condition asks for that is not to be had, or nothing.
func blind(c *mailmanager.RuleCondition) string {
	switch {
	case c.VerdictExpression != nil && mailmanager.Value(c.VerdictExpression.Evaluate).Attribute != nil:
		return "an SPF or DKIM verdict"
	case c.DmarcExpression != nil:
		return "a DMARC result"
	case c.VerdictExpression != nil,
		c.StringExpression != nil && mailmanager.Value(c.StringExpression.Evaluate).Analysis != nil,
		c.BooleanExpression != nil && mailmanager.Value(c.BooleanExpression.Evaluate).Analysis != nil:
		return "an add-on"
	}
	return ""
}
