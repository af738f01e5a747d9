package control_test

import (
	"slices"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

var (
	pointTypes = []mailmanager.IngressPointType{mailmanager.IngressPointTypeOpen, mailmanager.IngressPointTypeAuth, mailmanager.IngressPointTypeMtls}
	// The first letter of each stands for it in the tables.
	tlsPolicies = []mailmanager.TlsPolicy{mailmanager.TlsPolicyRequired, mailmanager.TlsPolicyOptional, mailmanager.TlsPolicyFips}
)

// place is where and how a point is made, and what section 2.4 has for it.
type place struct {
	strict bool
	region string
}

var places = map[string][]place{
	"default":        {{false, "us-east-1"}, {false, "ca-central-1"}, {false, "eu-west-1"}, {false, "us-gov-west-1"}},
	"strict, abroad": {{true, "eu-west-1"}, {true, "sa-east-1"}, {true, "ap-southeast-2"}},
	"strict, US, CA": {{true, "us-east-1"}, {true, "us-west-2"}, {true, "ca-central-1"}, {true, "ca-west-1"}, {true, "us-gov-west-1"}},
}

// Every type, network, profile and region of Mail Manager, section 2.4, and Mail Manager, B20: the policy of a point for
// which none was asked, those that can be asked for, and the changes that can be made later.
func TestTLSPoliciesOfEveryPoint(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B20")
	tests := []struct {
		place   string
		kind    mailmanager.IngressPointType
		private bool
		none    string // without a policy
		create  string
		change  string
	}{
		{"default", "OPEN", false, "R", "R O F", "RO OR RF FR OF FO"},
		{"default", "OPEN", true, "R", "R O F", "RO OR RF FR OF FO"},
		{"default", "AUTH", false, "R", "R F", "RF FR"},
		{"default", "AUTH", true, "R", "R O F", "RO OR RF FR OF FO"},
		{"default", "MTLS", false, "R", "R F", "RF FR"},
		{"default", "MTLS", true, "R", "R F", "RF FR"},

		{"strict, abroad", "OPEN", false, "R", "R O", "RO OR"},
		{"strict, abroad", "OPEN", true, "R", "R O", "RO OR"},
		{"strict, abroad", "AUTH", false, "R", "R", ""},
		{"strict, abroad", "AUTH", true, "R", "R O", "RO OR"},
		{"strict, abroad", "MTLS", false, "R", "R", ""},
		{"strict, abroad", "MTLS", true, "R", "R", ""},

		{"strict, US, CA", "OPEN", false, "F", "R O F", "RO OR"},
		{"strict, US, CA", "OPEN", true, "F", "R O F", "RO OR"},
		{"strict, US, CA", "AUTH", false, "F", "F", ""},
		{"strict, US, CA", "AUTH", true, "F", "R O F", "RO OR"},
		{"strict, US, CA", "MTLS", false, "F", "F", ""},
		{"strict, US, CA", "MTLS", true, "F", "R F", ""},
	}
	if want := len(places) * len(pointTypes) * 2; len(tests) != want {
		t.Fatalf("the table has %d lines, want %d", len(tests), want)
	}
	for _, test := range tests {
		for _, where := range places[test.place] {
			name := strings.Join([]string{test.place, where.region, string(test.kind), map[bool]string{false: "public", true: "private"}[test.private]}, " ")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				none, err := control.TLSPolicy(where.strict, test.kind, test.private, where.region, nil)
				if err != nil || string(none[:1]) != test.none {
					t.Errorf("none asked for: got %s, %v, want %s", none, err, test.none)
				}
				for _, asked := range tlsPolicies {
					got, err := control.TLSPolicy(where.strict, test.kind, test.private, where.region, &asked)
					wantPolicy(t, "create "+string(asked), got, err, asked, slices.Contains(strings.Fields(test.create), string(asked[:1])))
				}
				for _, from := range strings.Fields(test.create) {
					before := tlsPolicies[strings.Index("ROF", from)]
					for _, to := range tlsPolicies {
						change := from + string(to[:1])
						got, err := control.ChangedTLSPolicy(where.strict, test.kind, test.private, where.region, before, to)
						wantPolicy(t, "change "+change, got, err, to, before == to || slices.Contains(strings.Fields(test.change), change))
					}
				}
			})
		}
	}
}

func wantPolicy(t *testing.T, what string, got mailmanager.TlsPolicy, err error, want mailmanager.TlsPolicy, ok bool) {
	t.Helper()
	if !ok {
		wantCode(t, err, mailmanager.CodeValidation, "'tlsPolicy'")
		if err == nil {
			t.Errorf("%s: got %s, want it refused", what, got)
		}
		return
	}
	if err != nil || got != want {
		t.Errorf("%s: got %s, %v", what, got, err)
	}
}
