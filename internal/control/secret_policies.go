package control

import (
	"context"
	"errors"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// partPolicy keeps a secret's resource policy. No version has so short an id.
const partPolicy = "policy"

// putResourcePolicy: Secrets Manager, PutResourcePolicy. The policy is checked, and nobody is asked about it later: relays and
// ingress points use the secrets of their own account and region, and nobody else gets there.
func (c *Control) putResourcePolicy(ctx context.Context, scope Scope, in *secretsmanager.PutResourcePolicyRequest) (*secretsmanager.PutResourcePolicyResponse, error) {
	problems, ok := secretsmanager.CheckPolicy(*in.ResourcePolicy)
	if !ok {
		return nil, notAPolicy()
	}
	for _, p := range problems {
		switch {
		case p.Check == secretsmanager.CheckSyntax:
			return nil, mailmanager.Errorf(secretsmanager.CodeMalformedPolicy, "The resource policy is malformed: %s", p.Text)
		case mailmanager.Value(in.BlockPublicPolicy):
			return nil, mailmanager.Errorf(secretsmanager.CodePublicPolicy, "The resource policy is public: %s", p.Text)
		}
	}
	s, err := c.setPolicy(ctx, scope, *in.SecretId, []byte(*in.ResourcePolicy))
	if err != nil {
		return nil, err
	}
	return &secretsmanager.PutResourcePolicyResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name}, nil
}

// deleteResourcePolicy: Secrets Manager, DeleteResourcePolicy. That there is none is no error.
func (c *Control) deleteResourcePolicy(ctx context.Context, scope Scope, in *secretsmanager.DeleteResourcePolicyRequest) (*secretsmanager.DeleteResourcePolicyResponse, error) {
	s, err := c.setPolicy(ctx, scope, *in.SecretId, nil)
	if err != nil {
		return nil, err
	}
	return &secretsmanager.DeleteResourcePolicyResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name}, nil
}

// setPolicy stores a secret's policy; nil removes it.
func (c *Control) setPolicy(ctx context.Context, scope Scope, nameOrARN string, policy []byte) (foundSecret, error) {
	s, err := c.findSecret(ctx, scope, nameOrARN)
	if err != nil {
		return s, err
	}
	return s, c.changeSecret(ctx, s.Key, func(s foundSecret) (d draft, err error) {
		if s.record.Deleted != nil {
			return d, deletedSecret()
		}
		d.Resource, d.Parts = s.Resource, map[string][]byte{partPolicy: policy}
		d.Resource.Modified = c.now()
		return d, nil
	})
}

// getResourcePolicy: Secrets Manager, GetResourcePolicy. It is as it was put, octet by octet.
func (c *Control) getResourcePolicy(ctx context.Context, scope Scope, in *secretsmanager.GetResourcePolicyRequest) (*secretsmanager.GetResourcePolicyResponse, error) {
	s, err := c.findSecret(ctx, scope, *in.SecretId)
	if err != nil {
		return nil, err
	}
	if s.record.Deleted != nil {
		return nil, deletedSecret()
	}
	out := &secretsmanager.GetResourcePolicyResponse{ARN: mailmanager.Ptr(s.arn()), Name: &s.Name}
	policy, err := c.cfg.Store.Part(ctx, s.Key, partPolicy)
	if errors.Is(err, store.ErrNotFound) {
		return out, nil
	}
	out.ResourcePolicy = mailmanager.Ptr(string(policy))
	return out, err
}

// validateResourcePolicy: Secrets Manager, ValidateResourcePolicy.
func (c *Control) validateResourcePolicy(ctx context.Context, scope Scope, in *secretsmanager.ValidateResourcePolicyRequest) (*secretsmanager.ValidateResourcePolicyResponse, error) {
	if in.SecretId != nil {
		if _, err := c.findSecret(ctx, scope, *in.SecretId); err != nil {
			return nil, err
		}
	}
	problems, ok := secretsmanager.CheckPolicy(*in.ResourcePolicy)
	if !ok {
		return nil, notAPolicy()
	}
	out := &secretsmanager.ValidateResourcePolicyResponse{
		PolicyValidationPassed: mailmanager.Ptr(len(problems) == 0), ValidationErrors: []secretsmanager.ValidationErrorsEntry{},
	}
	for _, p := range problems {
		out.ValidationErrors = append(out.ValidationErrors, secretsmanager.ValidationErrorsEntry{CheckName: &p.Check, ErrorMessage: &p.Text})
	}
	return out, nil
}

func notAPolicy() error {
	return mailmanager.Errorf(secretsmanager.CodeMalformedPolicy, "The resource policy is not a JSON object")
}
