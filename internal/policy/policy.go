// Package policy decides whether an ingress point takes a recipient: a traffic policy, compiled, that takes the facts of
// a session and a forward-path and returns a decision with its reasons. It is pure: no I/O, no clock.
// Source: Mail Manager, section 3; Mail Manager, C1 to C8 and F19. Start with Compile.
package policy

import (
	"net/netip"

	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/match"
)

// MaxMessageOctets is the largest message that any policy lets in, header section included. Mail Manager, quotas.
const MaxMessageOctets = 40 << 20

// Facts are what a traffic policy can see of a session.
type Facts struct {
	Client netip.Addr
	TLS    mailmanager.IngressTlsProtocolAttribute // empty in clear
	Lists  Lists                                   // nil: there are none
}

// Lists finds address lists as they are now, by what a condition names: an ARN or an id (Mail Manager, A24). It is asked
// for each condition that gets its turn, and must answer without waiting.
type Lists interface {
	AddressList(idOrARN string) (*addresslist.List, bool)
}

// Result is what became of a condition. "Cannot tell" is never quietly "no match".
type Result = match.Result

// The results of a condition.
const (
	ResultMatch      = match.Match
	ResultNoMatch    = match.NoMatch
	ResultCannotTell = match.CannotTell
)

// ConditionReason is a condition as it was decided.
type ConditionReason struct {
	Attribute string   `json:"attribute"` // RECIPIENT, SENDER_IP, SENDER_IPV6, TLS_PROTOCOL, IN_ADDRESS_LIST, ADDON (Mail Manager, F19)
	Operator  string   `json:"operator"`
	Values    []string `json:"values"` // shared by all decisions of the policy: not to be changed
	Seen      string   `json:"seen"`   // the value it was compared with
	Result    Result   `json:"result"`
	Why       string   `json:"why,omitempty"` // for "cannot tell": the reason
}

// StatementReason is a statement as it was decided: its conditions up to the first that decided it.
type StatementReason struct {
	Index      int                      `json:"index"` // 1-based, as listed in the policy
	Action     mailmanager.AcceptAction `json:"action"`
	Conditions []ConditionReason        `json:"conditions"`
	Matched    bool                     `json:"matched"`
}

// Holds reports whether condition i counted as true in its statement; for "cannot tell" the result does not say so. All but
// the last held, or they would have been the last.
func (r *StatementReason) Holds(i int) bool { return r.Matched || i < len(r.Conditions)-1 }

// Decision is the answer for one recipient, with the statements in the order evaluated (every DENY, then every ALLOW),
// ending at the decisive one. By is the index of that statement, 0 for the default action.
type Decision struct {
	Recipient  string                   `json:"recipient"`
	Action     mailmanager.AcceptAction `json:"action"`
	By         int                      `json:"by"`
	Statements []StatementReason        `json:"statements,omitempty"`
}

// Allowed reports whether the recipient is taken.
func (d *Decision) Allowed() bool { return d.Action == mailmanager.AcceptActionAllow }

// CannotTell is how many conditions could not be decided (Mail Manager, C6: they are counted).
func (d *Decision) CannotTell() int {
	n := 0
	for _, s := range d.Statements {
		for _, c := range s.Conditions {
			if c.Result == ResultCannotTell {
				n++
			}
		}
	}
	return n
}

// SizeReason is why a message is too large: the DENY whose scope is the data, and so every recipient. Mail Manager, section 3.
type SizeReason struct {
	Allowed  int64 // octets
	Received int64 // octets, announced or counted
}

// Source is a traffic policy as the API has it.
type Source struct {
	Account, Region string
	ID, Name        string
	Statements      []mailmanager.PolicyStatement
	Default         mailmanager.AcceptAction
	MaxSize         int64 // octets; 0: the policy sets none
}
