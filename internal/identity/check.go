package identity

import (
	"fmt"
	"strings"
	"time"

	"sluice/internal/access"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

// Check is a question about a user: may it do an action on a resource?
type Check struct {
	User     string
	Action   string              // such as ses:GetRelay
	Resource string              // an ARN, or *
	Context  map[string][]string // values of condition keys, beside who the user is and what time it is
}

// Check decides as it would for a request of the user. Errors are CodeResourceNotFound and CodeValidation.
func (u *Users) Check(scope control.Scope, c Check) (access.Decision, error) {
	found, ok := u.user(scope.Account, c.User)
	if !ok {
		return access.Decision{}, noUser(c.User)
	}
	if service, operation, ok := strings.Cut(c.Action, ":"); !ok || service == "" || operation == "" {
		return access.Decision{}, invalid("Action", "an action is a service and an operation, such as ses:GetRelay")
	}
	known := assumed{}
	for name, values := range c.Context {
		key, ok := access.ParseKey(name)
		if !ok {
			return access.Decision{}, invalid("Context", fmt.Sprintf("there is no condition key %.64q; there are %s", name, strings.Join(access.KeyNames(), ", ")))
		}
		known[key] = values
	}
	known.assume("aws:username", c.User)
	known.assume("aws:userid", c.User)
	known.assume("aws:principalaccount", scope.Account)
	known.assume("aws:principalarn", mailmanager.UserARN(scope.Region, scope.Account, c.User))
	known.assume("aws:requestedregion", scope.Region)
	known.assume("aws:currenttime", u.now().Format(time.RFC3339))
	known.assume("aws:epochtime", fmt.Sprint(u.now().Unix()))
	return access.Decide(found.policies, &access.Request{
		Action: c.Action, Resource: c.Resource, User: c.User, Account: scope.Account, Context: known,
	}), nil
}

// assumed are the values of condition keys in a request that nobody has made.
type assumed map[access.Key][]string

var _ access.Context = assumed{}

// Values implements access.Context.
func (a assumed) Values(key access.Key) ([]string, bool) {
	values, ok := a[key]
	return values, ok
}

// assume gives a key a value unless it has one.
func (a assumed) assume(name, value string) {
	key := access.Key{Name: name}
	if _, ok := a[key]; !ok {
		a[key] = []string{value}
	}
}
