// Package admin is the admin API behind every sluice subcommand that asks a running server something, and the pages that
// tell people and machines how the server is: /healthz, /readyz and /metrics. The wire, and who may call, is awsapi's;
// what the calls look like from outside is in package client. Start with New and NewPages.
package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sluice/internal/action"
	"sluice/internal/admin/client"
	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// Traces finds what is known of a message or session. Get returns an error with mailmanager.CodeResourceNotFound when
// that is nothing, also when the id is of another account or region; Find one that wraps trace.ErrToken for a token that
// is none.
type Traces interface {
	Get(ctx context.Context, account, region string, id message.ID) (trace.Record, error)
	Find(ctx context.Context, q trace.Query) (trace.Page, error)
}

// Points yields every ingress point of every account and region.
type Points interface {
	Points() iter.Seq[*control.IngressPoint]
}

// Sockets tells where ingress points are reached now, and why a point is not.
type Sockets interface {
	Bound(key control.Key) []string
}

// Lanes tells what waits in the spool.
type Lanes interface {
	Lanes(ctx context.Context) ([]spool.LaneStat, error)
}

// Relays finds relays by id or ARN, and tries them without sending mail.
type Relays interface {
	Relay(scope control.Scope, idOrARN string) (*control.Relay, bool)
	Try(ctx context.Context, relay *control.Relay) action.Trial
}

// Mail is what the admin API asks of mail. The zero Mail is that of a server whose spool is not open: what is about mail is then
// answered ServiceUnavailable, and everything else is served (S29).
type Mail struct {
	Traces   Traces
	Lanes    Lanes
	Queue    Queue
	RuleSets RuleSets
}

func (m *Mail) served() bool { return m.Lanes != nil }

// Config is what the admin API works with. Every field but Mail, Version, StatusReason and Operator must be set.
type Config struct {
	Mail
	Points       Points
	Sockets      Sockets
	Resources    Resources
	Tokens       control.PageTokens
	Log          *slog.Logger
	Relays       Relays
	Users        Users
	Readiness    Readiness
	StatusReason func(control.Key) string // why a point is FAILED; nil: nobody knows
	Version      string
	Profile      func(account string) string // name of its profile; nil: accounts have none
	// Operator is the server's own account, which sees messages that cannot be read, and so are nobody's, and the lanes that
	// all accounts share; empty: none does.
	Operator string
}

// handler carries out one operation; its output is marshalled to JSON.
type handler func(ctx context.Context, caller awsapi.Caller, input json.RawMessage) (output any, err error)

// API implements awsapi.AdminHandler. It is safe for concurrent use.
type API struct {
	cfg        Config
	operations map[string]handler
}

var _ awsapi.AdminHandler = (*API)(nil)

// New returns the admin API of a server.
func New(cfg Config) *API {
	api := &API{cfg: cfg}
	api.operations = map[string]handler{
		client.OpListListeners: typed(api.listListeners),
		client.OpGetStatus:     typed(api.getStatus),
		client.OpTestRelay:     typed(api.testRelay),
	}
	maps.Copy(api.operations, api.aboutUsers())
	for operation, handle := range api.aboutMail() {
		if !cfg.Mail.served() {
			handle = api.unavailable
		}
		api.operations[operation] = handle
	}
	return api
}

// aboutMail are the operations that need the spool, or what stands on it.
func (api *API) aboutMail() map[string]handler {
	operations := map[string]handler{
		client.OpGetTrace:    typed(api.getTrace),
		client.OpFindTraces:  typed(api.findTraces),
		client.OpListQueue:   typed(api.listQueue),
		client.OpShowMessage: typed(api.showMessage),
		client.OpListLanes:   typed(api.listLanes),
	}
	for operation, act := range map[string]queue.Act{
		client.OpHoldQueue:    queue.ActHold,
		client.OpReleaseQueue: queue.ActRelease,
		client.OpRetryQueue:   queue.ActRetry,
		client.OpBounceQueue:  queue.ActBounce,
		client.OpDiscardQueue: queue.ActDiscard,
		client.OpRerouteQueue: queue.ActReroute,
	} {
		operations[operation] = api.steering(operation, act)
	}
	return operations
}

// unavailable refuses what is about mail while there is none, and says why.
func (api *API) unavailable(context.Context, awsapi.Caller, json.RawMessage) (any, error) {
	return nil, mailmanager.Errorf(mailmanager.CodeUnavailable, "Mail is not served: %s", strings.Join(api.cfg.Readiness.Reasons(), "; "))
}

// Operations are the names of the operations, in order.
func (api *API) Operations() []string { return slices.Sorted(maps.Keys(api.operations)) }

// HandleAdmin carries out an operation in the account and region of the caller.
func (api *API) HandleAdmin(ctx context.Context, caller awsapi.Caller, operation string, input json.RawMessage) (any, error) {
	handle, ok := api.operations[operation]
	if !ok {
		return nil, mailmanager.Errorf(mailmanager.CodeUnknownOperation, "The admin API has no operation %q", operation)
	}
	return handle(ctx, caller, input)
}

