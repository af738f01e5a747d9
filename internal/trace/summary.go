package trace

import (
	"net/netip"
	"strings"
	"time"

	"sluice/internal/message"
)

// What a Summary is of.
const (
	KindAccepted = "accepted" // a message
	KindMade     = "made"     // a notification
	KindRefused  = "refused"  // a command, or a whole session
	KindEnded    = "ended"    // a session that brought no message
)

// Summary is one thing that Find found: enough to tell whether it is what was looked for. Get has the rest, by ID.
type Summary struct {
	Time       time.Time      `json:"time"`
	ID         message.ID     `json:"id"` // of the message; of the session where there is none
	Session    message.ID     `json:"session,omitzero"`
	Kind       string         `json:"kind"`
	Sender     string         `json:"sender,omitempty"` // the reverse-path; empty: it is empty, or not known
	Recipients []string       `json:"recipients,omitempty"`
	Client     netip.AddrPort `json:"client,omitzero"`
	// Outcome is the reply of what was refused, why a session ended, and of a message the newest status of each of its
	// steps and recipients, each once (SUCCESS, FAILURE, IN_PROGRESS, HELD …). Empty: nothing became of it yet, or that is
	// too much to read.
	Outcome string `json:"outcome,omitempty"`
}

// summarize returns the summary of an event, when it is one that Find lists.
func summarize(e *Event) (s Summary, ok bool) {
	s = Summary{Time: e.Time, ID: e.Message, Session: e.Session}
	if s.ID.IsZero() {
		s.ID = s.Session
	}
	switch {
	case e.Accepted != nil:
		s.Kind, s.Client = KindAccepted, e.Accepted.Facts.Client
		s.Sender, s.Recipients = e.Accepted.ReversePath, e.Accepted.Recipients
	case e.Made != nil:
		s.Kind, s.Sender, s.Recipients = KindMade, e.Made.ReversePath, e.Made.Recipients
	case e.Refused != nil:
		s.Kind, s.Client = KindRefused, e.Refused.Facts.Client
		s.Sender, s.Outcome = e.Refused.ReversePath, e.Refused.Reply
		for i := range e.Refused.Decisions {
			s.Recipients = append(s.Recipients, e.Refused.Decisions[i].Recipient)
		}
	case e.Ended != nil:
		s.Kind, s.Client, s.Outcome = KindEnded, e.Ended.Facts.Client, e.Ended.Reason
	default:
		return s, false
	}
	return s, true
}

// IsMessage reports whether it is of a message, and not of what became none.
func (s *Summary) IsMessage() bool { return s.Kind == KindAccepted || s.Kind == KindMade }

// senderWord is the sender as it is looked for.
func (s *Summary) senderWord() string {
	if s.IsMessage() && s.Sender == "" {
		return emptyPath
	}
	return s.Sender
}

func (s *Summary) has(recipient string) bool {
	for _, r := range s.Recipients {
		if sameWord(r, recipient) {
			return true
		}
	}
	return false
}

// sameWord compares addresses: in any case, as the words of an index are (word.go).
func sameWord(a, b string) bool { return strings.EqualFold(a, b) }
