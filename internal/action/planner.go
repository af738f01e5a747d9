package action

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/rule"
	"sluice/internal/spool"
	"sluice/internal/srs"
)

// maxItemRecipients is how many recipients one item has at most, and so one transaction. RFC 5321, section 4.5.3.1.8.
const maxItemRecipients = 100

// Relays finds relays. control.Snapshot is one.
type Relays interface {
	// Relay finds a relay by id or ARN; an ARN of another account or region is not found.
	Relay(scope control.Scope, idOrARN string) (*control.Relay, bool)
}

// Secret returns the current value of a secret by its ARN. It is called for every use: what it returns is not kept.
type Secret func(ctx context.Context, scope control.Scope, arn string) (string, error)

// PlannerConfig is what a Planner needs.
type PlannerConfig struct {
	Relays Relays
	Secret Secret
	// Strict reports whether an account has the profile aws-strict: its relays to private and loopback addresses are refused
	// (Mail Manager, E4). nil: none has.
	Strict func(account string) bool
	// Rewriter makes the senders of MailFrom REPLACE; nil: there is no domain for them, and such an action fails.
	Rewriter *srs.Rewriter
	Now      func() time.Time // nil is time.Now
}

// Planner makes work items of steps. It is safe for concurrent use.
type Planner struct {
	PlannerConfig
	actions map[string]plan
}

// plan makes the items of one action's step, or says what is wrong with its configuration.
type plan func(context.Context, *spool.Message, rule.Step) (items []spool.Item, failure string)

// NewPlanner returns a planner of every action that there is.
func NewPlanner(cfg PlannerConfig) *Planner {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Strict == nil {
		cfg.Strict = nobody
	}
	p := &Planner{PlannerConfig: cfg}
	p.actions = map[string]plan{
		rule.ActionRelay: p.relay,
	}
	return p
}

// nobody is the accounts that have the profile aws-strict when there are none.
func nobody(string) bool { return false }

// Plan returns the items that do the step: complete but for Message, Seq and Due. A failure is a configuration error, to
// which the action's failure policy applies (Mail Manager, E5); its text is for people and there are no items then.
func (p *Planner) Plan(ctx context.Context, m *spool.Message, step rule.Step) (items []spool.Item, failure string) {
	plan, ok := p.actions[step.ActionName]
	if !ok {
		return nil, fmt.Sprintf("action %s is not available", step.ActionName)
	}
	return plan(ctx, m, step)
}

// relay plans RELAY. What is found wrong here fails the action; what goes wrong with the relay afterwards is the executor's.
func (p *Planner) relay(ctx context.Context, m *spool.Message, step rule.Step) ([]spool.Item, string) {
	action := step.Do.Relay
	scope := control.Scope{Account: m.Session.Account, Region: m.Session.Region}
	name := string(mailmanager.Value(action.Relay))
	relay, ok := p.Relays.Relay(scope, name)
	switch {
	case !ok:
		return nil, fmt.Sprintf("relay %s does not exist", name)
	case p.Strict(scope.Account) && privateName(relay.Server):
		return nil, fmt.Sprintf("relay %s leads to a private or loopback address, which the profile aws-strict refuses", relay.ID)
	}
	if relay.SecretARN != "" {
		// One that cannot be read now is looked up again when the item is done: only a configuration fails the action (E5).
		if err := checkSecret(ctx, p.Secret, relay); err != nil && !errors.Is(err, errNotRead) {
			return nil, err.Error()
		}
	}
	sender, failure := p.sender(m, action)
	if failure != "" {
		return nil, failure
	}
	state, err := step.Node.AppendBinary(nil)
	if err != nil {
		return nil, fmt.Sprintf("message state: %v", err)
	}
	item := spool.Item{
		Lane:       spool.RelayLane(relay.Account, relay.Region, relay.ID),
		State:      state,
		Rule:       step.Rule,
		Action:     step.Action,
		Node:       step.NodeNumber,
		RuleName:   step.RuleName,
		ActionName: step.ActionName,
		Sender:     sender,
	}
	return split(item, step.Recipients), ""
}

// sender is the reverse-path that REPLACE puts in place of the message's; empty where that stays. One that cannot be rewritten
// fails the action: it would go out under a domain that the rule wanted replaced. Mail Manager, E2 and E3.
func (p *Planner) sender(m *spool.Message, action *mailmanager.RelayAction) (sender, failure string) {
	from := m.Envelope.ReversePath
	switch {
	case mailmanager.Value(action.MailFrom) != mailmanager.MailFromReplace:
		return "", ""
	case p.Rewriter == nil:
		return "", "MailFrom REPLACE needs a domain for replaced senders, and none is configured"
	}
	to, err := p.Rewriter.Forward(from, p.Now())
	switch {
	case err != nil:
		return "", fmt.Sprintf("MailFrom REPLACE cannot replace the sender %s: %v", from, err)
	case to.Received == from.Received:
		return "", ""
	}
	return to.Received, ""
}

// split makes one item of up to maxItemRecipients recipients, or as many as are needed.
func split(item spool.Item, recipients []message.Recipient) []spool.Item {
	items := make([]spool.Item, 0, 1)
	for chunk := range slices.Chunk(recipients, maxItemRecipients) {
		item.Recipients = chunk
		items = append(items, item)
	}
	return items
}

// privateName reports whether a server name says by itself that it is not a public host. Names that need the DNS are judged by
// their addresses when they are used.
func privateName(server string) bool {
	name := strings.ToLower(strings.TrimSuffix(server, "."))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && private(addr)
}
