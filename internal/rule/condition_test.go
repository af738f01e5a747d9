package rule

import (
	"net/netip"
	"strings"
	"testing"

	"sluice/internal/addresslist"
	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

const sampleHeader = "From: Jo Smith <Jo@Example.org>\r\nSender: office@example.org\r\n" +
	"To: \"Doe, John\" <john@example.com>, team: a@example.com,\r\n b@example.net;\r\nCc: c@example.com\r\nCC: \"d\"@example.com\r\n" +
	"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= from\r\n  here \r\nX-Tag: one\r\nx-tag: two\r\nX-Empty:\r\n\r\n"

// Every operand, and each of the three results, alone among Conditions and among Unless.
func TestConditions(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D8", "D9", "D10", "D11", "D12", "D20")
	text := stringCondition
	tests := []struct {
		name      string
		condition mailmanager.RuleCondition
		want      match.Result
		seen      string // joined by |
	}{
		{"MAIL_FROM", text("MAIL_FROM", "ENDS_WITH", "@EXAMPLE.org"), match.Match, "jo@example.org"},
		{"HELO", text("HELO", "STARTS_WITH", "Mail."), match.Match, "mail.example.org"},
		{"RECIPIENT", text("RECIPIENT", "EQUALS", "User+tag@example.com"), match.Match, ""},
		{"RECIPIENT without its tag", text("RECIPIENT", "EQUALS", "user@example.com"), match.NoMatch, ""},
		{"RECIPIENT contains without its tag", text("RECIPIENT", "CONTAINS", "user@example.com"), match.NoMatch, ""},
		{"SENDER", text("SENDER", "EQUALS", "office@example.org"), match.Match, "office@example.org"},
		{"D8 FROM is the bare address", text("FROM", "ENDS_WITH", "@example.org"), match.Match, "Jo@Example.org"},
		{"D8 FROM starts with the name", text("FROM", "STARTS_WITH", "Jo Smith"), match.NoMatch, "Jo@Example.org"},
		{"D8 FROM contains the name", text("FROM", "CONTAINS", "smith <jo@"), match.Match, "Jo@Example.org|Jo Smith <Jo@Example.org>"},
		{"D9 TO any of", text("TO", "EQUALS", "x@x", "b@example.net"), match.Match, "john@example.com|a@example.com|b@example.net"},
		{"D9 TO none of", text("TO", "NOT_EQUALS", "b@example.net"), match.NoMatch, "john@example.com|a@example.com|b@example.net"},
		{"D9 TO none of, true", text("TO", "NOT_EQUALS", "x@example.net"), match.Match, "john@example.com|a@example.com|b@example.net"},
		{"CC in two fields, one quoted", text("CC", "EQUALS", "d@example.com"), match.Match, "c@example.com|d@example.com"},
		{"D10 SUBJECT decoded, unfolded, trimmed", text("SUBJECT", "EQUALS", "gRÜSSE FROM   here", "grÜẞe from  here"), match.Match, "Grüße from  here"},
		{"D10 SUBJECT not raw", text("SUBJECT", "CONTAINS", "utf-8"), match.NoMatch, "Grüße from  here"},
		{"X- field, name in any case", text("X-TAG", "EQUALS", "TWO"), match.Match, "one|two"},
		{"X- field, none of", text("X-Tag", "NOT_EQUALS", "two"), match.NoMatch, "one|two"},
		{"X- field, empty", text("X-Empty", "NOT_EQUALS", "a"), match.Match, ""},
		{"D9 X- field missing", text("X-Other", "CONTAINS", "a"), match.NoMatch, ""},
		{"D9 X- field missing, not", text("X-Other", "NOT_EQUALS", "a"), match.Match, ""},
		{"S24 A-label for U-label", text("X-Tag", "EQUALS", "xn--one"), match.NoMatch, "one|two"},
		{"SOURCE_IP", sourceCondition("CIDR_MATCHES", "198.51.100.0/24", "192.0.2.0/24"), match.Match, "192.0.2.1"},
		{"SOURCE_IP, one address", sourceCondition("CIDR_MATCHES", "192.0.2.1"), match.Match, "192.0.2.1"},
		{"SOURCE_IP, other family", sourceCondition("CIDR_MATCHES", "::/0"), match.NoMatch, "192.0.2.1"},
		{"SOURCE_IP, not", sourceCondition("NOT_CIDR_MATCHES", "192.0.2.0/24", "::/0"), match.NoMatch, "192.0.2.1"},
		{"MESSAGE_SIZE", sizeCondition("GREATER_THAN", 999.5), match.Match, "1000"},
		{"MESSAGE_SIZE, no", sizeCondition("LESS_THAN", 1000), match.NoMatch, "1000"},
		{"TLS", booleanCondition("TLS", "IS_TRUE"), match.Match, "true"},
		{"TLS, false", booleanCondition("TLS", "IS_FALSE"), match.NoMatch, "true"},
		{"D12 TLS_WRAPPED", booleanCondition("TLS_WRAPPED", "IS_TRUE"), match.NoMatch, "false"},
		{"D11 no receipt", booleanCondition("READ_RECEIPT_REQUESTED", "IS_TRUE"), match.NoMatch, "false"},
		{"D11 no receipt, false", booleanCondition("READ_RECEIPT_REQUESTED", "IS_FALSE"), match.Match, "false"},
		{"D20 SPF", verdictCondition("SPF", "EQUALS"), match.CannotTell, ""},
		{"D20 DKIM, not", verdictCondition("DKIM", "NOT_EQUALS"), match.CannotTell, ""},
		{"D20 DMARC", dmarcCondition("NOT_EQUALS"), match.CannotTell, ""},
		{"D20 list", listCondition("IS_TRUE"), match.CannotTell, "Jo@Example.org"},
		{"D20 list, false", listCondition("IS_FALSE"), match.CannotTell, "Jo@Example.org"},
		{"D20 list of recipients", inListCondition("RECIPIENT", "IS_FALSE"), match.CannotTell, ""},
		{"D20 add-on", onAddon(booleanCondition("", "IS_TRUE")), match.CannotTell, ""},
		{"D20 add-on text", onAddon(text("FROM", "NOT_EQUALS", "a")), match.CannotTell, ""},
		{"D20 add-on verdict", onAddon(verdictCondition("SPF", "EQUALS")), match.CannotTell, ""},
	}
	f := factsOf(sampleHeader)
	f.TLS = true
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, unless := range []bool{false, true} {
				r := mailmanager.Rule{Actions: actions(drop()), Conditions: conditions(tt.condition)}
				applies := tt.want == match.Match
				if unless {
					r.Conditions, r.Unless, applies = nil, r.Conditions, !applies
				}
				out := evaluate(compile(t, r), f, recipientsOf("user+tag@example.com"), nil)
				c := out.Reasons[0].Conditions[0]
				if c.Result != tt.want || strings.Join(c.Seen, "|") != tt.seen || c.Unless != unless || c.Index != 1 || len(out.Reasons[0].Conditions) != 1 {
					t.Errorf("unless %v: got %+v, want %v of %q", unless, out.Reasons[0].Conditions, tt.want, tt.seen)
				}
				if (len(out.Reasons[0].Matched) == 1) != applies || (len(out.Unrouted) == 0) != applies {
					t.Errorf("unless %v: got %+v, want it to apply: %v", unless, out, applies)
				}
				if (c.Why != "") != (c.Result == match.CannotTell) {
					t.Errorf("got reason %q for %v", c.Why, c.Result)
				}
			}
		})
	}
}

