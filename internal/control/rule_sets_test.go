package control_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/rule"
)

func getRuleSet(p *plane, id string) *mailmanager.GetRuleSetResponse {
	p.Helper()
	return do[mailmanager.GetRuleSetResponse](p, "GetRuleSet", &mailmanager.GetRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id)})
}

func relayAction(policy *mailmanager.ActionFailurePolicy) mailmanager.RuleAction {
	return mailmanager.RuleAction{Relay: &mailmanager.RelayAction{Relay: ptr(mailmanager.IdOrArn("r-aaaaaaaaaaaaaaaaaaaaaaaa")), ActionFailurePolicy: policy}}
}

// Mail Manager, A10.
func TestRuleSetsReadBackWithoutDefaults(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A10", "A25")
	p := newPlane(t)
	goOn, drop := ptr(mailmanager.ActionFailurePolicyContinue), ptr(mailmanager.ActionFailurePolicyDrop)
	role := ptr(mailmanager.IamRoleArn("arn:aws:iam::111111111111:role/r"))
	actions := func(policy *mailmanager.ActionFailurePolicy) []mailmanager.RuleAction {
		return []mailmanager.RuleAction{
			relayAction(policy),
			{Archive: &mailmanager.ArchiveAction{ActionFailurePolicy: policy, TargetArchive: ptr(mailmanager.NameOrArn("a"))}},
			{WriteToS3: &mailmanager.S3Action{ActionFailurePolicy: policy, RoleArn: role, S3Bucket: ptr(mailmanager.S3Bucket("bucket"))}},
			{Send: &mailmanager.SendAction{ActionFailurePolicy: policy, RoleArn: role}},
			{DeliverToMailbox: &mailmanager.DeliverToMailboxAction{ActionFailurePolicy: policy, RoleArn: role, MailboxArn: ptr(mailmanager.NameOrArn("m"))}},
			{PublishToSns: &mailmanager.SnsAction{ActionFailurePolicy: policy, RoleArn: role, TopicArn: ptr(mailmanager.SnsTopicArn("arn:aws:sns:us-east-1:111111111111:t"))}},
			{InvokeLambda: &mailmanager.InvokeLambdaAction{ActionFailurePolicy: policy, RoleArn: role,
				FunctionArn: ptr(mailmanager.LambdaFunctionArn("arn:aws:lambda:us-east-1:111111111111:function:f")), InvocationType: ptr(mailmanager.LambdaInvocationTypeEvent)}},
			{Bounce: &mailmanager.BounceAction{ActionFailurePolicy: policy, RoleArn: role, Sender: ptr(mailmanager.EmailAddress("a@example.com")),
				StatusCode: ptr(mailmanager.StatusCode("5.1.1")), SmtpReplyCode: ptr(mailmanager.SmtpReplyCode("550")), DiagnosticMessage: ptr(mailmanager.DiagnosticMessage("no"))}},
			{DeliverToQBusiness: &mailmanager.DeliverToQBusinessAction{ActionFailurePolicy: policy, RoleArn: role,
				ApplicationId: ptr(mailmanager.QBusinessApplicationId("11111111-1111-1111-1111-111111111111")), IndexId: ptr(mailmanager.QBusinessIndexId("11111111-1111-1111-1111-111111111111"))}},
			{Drop: &mailmanager.DropAction{}},
		}
	}
	tests := []struct {
		name       string
		sent, read *mailmanager.ActionFailurePolicy
	}{{"continue", goOn, nil}, {"absent", nil, nil}, {"drop", drop, drop}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := ruleSetRequest(test.name, actions(test.sent)...)
			before := text(t, in)
			id := string(*do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", in).RuleSetId)
			if text(t, in) != before {
				t.Error("the input was changed")
			}
			want := []mailmanager.Rule{{Conditions: []mailmanager.RuleCondition{}, Unless: []mailmanager.RuleCondition{}, Actions: actions(test.read)}}
			if diff := cmp.Diff(want, getRuleSet(p, id).Rules); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	empty := getRuleSet(p, p.ruleSet("empty"))
	if empty.Rules == nil || len(empty.Rules) != 0 {
		t.Errorf("no rules: got %v, want an empty list", empty.Rules)
	}
}

func TestRuleSetTimesAreWholeSeconds(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.ruleSet("one")
	p.clock.advance(90*time.Second + 700*time.Millisecond)
	do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id), RuleSetName: ptr(mailmanager.RuleSetName("uno"))})
	got := getRuleSet(p, id)
	created := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	if !got.CreatedDate.Equal(created) || !got.LastModificationDate.Equal(created.Add(90*time.Second)) {
		t.Errorf("got %v and %v, want %v and 90 s later", got.CreatedDate, got.LastModificationDate, created)
	}
	list := do[mailmanager.ListRuleSetsResponse](p, "ListRuleSets", &mailmanager.ListRuleSetsRequest{}).RuleSets
	if len(list) != 1 || *list[0].RuleSetName != "uno" || !list[0].LastModificationDate.Equal(*got.LastModificationDate) {
		t.Errorf("list: got %s", text(t, list))
	}
}

