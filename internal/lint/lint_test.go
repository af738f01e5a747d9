package lint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"sluice/internal/mailmanager"
)

// The API's JSON is shorter than its Go types.

func textOf(attribute, operator string, values ...string) string {
	list, _ := json.Marshal(values)
	kind := "Attribute"
	if strings.HasPrefix(attribute, "X-") {
		kind = "MimeHeaderAttribute"
	}
	return fmt.Sprintf(`{"StringExpression":{"Evaluate":{%q:%q},"Operator":%q,"Values":%s}}`, kind, attribute, operator, list)
}

func expression(kind, attribute, operator, values string) string {
	return fmt.Sprintf(`{"%sExpression":{"Evaluate":{"Attribute":%q},"Operator":%q%s}}`, kind, attribute, operator, values)
}

func size(operator string, n float64) string {
	return expression("Number", "MESSAGE_SIZE", operator, fmt.Sprintf(`,"Value":%g`, n))
}

func source(operator, network string) string {
	return expression("Ip", "SOURCE_IP", operator, fmt.Sprintf(`,"Values":[%q]`, network))
}

func tls(operator string) string { return expression("Boolean", "TLS", operator, "") }

const (
	list    = `{"BooleanExpression":{"Evaluate":{"IsInAddressList":{"Attribute":"FROM","AddressLists":["arn:x"]}},"Operator":"IS_TRUE"}}`
	verdict = `{"VerdictExpression":{"Evaluate":{"Attribute":"SPF"},"Operator":"EQUALS","Values":["PASS"]}}`
	drop    = `{"Drop":{}}`
	relay   = `{"Relay":{"Relay":"r-1"}}`
)

var missing = strings.Replace(list, "arn:x", "arn:y", 1)

// known is one of each.
var known = Known{
	Relays:   func(id string) bool { return id == "r-1" },
	Archives: func(target string) bool { return target == "mail" },
	Lists:    func(id string) bool { return id == "arn:x" },
}

func all(conditions ...string) string { return "[" + strings.Join(conditions, ",") + "]" }

// when is a rule with one Drop.
func when(conditions, unless string) string {
	return fmt.Sprintf(`{"Conditions":%s,"Unless":%s,"Actions":[%s]}`, conditions, unless, drop)
}

func codes(found []Finding) string {
	var list []string
	for _, f := range found {
		list = append(list, fmt.Sprintf("%s %d", f.Code, f.Index))
	}
	return strings.Join(list, ", ")
}

