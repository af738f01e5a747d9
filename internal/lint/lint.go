// Package lint finds what is wrong with rule sets and traffic policies that the API takes all the same: what can never match,
// what is never reached, what refers to what does not exist. It is pure, and finds no more than it can be sure of. Start with
// RuleSet and Policy.
// Source: Mail Manager, sections 3 and 4; Mail Manager, A6 and A25.
package lint

import "fmt"

// Level says how bad a finding is.
type Level string

// The levels. An error says that some of the configuration can never have an effect, or always fails; a warning, that it may
// not do what was meant.
const (
	LevelError   Level = "ERROR"
	LevelWarning Level = "WARNING"
)

// Code names a kind of finding. A code keeps its meaning in all versions.
type Code string

// The codes: L0nn of rule sets, L1nn of traffic policies.
const (
	NeverMatches  Code = "L001" // a rule whose conditions contradict each other
	NeverReached  Code = "L002" // a rule behind one that drops every message
	NeverDone     Code = "L003" // an action behind a Drop
	NoSuchRelay   Code = "L004" // a relay that does not exist
	NotAvailable  Code = "L005" // an action that this version does not have
	CannotTell    Code = "L006" // a condition that this version cannot tell
	EndsUnrouted  Code = "L007" // a rule set with no rule that routes whatever comes
	NoSuchList    Code = "L008" // a condition about an address list that does not exist
	NoSuchArchive Code = "L009" // an archive that does not exist, or is being deleted
	NeverDecides  Code = "L101" // a statement whose conditions contradict each other
	Useless       Code = "L102" // an ALLOW where ALLOW is the default
	DeniesAll     Code = "L103" // a policy that lets nobody in
	PolicyIsBlind Code = "L104" // a condition of a statement that this version cannot tell
	ListIsMissing Code = "L105" // a condition of a statement about an address list that does not exist
)

// Finding is one thing that is wrong.
type Finding struct {
	Code  Code   `json:"code"`
	Level Level  `json:"level"`
	Index int    `json:"index,omitempty"` // of the rule or statement, from 1; 0: the whole
	Name  string `json:"name,omitempty"`  // of the rule
	Text  string `json:"text"`            // what is wrong
	Hint  string `json:"hint"`            // what to do about it
}

// Exist reports whether something exists, by id or ARN, and archives by name too. A nil Exist: it does, whatever it is.
type Exist func(idOrARN string) bool

func (e Exist) has(idOrARN string) bool { return e == nil || e(idOrARN) }

// Known is what exists of that to which rule sets and policies refer.
type Known struct{ Relays, Archives, Lists Exist }

// whyNoList says what a condition about an address list that does not exist comes to.
func whyNoList(label, list, effect string) string {
	return fmt.Sprintf("%s cannot be told: address list %q does not exist: %s", label, list, effect)
}

// hintNoList is what can be done about it.
const hintNoList = "create the address list, or name another"