// Every attribute that can be looked for in an address list.
func TestListConditions(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D8", "D9", "F12")
	header := strings.Replace(sampleHeader, "X-Empty", "X-Other", 1)
	tests := []struct {
		name      string
		attribute mailmanager.RuleAddressListEmailAttribute
		members   []string
		in        bool
		seen      string
	}{
		{"recipient", "RECIPIENT", []string{"user+tag@example.com"}, true, ""},
		{"recipient without its tag", "RECIPIENT", []string{"user@example.com"}, false, ""},
		{"recipient by its beginning", "RECIPIENT", []string{"user*@example.com"}, true, ""},
		{"recipient by its domain", "RECIPIENT", []string{"Example.COM"}, true, ""},
		{"recipient of a subdomain", "RECIPIENT", []string{"*.example.com", "*.sub.example.com"}, false, ""},
		{"reverse-path", "MAIL_FROM", []string{"JO@example.org"}, true, "jo@example.org"},
		{"reverse-path of others", "MAIL_FROM", []string{"joe@example.org", "@example.com"}, false, "jo@example.org"},
		{"author", "FROM", []string{"jo@example.org"}, true, "Jo@Example.org"},
		{"author by the name shown (D8)", "FROM", []string{"smith"}, false, "Jo@Example.org"},
		{"sender", "SENDER", []string{"*@example.org"}, true, "office@example.org"},
		{"D9 any of three", "TO", []string{"nobody@example.net", "b@example.net"}, true, "john@example.com|a@example.com|b@example.net"},
		{"D9 none of three", "TO", []string{"c@example.com", "*.net.example"}, false, "john@example.com|a@example.com|b@example.net"},
		{"S7 quoted, in the second field", "CC", []string{"d@example.com"}, true, "c@example.com|d@example.com"},
		{"empty list", "CC", nil, false, "c@example.com|d@example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := factsOf(header)
			f.Lists = listOf(t, tt.members...)
			for operator, want := range map[string]bool{"IS_TRUE": tt.in, "IS_FALSE": !tt.in} {
				r := mailmanager.Rule{Actions: actions(drop()), Conditions: conditions(inListCondition(tt.attribute, operator))}
				out := evaluate(compile(t, r), f, recipientsOf("user+tag@example.com"), nil)
				c := out.Reasons[0].Conditions[0]
				if c.Result != match.Of(want) || strings.Join(c.Seen, "|") != tt.seen || (len(out.Reasons[0].Matched) == 1) != want {
					t.Errorf("%s: got %+v, want %v of %q", operator, out.Reasons[0], want, tt.seen)
				}
				if c.Attribute != "IN_ADDRESS_LIST" || strings.Join(c.Values, " ") != string(tt.attribute)+" "+listARN {
					t.Errorf("%s: got %+v", operator, c)
				}
			}
		})
	}
}

