package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"sluice/internal/admin/client"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/spool"
)

// defaultQueueResults is how many items a page has when the caller does not say.
const defaultQueueResults int = 100

// Queue finds what waits and steers it. A queue.Queue is one.
type Queue interface {
	Lanes() []queue.LaneState
	Find(ctx context.Context, s *queue.Selection, from queue.Position, n int) ([]queue.Found, queue.Position, error)
	Show(ctx context.Context, s *queue.Selection, id message.ID) (*spool.Message, []queue.Found, error)
	Steer(ctx context.Context, o *queue.Order, s *queue.Selection, from queue.Position, n int) ([]queue.Steered, queue.Position, error)
	SteerPicked(ctx context.Context, o *queue.Order, s *queue.Selection, picks []queue.Pick) ([]queue.Steered, error)
}

// Resources finds where mail can be rerouted to. A control.Snapshot is one.
type Resources interface {
	RuleSet(control.Key) (*control.RuleSet, bool)
	Relay(scope control.Scope, idOrARN string) (*control.Relay, bool)
}

// RuleSets keeps the source of a rule set for items that go through it. Every spool.Spool does.
type RuleSets interface {
	AddRuleSet(ctx context.Context, hash spool.Hash, source []byte) error
}

// selection is what of the caller's mail a filter selects.
func (api *API) selection(scope control.Scope, f *client.QueueFilter) *queue.Selection {
	return &queue.Selection{
		Account: scope.Account, Region: scope.Region, Unreadable: scope.Account == api.cfg.Operator,
		Lane: f.Lane, Sender: f.Sender, Recipient: f.Recipient,
		ReceivedBefore: f.ReceivedBefore, ReceivedAfter: f.ReceivedAfter, MinSize: f.MinSize, MaxSize: f.MaxSize,
	}
}

func (api *API) listQueue(ctx context.Context, scope control.Scope, in client.ListQueueInput) (out client.ListQueueOutput, err error) {
	page, err := api.page(scope, in.MaxResults, defaultQueueResults, client.OpListQueue, in.Filter)
	if err != nil {
		return out, err
	}
	from, err := page.open(in.NextToken)
	if err != nil {
		return out, err
	}
	found, next, err := api.cfg.Queue.Find(ctx, api.selection(scope, &in.Filter), from, page.size)
	if err != nil {
		return out, fmt.Errorf("look through the queue: %w", err)
	}
	out.Items = make([]client.QueueItem, len(found))
	for i := range found {
		out.Items[i] = queueItem(&found[i])
	}
	out.NextToken, err = page.seal(next)
	return out, err
}

func queueItem(f *queue.Found) client.QueueItem {
	item := client.QueueItem{
		MessageId: f.Item.Message.String(), Seq: f.Item.Seq, Lane: string(f.Item.Lane), State: f.State,
		Sender: f.Message.Envelope.ReversePath.Received, Recipients: message.Addresses(f.Item.Recipients),
		Size: f.Message.Size, Received: f.Message.ReceivedAt, Attempts: f.Item.Attempts, LastReply: f.Item.LastReply,
		HeldFrom: string(f.Item.Origin), Rule: f.Item.Rule, RuleName: f.Item.RuleName, Action: f.Item.ActionName,
	}
	if f.Item.Lane.Held() {
		item.HeldSince = f.Item.Due
	} else {
		item.Due = f.Item.Due
	}
	return item
}

