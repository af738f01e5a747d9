package records

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/smtp"
)

var rewrite = flag.Bool("rewrite", false, "write the records into testdata, to be reviewed as a diff")

var (
	noon      = time.Date(2026, 3, 4, 12, 0, 0, 42_000_000, time.UTC)
	messageID = message.ID{1, 2, 3}
	openPoint = IngressPoint{
		ARN: "arn:aws:ses:us-east-1:123456789012:mailmanager-ingress-point/inp-1", ID: "inp-1", Name: "front",
		Type: mailmanager.IngressPointTypeOpen,
	}
	authPoint = IngressPoint{ARN: openPoint.ARN, ID: "inp-1", Name: "clients", Type: mailmanager.IngressPointTypeAuth}
	mtlsPoint = IngressPoint{ARN: openPoint.ARN, ID: "inp-1", Name: "partners", Type: mailmanager.IngressPointTypeMtls}
)

func overTLS() *message.Session {
	return &message.Session{
		ID: message.ID{9}, Client: netip.MustParseAddrPort("192.0.2.1:4711"), Hello: "mx.example.com", Extended: true,
		TLSVersion: "TLSv1.2", TLSCipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", AuthUser: "inp-1",
	}
}

func inClear(client string) *message.Session {
	return &message.Session{ID: message.ID{9}, Client: netip.AddrPortFrom(netip.MustParseAddr(client), 25), Hello: "mx.example.com"}
}

func envelope(reversePath string, recipients ...string) *message.Envelope {
	e := &message.Envelope{ReversePath: smtp.Path{Received: reversePath}}
	for _, r := range recipients {
		e.Recipients = append(e.Recipients, message.Recipient{Path: smtp.Path{Received: r}})
	}
	return e
}

func application(p IngressPoint, s *message.Session, e *message.Envelope, m *Metadata) IngressApplication {
	return IngressApplication{
		Time: noon, Point: p, Session: s, MessageID: messageID, Envelope: e, Size: 100000, RuleSetID: "rs-1", Metadata: m,
	}
}

func debugged(s *message.Session, d *policy.Decision, tooBig *policy.SizeReason) TrafficPolicyDebug {
	return TrafficPolicyDebug{
		Time: noon, Point: openPoint, Session: s, ReversePath: "someone@example.com", TrafficPolicyID: "tp-1",
		Decision: d, TooBig: tooBig,
	}
}

func acted(recipient string, action *ActionMetadata) RuleSetApplication {
	r := RuleSetApplication{
		Time: noon, ARN: "arn:aws:ses:us-east-1:123456789012:mailmanager-rule-set/rs-1", Name: "main", MessageID: messageID,
		RuleName: "second rule", Rule: 2, Action: action,
	}
	if recipient != "" {
		r.Matched = []string{recipient}
	}
	return r
}

func certificate() *Metadata {
	east := time.FixedZone("east", 3600)
	return &Metadata{
		Certificate: &Certificate{
			CommonNames: []string{"mail.example.com"}, SerialNumber: "0A:DE:EB:89", Issuer: "CN=Example CA,O=Example Corp,C=US",
			NotBefore: time.Date(2025, 1, 15, 1, 0, 0, 0, east), NotAfter: time.Date(2026, 1, 15, 23, 59, 59, 0, time.UTC),
		},
		TrustStore: &TrustStore{
			CAs:  slices.Repeat([]CA{{"CN=Example CA", time.Date(2023, 6, 1, 1, 0, 0, 0, east), time.Date(2025, 5, 15, 23, 59, 59, 0, time.UTC)}}, 11),
			CRLs: []CRL{{"CN=Example CA", time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC), time.Time{}}},
		},
	}
}

// decide runs a policy with a condition of each kind.
func decide(t *testing.T, client, recipient string) *policy.Decision {
	t.Helper()
	var statements []mailmanager.PolicyStatement
	if err := json.Unmarshal([]byte(statementsJSON), &statements); err != nil {
		t.Fatal(err)
	}
	p, err := policy.Compile(policy.Source{Default: mailmanager.AcceptActionDeny, Statements: statements})
	if err != nil {
		t.Fatal(err)
	}
	d := p.Decide(&policy.Facts{Client: netip.MustParseAddr(client), TLS: mailmanager.IngressTlsProtocolAttributeTls12}, recipient)
	return &d
}

