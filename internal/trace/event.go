// Package trace keeps, for each message and session, what was decided and done and why: the values that policy and rule
// return, and each step's outcome. Open a Log, Append events, Get the record of an id, Find ids by what is known of them.
//
// Events are gathered into compressed frames of daily files (frame.go, segment.go) with an index beside them, and are
// not synced: a crash may take the last of them. Mail never waits for them and never fails by them; what cannot be kept
// is dropped and counted. Source: docs/promises.md, Explain; S18.
package trace

import (
	"time"

	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/rule"
)

// Version is that of the record's form; a reader refuses a newer one.
const Version = 1

// Event is one thing that happened to a message or a session. The record of a message is all its events, oldest first.
// Exactly one of the pointers is set. Values are not changed after Append.
type Event struct {
	Time    time.Time  `json:"time"`
	Account string     `json:"account"`
	Region  string     `json:"region"`
	Message message.ID `json:"message,omitzero"` // zero for sessions and transactions that became no message
	Session message.ID `json:"session,omitzero"`

	Accepted *Accepted `json:"accepted,omitempty"`
	Made     *Made     `json:"made,omitempty"`
	Refused  *Refused  `json:"refused,omitempty"`
	Decided  *Decided  `json:"decided,omitempty"`
	Attempt  *Attempt  `json:"attempt,omitempty"`
	Held     *Held     `json:"held,omitempty"`
	Steered  *Steered  `json:"steered,omitempty"`
	Ended    *Ended    `json:"ended,omitempty"`
}

// Accepted is the moment of the 250: the session's facts, the envelope and the policy's decisions.
type Accepted struct {
	Facts           message.Session   `json:"facts"`
	ReversePath     string            `json:"reversePath"`
	Recipients      []string          `json:"recipients"`
	Size            int64             `json:"size"`
	TrafficPolicyID string            `json:"trafficPolicyId"`
	Decisions       []policy.Decision `json:"decisions"`
	RuleSetID       string            `json:"ruleSetId"`
}

// Made is a message that no client sent: a notification, made of what became of another message. The session is that of the other.
type Made struct {
	Of          message.ID `json:"of"` // whose trace has the report of which it came
	ReversePath string     `json:"reversePath"`
	Recipients  []string   `json:"recipients"`
	Size        int64      `json:"size"`
}

// Refused is a command or a whole session that was refused, with what is known of why.
type Refused struct {
	Facts           message.Session   `json:"facts"`
	ReversePath     string            `json:"reversePath,omitempty"`
	TrafficPolicyID string            `json:"trafficPolicyId,omitempty"`
	Decisions       []policy.Decision `json:"decisions,omitempty"`
	Command         string            `json:"command,omitempty"` // CONNECT, MAIL, RCPT, DATA …
	Reply           string            `json:"reply"`
	Reason          string            `json:"reason,omitempty"`
}

// Ended is the end of a session that brought no message.
type Ended struct {
	Facts    message.Session `json:"facts"`
	Commands int             `json:"commands"`
	Reason   string          `json:"reason"`
	Took     time.Duration   `json:"took"` // nanoseconds
}

// Decided is what the rule set decided: each rule's first failing or all matching conditions, and what was done.
type Decided struct {
	RuleSetID   string        `json:"ruleSetId"`
	RuleSetHash string        `json:"ruleSetHash"`
	Rules       []rule.Reason `json:"rules"`
	Unrouted    []string      `json:"unrouted,omitempty"`
}

// Attempt is one try of one step, or its refusal before any try.
type Attempt struct {
	RuleSetID  string        `json:"ruleSetId,omitempty"`
	Rule       int           `json:"rule"`
	RuleName   string        `json:"ruleName,omitempty"`
	Action     int           `json:"action"`
	ActionName string        `json:"actionName"`
	Lane       string        `json:"lane,omitempty"`
	Number     int           `json:"number"`           // 1 for the first
	Status     string        `json:"status"`           // SUCCESS, FAILURE, IN_PROGRESS; of a simulation QUEUED
	Target     string        `json:"target,omitempty"` // host:port
	TLS        *TLS          `json:"tls,omitempty"`    // of the connection; nil: in clear, or there was none
	Recipients []Reply       `json:"recipients"`
	Reason     string        `json:"reason,omitempty"`
	Next       time.Time     `json:"next,omitzero"` // when it is tried again
	Took       time.Duration `json:"took,omitzero"` // nanoseconds
}

// TLS is how a connection to a next hop was protected.
type TLS struct {
	Version  string `json:"version"` // TLSv1.2 or TLSv1.3
	Cipher   string `json:"cipher"`
	Verified bool   `json:"verified"`       // the certificate is good for the name of the relay
	Peer     string `json:"peer,omitempty"` // the name in the certificate; proven only if verified
}

// Reply is what was answered for one recipient.
type Reply struct {
	Recipient string `json:"recipient"`
	Reply     string `json:"reply"`
}

// Held is a message, or some of its recipients, that came to rest.
type Held struct {
	Lane       string   `json:"lane"`
	Recipients []string `json:"recipients"`
	Reason     string   `json:"reason"`
}

// Steered is what an operator did to a message, or to some of its recipients.
type Steered struct {
	Act        string   `json:"act"` // HOLD, RELEASE, RETRY, BOUNCE, DISCARD, REROUTE
	By         string   `json:"by"`  // the access key id
	Lane       string   `json:"lane"`
	To         string   `json:"to,omitempty"`        // the lane it went to; empty: none
	RuleSetID  string   `json:"ruleSetId,omitempty"` // REROUTE: whose rules it is taken through
	Recipients []string `json:"recipients"`
}

// Record is everything known of one message or session.
type Record struct {
	Version int        `json:"version"`
	ID      message.ID `json:"id"`
	Events  []Event    `json:"events"`
}
