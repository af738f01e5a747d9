package queue

import (
	"strings"
	"time"

	"sluice/internal/match"
	"sluice/internal/message"
	"sluice/internal/spool"
)

// Selection says which items are meant: those of one account and region for which every criterion that is set holds.
type Selection struct {
	Account, Region string
	Unreadable      bool // messages that cannot be read, and so are nobody's, are meant too

	Lane           string // a lane, or all below it: held, relay/111111111111
	Sender         string // the reverse-path: an address, @DOMAIN, or <> for the null one
	Recipient      string // of any recipient of the item: an address or @DOMAIN
	ReceivedBefore time.Time
	ReceivedAfter  time.Time
	MinSize        int64 // octets
	MaxSize        int64 // octets; 0: any
}

// hasLane reports whether items of the lane can be selected. The lanes of a resource have items of one account and region.
func (s *Selection) hasLane(name spool.Lane) bool {
	lane := string(name)
	if s.Lane != "" && lane != s.Lane && !strings.HasPrefix(lane, strings.TrimSuffix(s.Lane, "/")+"/") {
		return false
	}
	_, resource, _ := strings.Cut(lane, "/")
	return name.Shared() || strings.HasPrefix(resource, s.Account+"/"+s.Region+"/")
}

// owns reports whether the message is the account's, in its region (S36).
func (s *Selection) owns(m *spool.Message) bool {
	if m.Session.Account == "" {
		return s.Unreadable
	}
	return m.Session.Account == s.Account && m.Session.Region == s.Region
}

// matches reports whether the item is selected.
func (s *Selection) matches(m *spool.Message, item *spool.Item) bool {
	switch {
	case !s.owns(m) || !s.hasLane(item.Lane):
		return false
	case !s.ReceivedBefore.IsZero() && !m.ReceivedAt.Before(s.ReceivedBefore):
		return false
	case !s.ReceivedAfter.IsZero() && !m.ReceivedAt.After(s.ReceivedAfter):
		return false
	case m.Size < s.MinSize || s.MaxSize > 0 && m.Size > s.MaxSize:
		return false
	case s.Sender != "" && !isAddress(s.Sender, m.Envelope.ReversePath.Received):
		return false
	}
	return s.Recipient == "" || anyAddress(s.Recipient, item.Recipients)
}

func anyAddress(pattern string, recipients []message.Recipient) bool {
	for i := range recipients {
		if isAddress(pattern, recipients[i].Path.Received) {
			return true
		}
	}
	return false
}

// isAddress compares as rules do: without regard to case, and to how a domain is spelled (S24).
func isAddress(pattern, address string) bool {
	if pattern == "<>" || address == "" {
		return pattern == "<>" && address == ""
	}
	if strings.HasPrefix(pattern, "@") {
		address = address[max(0, strings.LastIndexByte(address, '@')):]
	}
	return folded(pattern) == folded(address)
}

func folded(text string) string { return string(match.FoldAddress.Append(nil, []byte(text))) }
