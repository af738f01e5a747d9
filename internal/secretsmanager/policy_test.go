package secretsmanager_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/secretsmanager"
)

func statement(members string) string {
	return `{"Version":"2012-10-17","Statement":[{` + members + `}]}`
}

const allow = `"Effect":"Allow","Principal":{"Service":"ses.amazonaws.com"},"Action":"secretsmanager:GetSecretValue","Resource":"*"`

func TestCheckPolicy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string // the checks that fail; nil: it is good
	}{
		{"of Mail Manager's guide", statement(allow + `,"Condition":{"StringEquals":{"aws:SourceAccount":"111122223333"},"ArnLike":{"aws:SourceArn":["arn:aws:ses:*:111122223333:mailmanager-smtp-relay/*"]}}`), nil},
		{"one statement without a list", `{"Statement":{` + allow + `}}`, nil},
		{"lists", statement(`"Sid":"a","Effect":"Deny","NotPrincipal":{"AWS":["111122223333","arn:aws:iam::111122223333:root"]},"NotAction":["secretsmanager:Get*","sts:?"],"NotResource":["arn:aws:s3:::x"]`), nil},
		{"everybody under a condition", statement(strings.Replace(allow, `{"Service":"ses.amazonaws.com"}`, `"*"`, 1) + `,"Condition":{"Bool":{"aws:SecureTransport":true}}`), nil},
		{"everybody denied", statement(strings.NewReplacer("Allow", "Deny", `{"Service":"ses.amazonaws.com"}`, `"*"`).Replace(allow)), nil},

		{"everybody", statement(strings.Replace(allow, `{"Service":"ses.amazonaws.com"}`, `"*"`, 1)), []string{"PUBLIC_ACCESS"}},
		{"every account", statement(strings.Replace(allow, `{"Service":"ses.amazonaws.com"}`, `{"AWS":["1","*"]}`, 1)), []string{"PUBLIC_ACCESS"}},
		{"everybody but one", statement(strings.Replace(allow, "Principal", "NotPrincipal", 1)), []string{"PUBLIC_ACCESS"}},
		{"everybody under no condition", statement(strings.Replace(allow, `{"Service":"ses.amazonaws.com"}`, `"*"`, 1) + `,"Condition":{}`), []string{"PUBLIC_ACCESS"}},
		{"nothing", `{}`, []string{"SYNTAX"}},
		{"no statements", `{"Statement":[]}`, []string{"SYNTAX"}},
		{"null as the statements", `{"Statement":null}`, []string{"SYNTAX"}},
		{"null as a statement", `{"Statement":[null]}`, []string{"SYNTAX"}},
		{"a text as a statement", `{"Statement":["x"]}`, []string{"SYNTAX"}},
		{"another version", `{"Version":"2012-10-18","Statement":{` + allow + `}}`, []string{"SYNTAX"}},
		{"a number as the id", `{"Id":1,"Statement":{` + allow + `}}`, []string{"SYNTAX"}},
		{"another member", `{"Statements":[],"Statement":{` + allow + `}}`, []string{"SYNTAX"}},
		{"another member of a statement", statement(allow + `,"Actions":"x"`), []string{"SYNTAX"}},
		{"a member in another case", statement(strings.Replace(allow, "Effect", "effect", 1)), []string{"SYNTAX", "SYNTAX"}},
		{"a number as the Sid", statement(allow + `,"Sid":1`), []string{"SYNTAX"}},
		{"another effect", statement(strings.Replace(allow, "Allow", "allow", 1)), []string{"SYNTAX"}},
		{"no principal", statement(`"Effect":"Allow","Action":"a:b","Resource":"*"`), []string{"SYNTAX"}},
		{"two principals", statement(allow + `,"NotPrincipal":"*"`), []string{"SYNTAX", "PUBLIC_ACCESS"}},
		{"no kind of principal", statement(strings.Replace(allow, `{"Service":"ses.amazonaws.com"}`, `{}`, 1)), []string{"SYNTAX"}},
		{"another kind of principal", statement(strings.Replace(allow, "Service", "User", 1)), []string{"SYNTAX"}},
		{"nobody", statement(strings.Replace(allow, `"ses.amazonaws.com"`, `[]`, 1)), []string{"SYNTAX"}},
		{"somebody by name", statement(strings.Replace(allow, `{"Service":"ses.amazonaws.com"}`, `"me"`, 1)), []string{"SYNTAX"}},
		{"no action", statement(strings.Replace(allow, `"secretsmanager:GetSecretValue"`, `[]`, 1)), []string{"SYNTAX"}},
		{"an action of no service", statement(strings.Replace(allow, "secretsmanager:", "", 1)), []string{"SYNTAX"}},
		{"a number as the action", statement(strings.Replace(allow, `"secretsmanager:GetSecretValue"`, `1`, 1)), []string{"SYNTAX"}},
		{"a name as the resource", statement(strings.Replace(allow, `"Resource":"*"`, `"Resource":"mine"`, 1)), []string{"SYNTAX"}},
		{"null in the resources", statement(strings.Replace(allow, `"Resource":"*"`, `"Resource":[null]`, 1)), []string{"SYNTAX"}},
		{"a condition that is none", statement(allow + `,"Condition":"x"`), []string{"SYNTAX"}},
		{"a condition without keys", statement(allow + `,"Condition":{"StringEquals":"x"}`), []string{"SYNTAX"}},
		{"a condition with an object", statement(allow + `,"Condition":{"StringEquals":{"a":{}}}`), []string{"SYNTAX"}},
		{"a condition with null", statement(allow + `,"Condition":{"StringEquals":{"a":[null]}}`), []string{"SYNTAX"}},
		{"far too much", `{"Statement":[` + strings.Repeat(`{},`, 100) + `{}]}`, strings.Fields(strings.Repeat("SYNTAX ", 20))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			problems, ok := secretsmanager.CheckPolicy(test.text)
			var got []string
			for _, p := range problems {
				got = append(got, p.Check)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || !ok {
				t.Errorf("ok %v, %v (-want +got):\n%s", ok, problems, diff)
			}
		})
	}
	for _, text := range []string{"", "{", "null", "[]", `"x"`, "1", `{"Statement":1}{}`, "hunter2"} {
		if problems, ok := secretsmanager.CheckPolicy(text); ok {
			t.Errorf("%q: got %v, want that it is no policy", text, problems)
		}
	}
}

// FuzzPolicy: bounded, and what is wrong is told in words of ours.
func FuzzPolicy(f *testing.F) {
	for _, seed := range []string{statement(allow), `{"Statement":[null,{}]}`, `{"Statement":{"Condition":{"a":{"b":[1,true,"x"]}}}}`, `{`, `[]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		problems, ok := secretsmanager.CheckPolicy(text)
		if len(problems) > 20 || !ok && problems != nil {
			t.Errorf("got %d problems, ok %v", len(problems), ok)
		}
		for _, p := range problems {
			if len(p.Text) > 200 || p.Check != secretsmanager.CheckSyntax && p.Check != secretsmanager.CheckPublic {
				t.Errorf("got %+v", p)
			}
		}
		if again, _ := secretsmanager.CheckPolicy(text); cmp.Diff(problems, again) != "" {
			t.Errorf("got %v, and then %v", problems, again)
		}
	})
}
