package control_test

import (
	"regexp"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/control"
)

// Mail Manager, A4.
func TestRelayIDs(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A4")
	tests := []struct {
		id   string
		want bool
	}{
		{"r-" + strings.Repeat("a", 24), true},
		{"r-" + strings.Repeat("0", 20), true},
		{"r-" + strings.Repeat("9", 64), true},
		{"", false},
		{"r-", false},
		{"r-" + strings.Repeat("a", 19), false},
		{"r-" + strings.Repeat("a", 65), false},
		{"rs-" + strings.Repeat("a", 24), false},
		{strings.Repeat("a", 24), false},
		{"R-" + strings.Repeat("a", 24), false},
		{"r-" + strings.Repeat("A", 24), false},
		{"r-" + strings.Repeat("a", 23) + "-", false},
		{"r-" + strings.Repeat("a", 23) + "\n", false},
		{"r-" + strings.Repeat("é", 24), false},
	}
	for _, test := range tests {
		if got := control.RelayID(test.id); got != test.want {
			t.Errorf("%q: got %v, want %v", test.id, got, test.want)
		}
	}
	id, _ := control.NewRelayID(home)
	if other, _ := control.NewRelayID(home); !control.RelayID(id) || id == other {
		t.Errorf("new ids: got %s and %s", id, other)
	}
}

func TestRelayARNs(t *testing.T) {
	t.Parallel()
	id, arn := control.NewRelayID(home)
	china := control.Scope{Account: home.Account, Region: "cn-north-1"}
	tests := []struct {
		name, arn string
		scope     control.Scope
		want      bool
	}{
		{"its own", arn, home, true},
		{"another account's", arn, stranger, false},
		{"another region's", arn, abroad, false},
		{"another partition's", strings.Replace(arn, "arn:aws:", "arn:aws-cn:", 1), home, false},
		{"another service's", strings.Replace(arn, ":ses:", ":sns:", 1), home, false},
		{"another kind's", strings.Replace(arn, "smtp-relay", "rule-set", 1), home, false},
		{"of a malformed id", arn + "/", home, false},
		{"an id", id, home, false},
		{"nothing", "", home, false},
		{"too few fields", "arn:aws:ses", home, false},
		{"in China", "arn:aws-cn:ses:cn-north-1:111111111111:mailmanager-smtp-relay/" + id, china, true},
		{"in China without its partition", "arn:aws:ses:cn-north-1:111111111111:mailmanager-smtp-relay/" + id, china, false},
	}
	for _, test := range tests {
		got, ok := control.RelayIDFromARN(test.scope, test.arn)
		if ok != test.want || ok && got != id {
			t.Errorf("%s: got %q, %v, want %v", test.name, got, ok, test.want)
		}
	}
}

// Mail Manager, B19.
func TestHostNames(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	form := regexp.MustCompile(`^[0-9a-z]{12}\.[0-9a-z]{4}\.mail\.example$`)
	a, b := control.NewHost("eu-west-1", "mail.example"), control.NewHost("eu-west-1", "mail.example")
	if !form.MatchString(a) || a == b {
		t.Errorf("got %s and %s", a, b)
	}
	if tag := control.RegionTag("eu-west-1"); tag == control.RegionTag("us-east-1") || tag != strings.Split(a, ".")[1] {
		t.Errorf("got the tag %s", tag)
	}
}

func TestUUIDs(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	if a, b := control.NewUUID(), control.NewUUID(); !form.MatchString(a) || a == b {
		t.Errorf("got %s and %s", a, b)
	}
}

// FuzzParseARN: what is an ARN prints as it was read.
func FuzzParseARN(f *testing.F) {
	_, arn := control.NewRelayID(home)
	for _, seed := range []string{arn, "arn:aws:secretsmanager:eu-west-1:111111111111:secret:a/b:c-AbCdEf", "arn:::::", "arn", "arn:aws:ses:eu-west-1::x", "a:b:c:d:e:f:g"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		printed, ok := control.ParseARN(text)
		if ok && printed != text {
			t.Errorf("%q prints as %q", text, printed)
		}
		for _, scope := range []control.Scope{home, stranger} {
			id, ok := control.RelayIDFromARN(scope, text)
			if ok && (!control.RelayID(id) || !strings.HasSuffix(text, "/"+id) || !strings.Contains(text, ":"+scope.Account+":")) {
				t.Errorf("%q is the ARN of %q in %v", text, id, scope)
			}
		}
	})
}

// FuzzRelayID: a well-formed id is of the form that the error names.
func FuzzRelayID(f *testing.F) {
	id, _ := control.NewRelayID(home)
	for _, seed := range []string{id, "r-", "", "r-" + strings.Repeat("z", 64), "rs-" + strings.Repeat("a", 24)} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`\Ar-[a-z0-9]{20,64}\z`)
	f.Fuzz(func(t *testing.T, id string) {
		if got, want := control.RelayID(id), form.MatchString(id); got != want {
			t.Errorf("%q: got %v, want %v", id, got, want)
		}
	})
}
