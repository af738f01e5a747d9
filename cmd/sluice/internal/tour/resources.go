package tour

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
)

// What the tour makes. Names are unique in an account and region, so that a second run finds them.
const (
	name = "quickstart"

	sender    = "newcomer@example.org"
	recipient = "you@example.com"
	unwanted  = "you@blocked.example"

	homeDomain    = "@example.com"
	blockedDomain = "@blocked.example"
)

// RelayPort is where the relay of an earlier run leads, or 0 when there was none.
func (t *Tour) RelayPort(ctx context.Context) (int, error) {
	id, err := t.findRelay(ctx)
	if err != nil || id == "" {
		return 0, err
	}
	relay, err := t.api.GetRelay(ctx, &mailmanager.GetRelayInput{RelayId: &id})
	if err != nil {
		return 0, err
	}
	return int(aws.ToInt32(relay.ServerPort)), nil
}

// build creates or finds a relay, a rule set, a traffic policy and an ingress point, and returns the point's id.
func (t *Tour) build(ctx context.Context, hop Hop) (string, error) {
	relay, err := t.relay(ctx, hop)
	if err != nil {
		return "", fmt.Errorf("make the relay: %w", err)
	}
	rules, err := t.ruleSet(ctx, relay)
	if err != nil {
		return "", fmt.Errorf("make the rule set: %w", err)
	}
	policy, err := t.trafficPolicy(ctx)
	if err != nil {
		return "", fmt.Errorf("make the traffic policy: %w", err)
	}
	point, err := t.ingressPoint(ctx, rules, policy)
	if err != nil {
		return "", fmt.Errorf("make the ingress point: %w", err)
	}
	return point, nil
}

// made creates a resource and shows its id. When the name is taken, the resource that has it is an earlier run's, and is
// the one to use.
func (t *Tour) made(ctx context.Context, operation string, create func() (*string, error), find finder) (id string, isNew bool, err error) {
	created, err := create()
	var conflict *types.ConflictException
	if !errors.As(err, &conflict) {
		if err == nil {
			t.step(operation, "%s", aws.ToString(created))
		}
		return aws.ToString(created), true, err
	}
	found, err := find(ctx)
	if err == nil && found == "" {
		err = fmt.Errorf("%s says that %q is there, and it is in no list", operation, name)
	}
	if err == nil {
		t.step(operation, "%s, made by an earlier run", found)
	}
	return found, false, err
}

func (t *Tour) relay(ctx context.Context, hop Hop) (string, error) {
	create := func() (*string, error) {
		answer, err := t.api.CreateRelay(ctx, &mailmanager.CreateRelayInput{
			RelayName:      aws.String(name),
			ServerName:     &hop.Host,
			ServerPort:     aws.Int32(int32(hop.Port)),
			Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
		})
		if err != nil {
			return nil, err
		}
		return answer.RelayId, nil
	}
	relay, isNew, err := t.made(ctx, "CreateRelay", create, t.findRelay)
	if err != nil || isNew {
		return relay, err
	}
	now, err := t.api.GetRelay(ctx, &mailmanager.GetRelayInput{RelayId: &relay})
	if err != nil || aws.ToInt32(now.ServerPort) == int32(hop.Port) {
		return relay, err
	}
	t.step("UpdateRelay", "to %s", hop)
	_, err = t.api.UpdateRelay(ctx, &mailmanager.UpdateRelayInput{RelayId: &relay, ServerPort: aws.Int32(int32(hop.Port))})
	return relay, err
}

// ruleSet has two rules: the first marks what speaks of Sluice, the second relays what is for our domain.
func (t *Tour) ruleSet(ctx context.Context, relay string) (string, error) {
	rules := []types.Rule{{
		Name:       aws.String("mark"),
		Conditions: []types.RuleCondition{condition(types.RuleStringEmailAttributeSubject, types.RuleStringOperatorContains, "sluice")},
		Actions: []types.RuleAction{&types.RuleActionMemberAddHeader{
			Value: types.AddHeaderAction{HeaderName: aws.String("X-Sluice"), HeaderValue: aws.String(name)},
		}},
	}, {
		Name:       aws.String("deliver"),
		Conditions: []types.RuleCondition{condition(types.RuleStringEmailAttributeRecipient, types.RuleStringOperatorEndsWith, homeDomain)},
		Actions: []types.RuleAction{&types.RuleActionMemberRelay{
			Value: types.RelayAction{Relay: &relay, MailFrom: types.MailFromPreserve},
		}},
	}}
	create := func() (*string, error) {
		answer, err := t.api.CreateRuleSet(ctx, &mailmanager.CreateRuleSetInput{RuleSetName: aws.String(name), Rules: rules})
		if err != nil {
			return nil, err
		}
		return answer.RuleSetId, nil
	}
	id, _, err := t.made(ctx, "CreateRuleSet", create, t.findRuleSet)
	return id, err
}

