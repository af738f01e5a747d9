package ingress

import (
	"time"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/records"
	"sluice/internal/smtpd"
	"sluice/internal/spool"
)

// Records takes the log records that ingress points vend. Append never blocks. Nothing is put together for a kind that is off,
// as all are by default (Mail Manager, F18).
type Records interface {
	Enabled(records.Kind) bool
	Append(records.Record)
}

func (in *Ingress) records(kind records.Kind) bool {
	return in.cfg.Records != nil && in.cfg.Records.Enabled(kind)
}

// recordAccepted writes the record of an accepted message.
func (b *binding) recordAccepted(m *spool.Message) {
	if !b.in.records(records.KindIngressApplication) {
		return
	}
	b.in.cfg.Records.Append(records.IngressApplication{
		Time: m.ReceivedAt, Point: recordedPoint(b.point), Session: &m.Session, MessageID: m.ID, Envelope: &m.Envelope,
		Size: m.Size, RuleSetID: m.RuleSetID, Metadata: b.metadata(&m.Session, m.ReceivedAt),
	})
}

// recordDenied writes the record of a recipient that the policy denies.
func (b *binding) recordDenied(t *smtpd.Transaction, decision *policy.Decision) {
	if b.in.records(records.KindTrafficPolicyDebug) {
		b.in.cfg.Records.Append(b.debugRecord(t, decision))
	}
}

// recordTaken writes the records of the recipients that were taken, once it is known whether the message is too large: each
// recipient has one record.
func (b *binding) recordTaken(t *smtpd.Transaction) {
	if !b.in.records(records.KindTrafficPolicyDebug) {
		return
	}
	state := t.Host.(*transaction)
	for i := range state.decisions {
		if decision := &state.decisions[i]; decision.Allowed() {
			record := b.debugRecord(t, decision)
			record.TooBig = state.tooBig
			b.in.cfg.Records.Append(record)
		}
	}
}

// tooBig notes that a message is too large. Before there are recipients it has a record of its own.
func (b *binding) tooBig(t *smtpd.Transaction, octets int64) {
	reason, tooBig := b.policy.TooBig(octets)
	switch {
	case !tooBig:
	case t != nil:
		t.Host.(*transaction).tooBig = &reason
	case b.in.records(records.KindTrafficPolicyDebug):
		record := b.debugRecord(nil, nil)
		record.TooBig = &reason
		b.in.cfg.Records.Append(record)
	}
}

func (b *binding) debugRecord(t *smtpd.Transaction, decision *policy.Decision) records.TrafficPolicyDebug {
	session := b.in.facts(b.session, b.point)
	record := records.TrafficPolicyDebug{
		Time: b.in.cfg.Now(), Point: recordedPoint(b.point), Session: &session, TrafficPolicyID: b.policy.ID, Decision: decision,
	}
	if t != nil {
		record.ReversePath = t.Envelope.ReversePath.Received
	}
	return record
}

func recordedPoint(p *control.IngressPoint) records.IngressPoint {
	return records.IngressPoint{ARN: p.ARN, ID: p.ID, Name: p.Name, Type: p.Type}
}

// metadata is what the point's type adds to a record; nil for an OPEN point.
func (b *binding) metadata(s *message.Session, now time.Time) *records.Metadata {
	switch b.point.Type {
	case mailmanager.IngressPointTypeAuth:
		return &records.Metadata{PasswordVersion: s.AuthVersion, SecretsManagerARN: s.SecretARN}
	case mailmanager.IngressPointTypeMtls:
		return &records.Metadata{Certificate: recordedCertificate(s.Certificate), TrustStore: b.trustStore(now)}
	default:
		return nil
	}
}

func recordedCertificate(c *message.Certificate) *records.Certificate {
	if c == nil {
		return nil
	}
	return &records.Certificate{
		CommonNames: c.CommonNames, SerialNumber: c.SerialNumber, SubjectAlternativeNames: c.AlternativeNames(),
		Issuer: c.Issuer, NotBefore: c.NotBefore, NotAfter: c.NotAfter,
	}
}

// trustStore is what is or will soon be wrong with the point's trust store.
func (b *binding) trustStore(now time.Time) *records.TrustStore {
	if b.point.Trust == nil {
		return nil
	}
	found := b.point.Trust.Monitor(now)
	out := &records.TrustStore{}
	for _, ca := range found.CAs {
		out.CAs = append(out.CAs, records.CA{Subject: ca.Subject, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter})
	}
	for _, crl := range found.CRLs {
		out.CRLs = append(out.CRLs, records.CRL{Issuer: crl.Issuer, ThisUpdate: crl.ThisUpdate, NextUpdate: crl.NextUpdate})
	}
	return out
}
