package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/spool"
)

// steering is an operation that steers the queue. Whatever becomes of it, the audit log says so, unless it was a dry run.
func (api *API) steering(operation string, act queue.Act) handler {
	return func(ctx context.Context, caller awsapi.Caller, raw json.RawMessage) (any, error) {
		in, err := decode[client.SteerInput](raw)
		if err != nil {
			return nil, err
		}
		out, err := api.steer(ctx, caller, act, &in)
		if !in.DryRun {
			api.audit(ctx, caller, deed{operation, raw, &out, err})
		}
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

// deed is one act on the queue, as it was asked for and as it ended.
type deed struct {
	operation string
	input     json.RawMessage
	out       *client.SteerOutput
	err       error
}

// maxAuditedOctets is how much of an input the audit log has, ours: an act on client.MaxQueueResults items takes 80 KiB. What is
// refused may be as large as a body.
const maxAuditedOctets int = 128 << 10

// audit logs who did what, from where, to how much of the mail.
func (api *API) audit(ctx context.Context, caller awsapi.Caller, d deed) {
	out := d.out
	attributes := []slog.Attr{
		slog.String("operation", d.operation), slog.String("access_key_id", caller.AccessKeyID), slog.String("account", caller.Account),
		slog.String("region", caller.Region), slog.String("from", caller.Address), slog.String("request_id", caller.RequestID),
		slog.String("input", string(d.input[:min(len(d.input), maxAuditedOctets)])), slog.Int("done", out.Done), slog.Int("busy", out.Busy), slog.Int("skipped", out.Skipped),
		slog.Int("failed", out.Failed), slog.Bool("more", out.NextToken != ""),
	}
	if d.err != nil {
		attributes = append(attributes, slog.String("error", d.err.Error()))
	}
	api.cfg.Log.LogAttrs(context.WithoutCancel(ctx), slog.LevelInfo, "audit", attributes...)
}

// steer carries out an act for one page. With an error the output says what was done before.
func (api *API) steer(ctx context.Context, caller awsapi.Caller, act queue.Act, in *client.SteerInput) (out client.SteerOutput, err error) {
	scope := control.Scope{Account: caller.Account, Region: caller.Region}
	order := &queue.Order{Act: act, By: caller.AccessKeyID, DryRun: in.DryRun}
	if err := api.target(ctx, scope, order, in); err != nil {
		return out, err
	}
	switch {
	case (len(in.Items) > 0) == (in.Filter != nil):
		return out, mailmanager.Errorf(mailmanager.CodeValidation, "One of Items and Filter says what the act is for")
	case in.Filter != nil:
		err = api.steerFilter(ctx, scope, order, in, &out)
	default:
		err = api.steerItems(ctx, scope, order, in, &out)
	}
	switch {
	case errors.Is(err, queue.ErrNoBounces):
		return out, mailmanager.Errorf(mailmanager.CodeConflict, "Bounces are not available")
	case errors.Is(err, queue.ErrStopping):
		return out, &mailmanager.Error{Code: mailmanager.CodeUnavailable, Message: "The server is stopping", Cause: err}
	}
	return out, err
}

// target finds what mail is rerouted to.
func (api *API) target(ctx context.Context, scope control.Scope, order *queue.Order, in *client.SteerInput) error {
	if order.Act != queue.ActReroute {
		if in.RuleSetId != "" || in.RelayId != "" {
			return mailmanager.Errorf(mailmanager.CodeValidation, "RuleSetId and RelayId are of %s only", client.OpRerouteQueue)
		}
		return nil
	}
	if (in.RuleSetId == "") == (in.RelayId == "") {
		return mailmanager.Errorf(mailmanager.CodeValidation, "One of RuleSetId and RelayId says where to reroute to")
	}
	if in.RelayId != "" {
		relay, ok := api.cfg.Resources.Relay(scope, in.RelayId)
		if !ok {
			return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "Relay %s does not exist", in.RelayId)
		}
		order.Relay = spool.RelayLane(relay.Account, relay.Region, relay.ID)
		return nil
	}
	set, ok := api.cfg.Resources.RuleSet(control.Key{Scope: scope, ID: in.RuleSetId})
	if !ok {
		return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "Rule set %s does not exist", in.RuleSetId)
	}
	order.RuleSetID, order.RuleSet = set.ID, set.Hash
	if in.DryRun {
		return nil
	}
	if err := api.cfg.RuleSets.AddRuleSet(ctx, set.Hash, set.Source); err != nil {
		return fmt.Errorf("keep rule set %s: %w", set.ID, err)
	}
	return nil
}

// steerFilter acts on a page of what a filter selects.
func (api *API) steerFilter(ctx context.Context, scope control.Scope, o *queue.Order, in *client.SteerInput, out *client.SteerOutput) error {
	list := *in
	list.MaxResults, list.NextToken = 0, ""
	page, err := api.page(scope, in.MaxResults, client.MaxQueueResults, string(o.Act), list)
	if err != nil {
		return err
	}
	from, err := page.open(in.NextToken)
	if err != nil {
		return err
	}
	done, next, err := api.cfg.Queue.Steer(ctx, o, api.selection(scope, in.Filter), from, page.size)
	count(out, done)
	if err != nil {
		return err
	}
	out.NextToken, err = page.seal(next)
	return err
}

// steerItems acts on items that are named.
func (api *API) steerItems(ctx context.Context, scope control.Scope, o *queue.Order, in *client.SteerInput, out *client.SteerOutput) error {
	if len(in.Items) > client.MaxQueueResults || in.NextToken != "" || in.MaxResults != 0 {
		return mailmanager.Errorf(mailmanager.CodeValidation, "Items: up to %d, without MaxResults and NextToken", client.MaxQueueResults)
	}
	picks := make([]queue.Pick, len(in.Items))
	for i, ref := range in.Items {
		id, err := parseID(fmt.Sprintf("Items[%d].MessageId", i), ref.MessageId)
		if err != nil {
			return err
		}
		picks[i] = queue.Pick{Message: id, Seq: ref.Seq}
	}
	done, err := api.cfg.Queue.SteerPicked(ctx, o, api.selection(scope, &client.QueueFilter{}), picks)
	count(out, done)
	return err
}

// count adds what was done to an output.
func count(out *client.SteerOutput, done []queue.Steered) {
	out.Items = make([]client.SteeredItem, len(done))
	for i := range done {
		d := &done[i]
		switch d.Outcome {
		case queue.SteerDone:
			out.Done++
		case queue.SteerBusy:
			out.Busy++
		case queue.SteerSkipped:
			out.Skipped++
		case queue.SteerFailed:
			out.Failed++
		}
		out.Items[i] = client.SteeredItem{
			MessageId: d.Item.Message.String(), Seq: d.Item.Seq, Recipients: message.Addresses(d.Recipients),
			Lane: string(d.Lane), To: string(d.To), Outcome: string(d.Outcome), Reason: d.Reason,
		}
	}
}
