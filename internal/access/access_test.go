package access

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// facts is a Context of fixed values, by key as policies write it.
type facts map[string][]string

func (f facts) Values(key Key) ([]string, bool) {
	name := key.Name
	if key.Tag != "" {
		name += "/" + key.Tag
	}
	values, ok := f[name]
	return values, ok
}

const (
	relay   = "arn:aws:ses:us-east-1:111111111111:mailmanager-smtp-relay/r-aaaaaaaaaaaaaaaaaaaaaaaa"
	ruleSet = "arn:aws:ses:us-east-1:111111111111:mailmanager-rule-set/rs-aaaaaaaaaaaaaaaaaaaaaaaa"
)

func compile(t testing.TB, name, text string) *Policy {
	t.Helper()
	p, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// document is a policy of statements, in the version that has variables.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

func TestDecide(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, statements string
		action, resource string
		want             Decision
	}{
		{"nothing allows", `{"Effect":"Allow","Action":"ses:GetRelay","Resource":"*"}`, "ses:GetRuleSet", ruleSet, Decision{}},
		{"another service", `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`, "ses:GetRelay", relay, Decision{}},
		{"prefix of an action", `{"Effect":"Allow","Action":"ses:Get","Resource":"*"}`, "ses:GetRelay", relay, Decision{}},
		{"another resource", `{"Effect":"Allow","Action":"*","Resource":"` + ruleSet + `"}`, "ses:GetRelay", relay, Decision{}},
		{"case of a resource", `{"Effect":"Allow","Action":"*","Resource":"` + strings.Replace(relay, "relay/", "Relay/", 1) + `"}`, "ses:GetRelay", relay, Decision{}},
		{"a list is no resource", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:ses:*"}`, "ses:ListRelays", "*", Decision{}},
		{"not that action", `{"Effect":"Allow","NotAction":"ses:*","Resource":"*"}`, "ses:GetRelay", relay, Decision{}},
		{"not that resource", `{"Effect":"Allow","Action":"*","NotResource":["` + relay + `"]}`, "ses:GetRelay", relay, Decision{}},
		{"deny alone", `{"Effect":"Deny","Action":"*","Resource":"*"}`, "ses:GetRelay", relay, Decision{Denied, "p", 1, ""}},
		{
			"deny after allow", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"no","Effect":"Deny","Action":"ses:Get*","Resource":"*"}`,
			"ses:GetRelay", relay, Decision{Denied, "p", 2, "no"},
		},
		{
			"deny before allow", `{"Effect":"Deny","Action":"ses:Get*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`,
			"ses:GetRelay", relay, Decision{Denied, "p", 1, ""},
		},
		{
			"deny of another user", `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"arn:aws:iam::*:user/${aws:username}x"}`,
			"sluice:GetUser", "arn:aws:iam::111111111111:user/jo", Decision{Allowed, "p", 1, ""},
		},
		{"everything", `{"Effect":"Allow","Action":"*","Resource":"*"}`, "ses:ListRelays", "*", Decision{Allowed, "p", 1, ""}},
		{"the case of an action", `{"Effect":"Allow","Action":"SES:get?elay","Resource":"*"}`, "ses:GetRelay", relay, Decision{Allowed, "p", 1, ""}},
		{"another action than that", `{"Sid":"rest","Effect":"Allow","NotAction":["ses:Delete*"],"Resource":"*"}`, "ses:GetRelay", relay, Decision{Allowed, "p", 1, "rest"}},
		{"a type of resource", `{"Effect":"Allow","Action":"*","Resource":["arn:aws:ses:*:*:mailmanager-smtp-relay/*"]}`, "ses:GetRelay", relay, Decision{Allowed, "p", 1, ""}},
		{"oneself", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}"}`, "sluice:CreateAccessKey", "arn:aws:iam::111111111111:user/jo", Decision{Allowed, "p", 1, ""}},
		{"somebody else", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws:username}"}`, "sluice:CreateAccessKey", "arn:aws:iam::111111111111:user/joe", Decision{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := compile(t, "p", document(test.statements))
			got := Decide([]*Policy{p}, &Request{Action: test.action, Resource: test.resource, User: "jo", Account: "111111111111"})
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	if got := Decide(nil, &Request{Action: "ses:GetRelay", Resource: relay}); got.Allowed() || got.Reason != NothingAllows {
		t.Errorf("without a policy: got %+v", got)
	}
}

// Of a request for every resource, an allow must have all of them, and a deny one: also when it tells them apart by tags, which
// are not known.
func TestEvery(t *testing.T) {
	t.Parallel()
	const (
		every = "arn:aws:secretsmanager:us-east-1:111111111111:secret:*"
		allow = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	)
	tests := []struct {
		name, statements string
		want             Reason
	}{
		{"deny of one", allow + `,{"Effect":"Deny","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:prod-*"}`, Denied},
		{"deny of one that is written out", allow + `,{"Effect":"Deny","Action":"*","Resource":"arn:aws:secretsmanager:us-east-1:111111111111:secret:prod-AbCdEf"}`, Denied},
		{"deny of a type", allow + `,{"Effect":"Deny","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:*"}`, Denied},
		{"deny of what ends alike", allow + `,{"Effect":"Deny","Action":"*","Resource":"arn:aws:*-AbCdEf"}`, Denied},
		{"deny of a user's own", allow + `,{"Effect":"Deny","Action":"*","Resource":"arn:aws:secretsmanager:us-east-1:${aws:PrincipalAccount}:secret:${aws:username}-??????"}`, Denied},
		{"deny of all but one", allow + `,{"Effect":"Deny","Action":"*","NotResource":"arn:aws:secretsmanager:*:*:secret:mine-*"}`, Denied},
		{"deny of a tag", allow + `,{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"web"}}}`, Denied},
		{"allow of some", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:mine-*"}`, NothingAllows},
		{"allow of all but one", `{"Effect":"Allow","Action":"*","NotResource":"arn:aws:secretsmanager:*:*:secret:prod-*"}`, NothingAllows},
		{"allow of a tag", `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"web"}}}`, NothingAllows},
		{"allow of all without a tag", `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceTag/team":"web"}}}`, NothingAllows},
		{"allow of all if there is no tag", `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:ResourceTag/team":"true"}}}`, NothingAllows},

		{"everything", allow, Allowed},
		{"all of the type", `{"Effect":"Allow","Action":"*","Resource":"arn:aws:secretsmanager:*:*:secret:*"}`, Allowed},
		{"deny of another type", allow + `,{"Effect":"Deny","Action":"*","Resource":["` + relay + `","arn:aws:ses:*","arn:aws:secretsmanager:us-east-1:222222222222:secret:*"]}`, Allowed},
		{"deny of another action", allow + `,{"Effect":"Deny","Action":"ses:*","Resource":"*"}`, Allowed},
		{"deny of what is no such resource", allow + `,{"Effect":"Deny","Action":"*","NotResource":"arn:aws:secretsmanager:*:*:secret:*"}`, Allowed},
		{"deny of another user", allow + `,{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"al"}}}`, Allowed},
		{"allow of what is no relay", `{"Effect":"Allow","Action":"*","NotResource":"` + relay + `"}`, Allowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := &Request{Action: "secretsmanager:GetSecretValue", Resource: every, Every: true, User: "jo", Account: "111111111111"}
			if got := Decide([]*Policy{compile(t, "p", document(test.statements))}, r); got.Reason != test.want {
				t.Errorf("got %+v, want %s", got, test.want)
			}
		})
	}
}

// Whatever a pattern matches, it reaches from each beginning.
func TestPatternsReachWhatTheyMatch(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, err := compilePattern(rapid.StringMatching(`[ab*?]{0,6}`).Draw(t, "pattern"), patternKind{})
		if err != nil {
			t.Fatal(err)
		}
		text := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "text")
		at := rapid.IntRange(0, len(text)).Draw(t, "at")
		if r := (&Request{}); p.match(text, r) && !p.reaches(text[:at], r) {
			t.Errorf("it matches %q and does not reach it from %q", text, text[:at])
		}
	})
}

