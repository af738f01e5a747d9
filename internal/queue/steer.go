package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// heldOperator is the reason of mail that an operator holds; the lane is held/operator.
const heldOperator string = "operator"

// steerBatch is how many items are steered at once: so much waits for the spool while the rest of the queue goes on.
const steerBatch int = 256

// steerRecipients is how many recipients an item has at most that goes to a relay. RFC 5321, section 4.5.3.1.8.
const steerRecipients int = 100

// Act is what an operator does to items that wait.
type Act string

// The acts. A held item can be released, a waiting one held and retried, and all can be bounced, discarded and rerouted.
const (
	ActHold    Act = "HOLD"    // rests in held/operator until it is released
	ActRelease Act = "RELEASE" // goes on where it came to rest from
	ActRetry   Act = "RETRY"   // is tried now
	ActBounce  Act = "BOUNCE"  // is given up: its sender is told
	ActDiscard Act = "DISCARD" // is given up without a word
	ActReroute Act = "REROUTE" // goes through another rule set, or to a relay
)

// Order is an act, by whom, and where to.
type Order struct {
	Act    Act
	By     string // the access key id
	DryRun bool   // nothing is done; what would be is returned

	// REROUTE: to the lane of a relay, or else through a rule set, whose source the spool has already.
	Relay     spool.Lane
	RuleSetID string
	RuleSet   spool.Hash
}

// SteerOutcome is what became of one item.
type SteerOutcome string

// The outcomes of steering.
const (
	SteerDone    SteerOutcome = "DONE"
	SteerBusy    SteerOutcome = "BUSY"    // its step runs, or it moved meanwhile: it may be steered again
	SteerSkipped SteerOutcome = "SKIPPED" // the act does not apply to it
	SteerFailed  SteerOutcome = "FAILED"
)

// Steered is what became of one item that an act was meant for.
type Steered struct {
	Item       spool.ItemKey
	Recipients []message.Recipient
	Lane       spool.Lane
	To         spool.Lane // where it went; empty: nowhere
	Outcome    SteerOutcome
	Reason     string // of all but DONE
}

// Pick names the items of a message, or one of them.
type Pick struct {
	Message message.ID
	Seq     *uint32 // nil: all
}

var (
	// ErrStopping says that the queue stops and takes no orders.
	ErrStopping = errors.New("the queue is stopping")
	// ErrNoBounces says that there is nothing that bounces.
	ErrNoBounces = errors.New("bounces are not available")
)

// Steer carries out an order for up to n selected items to which it applies, behind a position. next is where to go on;
// zero means that there are no more. It works batch by batch: with an error, what was done is returned too, and stays done.
// It may run beside workers: an item whose step runs is BUSY and left alone. What came into its lane after the first page was
// begun is not meant: an item that was released and is held again would be released for ever.
func (q *Queue) Steer(ctx context.Context, o *Order, s *Selection, from Position, n int) (done []Steered, next Position, err error) {
	if err := q.permits(o); err != nil {
		return nil, Position{}, err
	}
	began := from.Began
	if began.IsZero() {
		began = q.clock.Latest()
	}
	var batch []spool.Claimed
	carryOut := func() error {
		some, err := q.steer(ctx, o, batch)
		done, batch = append(done, some...), batch[:0]
		return err
	}
	next, err = q.walk(ctx, s, from, func(c spool.Claimed) (more bool, err error) {
		if _, why := q.follow(o, c.Message, c.Item); why != "" || isLater(&c.Item, began, q.clock.Latest()) {
			return true, nil
		}
		if batch = append(batch, c); len(batch) == steerBatch {
			err = carryOut()
		}
		return len(done)+len(batch) < n, err
	})
	if err == nil {
		err = carryOut()
	}
	if err != nil || next.IsZero() {
		return done, Position{}, err
	}
	next.Began = began
	return done, next, nil
}

// isLater reports whether the item came into its lane since a time: it was due at once then, as one that was tried or that
// is due later still was not.
func isLater(item *spool.Item, began, now time.Time) bool {
	return (item.Lane.Held() || item.Attempts == 0) && item.Due.After(began) && !item.Due.After(now)
}

