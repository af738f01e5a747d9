package control_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// counted are the quotas of resources. Those with own limits have a number that a test would take long to reach.
var counted = []struct {
	quota     string
	most      int // in aws-strict, or of own
	own       control.Limits
	operation string
	request   func(points *pointMaker, i int) any
	code      mailmanager.Code
}{
	{"active_archives", 10, control.Limits{}, "CreateArchive", func(_ *pointMaker, i int) any { return archiveRequest(numbered(i)) }, mailmanager.CodeServiceQuotaExceeded},
	{"relays", 40, control.Limits{}, "CreateRelay", func(_ *pointMaker, i int) any { return relayRequest(numbered(i)) }, mailmanager.CodeServiceQuotaExceeded},
	{"rule_sets", 40, control.Limits{}, "CreateRuleSet", func(_ *pointMaker, i int) any { return ruleSetRequest(numbered(i)) }, mailmanager.CodeServiceQuotaExceeded},
	{"traffic_policies", 100, control.Limits{}, "CreateTrafficPolicy", func(_ *pointMaker, i int) any { return policyRequest(numbered(i)) }, mailmanager.CodeServiceQuotaExceeded},
	{"open_ingress_points", 10, control.Limits{}, "CreateIngressPoint", (*pointMaker).open, mailmanager.CodeServiceQuotaExceeded},
	{"authorized_ingress_points", 50, control.Limits{}, "CreateIngressPoint", (*pointMaker).auth, mailmanager.CodeServiceQuotaExceeded},
	{"mtls_ingress_points", 50, control.Limits{}, "CreateIngressPoint", (*pointMaker).mtls, mailmanager.CodeServiceQuotaExceeded},
	{"secrets", 3, control.Limits{Secrets: 3}, "CreateSecret", func(_ *pointMaker, i int) any { return secretRequest(numbered(i), "s") }, secretsmanager.CodeLimitExceeded},
}

func numbered(i int) string { return fmt.Sprint("number-", i) }

// pointMaker asks for ingress points in a scope, all with one rule set and one policy.
type pointMaker struct {
	*plane
	scope control.Scope
	used  *mailmanager.CreateIngressPointRequest
	ca    string
}

func (m *pointMaker) open(i int) any {
	if m.used == nil {
		m.used, _ = m.strangersPoint(m.scope, "all")
	}
	in := *m.used
	in.IngressPointName = ptr(mailmanager.IngressPointName(numbered(i)))
	return &in
}

func (m *pointMaker) auth(i int) any {
	in := m.open(i).(*mailmanager.CreateIngressPointRequest)
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeAuth), passwordConfiguration(password)
	return in
}

func (m *pointMaker) mtls(i int) any {
	if m.ca == "" {
		m.ca, _ = authority(m.TB)
	}
	in := m.open(i).(*mailmanager.CreateIngressPointRequest)
	in.Type, in.IngressPointConfiguration = ptr(mailmanager.IngressPointTypeMtls), trustStore(m.ca, "")
	return in
}

// Mail Manager, A16, and section 10: each quota at its bound. Neither another account nor another region has part in it, and
// the default profile has room for more.
func TestQuotasOfResources(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A16")
	for _, test := range counted {
		t.Run(test.quota, func(t *testing.T) {
			t.Parallel()
			strict := control.NewProfile(true, test.own)
			p := newPlane(t, func(c *control.Config) {
				c.Profiles = control.NewProfiles(control.NewProfile(false, control.Limits{}), map[string]control.Profile{home.Account: strict})
			})
			for _, scope := range []control.Scope{home, abroad} {
				points := &pointMaker{plane: p, scope: scope}
				for i := range test.most {
					if _, err := p.call(scope, test.operation, test.request(points, i)); err != nil {
						t.Fatalf("number %d: %v", i+1, err)
					}
				}
				err := p.refused(scope, test.operation, test.request(points, test.most))
				wantCode(t, err, test.code, "'"+test.quota+"'", home.Account, fmt.Sprint(" ", test.most, "."), "[accounts."+home.Account+".limits]")
			}
			points := &pointMaker{plane: p, scope: stranger}
			for i := range test.most + 1 {
				if _, err := p.call(stranger, test.operation, test.request(points, i)); err != nil {
					t.Fatalf("number %d of another account: %v", i+1, err)
				}
			}
		})
	}
}