// typed gives an operation its input decoded, in the account and region of the caller.
func typed[In, Out any](do func(context.Context, control.Scope, In) (Out, error)) handler {
	return func(ctx context.Context, caller awsapi.Caller, raw json.RawMessage) (any, error) {
		input, err := decode[In](raw)
		if err != nil {
			return nil, err
		}
		return do(ctx, control.Scope{Account: caller.Account, Region: caller.Region}, input)
	}
}

// decode reads an input. An unknown member is refused: it is a caller's typing mistake.
func decode[In any](raw json.RawMessage) (input In, err error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&input); err != nil {
		return input, mailmanager.Errorf(mailmanager.CodeSerialization, "The input cannot be read: %v", err)
	}
	return input, nil
}

func (api *API) getTrace(ctx context.Context, scope control.Scope, in client.GetTraceInput) (client.GetTraceOutput, error) {
	id, err := message.ParseID(in.Id)
	if errors.Is(err, message.ErrMalformedID) {
		return client.GetTraceOutput{}, mailmanager.Errorf(mailmanager.CodeValidation, "Id: %v", err)
	}
	record, err := api.cfg.Traces.Get(ctx, scope.Account, scope.Region, id)
	if err != nil {
		return client.GetTraceOutput{}, fmt.Errorf("look up trace %s: %w", id, err)
	}
	return client.GetTraceOutput{Record: record}, nil
}

func (api *API) findTraces(ctx context.Context, scope control.Scope, in client.FindTracesInput) (client.FindTracesOutput, error) {
	query := trace.Query{
		Account: scope.Account, Region: scope.Region, Sender: in.Sender, Recipient: in.Recipient,
		Since: in.Since, Until: in.Until, Refused: in.Refused, Limit: in.Limit, Token: in.NextToken,
	}
	if in.Client != "" {
		address, err := netip.ParseAddr(in.Client)
		if err != nil {
			return client.FindTracesOutput{}, mailmanager.Errorf(mailmanager.CodeValidation, "Client: %v", err)
		}
		query.Client = address
	}
	if in.Limit < 0 || in.Limit > trace.MaxFindLimit {
		return client.FindTracesOutput{}, mailmanager.Errorf(mailmanager.CodeValidation, "Limit: %d is not between 0 and %d", in.Limit, trace.MaxFindLimit)
	}
	page, err := api.cfg.Traces.Find(ctx, query)
	if errors.Is(err, trace.ErrToken) {
		return client.FindTracesOutput{}, mailmanager.Errorf(mailmanager.CodeValidation, "NextToken: %v", err)
	}
	if err != nil {
		return client.FindTracesOutput{}, err
	}
	return client.FindTracesOutput{Traces: page.Found, NextToken: page.Next}, nil
}

func (api *API) listListeners(_ context.Context, scope control.Scope, _ client.ListListenersInput) (client.ListListenersOutput, error) {
	listeners := []client.Listener{}
	for point := range api.cfg.Points.Points() {
		if point.Scope == scope {
			listeners = append(listeners, api.listener(point))
		}
	}
	slices.SortFunc(listeners, func(a, b client.Listener) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.IngressPointId, b.IngressPointId))
	})
	return client.ListListenersOutput{Listeners: listeners}, nil
}

func (api *API) listener(point *control.IngressPoint) client.Listener {
	listener := client.Listener{
		IngressPointId: point.ID,
		Name:           point.Name,
		Status:         string(point.Status),
		Addresses:      api.cfg.Sockets.Bound(point.Key),
	}
	if control.HasFailed(point.Status) && api.cfg.StatusReason != nil {
		listener.StatusReason = api.cfg.StatusReason(point.Key)
	}
	return listener
}

func (api *API) getStatus(ctx context.Context, scope control.Scope, _ client.GetStatusInput) (client.GetStatusOutput, error) {
	status := client.GetStatusOutput{Version: api.cfg.Version, NotReady: api.cfg.Readiness.Reasons()}
	if api.cfg.Profile != nil {
		status.Profile = api.cfg.Profile(scope.Account)
	}
	if !api.cfg.Mail.served() {
		return status, nil
	}
	stats, err := api.cfg.Lanes.Lanes(ctx)
	if err != nil {
		return client.GetStatusOutput{}, fmt.Errorf("read the lanes: %w", err)
	}
	for _, stat := range stats {
		if !api.visible(stat.Lane, scope) {
			continue
		}
		status.Lanes = append(status.Lanes, client.Lane{
			Name: string(stat.Lane), Items: stat.Items, Octets: stat.Octets, Oldest: stat.Oldest,
		})
	}
	return status, nil
}

// visible reports whether a caller may see a lane: those of a resource belong to its scope. The others have the mail of all
// accounts in them, and are for the server's own account to see: how much waits there would tell of others (S36).
func (api *API) visible(lane spool.Lane, scope control.Scope) bool {
	_, resource, _ := strings.Cut(string(lane), "/")
	if lane.Shared() {
		return scope.Account == api.cfg.Operator
	}
	return strings.HasPrefix(resource, scope.Account+"/"+scope.Region+"/")
}
