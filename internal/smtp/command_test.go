package smtp

import (
	"errors"
	"fmt"
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
		{"notifications", "FROM:<a@b> ret=Full ENVID=QQ+2B314+20x", "a@b", MailParameters{Return: "FULL", EnvelopeID: "QQ+314 x"}},
		{"headers only", "FROM:<> RET=HDRS", "", MailParameters{Return: "HDRS"}},
		{"longest envelope id", "FROM:<> ENVID=" + strings.Repeat("+2B", 100), "", MailParameters{EnvelopeID: strings.Repeat("+", 100)}},
		{"submitter", "FROM:<a@b> AUTH=e+3Dmc2@example.com", "a@b", MailParameters{Auth: "e=mc2@example.com"}},
		{"submitter in quotes", "FROM:<a@b> AUTH=+22a+20b+22@c", "a@b", MailParameters{Auth: `"a b"@c`}},
		{"unknown submitter", "FROM:<a@b> auth=<>", "a@b", MailParameters{Auth: "<>"}},
		{"encoded unknown submitter", "FROM:<a@b> AUTH=+3C+3e", "a@b", MailParameters{Auth: "<>"}},
		{"submitter outside ASCII", "FROM:<a@b> AUTH=+C5+BE@b", "a@b", MailParameters{Auth: "ž@b"}},
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
		{"RET without value", "FROM:<a@b> RET", badParameter, errParameterValue},
		{"unknown RET", "FROM:<a@b> RET=BODY", badParameter, errParameterValue},
		{"RET with a long s", "FROM:<a@b> RET=HDRſ", badParameter, errParameterValue},
		{"RET twice", "FROM:<a@b> RET=FULL ret=FULL", badParameter, errParameterDuplicate},
		{"NOTIFY", "FROM:<a@b> NOTIFY=NEVER", unknownParameter, errParameterUnknown},
		{"envelope id without value", "FROM:<a@b> ENVID", badParameter, errParameterValue},
		{"envelope id too long", "FROM:<a@b> ENVID=" + strings.Repeat("+2B", 101), badParameter, errParameterTooLong},
		{"S7 control in an envelope id", "FROM:<a@b> ENVID=a+0D+0Ab", badParameter, errXtext},
		{"tab in an envelope id", "FROM:<a@b> ENVID=a+09b", badParameter, errXtext},
		{"DEL in an envelope id", "FROM:<a@b> ENVID=+7F", badParameter, errXtext},
		{"envelope id outside ASCII", "FROM:<a@b> SMTPUTF8 ENVID=ž", badParameter, errXtext},
		{"envelope id outside ASCII, encoded", "FROM:<a@b> ENVID=+C5+BE", badParameter, errXtext},
		{"no digits", "FROM:<a@b> ENVID=a+", badParameter, errXtext},
		{"one digit", "FROM:<a@b> ENVID=a+2", badParameter, errXtext},
		{"no hexadecimal digit", "FROM:<a@b> ENVID=+2G", badParameter, errXtext},
		{"sign for a digit", "FROM:<a@b> ENVID=++2B", badParameter, errXtext},
		{"submitter without value", "FROM:<a@b> AUTH", badParameter, errLocalPart},
		{"submitter without domain", "FROM:<a@b> AUTH=e+3Dmc2", badParameter, errNoDomain},
		{"submitter in brackets", "FROM:<a@b> AUTH=<a@b>", badParameter, errLocalPart},
		{"S7 control in a submitter", "FROM:<a@b> AUTH=a+0Ab@c", badParameter, errControl},
		{"submitter not UTF-8", "FROM:<a@b> AUTH=+FF@c", badParameter, errNotUTF8},
		{"submitter outside ASCII, not encoded", "FROM:<ž@b> SMTPUTF8 AUTH=ž@b", badParameter, errXtext},
		{"submitter with a second path", "FROM:<a@b> AUTH=<>a@b", badParameter, errLocalPart},
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
		{"parameters", "TO:<a@b> NOTIFY=NEVER  ORCPT=rfc822;a@b", false, nil, nil},
		{"unknown", "TO:<a@b> FOO=bar", false, unknownParameter, errParameterUnknown},
		{"of MAIL", "TO:<a@b> RET=FULL", false, unknownParameter, errParameterUnknown},
		{"UTF-8 in ORCPT alone", "TO:<a@b> ORCPT=utf-8;ž@b", false, badParameter, errXtext},
		{"malformed", "TO:<a@b> NOTIFY=", false, badParameter, errParameterSyntax},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, _, refusal := ParseRcpt(test.in, test.utf8)
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
	for _, seed := range []string{
		"", " SIZE=1", " SIZE=99999999999999999999 BODY=8BITMIME SMTPUTF8", " size=1 size=2", " X=\xff", " A-B=c",
		" RET=hdrs ENVID=QQ+2B314", " AUTH=<>", " AUTH=e+3Dmc2@example.com ENVID=+00",
	} {
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
		if len(first.EnvelopeID) > maxEnvelopeIDOctets || !isPrintable(first.EnvelopeID) || strings.ContainsAny(first.Auth, "\r\n\x00") {
			t.Errorf("got through: %+v", first)
		}
	})
}