func read[T any](t *testing.T, text string) (value T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

// TestNeverMatches holds rules that cannot match, and some that look like it and can.
func TestNeverMatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, conditions, unless string
		never                    bool
	}{
		{"two values of what has one", all(textOf("RECIPIENT", "EQUALS", "a@x"), textOf("RECIPIENT", "EQUALS", "b@x")), "[]", true},
		{"one in common", all(textOf("RECIPIENT", "EQUALS", "a@x", "b@x"), textOf("RECIPIENT", "EQUALS", "B@x")), "[]", false},
		{"two values of what may have several", all(textOf("TO", "EQUALS", "a@x"), textOf("TO", "EQUALS", "b@x")), "[]", false},
		{"the same and not", all(textOf("TO", "EQUALS", "a@x"), textOf("TO", "NOT_EQUALS", "A@X")), "[]", true},
		{"the same in Unless", all(textOf("SUBJECT", "CONTAINS", "sale")), all(textOf("SUBJECT", "CONTAINS", "sale")), true},
		{"a narrower one in Unless", all(textOf("SUBJECT", "CONTAINS", "sale")), all(textOf("SUBJECT", "CONTAINS", "sales")), false},
		{"a wider one in Unless", all(textOf("X-A", "STARTS_WITH", "sales")), all(textOf("X-A", "CONTAINS", "sale")), true},
		{"another header in Unless", all(textOf("X-A", "EQUALS", "1")), all(textOf("X-B", "EQUALS", "1")), false},
		{"twice turned", "[]", all(textOf("HELO", "NOT_EQUALS", "a"), textOf("HELO", "EQUALS", "a")), true},
		{"two beginnings", all(textOf("MAIL_FROM", "STARTS_WITH", "a"), textOf("MAIL_FROM", "STARTS_WITH", "b")), "[]", true},
		{"a beginning of a beginning", all(textOf("MAIL_FROM", "STARTS_WITH", "a"), textOf("MAIL_FROM", "STARTS_WITH", "ab")), "[]", false},
		{"two ends", all(textOf("MAIL_FROM", "ENDS_WITH", "@a"), textOf("MAIL_FROM", "ENDS_WITH", "@b")), "[]", true},
		{"an end that it does not have", all(textOf("HELO", "EQUALS", "a"), textOf("HELO", "ENDS_WITH", "b")), "[]", true},
		{"beginning and end", all(textOf("HELO", "STARTS_WITH", "a"), textOf("HELO", "ENDS_WITH", "b")), "[]", false},
		{"two texts inside", all(textOf("HELO", "CONTAINS", "a"), textOf("HELO", "CONTAINS", "b")), "[]", false},
		{"A-label and U-label", all(textOf("RECIPIENT", "EQUALS", "a@bücher.example")), all(textOf("RECIPIENT", "ENDS_WITH", "@xn--bcher-kva.example")), true},
		{"TLS and not", all(tls("IS_TRUE"), tls("IS_FALSE")), "[]", true},
		{"TLS, unless TLS", all(tls("IS_TRUE")), all(tls("IS_TRUE")), true},
		{"TLS, unless not", all(tls("IS_TRUE")), all(tls("IS_FALSE")), false},
		{"disjoint networks", all(source("CIDR_MATCHES", "192.0.2.0/24"), source("CIDR_MATCHES", "198.51.100.0/24")), "[]", true},
		{"a network in another", all(source("CIDR_MATCHES", "192.0.2.0/24"), source("CIDR_MATCHES", "192.0.2.7")), "[]", false},
		{"a network, and none around it", all(source("CIDR_MATCHES", "192.0.2.0/24"), source("NOT_CIDR_MATCHES", "192.0.0.0/16")), "[]", true},
		{"a network, but for a part", all(source("CIDR_MATCHES", "192.0.2.0/24"), source("NOT_CIDR_MATCHES", "192.0.2.0/25")), "[]", false},
		{"an empty range", all(size("GREATER_THAN", 10), size("LESS_THAN", 11)), "[]", true},
		{"a range of one", all(size("GREATER_THAN", 10), size("LESS_THAN", 12)), "[]", false},
		{"a range of one, without it", all(size("GREATER_THAN", 10), size("LESS_THAN", 12), size("NOT_EQUALS", 11)), "[]", true},
		{"larger, unless larger", all(size("GREATER_THAN", 10)), all(size("GREATER_THAN", 10)), true},
		{"no whole number", all(size("EQUALS", 10.5)), "[]", true},
		{"larger than anything", all(size("GREATER_THAN", 1e9)), "[]", true},
		{"not as small as nothing", all(size("LESS_THAN", 0)), "[]", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found := RuleSet([]mailmanager.Rule{read[mailmanager.Rule](t, when(test.conditions, test.unless))}, Known{})
			got := slices.ContainsFunc(found, func(f Finding) bool { return f.Code == NeverMatches && f.Level == LevelError })
			if got != test.never {
				t.Errorf("got %v, want %v: %+v", got, test.never, found)
			}
		})
	}
}

