package main

import (
	"testing"

	"sluice/internal/control"
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
