package control_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// S36: for every operation on a resource, another account and another region get the answer for a resource that does
// not exist, to the letter, and change nothing.
func TestNoOperationReachesAnotherScope(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A28")
	p := newPlane(t)
	do[secretsmanager.CreateSecretResponse](p, "CreateSecret", secretRequest("smtp", "value"))
	relay, rules, gate, point := p.relay("mine"), p.ruleSet("mine"), p.policy("mine"), p.point("mine")
	secret := *describe(p, "smtp").ARN
	const nobody = "aaaaaaaaaaaaaaaaaaaaaaaa"
	// Each operation with an id: theirs, and one of nobody's.
	requests := map[string]func(id string) any{
		"GetRelay": func(id string) any { return getRelay(id) },
		"UpdateRelay": func(id string) any {
			return &mailmanager.UpdateRelayRequest{RelayId: (*mailmanager.RelayId)(&id), ServerPort: ptr(int32(1))}
		},
		"DeleteRelay": func(id string) any { return &mailmanager.DeleteRelayRequest{RelayId: (*mailmanager.RelayId)(&id)} },
		"GetRuleSet":  func(id string) any { return &mailmanager.GetRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id)} },
		"UpdateRuleSet": func(id string) any {
			return &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id), RuleSetName: ptr(mailmanager.RuleSetName("x"))}
		},
		"DeleteRuleSet": func(id string) any {
			return &mailmanager.DeleteRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id)}
		},
		"GetTrafficPolicy": func(id string) any {
			return &mailmanager.GetTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&id)}
		},
		"UpdateTrafficPolicy": func(id string) any {
			return &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&id), DefaultAction: ptr(mailmanager.AcceptActionDeny)}
		},
		"DeleteTrafficPolicy": func(id string) any {
			return &mailmanager.DeleteTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&id)}
		},
		"GetIngressPoint": func(id string) any {
			return &mailmanager.GetIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)}
		},
		"UpdateIngressPoint": func(id string) any {
			return &mailmanager.UpdateIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id), StatusToUpdate: ptr(mailmanager.IngressPointStatusToUpdateClosed)}
		},
		"DeleteIngressPoint": func(id string) any {
			return &mailmanager.DeleteIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)}
		},
	}
	ids := map[string][2]string{
		"Relay": {relay, "r-" + nobody}, "RuleSet": {rules, "rs-" + nobody}, "TrafficPolicy": {gate, "tp-" + nobody}, "IngressPoint": {point, "inp-" + nobody},
	}
	before := p.everything(secret)
	for _, scope := range []control.Scope{stranger, abroad} {
		for name, request := range requests {
			kind := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "Get"), "Update"), "Delete")
			p.wantSameAnswer(scope, name, request(ids[kind][0]), request(ids[kind][1]), ids[kind])
		}
		p.wantNoTags(scope, ids)
		p.wantNoSecret(scope, "smtp", secret)
		p.wantEmptyLists(scope)
		p.wantNothingToUse(scope, rules, gate)
	}
	p.Quiet()
	if diff := cmp.Diff(before, p.everything(secret)); diff != "" {
		t.Errorf("something was changed from outside (-want +got):\n%s", diff)
	}
}

// S36, for archives and add-ons.
func TestNoOperationReachesArchivesAndAddonsElsewhere(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus, vade))
	archive, subscription, instance := p.archive("mine"), p.subscription(vade), p.instance(spamhaus)
	const nobody = "aaaaaaaaaaaaaaaaaaaaaaaa"
	tests := []struct {
		operation, resource string
		theirs, nobodys     string
		request             func(id string) any
	}{
		{"GetArchive", "mailmanager-archive", archive, "a-" + nobody, func(id string) any {
			return &mailmanager.GetArchiveRequest{ArchiveId: (*mailmanager.ArchiveIdString)(&id)}
		}},
		{"UpdateArchive", "mailmanager-archive", archive, "a-" + nobody, func(id string) any { return renameArchive(id, "taken") }},
		{"DeleteArchive", "mailmanager-archive", archive, "a-" + nobody, func(id string) any { return deleteArchive(id) }},
		{"GetAddonSubscription", "addon-subscription", subscription, "as-" + nobody, func(id string) any { return getSubscription(id) }},
		{"DeleteAddonSubscription", "addon-subscription", subscription, "as-" + nobody, func(id string) any { return deleteSubscription(id) }},
		{"CreateAddonInstance", "addon-subscription", subscription, "as-" + nobody, func(id string) any { return instanceRequest(id) }},
		{"GetAddonInstance", "addon-instance", instance, "ai-" + nobody, func(id string) any { return getInstance(id) }},
		{"DeleteAddonInstance", "addon-instance", instance, "ai-" + nobody, func(id string) any { return deleteInstance(id) }},
	}
	all := func() string {
		return text(t, []any{getArchive(p, archive), do[mailmanager.GetAddonSubscriptionResponse](p, "GetAddonSubscription", getSubscription(subscription)),
			do[mailmanager.GetAddonInstanceResponse](p, "GetAddonInstance", getInstance(instance)),
			p.tagsOf(arnOf("mailmanager-archive/" + archive)), p.tagsOf(arnOf("addon-subscription/" + subscription)), p.tagsOf(arnOf("addon-instance/" + instance))})
	}
	before := all()
	for _, scope := range []control.Scope{stranger, abroad} {
		for _, test := range tests {
			p.wantSameAnswer(scope, test.operation, test.request(test.theirs), test.request(test.nobodys), [2]string{test.theirs, test.nobodys})
			p.wantNoTagsOf(scope, test.resource+"/"+test.theirs)
		}
		for name, in := range map[string]any{"ListArchives": &mailmanager.ListArchivesRequest{},
			"ListAddonSubscriptions": &mailmanager.ListAddonSubscriptionsRequest{}, "ListAddonInstances": &mailmanager.ListAddonInstancesRequest{}} {
			p.wantEmptyList(scope, name, in)
		}
	}
	if diff := cmp.Diff(before, all()); diff != "" {
		t.Errorf("something was changed from outside (-want +got):\n%s", diff)
	}
}