// TestListOfWhatIsNotThere: no address is in no list (Mail Manager, D9).
func TestListOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	f := factsOf("Subject: a\r\n\r\n")
	f.Lists, f.ReversePath = listOf(t, "example.org"), ""
	for _, attribute := range []mailmanager.RuleAddressListEmailAttribute{"MAIL_FROM", "FROM", "SENDER", "TO", "CC"} {
		if matches(t, f, nil, "a@a", inListCondition(attribute, "IS_TRUE")) || !matches(t, f, nil, "a@a", inListCondition(attribute, "IS_FALSE")) {
			t.Errorf("%s: what is not there is in a list", attribute)
		}
	}
}

// TestListsDoNotSeeWhatIsShown: what stands around an address is not in a list (Mail Manager, D8).
func TestListsDoNotSeeWhatIsShown(t *testing.T) {
	t.Parallel()
	f := factsOf("From: friend@good.example <jo@bad.example> friend@good.example\r\n\r\n")
	f.Lists = listOf(t, "good.example")
	if matches(t, f, nil, "a@a", listCondition("IS_TRUE")) {
		t.Error("the name shown is in a list")
	}
	f.Lists = listOf(t, "bad.example")
	if !matches(t, f, nil, "a@a", listCondition("IS_TRUE")) {
		t.Error("the address is not in the list")
	}
}

