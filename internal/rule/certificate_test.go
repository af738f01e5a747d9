package rule

import (
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

func sampleCertificate() *message.Certificate {
	return &message.Certificate{
		CommonNames: []string{"Gateway", "Straße 1"}, SerialNumber: "0A:DE:01", RFC822Names: []string{"Mail@Example.org"},
		DNSNames: []string{"mx.example.org", "xn--bcher-kva.example"}, DirectoryNames: []string{"CN=gate,O=Example"},
		URIs: []string{"spiffe://example.org/mx"}, IPAddresses: []string{"192.0.2.1", "2001:db8::1"}, RegisteredIDs: []string{"1.3.6.1"},
		Subject: "CN=Gateway,O=Example", Issuer: "CN=CA",
	}
}

// Every attribute, with the values that the reason shows. Mail Manager, D16.
func TestCertificateConditions(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D9", "D16")
	on := certificateCondition
	const names, serial = "Gateway|Straße 1", "0A:DE:01"
	tests := []struct {
		name      string
		condition mailmanager.RuleCondition
		want      match.Result
		seen      string // joined by |
	}{
		{"CN", on("CN", "EQUALS", "gateway"), match.Match, names},
		{"D16 every CN", on("CN", "EQUALS", "STRAẞE 1"), match.Match, names},
		{"CN, only a part", on("CN", "EQUALS", "gate"), match.NoMatch, names},
		{"CN is not the subject", on("CN", "CONTAINS", "example"), match.NoMatch, names},
		{"D9 CN, none of", on("CN", "NOT_EQUALS", "gateway"), match.NoMatch, names},
		{"D9 CN, none of, true", on("CN", "NOT_EQUALS", "other", "example"), match.Match, names},
		{"SAN_RFC822_NAME", on("SAN_RFC822_NAME", "ENDS_WITH", "@example.org"), match.Match, "Mail@Example.org"},
		{"SAN_DNS_NAME", on("SAN_DNS_NAME", "EQUALS", "MX.example.org"), match.Match, "mx.example.org|xn--bcher-kva.example"},
		{"SAN_DNS_NAME in the other spelling", on("SAN_DNS_NAME", "EQUALS", "bücher.example"), match.Match, "mx.example.org|xn--bcher-kva.example"},
		{"SAN_DNS_NAME, not a CN", on("SAN_DNS_NAME", "EQUALS", "gateway"), match.NoMatch, "mx.example.org|xn--bcher-kva.example"},
		{"SAN_DIRECTORY_NAME", on("SAN_DIRECTORY_NAME", "EQUALS", "cn=gate,o=example"), match.Match, "CN=gate,O=Example"},
		{"SAN_UNIFORM_RESOURCE_IDENTIFIER", on("SAN_UNIFORM_RESOURCE_IDENTIFIER", "STARTS_WITH", "spiffe://example.org/"), match.Match, "spiffe://example.org/mx"},
		{"SAN_IP_ADDRESS", on("SAN_IP_ADDRESS", "EQUALS", "2001:DB8::1"), match.Match, "192.0.2.1|2001:db8::1"},
		{"SAN_REGISTERED_ID", on("SAN_REGISTERED_ID", "EQUALS", "1.3.6.1"), match.Match, "1.3.6.1"},
		{"SAN_REGISTERED_ID, longer", on("SAN_REGISTERED_ID", "EQUALS", "1.3.6.1.4"), match.NoMatch, "1.3.6.1"},
		{"SERIAL_NUMBER", on("SERIAL_NUMBER", "EQUALS", "0A:DE:01"), match.Match, serial},
		{"D16 SERIAL_NUMBER without colons", on("SERIAL_NUMBER", "EQUALS", "0ade01"), match.Match, serial},
		{"D16 SERIAL_NUMBER, colons elsewhere", on("SERIAL_NUMBER", "EQUALS", "0a:de01:"), match.Match, serial},
		{"SERIAL_NUMBER begins", on("SERIAL_NUMBER", "STARTS_WITH", "0a:d"), match.Match, serial},
		{"SERIAL_NUMBER across a colon", on("SERIAL_NUMBER", "CONTAINS", "ade"), match.Match, serial},
		{"SERIAL_NUMBER, other", on("SERIAL_NUMBER", "EQUALS", "0ade"), match.NoMatch, serial},
		{"SERIAL_NUMBER, none of", on("SERIAL_NUMBER", "NOT_EQUALS", "01", "0ade:01"), match.NoMatch, serial},
		{"SERIAL_NUMBER has no colon", on("SERIAL_NUMBER", "CONTAINS", ":"), match.NoMatch, serial},
		{"SERIAL_NUMBER does not end with nothing", on("SERIAL_NUMBER", "ENDS_WITH", "::"), match.NoMatch, serial},
	}
	f := factsOf(sampleHeader)
	f.Certificate = sampleCertificate()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkCondition(t, f, tt.condition, tt.want, tt.seen)
		})
	}
}

