package tour

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
)

// finder returns the id of the tour's resource of some kind, or an empty one when there is none.
type finder func(context.Context) (string, error)

// pages is a paginator of the SDK.
type pages[Page any] interface {
	HasMorePages() bool
	NextPage(context.Context, ...func(*mailmanager.Options)) (*Page, error)
}

// search asks page after page until one has an id.
func search[Page any](ctx context.Context, all pages[Page], idIn func(*Page) *string) (string, error) {
	for all.HasMorePages() {
		page, err := all.NextPage(ctx)
		if err != nil {
			return "", err
		}
		if id := idIn(page); id != nil {
			return *id, nil
		}
	}
	return "", nil
}

func (t *Tour) findRelay(ctx context.Context) (string, error) {
	all := mailmanager.NewListRelaysPaginator(t.api, &mailmanager.ListRelaysInput{})
	return search(ctx, all, func(page *mailmanager.ListRelaysOutput) *string {
		for _, entry := range page.Relays {
			if aws.ToString(entry.RelayName) == name {
				return entry.RelayId
			}
		}
		return nil
	})
}

func (t *Tour) findRuleSet(ctx context.Context) (string, error) {
	all := mailmanager.NewListRuleSetsPaginator(t.api, &mailmanager.ListRuleSetsInput{})
	return search(ctx, all, func(page *mailmanager.ListRuleSetsOutput) *string {
		for _, entry := range page.RuleSets {
			if aws.ToString(entry.RuleSetName) == name {
				return entry.RuleSetId
			}
		}
		return nil
	})
}

func (t *Tour) findTrafficPolicy(ctx context.Context) (string, error) {
	all := mailmanager.NewListTrafficPoliciesPaginator(t.api, &mailmanager.ListTrafficPoliciesInput{})
	return search(ctx, all, func(page *mailmanager.ListTrafficPoliciesOutput) *string {
		for _, entry := range page.TrafficPolicies {
			if aws.ToString(entry.TrafficPolicyName) == name {
				return entry.TrafficPolicyId
			}
		}
		return nil
	})
}

func (t *Tour) findIngressPoint(ctx context.Context) (string, error) {
	all := mailmanager.NewListIngressPointsPaginator(t.api, &mailmanager.ListIngressPointsInput{})
	return search(ctx, all, func(page *mailmanager.ListIngressPointsOutput) *string {
		for _, entry := range page.IngressPoints {
			if aws.ToString(entry.IngressPointName) == name {
				return entry.IngressPointId
			}
		}
		return nil
	})
}
