package records

import (
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
)

// TrafficPolicyDebug is the record of what a traffic policy said of one recipient, whether it was taken or not. The
// session's id stands in it as ingress_point_session_id. What it points to is only read. Mail Manager, section 11 and F19.
type TrafficPolicyDebug struct {
	Time            time.Time // of the decision
	Point           IngressPoint
	Session         *message.Session
	ReversePath     string // as received, without brackets
	TrafficPolicyID string
	Decision        *policy.Decision   // nil: the message was too large before there was a recipient
	TooBig          *policy.SizeReason // nil: it was not, or is not known yet
}

// Values of evaluations and verdicts.
const (
	typeDefaultAction = "DefaultAction"
	scopeRecipient    = "Recipient"
	scopeData         = "Data"
	verdictAccept     = "ACCEPT"
	verdictReject     = "REJECT"
)

// An evaluation is a statement, the default action, or the limit of the size.
type (
	statementEntry struct {
		Action     mailmanager.AcceptAction `json:"action"`
		Conditions []conditionEntry         `json:"conditions"`
		Matched    bool                     `json:"policyStatementMatched"`
	}
	conditionEntry struct {
		Expression expression `json:"expression"`
		Result     bool       `json:"expressionResult"`
	}
	expression struct {
		Attribute string   `json:"attribute"`
		Operator  string   `json:"operator"`
		Value     []string `json:"value"`
	}
	defaultEntry struct {
		Action  mailmanager.AcceptAction `json:"action"`
		Matched bool                     `json:"policyStatementMatched"`
		Type    string                   `json:"type"`
		Scope   string                   `json:"scope"`
	}
	sizeEntry struct {
		Action   mailmanager.AcceptAction `json:"action"`
		Allowed  int64                    `json:"allowedMessageSize"`
		Received int64                    `json:"receivedMessageSize"`
		Scope    string                   `json:"scope"`
	}
)

func (TrafficPolicyDebug) kind() Kind { return KindTrafficPolicyDebug }

func (r TrafficPolicyDebug) fields() any {
	recipient := ""
	if r.Decision != nil {
		recipient = r.Decision.Recipient
	}
	return struct {
		source
		point
		SessionID       string `json:"ingress_point_session_id"`
		TrafficPolicyID string `json:"traffic_policy_id"`
		Evaluation      []any  `json:"traffic_policy_evaluation"`
		Verdict         string `json:"traffic_policy_verdict"`
		sender
		Recipient string `json:"recipient,omitempty"`
	}{
		source: sourceOf(&r.Point, r.Time), point: pointOf(&r.Point),
		SessionID: r.Session.ID.String(), TrafficPolicyID: r.TrafficPolicyID,
		Evaluation: r.evaluation(), Verdict: r.verdict(),
		sender: senderOf(r.Session, r.ReversePath), Recipient: recipient,
	}
}

// verdict: the size overrules the statements and the default action. Mail Manager, section 3.
func (r *TrafficPolicyDebug) verdict() string {
	if r.TooBig != nil || r.Decision != nil && !r.Decision.Allowed() {
		return verdictReject
	}
	return verdictAccept
}

// evaluation: the statements in the order evaluated up to the decisive one, else the default action; then the size.
// Mail Manager, F19.
func (r *TrafficPolicyDebug) evaluation() []any {
	entries := []any{}
	if d := r.Decision; d != nil {
		for i := range d.Statements {
			entries = append(entries, entryOf(&d.Statements[i]))
		}
		if d.By == 0 {
			entries = append(entries, defaultEntry{Action: d.Action, Matched: true, Type: typeDefaultAction, Scope: scopeRecipient})
		}
	}
	if r.TooBig != nil {
		entries = append(entries, sizeEntry{mailmanager.AcceptActionDeny, r.TooBig.Allowed, r.TooBig.Received, scopeData})
	}
	return entries
}

func entryOf(s *policy.StatementReason) statementEntry {
	entry := statementEntry{Action: s.Action, Conditions: make([]conditionEntry, len(s.Conditions)), Matched: s.Matched}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		entry.Conditions[i] = conditionEntry{expression{c.Attribute, c.Operator, listed(c.Values)}, s.Holds(i)}
	}
	return entry
}
