package rule

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func checkRefusal(t *testing.T, err error, path string) {
	t.Helper()
	var known *mailmanager.Error
	if !errors.As(err, &known) || known.Code != mailmanager.CodeValidation || !strings.Contains(known.Message, "'"+path+"'") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want a ValidationException at '%s'", err, path)
	}
}

func TestCompileRefusesConditions(t *testing.T) {
	t.Parallel()
	text := stringCondition
	nowhere := func(c mailmanager.RuleCondition) mailmanager.RuleCondition {
		switch {
		case c.StringExpression != nil:
			c.StringExpression.Evaluate = nil
		case c.BooleanExpression != nil:
			c.BooleanExpression.Evaluate = nil
		case c.NumberExpression != nil:
			c.NumberExpression.Evaluate = nil
		case c.IpExpression != nil:
			c.IpExpression.Evaluate = nil
		default:
			c.VerdictExpression.Evaluate = nil
		}
		return c
	}
	noNumber := sizeCondition("EQUALS", 1)
	noNumber.NumberExpression.Value = nil
	noList, twoLists, noAttribute := listCondition("IS_TRUE"), listCondition("IS_TRUE"), listCondition("IS_TRUE")
	noList.BooleanExpression.Evaluate.IsInAddressList.AddressLists = nil
	twoLists.BooleanExpression.Evaluate.IsInAddressList.AddressLists = []mailmanager.AddressListArn{"a", "b"}
	noAttribute.BooleanExpression.Evaluate.IsInAddressList.Attribute = nil
	tests := []struct {
		name      string
		condition mailmanager.RuleCondition
		path      string
	}{
		{"no key", mailmanager.RuleCondition{}, ""},
		{"string operator", text("FROM", "LIKE", "secret"), ".stringExpression.operator"},
		{"string attribute", text("BODY", "EQUALS", "secret"), ".stringExpression.evaluate"},
		{"no string attribute", nowhere(text("FROM", "EQUALS", "secret")), ".stringExpression.evaluate"},
		{"no strings", text("FROM", "EQUALS"), ".stringExpression.values"},
		{"field name too long", text("X-"+strings.Repeat("a", 257), "EQUALS", "secret"), ".stringExpression.evaluate"},
		{"certificate attribute", certificateCondition("SUBJECT", "EQUALS", "secret"), ".stringExpression.evaluate"},
		{"certificate operator", certificateCondition("CN", "LIKE", "secret"), ".stringExpression.operator"},
		{"no certificate values", certificateCondition("CN", "EQUALS"), ".stringExpression.values"},
		{"boolean operator", booleanCondition("TLS", "IS"), ".booleanExpression.operator"},
		{"boolean attribute", booleanCondition("SECURE", "IS_TRUE"), ".booleanExpression.evaluate"},
		{"list operator", listCondition("IS"), ".booleanExpression.operator"},
		{"no list", noList, ".booleanExpression.evaluate.isInAddressList.addressLists"},
		{"two lists", twoLists, ".booleanExpression.evaluate.isInAddressList.addressLists"},
		{"no attribute of a list", noAttribute, ".booleanExpression.evaluate.isInAddressList.attribute"},
		{"attribute that is no address", inListCondition("SUBJECT", "IS_TRUE"), ".booleanExpression.evaluate.isInAddressList.attribute"},
		{"attribute that is a host", inListCondition("HELO", "IS_TRUE"), ".booleanExpression.evaluate.isInAddressList.attribute"},
		{"no boolean attribute", nowhere(booleanCondition("TLS", "IS_TRUE")), ".booleanExpression.evaluate"},
		{"number operator", sizeCondition("IS", 1), ".numberExpression.operator"},
		{"no number", noNumber, ".numberExpression.value"},
		{"NaN", sizeCondition("EQUALS", math.NaN()), ".numberExpression.value"},
		{"infinity", sizeCondition("EQUALS", math.Inf(1)), ".numberExpression.value"},
		{"no number attribute", nowhere(sizeCondition("EQUALS", 1)), ".numberExpression.evaluate"},
		{"no network", sourceCondition("CIDR_MATCHES", "192.0.2.0/24", "secret"), ".ipExpression.values.2.member"},
		{"mask too long", sourceCondition("CIDR_MATCHES", "192.0.2.0/33"), ".ipExpression.values.1.member"},
		{"no networks", sourceCondition("CIDR_MATCHES"), ".ipExpression.values"},
		{"IP operator", sourceCondition("EQUALS", "192.0.2.0/24"), ".ipExpression.operator"},
		{"no IP attribute", nowhere(sourceCondition("CIDR_MATCHES", "192.0.2.0/24")), ".ipExpression.evaluate"},
		{"no verdict attribute", nowhere(verdictCondition("SPF", "EQUALS")), ".verdictExpression.evaluate"},
	}
	good := stringCondition("FROM", "EQUALS", "a")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile([]mailmanager.Rule{{}, {Conditions: conditions(good, tt.condition)}})
			checkRefusal(t, err, "rules.2.member.conditions.2.member"+tt.path)
			_, err = Compile([]mailmanager.Rule{{Unless: conditions(tt.condition)}})
			checkRefusal(t, err, "rules.1.member.unless.1.member"+tt.path)
		})
	}
}

