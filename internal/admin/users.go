package admin

import (
	"context"
	"encoding/json"

	"sluice/internal/access"
	"sluice/internal/admin/client"
	"sluice/internal/control"
	"sluice/internal/identity"
	"sluice/internal/mailmanager"
)

// Users are the users of all accounts. identity.Users are Users. Who may call an operation is decided before it is.
type Users interface {
	Create(ctx context.Context, account, name string, policies []identity.PolicyDocument) (identity.NewKey, error)
	List(account string) []identity.User
	Get(account, name string) (identity.User, error)
	Delete(ctx context.Context, account, name string) error
	CreateKey(ctx context.Context, account, name string) (identity.NewKey, error)
	SetKey(ctx context.Context, account, name string, k identity.KeyState) error
	DeleteKey(ctx context.Context, account, name, id string) error
	PutPolicy(ctx context.Context, account, name string, p identity.PolicyDocument) error
	DeletePolicy(ctx context.Context, account, name, policy string) error
	Check(scope control.Scope, c identity.Check) (access.Decision, error)
	Accounts() []identity.Account
}

// aboutUsers are the operations on users.
func (api *API) aboutUsers() map[string]handler {
	return map[string]handler{
		client.OpCreateUser:       typed(api.createUser),
		client.OpListUsers:        typed(api.listUsers),
		client.OpGetUser:          typed(api.getUser),
		client.OpDeleteUser:       typed(api.deleteUser),
		client.OpCreateAccessKey:  typed(api.createAccessKey),
		client.OpUpdateAccessKey:  typed(api.updateAccessKey),
		client.OpDeleteAccessKey:  typed(api.deleteAccessKey),
		client.OpPutUserPolicy:    typed(api.putUserPolicy),
		client.OpDeleteUserPolicy: typed(api.deleteUserPolicy),
		client.OpCheckAccess:      typed(api.checkAccess),
		client.OpListAccounts:     typed(api.listAccounts),
	}
}

func (api *API) createUser(ctx context.Context, scope control.Scope, in client.CreateUserInput) (client.NewAccessKey, error) {
	var policies []identity.PolicyDocument
	for _, p := range in.Policies {
		policies = append(policies, policyOf(p))
	}
	made, err := api.cfg.Users.Create(ctx, scope.Account, in.User, policies)
	return newAccessKey(scope, in.User, made), err
}

func policyOf(p client.Policy) identity.PolicyDocument {
	return identity.PolicyDocument{Name: p.Name, Document: string(p.Document)}
}

func newAccessKey(scope control.Scope, user string, made identity.NewKey) client.NewAccessKey {
	return client.NewAccessKey{Account: scope.Account, User: user, AccessKeyId: made.ID, SecretAccessKey: made.Secret}
}

func (api *API) listUsers(_ context.Context, scope control.Scope, _ client.ListUsersInput) (client.ListUsersOutput, error) {
	out := client.ListUsersOutput{Users: []client.User{}}
	for _, found := range api.cfg.Users.List(scope.Account) {
		shown := userShown(found)
		for i := range shown.Policies {
			shown.Policies[i].Document = nil
		}
		out.Users = append(out.Users, shown)
	}
	return out, nil
}

func userShown(u identity.User) client.User {
	shown := client.User{Name: u.Name, Created: u.Created, Policies: []client.Policy{}, AccessKeys: []client.AccessKey{}}
	for _, p := range u.Policies {
		shown.Policies = append(shown.Policies, client.Policy{Name: p.Name, Document: json.RawMessage(p.Document)})
	}
	for _, k := range u.Keys {
		status := client.KeyActive
		if k.Inactive {
			status = client.KeyInactive
		}
		shown.AccessKeys = append(shown.AccessKeys, client.AccessKey{AccessKeyId: k.ID, Status: status, Created: k.Created, LastUsed: k.Used})
	}
	return shown
}

func (api *API) getUser(_ context.Context, scope control.Scope, in client.GetUserInput) (out client.GetUserOutput, err error) {
	found, err := api.cfg.Users.Get(scope.Account, in.User)
	return client.GetUserOutput{User: userShown(found)}, err
}

func (api *API) deleteUser(ctx context.Context, scope control.Scope, in client.DeleteUserInput) (client.Done, error) {
	return client.Done{}, api.cfg.Users.Delete(ctx, scope.Account, in.User)
}

func (api *API) createAccessKey(ctx context.Context, scope control.Scope, in client.CreateAccessKeyInput) (client.NewAccessKey, error) {
	made, err := api.cfg.Users.CreateKey(ctx, scope.Account, in.User)
	return newAccessKey(scope, in.User, made), err
}

func (api *API) updateAccessKey(ctx context.Context, scope control.Scope, in client.UpdateAccessKeyInput) (client.Done, error) {
	if in.Status != client.KeyActive && in.Status != client.KeyInactive {
		return client.Done{}, mailmanager.Errorf(mailmanager.CodeValidation, "Status: is neither %s nor %s", client.KeyActive, client.KeyInactive)
	}
	state := identity.KeyState{ID: in.AccessKeyId, Inactive: in.Status == client.KeyInactive}
	return client.Done{}, api.cfg.Users.SetKey(ctx, scope.Account, in.User, state)
}

func (api *API) deleteAccessKey(ctx context.Context, scope control.Scope, in client.DeleteAccessKeyInput) (client.Done, error) {
	return client.Done{}, api.cfg.Users.DeleteKey(ctx, scope.Account, in.User, in.AccessKeyId)
}

func (api *API) putUserPolicy(ctx context.Context, scope control.Scope, in client.PutUserPolicyInput) (client.Done, error) {
	return client.Done{}, api.cfg.Users.PutPolicy(ctx, scope.Account, in.User, policyOf(in.Policy))
}

func (api *API) deleteUserPolicy(ctx context.Context, scope control.Scope, in client.DeleteUserPolicyInput) (client.Done, error) {
	return client.Done{}, api.cfg.Users.DeletePolicy(ctx, scope.Account, in.User, in.Name)
}

func (api *API) checkAccess(_ context.Context, scope control.Scope, in client.CheckAccessInput) (out client.CheckAccessOutput, err error) {
	d, err := api.cfg.Users.Check(scope, identity.Check{User: in.User, Action: in.Action, Resource: in.Resource, Context: in.Context})
	if err != nil {
		return out, err
	}
	return client.CheckAccessOutput{Decision: d.Reason.String(), Why: identity.Why(d), Policy: d.Policy, Statement: d.Statement, Sid: d.Sid}, nil
}

func (api *API) listAccounts(context.Context, control.Scope, client.ListAccountsInput) (client.ListAccountsOutput, error) {
	out := client.ListAccountsOutput{Accounts: []client.Account{}}
	for _, a := range api.cfg.Users.Accounts() {
		out.Accounts = append(out.Accounts, client.Account{Id: a.ID, Users: a.Users})
	}
	return out, nil
}