func TestConditions(t *testing.T) {
	t.Parallel()
	request := facts{
		"aws:sourceip": {"192.0.2.7"}, "aws:currenttime": {"2026-03-01T12:00:00Z"}, "aws:epochtime": {"1772366400"},
		"aws:securetransport": {"true"}, "aws:username": {"jo"}, "aws:resourcetag/team": {"mail"}, "aws:tagkeys": {"team", "cost"},
		"ses:mailmanagerrulesetarn": {ruleSet}, "aws:useragent": {""},
	}
	tests := []struct {
		condition string
		want      bool
	}{
		{`"StringEquals":{"aws:username":"joe"}`, false},
		{`"StringEquals":{"aws:username":"j*"}`, false},
		{`"StringEquals":{"aws:username":"Jo"}`, false},
		{`"StringEquals":{"aws:userid":"jo"}`, false},
		{`"StringEquals":{"aws:userid":""}`, false},
		{`"StringNotEquals":{"aws:username":["x","jo"]}`, false},
		{`"StringEquals":{"aws:username":"jo","aws:RequestedRegion":"us-east-1"}`, false},
		{`"StringEquals":{"aws:username":"jo"},"Bool":{"aws:SecureTransport":false}`, false},
		{`"StringLike":{"aws:ResourceTag/team":"m?l"}`, false},
		{`"StringEquals":{"aws:RequestTag/team":"mail"}`, false},
		{`"StringNotLike":{"aws:ResourceTag/team":"m*"}`, false},
		{`"StringNotEqualsIgnoreCase":{"aws:username":"JO"}`, false},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":"team"}`, false},
		{`"ForAnyValue:StringEquals":{"aws:TagKeys":["a","b"]}`, false},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":["team","cost"]}`, false},
		{`"ForAnyValue:StringEquals":{"aws:userid":"x"}`, false},
		{`"IpAddress":{"aws:SourceIp":"192.0.2.8"}`, false},
		{`"IpAddress":{"aws:SourceIp":["10.0.0.0/8","2001:db8::/32"]}`, false},
		{`"NotIpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, false},
		{`"DateGreaterThan":{"aws:CurrentTime":"2026-03-01T12:00:00Z"}`, false},
		{`"DateLessThan":{"aws:CurrentTime":"2026-03"}`, false},
		{`"DateNotEquals":{"aws:CurrentTime":"2026-03-01T13:00:00+01:00"}`, false},
		{`"NumericLessThan":{"aws:EpochTime":1772366400}`, false},
		{`"NumericEquals":{"aws:username":"1"}`, false},
		{`"Bool":{"aws:username":"true"}`, false},
		{`"Bool":{"aws:username":"false"}`, false},
		{`"Null":{"aws:username":"true"}`, false},
		{`"Null":{"aws:userid":false}`, false},
		{`"ArnEquals":{"ses:MailManagerRuleSetArn":"arn:aws:ses:*:*:mailmanager-smtp-relay/*"}`, false},
		{`"ArnLike":{"ses:MailManagerRuleSetArn":"arn:aws:ses:*:222222222222:*"}`, false},
		{`"ArnNotLike":{"ses:MailManagerRuleSetArn":"arn:*:*:*:*:*"}`, false},
		{`"ArnLike":{"aws:username":"arn:aws:ses:*:*:*"}`, false},

		{`"StringEquals":{"AWS:UserName":["x","jo"]}`, true},
		{`"StringEquals":{"aws:username":"${aws:username}"}`, true},
		{`"StringLike":{"aws:username":"${*}"}`, false},
		{`"StringLike":{"aws:ResourceTag/team":"m*l"}`, true},
		{`"StringEqualsIgnoreCase":{"aws:username":"JO"}`, true},
		{`"StringEqualsIgnoreCase":{"aws:username":"${AWS:UserName}"}`, true},
		{`"StringNotEquals":{"aws:userid":"x"}`, true},
		{`"StringEqualsIfExists":{"aws:userid":"x"}`, true},
		{`"StringEqualsIfExists":{"aws:username":"x"}`, false},
		{`"ForAllValues:StringEquals":{"aws:TagKeys":["team","cost","x"]}`, true},
		{`"ForAllValues:StringEquals":{"aws:userid":"x"}`, true},
		{`"ForAnyValue:StringLike":{"aws:TagKeys":"c*"}`, true},
		{`"ForAnyValue:StringEqualsIfExists":{"aws:userid":"x"}`, true},
		{`"ForAnyValue:StringNotEquals":{"aws:TagKeys":"team"}`, true},
		{`"IpAddress":{"aws:SourceIp":"192.0.2.9/24"}`, true},
		{`"NotIpAddress":{"aws:SourceIp":"10.0.0.0/8"}`, true},
		{`"DateGreaterThanEquals":{"aws:CurrentTime":"2026-03-01T12:00:00Z"}`, true},
		{`"DateLessThanEquals":{"aws:EpochTime":"2026-03-01T12:00Z"}`, true},
		{`"NumericGreaterThanEquals":{"aws:EpochTime":"1772366400"}`, true},
		{`"NumericNotEquals":{"aws:EpochTime":1}`, true},
		{`"NumericGreaterThan":{"aws:EpochTime":1},"NumericLessThanEquals":{"aws:EpochTime":2e9}`, true},
		{`"Bool":{"aws:SecureTransport":"TRUE"}`, true},
		{`"Null":{"aws:userid":"true","aws:username":"false"}`, true},
		{`"Null":{"aws:TagKeys":"false"}`, true},
		{`"ArnLike":{"ses:MailManagerRuleSetArn":"arn:aws:ses:*:*:mailmanager-rule-set/*"}`, true},
		{`"ArnNotEquals":{"ses:MailManagerRuleSetArn":"` + relay + `"}`, true},
	}
	for _, test := range tests {
		t.Run(test.condition, func(t *testing.T) {
			t.Parallel()
			p := compile(t, "p", document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+test.condition+`}}`))
			got := Decide([]*Policy{p}, &Request{Action: "ses:GetRelay", Resource: relay, User: "jo", Context: request})
			if got.Allowed() != test.want {
				t.Errorf("got %v, want %v", got.Reason, test.want)
			}
		})
	}
}

// A tag that a resource has under two keys which differ in case only has two values: one is enough for an operator, and each
// must do for its negation.
func TestSingleKeysWithSeveralValues(t *testing.T) {
	t.Parallel()
	request := &Request{Action: "ses:GetRelay", Resource: relay, Context: facts{"aws:resourcetag/team": {"mail", "web"}}}
	for condition, want := range map[string]bool{
		`"StringNotEquals":{"aws:ResourceTag/team":"web"}`:           false,
		`"StringNotLike":{"aws:ResourceTag/team":"m*"}`:              false,
		`"StringEquals":{"aws:ResourceTag/team":"other"}`:            false,
		`"StringEquals":{"aws:ResourceTag/team":"web"}`:              true,
		`"StringNotEquals":{"aws:ResourceTag/team":"other"}`:         true,
		`"StringNotEqualsIfExists":{"aws:ResourceTag/team":["web"]}`: false,
	} {
		p := compile(t, "p", document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+condition+`}}`))
		if got := Decide([]*Policy{p}, request).Allowed(); got != want {
			t.Errorf("%s: got %v, want %v", condition, got, want)
		}
	}
}

// A value of a variable is text, and no wildcard.
func TestVariablesAreNoWildcards(t *testing.T) {
	t.Parallel()
	p := compile(t, "p", document(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws:username}"}`))
	if Decide([]*Policy{p}, &Request{Action: "a:B", Resource: "arn:aws:iam::1:user/root", User: "*"}).Allowed() {
		t.Error("a user called * is everybody")
	}
	old := compile(t, "p", `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws:username}"}}`)
	cond := compile(t, "p", document(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":"jo"}}}`))
	if Decide([]*Policy{cond}, &Request{Action: "a:B", Resource: "*", User: "jo"}).Allowed() {
		t.Error("without a context the condition holds")
	}
	if Decide([]*Policy{old}, &Request{Action: "a:B", Resource: "arn:aws:iam::1:user/jo", User: "jo"}).Allowed() {
		t.Error("the older version has variables")
	}
}

// Wildcards must not take time that explodes (S16).
func TestWildcardsAreBounded(t *testing.T) {
	t.Parallel()
	p, err := compilePattern(strings.Repeat("*a", 2000)+"b", patternKind{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if p.match(strings.Repeat("a", 2000), &Request{}) {
		t.Error("it matches")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// It is not parallel: allocations of others would be counted.
func TestDecideDoesNotAllocate(t *testing.T) {
	p := []*Policy{compile(t, "p", document(
		`{"Effect":"Deny","Action":"ses:Delete*","Resource":"*"}`,
		`{"Effect":"Allow","Action":"ses:*","Resource":"arn:aws:ses:*:*:mailmanager-smtp-relay/*","Condition":{"Bool":{"aws:SecureTransport":"true"},"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}`))}
	r := &Request{Action: "ses:GetRelay", Resource: relay, Context: fixed{}}
	if n := testing.AllocsPerRun(100, func() {
		if !Decide(p, r).Allowed() {
			t.Error("denied")
		}
	}); n > 0 {
		t.Errorf("got %v allocations", n)
	}
}

// fixed is a Context that allocates nothing.
type fixed struct{}

var fixedValues = map[string][]string{"aws:securetransport": {"true"}, "aws:sourceip": {"192.0.2.7"}}

func (fixed) Values(key Key) ([]string, bool) { v, ok := fixedValues[key.Name]; return v, ok }

// drawStatement draws a statement over a few actions and resources, so that statements meet.
func drawStatement(t *rapid.T, effects ...string) string {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	condition := pick("condition", "", "", `,"Condition":{"StringEquals":{"aws:username":"jo"}}`, `,"Condition":{"Null":{"aws:userid":"false"}}`)
	return fmt.Sprintf(`{"Effect":%q,%q:%q,%q:%q%s}`, pick("effect", effects...),
		pick("action member", "Action", "Action", "NotAction"), pick("action", "*", "ses:*", "ses:Get*", "ses:GetRelay", "ses:GetRuleSet"),
		pick("resource member", "Resource", "Resource", "NotResource"), pick("resource", "*", relay, ruleSet, "arn:aws:ses:*"), condition)
}

func drawRequest(t *rapid.T) *Request {
	return &Request{
		Action:   rapid.SampledFrom([]string{"ses:GetRelay", "ses:GetRuleSet", "ses:DeleteRelay", "s3:GetObject"}).Draw(t, "asked action"),
		Resource: rapid.SampledFrom([]string{relay, ruleSet, "*"}).Draw(t, "asked resource"),
		Context:  facts{"aws:username": {rapid.SampledFrom([]string{"jo", "al"}).Draw(t, "user")}},
	}
}

func TestOrderOfStatementsDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		statements := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawStatement(t, "Allow", "Deny") }), 1, 6).Draw(t, "statements")
		shuffled := rapid.Permutation(statements).Draw(t, "shuffled")
		cut := rapid.IntRange(1, len(shuffled)).Draw(t, "cut")
		one := []*Policy{mustParse(t, statements)}
		several := []*Policy{mustParse(t, shuffled[:cut])}
		if cut < len(shuffled) {
			several = append(several, mustParse(t, shuffled[cut:]))
		}
		r := drawRequest(t)
		if a, b := Decide(one, r).Reason, Decide(several, r).Reason; a != b {
			t.Errorf("got %v and %v", a, b)
		}
	})
}

