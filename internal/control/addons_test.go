package control_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

const (
	spamhaus = "SPAMHAUS_DBL"
	vade     = "VADE_ADVANCED_EMAIL_SECURITY"
)

// analyzers configures these add-ons.
func analyzers(names ...string) func(*control.Config) {
	return func(c *control.Config) {
		c.HasAnalyzer = func(name string) bool {
			for _, n := range names {
				if n == name {
					return true
				}
			}
			return false
		}
	}
}

func subscriptionRequest(addon string) *mailmanager.CreateAddonSubscriptionRequest {
	return &mailmanager.CreateAddonSubscriptionRequest{AddonName: (*mailmanager.AddonName)(&addon)}
}

func instanceRequest(subscription string) *mailmanager.CreateAddonInstanceRequest {
	return &mailmanager.CreateAddonInstanceRequest{AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&subscription)}
}

func (p *plane) subscription(addon string) string {
	p.Helper()
	return string(*do[mailmanager.CreateAddonSubscriptionResponse](p, "CreateAddonSubscription", subscriptionRequest(addon)).AddonSubscriptionId)
}

func (p *plane) instance(addon string) string {
	p.Helper()
	return string(*do[mailmanager.CreateAddonInstanceResponse](p, "CreateAddonInstance", instanceRequest(p.subscription(addon))).AddonInstanceId)
}

func instanceARN(id string) string { return "arn:aws:ses:eu-west-1:111111111111:addon-instance/" + id }

func getSubscription(id string) *mailmanager.GetAddonSubscriptionRequest {
	return &mailmanager.GetAddonSubscriptionRequest{AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&id)}
}

func getInstance(id string) *mailmanager.GetAddonInstanceRequest {
	return &mailmanager.GetAddonInstanceRequest{AddonInstanceId: (*mailmanager.AddonInstanceId)(&id)}
}

func deleteSubscription(id string) *mailmanager.DeleteAddonSubscriptionRequest {
	return &mailmanager.DeleteAddonSubscriptionRequest{AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&id)}
}

func deleteInstance(id string) *mailmanager.DeleteAddonInstanceRequest {
	return &mailmanager.DeleteAddonInstanceRequest{AddonInstanceId: (*mailmanager.AddonInstanceId)(&id)}
}

func TestAddonsReadBackAsCreated(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus))
	subscription := p.subscription(spamhaus)
	p.clock.advance(time.Second)
	instance := string(*do[mailmanager.CreateAddonInstanceResponse](p, "CreateAddonInstance", instanceRequest(subscription)).AddonInstanceId)
	if !regexp.MustCompile(`^as-[a-z2-7]{24} ai-[a-z2-7]{24}$`).MatchString(subscription + " " + instance) {
		t.Errorf("got ids %q and %q", subscription, instance)
	}
	subscribed := time.Date(2026, 11, 22, 10, 0, 0, 123000000, time.UTC)
	created := subscribed.Add(time.Second)
	wantSubscription := &mailmanager.GetAddonSubscriptionResponse{
		AddonName:            ptr(mailmanager.AddonName(spamhaus)),
		AddonSubscriptionArn: ptr(mailmanager.AddonSubscriptionArn("arn:aws:ses:eu-west-1:111111111111:addon-subscription/" + subscription)), CreatedTimestamp: &subscribed,
	}
	wantInstance := &mailmanager.GetAddonInstanceResponse{
		AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&subscription), AddonName: ptr(mailmanager.AddonName(spamhaus)),
		AddonInstanceArn: ptr(mailmanager.AddonInstanceArn(instanceARN(instance))), CreatedTimestamp: &created,
	}
	for range 2 {
		if diff := cmp.Diff(wantSubscription, do[mailmanager.GetAddonSubscriptionResponse](p, "GetAddonSubscription", getSubscription(subscription))); diff != "" {
			t.Errorf("the subscription (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantInstance, do[mailmanager.GetAddonInstanceResponse](p, "GetAddonInstance", getInstance(instance))); diff != "" {
			t.Errorf("the instance (-want +got):\n%s", diff)
		}
		p.config.HasAnalyzer = nil // what was subscribed to stays when the configuration changes
		p.restart()
	}
	list := []any{
		do[mailmanager.ListAddonSubscriptionsResponse](p, "ListAddonSubscriptions", &mailmanager.ListAddonSubscriptionsRequest{}),
		do[mailmanager.ListAddonInstancesResponse](p, "ListAddonInstances", &mailmanager.ListAddonInstancesRequest{}),
	}
	want := []any{
		&mailmanager.ListAddonSubscriptionsResponse{AddonSubscriptions: []mailmanager.AddonSubscription{{
			AddonSubscriptionId: (*mailmanager.AddonSubscriptionId)(&subscription), AddonName: wantSubscription.AddonName,
			AddonSubscriptionArn: wantSubscription.AddonSubscriptionArn, CreatedTimestamp: &subscribed,
		}}},
		&mailmanager.ListAddonInstancesResponse{AddonInstances: []mailmanager.AddonInstance{{
			AddonInstanceId: (*mailmanager.AddonInstanceId)(&instance), AddonSubscriptionId: wantInstance.AddonSubscriptionId,
			AddonName: wantInstance.AddonName, AddonInstanceArn: wantInstance.AddonInstanceArn, CreatedTimestamp: &created,
		}}},
	}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("lists (-want +got):\n%s", diff)
	}
}

