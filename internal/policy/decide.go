package policy

import (
	"net/netip"

	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/match"
	"sluice/internal/message"
)

// usualPathOctets is the space for a folded path that costs no allocation; a longer one costs one.
const usualPathOctets = 128

// Decide answers for one recipient, given by the forward-path as received. The first statement that matches decides, in
// the order of Decision. Mail Manager, section 3.
func (p *Policy) Decide(f *Facts, recipient string) Decision {
	d := Decision{Recipient: recipient, Action: p.fallback}
	if len(p.statements) == 0 {
		return d
	}
	s := subject{facts: f, recipient: message.Unquoted(recipient)}
	s.folded = match.FoldASCII.Append(s.room[:0], []byte(s.recipient))
	d.Statements = make([]StatementReason, 0, len(p.statements))
	conditions := make([]ConditionReason, 0, p.conditions) // one allocation, shared out among the statements
	for i := range p.statements {
		reason := p.statements[i].decide(&s, conditions)
		n := len(reason.Conditions)
		conditions = conditions[n:n]
		d.Statements = append(d.Statements, reason)
		if reason.Matched {
			d.Action, d.By = reason.Action, reason.Index
			break
		}
	}
	return d
}

// TooBig answers for a size in octets, as announced or as counted, header section included. It is asked after every
// statement and the default action, and overrules them: Mail Manager, section 3; Mail Manager, B9.
func (p *Policy) TooBig(size int64) (reason SizeReason, tooBig bool) {
	if size <= p.maxSize {
		return SizeReason{}, false
	}
	return SizeReason{Allowed: p.maxSize, Received: size}, true
}

// decide tests the conditions up to the first that does not hold, and writes their reasons at the end of room.
func (st *statement) decide(s *subject, room []ConditionReason) StatementReason {
	r := StatementReason{Index: st.index, Action: st.action, Matched: true}
	for i := range st.conditions {
		c := &st.conditions[i]
		found := c.test.of(s)
		room = append(room, ConditionReason{
			Attribute: c.attribute, Operator: c.operator, Values: c.values,
			Seen: found.seen, Result: found.result, Why: found.why,
		})
		if !found.holds {
			r.Matched = false
			break
		}
	}
	r.Conditions = room[:len(room):len(room)]
	return r
}

// subject is what one decision is about.
type subject struct {
	facts     *Facts
	recipient string // unquoted (S7), plus-tag and all: Mail Manager, section 3
	folded    []byte
	client    string // the client's address as text, made when first needed
	member    []byte // the recipient as address lists have it, made when first needed

	room, memberRoom [usualPathOctets]byte
}

// asMember is the recipient as address lists have it.
func (s *subject) asMember() []byte {
	if s.member == nil {
		s.member = addresslist.AppendFolded(s.memberRoom[:0], s.recipient)
	}
	return s.member
}

func (s *subject) clientText() string {
	if s.client == "" && s.facts.Client.IsValid() {
		s.client = s.facts.Client.Unmap().String()
	}
	return s.client
}

// finding is what a test found. holds says what the condition counts as in its statement; for "cannot tell" that is not
// read from the result.
type finding struct {
	result Result
	holds  bool
	seen   string
	why    string
}

// test is the one method that every kind of condition has.
type test interface {
	of(s *subject) finding
}

func found(holds bool, seen string) finding {
	return finding{result: match.Of(holds), holds: holds, seen: seen}
}

// Why conditions cannot tell.
const (
	whyOtherFamily = "the client's address is of the other family"
	whyNoClient    = "the client's address is not known"
	whyNoAddons    = "add-ons are not available"
	whyNoList      = "the address list does not exist"
)

type recipientTest struct{ strings match.Strings }

func (t recipientTest) of(s *subject) finding {
	return found(t.strings.Any(s.folded) != t.strings.Negated(), s.recipient)
}

type networkTest struct {
	networks match.Networks
	v6       bool
	action   mailmanager.AcceptAction
}

// of: an address of the other family cannot be told; NOT_CIDR_MATCHES then holds in a DENY statement and not in an ALLOW
// statement, so that nothing is let in by accident (Mail Manager, C3).
func (t networkTest) of(s *subject) finding {
	client := s.facts.Client.Unmap()
	if client.IsValid() && client.Is6() == t.v6 {
		return found(t.networks.Holds(client), s.clientText())
	}
	f := finding{result: ResultCannotTell, seen: s.clientText(), why: whyOtherFamily}
	f.holds = t.networks.Negated() && t.action == mailmanager.AcceptActionDeny
	if client == (netip.Addr{}) {
		f.why = whyNoClient
	}
	return f
}

type tlsTest struct{ tls match.TLS }

func (t tlsTest) of(s *subject) finding {
	return found(t.tls.Holds(string(s.facts.TLS)), string(s.facts.TLS))
}

// listTest asks for an address list as it is now (Mail Manager, F15). One that does not exist cannot tell, so that it
// neither allows nor denies by accident (Mail Manager, C7).
type listTest struct {
	list string
	want bool
}

func (t listTest) of(s *subject) finding {
	if s.facts.Lists != nil {
		if list, ok := s.facts.Lists.AddressList(t.list); ok {
			return found(list.Contains(s.asMember()) == t.want, s.recipient)
		}
	}
	return finding{result: ResultCannotTell, seen: s.recipient, why: whyNoList}
}

// blindTest is a condition whose answer is not to be had: it is false in both senses and says why (Mail Manager, C6).
type blindTest string

func (t blindTest) of(*subject) finding {
	return finding{result: ResultCannotTell, why: string(t)}
}
