package control

import (
	"context"

	"sluice/internal/mailmanager"
	"sluice/internal/rule"
	"sluice/internal/store"
)

// partRules keeps a rule set's rules, which can be large, out of the way of lists.
const partRules = "rules"

// createRuleSet: Mail Manager, CreateRuleSet. What the actions name need not exist (Mail Manager, A25).
func (c *Control) createRuleSet(ctx context.Context, scope Scope, in *mailmanager.CreateRuleSetRequest) (*mailmanager.CreateRuleSetResponse, error) {
	req := request{scope: scope, operation: "CreateRuleSet", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindRuleSet, req, func(r store.Resource) (draft, error) {
		r.Name, r.Counted = string(*in.RuleSetName), countedRuleSet
		if err := c.checkRules(scope.Account, in.Rules, mailmanager.CodeServiceQuotaExceeded); err != nil {
			return draft{}, err
		}
		return c.draftRuleSet(r, in.Rules)
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateRuleSetResponse{RuleSetId: (*mailmanager.RuleSetId)(&id)}, nil
}

// draftRuleSet completes a rule set that is about to be stored; one that cannot be evaluated is refused.
func (c *Control) draftRuleSet(r store.Resource, rules []mailmanager.Rule) (d draft, err error) {
	rules = withoutDefaults(rules)
	view, err := ruleSetView(r, rules)
	if err != nil {
		return d, err
	}
	encoded, err := encode(rules)
	if err != nil {
		return d, err
	}
	d.Resource, d.Uses, d.Parts = r, usesOfRules(r.Scope, rules), map[string][]byte{partRules: encoded}
	d.publish = func() { c.ruleSets.store(view.Key, view) }
	return d, nil
}

// checkRules refuses rules that are more than the account may have, with that code: UpdateRuleSet has no quota error in the
// model. Source: Mail Manager, section 10; Mail Manager, D17.
func (c *Control) checkRules(account string, rules []mailmanager.Rule, code mailmanager.Code) error {
	l := c.limits(account)
	if err := (quota{"rules_per_rule_set", l.RulesPerRuleSet}).within(len(rules), account, code); err != nil {
		return err
	}
	for _, r := range rules {
		conditions := max(len(r.Conditions), len(r.Unless))
		if err := (quota{"conditions_per_rule", l.ConditionsPerRule}).within(conditions, account, code); err != nil {
			return err
		}
		if err := (quota{"actions_per_rule", l.ActionsPerRule}).within(len(r.Actions), account, code); err != nil {
			return err
		}
	}
	return quota{"relay_or_send_actions_per_rule_set", l.RelaysAndSendsPerRuleSet}.within(relaysAndSends(rules), account, code)
}

// ruleSetView compiles a rule set for the data plane. The rules must not be changed afterwards.
func ruleSetView(r store.Resource, rules []mailmanager.Rule) (*RuleSet, error) {
	compiled, err := rule.Compile(rules)
	if err != nil {
		return nil, err
	}
	source, hash := rule.Source(rules)
	return &RuleSet{Key: snapshotKey(r.Key), Name: r.Name, Hash: hash, Source: source, Set: compiled}, nil
}

func relaysAndSends(rules []mailmanager.Rule) (n int) {
	for _, r := range rules {
		for _, a := range r.Actions {
			if a.Relay != nil || a.Send != nil {
				n++
			}
		}
	}
	return n
}

// getRuleSet: Mail Manager, GetRuleSet.
func (c *Control) getRuleSet(ctx context.Context, scope Scope, in *mailmanager.GetRuleSetRequest) (*mailmanager.GetRuleSetResponse, error) {
	id := string(*in.RuleSetId)
	if err := kindRuleSet.checkID(id); err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindRuleSet, kindRuleSet.key(scope, id))
	if err != nil {
		return nil, err
	}
	rules, err := c.readRules(ctx, r)
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetRuleSetResponse{
		RuleSetId:            in.RuleSetId,
		RuleSetArn:           mailmanager.Ptr(mailmanager.RuleSetArn(kindRuleSet.arnOf(scope, id))),
		RuleSetName:          (*mailmanager.RuleSetName)(&r.Name),
		CreatedDate:          seconds(r.Created),
		LastModificationDate: seconds(r.Modified),
		Rules:                rules,
	}, nil
}

func (c *Control) readRules(ctx context.Context, r store.Resource) ([]mailmanager.Rule, error) {
	encoded, err := c.part(ctx, kindRuleSet, r.Key, partRules)
	if err != nil {
		return nil, err
	}
	return decode[[]mailmanager.Rule](r.Key, encoded)
}

// listRuleSets: Mail Manager, ListRuleSets.
func (c *Control) listRuleSets(ctx context.Context, scope Scope, in *mailmanager.ListRuleSetsRequest) (*mailmanager.ListRuleSetsResponse, error) {
	l := listing{scope: scope, kind: kindRuleSet.store, operation: "ListRuleSets", token: in.NextToken, size: pageSize(in.PageSize)}
	sets, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.RuleSet, error) {
		return mailmanager.RuleSet{
			RuleSetId:            (*mailmanager.RuleSetId)(&r.ID),
			RuleSetName:          (*mailmanager.RuleSetName)(&r.Name),
			LastModificationDate: seconds(r.Modified),
		}, nil
	})
	return &mailmanager.ListRuleSetsResponse{RuleSets: sets, NextToken: next}, err
}

