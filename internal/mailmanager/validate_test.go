package mailmanager_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func input(t *testing.T, operation string) *mailmanager.Shape {
	t.Helper()
	op, ok := mailmanager.Lookup(operation)
	if !ok {
		t.Fatalf("no operation %s", operation)
	}
	return op.Input
}

func ptr[T any](v T) *T { return &v }

func relay(change func(*mailmanager.CreateRelayRequest)) *mailmanager.CreateRelayRequest {
	in := &mailmanager.CreateRelayRequest{
		RelayName:      ptr(mailmanager.RelayName("office")),
		ServerName:     ptr(mailmanager.RelayServerName("mx.example.org")),
		ServerPort:     ptr(int32(25)),
		Authentication: &mailmanager.RelayAuthentication{NoAuthentication: &mailmanager.NoAuthentication{}},
	}
	change(in)
	return in
}

func TestValidateCreateRelay(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A27")
	type request = mailmanager.CreateRelayRequest
	const failed = " failed to satisfy constraint: Member must "
	tests := []struct {
		name   string
		change func(*request)
		want   []string // violations, in order
	}{
		{"valid", func(*request) {}, nil},
		{"longest name", func(in *request) { in.RelayName = ptr(mailmanager.RelayName(strings.Repeat("a", 100))) }, nil},
		{"hyphen and underscore", func(in *request) { in.RelayName = ptr(mailmanager.RelayName("a-b_c")) }, nil},
		{"no tags", func(in *request) { in.Tags = []mailmanager.Tag{} }, nil},
		{"no name", func(in *request) { in.RelayName = nil }, []string{"Value null at 'relayName'" + failed + "not be null"}},
		{"name too long", func(in *request) { in.RelayName = ptr(mailmanager.RelayName(strings.Repeat("a", 101))) },
			[]string{"Value at 'relayName'" + failed + "have length less than or equal to 100"}},
		{"empty name", func(in *request) { in.RelayName = ptr(mailmanager.RelayName("")) },
			[]string{"Value at 'relayName'" + failed + "have length greater than or equal to 1",
				"Value at 'relayName'" + failed + "satisfy regular expression pattern: [a-zA-Z0-9-_]+"}},
		{"newline after a good name", func(in *request) { in.RelayName = ptr(mailmanager.RelayName("office\n")) },
			[]string{"Value at 'relayName'" + failed + "satisfy regular expression pattern: [a-zA-Z0-9-_]+"}},
		{"good name inside a bad one", func(in *request) { in.RelayName = ptr(mailmanager.RelayName("!office!")) },
			[]string{"Value at 'relayName'" + failed + "satisfy regular expression pattern: [a-zA-Z0-9-_]+"}},
		{"port too small", func(in *request) { in.ServerPort = ptr(int32(0)) },
			[]string{"Value at 'serverPort'" + failed + "have value greater than or equal to 1"}},
		{"port too large", func(in *request) { in.ServerPort = ptr(int32(65536)) },
			[]string{"Value at 'serverPort'" + failed + "have value less than or equal to 65535"}},
		{"empty union", func(in *request) { in.Authentication = &mailmanager.RelayAuthentication{} },
			[]string{"Value at 'authentication'" + failed + "have exactly one of its members set"}},
		{"two union keys", func(in *request) {
			in.Authentication.SecretArn = ptr(mailmanager.SecretArn("arn:aws:secretsmanager:us-east-1:000000000000:secret:x"))
		},
			[]string{"Value at 'authentication'" + failed + "have exactly one of its members set"}},
		{"bad member of a union", func(in *request) {
			in.Authentication = &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn("hunter2"))}
		}, []string{"Value at 'authentication.secretArn'" + failed +
			`satisfy regular expression pattern: arn:(aws|aws-cn|aws-us-gov|aws-eusc):secretsmanager:[a-z0-9-]+:\d{12}:secret:[a-zA-Z0-9/_+=,.@-]+`}},
		{"second tag without key", func(in *request) {
			in.Tags = []mailmanager.Tag{{Key: ptr(mailmanager.TagKey("a")), Value: ptr(mailmanager.TagValue(""))}, {Value: ptr(mailmanager.TagValue("b"))}}
		}, []string{"Value null at 'tags.2.member.key'" + failed + "not be null"}},
		{"too many tags", func(in *request) {
			in.Tags = make([]mailmanager.Tag, 201)
			for i := range in.Tags {
				in.Tags[i] = mailmanager.Tag{Key: ptr(mailmanager.TagKey("a")), Value: ptr(mailmanager.TagValue("b"))}
			}
		}, []string{"Value at 'tags'" + failed + "have length less than or equal to 200"}},
		{"several at once", func(in *request) { in.RelayName, in.ServerName, in.Authentication = nil, nil, nil },
			[]string{"Value null at 'relayName'" + failed + "not be null", "Value null at 'serverName'" + failed + "not be null",
				"Value null at 'authentication'" + failed + "not be null"}},
	}
	shape := input(t, "CreateRelay")
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := mailmanager.Validate(shape, relay(tt.change))
			if diff := cmp.Diff(tt.want, violations(t, err)); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// violations takes the text of a ValidationException apart and checks its count.
