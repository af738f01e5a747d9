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
	replyNeedAuth    = smtp.NewReply(530, 5, 7, 0, "Authentication required")                        // Mail Manager, B4
	replyNeedProof   = smtp.NewReply(530, 5, 7, 0, "Client certificate required")                    // Mail Manager, B6
	replyNeedFIPS    = smtp.NewReply(530, 5, 7, 0, "Stronger encryption required")                   // Mail Manager, B18
	replyBehind      = smtp.NewReply(452, 4, 3, 1, "Insufficient system resources, try again later") // RFC 5321, section 4.2.3
	replyTemporary   = smtp.NewReply(451, 4, 3, 0, "Temporary failure, try again later")
)

// Why a session was refused, for traces and metrics; the peer is not told.
var (
	errNoPoint      = errors.New("no ingress point serves this listener")
	errAmbiguous    = errors.New("several ingress points share this listener and none of them is its default")
	errNotServing   = errors.New("the ingress point is not serving")
	errNoLogin      = errors.New("the ingress point wants a password")
	errUnproved     = errors.New("the ingress point wants a client certificate, and none was verified in the handshake")
	errWeakSuite    = errors.New("the ingress point's TLS policy is FIPS, and the session's cipher suite is not approved")
	errIPv6         = errors.New("the ingress point takes IPv4 clients only")
	errNoPolicy     = errors.New("the ingress point's traffic policy is gone")
	errPlaintext    = errors.New("the ingress point's TLS policy wants TLS")
	errNoRuleSet    = errors.New("the ingress point's rule set is gone")
	errPolicyDenied = errors.New("denied by the traffic policy")
)

// binding ties one session to one ingress point, under the policy that was current when the session began (Mail Manager,
// C8). The address lists that the policy names are looked up as they are when it decides (Mail Manager, F15). It is used by the session's goroutine only.
type binding struct {
	in      *Ingress
	mail    *Mail
	session *smtpd.Session
	point   *control.IngressPoint
	policy  *control.Policy
	lists   control.ScopedLists
	facts   policy.Facts
}

// transaction is what a binding keeps with a mail transaction.
type transaction struct {
	decisions []policy.Decision
	tooBig    *policy.SizeReason // why the content was too large; nil when it was not
	release   func()             // gives back the room that SIZE has reserved; nil: there is none
}

// Hostname implements smtpd.Binding.
func (b *binding) Hostname() string { return b.point.ARecord }

// MaxSize implements smtpd.Binding.
func (b *binding) MaxSize() int64 { return b.policy.MaxSize() }

// MaxRecipients implements smtpd.Binding.
func (b *binding) MaxRecipients() int { return b.in.cfg.MaxRecipients }

// Mail implements smtpd.Binding.
func (b *binding) Mail(_ context.Context, t *smtpd.Transaction) *smtp.Reply {
	if refusal := b.unproved(); refusal != nil {
		return b.refuse(t, "MAIL", refusal, reasonUnproved)
	}
	if reason, behind := b.mail.Queue.Behind(); behind {
		return b.refuse(t, "MAIL", replyBehind.Because(errors.New(reason)), reasonBehind)
	}
	state := &transaction{}
	if reason, ok := b.reserve(state, t.DeclaredSize); !ok {
		return b.refuse(t, "MAIL", replyBehind.Because(errors.New(reason)), reasonStorage)
	}
	state.giveBack() // nobody holds room by MAIL alone: the content reserves it when it comes
	t.Host = state
	return nil
}

// unproved is why a session may not send at all: nil when it has proved what the point wants. Source: Mail Manager, B3, B4, B6 and
// B18.
func (b *binding) unproved() *smtp.Reply {
	s := b.session
	switch {
	case b.point.TlsPolicy != mailmanager.TlsPolicyOptional && s.TLS.Version == "":
		return replyNeedTLS.Because(errPlaintext)
	case b.point.TlsPolicy == mailmanager.TlsPolicyFips && !isFIPS(s.TLS.Cipher):
		return replyNeedFIPS.Because(errWeakSuite)
	case b.point.Type == mailmanager.IngressPointTypeAuth && s.AuthUser != b.point.ID:
		return replyNeedAuth.Because(errNoLogin)
	case b.point.Type == mailmanager.IngressPointTypeMtls && !b.proved():
		return replyNeedProof.Because(errUnproved)
	}
	return nil
}

// proved reports whether the client's certificate was verified against this point's trust store.
func (b *binding) proved() bool {
	proved := visitOf(b.session).proved
	return proved != nil && proved.Key == b.point.Key
}

// Ended implements smtpd.Binding.
func (b *binding) Ended(t *smtpd.Transaction) {
	t.Host.(*transaction).giveBack()
	b.recordTaken(t)
}

// reserve sets room for a message's declared size aside until the transaction gives it back. The reason says why there is none.
func (b *binding) reserve(state *transaction, octets int64) (reason string, ok bool) {
	if b.mail.Reserve == nil {
		return "", true
	}
	state.giveBack() // of a DATA that was refused before
	state.release, reason, ok = b.mail.Reserve(octets)
	return reason, ok
}

// giveBack gives back what the transaction has reserved, if anything.
func (t *transaction) giveBack() {
	if t.release != nil {
		t.release()
		t.release = nil
	}
}