// updateRuleSet: Mail Manager, UpdateRuleSet. Rules are replaced as a whole; messages that are being processed keep those
// they began with (Mail Manager, D19).
func (c *Control) updateRuleSet(ctx context.Context, scope Scope, in *mailmanager.UpdateRuleSetRequest) (*mailmanager.UpdateRuleSetResponse, error) {
	id := string(*in.RuleSetId)
	if err := kindRuleSet.checkID(id); err != nil {
		return nil, err
	}
	err := c.update(ctx, kindRuleSet, kindRuleSet.key(scope, id), func(r store.Resource) (draft, error) {
		replace(&r.Name, (*string)(in.RuleSetName))
		r.Modified = c.now()
		if in.Rules != nil {
			if err := c.checkRules(scope.Account, in.Rules, mailmanager.CodeValidation); err != nil {
				return draft{}, err
			}
			return c.draftRuleSet(r, in.Rules)
		}
		rules, err := c.readRules(ctx, r)
		if err != nil {
			return draft{}, err
		}
		d, err := c.draftRuleSet(r, rules)
		d.Uses = nil // as before: what rules of an earlier version name may not be there (Mail Manager, D20)
		return d, err
	})
	return &mailmanager.UpdateRuleSetResponse{}, err
}

// deleteRuleSet: Mail Manager, DeleteRuleSet. It stays while an ingress point uses it (Mail Manager, A21).
func (c *Control) deleteRuleSet(ctx context.Context, scope Scope, in *mailmanager.DeleteRuleSetRequest) (*mailmanager.DeleteRuleSetResponse, error) {
	id := string(*in.RuleSetId)
	if err := kindRuleSet.checkID(id); err != nil {
		return nil, err
	}
	return &mailmanager.DeleteRuleSetResponse{}, c.remove(ctx, kindRuleSet, kindRuleSet.key(scope, id), c.ruleSets.remove)
}

// withoutDefaults returns the rules as AWS reads them back: no failure policy when it is the default, and lists of
// conditions even when they are empty (Mail Manager, A10). The argument stays as it is.
func withoutDefaults(rules []mailmanager.Rule) []mailmanager.Rule {
	plain := make([]mailmanager.Rule, len(rules))
	for i, r := range rules {
		plain[i] = mailmanager.Rule{
			Name:       r.Name,
			Conditions: append([]mailmanager.RuleCondition{}, r.Conditions...),
			Unless:     append([]mailmanager.RuleCondition{}, r.Unless...),
			Actions:    make([]mailmanager.RuleAction, len(r.Actions)),
		}
		for j, a := range r.Actions {
			plain[i].Actions[j] = withoutDefaultPolicy(a)
		}
	}
	return plain
}

type failurePolicy = *mailmanager.ActionFailurePolicy

// withoutDefaultPolicy returns the action without a failure policy of CONTINUE. Every action that has one is listed.
func withoutDefaultPolicy(a mailmanager.RuleAction) mailmanager.RuleAction {
	dropDefault(&a.Relay, func(a *mailmanager.RelayAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.Archive, func(a *mailmanager.ArchiveAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.WriteToS3, func(a *mailmanager.S3Action) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.Send, func(a *mailmanager.SendAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.DeliverToMailbox, func(a *mailmanager.DeliverToMailboxAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.DeliverToQBusiness, func(a *mailmanager.DeliverToQBusinessAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.PublishToSns, func(a *mailmanager.SnsAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.Bounce, func(a *mailmanager.BounceAction) *failurePolicy { return &a.ActionFailurePolicy })
	dropDefault(&a.InvokeLambda, func(a *mailmanager.InvokeLambdaAction) *failurePolicy { return &a.ActionFailurePolicy })
	return a
}

// dropDefault takes a failure policy of CONTINUE out of an action, if that is the one that is set, in a copy.
func dropDefault[A any](action **A, policyOf func(*A) *failurePolicy) {
	if *action == nil {
		return
	}
	plain := **action
	if p := policyOf(&plain); mailmanager.Value(*p) == mailmanager.ActionFailurePolicyContinue {
		*p = nil
	}
	*action = &plain
}
