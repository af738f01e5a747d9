package ingress

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
	"sluice/internal/trace"
	"sluice/internal/trust"
)

// host is the Ingress as smtpd sees it: it binds sessions to ingress points.
type host struct{ *Ingress }

// Host returns what an smtpd.Server is to be made with.
func (in *Ingress) Host() smtpd.Host { return host{in} }

// visit is what a host keeps with a session.
type visit struct {
	proved      *control.IngressPoint // whose trust store the client's certificate was verified against; nil without one
	certificate *message.Certificate  // what that certificate says
	login       control.Login         // of the password that was accepted
}

func visitOf(s *smtpd.Session) *visit {
	v, ok := s.Host.(*visit)
	if !ok { // a session that Open was not called for
		v = &visit{}
	}
	return v
}

// Open implements smtpd.Host.
func (in host) Open(_ context.Context, s *smtpd.Session) (smtpd.Binding, *smtp.Reply) {
	s.Host = &visit{}
	in.nameOf(s) // begins the look-up that acceptance will want the result of
	points, err := in.control()
	if err == nil && in.mail.Load() == nil {
		err = ErrNoStorage
	}
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	candidates := in.candidates(points, s)
	switch len(candidates) {
	case 0:
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(errNoPoint))
	case 1:
		return in.bind(points, s, candidates[0])
	}
	return nil, nil // settled by what the client says
}

// candidates are the points that the session may be bound to, as far as is known by now: those on its listener, told apart by
// the local address, then by the server name (Mail Manager, B19). The slice is not to be kept.
func (in *Ingress) candidates(points Points, s *smtpd.Session) []*control.IngressPoint {
	var found []*control.IngressPoint
	switch tag := s.Listener.Tag.(type) {
	case pointTag:
		if p, ok := points.IngressPoint(tag.key); ok {
			return []*control.IngressPoint{p}
		}
	case sharedTag:
		for _, key := range in.membersOf(tag.listener) {
			if p, ok := points.IngressPoint(key); ok {
				found = append(found, p)
			}
		}
	}
	return narrowByName(narrowByAddress(found, s), s.TLS.ServerName)
}

// narrowByAddress leaves the points that want sessions of the local address; or, when none does, those that want no particular
// one.
func narrowByAddress(points []*control.IngressPoint, s *smtpd.Session) []*control.IngressPoint {
	local := s.Local.Addr().Unmap().WithZone("")
	named := filter(points, func(p *control.IngressPoint) bool { return slices.Contains(p.Addresses, local) })
	if len(named) > 0 {
		return named
	}
	return filter(points, func(p *control.IngressPoint) bool { return len(p.Addresses) == 0 })
}

// narrowByName leaves the points that have the server name; or, when none does, all of them.
func narrowByName(points []*control.IngressPoint, name string) []*control.IngressPoint {
	if name == "" {
		return points
	}
	named := filter(points, func(p *control.IngressPoint) bool {
		return strings.EqualFold(p.ARecord, name) || slices.ContainsFunc(p.Hostnames, func(n string) bool { return strings.EqualFold(n, name) })
	})
	if len(named) > 0 {
		return named
	}
	return points
}