// An explicit deny wins: what a policy of denials alone does not touch is as it was without them, and all else is denied.
func TestExplicitDenyWins(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		denials := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawStatement(t, "Deny") }), 1, 4).Draw(t, "denials")
		allowances := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string { return drawStatement(t, "Allow") }), 1, 4).Draw(t, "allowances")
		r := drawRequest(t)
		deny, allow := mustParse(t, denials), mustParse(t, allowances)
		got := Decide([]*Policy{allow, deny}, r).Reason
		want := Decide([]*Policy{allow}, r).Reason
		if Decide([]*Policy{deny}, r).Reason == Denied {
			want = Denied
		}
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// To allow everything but something is to allow everything and deny something, but for whom the rest is denied.
func TestNotActionIsTheRest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		action := rapid.SampledFrom([]string{"ses:*", "ses:Get*", "ses:GetRelay"}).Draw(t, "action")
		rest := mustParse(t, []string{fmt.Sprintf(`{"Effect":"Allow","NotAction":%q,"Resource":"*"}`, action)})
		minus := mustParse(t, []string{`{"Effect":"Allow","Action":"*","Resource":"*"}`, fmt.Sprintf(`{"Effect":"Deny","Action":%q,"Resource":"*"}`, action)})
		r := drawRequest(t)
		if a, b := Decide([]*Policy{rest}, r).Allowed(), Decide([]*Policy{minus}, r).Allowed(); a != b {
			t.Errorf("got %v and %v", a, b)
		}
	})
}

