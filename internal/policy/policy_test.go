package policy

import (
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/addresslist"
	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

const (
	allow = mailmanager.AcceptActionAllow
	deny  = mailmanager.AcceptActionDeny
)

func statementOf(action mailmanager.AcceptAction, conditions ...mailmanager.PolicyCondition) mailmanager.PolicyStatement {
	return mailmanager.PolicyStatement{Action: mailmanager.Ptr(action), Conditions: conditions}
}

func recipientIs(operator string, values ...string) mailmanager.PolicyCondition {
	return mailmanager.PolicyCondition{StringExpression: &mailmanager.IngressStringExpression{
		Evaluate: &mailmanager.IngressStringToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressStringEmailAttributeRecipient)},
		Operator: mailmanager.Ptr(mailmanager.IngressStringOperator(operator)), Values: values,
	}}
}

func clientV4(operator string, values ...mailmanager.Ipv4Cidr) mailmanager.PolicyCondition {
	return mailmanager.PolicyCondition{IpExpression: &mailmanager.IngressIpv4Expression{
		Evaluate: &mailmanager.IngressIpToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressIpv4AttributeSenderIp)},
		Operator: mailmanager.Ptr(mailmanager.IngressIpOperator(operator)), Values: values,
	}}
}

func clientV6(operator string, values ...mailmanager.Ipv6Cidr) mailmanager.PolicyCondition {
	return mailmanager.PolicyCondition{Ipv6Expression: &mailmanager.IngressIpv6Expression{
		Evaluate: &mailmanager.IngressIpv6ToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressIpv6AttributeSenderIpv6)},
		Operator: mailmanager.Ptr(mailmanager.IngressIpOperator(operator)), Values: values,
	}}
}

func tlsIs(operator, version string) mailmanager.PolicyCondition {
	return mailmanager.PolicyCondition{TlsExpression: &mailmanager.IngressTlsProtocolExpression{
		Evaluate: &mailmanager.IngressTlsProtocolToEvaluate{Attribute: mailmanager.Ptr(mailmanager.IngressTlsAttributeTlsProtocol)},
		Operator: mailmanager.Ptr(mailmanager.IngressTlsProtocolOperator(operator)),
		Value:    mailmanager.Ptr(mailmanager.IngressTlsProtocolAttribute(version)),
	}}
}

var analysis = &mailmanager.IngressAnalysis{
	Analyzer:    mailmanager.Ptr(mailmanager.AnalyzerArn("arn:aws:ses:us-east-1:1:addon-instance/ai-1")),
	ResultField: mailmanager.Ptr(mailmanager.ResultField("isListed")),
}

func booleanIs(operator string, to *mailmanager.IngressBooleanToEvaluate) mailmanager.PolicyCondition {
	return mailmanager.PolicyCondition{BooleanExpression: &mailmanager.IngressBooleanExpression{
		Evaluate: to, Operator: mailmanager.Ptr(mailmanager.IngressBooleanOperator(operator)),
	}}
}

func listIs(operator string) mailmanager.PolicyCondition {
	return booleanIs(operator, &mailmanager.IngressBooleanToEvaluate{IsInAddressList: &mailmanager.IngressIsInAddressList{
		Attribute:    mailmanager.Ptr(mailmanager.IngressAddressListEmailAttributeRecipient),
		AddressLists: []mailmanager.AddressListArn{listARN},
	}})
}

const listARN = "arn:aws:ses:us-east-1:1:mailmanager-address-list/al-1"

// lists are address lists by their ARNs.
type lists map[string]*addresslist.List

func (l lists) AddressList(idOrARN string) (*addresslist.List, bool) {
	list, ok := l[idOrARN]
	return list, ok
}

func listOf(t testing.TB, members ...string) *addresslist.List {
	t.Helper()
	l := addresslist.New()
	for _, text := range members {
		e, err := addresslist.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		l.Add(e)
	}
	return l
}

func addonIs(operator string) mailmanager.PolicyCondition {
	return booleanIs(operator, &mailmanager.IngressBooleanToEvaluate{Analysis: analysis})
}

func addonText(operator string) mailmanager.PolicyCondition {
	c := recipientIs(operator, "DBL")
	c.StringExpression.Evaluate = &mailmanager.IngressStringToEvaluate{Analysis: analysis}
	return c
}

