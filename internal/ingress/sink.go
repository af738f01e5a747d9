package ingress

import (
	"context"
	"errors"
	"time"

	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// sink takes the content of one message from smtpd to the spool.
type sink struct {
	spool.Incoming
	binding *binding
	t       *smtpd.Transaction
	id      message.ID
}

// Data implements smtpd.Binding.
func (b *binding) Data(ctx context.Context, t *smtpd.Transaction) (smtpd.Sink, *smtp.Reply) {
	if reason, ok := b.reserve(t.Host.(*transaction), t.DeclaredSize); !ok {
		return nil, b.refuse(t, "DATA", replyBehind.Because(errors.New(reason)), reasonStorage)
	}
	id := message.NewID(b.in.cfg.Now())
	incoming, err := b.mail.Spool.Begin(ctx, id)
	if err != nil {
		return nil, b.refuse(t, "DATA", replyTemporary.Because(err), reasonInternal)
	}
	return &sink{Incoming: incoming, binding: b, t: t, id: id}, nil
}

// Commit implements smtpd.Sink: the message is durable before the reply says so (Mail Manager, B14), and is then handed
// to processing in memory when there is room.
func (s *sink) Commit(ctx context.Context) *smtp.Reply {
	b := s.binding
	in := b.in
	rules, err := in.ruleSet(b.point)
	if err != nil {
		s.Abort()
		return b.refuse(s.t, "DATA", replyTemporary.Because(err), reasonInternal)
	}
	acceptance := s.acceptance(rules)
	if handsOver(acceptance.Items) && b.mail.Queue.Room(s.Size()) {
		acceptance.Owner, acceptance.Until = b.mail.Queue.Lease()
	}
	content, err := b.mail.Spool.Accept(ctx, acceptance)
	if err != nil {
		in.cfg.Logger.Error("message not accepted", "message_id", s.id.String(), "session_id", b.session.ID.String(), "error", err)
		return b.refuse(s.t, "DATA", replyTemporary.Because(err), reasonInternal)
	}
	s.traceAccepted(&acceptance.Message)
	b.recordAccepted(&acceptance.Message)
	s.handOver(ctx, &acceptance, content)
	in.metrics.accepted.Inc()
	in.metrics.octets.Add(float64(acceptance.Message.Size))
	return smtp.NewReply(250, 2, 0, 0, "OK "+s.id.String())
}

func (s *sink) acceptance(rules *control.RuleSet) spool.Acceptance {
	now := s.binding.in.cfg.Now()
	point := s.binding.point
	session := s.binding.in.facts(s.binding.session, point)
	received := message.Received{
		Session: &session, By: point.ARecord, ID: s.id, Date: now, Recipients: s.t.Envelope.Recipients,
		UTF8: s.t.Envelope.UTF8,
	}
	return spool.Acceptance{
		Message: spool.Message{
			ID: s.id, Session: session, Envelope: s.t.Envelope, ReceivedAt: now, Size: s.Size(),
			Trace: received.String(), RuleSetID: rules.ID, RuleSet: rules.Hash,
		},
		Content: s.Incoming,
		Items:   s.items(&session, now),
		Rules:   rules.Source,
	}
}

// items are what the message begins with: its recipients are taken through the rules, but for those who are addresses of ours
// that bounces come back to (Mail Manager, E19).
func (s *sink) items(session *message.Session, now time.Time) []spool.Item {
	in := s.binding.in
	ordinary, returned := in.parted(s.t.Envelope.Recipients)
	var items []spool.Item
	if len(ordinary) > 0 {
		items = append(items, spool.Item{ItemKey: spool.ItemKey{Message: s.id}, Lane: spool.LaneProcess, Due: now, Recipients: ordinary})
	}
	if len(returned) > 0 {
		key := spool.ItemKey{Message: s.id, Seq: uint32(len(items))}
		items = append(items, spool.Item{ItemKey: key, Lane: in.wayBack(session), Due: now, Recipients: returned})
	}
	return items
}

// handsOver reports whether what a message begins with can go on in memory: one item that is processed.
func handsOver(items []spool.Item) bool { return len(items) == 1 && items[0].Lane == spool.LaneProcess }

// handOver passes the message's first item on. What the queue does not take waits in the spool.
func (s *sink) handOver(ctx context.Context, a *spool.Acceptance, content spool.Content) {
	queue := s.binding.mail.Queue
	if a.Owner == "" {
		release(content)
		for i := range a.Items {
			queue.Notify(a.Items[i].Lane)
		}
		return
	}
	if queue.Offer(spool.Claimed{Item: a.Items[0], Message: &a.Message, Content: content}) {
		s.binding.in.metrics.handedOver.Inc()
		return
	}
	release(content)
	if err := s.binding.mail.Spool.Release(ctx, a.Owner, a.Items[0].ItemKey); err != nil {
		s.binding.in.cfg.Logger.Warn("an accepted message waits for its lease to end", "message_id", s.id.String(), "error", err)
	}
	queue.Notify(spool.LaneProcess)
}

func release(content spool.Content) {
	if content != nil {
		content.Release()
	}
}

func (s *sink) traceAccepted(m *spool.Message) {
	s.binding.in.tell(trace.Event{
		Time: m.ReceivedAt, Account: m.Session.Account, Region: m.Session.Region, Message: m.ID, Session: m.Session.ID,
		Accepted: &trace.Accepted{
			Facts: m.Session, ReversePath: m.Envelope.ReversePath.Received, Recipients: message.Addresses(m.Envelope.Recipients), Size: m.Size,
			TrafficPolicyID: s.binding.policy.ID, Decisions: s.t.Host.(*transaction).decisions, RuleSetID: m.RuleSetID,
		},
	})
}

// ruleSet is the point's rule set as it is now (Mail Manager, D19). The point itself may have been changed since the
// session began; the rule set follows it, only the policy stays.
func (in *Ingress) ruleSet(p *control.IngressPoint) (*control.RuleSet, error) {
	points, err := in.control()
	if err != nil {
		return nil, err
	}
	if newest, ok := points.IngressPoint(p.Key); ok {
		p = newest
	}
	rules, ok := points.RuleSet(control.Key{Scope: p.Scope, ID: p.RuleSetID})
	if !ok {
		return nil, errors.Join(errNoRuleSet, errors.New(p.RuleSetID))
	}
	return rules, nil
}
