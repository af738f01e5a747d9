package records

import (
	"time"

	"sluice/internal/message"
)

// RuleSetApplication is the record of one action that a rule set had done, or tried, for a message; or of a rule that did
// not match it. Mail Manager, section 11.
type RuleSetApplication struct {
	Time      time.Time
	ARN, Name string // of the rule set; one that was deleted meanwhile has no name any more
	MessageID message.ID
	RuleName  string
	Rule      int      // 1-based (Mail Manager, F21)
	Matched   []string // the recipients; none: the rule did not match
	Action    *ActionMetadata
}

// ActionMetadata is what became of an action.
type ActionMetadata struct {
	Name    string       `json:"action_name"`  // RELAY, DROP …
	Index   int          `json:"action_index"` // 1-based (Mail Manager, F21)
	Status  ActionStatus `json:"action_status"`
	Failure string       `json:"action_failure,omitempty"` // for people
}

// ActionStatus is one of AWS's. Mail Manager, section 11.
type ActionStatus string

// The statuses. An attempt that is followed by another leaves an action in progress (Mail Manager, E5).
const (
	ActionSuccess    ActionStatus = "SUCCESS"
	ActionFailure    ActionStatus = "FAILURE"
	ActionInProgress ActionStatus = "IN_PROGRESS"
)

func (RuleSetApplication) kind() Kind { return KindRuleSetApplication }

func (r RuleSetApplication) fields() any {
	return struct {
		source
		MessageID         string          `json:"message_id"`
		RuleSetName       string          `json:"rule_set_name,omitempty"`
		RuleName          string          `json:"rule_name,omitempty"`
		RuleIndex         int             `json:"rule_index"`
		RecipientsMatched []string        `json:"recipients_matched"`
		ActionMetadata    *ActionMetadata `json:"action_metadata,omitempty"`
	}{
		source:    source{ResourceARN: r.ARN, EventTimestamp: r.Time.UnixMilli()},
		MessageID: r.MessageID.String(), RuleSetName: r.Name, RuleName: r.RuleName, RuleIndex: r.Rule,
		RecipientsMatched: listed(r.Matched), ActionMetadata: r.Action,
	}
}