func TestAddonRefusals(t *testing.T) {
	conform.Check(t, "F17")
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus, vade, "RSPAMD"))
	instance := p.instance(spamhaus)
	subscription := string(*do[mailmanager.GetAddonInstanceResponse](p, "GetAddonInstance", getInstance(instance)).AddonSubscriptionId)
	const noSubscription, noInstance = "as-aaaaaaaaaaaaaaaaaaaaaaaa", "ai-aaaaaaaaaaaaaaaaaaaaaaaa"
	tests := []struct {
		name, operation string
		in              any
		want            mailmanager.Code
		text            string
	}{
		{"an add-on twice", "CreateAddonSubscription", subscriptionRequest(spamhaus), mailmanager.CodeConflict, spamhaus},
		{"one that is not configured", "CreateAddonSubscription", subscriptionRequest("TRENDMICRO_VSAPI"), mailmanager.CodeValidation, "[analyzers.TRENDMICRO_VSAPI]"},
		{"one that AWS does not have", "CreateAddonSubscription", subscriptionRequest("RSPAMD"), mailmanager.CodeValidation, "'addonName'"},
		{"one in other letters", "CreateAddonSubscription", subscriptionRequest("spamhaus_dbl"), mailmanager.CodeValidation, "'addonName'"},
		{"none", "CreateAddonSubscription", subscriptionRequest(""), mailmanager.CodeValidation, "'addonName'"},
		{"a second instance", "CreateAddonInstance", instanceRequest(subscription), mailmanager.CodeConflict, subscription},
		{"an instance of nothing", "CreateAddonInstance", instanceRequest(noSubscription), mailmanager.CodeResourceNotFound, noSubscription},
		{"an instance of an instance", "CreateAddonInstance", instanceRequest("as-1"), mailmanager.CodeValidation, "'addonSubscriptionId'"},
		{"delete what has an instance", "DeleteAddonSubscription", deleteSubscription(subscription), mailmanager.CodeConflict, subscription},
		{"get an unknown subscription", "GetAddonSubscription", getSubscription(noSubscription), mailmanager.CodeResourceNotFound, noSubscription},
		{"get an unknown instance", "GetAddonInstance", getInstance(noInstance), mailmanager.CodeResourceNotFound, noInstance},
		{"get a malformed subscription", "GetAddonSubscription", getSubscription("as-AAAAAAAAAAAAAAAAAAAAAAAA"), mailmanager.CodeValidation, "'addonSubscriptionId'"},
		{"get a malformed instance", "GetAddonInstance", getInstance("ai-1"), mailmanager.CodeValidation, "'addonInstanceId'"},
		{"delete a malformed subscription", "DeleteAddonSubscription", deleteSubscription("as-1"), mailmanager.CodeValidation, "'addonSubscriptionId'"},
		{"delete a malformed instance", "DeleteAddonInstance", deleteInstance("ai-AAAAAAAAAAAAAAAAAAAAAAAA"), mailmanager.CodeValidation, "'addonInstanceId'"},
		{"a foreign page token of subscriptions", "ListAddonSubscriptions", &mailmanager.ListAddonSubscriptionsRequest{NextToken: ptr(mailmanager.PaginationToken("abc"))}, mailmanager.CodeValidation, "'nextToken'"},
		{"a foreign page token of instances", "ListAddonInstances", &mailmanager.ListAddonInstancesRequest{NextToken: ptr(mailmanager.PaginationToken("abc"))}, mailmanager.CodeValidation, "'nextToken'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantCode(t, p.refused(home, test.operation, test.in), test.want, test.text)
		})
	}
	bare := newPlane(t)
	wantCode(t, bare.refused(home, "CreateAddonSubscription", subscriptionRequest(spamhaus)), mailmanager.CodeValidation, "[analyzers.SPAMHAUS_DBL]")
}