// TestListsDistinguishRecipients: a rule set that is compiled once decides for each recipient, by the members that there
// are then (Mail Manager, F15).
func TestListsDistinguishRecipients(t *testing.T) {
	t.Parallel()
	s := compile(t, mailmanager.Rule{Conditions: conditions(inListCondition("RECIPIENT", "IS_TRUE")), Actions: actions(drop())})
	f := factsOf("")
	all := listOf(t, "a@a", "*.example.org")
	f.Lists = all
	recipients := recipientsOf("a@a", "b@b", "c@c.example.org")
	for _, step := range []struct {
		change func(*addresslist.List)
		want   string
	}{
		{func(*addresslist.List) {}, "a@a c@c.example.org"},
		{func(l *addresslist.List) { l.Add(addresslist.FromKey("b@b")) }, "a@a b@b c@c.example.org"},
		{func(l *addresslist.List) { l.Remove(addresslist.FromKey("*.example.org")) }, "a@a b@b"},
		{func(*addresslist.List) { delete(all, listARN) }, ""},
	} {
		if l := all[listARN]; l != nil {
			step.change(l)
		}
		got := evaluate(s, f, recipients, nil).Reasons[0]
		if strings.Join(got.Matched, " ") != step.want {
			t.Errorf("got %v, want %s", got.Matched, step.want)
		}
	}
}

func onAddon(c mailmanager.RuleCondition) mailmanager.RuleCondition {
	switch {
	case c.BooleanExpression != nil:
		c.BooleanExpression.Evaluate = &mailmanager.RuleBooleanToEvaluate{Analysis: analysis}
	case c.StringExpression != nil:
		c.StringExpression.Evaluate = &mailmanager.RuleStringToEvaluate{Analysis: analysis}
	default:
		c.VerdictExpression.Evaluate = &mailmanager.RuleVerdictToEvaluate{Analysis: analysis}
	}
	return c
}

// matches reports whether a condition alone lets a rule apply.
func matches(t testing.TB, f *Facts, root *message.Node, recipient string, c mailmanager.RuleCondition) bool {
	t.Helper()
	s := compile(t, mailmanager.Rule{Conditions: conditions(c), Actions: actions(drop())})
	var cursor Cursor
	cursor.Reset(root, recipientsOf(recipient))
	return len(evaluateFrom(s, f, &cursor, nil).Reasons[0].Matched) == 1
}

func TestReadReceipt(t *testing.T) { // Mail Manager, D11
	t.Parallel()
	conform.Check(t, "D11")
	asked := booleanCondition("READ_RECEIPT_REQUESTED", "IS_TRUE")
	for header, want := range map[string]bool{
		"Disposition-Notification-To: jo@example.org\r\n": true, "RETURN-RECEIPT-TO: jo@example.org\r\n": true,
		"X-Confirm-Reading-To:\r\n jo@example.org": true, "Disposition-Notification-To: \r\n": false,
		"Disposition-Notification-To:\r\nReturn-Receipt-To: a\r\n": true, "Subject: Return-Receipt-To: a\r\n": false,
	} {
		if got := matches(t, factsOf(header), nil, "a@a", asked); got != want {
			t.Errorf("%q: got %v, want %v", header, got, want)
		}
	}
	for value, want := range map[string]bool{"a": true, " ": false} {
		field, err := message.NewField("X-Confirm-Reading-To", value)
		if got := matches(t, factsOf(""), (*message.Node)(nil).Add(field), "a@a", asked); err != nil || got != want {
			t.Errorf("added %q: got %v, %v, want %v", value, got, err, want)
		}
	}
}

