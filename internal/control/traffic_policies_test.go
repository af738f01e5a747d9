package control_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/policy"
)

func getPolicy(p *plane, id string) *mailmanager.GetTrafficPolicyResponse {
	p.Helper()
	return do[mailmanager.GetTrafficPolicyResponse](p, "GetTrafficPolicy", &mailmanager.GetTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&id)})
}

func denyNetwork(cidr string) mailmanager.PolicyStatement {
	return mailmanager.PolicyStatement{Action: ptr(mailmanager.AcceptActionDeny), Conditions: []mailmanager.PolicyCondition{{
		IpExpression: &mailmanager.IngressIpv4Expression{
			Evaluate: &mailmanager.IngressIpToEvaluate{Attribute: ptr(mailmanager.IngressIpv4AttributeSenderIp)},
			Operator: ptr(mailmanager.IngressIpOperatorCidrMatches), Values: []mailmanager.Ipv4Cidr{mailmanager.Ipv4Cidr(cidr)},
		},
	}}}
}

func TestTrafficPolicyReadsBackAndUpdatesInParts(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A11")
	p := newPlane(t)
	in := policyRequest("gate", denyNetwork("192.0.2.0/24"))
	in.MaxMessageSizeBytes = ptr(int32(1000))
	id := string(*do[mailmanager.CreateTrafficPolicyResponse](p, "CreateTrafficPolicy", in).TrafficPolicyId)
	created := time.Date(2026, 11, 22, 10, 0, 0, 123000000, time.UTC)
	want := &mailmanager.GetTrafficPolicyResponse{
		TrafficPolicyName: in.TrafficPolicyName, TrafficPolicyId: ptr(mailmanager.TrafficPolicyId(id)),
		TrafficPolicyArn: ptr(mailmanager.TrafficPolicyArn("arn:aws:ses:eu-west-1:111111111111:mailmanager-traffic-policy/" + id)),
		PolicyStatements: in.PolicyStatements, MaxMessageSizeBytes: in.MaxMessageSizeBytes, DefaultAction: in.DefaultAction,
		CreatedTimestamp: &created, LastUpdatedTimestamp: &created,
	}
	if diff := cmp.Diff(want, getPolicy(p, id)); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	changes := []struct {
		name   string
		change mailmanager.UpdateTrafficPolicyRequest
		apply  func()
	}{
		{"nothing", mailmanager.UpdateTrafficPolicyRequest{}, func() {}},
		{"default action", mailmanager.UpdateTrafficPolicyRequest{DefaultAction: ptr(mailmanager.AcceptActionDeny)}, func() { want.DefaultAction = ptr(mailmanager.AcceptActionDeny) }},
		{"size", mailmanager.UpdateTrafficPolicyRequest{MaxMessageSizeBytes: ptr(int32(5))}, func() { want.MaxMessageSizeBytes = ptr(int32(5)) }},
		{"name", mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyName: ptr(mailmanager.TrafficPolicyName("door"))}, func() { want.TrafficPolicyName = ptr(mailmanager.TrafficPolicyName("door")) }},
		{"no statements any more", mailmanager.UpdateTrafficPolicyRequest{PolicyStatements: []mailmanager.PolicyStatement{}}, func() { want.PolicyStatements = []mailmanager.PolicyStatement{} }},
	}
	for _, c := range changes {
		p.clock.advance(time.Second)
		want.LastUpdatedTimestamp = ptr(want.LastUpdatedTimestamp.Add(time.Second))
		c.apply()
		c.change.TrafficPolicyId = ptr(mailmanager.TrafficPolicyId(id))
		do[mailmanager.UpdateTrafficPolicyResponse](p, "UpdateTrafficPolicy", &c.change)
		if diff := cmp.Diff(want, getPolicy(p, id)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	list := do[mailmanager.ListTrafficPoliciesResponse](p, "ListTrafficPolicies", &mailmanager.ListTrafficPoliciesRequest{}).TrafficPolicies
	if diff := cmp.Diff([]mailmanager.TrafficPolicy{{TrafficPolicyName: want.TrafficPolicyName, TrafficPolicyId: want.TrafficPolicyId, DefaultAction: want.DefaultAction}}, list); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

func TestTrafficPolicyRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   *mailmanager.CreateTrafficPolicyRequest
		text string
	}{
		{"a network that netip cannot read", policyRequest("gate", denyNetwork("010.0.2.0/24")), "policyStatements.1.member"},
		{"another network that netip cannot read", policyRequest("gate", denyNetwork("192.0.2.0/24"), denyNetwork("010.0.2.0/24")), "policyStatements.2.member"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			wantCode(t, p.refused(home, "CreateTrafficPolicy", test.in), mailmanager.CodeValidation, test.text)
			id := p.policy("gate")
			change := &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&id), PolicyStatements: test.in.PolicyStatements}
			wantCode(t, p.refused(home, "UpdateTrafficPolicy", change), mailmanager.CodeValidation, test.text)
		})
	}
	p := newPlane(t)
	p.policy("gate")
	wantCode(t, p.refused(home, "CreateTrafficPolicy", policyRequest("gate")), mailmanager.CodeConflict, "gate")
	other := mailmanager.TrafficPolicyId(p.policy("other"))
	wantCode(t, p.refused(home, "UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: &other, TrafficPolicyName: ptr(mailmanager.TrafficPolicyName("gate"))}), mailmanager.CodeConflict, "gate")
	unknown := ptr(mailmanager.TrafficPolicyId("tp-aaaaaaaaaaaaaaaaaaaaaaaa"))
	wantCode(t, p.refused(home, "GetTrafficPolicy", &mailmanager.GetTrafficPolicyRequest{TrafficPolicyId: unknown}), mailmanager.CodeResourceNotFound)
	wantCode(t, p.refused(home, "UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: unknown}), mailmanager.CodeResourceNotFound)
	do[mailmanager.DeleteTrafficPolicyResponse](p, "DeleteTrafficPolicy", &mailmanager.DeleteTrafficPolicyRequest{TrafficPolicyId: unknown})
	malformed := ptr(mailmanager.TrafficPolicyId("tp"))
	wantCode(t, p.refused(home, "GetTrafficPolicy", &mailmanager.GetTrafficPolicyRequest{TrafficPolicyId: malformed}), mailmanager.CodeValidation, "'trafficPolicyId'")
	wantCode(t, p.refused(home, "UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: malformed}), mailmanager.CodeValidation)
	wantCode(t, p.refused(home, "DeleteTrafficPolicy", &mailmanager.DeleteTrafficPolicyRequest{TrafficPolicyId: malformed}), mailmanager.CodeValidation)
}

func TestSnapshotHasAPolicyBeforeTheCallAnswers(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C8")
	p := newPlane(t)
	key := control.Key{Scope: home, ID: p.policy("gate")}
	before, ok := p.Policy(key)
	if !ok {
		t.Fatal("it is not there")
	}
	do[mailmanager.UpdateTrafficPolicyResponse](p, "UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&key.ID), DefaultAction: ptr(mailmanager.AcceptActionDeny)})
	after, _ := p.Policy(key)
	decide := func(p *control.Policy) mailmanager.AcceptAction {
		d := p.Decide(&policy.Facts{}, "a@example.com")
		return d.Action
	}
	if decide(after) != mailmanager.AcceptActionDeny {
		t.Error("after an update: the policy decides as before")
	}
	if decide(before) != mailmanager.AcceptActionAllow { // Mail Manager, C8
		t.Error("a session's policy changed under it")
	}
	do[mailmanager.DeleteTrafficPolicyResponse](p, "DeleteTrafficPolicy", &mailmanager.DeleteTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&key.ID)})
	if _, ok := p.Policy(key); ok {
		t.Error("after a delete: it is still there")
	}
}
