package peers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"github.com/aws/smithy-go"

	"sluice/internal/conform"
	"sluice/test/harness"
)

// The tests of this file make the operations that are there through the AWS SDK for Go as it is published.

// must fails the test on an error of an operation and returns its output.
func must[T any](t *testing.T) func(out T, err error) T {
	t.Helper()
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// refused fails the test unless an error has a code of the API.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	var answer smithy.APIError
	if !errors.As(err, &answer) || answer.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func relayInput(name string) *mailmanager.CreateRelayInput {
	return &mailmanager.CreateRelayInput{
		RelayName:      aws.String(name),
		ServerName:     aws.String("relay.example.com"),
		ServerPort:     aws.Int32(2600),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	}
}

func ruleSetInput(name string) *mailmanager.CreateRuleSetInput {
	return &mailmanager.CreateRuleSetInput{
		RuleSetName: aws.String(name),
		Rules: []types.Rule{{
			Name:    aws.String("drop"),
			Actions: []types.RuleAction{&types.RuleActionMemberDrop{}},
		}},
	}
}

func trafficPolicyInput(name string) *mailmanager.CreateTrafficPolicyInput {
	return &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName:   aws.String(name),
		DefaultAction:       types.AcceptActionAllow,
		MaxMessageSizeBytes: aws.Int32(1 << 20),
		PolicyStatements: []types.PolicyStatement{{
			Action: types.AcceptActionDeny,
			Conditions: []types.PolicyCondition{&types.PolicyConditionMemberIpExpression{Value: types.IngressIpv4Expression{
				Evaluate: &types.IngressIpToEvaluateMemberAttribute{Value: types.IngressIpv4AttributeSenderIp},
				Operator: types.IngressIpOperatorCidrMatches,
				Values:   []string{"192.0.2.0/24"},
			}}},
		}},
	}
}

func TestGoSDKRelay(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateRelay", "GetRelay", "UpdateRelay", "DeleteRelay")
	ctx, api := t.Context(), harness.Start(t).MailManager()
	input := relayInput("first")
	input.ClientToken = aws.String("token-1")
	id := must[*mailmanager.CreateRelayOutput](t)(api.CreateRelay(ctx, input)).RelayId
	again := must[*mailmanager.CreateRelayOutput](t)(api.CreateRelay(ctx, input)).RelayId
	if *again != *id {
		t.Errorf("the same request with the same token made %s and %s", *id, *again)
	}
	_, err := api.CreateRelay(ctx, relayInput("first"))
	refused(t, err, "ConflictException")
	_, err = api.CreateRelay(ctx, relayInput("no spaces"))
	refused(t, err, "ValidationException")

	must[*mailmanager.UpdateRelayOutput](t)(api.UpdateRelay(ctx, &mailmanager.UpdateRelayInput{RelayId: id, ServerPort: aws.Int32(25)}))
	got := must[*mailmanager.GetRelayOutput](t)(api.GetRelay(ctx, &mailmanager.GetRelayInput{RelayId: id}))
	if *got.RelayName != "first" || *got.ServerPort != 25 || *got.ServerName != "relay.example.com" || got.RelayArn == nil || got.CreatedTimestamp == nil {
		t.Errorf("got %+v", got)
	}
	if _, ok := got.Authentication.(*types.RelayAuthenticationMemberNoAuthentication); !ok {
		t.Errorf("got authentication %T", got.Authentication)
	}
	must[*mailmanager.DeleteRelayOutput](t)(api.DeleteRelay(ctx, &mailmanager.DeleteRelayInput{RelayId: id}))
	must[*mailmanager.DeleteRelayOutput](t)(api.DeleteRelay(ctx, &mailmanager.DeleteRelayInput{RelayId: id}))
	_, err = api.GetRelay(ctx, &mailmanager.GetRelayInput{RelayId: id})
	refused(t, err, "ResourceNotFoundException")
}

