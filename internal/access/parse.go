package access

import (
	"regexp"
	"strings"
)

// versionVariables is the version of the policy language in which ${…} is a variable; the older one has it as text.
const (
	versionVariables = "2012-10-17"
	versionOld       = "2008-10-17"
)

// sids is what statement ids are made of: IAM, Grammar of the IAM JSON policy language.
var sids = regexp.MustCompile(`^[A-Za-z0-9 ]{0,64}$`)

// actionPatterns are *, and the actions of a service with or without wildcards.
var actionPatterns = regexp.MustCompile(`^(\*|[A-Za-z0-9-]{1,64}:[A-Za-z0-9*?]{1,128})$`)

// resourcePatterns are *, and an ARN with or without wildcards: six parts, or fewer where a * may stand for the rest.
var resourcePatterns = regexp.MustCompile(`^(\*|arn:.*|arn\*.*)$`)

// arnParts is how many parts an ARN has; the last may have colons.
const arnParts = 6

// Parse compiles a policy document; name is what decisions call it. The error says what is wrong and where, as in
// Statement[0].Condition.StringEquals, and repeats nothing else of the document but names of members.
func Parse(name string, text []byte) (*Policy, error) {
	document, err := readDocument(text)
	if err != nil {
		return nil, err
	}
	if document.kind != nodeObject {
		return nil, wrong("", "a policy is a JSON object")
	}
	c := compiler{}
	var statements *node
	for i := range document.members {
		m := &document.members[i]
		switch m.name {
		case "Version":
			if m.value.kind != nodeString || m.value.text != versionVariables && m.value.text != versionOld {
				return nil, wrong("Version", "is neither %s nor %s", versionVariables, versionOld)
			}
			c.variables = m.value.text == versionVariables
		case "Id":
			if m.value.kind != nodeString {
				return nil, wrong("Id", "is no string")
			}
		case "Statement":
			statements = &m.value
		default:
			return nil, wrong(join("", m.name), "a policy has no such member: Version, Id, Statement")
		}
	}
	if statements == nil {
		return nil, wrong("Statement", "is missing")
	}
	p := &Policy{name: name}
	p.statements, err = c.statements(statements)
	return p, err
}

// compiler compiles the parts of one document.
type compiler struct{ variables bool }

func (c compiler) statements(n *node) ([]statement, error) {
	values, paths := n.items("Statement")
	if len(values) == 0 || len(values) > maxStatements {
		return nil, wrong("Statement", "has %d statements, from 1 to %d", len(values), maxStatements)
	}
	all := make([]statement, len(values))
	seen := map[string]bool{}
	for i := range values {
		s, err := c.statement(paths[i], &values[i])
		if err != nil {
			return nil, err
		}
		if s.sid != "" && seen[s.sid] {
			return nil, wrong(paths[i]+".Sid", "is that of another statement")
		}
		seen[s.sid] = true
		all[i] = s
	}
	return all, nil
}

func (c compiler) statement(path string, n *node) (s statement, err error) {
	if n.kind != nodeObject {
		return s, wrong(path, "is no object")
	}
	there := map[string]bool{}
	for i := range n.members {
		m := &n.members[i]
		at := join(path, m.name)
		there[m.name] = true
		switch m.name {
		case "Sid":
			s.sid, err = readSid(at, &m.value)
		case "Effect":
			s.deny, err = readEffect(at, &m.value)
		case "Action", "NotAction":
			s.actions, err = c.patterns(at, &m.value, actionPattern)
			s.actions.not = m.name == "NotAction"
		case "Resource", "NotResource":
			s.resources, err = c.patterns(at, &m.value, resourcePattern)
			s.resources.not = m.name == "NotResource"
		case "Condition":
			s.conditions, err = c.conditions(at, &m.value)
		default:
			err = wrong(at, "a statement has no such member: Sid, Effect, Action, NotAction, Resource, NotResource, Condition")
		}
		if err != nil {
			return s, err
		}
	}
	return s, checkMembers(path, there)
}

func checkMembers(path string, there map[string]bool) error {
	if !there["Effect"] {
		return wrong(path+".Effect", "is missing")
	}
	for _, one := range []string{"Action", "Resource"} {
		if there[one] == there["Not"+one] {
			return wrong(path+"."+one, "one of %s and Not%s must be there", one, one)
		}
	}
	return nil
}

func readSid(path string, n *node) (string, error) {
	if n.kind != nodeString || !sids.MatchString(n.text) {
		return "", wrong(path, "is no string of up to 64 letters, digits and spaces")
	}
	return n.text, nil
}

func readEffect(path string, n *node) (deny bool, err error) {
	if n.kind != nodeString || n.text != "Allow" && n.text != "Deny" {
		return false, wrong(path, "is neither Allow nor Deny")
	}
	return n.text == "Deny", nil
}

// element checks and compiles one value of a list of patterns.
type element func(c compiler, path, text string) (pattern, error)

func (c compiler) patterns(path string, n *node, compile element) (p patterns, err error) {
	values, paths := n.items(path)
	if len(values) == 0 {
		return p, wrong(path, "is empty")
	}
	p.any = make([]pattern, len(values))
	for i := range values {
		if values[i].kind != nodeString {
			return p, wrong(paths[i], "is no string")
		}
		if p.any[i], err = compile(c, paths[i], values[i].text); err != nil {
			return p, err
		}
	}
	return p, nil
}

func actionPattern(_ compiler, path, text string) (pattern, error) {
	if !actionPatterns.MatchString(text) {
		return pattern{}, wrong(path, "is no action such as ses:GetRelay, ses:Get* or *")
	}
	return compilePattern(text, patternKind{fold: true})
}

func resourcePattern(c compiler, path, text string) (pattern, error) {
	whole := strings.Count(text, ":") >= arnParts-1 || strings.Contains(text, "*")
	if !resourcePatterns.MatchString(text) || !whole {
		return pattern{}, wrong(path, "is no ARN such as arn:aws:ses:*:*:mailmanager-smtp-relay/* and not *")
	}
	p, err := compilePattern(text, patternKind{variables: c.variables})
	if err != nil {
		return p, wrong(path, "%v", err)
	}
	return p, nil
}
