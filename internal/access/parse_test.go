package access

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	statement := func(members string) string { return `{"Statement":{` + members + `}}` }
	condition := func(text string) string {
		return statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":` + text)
	}
	const whole = `"Effect":"Allow","Action":"*","Resource":"*"`
	tests := []struct{ name, text, want string }{
		{"nothing", ``, "not whole"},
		{"no JSON", `{Statement}`, "not JSON"},
		{"cut off", `{"Statement":[{"Effect":`, "not whole"},
		{"not UTF-8", "{\"Id\":\"\xff\"}", "UTF-8"},
		{"a list", `[]`, "a policy is a JSON object"},
		{"two documents", statement(whole) + `{}`, "something follows"},
		{"no statement", `{"Version":"2012-10-17"}`, "Statement: is missing"},
		{"no statements", `{"Statement":[]}`, "Statement: has 0"},
		{"too many", `{"Statement":[` + strings.Repeat("1,", 200) + `1]}`, "Statement: has 201"},
		{"unknown version", `{"Version":"2026-01-01","Statement":{` + whole + `}}`, "Version: is neither"},
		{"id that is no string", `{"Id":1,"Statement":{` + whole + `}}`, "Id: is no string"},
		{"unknown member", `{"Statements":[]}`, "Statements: a policy has no such member"},
		{"member with a long name", `{"` + strings.Repeat("n", 100) + `":1}`, strings.Repeat("n", 64) + "…: a policy has"},
		{"short ARN in a condition", condition(`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:*"}}`), "is no ARN"},
		{"a member twice", `{"Id":"a","Id":"b"}`, "Id: is there twice"},
		{"statement that is no object", `{"Statement":["x"]}`, "Statement[0]: is no object"},
		{"principal", statement(whole + `,"Principal":"*"`), "Statement.Principal: a statement has no such member"},
		{"no effect", statement(`"Action":"*","Resource":"*"`), "Statement.Effect: is missing"},
		{"effect in another case", statement(`"Effect":"allow","Action":"*","Resource":"*"`), "Statement.Effect: is neither"},
		{"no action", statement(`"Effect":"Allow","Resource":"*"`), "Statement.Action: one of"},
		{"both actions", statement(whole + `,"NotAction":"*"`), "Statement.Action: one of"},
		{"no resource", statement(`"Effect":"Allow","Action":"*"`), "Statement.Resource: one of"},
		{"empty list", statement(`"Effect":"Allow","Action":[],"Resource":"*"`), "Statement.Action: is empty"},
		{"action without a service", statement(`"Effect":"Allow","Action":["*","GetRelay"],"Resource":"*"`), "Statement.Action[1]: is no action"},
		{"action of a wildcard service", statement(`"Effect":"Allow","Action":"*:Get","Resource":"*"`), "Statement.Action: is no action"},
		{"action that is no string", statement(`"Effect":"Allow","Action":[1],"Resource":"*"`), "Statement.Action[0]: is no string"},
		{"action that is null", statement(`"Effect":"Allow","Action":null,"Resource":"*"`), "Statement.Action: is no string"},
		{"resource that is an id", statement(`"Effect":"Allow","Action":"*","Resource":"r-1"`), "Statement.Resource: is no ARN"},
		{"ARN that ends early", statement(`"Effect":"Allow","Action":"*","Resource":"arn:aws:ses"`), "Statement.Resource: is no ARN"},
		{"unknown variable", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws:id}"}}`, "Statement.Resource: ${aws:id} is none"},
		{"variable without an end", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::*:user/${aws"}}`, "Statement.Resource: a policy variable has no end"},
		{"sid with other characters", statement(whole + `,"Sid":"a-b"`), "Statement.Sid: is no string"},
		{"a sid twice", `{"Statement":[{` + whole + `,"Sid":"a"},{` + whole + `,"Sid":"a"}]}`, "Statement[1].Sid: is that of another"},
		{"condition that is a list", condition(`[]`), "Statement.Condition: is no object"},
		{"unknown operator", condition(`{"StringMatches":{}}`), "Statement.Condition.StringMatches: there is no such operator"},
		{"IfExists of Null", condition(`{"NullIfExists":{}}`), "no such operator"},
		{"quantified Null", condition(`{"ForAnyValue:Null":{}}`), "no such operator"},
		{"quantifier in another case", condition(`{"forAnyValue:StringEquals":{}}`), "no such operator"},
		{"binary", condition(`{"BinaryEquals":{}}`), "no such operator"},
		{"operator without keys", condition(`{"StringEquals":"x"}`), "Statement.Condition.StringEquals: is no object"},
		{"unknown key", condition(`{"StringEquals":{"aws:MultiFactorAuthPresent":"x"}}`), "Statement.Condition.StringEquals.aws:MultiFactorAuthPresent: there is no such condition key"},
		{"tag key without a tag", condition(`{"StringEquals":{"aws:RequestTag":"x"}}`), "there is no such condition key"},
		{"list without a quantifier", condition(`{"StringEquals":{"aws:TagKeys":"x"}}`), "aws:TagKeys: has several values"},
		{"no values", condition(`{"StringEquals":{"aws:username":[]}}`), "aws:username: has no value"},
		{"value that is an object", condition(`{"StringEquals":{"aws:username":{}}}`), "aws:username: is no string"},
		{"value that is null", condition(`{"StringEquals":{"aws:username":["a",null]}}`), "aws:username[1]: is no string"},
		{"address", condition(`{"IpAddress":{"aws:SourceIp":"192.0.2.0/33"}}`), "aws:SourceIp: is neither an address"},
		{"mapped address", condition(`{"IpAddress":{"aws:SourceIp":"::ffff:192.0.2.1"}}`), "aws:SourceIp: is neither an address"},
		{"date", condition(`{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}`), "aws:CurrentTime: is no date"},
		{"number", condition(`{"NumericEquals":{"aws:EpochTime":"NaN"}}`), "aws:EpochTime: is no number"},
		{"boolean", condition(`{"Bool":{"aws:SecureTransport":"yes"}}`), "aws:SecureTransport: is neither true"},
		{"ARN", condition(`{"ArnLike":{"aws:PrincipalArn":"*"}}`), "aws:PrincipalArn: is no ARN"},
		{"ARN with an unknown variable", `{"Version":"2012-10-17","Statement":{` + whole + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:${x}"}}}}`, "is none of the policy variables"},
		{"too deep", strings.Repeat(`{"a":`, 100), "nested deeper"},
		{"too deep lists", `{"Id":` + strings.Repeat(`[`, 100), "nested deeper"},
		{"too long", `{"Id":"` + strings.Repeat("é", 6200) + `"}`, "characters, at most 6144"},
		{"far too long", strings.Repeat(" ", 70000), "up to 65536 octets"},
		{"end within a list", `{"Id":[1`, "not whole"},
		{"end within an object", `{"Id"`, "not whole"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, err := Parse("p", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, want %q", p, err, test.want)
			}
		})
	}
}

func TestParseTakes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		`{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"","Effect":"Deny","NotAction":["ses:*","s3:Get?bject"],"NotResource":["*","arn:aws:ses:*"],"Condition":{}}]}`,
		`{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:username":["a",1,true]}}}]}`,
		"{\n" + strings.Repeat(" ", 10_000) + `"Id": " \" a ", "Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::1:user/${$}${?}${*}"}}`,
	} {
		if p, err := Parse("name", []byte(text)); err != nil || p.Name() != "name" {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}

// FuzzParse: what is a policy decides the same however often it is parsed, and never allows where it has no Allow.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`,
		document(`{"Sid":"a","Effect":"Deny","NotAction":["ses:Get*"],"NotResource":"arn:aws:ses:*:*:x/${aws:username}"}`),
		document(`{"Effect":"Allow","Action":"ses:*","Resource":"*","Condition":{"ForAllValues:StringLike":{"aws:TagKeys":["a*","?"]},"DateLessThanIfExists":{"aws:CurrentTime":"2026"}}}`),
		document(`{"Effect":"Allow","Action":"ses:*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"Null":{"aws:ResourceTag/x":true},"ArnNotLike":{"aws:PrincipalArn":"arn:*:iam::1:*"}}}`),
	} {
		f.Add([]byte(seed), "ses:GetRelay", relay, "jo")
	}
	f.Fuzz(func(t *testing.T, text []byte, action, resource, user string) {
		p, err := Parse("p", text)
		if err != nil {
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d octets", len(err.Error()))
			}
			return
		}
		r := &Request{Action: action, Resource: resource, User: user, Context: facts{"aws:username": {user}, "aws:tagkeys": {action, resource}}}
		got := Decide([]*Policy{p}, r)
		again, err := Parse("p", text)
		if err != nil || Decide([]*Policy{again}, r) != got {
			t.Errorf("got %+v first", got)
		}
		if got.Allowed() && !strings.Contains(string(text), "llow") && !strings.Contains(string(text), `\u`) {
			t.Error("allowed without an Allow")
		}
		deny := compile(t, "deny", document(fmt.Sprintf(`{"Effect":"Deny","Action":%q,"Resource":"*"}`, "*")))
		if d := Decide([]*Policy{p, deny}, r); d.Reason != Denied {
			t.Errorf("with a denial of everything: got %+v", d)
		}
	})
}
