package client

import (
	"context"
	"encoding/json"
	"time"
)

// The operations on users, their access keys and their policies. All but ListAccounts are about one account.
const (
	OpCreateUser       = "CreateUser"
	OpListUsers        = "ListUsers"
	OpGetUser          = "GetUser"
	OpDeleteUser       = "DeleteUser"
	OpCreateAccessKey  = "CreateAccessKey"
	OpUpdateAccessKey  = "UpdateAccessKey"
	OpDeleteAccessKey  = "DeleteAccessKey"
	OpPutUserPolicy    = "PutUserPolicy"
	OpDeleteUserPolicy = "DeleteUserPolicy"
	OpCheckAccess      = "CheckAccess"
	OpListAccounts     = "ListAccounts"
)

// The states of an access key.
const (
	KeyActive   = "Active"
	KeyInactive = "Inactive"
)

// Policy is a policy document of a user.
type Policy struct {
	Name     string
	Document json.RawMessage
}

// CreateUserInput names a new user, and the policies it has from the first.
type CreateUserInput struct {
	User     string
	Policies []Policy `json:",omitempty"`
}

// NewAccessKey is an access key that was just made. The secret cannot be had again.
type NewAccessKey struct {
	Account         string
	User            string
	AccessKeyId     string
	SecretAccessKey string
}

// ListUsersInput asks for the users of the account.
type ListUsersInput struct{}

// ListUsersOutput has them by name, without the documents of their policies.
type ListUsersOutput struct {
	Users []User
}

// User is a user of an account. LastUsed of a key is known to the hour.
type User struct {
	Name       string
	Created    time.Time
	Policies   []Policy
	AccessKeys []AccessKey
}

// AccessKey is an access key without its secret.
type AccessKey struct {
	AccessKeyId string
	Status      string // KeyActive, KeyInactive
	Created     time.Time
	LastUsed    time.Time `json:",omitzero"`
}

// GetUserInput names a user.
type GetUserInput struct{ User string }

// GetUserOutput is the user with its policies.
type GetUserOutput struct{ User User }

// DeleteUserInput names a user, who goes with all keys and policies.
type DeleteUserInput struct{ User string }

// CreateAccessKeyInput names a user who gets another access key; there may be two.
type CreateAccessKeyInput struct{ User string }

// UpdateAccessKeyInput makes a key usable or not.
type UpdateAccessKeyInput struct {
	User        string
	AccessKeyId string
	Status      string // KeyActive, KeyInactive
}

// DeleteAccessKeyInput names a key.
type DeleteAccessKeyInput struct {
	User        string
	AccessKeyId string
}

// PutUserPolicyInput attaches a policy to a user, in place of its policy of that name.
type PutUserPolicyInput struct {
	User string
	Policy
}

// DeleteUserPolicyInput names a policy of a user.
type DeleteUserPolicyInput struct {
	User string
	Name string
}

// CheckAccessInput asks whether a user may do something. Context has values of condition keys.
type CheckAccessInput struct {
	User     string
	Action   string
	Resource string
	Context  map[string][]string `json:",omitempty"`
}

// CheckAccessOutput is the decision, and why.
type CheckAccessOutput struct {
	Decision  string // ALLOWED, DENIED, NOTHING_ALLOWS
	Why       string // in words
	Policy    string `json:",omitempty"` // that decided
	Statement int    `json:",omitempty"` // from 1
	Sid       string `json:",omitempty"`
}

// Allowed reports whether the user may.
func (o *CheckAccessOutput) Allowed() bool { return o.Decision == "ALLOWED" }

// ListAccountsInput asks for the accounts of the installation. Only its root may.
type ListAccountsInput struct{}

// ListAccountsOutput has every account with users, by id.
type ListAccountsOutput struct {
	Accounts []Account
}

// Account is an account and how many users it has.
type Account struct {
	Id    string
	Users int
}

// Done is the output of operations that have nothing to tell.
type Done struct{}

// CreateUser makes a user with an access key.
func (c *Client) CreateUser(ctx context.Context, in CreateUserInput) (made NewAccessKey, err error) {
	err = c.call(ctx, OpCreateUser, in, &made)
	return made, err
}

// ListUsers returns the users of the account.
func (c *Client) ListUsers(ctx context.Context) (list ListUsersOutput, err error) {
	err = c.call(ctx, OpListUsers, ListUsersInput{}, &list)
	return list, err
}

// GetUser returns a user.
func (c *Client) GetUser(ctx context.Context, user string) (User, error) {
	var out GetUserOutput
	err := c.call(ctx, OpGetUser, GetUserInput{user}, &out)
	return out.User, err
}

// DeleteUser removes a user.
func (c *Client) DeleteUser(ctx context.Context, user string) error {
	return c.call(ctx, OpDeleteUser, DeleteUserInput{user}, &Done{})
}

// CreateAccessKey gives a user another access key.
func (c *Client) CreateAccessKey(ctx context.Context, user string) (made NewAccessKey, err error) {
	err = c.call(ctx, OpCreateAccessKey, CreateAccessKeyInput{user}, &made)
	return made, err
}

// UpdateAccessKey makes a key usable or not.
func (c *Client) UpdateAccessKey(ctx context.Context, in UpdateAccessKeyInput) error {
	return c.call(ctx, OpUpdateAccessKey, in, &Done{})
}

// DeleteAccessKey removes a key.
func (c *Client) DeleteAccessKey(ctx context.Context, in DeleteAccessKeyInput) error {
	return c.call(ctx, OpDeleteAccessKey, in, &Done{})
}

// PutUserPolicy attaches a policy.
func (c *Client) PutUserPolicy(ctx context.Context, in PutUserPolicyInput) error {
	return c.call(ctx, OpPutUserPolicy, in, &Done{})
}

// DeleteUserPolicy removes a policy.
func (c *Client) DeleteUserPolicy(ctx context.Context, in DeleteUserPolicyInput) error {
	return c.call(ctx, OpDeleteUserPolicy, in, &Done{})
}

// CheckAccess asks whether a user may do something.
func (c *Client) CheckAccess(ctx context.Context, in CheckAccessInput) (out CheckAccessOutput, err error) {
	err = c.call(ctx, OpCheckAccess, in, &out)
	return out, err
}

// ListAccounts returns the accounts of the installation.
func (c *Client) ListAccounts(ctx context.Context) (list ListAccountsOutput, err error) {
	err = c.call(ctx, OpListAccounts, ListAccountsInput{}, &list)
	return list, err
}