func TestAddonsAreDeletedInTurn(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus))
	instance := p.instance(spamhaus)
	subscription := string(*do[mailmanager.GetAddonInstanceResponse](p, "GetAddonInstance", getInstance(instance)).AddonSubscriptionId)
	for range 2 { // deletes are idempotent
		do[mailmanager.DeleteAddonInstanceResponse](p, "DeleteAddonInstance", deleteInstance(instance))
	}
	again := string(*do[mailmanager.CreateAddonInstanceResponse](p, "CreateAddonInstance", instanceRequest(subscription)).AddonInstanceId)
	do[mailmanager.DeleteAddonInstanceResponse](p, "DeleteAddonInstance", deleteInstance(again))
	for range 2 {
		do[mailmanager.DeleteAddonSubscriptionResponse](p, "DeleteAddonSubscription", deleteSubscription(subscription))
	}
	p.subscription(spamhaus)
}

// asks are the conditions of a statement that ask an analyzer, and askedBy the rules: one of each kind of condition.
func asks(analyzer string) []mailmanager.PolicyCondition { return asksFor("addon.isListed", analyzer) }

func asksFor(field, analyzer string) []mailmanager.PolicyCondition {
	a := &mailmanager.IngressAnalysis{Analyzer: (*mailmanager.AnalyzerArn)(&analyzer), ResultField: (*mailmanager.ResultField)(&field)}
	return []mailmanager.PolicyCondition{
		{BooleanExpression: &mailmanager.IngressBooleanExpression{
			Evaluate: &mailmanager.IngressBooleanToEvaluate{Analysis: a}, Operator: ptr(mailmanager.IngressBooleanOperatorIsTrue)}},
		{StringExpression: &mailmanager.IngressStringExpression{
			Evaluate: &mailmanager.IngressStringToEvaluate{Analysis: a}, Operator: ptr(mailmanager.IngressStringOperatorEquals), Values: []string{"x"}}},
	}
}

func askedBy(analyzer string) []mailmanager.RuleCondition { return askedFor("isPassed", analyzer) }

func askedFor(field, analyzer string) []mailmanager.RuleCondition {
	a := &mailmanager.Analysis{Analyzer: (*mailmanager.AnalyzerArn)(&analyzer), ResultField: (*mailmanager.ResultField)(&field)}
	return []mailmanager.RuleCondition{
		{BooleanExpression: &mailmanager.RuleBooleanExpression{
			Evaluate: &mailmanager.RuleBooleanToEvaluate{Analysis: a}, Operator: ptr(mailmanager.RuleBooleanOperatorIsTrue)}},
		{StringExpression: &mailmanager.RuleStringExpression{
			Evaluate: &mailmanager.RuleStringToEvaluate{Analysis: a}, Operator: ptr(mailmanager.RuleStringOperatorEquals), Values: []mailmanager.RuleStringValue{"x"}}},
		{VerdictExpression: &mailmanager.RuleVerdictExpression{
			Evaluate: &mailmanager.RuleVerdictToEvaluate{Analysis: a}, Operator: ptr(mailmanager.RuleVerdictOperatorEquals), Values: []mailmanager.RuleVerdict{mailmanager.RuleVerdictPass}}},
	}
}