// everything is all that can be read at home.
func (p *plane) everything(secret string) string {
	p.Helper()
	var all []any
	for _, r := range do[mailmanager.ListRelaysResponse](p, "ListRelays", &mailmanager.ListRelaysRequest{}).Relays {
		all = append(all, do[mailmanager.GetRelayResponse](p, "GetRelay", getRelay(string(*r.RelayId))),
			p.tagsOf(arnOf("mailmanager-smtp-relay/"+string(*r.RelayId))))
	}
	for _, r := range do[mailmanager.ListRuleSetsResponse](p, "ListRuleSets", &mailmanager.ListRuleSetsRequest{}).RuleSets {
		all = append(all, getRuleSet(p, string(*r.RuleSetId)))
	}
	for _, r := range do[mailmanager.ListTrafficPoliciesResponse](p, "ListTrafficPolicies", &mailmanager.ListTrafficPoliciesRequest{}).TrafficPolicies {
		all = append(all, getPolicy(p, string(*r.TrafficPolicyId)))
	}
	for _, r := range do[mailmanager.ListIngressPointsResponse](p, "ListIngressPoints", &mailmanager.ListIngressPointsRequest{}).IngressPoints {
		all = append(all, p.getPoint(string(*r.IngressPointId)))
	}
	return text(p, append(all, getSecret(p, secret)))
}

// wantSameAnswer fails the test unless both requests, for what is another's and for what is not there, are answered alike.
func (p *plane) wantSameAnswer(scope control.Scope, name string, theirs, nobodys any, ids [2]string) {
	p.Helper()
	gotOut, gotErr := p.call(scope, name, theirs)
	wantOut, wantErr := p.call(scope, name, nobodys)
	if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !reflect.DeepEqual(gotOut, wantOut) {
		p.Errorf("%s in %v: got %v, %v, for an unknown id %v, %v", name, scope, gotOut, gotErr, wantOut, wantErr)
		return
	}
	if gotErr != nil && strings.ReplaceAll(gotErr.Error(), ids[0], "ID") != strings.ReplaceAll(wantErr.Error(), ids[1], "ID") {
		p.Errorf("%s in %v: got %v, for an unknown id %v", name, scope, gotErr, wantErr)
	}
}

func (p *plane) wantNoTags(scope control.Scope, ids map[string][2]string) {
	p.Helper()
	folders := map[string]string{"Relay": "smtp-relay", "RuleSet": "rule-set", "TrafficPolicy": "traffic-policy", "IngressPoint": "ingress-point"}
	for kind, folder := range folders {
		p.wantNoTagsOf(scope, "mailmanager-"+folder+"/"+ids[kind][0])
	}
}

// wantNoTagsOf holds that a resource at home has no tags elsewhere, by home's ARN and by one of the scope's own.
func (p *plane) wantNoTagsOf(scope control.Scope, resource string) {
	p.Helper()
	own := ptr(mailmanager.TaggableResourceArn("arn:aws:ses:" + scope.Region + ":" + scope.Account + ":" + resource))
	for _, a := range []*mailmanager.TaggableResourceArn{arnOf(resource), own} {
		wantCode(p, p.refused(scope, "TagResource", &mailmanager.TagResourceRequest{ResourceArn: a, Tags: tags("a", "1")}), mailmanager.CodeResourceNotFound)
		wantCode(p, p.refused(scope, "UntagResource", &mailmanager.UntagResourceRequest{ResourceArn: a, TagKeys: []mailmanager.TagKey{"a"}}), mailmanager.CodeResourceNotFound)
		wantCode(p, p.refused(scope, "ListTagsForResource", &mailmanager.ListTagsForResourceRequest{ResourceArn: a}), mailmanager.CodeResourceNotFound)
	}
}