// Without a certificate, or without a name of the kind, the operand is missing. Mail Manager, D9.
func TestMissingCertificate(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D9")
	without, empty := factsOf(sampleHeader), factsOf(sampleHeader)
	empty.Certificate = &message.Certificate{}
	for attribute := range certificateFoldings {
		for operator, want := range map[string]match.Result{
			"EQUALS": match.NoMatch, "STARTS_WITH": match.NoMatch, "ENDS_WITH": match.NoMatch, "CONTAINS": match.NoMatch, "NOT_EQUALS": match.Match,
		} {
			checkCondition(t, without, certificateCondition(attribute, operator, "a"), want, "")
			if attribute != mailmanager.RuleClientCertificateAttributeSerialNumber { // every certificate has one
				checkCondition(t, empty, certificateCondition(attribute, operator, "a"), want, "")
			}
		}
	}
}

// checkCondition evaluates a condition alone, among Conditions and among Unless.
func checkCondition(t *testing.T, f *Facts, condition mailmanager.RuleCondition, want match.Result, seen string) {
	t.Helper()
	for _, unless := range []bool{false, true} {
		r := mailmanager.Rule{Actions: actions(drop()), Conditions: conditions(condition)}
		if unless {
			r.Conditions, r.Unless = nil, r.Conditions
		}
		reason := evaluate(compile(t, r), f, recipientsOf("user@example.com"), nil).Reasons[0]
		c := reason.Conditions[0]
		if c.Result != want || strings.Join(c.Seen, "|") != seen || !strings.HasPrefix(c.Attribute, "CLIENT_CERTIFICATE_") || c.Why != "" {
			t.Errorf("unless %v: got %+v, want %v of %q", unless, c, want, seen)
		}
		if applies := len(reason.Matched) == 1; applies != ((want == match.Match) != unless) {
			t.Errorf("unless %v: got applies %v for %v", unless, applies, want)
		}
	}
}

// One rule set sees one certificate after another with the same memory.
func TestCertificatesDoNotMix(t *testing.T) {
	t.Parallel()
	s := compile(t, mailmanager.Rule{
		Conditions: conditions(certificateCondition("CN", "EQUALS", "gateway"), certificateCondition("SERIAL_NUMBER", "EQUALS", "0ade01")),
		Actions:    actions(drop()),
	})
	with, without := factsOf(sampleHeader), factsOf(sampleHeader)
	with.Certificate = sampleCertificate()
	var c Cursor
	for i, f := range []*Facts{with, without, with} {
		c.Reset(nil, recipientsOf("a@a"))
		out := evaluateFrom(s, f, &c, nil)
		if got := len(out.Reasons[0].Matched) == 1; got != (f == with) {
			t.Errorf("evaluation %d: got %v", i, got)
		}
	}
	if with.Certificate.SerialNumber != "0A:DE:01" {
		t.Errorf("got serial number %q afterwards", with.Certificate.SerialNumber)
	}
}
