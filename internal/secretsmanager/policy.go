package secretsmanager

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// Checks that a resource policy can fail.
const (
	CheckSyntax string = "SYNTAX"
	CheckPublic string = "PUBLIC_ACCESS"
)

// Problem is one thing that is wrong with a resource policy.
type Problem struct {
	Check string // CheckSyntax or CheckPublic
	Text  string // for people; it names statements and members, and shows no value
}

// maxProblems is how many problems of a policy are told, ours: one of 20 KiB could have thousands.
const maxProblems = 20

// CheckPolicy returns what is wrong with a resource policy: its form, as IAM's grammar of policies has it, and whether it lets
// everybody in. Nothing is evaluated: nobody reads a secret by such a policy here, or is kept from it. ok is false when it is no JSON.
func CheckPolicy(text string) (problems []Problem, ok bool) {
	var document map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &document) != nil || document == nil {
		return nil, false
	}
	c := policyCheck{}
	c.members("The policy", document, "Version", "Id", "Statement")
	c.version(document["Version"])
	if raw, has := document["Id"]; has && !isText(raw) {
		c.wrong("Id is not a text")
	}
	statements, isList := oneOrMore[map[string]json.RawMessage](document["Statement"])
	if !isList || len(statements) == 0 {
		c.wrong("Statement is neither a statement nor a list of them")
	}
	for i, statement := range statements {
		c.statement(fmt.Sprintf("Statement %d", i+1), statement)
	}
	return c.problems, true
}

// policyCheck collects problems.
type policyCheck struct{ problems []Problem }

func (c *policyCheck) add(p Problem) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, p)
	}
}

func (c *policyCheck) wrong(format string, args ...any) {
	c.add(Problem{CheckSyntax, fmt.Sprintf(format, args...)})
}

// members refuses members that are not among the known ones.
func (c *policyCheck) members(what string, object map[string]json.RawMessage, known ...string) {
	for name := range object {
		if !slices.Contains(known, name) {
			c.wrong("%s has a member that no policy has", what)
			return
		}
	}
}

func (c *policyCheck) version(raw json.RawMessage) {
	var version string
	if raw != nil && (json.Unmarshal(raw, &version) != nil || version != "2012-10-17" && version != "2008-10-17") {
		c.wrong("Version is neither 2012-10-17 nor 2008-10-17")
	}
}

func (c *policyCheck) statement(what string, s map[string]json.RawMessage) {
	if s == nil {
		c.wrong("%s is not an object", what)
		return
	}
	c.members(what, s, "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
	if raw, has := s["Sid"]; has && !isText(raw) {
		c.wrong("Sid of %s is not a text", what)
	}
	var effect string
	if raw := s["Effect"]; raw == nil || json.Unmarshal(raw, &effect) != nil || effect != "Allow" && effect != "Deny" {
		c.wrong("Effect of %s is neither Allow nor Deny", what)
	}
	if raw, ok := c.either(what, s, "Principal"); ok && !isPrincipal(raw) {
		c.wrong("the principal of %s is neither * nor an object of principals", what)
	}
	if raw, ok := c.either(what, s, "Action"); ok && !areTexts(raw, policyAction) {
		c.wrong("the action of %s is no list of actions such as secretsmanager:GetSecretValue", what)
	}
	if raw, ok := c.either(what, s, "Resource"); ok && !areTexts(raw, policyResource) {
		c.wrong("the resource of %s is no list of ARNs", what)
	}
	if raw, has := s["Condition"]; has && !isCondition(raw) {
		c.wrong("Condition of %s is not an object of operators, keys and values", what)
	}
	if effect == "Allow" && isPublic(s) {
		c.add(Problem{CheckPublic, what + " lets everybody in, under no condition"})
	}
}

// either returns the member of that name, or the one with Not in front. A statement has one of the two.
func (c *policyCheck) either(what string, s map[string]json.RawMessage, name string) (raw json.RawMessage, ok bool) {
	yes, hasYes := s[name]
	not, hasNot := s["Not"+name]
	switch {
	case hasYes == hasNot:
		c.wrong("%s must have one of %s and Not%s", what, name, name)
		return nil, false
	case hasYes:
		return yes, true
	default:
		return not, true
	}
}

// Forms of what a statement names.
var (
	policyAction   = regexp.MustCompile(`^(\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+)$`)
	policyResource = regexp.MustCompile(`^(\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:.+)$`)
	policyAny      = regexp.MustCompile(`.`)
	principalKinds = []string{"AWS", "Service", "Federated", "CanonicalUser"}
)

// oneOrMore reads a value, or a list of them.
func oneOrMore[T any](raw json.RawMessage) (values []T, ok bool) {
	if raw == nil {
		return nil, false
	}
	if json.Unmarshal(raw, &values) == nil && values != nil {
		return values, true
	}
	var one *T // null is none
	if json.Unmarshal(raw, &one) != nil || one == nil {
		return nil, false
	}
	return []T{*one}, true
}

func isText(raw json.RawMessage) bool {
	var text *string
	return json.Unmarshal(raw, &text) == nil && text != nil
}

// areTexts reports whether a value is a text of a form, or a list of such texts that is not empty.
func areTexts(raw json.RawMessage, form *regexp.Regexp) bool {
	texts, ok := oneOrMore[string](raw)
	return ok && len(texts) > 0 && !slices.ContainsFunc(texts, func(text string) bool { return !form.MatchString(text) })
}

func isPrincipal(raw json.RawMessage) bool {
	if isEverybody(raw) {
		return true
	}
	var kinds map[string]json.RawMessage
	if json.Unmarshal(raw, &kinds) != nil || len(kinds) == 0 {
		return false
	}
	for kind, names := range kinds {
		if !slices.Contains(principalKinds, kind) || !areTexts(names, policyAny) {
			return false
		}
	}
	return true
}

// isEverybody reports whether a value is "*", or a list with it.
func isEverybody(raw json.RawMessage) bool {
	names, ok := oneOrMore[string](raw)
	return ok && slices.Contains(names, "*")
}

func isCondition(raw json.RawMessage) bool {
	var operators map[string]map[string]any
	if json.Unmarshal(raw, &operators) != nil || operators == nil {
		return false
	}
	for _, keys := range operators {
		for _, value := range keys {
			if !areScalars(value) {
				return false
			}
		}
	}
	return true
}

// areScalars reports whether a value is a text, a number or a truth, or a list of them.
func areScalars(value any) bool {
	if list, ok := value.([]any); ok {
		return !slices.ContainsFunc(list, func(v any) bool { return !isScalar(v) })
	}
	return isScalar(value)
}

func isScalar(value any) bool {
	switch value.(type) {
	case string, float64, bool:
		return true
	default:
		return false
	}
}

// isPublic reports whether a statement is for everybody and has no condition.
func isPublic(s map[string]json.RawMessage) bool {
	var conditions map[string]json.RawMessage
	if raw, has := s["Condition"]; has && json.Unmarshal(raw, &conditions) == nil && len(conditions) > 0 {
		return false
	}
	if _, has := s["NotPrincipal"]; has {
		return true
	}
	var kinds map[string]json.RawMessage
	return isEverybody(s["Principal"]) || json.Unmarshal(s["Principal"], &kinds) == nil && isEverybody(kinds["AWS"])
}