func TestGoSDKListsInPages(t *testing.T) {
	t.Parallel()
	conform.Check(t, "ListRelays", "A2", "A3")
	ctx, api := t.Context(), harness.Start(t).MailManager()
	names := []string{"one", "two", "three", "four", "five"}
	for _, name := range names {
		must[*mailmanager.CreateRelayOutput](t)(api.CreateRelay(ctx, relayInput(name)))
	}
	var got []string
	pages := mailmanager.NewListRelaysPaginator(api, &mailmanager.ListRelaysInput{PageSize: aws.Int32(2)})
	for pages.HasMorePages() {
		page := must[*mailmanager.ListRelaysOutput](t)(pages.NextPage(ctx))
		if len(page.Relays) > 2 {
			t.Errorf("a page has %d relays, at most 2", len(page.Relays))
		}
		for _, relay := range page.Relays {
			got = append(got, *relay.RelayName)
		}
	}
	if len(got) != len(names) {
		t.Fatalf("got %v, want %v", got, names)
	}
	for i := range names { // creation time ascending (Mail Manager, A3)
		if got[i] != names[i] {
			t.Errorf("got %v, want %v", got, names)
		}
	}
	_, err := api.ListRelays(ctx, &mailmanager.ListRelaysInput{NextToken: aws.String("forged")})
	refused(t, err, "ValidationException")
}

func TestGoSDKRuleSet(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateRuleSet", "GetRuleSet", "ListRuleSets", "UpdateRuleSet", "DeleteRuleSet")
	ctx, api := t.Context(), harness.Start(t).MailManager()
	id := must[*mailmanager.CreateRuleSetOutput](t)(api.CreateRuleSet(ctx, ruleSetInput("rules"))).RuleSetId
	_, err := api.CreateRuleSet(ctx, ruleSetInput("rules"))
	refused(t, err, "ConflictException")
	must[*mailmanager.UpdateRuleSetOutput](t)(api.UpdateRuleSet(ctx, &mailmanager.UpdateRuleSetInput{RuleSetId: id, RuleSetName: aws.String("renamed")}))
	got := must[*mailmanager.GetRuleSetOutput](t)(api.GetRuleSet(ctx, &mailmanager.GetRuleSetInput{RuleSetId: id}))
	if *got.RuleSetName != "renamed" || len(got.Rules) != 1 || got.RuleSetArn == nil {
		t.Errorf("got %+v", got)
	}
	list := must[*mailmanager.ListRuleSetsOutput](t)(api.ListRuleSets(ctx, &mailmanager.ListRuleSetsInput{}))
	if len(list.RuleSets) != 1 || *list.RuleSets[0].RuleSetId != *id {
		t.Errorf("got %+v", list.RuleSets)
	}
	must[*mailmanager.DeleteRuleSetOutput](t)(api.DeleteRuleSet(ctx, &mailmanager.DeleteRuleSetInput{RuleSetId: id}))
	_, err = api.GetRuleSet(ctx, &mailmanager.GetRuleSetInput{RuleSetId: id})
	refused(t, err, "ResourceNotFoundException")
}

func TestGoSDKTrafficPolicy(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateTrafficPolicy", "GetTrafficPolicy", "ListTrafficPolicies", "UpdateTrafficPolicy", "DeleteTrafficPolicy")
	ctx, api := t.Context(), harness.Start(t).MailManager()
	id := must[*mailmanager.CreateTrafficPolicyOutput](t)(api.CreateTrafficPolicy(ctx, trafficPolicyInput("policy"))).TrafficPolicyId
	must[*mailmanager.UpdateTrafficPolicyOutput](t)(api.UpdateTrafficPolicy(ctx, &mailmanager.UpdateTrafficPolicyInput{
		TrafficPolicyId: id, DefaultAction: types.AcceptActionDeny,
	}))
	got := must[*mailmanager.GetTrafficPolicyOutput](t)(api.GetTrafficPolicy(ctx, &mailmanager.GetTrafficPolicyInput{TrafficPolicyId: id}))
	if *got.TrafficPolicyName != "policy" || got.DefaultAction != types.AcceptActionDeny || *got.MaxMessageSizeBytes != 1<<20 || len(got.PolicyStatements) != 1 {
		t.Errorf("got %+v", got)
	}
	list := must[*mailmanager.ListTrafficPoliciesOutput](t)(api.ListTrafficPolicies(ctx, &mailmanager.ListTrafficPoliciesInput{}))
	if len(list.TrafficPolicies) != 1 || *list.TrafficPolicies[0].TrafficPolicyId != *id {
		t.Errorf("got %+v", list.TrafficPolicies)
	}
	must[*mailmanager.DeleteTrafficPolicyOutput](t)(api.DeleteTrafficPolicy(ctx, &mailmanager.DeleteTrafficPolicyInput{TrafficPolicyId: id}))
	_, err := api.GetTrafficPolicy(ctx, &mailmanager.GetTrafficPolicyInput{TrafficPolicyId: id})
	refused(t, err, "ResourceNotFoundException")
}