const statementsJSON = `[
	{"Action": "ALLOW", "Conditions": [
		{"StringExpression": {"Evaluate": {"Attribute": "RECIPIENT"}, "Operator": "CONTAINS", "Values": ["@domain.com", "@mydomain.com"]}},
		{"TlsExpression": {"Evaluate": {"Attribute": "TLS_PROTOCOL"}, "Operator": "MINIMUM_TLS_VERSION", "Value": "TLS1_2"}}]},
	{"Action": "DENY", "Conditions": [
		{"IpExpression": {"Evaluate": {"Attribute": "SENDER_IP"}, "Operator": "NOT_CIDR_MATCHES", "Values": ["192.0.2.0/24"]}},
		{"Ipv6Expression": {"Evaluate": {"Attribute": "SENDER_IPV6"}, "Operator": "CIDR_MATCHES", "Values": ["2001:db8:bad::/48"]}}]},
	{"Action": "DENY", "Conditions": [{"BooleanExpression": {"Operator": "IS_TRUE", "Evaluate": {"IsInAddressList":
		{"Attribute": "RECIPIENT", "AddressLists": ["arn:aws:ses:us-east-1:123456789012:mailmanager-address-list/al-1"]}}}}]},
	{"Action": "DENY", "Conditions": [{"BooleanExpression": {"Operator": "IS_TRUE", "Evaluate": {"Analysis":
		{"Analyzer": "arn:aws:ses:us-east-1:123456789012:addon-instance/ai-1", "ResultField": "isListed"}}}}]}
]`

// Each record of testdata is a line as it is written: AWS's names in AWS's order. Mail Manager, section 11.
func TestGoldenRecords(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F18", "F19", "F21")
	hostile := inClear("192.0.2.1")
	hostile.Hello = "x\r\n{\"resource_arn\":\"forged\"}\x00\x1b[2J"
	tooBig := &policy.SizeReason{Allowed: policy.MaxMessageOctets, Received: 42495384}
	tests := map[string]Record{
		"application_open": application(openPoint, overTLS(), envelope("someone@example.com", "me@example.org", "you@example.org"), nil),
		"application_in_clear, F18 without a name": application(
			IngressPoint{ARN: openPoint.ARN, ID: "inp-1", Type: openPoint.Type}, inClear("::ffff:192.0.2.1"), envelope("", "me@example.org"), nil),
		"application_auth, password": application(authPoint, overTLS(), envelope("a@b", "c@d"), &Metadata{PasswordVersion: "2"}),
		"application_auth, secret": application(authPoint, overTLS(), envelope("a@b", "c@d"),
			&Metadata{SecretsManagerARN: "arn:aws:secretsmanager:us-east-1:123456789012:secret:smtp-AbCdEf"}),
		"application_mtls": application(mtlsPoint, inClear("fe80::1%eth0"), envelope("a@b", "c@d"), certificate()),
		"application_mtls, nothing known": application(mtlsPoint, &message.Session{}, envelope("a@b"), &Metadata{
			Certificate: &Certificate{}, TrustStore: &TrustStore{},
		}),
		"S7 application_hostile":        application(openPoint, hostile, envelope("\"\r\n\xff\u2028\"@<b>&", "c@d\n"), nil),
		"debug_statement":               debugged(overTLS(), decide(t, "192.0.2.1", "me@mydomain.com"), nil),
		"debug_default":                 debugged(overTLS(), decide(t, "192.0.2.1", "me@elsewhere.example"), nil),
		"debug_C3, held without a tell": debugged(inClear("2001:db8:bad::1"), decide(t, "2001:db8:bad::1", "me@mydomain.com"), nil),
		"debug_too_big":                 debugged(overTLS(), decide(t, "192.0.2.1", "me@mydomain.com"), tooBig),
		"rule_matched":                  acted("x@example.org", &ActionMetadata{Name: "RELAY", Index: 1, Status: ActionSuccess}),
		"rule_in_progress":              acted("x@example.org", &ActionMetadata{Name: "RELAY", Index: 2, Status: ActionInProgress, Failure: "451 4.7.1 Later"}),
		"rule_failed":                   acted("x@example.org", &ActionMetadata{Name: "WRITE_TO_S3", Index: 1, Status: ActionFailure, Failure: "no \r\nbucket"}),
		"rule_unmatched":                acted("", nil),
		"rule_of a set without a name":  RuleSetApplication{Time: noon, ARN: "arn", MessageID: messageID, Rule: 1},
		"debug_too_big, announced":      debugged(overTLS(), nil, tooBig),
	}
	var got []string
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		text, err := line(tests[name])
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name+"\n"+string(text))
	}
	file := filepath.Join("testdata", "records.txt")
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.Join(got, "\n")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(strings.Join(got, "\n"), "\n")); diff != "" {
		t.Errorf("%s; run with -rewrite and review", diff)
	}
}

