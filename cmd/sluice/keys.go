package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"sluice/cmd/sluice/internal/render"
	"sluice/internal/admin/client"
)

// keysCommand is the table of what can be done with users and their access keys. Policies are in keys_policies.go.
type keysCommand struct {
	Create   keysCreateCommand   `cmd:"" help:"Make a user with an access key, and print the key."`
	List     keysListCommand     `cmd:"" help:"List the users of the account, with their keys and policies."`
	Rotate   keysRotateCommand   `cmd:"" help:"Give a user a second access key, and print it."`
	Disable  keysDisableCommand  `cmd:"" help:"Refuse an access key from now on."`
	Enable   keysEnableCommand   `cmd:"" help:"Take a disabled access key again."`
	Delete   keysDeleteCommand   `cmd:"" help:"Delete an access key, or a user with all of them."`
	Policies keysPoliciesCommand `cmd:"" help:"Show a user's policies."`
	Attach   keysAttachCommand   `cmd:"" help:"Attach a policy to a user, in place of its policy of that name."`
	Detach   keysDetachCommand   `cmd:"" help:"Take a policy from a user."`
	Can      keysCanCommand      `cmd:"" help:"Show whether a user may do something, and which statement says so."`
	Accounts keysAccountsCommand `cmd:"" help:"List the accounts that have users. Only the root key may."`
}

// administrator is the policy of --admin.
const administrator = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

type keysCreateCommand struct {
	endpointFlags
	User   string   `arg:"" name:"user" help:"Name of the user."`
	Admin  bool     `env:"-" help:"Let the user do everything in its account."`
	Policy []string `env:"-" sep:"none" placeholder:"FILE" help:"File with a policy of the user; may be given several times."`
}

// Help is the part of --help below the flags' summary.
func (keysCreateCommand) Help() string {
	return `A user without a policy may do nothing but ask who it is. The secret is printed once, in the form of AWS's credentials files, and
cannot be had again. With the root key, --account makes users of another account; with its first user an account begins to be.`
}

// Run makes a user.
func (c *keysCreateCommand) Run(ctx context.Context, to streams) error {
	in := client.CreateUserInput{User: c.User}
	if c.Admin {
		in.Policies = append(in.Policies, client.Policy{Name: "admin", Document: json.RawMessage(administrator)})
	}
	for _, path := range c.Policy {
		policy, err := readPolicy(path, "")
		if err != nil {
			return err
		}
		in.Policies = append(in.Policies, policy)
	}
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	made, err := admin.CreateUser(ctx, in)
	if err != nil {
		return hintFor(explain(err, c.Endpoint), err, "ConflictException", "sluice keys rotate "+c.User+" gives it another key")
	}
	return c.print(to.out, made)
}

// print writes a new key: the one time that its secret is seen.
func (f endpointFlags) print(w io.Writer, made client.NewAccessKey) error {
	if f.JSON {
		return printJSON(w, made)
	}
	_, err := fmt.Fprintf(w, "# Access key of %s in account %s. The secret is not shown again.\n[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		made.User, made.Account, made.User, made.AccessKeyId, made.SecretAccessKey)
	return err
}

// hintFor gives an error with a code a way out.
func hintFor(explained, err error, code, way string) error {
	if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Code == code {
		return hint(explained, way)
	}
	return explained
}

type keysListCommand struct{ endpointFlags }

// Run lists users.
func (c *keysListCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	list, err := admin.ListUsers(ctx)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		return printJSON(to.out, list)
	}
	return render.Users(to.out, list.Users)
}

type keysRotateCommand struct {
	endpointFlags
	User string `arg:"" name:"user" help:"Name of the user."`
}

// Help is the part of --help below the flags' summary.
func (keysRotateCommand) Help() string {
	return `Both keys are good until the old one is disabled or deleted: put the new one where the old one is, see in sluice keys list that the
old one is used no more, disable it, and delete it.`
}

// Run makes a second key.
func (c *keysRotateCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	made, err := admin.CreateAccessKey(ctx, c.User)
	if err != nil {
		return hintFor(explain(err, c.Endpoint), err, "ServiceQuotaExceededException", "sluice keys delete "+c.User+" KEY deletes one")
	}
	return c.print(to.out, made)
}

