package control

import (
	"cmp"
	"context"

	"sluice/internal/mailmanager"
	"sluice/internal/policy"
	"sluice/internal/store"
)

// policyRecord is a traffic policy as it is stored, its statements aside.
type policyRecord struct {
	DefaultAction mailmanager.AcceptAction
	MaxSize       *int32 `json:",omitempty"`
}

// partStatements keeps a policy's statements, which can be large, out of the way of lists.
const partStatements = "statements"

// createTrafficPolicy: Mail Manager, CreateTrafficPolicy.
func (c *Control) createTrafficPolicy(ctx context.Context, scope Scope, in *mailmanager.CreateTrafficPolicyRequest) (*mailmanager.CreateTrafficPolicyResponse, error) {
	req := request{scope: scope, operation: "CreateTrafficPolicy", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindTrafficPolicy, req, func(r store.Resource) (draft, error) {
		r.Name, r.Counted = string(*in.TrafficPolicyName), countedTrafficPolicy
		if err := c.checkStatements(scope.Account, in.PolicyStatements, mailmanager.CodeServiceQuotaExceeded); err != nil {
			return draft{}, err
		}
		record := policyRecord{DefaultAction: *in.DefaultAction, MaxSize: in.MaxMessageSizeBytes}
		return c.draftPolicy(r, record, in.PolicyStatements)
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateTrafficPolicyResponse{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&id)}, nil
}

// draftPolicy completes a traffic policy that is about to be stored; one that cannot be evaluated is refused.
func (c *Control) draftPolicy(r store.Resource, record policyRecord, statements []mailmanager.PolicyStatement) (d draft, err error) {
	view, err := policyView(r, record, statements)
	if err != nil {
		return d, err
	}
	if r.Body, err = encode(record); err != nil {
		return d, err
	}
	encoded, err := encode(statements)
	if err != nil {
		return d, err
	}
	d.Resource, d.Uses, d.Parts = r, usesOfStatements(r.Scope, statements), map[string][]byte{partStatements: encoded}
	d.publish = func() { c.policies.store(view.Key, view) }
	return d, nil
}

// checkStatements refuses statements that are more than the account may have, with that code: UpdateTrafficPolicy has no quota
// error in the model.
func (c *Control) checkStatements(account string, statements []mailmanager.PolicyStatement, code mailmanager.Code) error {
	l := c.limits(account)
	if err := (quota{"statements_per_traffic_policy", l.StatementsPerPolicy}).within(len(statements), account, code); err != nil {
		return err
	}
	for _, s := range statements {
		if err := (quota{"conditions_per_statement", l.ConditionsPerStatement}).within(len(s.Conditions), account, code); err != nil {
			return err
		}
	}
	return nil
}

// policyView compiles a traffic policy for the data plane.
func policyView(r store.Resource, record policyRecord, statements []mailmanager.PolicyStatement) (*Policy, error) {
	compiled, err := policy.Compile(policy.Source{
		Account: r.Account, Region: r.Region, ID: r.ID, Name: r.Name,
		Statements: statements,
		Default:    record.DefaultAction,
		MaxSize:    int64(mailmanager.Value(record.MaxSize)),
	})
	if err != nil {
		return nil, err
	}
	return &Policy{Key: snapshotKey(r.Key), Policy: compiled}, nil
}

// readPolicy reads all of a traffic policy.
func (c *Control) readPolicy(ctx context.Context, r store.Resource) (record policyRecord, statements []mailmanager.PolicyStatement, err error) {
	if record, err = decode[policyRecord](r.Key, r.Body); err != nil {
		return record, nil, err
	}
	encoded, err := c.part(ctx, kindTrafficPolicy, r.Key, partStatements)
	if err != nil {
		return record, nil, err
	}
	statements, err = decode[[]mailmanager.PolicyStatement](r.Key, encoded)
	return record, statements, err
}

// getTrafficPolicy: Mail Manager, GetTrafficPolicy.
func (c *Control) getTrafficPolicy(ctx context.Context, scope Scope, in *mailmanager.GetTrafficPolicyRequest) (*mailmanager.GetTrafficPolicyResponse, error) {
	id := string(*in.TrafficPolicyId)
	if err := kindTrafficPolicy.checkID(id); err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindTrafficPolicy, kindTrafficPolicy.key(scope, id))
	if err != nil {
		return nil, err
	}
	record, statements, err := c.readPolicy(ctx, r)
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetTrafficPolicyResponse{
		TrafficPolicyName:    (*mailmanager.TrafficPolicyName)(&r.Name),
		TrafficPolicyId:      in.TrafficPolicyId,
		TrafficPolicyArn:     mailmanager.Ptr(mailmanager.TrafficPolicyArn(kindTrafficPolicy.arnOf(scope, id))),
		PolicyStatements:     statements,
		MaxMessageSizeBytes:  record.MaxSize,
		DefaultAction:        &record.DefaultAction,
		CreatedTimestamp:     milliseconds(r.Created),
		LastUpdatedTimestamp: milliseconds(r.Modified),
	}, nil
}