// FuzzRcptParameters: what was parsed is what came in, printed and parsed again it is the same, and it holds no space and no
// control; without SMTPUTF8 it is ASCII.
func FuzzRcptParameters(f *testing.F) {
	for _, seed := range []string{
		"", " NOTIFY=NEVER", " notify=Success,DELAY ORCPT=rfc822;ann+2Blee@example.com", " ORCPT=utf-8;\\x{17E}@b", " ORCPT=utf-8;ž@b",
		" NOTIFY=SUCCESS,SUCCESS", " ORCPT=x;+0A", " ORCPT=;", " FOO",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, text string, utf8 bool) {
		first, refusal := ParseRcptParameters(text, utf8)
		if refusal != nil {
			if !refusal.Permanent() || refusal.Cause == nil {
				t.Errorf("got refusal %v, want 5yz with a cause", refusal)
			}
			return
		}
		printed := printRcptParameters(first)
		second, refusal := ParseRcptParameters(printed, utf8)
		if refusal != nil || first != second || !strings.Contains(text, first.Notify) || !strings.Contains(text, first.Original) {
			t.Errorf("got %+v, %v, want %+v", second, refusal, first)
		}
		if value := first.Notify + first.Original; checkCharacters(value) != nil || strings.Contains(value, " ") || !utf8 && !isPrintable(value) {
			t.Errorf("got through: %+v", first)
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
		if path, parameters, refusal := ParseRcpt(argument, true); refusal == nil {
			again, same, refusal := ParseRcpt("TO:<"+path.String()+">"+printRcptParameters(parameters), true)
			if refusal != nil || again != path || same != parameters {
				t.Errorf("got %v, %+v, %v, want %v, %+v", again, same, refusal, path, parameters)
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
	for _, parameter := range []struct{ keyword, value string }{{"RET", p.Return}, {"ENVID", p.EnvelopeID}, {"AUTH", p.Auth}} {
		if parameter.value != "" {
			text.WriteString(" " + parameter.keyword + "=" + encodeXtext(parameter.value))
		}
	}
	return text.String()
}

func printRcptParameters(p RcptParameters) string {
	var text strings.Builder
	if p.Notify != "" {
		text.WriteString(" NOTIFY=" + p.Notify)
	}
	if p.Original != "" {
		text.WriteString(" ORCPT=" + p.Original)
	}
	return text.String()
}

// encodeXtext is the other direction of decodeXtext.
func encodeXtext(plain string) string {
	var text strings.Builder
	for _, octet := range []byte(plain) {
		if octet <= ' ' || octet >= 0x7f || octet == '+' || octet == '=' {
			fmt.Fprintf(&text, "+%02X", octet)
		} else {
			text.WriteByte(octet)
		}
	}
	return text.String()
}