func denying(c ...mailmanager.PolicyCondition) mailmanager.PolicyStatement {
	return mailmanager.PolicyStatement{Action: ptr(mailmanager.AcceptActionDeny), Conditions: c}
}

// Mail Manager, F16: what may be asked of an add-on, by each kind of condition.
func TestFieldsOfAddons(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus))
	analyzer := instanceARN(p.instance(spamhaus))
	n := 0
	name := func() string { n++; return "name-" + strconv.Itoa(n) }
	for field, known := range map[string]bool{
		"isListed": true, "listedOn": true, "isPassed": true, "category": true, "verdict": true, "ISLISTED": true, "addon.Verdict": true, "addon.isPassed": true,
		"listed": false, "isListed ": false, "addon.x": false, "addon.is Listed": false, "addonisListed": false, "is Listed": false, "x": false,
	} {
		check := func(operation string, in any) {
			t.Helper()
			_, err := p.call(home, operation, in)
			if known && err != nil {
				t.Errorf("%q: %v", field, err)
			}
			if !known {
				wantCode(t, err, mailmanager.CodeValidation, ".evaluate.analysis.resultField'")
			}
		}
		for _, c := range asksFor(field, analyzer) {
			check("CreateTrafficPolicy", policyRequest(name(), denying(c)))
		}
		for _, c := range askedFor(field, analyzer) {
			in := ruleSetRequest(name())
			in.Rules = []mailmanager.Rule{{Conditions: []mailmanager.RuleCondition{c}, Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}}}
			check("CreateRuleSet", in)
		}
	}
}

// An instance stays while a policy or a rule set asks it, whatever the kind of condition, and by its ARN or its id.
func TestInstancesStayWhileTheyAreAsked(t *testing.T) {
	t.Parallel()
	drop := []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}
	type user struct {
		name   string
		create func(p *plane, analyzer string) (remove func())
	}
	var users []user
	for i := range asks("") {
		users = append(users, user{"a policy", func(p *plane, analyzer string) func() {
			in := policyRequest("gate", denying(asks(analyzer)[i]), denying(asks(analyzer)[i]))
			id := do[mailmanager.CreateTrafficPolicyResponse](p, "CreateTrafficPolicy", in).TrafficPolicyId
			change := &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: id, TrafficPolicyName: ptr(mailmanager.TrafficPolicyName("renamed"))}
			do[mailmanager.UpdateTrafficPolicyResponse](p, "UpdateTrafficPolicy", change) // it asks the instance as before
			return func() {
				change.PolicyStatements = []mailmanager.PolicyStatement{}
				do[mailmanager.UpdateTrafficPolicyResponse](p, "UpdateTrafficPolicy", change)
			}
		}})
	}
	for i := range askedBy("") {
		for _, unless := range []bool{false, true} {
			users = append(users, user{"a rule set", func(p *plane, analyzer string) func() {
				rule := mailmanager.Rule{Actions: drop, Conditions: askedBy(analyzer)[i : i+1]}
				if unless {
					rule.Conditions, rule.Unless = nil, rule.Conditions
				}
				in := ruleSetRequest("rules")
				id := do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", in).RuleSetId
				change := &mailmanager.UpdateRuleSetRequest{RuleSetId: id, Rules: []mailmanager.Rule{rule, rule}}
				do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", change)
				rename := &mailmanager.UpdateRuleSetRequest{RuleSetId: id, RuleSetName: ptr(mailmanager.RuleSetName("renamed"))}
				do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", rename)
				return func() {
					do[mailmanager.DeleteRuleSetResponse](p, "DeleteRuleSet", &mailmanager.DeleteRuleSetRequest{RuleSetId: id})
				}
			}})
		}
	}
	for i, u := range users {
		t.Run(u.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t, analyzers(spamhaus))
			id := p.instance(spamhaus)
			analyzer := instanceARN(id)
			if i%2 == 1 {
				analyzer = id
			}
			remove := u.create(p, analyzer)
			p.restart()
			wantCode(t, p.refused(home, "DeleteAddonInstance", deleteInstance(id)), mailmanager.CodeConflict, id)
			remove()
			do[mailmanager.DeleteAddonInstanceResponse](p, "DeleteAddonInstance", deleteInstance(id))
		})
	}
}