func compile(t testing.TB, s Source) *Policy {
	t.Helper()
	p, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func facts(client, tls string) *Facts {
	f := &Facts{TLS: mailmanager.IngressTlsProtocolAttribute(tls)}
	if client != "" {
		f.Client = netip.MustParseAddr(client)
	}
	return f
}

// One condition, as it counts in a DENY and in an ALLOW statement.
func TestConditions(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C1", "C2", "C3", "C4", "C6", "C7")
	v4, v6, none := facts("192.0.2.1", "TLS1_2"), facts("2001:db8::1", "TLS1_3"), facts("", "")
	withList, otherList := facts("192.0.2.1", ""), facts("192.0.2.1", "")
	withList.Lists = lists{listARN: listOf(t, "jo@a", "jo@bücher.example", "*.example.org")}
	otherList.Lists = lists{listARN + "2": listOf(t, "jo@a")}
	tests := []struct {
		name      string
		condition mailmanager.PolicyCondition
		facts     *Facts
		recipient string
		result    Result
		seen      string
		denies    bool
		allows    bool
	}{
		{"C1 any of", recipientIs("ENDS_WITH", "@a.example", "@b.example"), v4, "jo@b.example", ResultMatch, "jo@b.example", true, true},
		{"C1 none of", recipientIs("NOT_EQUALS", "a@a", "b@b"), v4, "c@c", ResultMatch, "c@c", true, true},
		{"C1 none of, one is", recipientIs("NOT_EQUALS", "a@a", "b@b"), v4, "b@b", ResultNoMatch, "b@b", false, false},
		{"C1 any of, none is", recipientIs("ENDS_WITH", "@a.example", "@b.example"), v4, "jo@c.example", ResultNoMatch, "jo@c.example", false, false},
		{"C2 case", recipientIs("EQUALS", "Jo@A.example"), v4, "jO@a.EXAMPLE", ResultMatch, "jO@a.EXAMPLE", true, true},
		{"C2 case of ASCII only", recipientIs("EQUALS", "jö@a"), v4, "jÖ@a", ResultNoMatch, "jÖ@a", false, false},
		{"plus-tag counts", recipientIs("EQUALS", "jo@a"), v4, "jo+tag@a", ResultNoMatch, "jo+tag@a", false, false},
		{"plus-tag counts, contains", recipientIs("CONTAINS", "jo@a"), v4, "jo+tag@a", ResultNoMatch, "jo+tag@a", false, false},
		{"plus-tag counts, not equal", recipientIs("NOT_EQUALS", "jo@a"), v4, "jo+tag@a", ResultMatch, "jo+tag@a", true, true},
		{"C2 case, not equal", recipientIs("NOT_EQUALS", "jo@a"), v4, "JO@A", ResultNoMatch, "JO@A", false, false},
		{"S7 not equal unquoted", recipientIs("NOT_EQUALS", "jo@a"), v4, `"jo"@a`, ResultNoMatch, "jo@a", false, false},
		{"S7 compared unquoted", recipientIs("EQUALS", "jo@a"), v4, `"jo"@a`, ResultMatch, "jo@a", true, true},
		{"starts", recipientIs("STARTS_WITH", "jo"), v4, "jon@a", ResultMatch, "jon@a", true, true},
		{"starts elsewhere", recipientIs("STARTS_WITH", "jo"), v4, "x.jo@a", ResultNoMatch, "x.jo@a", false, false},
		{"ends elsewhere", recipientIs("ENDS_WITH", "@a"), v4, "jo@a.example", ResultNoMatch, "jo@a.example", false, false},
		{"contains", recipientIs("CONTAINS", "N@"), v4, "jon@a", ResultMatch, "jon@a", true, true},
		{"contains not", recipientIs("CONTAINS", "x@"), v4, "jon@a", ResultNoMatch, "jon@a", false, false},
		{"network", clientV4("CIDR_MATCHES", "192.0.2.0/24"), v4, "a@a", ResultMatch, "192.0.2.1", true, true},
		{"host bits", clientV4("CIDR_MATCHES", "192.0.2.77/24"), v4, "a@a", ResultMatch, "192.0.2.1", true, true},
		{"other network", clientV4("CIDR_MATCHES", "198.51.100.0/24"), v4, "a@a", ResultNoMatch, "192.0.2.1", false, false},
		{"any of the networks", clientV4("CIDR_MATCHES", "198.51.100.0/24", "192.0.2.1/32"), v4, "a@a", ResultMatch, "192.0.2.1", true, true},
		{"none of the networks, one is", clientV4("NOT_CIDR_MATCHES", "198.51.100.0/24", "192.0.2.1/32"), v4, "a@a", ResultNoMatch, "192.0.2.1", false, false},
		{"every network", clientV4("CIDR_MATCHES", "0.0.0.0/0"), v4, "a@a", ResultMatch, "192.0.2.1", true, true},
		{"not network", clientV4("NOT_CIDR_MATCHES", "198.51.100.0/24"), v4, "a@a", ResultMatch, "192.0.2.1", true, true},
		{"C3 mapped", clientV4("CIDR_MATCHES", "192.0.2.0/24"), facts("::ffff:192.0.2.1", ""), "a@a", ResultMatch, "192.0.2.1", true, true},
		{"C3 mapped, not", clientV4("NOT_CIDR_MATCHES", "192.0.2.0/24"), facts("::ffff:192.0.2.1", ""), "a@a", ResultNoMatch, "192.0.2.1", false, false},
		{"C3 mapped is not IPv6", clientV6("CIDR_MATCHES", "::/0"), facts("::ffff:192.0.2.1", ""), "a@a", ResultCannotTell, "192.0.2.1", false, false},
		{"C3 mapped network", clientV6("CIDR_MATCHES", "::ffff:192.0.2.0/120"), facts("::ffff:192.0.2.1", ""), "a@a", ResultCannotTell, "192.0.2.1", false, false},
		{"C3 other family", clientV4("CIDR_MATCHES", "0.0.0.0/0"), v6, "a@a", ResultCannotTell, "2001:db8::1", false, false},
		{"C3 other family, not", clientV4("NOT_CIDR_MATCHES", "192.0.2.0/24"), v6, "a@a", ResultCannotTell, "2001:db8::1", true, false},
		{"C3 other family, IPv6", clientV6("CIDR_MATCHES", "::/0"), v4, "a@a", ResultCannotTell, "192.0.2.1", false, false},
		{"C3 other family, IPv6, not", clientV6("NOT_CIDR_MATCHES", "2001:db8::/32"), v4, "a@a", ResultCannotTell, "192.0.2.1", true, false},
		{"IPv6", clientV6("CIDR_MATCHES", "2001:db8::/32"), v6, "a@a", ResultMatch, "2001:db8::1", true, true},
		{"IPv6 elsewhere", clientV6("CIDR_MATCHES", "2001:db8:1::/48"), v6, "a@a", ResultNoMatch, "2001:db8::1", false, false},
		{"IPv6, not", clientV6("NOT_CIDR_MATCHES", "2001:db8::/32"), v6, "a@a", ResultNoMatch, "2001:db8::1", false, false},
		{"IPv6 elsewhere, not", clientV6("NOT_CIDR_MATCHES", "2001:db8:1::/48"), v6, "a@a", ResultMatch, "2001:db8::1", true, true},
		{"IPv6 with a zone", clientV6("CIDR_MATCHES", "fe80::/10"), facts("fe80::1%eth0", ""), "a@a", ResultMatch, "fe80::1%eth0", true, true},
		{"no client", clientV6("NOT_CIDR_MATCHES", "2001:db8::/32"), none, "a@a", ResultCannotTell, "", true, false},
		{"no client, IPv4", clientV4("CIDR_MATCHES", "0.0.0.0/0"), none, "a@a", ResultCannotTell, "", false, false},
		{"TLS", tlsIs("MINIMUM_TLS_VERSION", "TLS1_2"), v6, "a@a", ResultMatch, "TLS1_3", true, true},
		{"TLS is another", tlsIs("IS", "TLS1_2"), v6, "a@a", ResultNoMatch, "TLS1_3", false, false},
		{"TLS is", tlsIs("IS", "TLS1_2"), v4, "a@a", ResultMatch, "TLS1_2", true, true},
		{"TLS is 1.3", tlsIs("IS", "TLS1_3"), v6, "a@a", ResultMatch, "TLS1_3", true, true},
		{"TLS at least what it is", tlsIs("MINIMUM_TLS_VERSION", "TLS1_3"), v6, "a@a", ResultMatch, "TLS1_3", true, true},
		{"TLS less", tlsIs("MINIMUM_TLS_VERSION", "TLS1_3"), v4, "a@a", ResultNoMatch, "TLS1_2", false, false},
		{"C4 in clear, is", tlsIs("IS", "TLS1_3"), none, "a@a", ResultNoMatch, "", false, false},
		{"C4 in clear", tlsIs("MINIMUM_TLS_VERSION", "TLS1_2"), none, "a@a", ResultNoMatch, "", false, false},
		{"C6 add-on", addonIs("IS_TRUE"), v4, "a@a", ResultCannotTell, "", false, false},
		{"C6 add-on, false", addonIs("IS_FALSE"), v4, "a@a", ResultCannotTell, "", false, false},
		{"C6 add-on text", addonText("NOT_EQUALS"), v4, "a@a", ResultCannotTell, "", false, false},
		{"C6 add-on, IPv6 client", addonIs("IS_FALSE"), v6, "a@a", ResultCannotTell, "", false, false},
		{"C7 no lists", listIs("IS_TRUE"), v4, "a@a", ResultCannotTell, "a@a", false, false},
		{"C7 no such list", listIs("IS_TRUE"), otherList, "jo@a", ResultCannotTell, "jo@a", false, false},
		{"C7 no such list, false", listIs("IS_FALSE"), otherList, "jo@a", ResultCannotTell, "jo@a", false, false},
		{"list", listIs("IS_TRUE"), withList, "jo@a", ResultMatch, "jo@a", true, true},
		{"list, false", listIs("IS_FALSE"), withList, "jo@a", ResultNoMatch, "jo@a", false, false},
		{"list without it", listIs("IS_TRUE"), withList, "jo+tag@a", ResultNoMatch, "jo+tag@a", false, false},
		{"list without it, false", listIs("IS_FALSE"), withList, "jo+tag@a", ResultMatch, "jo+tag@a", true, true},
		{"C2 list", listIs("IS_TRUE"), withList, "JO@A", ResultMatch, "JO@A", true, true},
		{"S7 list", listIs("IS_TRUE"), withList, `"jo"@a`, ResultMatch, "jo@a", true, true},
		{"S24 list", listIs("IS_TRUE"), withList, "jo@xn--bcher-kva.example", ResultMatch, "jo@xn--bcher-kva.example", true, true},
		{"list of subdomains", listIs("IS_TRUE"), withList, "a@b.example.org", ResultMatch, "a@b.example.org", true, true},
		{"list of subdomains, domain", listIs("IS_TRUE"), withList, "a@example.org", ResultNoMatch, "a@example.org", false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for action, want := range map[mailmanager.AcceptAction]bool{deny: tt.denies, allow: tt.allows} {
				p := compile(t, Source{Default: deny, Statements: []mailmanager.PolicyStatement{statementOf(action, tt.condition)}})
				d := p.Decide(tt.facts, tt.recipient)
				c := d.Statements[0].Conditions[0]
				if c.Result != tt.result || c.Seen != tt.seen || d.Statements[0].Matched != want || d.Statements[0].Holds(0) != want || (d.By == 1) != want {
					t.Errorf("%s: got %+v, want %v of %q, holds %v", action, d, tt.result, tt.seen, want)
				}
				if (c.Why != "") != (tt.result == ResultCannotTell) || d.CannotTell() != len(c.Why[:min(1, len(c.Why))]) {
					t.Errorf("%s: got reason %q for %v, %d counted", action, c.Why, c.Result, d.CannotTell())
				}
			}
		})
	}
}

