package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"sluice/cmd/sluice/internal/render"
	"sluice/internal/admin/client"
)

type keysPoliciesCommand struct {
	endpointFlags
	User string `arg:"" name:"user" help:"Name of the user."`
	Name string `arg:"" optional:"" name:"policy" help:"Only this policy: its document, as it was attached."`
}

// Run shows a user's policies.
func (c *keysPoliciesCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	user, err := admin.GetUser(ctx, c.User)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	for _, policy := range user.Policies {
		if policy.Name == c.Name {
			_, err := fmt.Fprintln(to.out, string(policy.Document))
			return err
		}
	}
	switch {
	case c.Name != "":
		return fmt.Errorf("the user %s has no policy %s", c.User, c.Name)
	case c.JSON:
		return printJSON(to.out, user.Policies)
	}
	return render.Policies(to.out, user.Policies)
}

type keysAttachCommand struct {
	endpointFlags
	User string `arg:"" name:"user" help:"Name of the user."`
	File string `arg:"" name:"file" help:"File with the policy, in JSON as IAM has it."`
	Name string `env:"-" placeholder:"NAME" help:"Name of the policy (default: that of the file, without its extension)."`
}

// Run attaches a policy.
func (c *keysAttachCommand) Run(ctx context.Context, to streams) error {
	policy, err := readPolicy(c.File, c.Name)
	if err != nil {
		return err
	}
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	if err := admin.PutUserPolicy(ctx, client.PutUserPolicyInput{User: c.User, Policy: policy}); err != nil {
		return explain(err, c.Endpoint)
	}
	_, err = fmt.Fprintf(to.out, "policy %s is attached to %s\n", policy.Name, c.User)
	return err
}

type keysDetachCommand struct {
	endpointFlags
	User string `arg:"" name:"user" help:"Name of the user."`
	Name string `arg:"" name:"policy" help:"Name of the policy."`
}

// Run detaches a policy.
func (c *keysDetachCommand) Run(ctx context.Context, to streams) error {
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	if err := admin.DeleteUserPolicy(ctx, client.DeleteUserPolicyInput{User: c.User, Name: c.Name}); err != nil {
		return explain(err, c.Endpoint)
	}
	_, err = fmt.Fprintf(to.out, "policy %s is taken from %s\n", c.Name, c.User)
	return err
}

type keysCanCommand struct {
	endpointFlags
	User     string   `arg:"" name:"user" help:"Name of the user."`
	Action   string   `arg:"" name:"action" help:"What it would do, such as ses:GetRelay, secretsmanager:GetSecretValue or sluice:RetryQueue."`
	Resource string   `arg:"" optional:"" default:"*" name:"arn" help:"ARN of what it would do that to, or * for what is about no resource."`
	Context  []string `env:"-" sep:"none" placeholder:"KEY=VALUE" help:"Value of a condition key, such as aws:SourceIp=192.0.2.1; may be given several times."`
}

// Help is the part of --help below the flags' summary.
func (keysCanCommand) Help() string {
	return `It decides by the policies alone: whether the resource exists is not looked at. Condition keys that are not given are as absent,
but for those of who the user is and of the time. The exit code is 0 when the user may, and 1 when it may not.`
}

// errMayNot ends a check whose answer is no, after it is said.
var errMayNot = errors.New("the user may not")

// Run asks for a decision.
func (c *keysCanCommand) Run(ctx context.Context, to streams) error {
	in := client.CheckAccessInput{User: c.User, Action: c.Action, Resource: c.Resource, Context: map[string][]string{}}
	for _, pair := range c.Context {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return usage(fmt.Errorf("--context %q is not KEY=VALUE", pair), "write --context aws:SourceIp=192.0.2.1")
		}
		in.Context[key] = append(in.Context[key], value)
	}
	admin, err := c.client(ctx)
	if err != nil {
		return err
	}
	out, err := admin.CheckAccess(ctx, in)
	if err != nil {
		return explain(err, c.Endpoint)
	}
	if c.JSON {
		err = printJSON(to.out, out)
	} else {
		_, err = fmt.Fprintf(to.out, "%s: %s\n", out.Decision, out.Why)
	}
	if err == nil && !out.Allowed() {
		err = errMayNot
	}
	return err
}
