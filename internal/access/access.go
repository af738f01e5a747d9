// Package access decides what a user may do. It reads the policy documents of IAM (identity-based ones: Effect, Action,
// Resource, Condition), compiles them once, and answers a request with a decision and the statement that made it. An
// explicit deny wins, and what nothing allows is denied. It is pure: what a condition asks for is looked up through the
// Context of the request, and only if a statement asks. Start with Parse, then Decide.
//
// It differs from IAM where IAM would let a mistake pass: a condition key, an operator or a member that is not known here
// is refused when the document is read, since a statement that can never match says nothing of it later. There are no
// principals (a policy is attached to a user), no permission boundaries and no session policies.
package access

import (
	"fmt"
	"strings"
)

// Request is one action on one resource, as somebody asks for it.
type Request struct {
	Action   string  // such as ses:GetRelay; its case does not matter
	Resource string  // an ARN, or * for what is no resource
	Every    bool    // Resource ends in a * that stands for whatever there is: who may not have one of them may not have them all
	User     string  // name, for ${aws:username}
	Account  string  // of the user, for ${aws:PrincipalAccount}
	Context  Context // nil: nothing is known
}

// Context tells what conditions ask for.
type Context interface {
	// Values returns the values of a condition key as Key names it; ok is false when the request has none.
	Values(key Key) (values []string, ok bool)
}

// Key is a condition key as policies may ask for it.
type Key struct {
	Name string // in lower case: aws:sourceip; of a key with a tag, up to the slash: aws:requesttag
	Tag  string // what follows the slash, as it was written
}

// Reason says how a decision came about.
type Reason uint8

// The reasons. The zero Reason denies.
const (
	NothingAllows Reason = iota // no statement matches
	Allowed                     // a statement allows it and none denies
	Denied                      // a statement denies it
)

var reasonNames = [...]string{NothingAllows: "NOTHING_ALLOWS", Allowed: "ALLOWED", Denied: "DENIED"}

// String is NOTHING_ALLOWS, ALLOWED or DENIED.
func (r Reason) String() string {
	if int(r) < len(reasonNames) {
		return reasonNames[r]
	}
	return fmt.Sprintf("Reason(%d)", uint8(r))
}

// Decision is the answer to a request.
type Decision struct {
	Reason    Reason
	Policy    string // name of the policy that decided; empty when nothing allows
	Statement int    // its statement, from 1
	Sid       string // that statement's, if it has one
}

// Allowed reports whether the request may be carried out.
func (d Decision) Allowed() bool { return d.Reason == Allowed }

// Decide answers a request by a user's policies, in whatever order they and their statements are. It is safe for
// concurrent use.
func Decide(policies []*Policy, r *Request) Decision {
	var allowed Decision
	for _, p := range policies {
		for i := range p.statements {
			s := &p.statements[i]
			if !s.deny && allowed.Allowed() || !s.matches(r) {
				continue
			}
			by := Decision{Reason: Allowed, Policy: p.name, Statement: i + 1, Sid: s.sid}
			if s.deny {
				by.Reason = Denied
				return by
			}
			allowed = by
		}
	}
	return allowed
}

// Policy is a policy document, compiled. It is not changed.
type Policy struct {
	name       string
	statements []statement
}

// Name is what it was called when it was parsed.
func (p *Policy) Name() string { return p.name }

// statement is one statement of a policy. It matches when its actions, its resources and all its conditions do.
type statement struct {
	sid        string
	deny       bool
	actions    patterns
	resources  patterns
	conditions []condition
}

// patterns are the values of Action, NotAction, Resource or NotResource.
type patterns struct {
	any []pattern
	not bool // those that none of them matches are meant
}

func (p *patterns) match(text string, r *Request) bool {
	for i := range p.any {
		if p.any[i].match(text, r) {
			return !p.not
		}
	}
	return p.not
}

func (s *statement) matches(r *Request) bool {
	if !s.actions.match(r.Action, r) || !s.concerns(r) {
		return false
	}
	for i := range s.conditions {
		if !s.holds(&s.conditions[i], r) {
			return false
		}
	}
	return true
}

// concerns reports whether the resource is one of the statement's. Of every resource, an allow must have all, and a deny one.
func (s *statement) concerns(r *Request) bool {
	if r.Every && s.deny != s.resources.not {
		return s.resources.reach(strings.TrimSuffix(r.Resource, "*"), r) == s.deny
	}
	return s.resources.match(r.Resource, r)
}

// reach reports whether one of the patterns matches a text that begins like that.
func (p *patterns) reach(beginning string, r *Request) bool {
	for i := range p.any {
		if p.any[i].reaches(beginning, r) {
			return true
		}
	}
	return false
}

// holds tests a condition. The tags of every resource are not known: an allow cannot count on them, and a deny may be of one.
func (s *statement) holds(c *condition, r *Request) bool {
	if r.Every && c.key.Name == keyResourceTag {
		return s.deny
	}
	return c.holds(r)
}