// inner are the quotas of what a resource has. The model has the numbers of the first three as well: those are lowered.
var inner = []struct {
	quota   string
	most    int
	own     control.Limits
	rules   func(n int) []mailmanager.Rule // nil: statements
	clauses func(n int) []mailmanager.PolicyStatement
}{
	{"rules_per_rule_set", 3, control.Limits{RulesPerRuleSet: 3}, func(n int) []mailmanager.Rule {
		return slices.Repeat([]mailmanager.Rule{{Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}}}, n)
	}, nil},
	{"actions_per_rule", 3, control.Limits{ActionsPerRule: 3}, func(n int) []mailmanager.Rule {
		return []mailmanager.Rule{{Actions: slices.Repeat([]mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}, n)}}
	}, nil},
	{"conditions_per_rule", 3, control.Limits{ConditionsPerRule: 3}, func(n int) []mailmanager.Rule {
		return []mailmanager.Rule{{Conditions: slices.Repeat([]mailmanager.RuleCondition{sizeCondition}, n), Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}}}
	}, nil},
	{"conditions_per_rule", 2, control.Limits{ConditionsPerRule: 2}, func(n int) []mailmanager.Rule {
		return []mailmanager.Rule{{Unless: slices.Repeat([]mailmanager.RuleCondition{sizeCondition}, n), Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}}}}
	}, nil},
	{"relay_or_send_actions_per_rule_set", 10, control.Limits{}, func(n int) []mailmanager.Rule { // Mail Manager, D17
		return slices.Repeat([]mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayAction(nil)}}}, n)
	}, nil},
	{"statements_per_traffic_policy", 20, control.Limits{}, nil, func(n int) []mailmanager.PolicyStatement {
		return slices.Repeat([]mailmanager.PolicyStatement{denyNetwork("192.0.2.0/24")}, n)
	}},
	{"conditions_per_statement", 10, control.Limits{}, nil, func(n int) []mailmanager.PolicyStatement {
		statement := denyNetwork("192.0.2.0/24")
		statement.Conditions = slices.Repeat(statement.Conditions, n)
		return []mailmanager.PolicyStatement{statement}
	}},
}

var sizeCondition = mailmanager.RuleCondition{NumberExpression: &mailmanager.RuleNumberExpression{
	Evaluate: &mailmanager.RuleNumberToEvaluate{Attribute: ptr(mailmanager.RuleNumberEmailAttributeMessageSize)},
	Operator: ptr(mailmanager.RuleNumberOperatorEquals), Value: ptr(float64(1)),
}}

