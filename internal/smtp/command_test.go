package smtp

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestParseCommand(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, verb, argument string }{
		{"verb alone", "DATA", "DATA", ""},
		{"argument", "EHLO mx.example", "EHLO", "mx.example"},
		{"spaces", "MAIL  FROM:<a@b>  X=y  ", "MAIL", "FROM:<a@b>  X=y"},
		{"empty", "", "", ""},
		{"space first", " DATA", "", "DATA"},
		{"tab is no space", "DATA\t", "DATA\t", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if verb, argument := ParseCommand(test.in); verb != test.verb || argument != test.argument {
				t.Errorf("got %q, %q, want %q, %q", verb, argument, test.verb, test.argument)
			}
		})
	}
}

func TestParseHello(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"mx.example", "localhost", "[192.0.2.1]", "[IPv6:2001:db8::1]", "my_pc", "mx.example.", strings.Repeat("h", 255)} {
		if got, refusal := ParseHello(in); refusal != nil || got != in {
			t.Errorf("%q: got %q, %v, want it as it is", in, got, refusal)
		}
	}
	refused := []string{"", "my pc", "a\x00b", "a\tb", "a\rb", "<script>", "a(b)", `a"b`, `a\b`, "a,b", "a;b", "a@b", "příklad.cz", "a\x7f", strings.Repeat("h", 256)}
	for _, in := range refused {
		if got, refusal := ParseHello(in); refusal == nil || refusal.Code != 501 || got != "" {
			t.Errorf("%q: got %q, %v, want 501", in, got, refusal)
		}
	}
}

func TestParseMail(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in, path string
		want           MailParameters
	}{
		{"plain", "FROM:<a@b>", "a@b", MailParameters{}},
		{"any case", "from:<a@b>", "a@b", MailParameters{}},
		{"space after the colon", "FROM: <a@b>", "a@b", MailParameters{}},
		{"null", "FROM:<>", "", MailParameters{}},
		{"all parameters", "FROM:<ž@b> size=17  BODY=8bitmime smtputf8", "ž@b", MailParameters{Size: 17, EightBit: true, UTF8: true}},
		{"7bit", "FROM:<a@b> BODY=7BIT", "a@b", MailParameters{}},
		{"size of nothing", "FROM:<a@b> SIZE=0", "a@b", MailParameters{}},
		{"size of int64", "FROM:<a@b> SIZE=9223372036854775808", "a@b", MailParameters{Size: math.MaxInt64}},
		{"size of 20 digits", "FROM:<a@b> SIZE=99999999999999999999", "a@b", MailParameters{Size: math.MaxInt64}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path, got, refusal := ParseMail(test.in)
			if refusal != nil || path.Received != test.path || got != test.want {
				t.Errorf("got %v, %+v, %v, want %v, %+v", path, got, refusal, test.path, test.want)
			}
		})
	}
}

func TestParseMailRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     *Reply
		cause    error
	}{
		{"nothing", "", badKeyword, errPrefix},
		{"no keyword", "<a@b>", badKeyword, errPrefix},
		{"no colon", "FROM <a@b>", badKeyword, errPrefix},
		{"space before the colon", "FROM :<a@b>", badKeyword, errPrefix},
		{"TO", "TO:<a@b>", badKeyword, errPrefix},
		{"bad path", "FROM:<a>", badReversePath, errNoDomain},
		{"S7 UTF-8 without SMTPUTF8", "FROM:<ž@b>", pathNeedsUTF8, nil},
		{"unknown", "FROM:<a@b> FOO=bar", unknownParameter, errParameterUnknown},
		{"unknown without value", "FROM:<a@b> FOO", unknownParameter, errParameterUnknown},
		{"twice", "FROM:<a@b> SIZE=1 size=1", badParameter, errParameterDuplicate},
		{"SMTPUTF8 twice", "FROM:<a@b> SMTPUTF8 SMTPUTF8", badParameter, errParameterDuplicate},
		{"size without value", "FROM:<a@b> SIZE", badParameter, errParameterValue},
		{"size with empty value", "FROM:<a@b> SIZE=", badParameter, errParameterSyntax},
		{"size with letters", "FROM:<a@b> SIZE=1k", badParameter, errParameterValue},
		{"negative size", "FROM:<a@b> SIZE=-1", badParameter, errParameterValue},
		{"size with a plus", "FROM:<a@b> SIZE=+1", badParameter, errParameterValue},
		{"size of 21 digits", "FROM:<a@b> SIZE=100000000000000000000", badParameter, errParameterValue},
		{"unknown body", "FROM:<a@b> BODY=BINARYMIME", badParameter, errParameterValue},
		{"body without value", "FROM:<a@b> BODY", badParameter, errParameterValue},
		{"SMTPUTF8 with a value", "FROM:<a@b> SMTPUTF8=yes", badParameter, errParameterValue},
		{"hyphen first", "FROM:<a@b> -X=1", badParameter, errParameterSyntax},
		{"no keyword before =", "FROM:<a@b> =1", badParameter, errParameterSyntax},
		{"two equal signs", "FROM:<a@b> SIZE=1=2", badParameter, errParameterSyntax},
		{"control in a value", "FROM:<a@b> X=a\x01", badParameter, errParameterSyntax},
		{"not UTF-8 in a value", "FROM:<a@b> X=\xff", badParameter, errParameterSyntax},
		{"character in a keyword", "FROM:<a@b> X_Y=1", badParameter, errParameterSyntax},
		{"tab between parameters", "FROM:<a@b> SIZE=1\tSMTPUTF8", badParameter, errParameterSyntax},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, refusal := ParseMail(test.in)
			checkRefusal(t, refusal, test.want, test.cause)
		})
	}
}