// A policy or a rule set that asks what is not there is refused, and told so in the same words whether it is another's or
// nobody's (S36).
func TestAnalyzersThatAreNotThere(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus, vade))
	own := instanceARN(p.instance(spamhaus))
	out, err := p.call(stranger, "CreateAddonSubscription", subscriptionRequest(vade))
	if err != nil {
		t.Fatal(err)
	}
	subscription := out.(*mailmanager.CreateAddonSubscriptionResponse).AddonSubscriptionId
	if out, err = p.call(stranger, "CreateAddonInstance", instanceRequest(string(*subscription))); err != nil {
		t.Fatal(err)
	}
	theirs := string(*out.(*mailmanager.CreateAddonInstanceResponse).AddonInstanceId)
	set, gate := p.ruleSet("stored"), p.policy("stored")
	tests := []struct{ name, analyzer string }{
		{"nobody's", instanceARN("ai-aaaaaaaaaaaaaaaaaaaaaaaa")},
		{"another's, as their own", "arn:aws:ses:eu-west-1:222222222222:addon-instance/" + theirs},
		{"another's, as if it were ours", instanceARN(theirs)},
		{"another's id", theirs},
		{"ours, as if it were another's", strings.Replace(own, "111111111111", "222222222222", 1)},
		{"ours, as if it were elsewhere", strings.Replace(own, "eu-west-1", "us-east-1", 1)},
		{"a subscription", "arn:aws:ses:eu-west-1:111111111111:addon-subscription/" + string(*subscription)},
		{"an ARN that goes on", own + "/x"},
		{"no ARN", "addon"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rules := []mailmanager.Rule{{Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}, Conditions: append(askedBy(own)[:1], askedBy(test.analyzer)[1])}}
			statements := []mailmanager.PolicyStatement{denying(asks(own)[0], asks(test.analyzer)[1])}
			in := ruleSetRequest("rules")
			in.Rules = rules
			for operation, in := range map[string]any{
				"CreateRuleSet":       in,
				"UpdateRuleSet":       &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&set), Rules: rules},
				"CreateTrafficPolicy": policyRequest("gate", statements...),
				"UpdateTrafficPolicy": &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&gate), PolicyStatements: statements},
			} {
				wantCode(t, p.refused(home, operation, in), mailmanager.CodeValidation, "There is no add-on instance ")
			}
		})
	}
}

// Rules of an earlier version may ask an add-on that is not there: they are served, and can be renamed. Mail Manager, D20.
func TestStoredRulesMayAskWhatIsNotThere(t *testing.T) {
	conform.Check(t, "D20")
	t.Parallel()
	p := newPlane(t)
	id := p.ruleSet("before")
	key := store.Key{Scope: home, Kind: "rule-set", ID: id}
	r, err := p.config.Store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	rules := []mailmanager.Rule{{Conditions: askedBy(instanceARN("ai-1")), Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}}}
	if err := p.config.Store.Update(t.Context(), store.Change{Resource: r, Parts: map[string][]byte{"rules": []byte(text(t, rules))}}); err != nil {
		t.Fatal(err)
	}
	p.restart()
	if _, ok := p.RuleSet(control.Key{Scope: home, ID: id}); !ok {
		t.Error("the rule set is not served")
	}
	do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&id), RuleSetName: ptr(mailmanager.RuleSetName("after"))})
	if got := getRuleSet(p, id); *got.RuleSetName != "after" || len(got.Rules[0].Conditions) != 3 {
		t.Errorf("got %s", text(t, got))
	}
}