// openPoint makes an OPEN ingress point that speaks in clear, with a rule set and a traffic policy of its own.
func openPoint(ctx context.Context, t *testing.T, api *mailmanager.Client, name string) (id, rules, policy *string) {
	t.Helper()
	rules = must[*mailmanager.CreateRuleSetOutput](t)(api.CreateRuleSet(ctx, ruleSetInput(name))).RuleSetId
	policy = must[*mailmanager.CreateTrafficPolicyOutput](t)(api.CreateTrafficPolicy(ctx, trafficPolicyInput(name))).TrafficPolicyId
	id = must[*mailmanager.CreateIngressPointOutput](t)(api.CreateIngressPoint(ctx, &mailmanager.CreateIngressPointInput{
		IngressPointName: aws.String(name), Type: types.IngressPointTypeOpen, TlsPolicy: types.TlsPolicyOptional,
		RuleSetId: rules, TrafficPolicyId: policy,
	})).IngressPointId
	return id, rules, policy
}

func TestGoSDKIngressPoint(t *testing.T) {
	t.Parallel()
	conform.Check(t, "CreateIngressPoint", "GetIngressPoint", "ListIngressPoints", "UpdateIngressPoint", "DeleteIngressPoint", "A21")
	server := harness.Start(t)
	ctx, api := t.Context(), server.MailManager()
	id, rules, policy := openPoint(ctx, t, api, "front")
	server.Address(t, *id)
	_, err := api.DeleteRuleSet(ctx, &mailmanager.DeleteRuleSetInput{RuleSetId: rules})
	refused(t, err, "ConflictException")
	_, err = api.DeleteTrafficPolicy(ctx, &mailmanager.DeleteTrafficPolicyInput{TrafficPolicyId: policy})
	refused(t, err, "ConflictException")

	must[*mailmanager.UpdateIngressPointOutput](t)(api.UpdateIngressPoint(ctx, &mailmanager.UpdateIngressPointInput{
		IngressPointId: id, StatusToUpdate: types.IngressPointStatusToUpdateClosed,
	}))
	waitStatus(ctx, t, api, id, types.IngressPointStatusClosed)
	list := must[*mailmanager.ListIngressPointsOutput](t)(api.ListIngressPoints(ctx, &mailmanager.ListIngressPointsInput{}))
	if len(list.IngressPoints) != 1 || *list.IngressPoints[0].IngressPointId != *id {
		t.Errorf("got %+v", list.IngressPoints)
	}
	must[*mailmanager.DeleteIngressPointOutput](t)(api.DeleteIngressPoint(ctx, &mailmanager.DeleteIngressPointInput{IngressPointId: id}))
	harness.Eventually(t, "the ingress point is gone", func() bool {
		_, err := api.GetIngressPoint(ctx, &mailmanager.GetIngressPointInput{IngressPointId: id})
		var gone *types.ResourceNotFoundException
		return errors.As(err, &gone)
	})
	must[*mailmanager.DeleteRuleSetOutput](t)(api.DeleteRuleSet(ctx, &mailmanager.DeleteRuleSetInput{RuleSetId: rules}))
}

func waitStatus(ctx context.Context, t *testing.T, api *mailmanager.Client, id *string, want types.IngressPointStatus) {
	t.Helper()
	harness.Eventually(t, "the ingress point is "+string(want), func() bool {
		return must[*mailmanager.GetIngressPointOutput](t)(api.GetIngressPoint(ctx, &mailmanager.GetIngressPointInput{IngressPointId: id})).Status == want
	})
}

func TestGoSDKTags(t *testing.T) {
	t.Parallel()
	conform.Check(t, "TagResource", "UntagResource", "ListTagsForResource")
	ctx, api := t.Context(), harness.Start(t).MailManager()
	input := relayInput("tagged")
	input.Tags = []types.Tag{{Key: aws.String("stage"), Value: aws.String("test")}}
	id := must[*mailmanager.CreateRelayOutput](t)(api.CreateRelay(ctx, input)).RelayId
	arn := must[*mailmanager.GetRelayOutput](t)(api.GetRelay(ctx, &mailmanager.GetRelayInput{RelayId: id})).RelayArn
	must[*mailmanager.TagResourceOutput](t)(api.TagResource(ctx, &mailmanager.TagResourceInput{
		ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("owner"), Value: aws.String("mail")}, {Key: aws.String("stage"), Value: aws.String("live")}},
	}))
	must[*mailmanager.UntagResourceOutput](t)(api.UntagResource(ctx, &mailmanager.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"owner"}}))
	got := must[*mailmanager.ListTagsForResourceOutput](t)(api.ListTagsForResource(ctx, &mailmanager.ListTagsForResourceInput{ResourceArn: arn})).Tags
	if len(got) != 1 || *got[0].Key != "stage" || *got[0].Value != "live" {
		t.Errorf("got %+v", got)
	}
}

