package ingress

import (
	"context"
	"errors"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
	"sluice/internal/trace"
)

// Replies of an ingress point. Their texts name no configuration.
var (
	replyUnavailable = smtp.NewReply(421, 4, 3, 2, "Service not available")                          // Mail Manager, B13
	replyNeedTLS     = smtp.NewReply(530, 5, 7, 0, "Must issue a STARTTLS command first")            // Mail Manager, B3
	replyBehind      = smtp.NewReply(452, 4, 3, 1, "Insufficient system resources, try again later") // RFC 5321, section 4.2.3
	replyTemporary   = smtp.NewReply(451, 4, 3, 0, "Temporary failure, try again later")
)

// Why a session was refused, for traces and metrics; the peer is not told.
var (
	errNoPoint      = errors.New("no ingress point serves this listener")
	errAmbiguous    = errors.New("several ingress points share this listener and none of them is its default")
	errNotServing   = errors.New("the ingress point is not serving")
	errOnlyOpen     = errors.New("ingress points of type AUTH and MTLS need TLS, which this version does not offer")
	errIPv6         = errors.New("the ingress point takes IPv4 clients only")
	errNoPolicy     = errors.New("the ingress point's traffic policy is gone")
	errPlaintext    = errors.New("the ingress point's TLS policy wants TLS")
	errNoRuleSet    = errors.New("the ingress point's rule set is gone")
	errPolicyDenied = errors.New("denied by the traffic policy")
)

// binding ties one session to one ingress point, under the policy that was current when the session began (Mail Manager,
// C8). It is used by the session's goroutine only.
type binding struct {
	in      *Ingress
	session *smtpd.Session
	point   *control.IngressPoint
	policy  *control.Policy
	facts   policy.Facts
}

// transaction is what a binding keeps with a mail transaction.
type transaction struct{ decisions []policy.Decision }

// host is the Ingress as smtpd sees it.
type host struct{ *Ingress }

// Host returns what an smtpd.Server is to be made with.
func (in *Ingress) Host() smtpd.Host { return host{in} }

// Open implements smtpd.Host.
func (in host) Open(_ context.Context, s *smtpd.Session) (smtpd.Binding, *smtp.Reply) {
	points, err := in.control()
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	switch tag := s.Tag.(type) {
	case pointTag:
		return in.bind(points, s, tag.key)
	case sharedTag:
		keys := in.membersOf(tag.listener)
		switch len(keys) {
		case 0:
			return nil, in.refuseSession(s, nil, replyUnavailable.Because(errNoPoint))
		case 1:
			return in.bind(points, s, keys[0])
		}
		return nil, nil // settled by Bind
	default:
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(errNoPoint))
	}
}

// Bind implements smtpd.Host: of the points that share the listener it takes the default one (Mail Manager, B19).
func (in host) Bind(_ context.Context, s *smtpd.Session) (smtpd.Binding, *smtp.Reply) {
	points, err := in.control()
	if err != nil {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(err))
	}
	tag, ok := s.Tag.(sharedTag)
	if !ok {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(errNoPoint))
	}
	for _, key := range in.membersOf(tag.listener) {
		if p, ok := points.IngressPoint(key); ok && p.Default {
			return in.bind(points, s, key)
		}
	}
	return nil, in.refuseSession(s, nil, replyUnavailable.Because(errAmbiguous))
}

// Closed implements smtpd.Host.
func (host) Closed(*smtpd.Session) {}

func (in *Ingress) membersOf(listener string) []control.Key {
	if list, ok := in.members.Load(listener); ok {
		return list.(*memberList).load()
	}
	return nil
}

func (in *Ingress) bind(points Points, s *smtpd.Session, key control.Key) (smtpd.Binding, *smtp.Reply) {
	p, ok := points.IngressPoint(key)
	if !ok {
		return nil, in.refuseSession(s, nil, replyUnavailable.Because(errNoPoint))
	}
	client := s.Remote.Addr().Unmap() // IPv4-mapped IPv6 is IPv4 (Mail Manager, C3)
	switch {
	case !p.Serving:
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errNotServing))
	case p.Type != mailmanager.IngressPointTypeOpen:
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errOnlyOpen))
	case client.Is6() && !p.DualStack:
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errIPv6))
	}
	pol, ok := points.Policy(control.Key{Scope: p.Scope, ID: p.PolicyID})
	if !ok {
		return nil, in.refuseSession(s, p, replyUnavailable.Because(errNoPolicy))
	}
	return &binding{in: in, session: s, point: p, policy: pol, facts: policy.Facts{Client: client}}, nil
}

