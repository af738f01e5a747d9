package records

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/message"
)

// Kind is one of the logs that resources of Mail Manager vend. Mail Manager, section 11.
type Kind uint8

// The kinds of records, each with the resource that vends it.
const (
	KindIngressApplication Kind = iota // ingress point, APPLICATION_LOGS
	KindTrafficPolicyDebug             // ingress point, TRAFFIC_POLICY_DEBUG_LOGS
	KindRuleSetApplication             // rule set, APPLICATION_LOGS

	kinds // how many there are
)

// kindNames are the kinds as a configuration names them: AWS has one name for the logs of two resources.
var kindNames = [kinds]string{
	KindIngressApplication: "ingress-application",
	KindTrafficPolicyDebug: "traffic-policy-debug",
	KindRuleSetApplication: "rule-set-application",
}

// String is the kind's name in the configuration.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText implements encoding.TextMarshaler.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The error names what there is.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind of log records %q: want one of %q", text, kindNames)
}

// Record is what Append takes: an IngressApplication, a TrafficPolicyDebug or a RuleSetApplication.
type Record interface {
	kind() Kind
	// fields is a struct whose JSON is the record as AWS writes it.
	fields() any
}

// IngressPoint is the resource that vends a record.
type IngressPoint struct {
	ARN, ID, Name string
	Type          mailmanager.IngressPointType
}

// source begins every record.
type source struct {
	ResourceARN    string `json:"resource_arn"`
	EventTimestamp int64  `json:"event_timestamp"` // milliseconds since 1970
}

// point is what the records of ingress points say of theirs. AWS writes the name in one kind and the id in the other; both
// have both (Mail Manager, F18).
type point struct {
	IngressPointType mailmanager.IngressPointType `json:"ingress_point_type"`
	IngressPointName string                       `json:"ingress_point_name,omitempty"`
	IngressPointID   string                       `json:"ingress_point_id"`
}

// sender is what the records of ingress points say of who sent. The null reverse-path is written, as the empty text; what
// is not known (no TLS, no HELO) is left out.
type sender struct {
	SenderIPAddress string `json:"sender_ip_address,omitempty"`
	SMTPMailFrom    string `json:"smtp_mail_from"`
	SMTPHelo        string `json:"smtp_helo,omitempty"`
	TLSProtocol     string `json:"tls_protocol,omitempty"`
	TLSCipherSuite  string `json:"tls_cipher_suite,omitempty"`
}

func sourceOf(p *IngressPoint, at time.Time) source {
	return source{ResourceARN: p.ARN, EventTimestamp: at.UnixMilli()}
}

func pointOf(p *IngressPoint) point {
	return point{IngressPointType: p.Type, IngressPointName: p.Name, IngressPointID: p.ID}
}

func senderOf(s *message.Session, reversePath string) sender {
	out := sender{SMTPMailFrom: reversePath, SMTPHelo: s.Hello, TLSProtocol: s.TLSVersion, TLSCipherSuite: s.TLSCipher}
	if client := s.Client.Addr(); client != (netip.Addr{}) {
		out.SenderIPAddress = client.Unmap().WithZone("").String()
	}
	return out
}

// line is the record as a line of JSON, with its line end. What a peer said is escaped by the encoder: no octet of it ends
// the line, and what is not UTF-8 is replaced (S7).
func line(r Record) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // an address reads as it is written
	if err := e.Encode(r.fields()); err != nil {
		return nil, fmt.Errorf("encode a log record of kind %s: %w", r.kind(), err)
	}
	return b.Bytes(), nil
}