func TestRuleSetRefusals(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D3", "D17")
	condition := func(c mailmanager.RuleCondition) *mailmanager.CreateRuleSetRequest {
		in := ruleSetRequest("set", relayAction(nil))
		in.Rules[0].Conditions = []mailmanager.RuleCondition{c}
		return in
	}
	network := func(value string) *mailmanager.CreateRuleSetRequest {
		return condition(mailmanager.RuleCondition{IpExpression: &mailmanager.RuleIpExpression{
			Evaluate: &mailmanager.RuleIpToEvaluate{Attribute: ptr(mailmanager.RuleIpEmailAttributeSourceIp)},
			Operator: ptr(mailmanager.RuleIpOperatorCidrMatches), Values: []mailmanager.RuleIpStringValue{mailmanager.RuleIpStringValue(value)},
		}})
	}
	tests := []struct {
		name string
		in   *mailmanager.CreateRuleSetRequest
		text string
	}{
		{"no network at all", network("x"), "rules.1.member.conditions.1.member"},
		{"mask too long", network("10.0.0.0/33"), "rules.1.member.conditions.1.member"},
		{"replace a recipient by nothing (D3)", ruleSetRequest("set", mailmanager.RuleAction{ReplaceRecipient: &mailmanager.ReplaceRecipientAction{}}), "replaceWith"},
		{"a line end in a header field (S38)", ruleSetRequest("set", mailmanager.RuleAction{AddHeader: &mailmanager.AddHeaderAction{
			HeaderName: ptr(mailmanager.HeaderName("X-A")), HeaderValue: ptr(mailmanager.HeaderValue("a\r\nBcc: b@example.com"))}}), "headerValue"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			wantCode(t, p.refused(home, "CreateRuleSet", test.in), mailmanager.CodeValidation, test.text)
			id := p.ruleSet("set") // the name was not taken by what was refused
			change := &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id), Rules: test.in.Rules}
			wantCode(t, p.refused(home, "UpdateRuleSet", change), mailmanager.CodeValidation, test.text)
			if got := getRuleSet(p, id).Rules; len(got) != 0 {
				t.Errorf("after a refused update: got %s", text(t, got))
			}
		})
	}
	p := newPlane(t)
	p.ruleSet("set")
	wantCode(t, p.refused(home, "CreateRuleSet", ruleSetRequest("set")), mailmanager.CodeConflict, "set")
	wantCode(t, p.refused(home, "GetRuleSet", &mailmanager.GetRuleSetRequest{RuleSetId: ptr(mailmanager.RuleSetId("rs-00000000000000000000000000"))}), mailmanager.CodeResourceNotFound)
	wantCode(t, p.refused(home, "UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: ptr(mailmanager.RuleSetId("rs-aaaaaaaaaaaaaaaaaaaaaaaa"))}), mailmanager.CodeResourceNotFound)
	wantCode(t, p.refused(home, "GetRuleSet", &mailmanager.GetRuleSetRequest{RuleSetId: ptr(mailmanager.RuleSetId("rs-"))}), mailmanager.CodeValidation, "'ruleSetId'")
	wantCode(t, p.refused(home, "DeleteRuleSet", &mailmanager.DeleteRuleSetRequest{RuleSetId: ptr(mailmanager.RuleSetId("1"))}), mailmanager.CodeValidation, "'ruleSetId'")
}

func TestDuplicateRuleNamesAreAllowed(t *testing.T) { // Mail Manager, A22
	t.Parallel()
	conform.Check(t, "A22")
	p := newPlane(t)
	in := ruleSetRequest("set", relayAction(nil))
	in.Rules[0].Name = ptr(mailmanager.RuleName("same"))
	in.Rules = append(in.Rules, in.Rules[0])
	do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", in)
}

func TestSnapshotHasARuleSetBeforeTheCallAnswers(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D19")
	p := newPlane(t)
	key := control.Key{Scope: home, ID: p.ruleSet("one")}
	first, ok := p.RuleSet(key)
	if !ok || first.Name != "one" || first.Len() != 0 || first.Hash != sha256.Sum256(first.Source) {
		t.Fatalf("got %+v, %v", first, ok)
	}
	change := &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&key.ID), Rules: ruleSetRequest("", relayAction(nil)).Rules}
	do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", change)
	second, _ := p.RuleSet(key)
	if second.Len() != 1 || second.Hash == first.Hash || first.Len() != 0 {
		t.Errorf("after an update: got %d rules and the same hash %v", second.Len(), second.Hash == first.Hash)
	}
	again, err := rule.Parse(second.Source)
	if err != nil || again.Len() != 1 {
		t.Errorf("the source: got %v, %v", again, err)
	}
	do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&key.ID), RuleSetName: ptr(mailmanager.RuleSetName("uno"))})
	if third, _ := p.RuleSet(key); third.Name != "uno" || third.Hash != second.Hash {
		t.Errorf("after a change of the name only: got name %s, the same hash %v", third.Name, third.Hash == second.Hash)
	}
	do[mailmanager.DeleteRuleSetResponse](p, "DeleteRuleSet", &mailmanager.DeleteRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&key.ID)})
	if _, ok := p.RuleSet(key); ok {
		t.Error("after a delete: it is still there")
	}
}