// Hostname implements smtpd.Binding.
func (b *binding) Hostname() string { return b.point.ARecord }

// MaxSize implements smtpd.Binding.
func (b *binding) MaxSize() int64 { return b.policy.MaxSize() }

// MaxRecipients implements smtpd.Binding.
func (b *binding) MaxRecipients() int { return b.in.cfg.MaxRecipients }

// Mail implements smtpd.Binding.
func (b *binding) Mail(_ context.Context, t *smtpd.Transaction) *smtp.Reply {
	if b.point.TlsPolicy != mailmanager.TlsPolicyOptional && b.facts.TLS == "" {
		return b.refuse(t, "MAIL", replyNeedTLS.Because(errPlaintext), reasonPlaintext)
	}
	if reason, behind := b.in.queue.Behind(); behind {
		return b.refuse(t, "MAIL", replyBehind.Because(errors.New(reason)), reasonBehind)
	}
	if b.in.cfg.Short != nil {
		if reason, short := b.in.cfg.Short(); short {
			return b.refuse(t, "MAIL", replyBehind.Because(errors.New(reason)), reasonStorage)
		}
	}
	t.Host = &transaction{}
	return nil
}

// Recipient implements smtpd.Binding: the traffic policy decides (Mail Manager, B7).
func (b *binding) Recipient(_ context.Context, t *smtpd.Transaction, r message.Recipient) *smtp.Reply {
	decision := b.policy.Decide(&b.facts, r.Path.Received)
	b.in.metrics.cannotTell.Add(float64(decision.CannotTell())) // Mail Manager, C6
	state := t.Host.(*transaction)
	state.decisions = append(state.decisions, decision)
	if decision.Allowed() {
		return nil
	}
	b.in.metrics.denied.Inc()
	reply := smtp.NewReply(550, 5, 7, 1, b.session.ID.String()+" Recipient rejected by policy").Because(errPolicyDenied)
	b.in.appendRefused(b.session, b.point, &trace.Refused{
		ReversePath: t.Envelope.ReversePath.Received, TrafficPolicyID: b.policy.ID,
		Decisions: state.decisions[len(state.decisions)-1:], Command: "RCPT", Reply: reply.String(), Reason: errPolicyDenied.Error(),
	})
	return reply
}

// Refused implements smtpd.Binding.
func (b *binding) Refused(t *smtpd.Transaction, command string, reply *smtp.Reply) {
	b.refuse(t, command, reply, reasonProtocol)
}

// Reasons of refusals, as the label of a metric.
const (
	reasonSession   = "session"
	reasonPlaintext = "plaintext"
	reasonBehind    = "behind"
	reasonStorage   = "storage"
	reasonProtocol  = "protocol"
	reasonInternal  = "internal"
)

// refuse counts and traces a refusal and returns its reply; t is nil outside a transaction.
func (b *binding) refuse(t *smtpd.Transaction, command string, reply *smtp.Reply, reason string) *smtp.Reply {
	b.in.metrics.refused.WithLabelValues(reason).Inc()
	event := &trace.Refused{TrafficPolicyID: b.policy.ID, Command: command, Reply: reply.String(), Reason: causeText(reply)}
	if t != nil {
		event.ReversePath = t.Envelope.ReversePath.Received
	}
	b.in.appendRefused(b.session, b.point, event)
	return reply
}

// refuseSession counts and traces a connection that is refused; p is nil when no point is known.
func (in *Ingress) refuseSession(s *smtpd.Session, p *control.IngressPoint, reply *smtp.Reply) *smtp.Reply {
	in.metrics.refused.WithLabelValues(reasonSession).Inc()
	in.appendRefused(s, p, &trace.Refused{Command: "CONNECT", Reply: reply.String(), Reason: causeText(reply)})
	return reply
}

func (in *Ingress) appendRefused(s *smtpd.Session, p *control.IngressPoint, event *trace.Refused) {
	event.Facts = facts(s, p)
	in.cfg.Trace.Append(trace.Event{
		Time: in.cfg.Now(), Account: event.Facts.Account, Region: event.Facts.Region, Session: s.ID, Refused: event,
	})
}

// facts are what smtpd knows of the session and what the point adds.
func facts(s *smtpd.Session, p *control.IngressPoint) message.Session {
	f := s.Facts()
	if p != nil {
		f.Account, f.Region, f.IngressPoint = p.Account, p.Region, p.ID
	}
	return f
}

func causeText(reply *smtp.Reply) string {
	if reply.Cause == nil {
		return ""
	}
	return reply.Cause.Error()
}