func filter(points []*control.IngressPoint, keep func(*control.IngressPoint) bool) []*control.IngressPoint {
	var kept []*control.IngressPoint
	for _, p := range points {
		if keep(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// settled is the point of a session that says nothing more of which one it wants: the only candidate, or the default one
// among several. The error says why there is none.
func settled(candidates []*control.IngressPoint) (*control.IngressPoint, error) {
	switch len(candidates) {
	case 0:
		return nil, errNoPoint
	case 1:
		return candidates[0], nil
	}
	for _, p := range candidates {
		if p.Default {
			return p, nil
		}
	}
	return nil, errAmbiguous
}

// Secured implements smtpd.Host: the server name may tell which point is meant.
func (in host) Secured(_ context.Context, s *smtpd.Session) (smtpd.Binding, *smtp.Reply) {
	v := visitOf(s)
	v.login = control.Login{} // what was proved in clear is forgotten (S3)
	if len(s.TLS.Certificates) > 0 {
		v.certificate = trust.Facts(s.TLS.Certificates[0])
	}
	if b, ok := s.Binding.(*binding); ok {
		b.facts = PolicyFacts(s.Remote.Addr(), s.TLS.Version, &b.lists)
		return b, nil
	}
	points, err := in.control()
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	if proved := v.proved; proved != nil {
		return in.bind(points, s, proved)
	}
	if candidates := in.candidates(points, s); len(candidates) == 1 {
		return in.bind(points, s, candidates[0])
	}
	return nil, nil
}

// Bind implements smtpd.Host: of the points that are left it takes the default one (Mail Manager, B19).
func (in host) Bind(_ context.Context, s *smtpd.Session) (smtpd.Binding, *smtp.Reply) {
	points, err := in.control()
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	point, err := settled(in.candidates(points, s))
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	return in.bind(points, s, point)
}

// Offer implements smtpd.Host. A password is asked for where nobody can read it on the way; a private point whose TLS policy is
// OPTIONAL takes it in clear as well (Mail Manager, B2).
func (in host) Offer(s *smtpd.Session) smtpd.Offer {
	secure := s.TLS.Version != ""
	offer := smtpd.Offer{StartTLS: in.cfg.Certificates != nil && s.Listener.TLS == smtpd.TLSStart && !secure}
	for _, p := range in.possible(s) {
		offer.Auth = offer.Auth || takesPassword(p, secure)
		offer.AuthNext = offer.AuthNext || offer.StartTLS && takesPassword(p, true)
	}
	return offer
}

// possible are the points that a session is or may be bound to.
func (in *Ingress) possible(s *smtpd.Session) []*control.IngressPoint {
	if p := pointOf(s); p != nil {
		return []*control.IngressPoint{p}
	}
	points, err := in.control()
	if err != nil {
		return nil
	}
	return in.candidates(points, s)
}

func takesPassword(p *control.IngressPoint, secure bool) bool {
	inClear := p.Private && p.TlsPolicy == mailmanager.TlsPolicyOptional
	return p.Type == mailmanager.IngressPointTypeAuth && (secure || inClear)
}

func (in *Ingress) membersOf(listener string) []control.Key {
	if list, ok := in.members.Load(listener); ok {
		return list.(*memberList).load()
	}
	return nil
}

// bind ties a session to a point, under the policy that is current (Mail Manager, C8). Open has seen that mail is carried.
func (in *Ingress) bind(points Points, s *smtpd.Session, p *control.IngressPoint) (smtpd.Binding, *smtp.Reply) {
	client := s.Remote.Addr().Unmap() // IPv4-mapped IPv6 is IPv4 (Mail Manager, C3)
	switch {
	case !p.Serving:
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errNotServing))
	case client.Is6() && !p.DualStack:
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errIPv6))
	}
	pol, ok := points.Policy(control.Key{Scope: p.Scope, ID: p.PolicyID})
	if !ok {
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errNoPolicy))
	}
	b := &binding{in: in, mail: in.mail.Load(), session: s, point: p, policy: pol, lists: control.ScopedLists{Lists: points, Scope: p.Scope}}
	b.facts = PolicyFacts(client, s.TLS.Version, &b.lists)
	return b, nil
}

// PolicyFacts are what a traffic policy sees of a session: the client's address, the TLS version as SMTP knows it, which
// is empty in clear, and the address lists that its conditions can name.
func PolicyFacts(client netip.Addr, tlsVersion string, lists policy.Lists) policy.Facts {
	return policy.Facts{Client: client.Unmap(), TLS: policyTLS[tlsVersion], Lists: lists} // IPv4-mapped IPv6 is IPv4 (Mail Manager, C3)
}

// policyTLS are the TLS versions as traffic policies name them.
var policyTLS = map[string]mailmanager.IngressTlsProtocolAttribute{
	"TLSv1.2": mailmanager.IngressTlsProtocolAttributeTls12,
	"TLSv1.3": mailmanager.IngressTlsProtocolAttributeTls13,
}

// Closed implements smtpd.Host: a session that never became a message has its end in the trace.
func (in host) Closed(s *smtpd.Session) {
	if s.Messages > 0 {
		return
	}
	facts := in.facts(s, pointOf(s))
	in.tell(trace.Event{
		Time: in.cfg.Now(), Account: facts.Account, Region: facts.Region, Session: s.ID,
		Ended: &trace.Ended{Facts: facts, Commands: s.Commands, Reason: s.End, Took: in.cfg.Now().Sub(s.Started)},
	})
}

// pointOf is the point of a session, nil when it is not bound.
func pointOf(s *smtpd.Session) *control.IngressPoint {
	if b, ok := s.Binding.(*binding); ok {
		return b.point
	}
	return nil
}