func mustParse(t *rapid.T, statements []string) *Policy {
	p, err := Parse("p", []byte(document(statements...)))
	if err != nil {
		t.Fatalf("%v: %v", statements, err)
	}
	return p
}

// A pattern matches as its meaning, spelt out, says.
func TestPatternsMean(t *testing.T) {
	t.Parallel()
	var means func(pattern, text []rune) bool
	means = func(pattern, text []rune) bool {
		switch {
		case len(pattern) == 0:
			return len(text) == 0
		case pattern[0] == '*':
			return means(pattern[1:], text) || len(text) > 0 && means(pattern, text[1:])
		default:
			return len(text) > 0 && (pattern[0] == '?' || pattern[0] == text[0]) && means(pattern[1:], text[1:])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[abé]{0,8}`).Draw(t, "text")
		pattern := rapid.StringMatching(`[abé?*]{0,8}`).Draw(t, "pattern")
		p, err := compilePattern(pattern, patternKind{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := p.match(text, &Request{}), means([]rune(pattern), []rune(text)); got != want {
			t.Errorf("%q ~ %q: got %v, want %v", text, pattern, got, want)
		}
	})
}

func TestKeyNames(t *testing.T) {
	t.Parallel()
	names := KeyNames()
	if !slices.Contains(names, "aws:requesttag/") || !slices.Contains(names, "ses:mailmanagerrulesetarn") || !slices.IsSorted(names) {
		t.Errorf("got %v", names)
	}
	for _, text := range []string{"", "aws:nothing", "aws:RequestTag", "aws:RequestTag/", "aws:username/x", "username"} {
		if key, ok := ParseKey(text); ok {
			t.Errorf("%q is %+v", text, key)
		}
	}
	if key, ok := ParseKey("aws:requestTag/Team/x"); !ok || key != (Key{"aws:requesttag", "Team/x"}) {
		t.Errorf("got %+v, %v", key, ok)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	t.Parallel()
	for reason, want := range map[Reason]string{Allowed: "ALLOWED", Denied: "DENIED", NothingAllows: "NOTHING_ALLOWS", 9: "Reason(9)"} {
		if got := reason.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