func TestDecisionOrder(t *testing.T) {
	t.Parallel()
	any := clientV4("CIDR_MATCHES", "0.0.0.0/0")
	p := compile(t, Source{Default: deny, Statements: []mailmanager.PolicyStatement{
		statementOf(allow, recipientIs("ENDS_WITH", "@a.example")),
		statementOf(deny, recipientIs("STARTS_WITH", "bad"), any),
		statementOf(allow, any, recipientIs("STARTS_WITH", "jo"), recipientIs("ENDS_WITH", "x")),
	}})
	tests := []struct {
		recipient string
		action    mailmanager.AcceptAction
		by        int
		statement []int
	}{
		{"bad@a.example", deny, 2, []int{2}},
		{"good@a.example", allow, 1, []int{2, 1}},
		{"jo@x", allow, 3, []int{2, 1, 3}},
		{"jo@y", deny, 0, []int{2, 1, 3}},
	}
	for _, tt := range tests {
		d := p.Decide(facts("192.0.2.1", ""), tt.recipient)
		var order []int
		for _, s := range d.Statements {
			order = append(order, s.Index)
		}
		if d.Action != tt.action || d.By != tt.by || !slices.Equal(order, tt.statement) || d.Allowed() != (tt.action == allow) || d.Recipient != tt.recipient {
			t.Errorf("%s: got %+v", tt.recipient, d)
		}
	}
}

