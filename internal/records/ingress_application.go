package records

import (
	"time"

	"sluice/internal/message"
)

// IngressApplication is the record of one accepted message. What it points to is only read. Mail Manager, section 11.
type IngressApplication struct {
	Time      time.Time // of the acceptance
	Point     IngressPoint
	Session   *message.Session
	MessageID message.ID
	Envelope  *message.Envelope
	Size      int64 // octets, as received
	RuleSetID string
	Metadata  *Metadata // nil for a point of type OPEN
}

// Metadata is what a point that authenticates its clients knows of one. It has no place for a password or a key (S40).
type Metadata struct {
	PasswordVersion   string       `json:"password_version,omitempty"`    // AUTH: of the password that was used
	SecretsManagerARN string       `json:"secrets_manager_arn,omitempty"` // AUTH: of the secret, where the password is in one
	Certificate       *Certificate `json:"client_certificate_details,omitempty"`
	TrustStore        *TrustStore  `json:"trust_store_monitoring,omitempty"`
}

// Certificate is the certificate that a client authenticated with.
type Certificate struct {
	CommonNames             []string  `json:"common_names"`
	SerialNumber            string    `json:"serial_number"` // octets in hexadecimal: "0A:DE:EB"
	SubjectAlternativeNames []string  `json:"subject_alternative_names"`
	Issuer                  string    `json:"issuer"` // distinguished name: "CN=Example CA,O=Example Corp,C=US"
	NotBefore               time.Time `json:"not_before"`
	NotAfter                time.Time `json:"not_after"`
}

// TrustStore is what is or will soon be wrong with a point's trust store: within 90 days. Only the first 10 entries of each
// list are written. Mail Manager, section 11.
type TrustStore struct {
	CAs  []CA  `json:"ca_invalid_or_near_expiry"`
	CRLs []CRL `json:"crl_invalid_or_near_expiry"`
}

// maxMonitored is how many entries of each list of a TrustStore are written. Mail Manager, section 11.
const maxMonitored int = 10

// CA is a certificate authority of a trust store.
type CA struct {
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// CRL is a list of revoked certificates of a trust store. One without a next update has the zero time there, which is left
// out.
type CRL struct {
	Issuer     string    `json:"issuer"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update,omitzero"`
}

func (IngressApplication) kind() Kind { return KindIngressApplication }

func (r IngressApplication) fields() any {
	recipients := message.Addresses(r.Envelope.Recipients)
	return struct {
		source
		point
		MessageID        string `json:"message_id"`
		MessageSizeBytes int64  `json:"message_size_bytes"`
		RuleSetID        string `json:"rule_set_id"`
		sender
		Recipients []string  `json:"recipients"`
		Metadata   *Metadata `json:"ingress_point_metadata,omitempty"`
	}{
		source: sourceOf(&r.Point, r.Time), point: pointOf(&r.Point),
		MessageID: r.MessageID.String(), MessageSizeBytes: r.Size, RuleSetID: r.RuleSetID,
		sender:     senderOf(r.Session, r.Envelope.ReversePath.Received),
		Recipients: recipients, Metadata: r.Metadata.shown(),
	}
}

// shown is a copy as it is written: times in UTC, lists cut to their limit and never null.
func (m *Metadata) shown() *Metadata {
	if m == nil {
		return nil
	}
	out := *m
	if m.Certificate != nil {
		c := *m.Certificate
		c.CommonNames, c.SubjectAlternativeNames = listed(c.CommonNames), listed(c.SubjectAlternativeNames)
		c.NotBefore, c.NotAfter = c.NotBefore.UTC(), c.NotAfter.UTC()
		out.Certificate = &c
	}
	if m.TrustStore != nil {
		out.TrustStore = m.TrustStore.shown()
	}
	return &out
}

func (t *TrustStore) shown() *TrustStore {
	out := &TrustStore{CAs: []CA{}, CRLs: []CRL{}}
	for _, ca := range t.CAs[:min(maxMonitored, len(t.CAs))] {
		out.CAs = append(out.CAs, CA{ca.Subject, ca.NotBefore.UTC(), ca.NotAfter.UTC()})
	}
	for _, crl := range t.CRLs[:min(maxMonitored, len(t.CRLs))] {
		out.CRLs = append(out.CRLs, CRL{crl.Issuer, crl.ThisUpdate.UTC(), crl.NextUpdate.UTC()})
	}
	return out
}

// listed is the list, or an empty one for nil.
func listed(texts []string) []string {
	if texts == nil {
		return []string{}
	}
	return texts
}
