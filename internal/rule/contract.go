package rule

import (
	"net/netip"

	"sluice/internal/message"
)

// Facts are what conditions can see of a message, all but its header section and its recipients, which belong to a
// recipient's state. They are shared by a whole evaluation and must not be changed.
type Facts struct {
	ReversePath string
	Hello       string
	Client      netip.Addr
	TLS         bool
	TLSWrapped  bool
	Certificate *message.Certificate // the client's, or nil
	Size        int64                // octets as received (Mail Manager, D10)
	Header      []byte               // the header section as received, with the empty line if there was one
	Lists       Lists                // nil: there are none
}

// Outcome is what became of the last step.
type Outcome struct {
	Kind   OutcomeKind
	Reason string // for Failed: what is wrong, for people
}

// OutcomeKind says how a step ended, or that its work was queued.
type OutcomeKind uint8

// The outcomes. Queued and Succeeded route the step's recipients (Mail Manager, D7); Failed applies the action's failure
// policy (D5) and routes nobody unless that is DROP.
const (
	OutcomeNone OutcomeKind = iota // before the first step
	OutcomeSucceeded
	OutcomeQueued
	OutcomeFailed
	OutcomeStopRule
	OutcomeStopRuleSet
)

// Step is one action with an effect outside the message, for one group of recipients in one message state. AddHeader,
// ReplaceRecipient and Drop change only the message's own state: the evaluator does them itself and reports them.
type Step struct {
	Rule       int // 1-based (Mail Manager, F21)
	Action     int // 1-based
	RuleName   string
	ActionName string // RELAY, ARCHIVE, WRITE_TO_S3, SEND, DELIVER_TO_MAILBOX, DELIVER_TO_Q_BUSINESS, PUBLISH_TO_SNS, BOUNCE, INVOKE_LAMBDA
	Do         Action // the compiled action
	Node       *message.Node
	NodeNumber int // number of the node within the action, from 1 (Mail Manager, E9)
	Recipients []message.Recipient
}