func violations(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var e *mailmanager.Error
	if !errors.As(err, &e) || e.Code != mailmanager.CodeValidation {
		t.Fatalf("got %v, want a ValidationException", err)
	}
	head, rest, ok := strings.Cut(e.Message, " detected: ")
	list := strings.Split(rest, "; ")
	want := "1 validation error"
	if len(list) > 1 {
		want = string(rune('0'+len(list))) + " validation errors"
	}
	if !ok || head != want {
		t.Fatalf("got %q, want a text that begins with %q", e.Message, want)
	}
	return list
}

// rules is a rule set request with n rules of n conditions of n values each.
func rules(n int, value string) *mailmanager.CreateRuleSetRequest {
	in := &mailmanager.CreateRuleSetRequest{RuleSetName: ptr(mailmanager.RuleSetName("big"))}
	values := make([]mailmanager.RuleStringValue, n)
	for i := range values {
		values[i] = mailmanager.RuleStringValue(value)
	}
	condition := mailmanager.RuleCondition{StringExpression: &mailmanager.RuleStringExpression{
		Evaluate: &mailmanager.RuleStringToEvaluate{Attribute: ptr(mailmanager.RuleStringEmailAttributeSubject)},
		Operator: ptr(mailmanager.RuleStringOperatorContains), Values: values}}
	for range n {
		in.Rules = append(in.Rules, mailmanager.Rule{
			Conditions: slices.Repeat([]mailmanager.RuleCondition{condition}, n),
			Actions:    []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}},
		})
	}
	return in
}

func TestValidateNamesElementsFromOne(t *testing.T) {
	t.Parallel()
	in := rules(2, "x")
	in.Rules[1].Actions[0] = mailmanager.RuleAction{ReplaceRecipient: &mailmanager.ReplaceRecipientAction{
		ReplaceWith: []mailmanager.EmailAddress{"a@example.org", "b@example.org", "a@example.org"}}}
	in.Rules[1].Conditions = []mailmanager.RuleCondition{{StringExpression: &mailmanager.RuleStringExpression{
		Evaluate: &mailmanager.RuleStringToEvaluate{Attribute: ptr(mailmanager.RuleStringEmailAttribute("BODY"))},
		Operator: ptr(mailmanager.RuleStringOperatorContains), Values: []mailmanager.RuleStringValue{"ok", ""}}}}
	got := violations(t, mailmanager.Validate(input(t, "CreateRuleSet"), in))
	want := []string{
		"Value at 'rules.2.member.conditions.1.member.stringExpression.evaluate.attribute' failed to satisfy constraint: Member must satisfy enum value set: [MAIL_FROM, HELO, RECIPIENT, SENDER, FROM, SUBJECT, TO, CC]",
		"Value at 'rules.2.member.conditions.1.member.stringExpression.values.2.member' failed to satisfy constraint: Member must have length greater than or equal to 1",
		"Value at 'rules.2.member.actions.1.member.replaceRecipient.replaceWith' failed to satisfy constraint: Member must have unique elements",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

// TestValidateNeverEchoesA27 gives every string member of a request the same wrong value and looks for it in the text.
func TestValidateNeverEchoesA27(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A27")
	const wrong = "hunter2\x00"
	in := relay(func(in *mailmanager.CreateRelayRequest) {
		in.RelayName, in.ServerName = ptr(mailmanager.RelayName(wrong)), ptr(mailmanager.RelayServerName(wrong))
		in.Authentication = &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn(wrong))}
		in.Tags = []mailmanager.Tag{{Key: ptr(mailmanager.TagKey(wrong)), Value: ptr(mailmanager.TagValue(wrong))}}
	})
	err := mailmanager.Validate(input(t, "CreateRelay"), in)
	if got := len(violations(t, err)); got != 5 {
		t.Fatalf("got %d violations, want 5", got)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the text echoes a value: %v", err)
	}
}