// keyFlags name an access key.
type keyFlags struct {
	endpointFlags
	User string `arg:"" name:"user" help:"Name of the user."`
	Key  string `arg:"" optional:"" name:"key" help:"Id of the access key; it may be left out where only one can be meant."`
}

// choose returns the key that is meant: the one that is named, or the only one with that status.
func (f *keyFlags) choose(ctx context.Context, admin *client.Client, status string) (string, error) {
	if f.Key != "" {
		return f.Key, nil
	}
	user, err := admin.GetUser(ctx, f.User)
	if err != nil {
		return "", explain(err, f.Endpoint)
	}
	var ids []string
	for _, k := range user.AccessKeys {
		if k.Status == status {
			ids = append(ids, k.AccessKeyId)
		}
	}
	if len(ids) != 1 {
		return "", usage(fmt.Errorf("%s has %d access keys that are %s", f.User, len(ids), strings.ToLower(status)), "name the key; sluice keys list shows them")
	}
	return ids[0], nil
}

// set gives the key a status, in place of the other one.
func (f *keyFlags) set(ctx context.Context, to streams, status, other string) error {
	admin, err := f.client(ctx)
	if err != nil {
		return err
	}
	id, err := f.choose(ctx, admin, other)
	if err != nil {
		return err
	}
	if err := admin.UpdateAccessKey(ctx, client.UpdateAccessKeyInput{User: f.User, AccessKeyId: id, Status: status}); err != nil {
		return explain(err, f.Endpoint)
	}
	_, err = fmt.Fprintf(to.out, "%s of %s is %s\n", id, f.User, strings.ToLower(status))
	return err
}

type keysDisableCommand struct{ keyFlags }

// Run disables a key.
func (c *keysDisableCommand) Run(ctx context.Context, to streams) error {
	return c.set(ctx, to, client.KeyInactive, client.KeyActive)
}

type keysEnableCommand struct{ keyFlags }

// Run enables a key.
func (c *keysEnableCommand) Run(ctx context.Context, to streams) error {
	return c.set(ctx, to, client.KeyActive, client.KeyInactive)
}

type keysDeleteCommand struct {
	keyFlags
	All bool `env:"-" help:"Delete the user, with all keys and policies."`
}

// Help is the part of --help below the flags' summary.
func (keysDeleteCommand) Help() string {
	return "Without a key it deletes the user's one disabled key. A key that is in use has to be named."
}

// Run deletes a key or a user.
func (c *keysDeleteCommand) Run(ctx context.Context, to streams) error {
	if c.All && c.Key != "" {
		return usage(errors.New("both a key and --all say what is deleted"), "name a key, or say --all")
	}
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	if c.All {
		if err := admin.DeleteUser(ctx, c.User); err != nil {
			return explain(err, c.Endpoint)
		}
		_, err = fmt.Fprintf(to.out, "user %s is deleted\n", c.User)
		return err
	}
	id, err := c.choose(ctx, admin, client.KeyInactive)
	if err != nil {
		return err
	}
	if err := admin.DeleteAccessKey(ctx, client.DeleteAccessKeyInput{User: c.User, AccessKeyId: id}); err != nil {
		return explain(err, c.Endpoint)
	}
	_, err = fmt.Fprintf(to.out, "%s of %s is deleted\n", id, c.User)
	return err
}

type keysAccountsCommand struct{ endpointFlags }

// Run lists accounts.
func (c *keysAccountsCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	list, err := admin.ListAccounts(ctx)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		return printJSON(to.out, list)
	}
	return render.Accounts(to.out, list.Accounts)
}

// readPolicy reads a policy document; without a name it is called as its file.
func readPolicy(path, name string) (client.Policy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return client.Policy{}, usage(fmt.Errorf("read the policy: %w", err), "")
	}
	if !json.Valid(text) {
		return client.Policy{}, usage(fmt.Errorf("policy %s is not JSON", path), "")
	}
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	return client.Policy{Name: name, Document: text}, nil
}