// archive makes an archive whose retention is not the default one.
func archive(ctx context.Context, t *testing.T, api *mailmanager.Client, name string) *string {
	t.Helper()
	return must[*mailmanager.CreateArchiveOutput](t)(api.CreateArchive(ctx, &mailmanager.CreateArchiveInput{
		ArchiveName: aws.String(name), Retention: &types.ArchiveRetentionMemberRetentionPeriod{Value: types.RetentionPeriodTwoYears},
		Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("test")}},
	})).ArchiveId
}

func TestGoSDKArchive(t *testing.T) {
	conform.Check(t, "CreateArchive", "GetArchive", "ListArchives", "UpdateArchive", "DeleteArchive")
	t.Parallel()
	server := harness.Start(t)
	ctx, api := t.Context(), server.MailManager()
	id := archive(ctx, t, api, "mail")
	_, err := api.CreateArchive(ctx, &mailmanager.CreateArchiveInput{ArchiveName: aws.String("mail")})
	refused(t, err, "ConflictException")
	_, err = api.CreateArchive(ctx, &mailmanager.CreateArchiveInput{ArchiveName: aws.String("-")})
	refused(t, err, "ValidationException")
	must[*mailmanager.UpdateArchiveOutput](t)(api.UpdateArchive(ctx, &mailmanager.UpdateArchiveInput{ArchiveId: id, ArchiveName: aws.String("post")}))
	must[*mailmanager.DeleteArchiveOutput](t)(api.DeleteArchive(ctx, &mailmanager.DeleteArchiveInput{ArchiveId: id}))
	again := archive(ctx, t, api, "post") // Mail Manager, A8
	_, err = api.UpdateArchive(ctx, &mailmanager.UpdateArchiveInput{ArchiveId: id, ArchiveName: aws.String("other")})
	refused(t, err, "ConflictException")

	server.Stop(t)
	api = server.Restart(t).MailManager()
	got := must[*mailmanager.GetArchiveOutput](t)(api.GetArchive(ctx, &mailmanager.GetArchiveInput{ArchiveId: id}))
	kept, _ := got.Retention.(*types.ArchiveRetentionMemberRetentionPeriod)
	if *got.ArchiveName != "post" || got.ArchiveState != types.ArchiveStatePendingDeletion || kept == nil || kept.Value != types.RetentionPeriodTwoYears {
		t.Errorf("got %+v", got)
	}
	list := must[*mailmanager.ListArchivesOutput](t)(api.ListArchives(ctx, &mailmanager.ListArchivesInput{}))
	if len(list.Archives) != 2 || *list.Archives[1].ArchiveId != *again || list.Archives[1].ArchiveState != types.ArchiveStateActive {
		t.Errorf("got %+v", list.Archives)
	}
	tags := must[*mailmanager.ListTagsForResourceOutput](t)(api.ListTagsForResource(ctx, &mailmanager.ListTagsForResourceInput{ResourceArn: got.ArchiveArn})).Tags
	if len(tags) != 1 || *tags[0].Key != "stage" {
		t.Errorf("got %+v", tags)
	}
}