// listTrafficPolicies: Mail Manager, ListTrafficPolicies.
func (c *Control) listTrafficPolicies(ctx context.Context, scope Scope, in *mailmanager.ListTrafficPoliciesRequest) (*mailmanager.ListTrafficPoliciesResponse, error) {
	l := listing{scope: scope, kind: kindTrafficPolicy.store, operation: "ListTrafficPolicies", token: in.NextToken, size: pageSize(in.PageSize)}
	policies, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.TrafficPolicy, error) {
		record, err := decode[policyRecord](r.Key, r.Body)
		return mailmanager.TrafficPolicy{
			TrafficPolicyName: (*mailmanager.TrafficPolicyName)(&r.Name),
			TrafficPolicyId:   (*mailmanager.TrafficPolicyId)(&r.ID),
			DefaultAction:     &record.DefaultAction,
		}, err
	})
	return &mailmanager.ListTrafficPoliciesResponse{TrafficPolicies: policies, NextToken: next}, err
}

// updateTrafficPolicy: Mail Manager, UpdateTrafficPolicy. Statements are replaced as a whole; sessions that are open keep
// the policy they began with (Mail Manager, C8).
func (c *Control) updateTrafficPolicy(ctx context.Context, scope Scope, in *mailmanager.UpdateTrafficPolicyRequest) (*mailmanager.UpdateTrafficPolicyResponse, error) {
	id := string(*in.TrafficPolicyId)
	if err := kindTrafficPolicy.checkID(id); err != nil {
		return nil, err
	}
	err := c.update(ctx, kindTrafficPolicy, kindTrafficPolicy.key(scope, id), func(r store.Resource) (draft, error) {
		record, statements, err := c.readPolicy(ctx, r)
		if err != nil {
			return draft{}, err
		}
		replace(&r.Name, (*string)(in.TrafficPolicyName))
		replace(&record.DefaultAction, in.DefaultAction)
		record.MaxSize = cmp.Or(in.MaxMessageSizeBytes, record.MaxSize) // it cannot be cleared (Mail Manager, A11)
		r.Modified = c.now()
		if in.PolicyStatements == nil {
			d, err := c.draftPolicy(r, record, statements)
			d.Uses = nil // as before: what statements of an earlier version name may not be there (Mail Manager, D20)
			return d, err
		}
		if err := c.checkStatements(scope.Account, in.PolicyStatements, mailmanager.CodeValidation); err != nil {
			return draft{}, err
		}
		return c.draftPolicy(r, record, in.PolicyStatements)
	})
	return &mailmanager.UpdateTrafficPolicyResponse{}, err
}

// deleteTrafficPolicy: Mail Manager, DeleteTrafficPolicy. It stays while an ingress point uses it (Mail Manager, A21).
func (c *Control) deleteTrafficPolicy(ctx context.Context, scope Scope, in *mailmanager.DeleteTrafficPolicyRequest) (*mailmanager.DeleteTrafficPolicyResponse, error) {
	id := string(*in.TrafficPolicyId)
	if err := kindTrafficPolicy.checkID(id); err != nil {
		return nil, err
	}
	return &mailmanager.DeleteTrafficPolicyResponse{}, c.remove(ctx, kindTrafficPolicy, kindTrafficPolicy.key(scope, id), c.policies.remove)
}
