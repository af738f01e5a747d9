// Package addresslist decides whether an address is in an address list. Parse reads one member, a List holds them in
// memory, and Contains answers in a bounded number of look-ups, however many members there are and whatever wildcards are
// among them. Where members are stored, and what the operations on them mean, is the business of control. It is pure: no
// I/O, no clock. Start with New.
// Source: Mail Manager, section 8; Mail Manager, C2, C7, F12 and F15.
package addresslist

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"

	"sluice/internal/match"
	"sluice/internal/message"
	"sluice/internal/smtp"
)

// Shapes of a member. Mail Manager, section 8.
const (
	minCharacters = 3
	maxCharacters = 320
	minAround     = 3 // characters of a local part beside its asterisk, unless there are none
	maxAround     = 19
	minLabels     = 2 // labels of a domain beside its asterisk
	maxLabels     = 9
)

// usualOctets is the space for an address that costs no allocation; a longer one costs one.
const usualOctets = 256

// asterisk stands for any characters, none included: in a local part for some of it, before a domain for its subdomains.
const asterisk = '*'

// subdomains begins the domain of a member that is about all subdomains, at whatever depth.
const subdomains string = "*."

// What is wrong with a member.
var (
	whyLength   = fmt.Sprintf("Member must have %d to %d characters", minCharacters, maxCharacters)
	whyAsterisk = "Member must have no more than one asterisk, and none in quotes"
	whyAround   = fmt.Sprintf("Member must have, in a local part with an asterisk, no other characters or %d to %d", minAround, maxAround)
	whyLabels   = fmt.Sprintf("Member must have, in a domain with an asterisk, the asterisk first and then %d to %d labels", minLabels, maxLabels)
	whyForm     = "Member must be an address, a domain, or one of them with an asterisk"
)

// member is the path of a member in requests.
const member string = "address"

// Entry is one member of a list, ready to be compared. The zero Entry matches nothing.
type Entry struct{ key string }

// Parse reads one member: an address; a domain, as d, @d or *@d; *.d for the subdomains of d; an address with an asterisk
// in its local part; or local@*.d. The error is a ValidationException that does not hold the text. Mail Manager, F12.
func Parse(text string) (Entry, error) {
	if n := utf8.RuneCountInString(text); n < minCharacters || n > maxCharacters {
		return Entry{}, match.Invalid(member, whyLength)
	}
	if strings.Count(text, string(asterisk)) > 1 {
		return Entry{}, match.Invalid(member, whyAsterisk)
	}
	at := strings.LastIndexByte(text, '@')
	local, domain := text[:max(at, 0)], text[at+1:]
	if why := checkShape(local, domain); why != "" {
		return Entry{}, match.Invalid(member, why)
	}
	if local == string(asterisk) {
		local = ""
	}
	host, below := strings.CutPrefix(domain, subdomains)
	path, err := smtp.ParseMailbox(cmp.Or(local, "any") + "@" + host)
	switch {
	case err != nil || local == "" && at >= 0 && below:
		return Entry{}, match.Invalid(member, whyForm)
	case local != "":
		return newEntry(path.Local + "@" + domain), nil
	case below:
		return newEntry(domain), nil
	}
	return newEntry("@" + domain), nil
}

func newEntry(spelled string) Entry {
	return Entry{string(match.FoldAddress.Append(nil, []byte(spelled)))}
}

// checkShape says what is wrong with the asterisk of a member, or nothing. Mail Manager, section 8.
func checkShape(local, domain string) (why string) {
	if strings.Contains(local, string(asterisk)) {
		around := utf8.RuneCountInString(local) - 1
		switch {
		case local[0] == '"':
			return whyAsterisk
		case around != 0 && (around < minAround || around > maxAround):
			return whyAround
		}
	}
	if !strings.Contains(domain, string(asterisk)) {
		return ""
	}
	rest, first := strings.CutPrefix(domain, subdomains)
	labels := strings.Count(rest, ".") + 1
	if !first || strings.HasPrefix(rest, "[") || labels < minLabels || labels > maxLabels {
		return whyLabels
	}
	return ""
}

// FromKey returns the entry whose Key was kept. It does not look at what it is given.
func FromKey(key string) Entry { return Entry{key} }

// Key is the member as it is compared, the same for all spellings of it: folded, its local part unquoted (S7), and a
// domain as @d. Keys of different members differ.
func (e Entry) Key() string { return e.key }

// AppendFolded appends an address to dst as Contains takes it: unquoted (S7) and folded, the case of all of it levelled
// (Mail Manager, C2) and A-labels as U-labels (S24).
func AppendFolded(dst []byte, address string) []byte {
	var room [usualOctets]byte
	return match.FoldAddress.Append(dst, append(room[:0], message.Unquoted(address)...))
}