func TestFactsOfOtherForms(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D12", "D18")
	f := factsOf("From: \"jo smith\"@xn--bcher-kva.example\r\nFrom: second@example.org\r\nSubject: \xff octets\r\n nonsense\r\nno field\r\n")
	f.ReversePath, f.Client, f.TLSWrapped = `"j\o"@example.org`, netip.Addr{}, true
	tests := []struct {
		name      string
		condition mailmanager.RuleCondition
		want      bool
	}{
		{"S7 quoted reverse-path", stringCondition("MAIL_FROM", "EQUALS", "jo@example.org"), true},
		{"S7 quoted recipient", stringCondition("RECIPIENT", "EQUALS", "user@example.com"), true},
		{"S7 quoted in a field", stringCondition("FROM", "STARTS_WITH", "jo smith@"), true},
		{"S24 A-label", stringCondition("FROM", "ENDS_WITH", "@bücher.example"), true},
		{"S24 U-label", stringCondition("FROM", "ENDS_WITH", "@XN--BCHER-KVA.example"), true},
		{"S25 the second of two From", stringCondition("FROM", "EQUALS", "second@example.org"), true},
		{"octets outside UTF-8", stringCondition("SUBJECT", "ENDS_WITH", "octets nonsense"), true},
		{"no client", sourceCondition("NOT_CIDR_MATCHES", "192.0.2.0/24"), false},
		{"wrapped", booleanCondition("TLS_WRAPPED", "IS_TRUE"), true},
	}
	for _, tt := range tests {
		if got := matches(t, f, nil, `"user"@example.com`, tt.condition); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	f.ReversePath = ""
	for operator, want := range map[string]bool{"NOT_EQUALS": true, "EQUALS": false, "CONTAINS": false} {
		if got := matches(t, f, nil, "a@a", stringCondition("MAIL_FROM", operator, "a")); got != want {
			t.Errorf("null reverse-path %s: got %v, want %v", operator, got, want)
		}
	}
}

// A field that was taken away, such as a forged one, is not seen.
func TestRemovedFieldsAreNotSeen(t *testing.T) {
	t.Parallel()
	header := "X-A: one\r\nX-B: two\r\n\r\n"
	root := (*message.Node)(nil).Remove(message.Range{From: 0, To: 10})
	if matches(t, factsOf(header), root, "a@a", stringCondition("X-A", "EQUALS", "one")) {
		t.Error("a removed field is seen")
	}
	if !matches(t, factsOf(header), root, "a@a", stringCondition("X-B", "EQUALS", "two")) {
		t.Error("the field after it is not seen")
	}
}

func TestReasonsAreCut(t *testing.T) { // S18
	t.Parallel()
	long := strings.Repeat("ä", 2000)
	header := "Subject: a" + long + "\r\nTo: " + strings.Repeat("a@a, ", 1000) + "b@b\r\n" + strings.Repeat("X-"+strings.Repeat("n", 300)+": a\r\n", 2)
	s := compile(t, mailmanager.Rule{Conditions: conditions(stringCondition("SUBJECT", "CONTAINS", long), stringCondition("TO", "EQUALS", "b@b")), Actions: actions(drop())})
	out := evaluate(s, factsOf(header), recipientsOf("a@a"), nil)
	subject, to := out.Reasons[0].Conditions[0], out.Reasons[0].Conditions[1]
	if want := "a" + strings.Repeat("ä", 127) + "…"; subject.Seen[0] != want || subject.Values[0] != strings.Repeat("ä", 128)+"…" {
		t.Errorf("got %d octets seen, %d of value", len(subject.Seen[0]), len(subject.Values[0]))
	}
	if len(to.Seen) != maxSeenValues || to.Result != match.Match {
		t.Errorf("got %d values seen, %v", len(to.Seen), to.Result)
	}
}

func TestHugeHeaderIsNotKept(t *testing.T) {
	t.Parallel()
	s := compile(t, mailmanager.Rule{Conditions: conditions(stringCondition("SUBJECT", "EQUALS", "a")), Actions: actions(drop())})
	var c Cursor
	c.Reset(nil, recipientsOf("a@a"))
	evaluateFrom(s, factsOf("Subject: "+strings.Repeat("a", 200<<10)), &c, nil)
	c.Reset(nil, recipientsOf("a@a"))
	if got := cap(c.values.text); got > maxKeptOctets {
		t.Errorf("got %d octets kept", got)
	}
}
