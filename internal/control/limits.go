package control

import (
	"cmp"

	"sluice/internal/mailmanager"
)

// Limits are quotas for each account and region; 0 stands for the profile's value.
// Source: Mail Manager, section 10; Mail Manager, A16 and D17.
type Limits struct {
	Relays                  int
	RuleSets                int
	TrafficPolicies         int
	OpenIngressPoints       int
	AuthorizedIngressPoints int // of type AUTH and MTLS
	Secrets                 int
	StatementsPerPolicy     int
	ConditionsPerStatement  int
	RelaysAndSendsPerSet    int // Relay and Send actions in all rules of a rule set
}

// maxTags is how many tags a resource may have, in every profile (Mail Manager, A17).
const maxTags = 50

// awsLimits are AWS's numbers.
var awsLimits = Limits{
	Relays: 40, RuleSets: 40, TrafficPolicies: 100, OpenIngressPoints: 10, AuthorizedIngressPoints: 50, Secrets: 500_000,
	StatementsPerPolicy: 20, ConditionsPerStatement: 10, RelaysAndSendsPerSet: 10,
}

// highLimits keep a script that has gone wild from filling the disk, and nobody else from working.
var highLimits = Limits{
	Relays: 100_000, RuleSets: 100_000, TrafficPolicies: 100_000, OpenIngressPoints: 10_000, AuthorizedIngressPoints: 10_000, Secrets: 500_000,
	StatementsPerPolicy: 10_000, ConditionsPerStatement: 1_000, RelaysAndSendsPerSet: 400,
}

func (l *Limits) fill(strict bool) {
	profile := highLimits
	if strict {
		profile = awsLimits
	}
	*l = Limits{
		Relays:                  cmp.Or(l.Relays, profile.Relays),
		RuleSets:                cmp.Or(l.RuleSets, profile.RuleSets),
		TrafficPolicies:         cmp.Or(l.TrafficPolicies, profile.TrafficPolicies),
		OpenIngressPoints:       cmp.Or(l.OpenIngressPoints, profile.OpenIngressPoints),
		AuthorizedIngressPoints: cmp.Or(l.AuthorizedIngressPoints, profile.AuthorizedIngressPoints),
		Secrets:                 cmp.Or(l.Secrets, profile.Secrets),
		StatementsPerPolicy:     cmp.Or(l.StatementsPerPolicy, profile.StatementsPerPolicy),
		ConditionsPerStatement:  cmp.Or(l.ConditionsPerStatement, profile.ConditionsPerStatement),
		RelaysAndSendsPerSet:    cmp.Or(l.RelaysAndSendsPerSet, profile.RelaysAndSendsPerSet),
	}
}

// What resources are counted as.
const (
	countedRelay           = "relay"
	countedRuleSet         = "rule-set"
	countedTrafficPolicy   = "traffic-policy"
	countedOpenPoint       = "ingress-point/open"
	countedAuthorizedPoint = "ingress-point/authorized"
	countedSecret          = "secret"
)

// quota is how many resources may be counted as that.
func (l *Limits) quota(counted string) int {
	switch counted {
	case countedRelay:
		return l.Relays
	case countedRuleSet:
		return l.RuleSets
	case countedTrafficPolicy:
		return l.TrafficPolicies
	case countedOpenPoint:
		return l.OpenIngressPoints
	case countedAuthorizedPoint:
		return l.AuthorizedIngressPoints
	default:
		return l.Secrets
	}
}

// within refuses more than a limit allows of something inside a resource. The operations that change a resource have no
// quota error in the model: it is a ValidationException.
func within(limit, n int, what string) error {
	if n > limit {
		return mailmanager.Errorf(mailmanager.CodeValidation, "%d %s are more than the limit of %d", n, what, limit)
	}
	return nil
}