// Recipient implements smtpd.Binding: the traffic policy decides (Mail Manager, B7).
func (b *binding) Recipient(_ context.Context, t *smtpd.Transaction, r message.Recipient) *smtp.Reply {
	if refusal := b.in.checkReturn(r.Path); refusal != nil {
		return b.refuse(t, "RCPT", refusal, reasonForged)
	}
	decision := b.policy.Decide(&b.facts, r.Path.Received)
	b.in.metrics.cannotTell.Add(float64(decision.CannotTell())) // Mail Manager, C6
	state := t.Host.(*transaction)
	state.decisions = append(state.decisions, decision)
	if decision.Allowed() {
		return nil
	}
	b.recordDenied(t, &decision)
	b.in.metrics.denied.Inc()
	reply, event := Denied(b.session.ID, t.Envelope.ReversePath.Received, state.decisions[len(state.decisions)-1:])
	event.TrafficPolicyID = b.policy.ID
	b.in.appendRefused(b.session, b.point, event)
	return reply
}

// Denied is what a recipient is answered whom the decision denies, and what the trace says of it, but for the session's
// facts and the policy's id. Mail Manager, B7.
func Denied(session message.ID, reversePath string, decision []policy.Decision) (*smtp.Reply, *trace.Refused) {
	reply := smtp.NewReply(550, 5, 7, 1, session.String()+" Recipient rejected by policy").Because(errPolicyDenied)
	return reply, &trace.Refused{
		ReversePath: reversePath, Decisions: decision, Command: "RCPT", Reply: reply.String(), Reason: causeText(reply),
	}
}

// Reasons of refusals, as the label of a metric.
const (
	reasonSession   = "session"
	reasonUnproved  = "unproved"
	reasonPassword  = "password"
	reasonLocked    = "locked"
	reasonHandshake = "handshake"
	reasonForged    = "forged"
	reasonBehind    = "behind"
	reasonStorage   = "storage"
	reasonProtocol  = "protocol"
	reasonInternal  = "internal"
)

// Refused implements smtpd.Host.
func (in host) Refused(s *smtpd.Session, t *smtpd.Transaction, command string, reply *smtp.Reply) {
	reason := reasonProtocol
	if command == "STARTTLS" || command == "CONNECT" {
		reason = reasonHandshake
	}
	in.refuse(s, t, command, reply, reason)
	if size, ok := errors.AsType[*smtpd.SizeError](reply); ok {
		if b, bound := s.Binding.(*binding); bound {
			b.tooBig(t, size.Octets)
		}
	}
}

func (b *binding) refuse(t *smtpd.Transaction, command string, reply *smtp.Reply, reason string) *smtp.Reply {
	return b.in.refuse(b.session, t, command, reply, reason)
}

// refuse counts and traces a refusal and returns its reply; t is nil outside a transaction.
func (in *Ingress) refuse(s *smtpd.Session, t *smtpd.Transaction, command string, reply *smtp.Reply, reason string) *smtp.Reply {
	in.metrics.refused.WithLabelValues(reason).Inc()
	event := &trace.Refused{Command: command, Reply: reply.String(), Reason: causeText(reply)}
	if b, ok := s.Binding.(*binding); ok {
		event.TrafficPolicyID = b.policy.ID
	}
	if t != nil {
		event.ReversePath = t.Envelope.ReversePath.Received
	}
	in.appendRefused(s, pointOf(s), event)
	return reply
}

// refuseSession counts and traces a connection that is refused; p is nil when no point is known.
func (in *Ingress) refuseSession(s *smtpd.Session, p *control.IngressPoint, reply *smtp.Reply) *smtp.Reply {
	in.metrics.refused.WithLabelValues(reasonSession).Inc()
	in.appendRefused(s, p, &trace.Refused{Command: "CONNECT", Reply: reply.String(), Reason: causeText(reply)})
	return reply
}

func (in *Ingress) appendRefused(s *smtpd.Session, p *control.IngressPoint, event *trace.Refused) {
	event.Facts = in.facts(s, p)
	in.tell(trace.Event{
		Time: in.cfg.Now(), Account: event.Facts.Account, Region: event.Facts.Region, Session: s.ID, Refused: event,
	})
}

// facts are what smtpd knows of the session and what the point and its host add.
func (in *Ingress) facts(s *smtpd.Session, p *control.IngressPoint) message.Session {
	f := s.Facts()
	f.ClientName = in.nameOf(s)
	if p != nil {
		f.Account, f.Region, f.IngressPoint = p.Account, p.Region, p.ID
	}
	v := visitOf(s)
	f.AuthVersion, f.SecretARN, f.Certificate = v.login.Version, v.login.SecretARN, v.certificate
	return f
}

// nameOf is the client's confirmed name, as far as it is known by now (Mail Manager, E1).
func (in *Ingress) nameOf(s *smtpd.Session) string {
	if in.cfg.Names == nil {
		return ""
	}
	return in.cfg.Names.Name(s.Remote.Addr())
}

func causeText(reply *smtp.Reply) string {
	if reply.Cause == nil {
		return ""
	}
	return reply.Cause.Error()
}