func TestValidateCountsCharacters(t *testing.T) {
	t.Parallel()
	shape := input(t, "CreateRuleSet")
	if err := mailmanager.Validate(shape, rules(1, strings.Repeat("ß", 4096))); err != nil {
		t.Errorf("4096 characters: got %v, want nil", err)
	}
	if err := mailmanager.Validate(shape, rules(1, strings.Repeat("ß", 4097))); err == nil {
		t.Error("4097 characters: got nil, want a ValidationException")
	}
}

func TestValidateBoundsItsText(t *testing.T) {
	t.Parallel()
	err := mailmanager.Validate(input(t, "CreateRuleSet"), rules(100, ""))
	// 1,000,000 empty values, 100 long lists of conditions in a list of 100, 10,000 long lists of values.
	if got := err.Error(); !strings.Contains(got, "1010101 validation errors detected") || !strings.Contains(got, "; and 1010081 more") {
		t.Errorf("got %.200q … %q, want a count of 1010101 of which 20 are listed", got, got[max(0, len(got)-60):])
	}
	if got := len(err.Error()); got > 8192 {
		t.Errorf("got a text of %d octets, want at most 8192", got)
	}
}

// TestValidateLargestRuleSet guards against anything worse than linear.
func TestValidateLargestRuleSet(t *testing.T) {
	t.Parallel()
	in := rules(10, strings.Repeat("x", 4096))
	for len(in.Rules) < 40 {
		in.Rules = append(in.Rules, in.Rules[0])
	}
	start := time.Now()
	if err := mailmanager.Validate(input(t, "CreateRuleSet"), in); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v for 16 MiB of values", took)
	}
}

// TestPatternsCompile reaches every shape: the patterns were written for another engine than RE2.
func TestPatternsCompile(t *testing.T) {
	t.Parallel()
	seen := map[*mailmanager.Shape]bool{}
	var visit func(*mailmanager.Shape)
	visit = func(s *mailmanager.Shape) {
		if s == nil || seen[s] {
			return
		}
		seen[s] = true
		if _, err := regexp.Compile(s.Pattern); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		s.Matches("")
		visit(s.Element)
		for _, m := range s.Members {
			visit(m.Shape)
		}
	}
	for _, op := range mailmanager.Operations() {
		visit(op.Input)
		visit(op.Output)
	}
	if got, want := len(mailmanager.Operations()), 60; got != want {
		t.Errorf("got %d operations, want %d", got, want)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		operation string
		member    string
		good, bad []string
	}{
		{"CA bundle", "CreateIngressPoint", "CAContent", []string{"-----BEGIN\r\n\tcafé", ""}, []string{"a\x00b", "\x7f"}},
		{"relay server", "CreateRelay", "ServerName", []string{"mx-1.example.org"}, []string{"mx_1", "::1", "mx.example.org\r\n"}},
		{"password", "CreateIngressPoint", "SmtpPassword", []string{"aA0!@#$%^&*()_+-=[]{}|.,?"}, []string{`a"b`, "a b", "a/b", `a\b`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			shape := find(input(t, tt.operation), tt.member)
			for _, text := range tt.good {
				if !shape.Matches(text) {
					t.Errorf("%q does not match %s", text, shape.Pattern)
				}
			}
			for _, text := range tt.bad {
				if shape.Matches(text) {
					t.Errorf("%q matches %s", text, shape.Pattern)
				}
			}
		})
	}
}

// find returns the shape of the member with the name, at any depth.
func find(s *mailmanager.Shape, member string) *mailmanager.Shape {
	if s == nil {
		return nil
	}
	for _, m := range s.Members {
		if m.Name == member {
			return m.Shape
		}
		if found := find(m.Shape, member); found != nil {
			return found
		}
	}
	return find(s.Element, member)
}