func TestDecisionAsTrace(t *testing.T) {
	t.Parallel()
	p := compile(t, Source{Default: allow, Statements: []mailmanager.PolicyStatement{
		statementOf(deny, recipientIs("EQUALS", "a@a", "b@b"), listIs("IS_TRUE")), statementOf(deny, listIs("IS_FALSE"), tlsIs("IS", "TLS1_2")),
	}})
	got, err := json.Marshal(p.Decide(facts("192.0.2.1", ""), "B@b"))
	want := `{"recipient":"B@b","action":"ALLOW","by":0,"statements":[` +
		`{"index":1,"action":"DENY","conditions":[` +
		`{"attribute":"RECIPIENT","operator":"EQUALS","values":["a@a","b@b"],"seen":"B@b","result":"MATCH"},` +
		`{"attribute":"IN_ADDRESS_LIST","operator":"IS_TRUE","values":["arn:aws:ses:us-east-1:1:mailmanager-address-list/al-1"],"seen":"B@b","result":"CANNOT_TELL","why":"the address list does not exist"}],"matched":false},` +
		`{"index":2,"action":"DENY","conditions":[` +
		`{"attribute":"IN_ADDRESS_LIST","operator":"IS_FALSE","values":["arn:aws:ses:us-east-1:1:mailmanager-address-list/al-1"],"seen":"B@b","result":"CANNOT_TELL","why":"the address list does not exist"}],"matched":false}]}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

// A policy that is compiled once meets the members that there are when it decides (Mail Manager, F15).
func TestListsAreAskedEachTime(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F15")
	p := compile(t, Source{Default: deny, Statements: []mailmanager.PolicyStatement{statementOf(allow, listIs("IS_TRUE"))}})
	list := listOf(t)
	f := facts("192.0.2.1", "")
	all := lists{}
	f.Lists = all
	member := addresslist.FromKey("jo@a")
	for i, step := range []struct {
		change func()
		want   Result
	}{
		{func() {}, ResultCannotTell},
		{func() { all[listARN] = list }, ResultNoMatch},
		{func() { list.Add(member) }, ResultMatch},
		{func() { list.Remove(member) }, ResultNoMatch},
		{func() { delete(all, listARN) }, ResultCannotTell},
	} {
		step.change()
		d := p.Decide(f, "jo@a")
		if c := d.Statements[0].Conditions[0]; c.Result != step.want || d.Allowed() != (step.want == ResultMatch) || !slices.Equal(c.Values, []string{listARN}) {
			t.Errorf("step %d: got %+v, want %v", i, d, step.want)
		}
	}
}

func TestMaxSize(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int64]int64{0: MaxMessageOctets, 1: 1, MaxMessageOctets: MaxMessageOctets, 1 << 40: MaxMessageOctets, -1: MaxMessageOctets} {
		if got := compile(t, Source{Default: allow, MaxSize: limit}).MaxSize(); got != want {
			t.Errorf("%d: got %d, want %d", limit, got, want)
		}
	}
}

func TestTooBig(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		limit, size int64
		want        SizeReason
		tooBig      bool
	}{
		{"own limit", 1000, 1001, SizeReason{Allowed: 1000, Received: 1001}, true},
		{"the service's", 0, 42495384, SizeReason{Allowed: 41943040, Received: 42495384}, true},
		{"the service's beats a larger one", 1 << 31, 41943041, SizeReason{Allowed: 41943040, Received: 41943041}, true},
		{"announced beyond everything", 0, math.MaxInt64, SizeReason{Allowed: 41943040, Received: math.MaxInt64}, true},
		{"just right", 1000, 1000, SizeReason{}, false},
		{"as large as it gets", 0, 41943040, SizeReason{}, false},
		{"not announced", 1000, 0, SizeReason{}, false},
	}
	for _, tt := range tests {
		p := compile(t, Source{Default: allow, MaxSize: tt.limit})
		if got, tooBig := p.TooBig(tt.size); got != tt.want || tooBig != tt.tooBig {
			t.Errorf("%s: got %+v, %v, want %+v", tt.name, got, tooBig, tt.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C5")
	secret := "secret"
	withV4 := func(to *mailmanager.IngressIpToEvaluate) mailmanager.PolicyCondition {
		c := clientV4("CIDR_MATCHES", "0.0.0.0/0")
		c.IpExpression.Evaluate = to
		return c
	}
	noAttribute := recipientIs("EQUALS", secret)
	noAttribute.StringExpression.Evaluate = nil
	noList, noListAttribute := listIs("IS_TRUE"), listIs("IS_TRUE")
	noList.BooleanExpression.Evaluate.IsInAddressList.AddressLists = nil
	noListAttribute.BooleanExpression.Evaluate.IsInAddressList.Attribute = nil
	noV6, noTLS := clientV6("CIDR_MATCHES", "::/0"), tlsIs("IS", "TLS1_2")
	noV6.Ipv6Expression.Evaluate, noTLS.TlsExpression.Evaluate = nil, nil
	tests := []struct {
		name      string
		condition mailmanager.PolicyCondition
		path      string
	}{
		{"no key", mailmanager.PolicyCondition{}, ""},
		{"string operator", recipientIs("LIKE", secret), ".stringExpression.operator"},
		{"no values", recipientIs("EQUALS"), ".stringExpression.values"},
		{"no attribute", noAttribute, ".stringExpression.evaluate"},
		{"IP operator", clientV4("EQUALS", "192.0.2.0/24"), ".ipExpression.operator"},
		{"no networks", clientV4("CIDR_MATCHES"), ".ipExpression.values"},
		{"no network", clientV4("CIDR_MATCHES", "192.0.2.0/24", mailmanager.Ipv4Cidr(secret)), ".ipExpression.values.2.member"},
		{"no mask", clientV4("CIDR_MATCHES", "192.0.2.0"), ".ipExpression.values.1.member"},
		{"other family", clientV4("CIDR_MATCHES", "::/0"), ".ipExpression.values.1.member"},
		{"no IP attribute", withV4(nil), ".ipExpression.evaluate"},
		{"empty IP attribute", withV4(&mailmanager.IngressIpToEvaluate{}), ".ipExpression.evaluate"},
		{"other family, IPv6", clientV6("CIDR_MATCHES", "192.0.2.0/24"), ".ipv6Expression.values.1.member"},
		{"no IPv6 attribute", noV6, ".ipv6Expression.evaluate"},
		{"TLS version", tlsIs("IS", secret), ".tlsExpression"},
		{"TLS operator", tlsIs("EQUALS", "TLS1_2"), ".tlsExpression"},
		{"no TLS attribute", noTLS, ".tlsExpression.evaluate"},
		{"boolean operator", listIs("IS"), ".booleanExpression.operator"},
		{"no list", noList, ".booleanExpression.evaluate.isInAddressList.addressLists"},
		{"no attribute of a list", noListAttribute, ".booleanExpression.evaluate.isInAddressList.attribute"},
		{"no boolean attribute", booleanIs("IS_TRUE", nil), ".booleanExpression.evaluate"},
		{"empty boolean attribute", booleanIs("IS_TRUE", &mailmanager.IngressBooleanToEvaluate{}), ".booleanExpression.evaluate"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			good := statementOf(allow, recipientIs("EQUALS", "a"))
			_, err := Compile(Source{Default: allow, Statements: []mailmanager.PolicyStatement{good, statementOf(deny, recipientIs("EQUALS", "a"), tt.condition)}})
			checkRefusal(t, err, "'policyStatements.2.member.conditions.2.member"+tt.path+"'")
		})
	}
	_, err := Compile(Source{Default: "MAYBE"})
	checkRefusal(t, err, "'defaultAction'")
	_, err = Compile(Source{Default: allow, Statements: []mailmanager.PolicyStatement{statementOf(allow)}}) // Mail Manager, C5
	checkRefusal(t, err, "'policyStatements.1.member.conditions'")
	_, err = Compile(Source{Default: allow, Statements: []mailmanager.PolicyStatement{{Conditions: []mailmanager.PolicyCondition{listIs("IS_TRUE")}}}})
	checkRefusal(t, err, "'policyStatements.1.member.action'")
}

// checkRefusal: the error is the API's, names the path and never the value.
func checkRefusal(t *testing.T, err error, path string) {
	t.Helper()
	var known *mailmanager.Error
	if !errors.As(err, &known) || known.Code != mailmanager.CodeValidation || !strings.Contains(known.Message, path) || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want a ValidationException at %s", err, path)
	}
}

// naive is the specification in a few lines: Mail Manager, section 3.
func naive(s Source, recipient string) (mailmanager.AcceptAction, int) {
	for _, action := range []mailmanager.AcceptAction{deny, allow} {
		for i, listed := range s.Statements {
			holds := func(c mailmanager.PolicyCondition) bool {
				any := slices.ContainsFunc(c.StringExpression.Values, func(v string) bool {
					return strings.Contains(strings.ToLower(recipient), strings.ToLower(v))
				})
				return any
			}
			if *listed.Action == action && !slices.ContainsFunc(listed.Conditions, func(c mailmanager.PolicyCondition) bool { return !holds(c) }) {
				return action, i + 1
			}
		}
	}
	return s.Default, 0
}

func TestDecideEqualsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		action := rapid.SampledFrom([]mailmanager.AcceptAction{allow, deny})
		condition := rapid.Custom(func(t *rapid.T) mailmanager.PolicyCondition {
			return recipientIs("CONTAINS", rapid.SliceOfN(rapid.StringMatching(`[abAB]{1,3}`), 1, 3).Draw(t, "values")...)
		})
		statement := rapid.Custom(func(t *rapid.T) mailmanager.PolicyStatement {
			return statementOf(action.Draw(t, "action"), rapid.SliceOfN(condition, 1, 3).Draw(t, "conditions")...)
		})
		s := Source{Default: action.Draw(t, "default"), Statements: rapid.SliceOfN(statement, 0, 5).Draw(t, "statements")}
		p, err := Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		recipient := rapid.StringMatching(`[abAB]{1,6}@x`).Draw(t, "recipient")
		wantAction, wantBy := naive(s, recipient)
		d := p.Decide(facts("192.0.2.1", ""), recipient)
		if d.Action != wantAction || d.By != wantBy {
			t.Fatalf("got %s by %d, want %s by %d", d.Action, d.By, wantAction, wantBy)
		}
		if again := p.Decide(facts("192.0.2.1", ""), recipient); cmp.Diff(again, d) != "" {
			t.Fatalf("got another decision: %s", cmp.Diff(again, d))
		}
		for _, st := range d.Statements {
			for i, c := range st.Conditions {
				if (c.Result == ResultMatch) != st.Holds(i) {
					t.Fatalf("statement %+v does not end at the condition that decides", st)
				}
			}
		}
	})
}

func usual(t testing.TB) *Policy {
	return compile(t, Source{Default: allow, Statements: []mailmanager.PolicyStatement{
		statementOf(deny, clientV4("CIDR_MATCHES", "198.51.100.0/24")),
		statementOf(deny, recipientIs("STARTS_WITH", "no-reply@")),
		statementOf(allow, recipientIs("ENDS_WITH", "@example.org", "@example.com"), tlsIs("MINIMUM_TLS_VERSION", "TLS1_2")),
	}})
}

func TestDecideAllocatesLittle(t *testing.T) {
	p, f := usual(t), facts("192.0.2.1", "TLS1_3")
	if got := testing.AllocsPerRun(10, func() { p.Decide(f, "jo.smith@example.org") }); got > 5 {
		t.Errorf("got %v allocations for a decision of 3 statements", got)
	}
	f.Lists = lists{listARN: listOf(t, "jo.smith@example.org")}
	listed := compile(t, Source{Default: deny, Statements: []mailmanager.PolicyStatement{statementOf(allow, listIs("IS_TRUE"))}})
	if got := testing.AllocsPerRun(10, func() { listed.Decide(f, "jo.smith@example.org") }); got > 3 {
		t.Errorf("got %v allocations for a decision by a list", got)
	}
	none := compile(t, Source{Default: allow})
	if got := testing.AllocsPerRun(10, func() { none.Decide(f, "jo.smith@example.org") }); got != 0 {
		t.Errorf("got %v allocations for a decision without statements", got)
	}
}

func BenchmarkDecide(b *testing.B) {
	p, f := usual(b), facts("192.0.2.1", "TLS1_3")
	b.ReportAllocs()
	for b.Loop() {
		p.Decide(f, "jo.smith@example.org")
	}
}