func condition(attribute types.RuleStringEmailAttribute, operator types.RuleStringOperator, value string) types.RuleCondition {
	return &types.RuleConditionMemberStringExpression{Value: types.RuleStringExpression{
		Evaluate: &types.RuleStringToEvaluateMemberAttribute{Value: attribute},
		Operator: operator,
		Values:   []string{value},
	}}
}

// trafficPolicy blocks one domain, allows ours, and denies the rest.
func (t *Tour) trafficPolicy(ctx context.Context) (string, error) {
	create := func() (*string, error) {
		answer, err := t.api.CreateTrafficPolicy(ctx, &mailmanager.CreateTrafficPolicyInput{
			TrafficPolicyName: aws.String(name),
			DefaultAction:     types.AcceptActionDeny,
			PolicyStatements: []types.PolicyStatement{
				{Action: types.AcceptActionDeny, Conditions: []types.PolicyCondition{recipientIn(blockedDomain)}},
				{Action: types.AcceptActionAllow, Conditions: []types.PolicyCondition{recipientIn(homeDomain)}},
			},
		})
		if err != nil {
			return nil, err
		}
		return answer.TrafficPolicyId, nil
	}
	id, _, err := t.made(ctx, "CreateTrafficPolicy", create, t.findTrafficPolicy)
	return id, err
}

func recipientIn(domain string) types.PolicyCondition {
	return &types.PolicyConditionMemberStringExpression{Value: types.IngressStringExpression{
		Evaluate: &types.IngressStringToEvaluateMemberAttribute{Value: types.IngressStringEmailAttributeRecipient},
		Operator: types.IngressStringOperatorEndsWith,
		Values:   []string{domain},
	}}
}

// ingressPoint makes an OPEN point that speaks in clear. One that an earlier run made and that has FAILED, since
// something else has its address now, is replaced: a point keeps its address for life.
func (t *Tour) ingressPoint(ctx context.Context, rules, policy string) (string, error) {
	point, isNew, err := t.createPoint(ctx, rules, policy)
	if err != nil || isNew {
		return point, err
	}
	reason, err := t.failure(ctx, point)
	if err != nil || reason == "" {
		return point, err
	}
	t.step("DeleteIngressPoint", "%s, it has failed: %s", point, reason)
	if _, err := t.api.DeleteIngressPoint(ctx, &mailmanager.DeleteIngressPointInput{IngressPointId: &point}); err != nil {
		return "", err
	}
	err = poll(ctx, activePeriod, func() (bool, error) {
		left, err := t.findIngressPoint(ctx)
		return left == "", err
	})
	if err != nil {
		return "", err
	}
	point, _, err = t.createPoint(ctx, rules, policy)
	return point, err
}

func (t *Tour) createPoint(ctx context.Context, rules, policy string) (id string, isNew bool, err error) {
	return t.made(ctx, "CreateIngressPoint", func() (*string, error) {
		answer, err := t.api.CreateIngressPoint(ctx, &mailmanager.CreateIngressPointInput{
			IngressPointName: aws.String(name),
			Type:             types.IngressPointTypeOpen,
			RuleSetId:        &rules,
			TrafficPolicyId:  &policy,
			TlsPolicy:        types.TlsPolicyOptional,
		})
		if err != nil {
			return nil, err
		}
		return answer.IngressPointId, nil
	}, t.findIngressPoint)
}

// failure is why a point is FAILED, or empty when it is not.
func (t *Tour) failure(ctx context.Context, point string) (string, error) {
	answer, err := t.admin.ListListeners(ctx)
	if err != nil {
		return "", err
	}
	for _, listener := range answer.Listeners {
		if listener.IngressPointId == point && listener.Status == string(types.IngressPointStatusFailed) {
			return "it cannot be reached: " + strings.TrimSpace(listener.StatusReason), nil
		}
	}
	return "", nil
}

// waitActive waits until a point is ACTIVE and returns the address it is reached at, which only the admin API tells a
// client that drops members it does not know.
func (t *Tour) waitActive(ctx context.Context, point string) (string, error) {
	err := poll(ctx, activePeriod, func() (bool, error) {
		answer, err := t.api.GetIngressPoint(ctx, &mailmanager.GetIngressPointInput{IngressPointId: &point})
		if err != nil {
			return false, err
		}
		if answer.Status == types.IngressPointStatusFailed {
			reason, err := t.failure(ctx, point)
			return false, errors.Join(errors.New(reason), err)
		}
		return answer.Status == types.IngressPointStatusActive, nil
	})
	if err != nil {
		return "", fmt.Errorf("wait for ingress point %s to be ACTIVE: %w", point, err)
	}
	answer, err := t.admin.ListListeners(ctx)
	if err != nil {
		return "", err
	}
	for _, listener := range answer.Listeners {
		if listener.IngressPointId == point && len(listener.Addresses) > 0 {
			t.step("GetIngressPoint", "ACTIVE, reached at %s", listener.Addresses[0])
			return listener.Addresses[0], nil
		}
	}
	return "", fmt.Errorf("ingress point %s is ACTIVE and reached nowhere", point)
}
