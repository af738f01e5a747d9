package control

import (
	"slices"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// usesOfStatements are the add-on instances that a policy's statements ask: they cannot be deleted meanwhile.
func usesOfStatements(scope Scope, statements []mailmanager.PolicyStatement) []store.Reference {
	uses := instanceUses{scope: scope, found: []store.Reference{}}
	for _, s := range statements {
		for _, c := range s.Conditions {
			switch {
			case c.StringExpression != nil:
				uses.ask(mailmanager.Value(mailmanager.Value(c.StringExpression.Evaluate).Analysis).Analyzer)
			case c.BooleanExpression != nil:
				uses.ask(mailmanager.Value(mailmanager.Value(c.BooleanExpression.Evaluate).Analysis).Analyzer)
			}
		}
	}
	return uses.found
}

// usesOfRules are the add-on instances that rules ask: they cannot be deleted meanwhile.
func usesOfRules(scope Scope, rules []mailmanager.Rule) []store.Reference {
	uses := instanceUses{scope: scope, found: []store.Reference{}}
	for _, r := range rules {
		for _, c := range slices.Concat(r.Conditions, r.Unless) {
			uses.ask(analysisOf(c).Analyzer)
		}
	}
	return uses.found
}

// analysisOf is what a condition of a rule asks an add-on; the zero value: nothing.
func analysisOf(c mailmanager.RuleCondition) (a mailmanager.Analysis) {
	switch {
	case c.StringExpression != nil:
		a = mailmanager.Value(mailmanager.Value(c.StringExpression.Evaluate).Analysis)
	case c.BooleanExpression != nil:
		a = mailmanager.Value(mailmanager.Value(c.BooleanExpression.Evaluate).Analysis)
	case c.VerdictExpression != nil:
		a = mailmanager.Value(mailmanager.Value(c.VerdictExpression.Evaluate).Analysis)
	}
	return a
}

// instanceUses collects references to add-on instances, each once.
type instanceUses struct {
	scope Scope
	found []store.Reference
}

// ask notes the instance that a condition asks, by its ARN or its id; nil is none. What is neither, or is another's, is noted as
// it is: the store has no such instance and says so, as of one that is not there (S36).
func (u *instanceUses) ask(analyzer *mailmanager.AnalyzerArn) {
	if analyzer == nil {
		return
	}
	id := string(*analyzer)
	if fromARN, ok := kindAddonInstance.idFromARN(u.scope, id); ok {
		id = fromARN
	}
	if r := (store.Reference{Kind: kindAddonInstance.store, ID: id}); !slices.Contains(u.found, r) {
		u.found = append(u.found, r)
	}
}
