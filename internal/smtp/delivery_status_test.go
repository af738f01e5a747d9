package smtp

import (
	"strings"
	"testing"
)

func TestParseRcptParameters(t *testing.T) {
	t.Parallel()
	longest := "rfc822;" + strings.Repeat("x", maxOriginalOctets-len("rfc822;"))
	tests := []struct {
		name, in string
		utf8     bool
		want     RcptParameters
	}{
		{"none", "", false, RcptParameters{}},
		{"never", " NOTIFY=NEVER", false, RcptParameters{Notify: "NEVER"}},
		{"one condition", " NOTIFY=delay", false, RcptParameters{Notify: "delay"}},
		{"all conditions, as received", " notify=DELAY,Success,FAILURE", false, RcptParameters{Notify: "DELAY,Success,FAILURE"}},
		{"original", " ORCPT=rfc822;ann@example.com", false, RcptParameters{Original: "rfc822;ann@example.com"}},
		{"original, encoded", " ORCPT=RFC822;ann+2Blee+3d@example.com", false, RcptParameters{Original: "RFC822;ann+2Blee+3d@example.com"}},
		{"original, no mailbox", " ORCPT=x400;/C+3Dno/", false, RcptParameters{Original: "x400;/C+3Dno/"}},
		{"original, another type", " ORCPT=x-local;;ann+20lee", false, RcptParameters{Original: "x-local;;ann+20lee"}},
		{"longest original", " ORCPT=" + longest, false, RcptParameters{Original: longest}},
		{"both", " ORCPT=rfc822;a@b NOTIFY=NEVER", false, RcptParameters{Notify: "NEVER", Original: "rfc822;a@b"}},
		{"original in seven bits", ` ORCPT=utf-8;\x{17E}\x{2B}\x{3d}\x{5C}\x{10FFFD}\x{80C}@b`, false,
			RcptParameters{Original: `utf-8;\x{17E}\x{2B}\x{3d}\x{5C}\x{10FFFD}\x{80C}@b`}},
		{"original in eight bits", ` ORCPT=UTF-8;ž\x{20}@příklad.cz`, true, RcptParameters{Original: `UTF-8;ž\x{20}@příklad.cz`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, refusal := ParseRcptParameters(test.in, test.utf8)
			if refusal != nil || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, refusal, test.want)
			}
		})
	}
}

func TestParseRcptParametersRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		utf8     bool
		want     *Reply
		cause    error
	}{
		{"unknown", " FOO=bar", false, unknownParameter, errParameterUnknown},
		{"SIZE", " SIZE=1", false, unknownParameter, errParameterUnknown},
		{"SMTPUTF8", " SMTPUTF8", false, unknownParameter, errParameterUnknown},
		{"NOTIFY twice", " NOTIFY=NEVER notify=NEVER", false, badParameter, errParameterDuplicate},
		{"ORCPT twice", " ORCPT=rfc822;a@b ORCPT=rfc822;a@b", false, badParameter, errParameterDuplicate},
		{"NOTIFY without value", " NOTIFY", false, badParameter, errParameterValue},
		{"NOTIFY with empty value", " NOTIFY=", false, badParameter, errParameterSyntax},
		{"never and a condition", " NOTIFY=NEVER,DELAY", false, badParameter, errParameterValue},
		{"a condition and never", " NOTIFY=DELAY,NEVER", false, badParameter, errParameterValue},
		{"condition twice", " NOTIFY=DELAY,SUCCESS,delay", false, badParameter, errParameterValue},
		{"unknown condition", " NOTIFY=SUCCESS,RELAY", false, badParameter, errParameterValue},
		{"empty condition", " NOTIFY=SUCCESS,,DELAY", false, badParameter, errParameterValue},
		{"comma first", " NOTIFY=,SUCCESS", false, badParameter, errParameterValue},
		{"comma last", " NOTIFY=SUCCESS,", false, badParameter, errParameterValue},
		{"space between conditions", " NOTIFY=SUCCESS, DELAY", false, badParameter, errParameterValue},
		{"condition with a long s", " NOTIFY=ſUCCESS", true, badParameter, errParameterValue},
		{"ORCPT without value", " ORCPT", false, badParameter, errParameterValue},
		{"ORCPT without type", " ORCPT=ann@example.com", false, badParameter, errParameterValue},
		{"ORCPT with empty type", " ORCPT=;ann@example.com", false, badParameter, errParameterValue},
		{"ORCPT without address", " ORCPT=rfc822;", false, badParameter, errParameterValue},
		{"type that is no atom", " ORCPT=rfc.822;a@b", false, badParameter, errParameterValue},
		{"type outside ASCII", " ORCPT=ž;a@b", true, badParameter, errParameterValue},
		{"ORCPT too long", " ORCPT=rfc822;" + strings.Repeat("x", maxOriginalOctets-len("rfc822;")+1), false, badParameter, errParameterTooLong},
		{"equal sign", " ORCPT=rfc822;a=b@c", false, badParameter, errParameterSyntax},
		{"bad encoding", " ORCPT=rfc822;a+b@c", false, badParameter, errXtext},
		{"S38 line end", " ORCPT=rfc822;a+0D+0Ab@c", false, badParameter, errXtext},
		{"outside ASCII, encoded", " ORCPT=rfc822;+C5+BE@b", true, badParameter, errXtext},
		{"outside ASCII in another type", " ORCPT=rfc822;ž@b", true, badParameter, errXtext},
		{"outside ASCII without SMTPUTF8", " ORCPT=utf-8;ž@b", false, badParameter, errXtext},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, refusal := ParseRcptParameters(test.in, test.utf8)
			checkRefusal(t, refusal, test.want, test.cause)
			if got != (RcptParameters{}) && test.cause != errParameterDuplicate {
				t.Errorf("got %+v beside the refusal", got)
			}
		})
	}
}

// TestCheckUnitextRefuses: characters that are embedded are the ones that need it, written in one way each.
func TestCheckUnitextRefuses(t *testing.T) {
	t.Parallel()
	refused := []string{
		`a+2Bb`, `a\b`, `\`, `\x`, `\x{`, `\x{}`, `\x{17E`, `\X{17E}`, `\x{7}`, `\x{017E}`, `\x{61}`, `\x{0A}`, `\x{00}`, `\x{7F}`,
		`\x{85}`, `\x{D800}`, `\x{DFFF}`, `\x{110000}`, `\x{1000000}`, `\x{+80}`, `\x{8_0}`, `\x{17G}`, `\x {17E}`, "a\x7fb",
	}
	for _, in := range refused {
		for _, utf8 := range []bool{false, true} {
			if _, refusal := ParseRcptParameters(" ORCPT=utf-8;"+in, utf8); refusal == nil || refusal.Code != 501 {
				t.Errorf("S38 %q with SMTPUTF8 %v: got %v, want 501", in, utf8, refusal)
			}
		}
	}
}