func TestGoSDKAddons(t *testing.T) {
	conform.Check(t, "CreateAddonSubscription", "GetAddonSubscription", "ListAddonSubscriptions", "DeleteAddonSubscription",
		"CreateAddonInstance", "GetAddonInstance", "ListAddonInstances", "DeleteAddonInstance")
	t.Parallel()
	config := filepath.Join(t.TempDir(), "sluice.toml")
	if err := os.WriteFile(config, []byte("[analyzers.SPAMHAUS_DBL]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := harness.Start(t, "--config", config)
	ctx, api := t.Context(), server.MailManager()
	_, err := api.CreateAddonSubscription(ctx, &mailmanager.CreateAddonSubscriptionInput{AddonName: aws.String("TRENDMICRO_VSAPI")})
	refused(t, err, "ValidationException") // Mail Manager, F17
	// The SDK keeps the token that it makes in the input: another call has an input of its own.
	input := func() *mailmanager.CreateAddonSubscriptionInput {
		return &mailmanager.CreateAddonSubscriptionInput{AddonName: aws.String("SPAMHAUS_DBL")}
	}
	subscription := must[*mailmanager.CreateAddonSubscriptionOutput](t)(api.CreateAddonSubscription(ctx, input())).AddonSubscriptionId
	_, err = api.CreateAddonSubscription(ctx, input())
	refused(t, err, "ConflictException")
	instance := must[*mailmanager.CreateAddonInstanceOutput](t)(api.CreateAddonInstance(ctx, &mailmanager.CreateAddonInstanceInput{
		AddonSubscriptionId: subscription, Tags: []types.Tag{{Key: aws.String("stage"), Value: aws.String("test")}},
	})).AddonInstanceId
	_, err = api.CreateAddonInstance(ctx, &mailmanager.CreateAddonInstanceInput{AddonSubscriptionId: subscription})
	refused(t, err, "ConflictException")
	_, err = api.DeleteAddonSubscription(ctx, &mailmanager.DeleteAddonSubscriptionInput{AddonSubscriptionId: subscription})
	refused(t, err, "ConflictException")
	got := must[*mailmanager.GetAddonInstanceOutput](t)(api.GetAddonInstance(ctx, &mailmanager.GetAddonInstanceInput{AddonInstanceId: instance}))
	policy := must[*mailmanager.CreateTrafficPolicyOutput](t)(api.CreateTrafficPolicy(ctx, &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("unlisted"), DefaultAction: types.AcceptActionAllow,
		PolicyStatements: []types.PolicyStatement{{Action: types.AcceptActionDeny, Conditions: []types.PolicyCondition{
			&types.PolicyConditionMemberBooleanExpression{Value: types.IngressBooleanExpression{
				Evaluate: &types.IngressBooleanToEvaluateMemberAnalysis{Value: types.IngressAnalysis{Analyzer: got.AddonInstanceArn, ResultField: aws.String("isListed")}},
				Operator: types.IngressBooleanOperatorIsTrue,
			}},
		}}},
	})).TrafficPolicyId

	server.Stop(t)
	api = server.Restart(t, "--config", config).MailManager()
	_, err = api.DeleteAddonInstance(ctx, &mailmanager.DeleteAddonInstanceInput{AddonInstanceId: instance})
	refused(t, err, "ConflictException")
	tags := must[*mailmanager.ListTagsForResourceOutput](t)(api.ListTagsForResource(ctx, &mailmanager.ListTagsForResourceInput{ResourceArn: got.AddonInstanceArn})).Tags
	instances := must[*mailmanager.ListAddonInstancesOutput](t)(api.ListAddonInstances(ctx, &mailmanager.ListAddonInstancesInput{})).AddonInstances
	if len(tags) != 1 || len(instances) != 1 || *instances[0].AddonInstanceArn != *got.AddonInstanceArn || *instances[0].AddonName != "SPAMHAUS_DBL" {
		t.Errorf("got tags %+v and instances %+v", tags, instances)
	}
	kept := must[*mailmanager.GetAddonSubscriptionOutput](t)(api.GetAddonSubscription(ctx, &mailmanager.GetAddonSubscriptionInput{AddonSubscriptionId: subscription}))
	list := must[*mailmanager.ListAddonSubscriptionsOutput](t)(api.ListAddonSubscriptions(ctx, &mailmanager.ListAddonSubscriptionsInput{})).AddonSubscriptions
	if *kept.AddonName != "SPAMHAUS_DBL" || len(list) != 1 || *list[0].AddonSubscriptionArn != *kept.AddonSubscriptionArn {
		t.Errorf("got %+v and %+v", kept, list)
	}
	must[*mailmanager.DeleteTrafficPolicyOutput](t)(api.DeleteTrafficPolicy(ctx, &mailmanager.DeleteTrafficPolicyInput{TrafficPolicyId: policy}))
	for range 2 {
		must[*mailmanager.DeleteAddonInstanceOutput](t)(api.DeleteAddonInstance(ctx, &mailmanager.DeleteAddonInstanceInput{AddonInstanceId: instance}))
	}
	for range 2 {
		must[*mailmanager.DeleteAddonSubscriptionOutput](t)(api.DeleteAddonSubscription(ctx, &mailmanager.DeleteAddonSubscriptionInput{AddonSubscriptionId: subscription}))
	}
}

func TestGoSDKMeetsAnOperationThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	api := harness.Start(t).MailManager()
	_, err := api.StopArchiveSearch(t.Context(), &mailmanager.StopArchiveSearchInput{SearchId: aws.String("s")})
	refused(t, err, "UnknownOperationException")
}
