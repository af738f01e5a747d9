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

// What scenarios cannot say: restarts, and settings of the server.

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
