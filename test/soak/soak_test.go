// Package soak has the tests that put a running server under load, break it, and count: every message that was answered
// with 250 must arrive. Each has a short form, which make test runs, and its long form with SLUICE_SOAK=1 (make soak).
package soak

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	mm "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

// patience is how long a run may take; only a failure uses it up.
const patience = 10 * time.Minute

// Retry times that a test can wait for.
var quickRetries = []string{"--log-level", "warn", "--retry-first", "500ms", "--retry-max", "1s", "--probe-first", "200ms", "--probe-max", "1s"}

// pick is the size of a test: its short form, or its long one.
func pick(short, full int) int {
	if os.Getenv("SLUICE_SOAK") == "1" {
		return full
	}
	return short
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func startSink(t *testing.T, options sink.Options) *sink.Sink {
	t.Helper()
	s, err := sink.Listen("127.0.0.1:0", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// send sends messages for one domain and checks that all were accepted.
func send(t *testing.T, address string, options generate.Options) generate.Result {
	t.Helper()
	result, err := generate.Run(within(t), address, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(result)
	if accepted := result.Ledger.Total(ledger.Accepted); accepted != options.Messages {
		t.Fatalf("%d of %d messages were accepted", accepted, options.Messages)
	}
	return result
}

// emptied waits until no lane holds anything, and fails at once when something came to rest.
func emptied(t *testing.T, s *harness.Server) {
	t.Helper()
	drained(t, func() map[string]int {
		waiting := lanes(t, s)
		for name, items := range waiting {
			if strings.HasPrefix(name, "held/") {
				t.Fatalf("%d messages in lane %s", items, name)
			}
		}
		return waiting
	})
}

// drained waits until nothing waits any more.
func drained[N any](t *testing.T, waiting func() map[string]N) {
	t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); ; <-ticker.C {
		left := waiting()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after %v: %v", patience, left)
		}
	}
}

// lanes is how many items wait in each lane.
func lanes(t *testing.T, s *harness.Server) map[string]int {
	t.Helper()
	status, err := s.Admin().GetStatus(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waiting := map[string]int{}
	for _, lane := range status.Lanes {
		waiting[lane.Name] = lane.Items
	}
	return waiting
}

// route makes an ingress point whose mail goes by three policy statements and ten rules, and returns its address. Mail
// for each domain of next goes to the address beside it.
func route(t *testing.T, s *harness.Server, next map[string]string, tags ...types.Tag) string {
	t.Helper()
	ctx, api := t.Context(), s.MailManager()
	policy, err := api.CreateTrafficPolicy(ctx, &mm.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("soak-policy"), DefaultAction: types.AcceptActionAllow, PolicyStatements: statements(),
	})
	must(t, err)
	set, err := api.CreateRuleSet(ctx, &mm.CreateRuleSetInput{RuleSetName: aws.String("soak-rules"), Rules: rules(t, s, next)})
	must(t, err)
	point, err := api.CreateIngressPoint(ctx, &mm.CreateIngressPointInput{
		IngressPointName: aws.String("soak-point"), Type: types.IngressPointTypeOpen, TlsPolicy: types.TlsPolicyOptional,
		RuleSetId: set.RuleSetId, TrafficPolicyId: policy.TrafficPolicyId, Tags: tags,
	})
	must(t, err)
	return s.Address(t, *point.IngressPointId)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// statements are three that an ordinary message passes.
func statements() []types.PolicyStatement {
	recipient := func(op types.IngressStringOperator, value string) []types.PolicyCondition {
		return []types.PolicyCondition{&types.PolicyConditionMemberStringExpression{Value: types.IngressStringExpression{
			Evaluate: &types.IngressStringToEvaluateMemberAttribute{Value: types.IngressStringEmailAttributeRecipient},
			Operator: op, Values: []string{value},
		}}}
	}
	return []types.PolicyStatement{
		{Action: types.AcceptActionDeny, Conditions: recipient(types.IngressStringOperatorEquals, "nobody@example.net")},
		{Action: types.AcceptActionDeny, Conditions: recipient(types.IngressStringOperatorEndsWith, "@forbidden.example")},
		{Action: types.AcceptActionAllow, Conditions: recipient(types.IngressStringOperatorContains, "@example.")},
	}
}

const rulesInAll = 10

// rules are as many that do not match as it takes, and then one a domain that relays.
func rules(t *testing.T, s *harness.Server, next map[string]string) []types.Rule {
	t.Helper()
	when := func(attribute types.RuleStringEmailAttribute, op types.RuleStringOperator, value string) []types.RuleCondition {
		return []types.RuleCondition{&types.RuleConditionMemberStringExpression{Value: types.RuleStringExpression{
			Evaluate: &types.RuleStringToEvaluateMemberAttribute{Value: attribute}, Operator: op, Values: []string{value},
		}}}
	}
	var list []types.Rule
	for i := range rulesInAll - len(next) {
		list = append(list, types.Rule{
			Name:       aws.String(fmt.Sprintf("never-%d", i)),
			Conditions: when(types.RuleStringEmailAttributeSubject, types.RuleStringOperatorContains, fmt.Sprintf("in no subject %d", i)),
			Actions:    []types.RuleAction{&types.RuleActionMemberDrop{}},
		})
	}
	for domain, address := range next {
		list = append(list, types.Rule{
			Conditions: when(types.RuleStringEmailAttributeRecipient, types.RuleStringOperatorEndsWith, "@"+domain),
			Actions:    []types.RuleAction{&types.RuleActionMemberRelay{Value: types.RelayAction{Relay: aws.String(relay(t, s, domain, address))}}},
		})
	}
	return list
}

// relay makes a relay resource for an address and returns its id.
func relay(t *testing.T, s *harness.Server, name, address string) string {
	t.Helper()
	host, portText, err := net.SplitHostPort(address)
	must(t, err)
	port, err := strconv.Atoi(portText)
	must(t, err)
	made, err := s.MailManager().CreateRelay(t.Context(), &mm.CreateRelayInput{
		RelayName: aws.String(strings.ReplaceAll(name, ".", "-")), ServerName: aws.String(host), ServerPort: aws.Int32(int32(port)),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})
	must(t, err)
	return *made.RelayId
}