func (p *plane) wantNoSecret(scope control.Scope, names ...string) {
	p.Helper()
	for _, name := range names {
		wantCode(p, p.refused(scope, "GetSecretValue", &secretsmanager.GetSecretValueRequest{SecretId: &name}), mailmanager.CodeResourceNotFound)
		wantCode(p, p.refused(scope, "DescribeSecret", &secretsmanager.DescribeSecretRequest{SecretId: &name}), mailmanager.CodeResourceNotFound)
		wantCode(p, p.refused(scope, "PutSecretValue", &secretsmanager.PutSecretValueRequest{SecretId: &name, SecretString: ptr(secretsmanager.SecretString("x"))}), mailmanager.CodeResourceNotFound)
		for operation, in := range map[string]any{
			"DeleteSecret":             &secretsmanager.DeleteSecretRequest{SecretId: &name},
			"UpdateSecret":             &secretsmanager.UpdateSecretRequest{SecretId: &name, Description: ptr("theirs")},
			"RestoreSecret":            &secretsmanager.RestoreSecretRequest{SecretId: &name},
			"ListSecretVersionIds":     &secretsmanager.ListSecretVersionIdsRequest{SecretId: &name},
			"UpdateSecretVersionStage": &secretsmanager.UpdateSecretVersionStageRequest{SecretId: &name, VersionStage: ptr("THEIRS"), MoveToVersionId: ptr(version1)},
			"TagResource":              &secretsmanager.TagResourceRequest{SecretId: &name, Tags: secretTags("a", "1")},
			"UntagResource":            &secretsmanager.UntagResourceRequest{SecretId: &name, TagKeys: []string{"a"}},
			"PutResourcePolicy":        &secretsmanager.PutResourcePolicyRequest{SecretId: &name, ResourcePolicy: ptr(resourcePolicy)},
			"GetResourcePolicy":        &secretsmanager.GetResourcePolicyRequest{SecretId: &name},
			"DeleteResourcePolicy":     &secretsmanager.DeleteResourcePolicyRequest{SecretId: &name},
			"ValidateResourcePolicy":   &secretsmanager.ValidateResourcePolicyRequest{SecretId: &name, ResourcePolicy: ptr(resourcePolicy)},
		} {
			wantCode(p, p.refused(scope, operation, in), mailmanager.CodeResourceNotFound)
		}
		out, err := p.call(scope, "BatchGetSecretValue", &secretsmanager.BatchGetSecretValueRequest{SecretIdList: []string{name}})
		if batch, ok := out.(*secretsmanager.BatchGetSecretValueResponse); !ok || len(batch.SecretValues) > 0 || *batch.Errors[0].ErrorCode != string(mailmanager.CodeResourceNotFound) {
			p.Errorf("BatchGetSecretValue(%s) in %v: got %s, %v", name, scope, text(p, out), err)
		}
		if value, err := p.Secret(p.Context(), scope, name); err == nil {
			p.Errorf("Secret(%s) in %v: got %q", name, scope, value)
		}
	}
}

func (p *plane) wantEmptyLists(scope control.Scope) {
	p.Helper()
	lists := map[string]any{
		"ListRelays": &mailmanager.ListRelaysRequest{}, "ListRuleSets": &mailmanager.ListRuleSetsRequest{},
		"ListTrafficPolicies": &mailmanager.ListTrafficPoliciesRequest{}, "ListIngressPoints": &mailmanager.ListIngressPointsRequest{},
		"ListSecrets": &secretsmanager.ListSecretsRequest{},
	}
	for name, in := range lists {
		p.wantEmptyList(scope, name, in)
	}
}

func (p *plane) wantEmptyList(scope control.Scope, name string, in any) {
	p.Helper()
	out, err := p.call(scope, name, in)
	if err != nil || !strings.Contains(text(p, out), "[]") {
		p.Errorf("%s in %v: got %s, %v, want none", name, scope, text(p, out), err)
	}
}

// wantNothingToUse holds that a point cannot use another scope's rule set or policy.
func (p *plane) wantNothingToUse(scope control.Scope, rules, gate string) {
	p.Helper()
	own, _ := p.strangersPoint(scope, "theirs")
	for _, change := range []func(*mailmanager.CreateIngressPointRequest){
		func(in *mailmanager.CreateIngressPointRequest) { in.RuleSetId = (*mailmanager.RuleSetId)(&rules) },
		func(in *mailmanager.CreateIngressPointRequest) {
			in.TrafficPolicyId = (*mailmanager.TrafficPolicyId)(&gate)
		},
	} {
		in := *own
		change(&in)
		wantCode(p, p.refused(scope, "CreateIngressPoint", &in), mailmanager.CodeValidation)
	}
}

// Names and tokens are a scope's own: the same ones can be used in each.
func TestScopesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A28")
	p := newPlane(t)
	for _, scope := range []control.Scope{home, stranger, abroad} {
		if _, err := p.call(scope, "CreateRelay", withToken(relayRequest("same"), "t")); err != nil {
			t.Errorf("%v: %v", scope, err)
		}
		if _, err := p.call(scope, "CreateSecret", secretRequest("same", "value")); err != nil {
			t.Errorf("%v: %v", scope, err)
		}
		in, _ := p.strangersPoint(scope, "same")
		if _, err := p.call(scope, "CreateIngressPoint", in); err != nil {
			t.Errorf("%v: %v", scope, err)
		}
	}
}
