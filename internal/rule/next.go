package rule

import (
	"slices"

	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

// Next goes on with an evaluation: it takes the outcome of the step it returned last and returns the next one, or false
// when the rule set has nothing more to do; see Cursor.Unrouted then. It never looks past a step, because its outcome can
// change what follows. OutcomeNone, where an outcome is awaited, returns the same step again: it may not have been run.
// What was decided is added to r. The facts must be the same at every call. Mail Manager, D1 to D7 and E12.
func (s *Set) Next(c *Cursor, f *Facts, last Outcome, r *Reasons) (Step, bool) {
	c.prepare(s, f)
	if c.pending {
		if last.Kind == OutcomeNone {
			return s.step(c), true
		}
		s.settle(c, last, r)
	}
	for c.rule < len(s.rules) && len(c.alive()) > 0 {
		if !c.inside {
			s.decide(c, r)
		}
		if s.act(c, r) {
			return s.step(c), true
		}
		c.mark(c.alive(), 0, matched|acted)
		c.rule, c.action, c.inside = c.rule+1, 0, false
	}
	c.rule = len(s.rules)
	return Step{}, false
}

// decide tests the rule's conditions, one after another and each for all recipients that are left, and marks those that
// match. A rule that nobody matches is recorded too (Mail Manager, section 4.1).
func (s *Set) decide(c *Cursor, r *Reasons) {
	rule := &s.rules[c.rule]
	c.inside = true
	places := c.alive()
	r.begin(c)
	for i := range rule.conditions {
		places = c.test(&rule.conditions[i], i, i >= rule.unless, places, r)
		if len(places) == 0 {
			return
		}
	}
	c.mark(places, matched, 0)
	r.match(c, places)
}

// test returns the places for which the rule can still apply: those where a condition matches, or where one of Unless does
// not. "Cannot tell" is false in both (Mail Manager, D20).
func (c *Cursor) test(t *condition, index int, unless bool, places []int, r *Reasons) []int {
	m := mark{kind: markCondition, index: index}
	if t.scope == scopeRecipient || t.scope == scopeNode && len(c.nodes) > 1 {
		return c.testEach(t, m, unless, places, r)
	}
	m.result = t.test.of(c, 0)
	applies := (m.result == match.Match) != unless
	if !applies || m.result == match.CannotTell {
		r.add(m, places)
	}
	if !applies {
		return nil
	}
	return places
}

// testEach tests a condition that distinguishes recipients or nodes. Recipients in a row that saw the same value share a
// mark.
func (c *Cursor) testEach(t *condition, m mark, unless bool, places []int, r *Reasons) []int {
	c.results = slices.Grow(c.results[:0], len(c.nodes))[:len(c.nodes)]
	clear(c.results)
	left := c.active[:0] // places may be this very memory: it is read ahead of what is written
	opened := false
	for _, at := range places {
		result, node := c.result(t, at)
		applies := (result == match.Match) != unless
		if applies {
			left = append(left, at)
		}
		if applies && result != match.CannotTell {
			continue
		}
		if !opened || result != m.result || node != m.node {
			opened, m.result, m.node = true, result, node
			r.open(m)
		}
		r.mark(at)
	}
	c.active = left
	return left
}

// result is that of a condition for a recipient, and the node whose value it saw, which is tested only once.
func (c *Cursor) result(t *condition, at int) (match.Result, int) {
	if t.scope == scopeRecipient {
		return t.test.of(c, at), 0
	}
	node := c.places[at].node
	if c.results[node] == 0 {
		c.results[node] = t.test.of(c, node)
	}
	return c.results[node], node
}

// act does the rule's actions, from where the cursor stands, for the recipients that match. It reports true when an action
// is to be done outside: its recipients are marked.
func (s *Set) act(c *Cursor, r *Reasons) bool {
	actions := s.rules[c.rule].actions
	for ; c.action < len(actions); c.action++ {
		places := c.with(matched, acted)
		if len(places) == 0 && c.group == 0 {
			return false // nobody is left for any action: Mail Manager, D4
		}
		a := &actions[c.action]
		if a.outside() && c.await(places) {
			return true
		}
		if !a.outside() {
			a.apply(c, places, r)
		}
		c.mark(c.alive(), 0, acted)
		c.group = 0
	}
	return false
}

// await marks the recipients of the first node that the action has not been done for. It reports false when there is none.
// Mail Manager, D1.
func (c *Cursor) await(places []int) bool {
	if len(places) == 0 {
		return false
	}
	node := c.places[places[0]].node
	for _, at := range places {
		if c.places[at].node == node {
			c.places[at].flags |= acted | waiting
		}
	}
	c.group++
	c.pending = true
	return true
}

// step is the step that the cursor waits for.
func (s *Set) step(c *Cursor) Step {
	rule := &s.rules[c.rule]
	a := &rule.actions[c.action]
	places := c.with(waiting, 0)
	step := Step{
		Rule: c.rule + 1, Action: c.action + 1, RuleName: rule.name, ActionName: a.Name, Do: *a,
		Node: c.nodes[c.places[places[0]].node].Node, NodeNumber: c.group,
		Recipients: make([]message.Recipient, len(places)),
	}
	for i, at := range places {
		step.Recipients[i] = c.places[at].Recipient
	}
	return step
}

// settle applies the outcome of the step.
func (s *Set) settle(c *Cursor, last Outcome, r *Reasons) {
	r.resume(c)
	places := c.with(waiting, 0)
	a := &s.rules[c.rule].actions[c.action]
	c.pending = false
	m := mark{kind: markAction, index: c.action, outcome: last.Kind, why: last.Reason}
	switch last.Kind {
	case OutcomeSucceeded, OutcomeQueued:
		c.mark(places, routed, waiting)
	case OutcomeStopRule:
		c.mark(places, routed, waiting|matched)
	case OutcomeStopRuleSet: // Mail Manager, E12
		c.mark(places, routed|halted, waiting|matched)
	default: // Mail Manager, D5
		m.dropped = a.OnFailure == mailmanager.ActionFailurePolicyDrop
		if m.dropped {
			c.mark(places, gone, waiting|matched)
		}
		c.mark(places, 0, waiting)
	}
	r.add(m, places)
}