func TestCompileRefusesActions(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D3")
	tests := []struct {
		name   string
		action mailmanager.RuleAction
		path   string
	}{
		{"no key", mailmanager.RuleAction{}, ""},
		{"D3 no replacement", replaceBy(), ".replaceRecipient.replaceWith"},
		{"replacement without domain", replaceBy("a@a", "secret@"), ".replaceRecipient.replaceWith.2.member"},
		{"replacement without at sign", replaceBy("secret"), ".replaceRecipient.replaceWith.1.member"},
		{"replacement without local part", replaceBy("@secret"), ".replaceRecipient.replaceWith.1.member"},
		{"S38 replacement with a line end", replaceBy("secret@a\r\nDATA"), ".replaceRecipient.replaceWith.1.member"},
		{"replacement with brackets", replaceBy("secret@a>"), ".replaceRecipient.replaceWith.1.member"},
		{"replacement outside ASCII", replaceBy("sécret@a"), ".replaceRecipient.replaceWith.1.member"},
		{"S38 value with a line end", addHeader("X-A", "secret\r\nBcc: a"), ".addHeader.headerValue"},
		{"S38 value with LF", addHeader("X-A", "secret\n"), ".addHeader.headerValue"},
		{"value with NUL", addHeader("X-A", "secret\x00"), ".addHeader.headerValue"},
		{"name with a colon", addHeader("X-secret: a", "b"), ".addHeader.headerName"},
		{"no name", mailmanager.RuleAction{AddHeader: &mailmanager.AddHeaderAction{}}, ".addHeader.headerName"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile([]mailmanager.Rule{{Actions: actions(relay(), tt.action)}})
			checkRefusal(t, err, "rules.1.member.actions.2.member"+tt.path)
		})
	}
}

// A rule set is what its source says, and the same rules have the same source. Mail Manager, D19.
func TestSource(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := drawCase(t)
		s, err := Compile(d.rules)
		if err != nil {
			t.Fatal(err)
		}
		text, hash := Source(d.rules)
		if again, same := Source(d.rules); !bytes.Equal(again, text) || same != hash {
			t.Fatal("the source is not the same twice")
		}
		parsed, err := Parse(text)
		if err != nil || parsed.Len() != len(d.rules) {
			t.Fatalf("got %d rules, %v", parsed.Len(), err)
		}
		f := d.facts()
		if diff := cmp.Diff(evaluate(s, f, recipientsOf(d.recipients...), d.decide), evaluate(parsed, f, recipientsOf(d.recipients...), d.decide)); diff != "" {
			t.Fatalf("compiled, and from its source: %s", diff)
		}
	})
}

func TestSourceIsCanonical(t *testing.T) {
	t.Parallel()
	absent := []mailmanager.Rule{{Actions: actions(drop())}}
	empty := []mailmanager.Rule{{Conditions: conditions(), Unless: conditions(), Actions: actions(drop())}}
	a, hashA := Source(absent)
	if _, hashB := Source(empty); hashA != hashB || absent[0].Conditions != nil {
		t.Errorf("absent and empty lists differ: %s", a)
	}
	if _, other := Source(nil); other == hashA {
		t.Error("different rules have the same hash")
	}
	secret := []mailmanager.Rule{{Conditions: conditions(stringCondition("FROM", "EQUALS", "not hidden"))}}
	if text, _ := Source(secret); !bytes.Contains(text, []byte("not hidden")) || bytes.Contains(text, []byte("redacted")) {
		t.Errorf("got %s", text)
	}
	defer func() {
		if recover() == nil {
			t.Error("rules that do not compile have a source")
		}
	}()
	Source([]mailmanager.Rule{{Conditions: conditions(sizeCondition("EQUALS", math.NaN()))}})
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"": ErrMalformedSource, "{": ErrMalformedSource, "[]": ErrMalformedSource, `{"rules":[]}`: ErrMalformedSource,
		`{"format":0}`: ErrMalformedSource, `{"format":1,"rules":"none"}`: ErrMalformedSource,
		`{"format":2,"rules":"of another form"}`: ErrNewerFormat,
	} {
		if s, err := Parse([]byte(text)); !errors.Is(err, want) || s != nil {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
	_, err := Parse([]byte(`{"format":1,"rules":[{"Actions":[{}]}]}`))
	checkRefusal(t, err, "rules.1.member.actions.1.member")
}