// SteerPicked carries out an order for items that are named. Of one that is not there, of another account or region, or to
// which the order does not apply, the outcome is SKIPPED.
func (q *Queue) SteerPicked(ctx context.Context, o *Order, s *Selection, picks []Pick) (done []Steered, err error) {
	if err := q.permits(o); err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(picks, steerBatch) {
		var batch []spool.Claimed
		for _, p := range chunk {
			found, refused := q.pick(ctx, s, p)
			batch = append(batch, found...)
			done = append(done, refused...)
		}
		some, err := q.steer(ctx, o, batch)
		done = append(done, some...)
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// permits returns why the order cannot be carried out for any item.
func (q *Queue) permits(o *Order) error {
	if o.Act == ActBounce && q.cfg.Bounce == nil {
		return ErrNoBounces
	}
	return nil
}

// pick finds the items that are named.
func (q *Queue) pick(ctx context.Context, s *Selection, p Pick) (found []spool.Claimed, refused []Steered) {
	m, items, err := q.cfg.Spool.Message(ctx, p.Message)
	if err == nil && s.owns(m) {
		for i := range items {
			if p.Seq == nil || items[i].Seq == *p.Seq {
				found = append(found, spool.Claimed{Item: items[i], Message: m})
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	none := Steered{Item: spool.ItemKey{Message: p.Message}, Outcome: SteerSkipped, Reason: "it is not in the queue"}
	if p.Seq != nil {
		none.Item.Seq = *p.Seq
	}
	if err != nil && !errors.Is(err, spool.ErrNotFound) {
		none.Outcome, none.Reason = SteerFailed, "it cannot be read"
	}
	return nil, []Steered{none}
}

// follow returns what follows of an item by an order, or why the order does not apply. BOUNCE follows later.
func (q *Queue) follow(o *Order, m *spool.Message, item spool.Item) (in []spool.Item, why string) {
	now := q.clock.Now()
	if l := item.Lane; l == spool.LaneCorrupt && o.Act != ActDiscard {
		return nil, "it cannot be read"
	}
	switch o.Act {
	case ActHold:
		return followHold(o, item, now)
	case ActRelease:
		return followRelease(item, now)
	case ActRetry:
		return followRetry(item, now)
	case ActReroute:
		return followReroute(o, m, item, now)
	}
	return nil, ""
}

func followHold(o *Order, item spool.Item, now time.Time) ([]spool.Item, string) {
	if item.Lane.Held() {
		return nil, "it is held already"
	}
	rest(&item, heldOperator, now)
	item.LastReply = "held by " + o.By
	return []spool.Item{item}, ""
}

// followRelease brings an item back. One that ended the process runs alone at first.
func followRelease(item spool.Item, now time.Time) ([]spool.Item, string) {
	switch {
	case !item.Lane.Held():
		return nil, "it is not held"
	case item.Origin == "":
		return nil, "it is not known where it came from: it can be rerouted"
	}
	item.Lane, item.Origin, item.Due = item.Origin, "", now
	item.Crashes = min(item.Crashes, aloneCrashes)
	return []spool.Item{item}, ""
}

func followRetry(item spool.Item, now time.Time) ([]spool.Item, string) {
	if item.Lane.Held() {
		return nil, "it is held: it can be released"
	}
	if item.Due.After(now) {
		item.Due = now
	}
	return []spool.Item{item}, ""
}

// followReroute begins anew: through a rule set with the content as received, or at a relay with the message as it is.
func followReroute(o *Order, m *spool.Message, item spool.Item, now time.Time) ([]spool.Item, string) {
	fresh := spool.Item{ItemKey: item.ItemKey, Recipients: item.Recipients, Due: now}
	if o.Relay == "" {
		if _, hash := item.Rules(m); item.Lane == spool.LaneProcess && hash == o.RuleSet {
			return nil, "it waits for that rule set"
		}
		fresh.Lane, fresh.RuleSetID, fresh.RuleSet = spool.LaneProcess, o.RuleSetID, o.RuleSet
		return []spool.Item{fresh}, ""
	}
	switch {
	case item.Lane == o.Relay:
		return nil, "it waits for that relay"
	case item.Cursor != nil:
		return nil, "its rule set is not through with it"
	}
	fresh.Lane, fresh.State = o.Relay, item.State
	fresh.Rule, fresh.RuleName, fresh.Action, fresh.ActionName, fresh.Node = item.Rule, item.RuleName, item.Action, "RELAY", item.Node
	var in []spool.Item
	for chunk := range slices.Chunk(item.Recipients, steerRecipients) {
		fresh.Recipients = chunk
		in = append(in, fresh)
	}
	return in, ""
}

// steered is the trace of an act.
func (o *Order) steered(item *spool.Item, in []spool.Item) *trace.Steered {
	s := &trace.Steered{Act: string(o.Act), By: o.By, Lane: string(item.Lane), Recipients: message.Addresses(item.Recipients)}
	if len(in) > 0 {
		s.To = string(in[0].Lane)
	}
	if o.Act == ActReroute {
		s.RuleSetID = o.RuleSetID
	}
	return s
}

// bounce asks for what follows of a bounced item.
func (q *Queue) bounce(ctx context.Context, m *spool.Message, item spool.Item) (in []spool.Item, err error) {
	if err := q.cfg.Bounce(ctx, m, &item); err != nil {
		return nil, fmt.Errorf("bounce item %s/%d: %w", item.Message, item.Seq, err)
	}
	if item.Lane == "" {
		return nil, nil
	}
	return []spool.Item{item}, nil
}