// Creation has the quota error in the model, and an update has not.
func TestQuotasOfWhatAResourceHas(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A16", "D17")
	for _, test := range inner {
		t.Run(test.quota, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t, func(c *control.Config) { c.Profiles = control.NewProfiles(control.NewProfile(true, test.own), nil) })
			refused := func(err error, code mailmanager.Code) {
				t.Helper()
				wantCode(t, err, code, "'"+test.quota+"'", home.Account, fmt.Sprint(" ", test.most, "."))
			}
			if test.rules == nil {
				in := policyRequest("bound", test.clauses(test.most)...)
				id := do[mailmanager.CreateTrafficPolicyResponse](p, "CreateTrafficPolicy", in).TrafficPolicyId
				more := test.clauses(test.most + 1)
				refused(p.refused(home, "CreateTrafficPolicy", policyRequest("more", more...)), mailmanager.CodeServiceQuotaExceeded)
				refused(p.refused(home, "UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: id, PolicyStatements: more}), mailmanager.CodeValidation)
				return
			}
			in := ruleSetRequest("bound")
			in.Rules = test.rules(test.most)
			id := do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", in).RuleSetId
			in = ruleSetRequest("more")
			in.Rules = test.rules(test.most + 1)
			refused(p.refused(home, "CreateRuleSet", in), mailmanager.CodeServiceQuotaExceeded)
			refused(p.refused(home, "UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: id, Rules: in.Rules}), mailmanager.CodeValidation)
		})
	}
}

// What was made under higher limits can still be renamed, and used.
func TestLoweredLimitsLeaveWhatThereIs(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	in := ruleSetRequest("set")
	in.Rules = inner[4].rules(11)
	set := do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", in).RuleSetId
	gate := do[mailmanager.CreateTrafficPolicyResponse](p, "CreateTrafficPolicy", policyRequest("gate", inner[5].clauses(21)...)).TrafficPolicyId
	profile(true)(&p.config)
	p.restart()
	do[mailmanager.UpdateRuleSetResponse](p, "UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: set, RuleSetName: ptr(mailmanager.RuleSetName("renamed"))})
	do[mailmanager.UpdateTrafficPolicyResponse](p, "UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: gate, TrafficPolicyName: ptr(mailmanager.TrafficPolicyName("renamed"))})
}

func TestTagQuota(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A17")
	p := newPlane(t, limits(control.Limits{Tags: 2}))
	relay := arnOf("mailmanager-smtp-relay/" + p.relay("relay"))
	if err := p.tag(relay, "a", "1", "b", "2"); err != nil {
		t.Fatal(err)
	}
	text := []string{"'tags_per_resource'", home.Account, " 2."}
	wantCode(t, p.tag(relay, "c", "3"), mailmanager.CodeServiceQuotaExceeded, text...)
	in := relayRequest("another")
	in.Tags = tags("a", "1", "b", "2", "c", "3")
	wantCode(t, p.refused(home, "CreateRelay", in), mailmanager.CodeServiceQuotaExceeded, text...)
	secret := secretRequest("secret", "s")
	for _, tag := range in.Tags {
		secret.Tags = append(secret.Tags, secretsmanager.Tag{Key: (*string)(tag.Key), Value: (*string)(tag.Value)})
	}
	wantCode(t, p.refused(home, "CreateSecret", secret), secretsmanager.CodeInvalidParameter, text...)
}

// Every limit has a name, and a number in both profiles, which is that of its own when it is set.
func TestEveryLimitIsASetting(t *testing.T) {
	t.Parallel()
	for _, strict := range []bool{true, false} {
		members := reflect.ValueOf(control.NewProfile(strict, control.Limits{}).Limits)
		for i := range members.NumField() {
			name := members.Type().Field(i).Tag.Get("toml")
			if n := members.Field(i).Int(); n < 1 || name == "" || strings.ToLower(name) != name {
				t.Errorf("limit %s in strict %v: got the name %q and %d", members.Type().Field(i).Name, strict, name, n)
			}
			own := control.Limits{}
			reflect.ValueOf(&own).Elem().Field(i).SetInt(7)
			if got := control.NewProfile(strict, own).Limits; reflect.ValueOf(got).Field(i).Int() != 7 {
				t.Errorf("limit %s: got %d, want its own", name, reflect.ValueOf(got).Field(i).Int())
			}
			reflect.ValueOf(&own).Elem().Field(i).SetInt(-1)
			if err := own.Check(); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("limit %s of -1: got error %v", name, err)
			}
		}
	}
}

// Mail Manager, A16: an account with a profile of its own is refused what AWS refuses, and others are not.
func TestProfilesAreByAccount(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A16")
	p := newPlane(t, func(c *control.Config) {
		c.Profiles = control.NewProfiles(control.NewProfile(false, control.Limits{}), map[string]control.Profile{stranger.Account: control.NewProfile(true, control.Limits{})})
	})
	for _, scope := range []control.Scope{home, stranger} {
		in, _ := p.strangersPoint(scope, "front")
		in.TlsPolicy = ptr(mailmanager.TlsPolicyFips) // in a region where AWS has it not
		_, err := p.call(scope, "CreateIngressPoint", in)
		if scope == stranger {
			wantCode(t, err, mailmanager.CodeValidation, "FIPS")
		} else if err != nil {
			t.Error(err)
		}
	}
}
