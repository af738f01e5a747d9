// Command setup makes what the benchmark measures, over the API of a running server: a traffic policy of 3 statements, 10
// rules of which the last relays, and an ingress point: OPEN, or AUTH with a password. It prints where the point is reached,
// host:port, and its id.
//
// It wants SLUICE_ENDPOINT, and credentials and region as every AWS tool does.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/internal/admin/client"
)

// patience is how long the ingress point may take to be reachable.
const patience = 30 * time.Second

type command struct {
	Next     string `default:"127.0.0.1:2626" placeholder:"HOST:PORT" help:"Where the last rule relays to."`
	Password string `help:"Password of an AUTH ingress point; without one, the point is OPEN."`
	Endpoint string `required:"" env:"SLUICE_ENDPOINT" placeholder:"URL" help:"The server's API."`
}

func main() {
	var c command
	parsed := kong.Parse(&c, kong.Name("setup"), kong.Description("Makes what the benchmark measures."))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	address, id, err := c.run(ctx)
	parsed.FatalIfErrorf(err)
	fmt.Fprintln(os.Stdout, address, id)
}

func (c *command) run(ctx context.Context) (address, id string, err error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return "", "", err
	}
	api := mailmanager.NewFromConfig(cfg, func(o *mailmanager.Options) { o.BaseEndpoint = aws.String(c.Endpoint) })
	relay, err := c.relay(ctx, api)
	if err != nil {
		return "", "", err
	}
	policy, err := api.CreateTrafficPolicy(ctx, &mailmanager.CreateTrafficPolicyInput{
		TrafficPolicyName: aws.String("bench"),
		DefaultAction:     types.AcceptActionDeny,
		PolicyStatements:  statements(),
	})
	if err != nil {
		return "", "", err
	}
	set, err := api.CreateRuleSet(ctx, &mailmanager.CreateRuleSetInput{RuleSetName: aws.String("bench"), Rules: rules(relay)})
	if err != nil {
		return "", "", err
	}
	point, err := api.CreateIngressPoint(ctx, c.point(set.RuleSetId, policy.TrafficPolicyId))
	if err != nil {
		return "", "", err
	}
	id = aws.ToString(point.IngressPointId)
	address, err = c.await(ctx, cfg, id)
	return address, id, err
}

func (c *command) point(ruleSet, policy *string) *mailmanager.CreateIngressPointInput {
	input := &mailmanager.CreateIngressPointInput{
		IngressPointName: aws.String("bench"),
		Type:             types.IngressPointTypeOpen,
		TlsPolicy:        types.TlsPolicyOptional,
		RuleSetId:        ruleSet,
		TrafficPolicyId:  policy,
	}
	if c.Password != "" {
		input.Type, input.TlsPolicy = types.IngressPointTypeAuth, types.TlsPolicyRequired
		input.IngressPointConfiguration = &types.IngressPointConfigurationMemberSmtpPassword{Value: c.Password}
	}
	return input
}