func (api *API) showMessage(ctx context.Context, scope control.Scope, in client.ShowMessageInput) (out client.ShowMessageOutput, err error) {
	id, err := parseID("MessageId", in.MessageId)
	if err != nil {
		return out, err
	}
	m, found, err := api.cfg.Queue.Show(ctx, api.selection(scope, &client.QueueFilter{}), id)
	if errors.Is(err, spool.ErrNotFound) {
		return out, mailmanager.Errorf(mailmanager.CodeResourceNotFound, "No message %s is in the queue", id)
	}
	if err != nil {
		return out, fmt.Errorf("show message %s: %w", id, err)
	}
	out = client.ShowMessageOutput{
		MessageId: m.ID.String(), SessionId: m.Session.ID.String(), IngressPointId: m.Session.IngressPoint,
		Client: m.Session.Client.String(), Hello: m.Session.Hello, Sender: m.Envelope.ReversePath.Received,
		Recipients: message.Addresses(m.Envelope.Recipients), Received: m.ReceivedAt, Size: m.Size, RuleSetId: m.RuleSetID,
	}
	for i := range found {
		out.Items = append(out.Items, queueItem(&found[i]))
	}
	return out, nil
}

func parseID(member, text string) (message.ID, error) {
	id, err := message.ParseID(text)
	if err != nil {
		return id, mailmanager.Errorf(mailmanager.CodeValidation, "%s: %v", member, err)
	}
	return id, nil
}

// listLanes joins what the spool has in its lanes with how the queue runs them.
func (api *API) listLanes(ctx context.Context, scope control.Scope, in client.ListLanesInput) (client.ListLanesOutput, error) {
	stats, err := api.cfg.Lanes.Lanes(ctx)
	if err != nil {
		return client.ListLanesOutput{}, fmt.Errorf("read the lanes: %w", err)
	}
	running := map[spool.Lane]queue.LaneState{}
	for _, state := range api.cfg.Queue.Lanes() {
		running[state.Lane] = state
	}
	out := client.ListLanesOutput{Lanes: []client.LaneState{}}
	below := strings.TrimSuffix(in.Lane, "/") + "/"
	for _, stat := range stats {
		if api.visible(stat.Lane, scope) && (in.Lane == "" || string(stat.Lane) == in.Lane || strings.HasPrefix(string(stat.Lane), below)) {
			out.Lanes = append(out.Lanes, laneState(stat, running[stat.Lane]))
		}
	}
	return out, nil
}

func laneState(stat spool.LaneStat, s queue.LaneState) client.LaneState {
	return client.LaneState{
		Name: string(stat.Lane), State: cmp.Or(s.State, "RESTING"), Items: stat.Items, Octets: stat.Octets, Oldest: stat.Oldest,
		Ready: s.Ready, Running: s.Running, Workers: s.Workers, Rate: s.Rate, Until: s.Until, Error: s.Error, ErrorAt: s.ErrorAt,
	}
}

// queuePage is one page of a list of the queue.
type queuePage struct {
	tokens control.PageTokens
	scope  []string
	size   int
}

// page checks how long a page may be. list is everything that selects the list: a token of another list does not open.
func (api *API) page(scope control.Scope, size, otherwise int, operation string, list any) (*queuePage, error) {
	if size < 0 || size > client.MaxQueueResults {
		return nil, mailmanager.Errorf(mailmanager.CodeValidation, "MaxResults: %d is not from 1 to %d", size, client.MaxQueueResults)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("print the filter: %w", err)
	}
	return &queuePage{tokens: api.cfg.Tokens, scope: []string{scope.Account, scope.Region, operation, string(text)}, size: cmp.Or(size, otherwise)}, nil
}

func (p *queuePage) open(token string) (position queue.Position, err error) {
	if token == "" {
		return position, nil
	}
	text, err := p.tokens.Open(token, p.scope...)
	if err != nil {
		return position, err
	}
	if err := json.Unmarshal(text, &position); err != nil {
		return position, fmt.Errorf("read a position of ours: %w", err)
	}
	return position, nil
}

func (p *queuePage) seal(position queue.Position) (string, error) {
	if position.IsZero() {
		return "", nil
	}
	text, err := json.Marshal(position)
	if err != nil {
		return "", fmt.Errorf("print a position: %w", err)
	}
	return p.tokens.Seal(text, p.scope...), nil
}
