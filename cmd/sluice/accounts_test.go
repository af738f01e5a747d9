package main

import (
	"testing"

	"sluice/internal/control"
	"sluice/internal/throttle"
)

// Every account that the file does not name has the profile and limits of all; one that names a profile has that profile's
// numbers; and its own limits win.
func TestProfilesOfTheFile(t *testing.T) {
	t.Parallel()
	const named, lowered, raised, other = "111122223333", "222233334444", "333344445555", "444455556666"
	path := configFile(t, `
profile = "default"
[limits]
relays = 7
rule_sets = 8
[accounts.111122223333]
profile = "aws-strict"
[accounts.222233334444.limits]
relays = 3
[accounts.333344445555]
profile = "aws-strict"
limits = { relays = 41 }
`)
	file, _, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	file.Profile = profileDefault
	profiles := file.profiles()
	aws, generous := control.NewProfile(true, control.Limits{}).Limits, control.NewProfile(false, control.Limits{}).Limits
	for _, test := range []struct {
		account                  string
		strict                   bool
		relays, ruleSets, policy int
	}{
		{other, false, 7, 8, generous.TrafficPolicies},
		{named, true, aws.Relays, aws.RuleSets, aws.TrafficPolicies},
		{lowered, false, 3, 8, generous.TrafficPolicies},
		{raised, true, 41, aws.RuleSets, aws.TrafficPolicies},
	} {
		got := profiles.Of(test.account)
		if got.Strict != test.strict || profiles.Strict(test.account) != test.strict || got.Limits.Relays != test.relays ||
			got.Limits.RuleSets != test.ruleSets || got.Limits.TrafficPolicies != test.policy {
			t.Errorf("%s: got strict %v and %+v", test.account, got.Strict, got.Limits)
		}
	}
	file.Profile = profileStrict
	if p := file.profiles(); !p.Strict(other) || !p.Strict(lowered) || p.Of(other).Limits.TrafficPolicies != aws.TrafficPolicies {
		t.Errorf("in aws-strict: got %+v", p.Of(other))
	}
}

// Mail Manager, A15: an account's own table wins over that of all, and in both an operation's rate over that of all operations.
func TestRatesOfTheFile(t *testing.T) {
	t.Parallel()
	path := configFile(t, `
[throttle]
rate = 10
[throttle.operations]
CreateRelay = { rate = 0.5, burst = 5 }
ListRelays = { rate = 0 }
[accounts.111122223333.throttle.operations]
GetRelay = { rate = 3 }
[accounts.222233334444.throttle]
rate = 100
burst = 7
[accounts.333344445555.throttle]
rate = 0
`)
	file, _, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.checkAccounts(); err != nil {
		t.Fatal(err)
	}
	const other, own, fast, free = "000000000000", "111122223333", "222233334444", "333344445555"
	for _, test := range []struct {
		account, operation string
		want               throttle.Rate
	}{
		{other, "MailManagerSvc.GetRelay", throttle.Rate{PerSecond: 10, Burst: 10}},
		{other, "MailManagerSvc.CreateRelay", throttle.Rate{PerSecond: 0.5, Burst: 5}},
		{other, "MailManagerSvc.ListRelays", throttle.Rate{Burst: 1}},
		{other, "secretsmanager.GetSecretValue", throttle.Rate{PerSecond: 10, Burst: 10}},
		{own, "MailManagerSvc.GetRelay", throttle.Rate{PerSecond: 3, Burst: 3}},
		{own, "MailManagerSvc.CreateRelay", throttle.Rate{PerSecond: 0.5, Burst: 5}},
		{fast, "MailManagerSvc.CreateRelay", throttle.Rate{PerSecond: 100, Burst: 7}},
		{free, "MailManagerSvc.CreateRelay", throttle.Rate{Burst: 1}},
	} {
		if got := file.rateOf(test.account, test.operation); got != test.want {
			t.Errorf("%s %s: got %+v, want %+v", test.account, test.operation, got, test.want)
		}
	}
	if got := (&Config{}).rateOf(other, "MailManagerSvc.GetRelay"); got != (throttle.Rate{}) {
		t.Errorf("without a table: got %+v", got)
	}
}