func TestParseRcpt(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		utf8     bool
		want     *Reply
		cause    error
	}{
		{"plain", "TO:<a@b>", false, nil, nil},
		{"UTF-8", "TO:<ž@b>", true, nil, nil},
		{"S7 UTF-8 without SMTPUTF8", "TO:<ž@b>", false, pathNeedsUTF8, nil},
		{"FROM", "FROM:<a@b>", false, badKeyword, errPrefix},
		{"B15 null", "TO:<>", false, badForwardPath, errLocalPart},
		{"B15 postmaster", "TO:<Postmaster>", false, badForwardPath, errNoDomain},
		{"unknown", "TO:<a@b> NOTIFY=NEVER", false, unknownParameter, errParameterUnknown},
		{"malformed", "TO:<a@b> NOTIFY=", false, badParameter, errParameterSyntax},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, refusal := ParseRcpt(test.in, test.utf8)
			checkRefusal(t, refusal, test.want, test.cause)
		})
	}
}

func checkRefusal(t *testing.T, got, want *Reply, cause error) {
	t.Helper()
	switch {
	case (got == nil) != (want == nil):
		t.Errorf("got %v, want %v", got, want)
	case got != nil && (got.Code != want.Code || got.Enhanced != want.Enhanced || !errors.Is(got.Cause, cause)):
		t.Errorf("got %v, want %v (%v)", got, want, cause)
	}
}

// FuzzMailParameters: what was parsed, printed and parsed again is the same.
func FuzzMailParameters(f *testing.F) {
	for _, seed := range []string{"", " SIZE=1", " SIZE=99999999999999999999 BODY=8BITMIME SMTPUTF8", " size=1 size=2", " X=\xff", " A-B=c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, refusal := ParseMailParameters(text)
		if refusal != nil {
			if !refusal.Permanent() || refusal.Cause == nil {
				t.Errorf("got refusal %v, want 5yz with a cause", refusal)
			}
			return
		}
		second, refusal := ParseMailParameters(printParameters(first))
		if refusal != nil || first != second || first.Size < 0 {
			t.Errorf("got %+v, %v, want %+v", second, refusal, first)
		}
	})
}

// FuzzCommandLine: whatever a command line holds, what is taken from it holds no control, and the path is stable.
func FuzzCommandLine(f *testing.F) {
	for _, seed := range []string{"MAIL FROM:<a@b> SIZE=1", "RCPT TO:<\"a b\"@c>", "EHLO [IPv6:::1]", "rcpt to: <@x:a@b>  ", "DATA ", "\x00 \r"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		_, argument := ParseCommand(line)
		if path, parameters, refusal := ParseMail(argument); refusal == nil {
			again, same, refusal := ParseMail("FROM:<" + path.String() + ">" + printParameters(parameters))
			if refusal != nil || again != path || same != parameters {
				t.Errorf("got %v, %+v, %v, want %v, %+v", again, same, refusal, path, parameters)
			}
		}
		if path, refusal := ParseRcpt(argument, true); refusal == nil {
			if again, refusal := ParseRcpt("TO:<"+path.String()+">", true); refusal != nil || again != path {
				t.Errorf("got %v, %v, want %v", again, refusal, path)
			}
		}
		if hello, refusal := ParseHello(argument); refusal == nil {
			if strings.ContainsFunc(hello, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				t.Errorf("got through: %q", hello)
			}
		}
	})
}

func printParameters(p MailParameters) string {
	var text strings.Builder
	if p.Size > 0 {
		text.WriteString(" SIZE=" + strconv.FormatInt(p.Size, 10))
	}
	if p.EightBit {
		text.WriteString(" BODY=8BITMIME")
	}
	if p.UTF8 {
		text.WriteString(" SMTPUTF8")
	}
	return text.String()
}
