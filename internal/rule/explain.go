package rule

import (
	"slices"

	"sluice/internal/match"
)

// Reason is what was decided by one rule: the trace form. A rule that matches nobody has one too.
type Reason struct {
	Rule       int         `json:"rule"` // 1-based (Mail Manager, F21)
	Name       string      `json:"name,omitempty"`
	Matched    []string    `json:"matched,omitempty"` // the recipients that the rule applies to
	Conditions []Condition `json:"conditions,omitempty"`
	Actions    []Done      `json:"actions,omitempty"`
	// Resumed says that the conditions were decided in an earlier part of the evaluation, which has them.
	Resumed bool `json:"resumed,omitempty"`
}

// Condition is a condition as it was decided. A rule that matches has all of its conditions; for recipients that it does
// not apply to, the first that ruled them out.
type Condition struct {
	Index      int          `json:"index"`            // 1-based within Conditions or Unless
	Unless     bool         `json:"unless,omitempty"` // it is one of Unless
	Attribute  string       `json:"attribute"`
	Operator   string       `json:"operator"`
	Values     []string     `json:"values,omitempty"` // shared by all reasons of the set: not to be changed
	Seen       []string     `json:"seen,omitempty"`   // what it was compared with; for RECIPIENT that is Recipients, or Matched
	Result     match.Result `json:"result"`
	Why        string       `json:"why,omitempty"`        // for "cannot tell": the reason
	Recipients []string     `json:"recipients,omitempty"` // whom it ruled out, if not everyone, or if it is about each
}

// Done is an action that was done, or tried.
type Done struct {
	Action     int      `json:"action"` // 1-based
	Name       string   `json:"name"`
	With       []string `json:"with,omitempty"`    // the field added, the addresses that replace; shared: not to be changed
	Outcome    string   `json:"outcome"`           // SUCCEEDED, QUEUED, FAILED, STOP_RULE, STOP_RULE_SET
	Why        string   `json:"why,omitempty"`     // of FAILED
	Dropped    bool     `json:"dropped,omitempty"` // the failure policy DROP took the recipients
	Recipients []string `json:"recipients"`        // as they were before the action
}

var outcomeNames = [...]string{
	OutcomeNone: "NONE", OutcomeSucceeded: "SUCCEEDED", OutcomeQueued: "QUEUED",
	OutcomeFailed: "FAILED", OutcomeStopRule: "STOP_RULE", OutcomeStopRuleSet: "STOP_RULE_SET",
}

// maxNodeReasons is how many different values of one condition a reason shows; recipients beyond share the last.
const maxNodeReasons = 100

// Explain returns the trace form of what was recorded, with the set, cursor and facts of the evaluation.
func (r *Reasons) Explain(s *Set, c *Cursor, f *Facts) []Reason {
	c.prepare(s, f)
	reasons := make([]Reason, len(r.rules))
	for i, rm := range r.rules {
		end := len(r.marks)
		if i+1 < len(r.rules) {
			end = r.rules[i+1].from
		}
		reasons[i] = r.explainRule(s, c, rm, r.marks[rm.from:end])
	}
	return reasons
}

func (r *Reasons) explainRule(s *Set, c *Cursor, rm ruleMark, marks []mark) Reason {
	rule := &s.rules[rm.rule]
	reason := Reason{Rule: rm.rule + 1, Name: rule.name, Resumed: rm.resumed}
	var nodes []int // of the recipients that match, as they were when that was decided
	for _, m := range marks {
		switch m.kind {
		case markMatched:
			reason.Matched = append(reason.Matched, r.addresses(c, rm, m)...)
			if len(nodes) < maxNodeReasons && !slices.Contains(nodes, m.node) {
				nodes = append(nodes, m.node)
			}
		case markAction:
			reason.Actions = append(reason.Actions, Done{
				Action: m.index + 1, Name: rule.actions[m.index].Name, With: rule.actions[m.index].with, Outcome: outcomeNames[m.outcome], Why: m.why,
				Dropped: m.dropped, Recipients: r.addresses(c, rm, m),
			})
		}
	}
	if rm.resumed {
		return reason
	}
	for index := range rule.conditions {
		var told bool
		if reason.Conditions, told = r.ruledOut(reason.Conditions, c, rm, marks, index); told {
			reason.Conditions = rule.matching(reason.Conditions, c, nodes, index)
		}
	}
	return reason
}

// ruledOut appends the condition for each value that ruled recipients out or could not be told. told is false when it
// could not be told for any recipient, which is then all there is to say.
func (r *Reasons) ruledOut(out []Condition, c *Cursor, rm ruleMark, marks []mark, index int) (_ []Condition, told bool) {
	rule, first := &c.values.set.rules[rm.rule], len(out)
	told = true
	for _, m := range marks {
		if m.kind != markCondition || m.index != index {
			continue
		}
		told = told && m.result != match.CannotTell
		var whom []string
		if !m.all {
			whom = r.addresses(c, rm, m)
		}
		if len(out)-first == maxNodeReasons {
			out[len(out)-1].Recipients = append(out[len(out)-1].Recipients, whom...)
			continue
		}
		found := rule.explain(c, m.index, m.node, m.result)
		found.Recipients = whom
		out = append(out, found)
	}
	return out, told
}

// matching appends the condition as recipients that match met it: once, or once for each node that they were in.
func (r *compiledRule) matching(out []Condition, c *Cursor, nodes []int, index int) []Condition {
	for _, node := range nodes {
		out = append(out, r.explain(c, index, node, match.Of(index < r.unless)))
		if r.conditions[index].scope != scopeNode {
			break
		}
	}
	return out
}

func (r *compiledRule) explain(c *Cursor, index, node int, result match.Result) Condition {
	t := &r.conditions[index]
	out := Condition{
		Index: index + 1, Unless: index >= r.unless, Attribute: t.attribute, Operator: t.operator, Values: t.values,
		Result: result, Seen: t.test.seen(c, node),
	}
	if out.Unless {
		out.Index -= r.unless
	}
	if result == match.CannotTell {
		out.Why = t.why
	}
	return out
}

// addresses are the recipients that a mark concerns.
func (r *Reasons) addresses(c *Cursor, rm ruleMark, m mark) []string {
	if m.all {
		m.run = rm.everyone
	}
	var out []string
	for i := m.run.from; i < m.run.to; i += 2 {
		for at := r.runs[i]; at <= r.runs[i+1]; at++ {
			out = append(out, c.places[at].Path.Received)
		}
	}
	return out
}