func TestRuleSet(t *testing.T) {
	t.Parallel()
	do := func(actions ...string) string { return fmt.Sprintf(`{"Actions":%s}`, all(actions...)) }
	tests := []struct {
		name  string
		rules []string
		want  string
	}{
		{"nothing wrong", []string{do(relay)}, ""},
		{"empty", nil, "L007 0"},
		{"only a rule with conditions", []string{when(all(tls("IS_TRUE")), "[]")}, "L007 0"},
		{"behind a Drop", []string{do(drop), do(relay)}, "L002 2"},
		{"behind a Drop with a condition", []string{when(all(tls("IS_TRUE")), "[]"), do(relay)}, ""},
		{"an action behind a Drop", []string{do(drop, relay)}, "L003 1"},
		{"a relay that is not there", []string{do(`{"Relay":{"Relay":"r-2"}}`), do(relay)}, "L004 1"},
		{"which routes nobody", []string{do(`{"Relay":{"Relay":"r-2"}}`)}, "L004 1, L007 0"},
		{"an action of later", []string{do(`{"Archive":{"TargetArchive":"mail"}}`, relay)}, "L005 1"},
		{"an archive that is not there", []string{do(`{"Archive":{"TargetArchive":"post"}}`, relay)}, "L009 1, L005 1"},
		{"an archive in other letters", []string{do(relay), do(`{"Archive":{"TargetArchive":"Mail"}}`)}, "L009 2, L005 2"},
		{"an archive behind a Drop", []string{do(drop, `{"Archive":{"TargetArchive":"post"}}`)}, "L003 1"},
		{"an address list", []string{when(all(list), all(list)), do(relay)}, ""},
		{"an address list that is not there", []string{when(all(missing), all(list, missing)), do(relay)}, "L008 1, L008 1"},
		{"a verdict", []string{when(all(verdict), all(verdict)), do(relay)}, "L006 1, L006 1"},
		{"a header alone", []string{do(`{"AddHeader":{"HeaderName":"X-A","HeaderValue":"1"}}`)}, "L007 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found := RuleSet(read[[]mailmanager.Rule](t, all(test.rules...)), known)
			if got := codes(found); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			for _, f := range found {
				if f.Text == "" || f.Hint == "" || f.Level == "" {
					t.Errorf("a finding says too little: %+v", f)
				}
			}
		})
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	statement := func(action string, conditions ...string) string {
		return fmt.Sprintf(`{"Action":%q,"Conditions":%s}`, action, all(conditions...))
	}
	v4 := func(operator, network string) string {
		return expression("Ip", "SENDER_IP", operator, fmt.Sprintf(`,"Values":[%q]`, network))
	}
	v6 := func(operator string) string {
		return expression("Ipv6", "SENDER_IPV6", operator, `,"Values":["2001:db8::/32"]`)
	}
	version := func(operator, v string) string {
		return expression("Tls", "TLS_PROTOCOL", operator, fmt.Sprintf(`,"Value":%q`, v))
	}
	to := textOf("RECIPIENT", "ENDS_WITH", "@x")
	tests := []struct {
		name, fallback string
		statements     []string
		want           string
	}{
		{"allows all", "ALLOW", nil, ""},
		{"denies all", "DENY", nil, "L103 0"},
		{"allows some", "DENY", []string{statement("ALLOW", to)}, ""},
		{"denies more than all", "DENY", []string{statement("DENY", to)}, "L103 0"},
		{"allows what is allowed", "ALLOW", []string{statement("ALLOW", to), statement("DENY", to)}, "L102 1"},
		{"contradicts itself", "ALLOW", []string{statement("DENY", to, textOf("RECIPIENT", "EQUALS", "a@y"))}, "L101 1"},
		{"so that nobody is let in", "DENY", []string{statement("ALLOW", to, textOf("RECIPIENT", "ENDS_WITH", "@y"))}, "L101 1, L103 0"},
		{"no such version", "ALLOW", []string{statement("DENY", version("IS", "TLS1_2"), version("MINIMUM_TLS_VERSION", "TLS1_3"))}, "L101 1"},
		{"one version", "ALLOW", []string{statement("DENY", version("IS", "TLS1_3"), version("MINIMUM_TLS_VERSION", "TLS1_2"))}, ""},
		{"both families", "DENY", []string{statement("ALLOW", v4("CIDR_MATCHES", "192.0.2.0/24"), v6("NOT_CIDR_MATCHES"))}, "L101 1, L103 0"},
		{"C3: which DENY may have", "ALLOW", []string{statement("DENY", v4("CIDR_MATCHES", "192.0.2.0/24"), v6("NOT_CIDR_MATCHES"))}, ""},
		{"disjoint networks", "ALLOW", []string{statement("DENY", v4("CIDR_MATCHES", "192.0.2.0/24"), v4("CIDR_MATCHES", "198.51.100.0/24"))}, "L101 1"},
		{"an address list", "DENY", []string{statement("ALLOW", list)}, ""},
		{"an address list that is not there", "DENY", []string{statement("ALLOW", missing)}, "L105 1, L103 0"},
		{"and another way in", "DENY", []string{statement("ALLOW", to, missing), statement("ALLOW", list)}, "L105 1"},
		{"an add-on", "DENY", []string{statement("ALLOW", `{"BooleanExpression":{"Evaluate":{"Analysis":{"Analyzer":"arn:x","ResultField":"isListed"}},"Operator":"IS_TRUE"}}`)}, "L104 1, L103 0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			found := Policy(read[[]mailmanager.PolicyStatement](t, all(test.statements...)), mailmanager.AcceptAction(test.fallback), known)
			if got := codes(found); got != test.want {
				t.Errorf("got %q, want %q: %+v", got, test.want, found)
			}
		})
	}
}