// The fields of AWS's samples, snake case beside camel case. Mail Manager, section 11; ingress_point_id beside the name is
// Mail Manager, F18.
const (
	applicationFields = `client_certificate_details common_names issuer not_after not_before serial_number subject_alternative_names
		ca_invalid_or_near_expiry crl_invalid_or_near_expiry event_timestamp ingress_point_id ingress_point_metadata ingress_point_name
		ingress_point_type message_id message_size_bytes next_update password_version recipients resource_arn rule_set_id
		secrets_manager_arn sender_ip_address smtp_helo smtp_mail_from subject this_update tls_cipher_suite tls_protocol
		trust_store_monitoring`
	debugFields = `action allowedMessageSize attribute conditions event_timestamp expression expressionResult ingress_point_id
		ingress_point_name ingress_point_session_id ingress_point_type operator policyStatementMatched receivedMessageSize recipient
		resource_arn scope sender_ip_address smtp_helo smtp_mail_from tls_cipher_suite tls_protocol traffic_policy_evaluation
		traffic_policy_id traffic_policy_verdict type value`
	ruleSetFields = `action_failure action_index action_metadata action_name action_status event_timestamp message_id
		recipients_matched resource_arn rule_index rule_name rule_set_name`
)

func TestFieldsAreThoseOfAWS(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F18", "F19")
	all := certificate()
	all.PasswordVersion, all.SecretsManagerARN, all.TrustStore.CRLs[0].NextUpdate = "1", "arn", noon
	tests := []struct {
		record Record
		want   string
	}{
		{application(mtlsPoint, overTLS(), envelope("a@b", "c@d"), all), applicationFields},
		{debugged(overTLS(), decide(t, "192.0.2.1", "a@b"), &policy.SizeReason{}), debugFields},
		{acted("a@b", &ActionMetadata{Failure: "why"}), ruleSetFields},
	}
	for _, tt := range tests {
		text, err := line(tt.record)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		collect(value, names)
		want := strings.Fields(tt.want)
		slices.Sort(want)
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(names))); diff != "" {
			t.Errorf("%s: %s", tt.record.kind(), diff)
		}
	}
}

func collect(value any, names map[string]bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			names[name] = true
			collect(inner, names)
		}
	case []any:
		for _, inner := range v {
			collect(inner, names)
		}
	}
}

// Whatever a peer says, a record is one line of JSON.
func TestRecordsAreLines(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		said := rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })
		session := inClear("192.0.2.1")
		session.Hello = said.Draw(t, "hello")
		path, recipient := said.Draw(t, "path"), said.Draw(t, "recipient")
		debug := debugged(session, &policy.Decision{Recipient: recipient, Action: mailmanager.AcceptActionAllow}, nil)
		debug.ReversePath = path
		for _, r := range []Record{application(openPoint, session, envelope(path, recipient), nil), debug, acted(recipient, &ActionMetadata{Failure: path})} {
			text, err := line(r)
			if err != nil || bytes.IndexByte(text, '\n') != len(text)-1 || !json.Valid(text) {
				t.Fatalf("got %q, %v", text, err)
			}
		}
	})
}

func TestRecordWithoutJSON(t *testing.T) {
	t.Parallel()
	bad := application(mtlsPoint, overTLS(), envelope("a@b"), &Metadata{Certificate: &Certificate{NotAfter: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}})
	if text, err := line(bad); err == nil || text != nil {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestKindNames(t *testing.T) {
	t.Parallel()
	for k := range kinds {
		var got Kind
		text, err := k.MarshalText()
		if err := errors.Join(err, got.UnmarshalText(text)); err != nil || got != k || len(text) == 0 {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, name := range []string{"", "APPLICATION_LOGS", "ingress-application ", "rule-set-debug"} {
		var got Kind
		if err := got.UnmarshalText([]byte(name)); err == nil {
			t.Errorf("%q: got %v", name, got)
		}
	}
	if got := fmt.Sprint(kinds); got != "Kind(3)" {
		t.Errorf("got %s", got)
	}
}
