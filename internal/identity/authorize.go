package identity

import (
	"context"
	"encoding/json"
	"fmt"

	"sluice/internal/access"
	"sluice/internal/awsapi"
	"sluice/internal/mailmanager"
)

// Authorizer decides by the policies of users. It implements awsapi.Authorizer and is safe for concurrent use.
type Authorizer struct {
	users     *Users
	resources Resources
}

var _ awsapi.Authorizer = (*Authorizer)(nil)

// NewAuthorizer returns the Authorizer of users and of the resources that they may use.
func NewAuthorizer(users *Users, resources Resources) *Authorizer {
	return &Authorizer{users: users, resources: resources}
}

// Authorize implements awsapi.Authorizer. The error for what may not be done is CodeAccessDenied and names the action and the
// resource as the caller named it: it is the same whether the resource exists or not (S36).
func (a *Authorizer) Authorize(ctx context.Context, ask *awsapi.Ask) (resources []string, err error) {
	a.users.use(ask.Caller.AccessKeyID)
	if ask.Service == serviceSTS {
		return nil, nil // whoever can sign may ask who it is (Mail Manager, A30)
	}
	q := &question{
		ctx: ctx, caller: &ask.Caller, service: ask.Service, operation: ask.Operation, input: ask.Input, resources: a.resources,
	}
	r, known := tables[q.service][q.operation]
	if !known { // the handler says that there is none, to whoever may do everything
		r.targets = nothing
	}
	if err := q.read(r); err != nil {
		return nil, err
	}
	all := r.targets(q)
	for i := range all {
		resources = append(resources, all[i].name())
	}
	if ask.Caller.User == "" {
		return resources, nil
	}
	if r.root {
		return resources, mailmanager.Errorf(mailmanager.CodeAccessDenied, "User: %s is not authorized to perform: %s: only the root of the installation is",
			ask.Caller.Principal, q.action(&all[0]))
	}
	for i := range all {
		if err := a.decide(q, &all[i]); err != nil {
			return resources, err
		}
	}
	return resources, nil
}

// read reads the input of an operation of the admin API, as its handler will.
func (q *question) read(r row) error {
	raw, ok := q.input.(json.RawMessage)
	if !ok {
		return nil
	}
	if r.input == nil {
		q.input = nil
		return nil
	}
	q.input = r.input()
	// What is there beside the members that are known is for the handler to refuse.
	if err := json.Unmarshal(raw, q.input); err != nil {
		return mailmanager.Errorf(mailmanager.CodeSerialization, "The input cannot be read: %v", err)
	}
	return nil
}

// name is the ARN as the caller may see it.
func (t *target) name() string {
	if t.shown != "" {
		return t.shown
	}
	return t.arn
}

func (q *question) action(t *target) string {
	if t.action != "" {
		return t.action
	}
	return q.service + ":" + q.operation
}

// decide refuses what the caller's policies do not allow. A user that is gone has none.
func (a *Authorizer) decide(q *question, t *target) error {
	var policies []*access.Policy
	if found, ok := a.users.user(q.caller.Account, q.caller.User); ok {
		policies = found.policies
	}
	decision := access.Decide(policies, &access.Request{
		Action: q.action(t), Resource: t.arn, Every: t.every, User: q.caller.User, Account: q.caller.Account,
		Context: &facts{question: q, arn: t.arn, now: a.users.cfg.Now()},
	})
	if q.err != nil { // a decision without what it asked for is none
		return fmt.Errorf("look up what a policy asks for: %w", q.err)
	}
	if decision.Allowed() {
		return nil
	}
	return mailmanager.Errorf(mailmanager.CodeAccessDenied, "User: %s is not authorized to perform: %s on resource: %s because %s",
		q.caller.Principal, q.action(t), t.name(), Why(decision))
}

// Why is the reason of a decision in words.
func Why(d access.Decision) string {
	if d.Reason == access.NothingAllows {
		return "no statement of its policies allows it"
	}
	which := fmt.Sprintf("statement %d", d.Statement)
	if d.Sid != "" {
		which += " (" + d.Sid + ")"
	}
	verb := "allows"
	if d.Reason == access.Denied {
		verb = "denies"
	}
	return fmt.Sprintf("%s of policy %s %s it", which, d.Policy, verb)
}