func (c *command) relay(ctx context.Context, api *mailmanager.Client) (id string, err error) {
	host, port, err := net.SplitHostPort(c.Next)
	if err != nil {
		return "", err
	}
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return "", err
	}
	made, err := api.CreateRelay(ctx, &mailmanager.CreateRelayInput{
		RelayName:      aws.String("bench"),
		ServerName:     aws.String(host),
		ServerPort:     aws.Int32(int32(number)),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(made.RelayId), nil
}

// statements are three, of which the last lets the mail in.
func statements() []types.PolicyStatement {
	address := &types.PolicyConditionMemberIpExpression{Value: types.IngressIpv4Expression{
		Evaluate: &types.IngressIpToEvaluateMemberAttribute{Value: types.IngressIpv4AttributeSenderIp},
		Operator: types.IngressIpOperatorCidrMatches,
		Values:   []string{"192.0.2.0/24", "198.51.100.0/24"},
	}}
	recipient := func(op types.IngressStringOperator, value string) types.PolicyCondition {
		return &types.PolicyConditionMemberStringExpression{Value: types.IngressStringExpression{
			Evaluate: &types.IngressStringToEvaluateMemberAttribute{Value: types.IngressStringEmailAttributeRecipient},
			Operator: op,
			Values:   []string{value},
		}}
	}
	return []types.PolicyStatement{
		{Action: types.AcceptActionDeny, Conditions: []types.PolicyCondition{address}},
		{Action: types.AcceptActionDeny, Conditions: []types.PolicyCondition{recipient(types.IngressStringOperatorStartsWith, "postmaster@")}},
		{Action: types.AcceptActionAllow, Conditions: []types.PolicyCondition{recipient(types.IngressStringOperatorEndsWith, "@example.net")}},
	}
}

// rules are nine that look at the message in different ways and do not match, and one that relays everything.
func rules(relay string) []types.Rule {
	text := func(attribute types.RuleStringEmailAttribute, op types.RuleStringOperator, value string) types.RuleCondition {
		return &types.RuleConditionMemberStringExpression{Value: types.RuleStringExpression{
			Evaluate: &types.RuleStringToEvaluateMemberAttribute{Value: attribute},
			Operator: op,
			Values:   []string{value},
		}}
	}
	conditions := []types.RuleCondition{
		text(types.RuleStringEmailAttributeSubject, types.RuleStringOperatorContains, "[invoice]"),
		text(types.RuleStringEmailAttributeFrom, types.RuleStringOperatorEndsWith, "@partner.example"),
		text(types.RuleStringEmailAttributeTo, types.RuleStringOperatorStartsWith, "archive@"),
		text(types.RuleStringEmailAttributeMailFrom, types.RuleStringOperatorEquals, "bounces@example.com"),
		text(types.RuleStringEmailAttributeRecipient, types.RuleStringOperatorEndsWith, "@example.com"),
		text(types.RuleStringEmailAttributeHelo, types.RuleStringOperatorStartsWith, "mx."),
		text(types.RuleStringEmailAttributeCc, types.RuleStringOperatorContains, "legal"),
		&types.RuleConditionMemberNumberExpression{Value: types.RuleNumberExpression{
			Evaluate: &types.RuleNumberToEvaluateMemberAttribute{Value: types.RuleNumberEmailAttributeMessageSize},
			Operator: types.RuleNumberOperatorGreaterThan,
			Value:    aws.Float64(10 << 20),
		}},
		&types.RuleConditionMemberIpExpression{Value: types.RuleIpExpression{
			Evaluate: &types.RuleIpToEvaluateMemberAttribute{Value: types.RuleIpEmailAttributeSourceIp},
			Operator: types.RuleIpOperatorCidrMatches,
			Values:   []string{"10.0.0.0/8"},
		}},
	}
	var rules []types.Rule
	for i, condition := range conditions {
		rules = append(rules, types.Rule{
			Name:       aws.String(fmt.Sprintf("never-%d", i+1)),
			Conditions: []types.RuleCondition{condition},
			Actions:    []types.RuleAction{&types.RuleActionMemberDrop{}},
		})
	}
	return append(rules, types.Rule{
		Name:    aws.String("relay"),
		Actions: []types.RuleAction{&types.RuleActionMemberRelay{Value: types.RelayAction{Relay: aws.String(relay)}}},
	})
}

// await waits until the ingress point is reachable and returns where.
func (c *command) await(ctx context.Context, cfg aws.Config, id string) (address string, err error) {
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	admin := client.Client{Endpoint: c.Endpoint, Region: cfg.Region, Credentials: credentials}
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		listeners, err := admin.ListListeners(ctx)
		if err != nil {
			return "", err
		}
		for _, l := range listeners.Listeners {
			if l.IngressPointId == id && len(l.Addresses) > 0 {
				return l.Addresses[0], nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return "", errors.New("the ingress point was not reachable in time")
		}
	}
}
