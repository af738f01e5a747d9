// Package spool is the contract of the durable store of accepted messages and of the work that remains to be done for
// them. Five verbs change it (Begin, Accept, Claim, Settle, Renew), a few read, and two are for operators, who choose items
// (ClaimItems) and rules (AddRuleSet) themselves; all take and return values. The
// embedded implementation is spool/pebble; spool/memory has several owners and can lose leases, for tests; spooltest is
// the suite that every implementation passes.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/message"
)

// Errors of a Spool.
var (
	ErrNotFound  = errors.New("not in the spool")
	ErrLeaseLost = errors.New("the item's lease is no longer this owner's")
	ErrClosed    = errors.New("the spool is closed")
	ErrCorrupt   = errors.New("stored record does not match its checksum or format")
	ErrSlow      = errors.New("the disk took too long to make the message durable; it was taken back")
	// ErrNewerFormat says that a later version of the program wrote the spool: waiting does not help.
	ErrNewerFormat = errors.New("the spool was written by a later version of this program")
)

// SettleError says which settlements of a call to Settle were not applied: their index among the arguments and why
// (ErrLeaseLost, ErrCorrupt …). All others were applied. errors.Is finds each of the reasons.
type SettleError struct {
	Failed map[int]error
}

// Error implements error.
func (e *SettleError) Error() string {
	return fmt.Sprintf("settle: %d not applied: %v", len(e.Failed), errors.Join(e.Unwrap()...))
}

// Unwrap returns the reasons in the order of the arguments.
func (e *SettleError) Unwrap() []error {
	reasons := make([]error, 0, len(e.Failed))
	for _, index := range slices.Sorted(maps.Keys(e.Failed)) {
		reasons = append(reasons, e.Failed[index])
	}
	return reasons
}

// Lane names what can be slow or broken on its own, and the queue of items that wait for it.
type Lane string

// LaneProcess is where every message begins.
const LaneProcess Lane = "process"

// LaneCorrupt is where a spool puts an item whose record or message it cannot read, with what is known of it.
const LaneCorrupt Lane = "held/corrupt"

// RelayLane is the lane of a relay resource (Mail Manager, A28: account and region are part of every key).
func RelayLane(account, region, relayID string) Lane {
	return Lane("relay/" + account + "/" + region + "/" + relayID)
}

// LaneReport is where recipients go whose sender may be told what became of them; the item's Cursor says what.
const LaneReport Lane = "report"

// HopLane is the lane of a next hop that is no relay resource, host:port: the way of bounces. Its account and region are those
// of nobody.
func HopLane(address string) Lane { return Lane(hopPrefix + address) }

const hopPrefix = "hop/"

// Hop returns the host:port of a lane that HopLane made.
func (l Lane) Hop() (address string, ok bool) { return strings.CutPrefix(string(l), hopPrefix) }

// Shared reports whether items of several accounts can be in the lane; any other is of a resource, in one account and region.
func (l Lane) Shared() bool {
	_, hop := l.Hop()
	return hop || l.Held() || !strings.Contains(string(l), "/")
}

// HeldLane is where messages rest that nothing more will be tried for unless an operator says so.
func HeldLane(reason string) Lane { return Lane("held/" + reason) }

// Held reports whether the lane is one of those whose items rest.
func (l Lane) Held() bool { return strings.HasPrefix(string(l), "held/") }

// Kind is the part of the name before the first slash: process, relay, held …
func (l Lane) Kind() string {
	kind, _, _ := strings.Cut(string(l), "/")
	return kind
}

// Hash names a stored rule set by its content (SHA-256).
type Hash [32]byte

// Message is what does not change about an accepted message. Values are shared and must not be changed.
type Message struct {
	ID         message.ID
	Session    message.Session
	Envelope   message.Envelope // as accepted: only recipients that were accepted
	ReceivedAt time.Time
	Size       int64  // octets of the content as received, after dot-unstuffing, without trace fields
	Trace      string // trace header fields that we put before the content, with their CRLFs (Mail Manager, E1)
	RuleSetID  string
	RuleSet    Hash // the rules it is processed under (Mail Manager, D19)
}

// ItemKey names an item: the message and a number unique within it.
type ItemKey struct {
	Message message.ID
	Seq     uint32
}

// Item is one piece of work that remains to be done for some recipients of a message.
type Item struct {
	ItemKey
	Lane       Lane
	Due        time.Time // not before; the order within the lane is (Due, Message, Seq)
	Recipients []message.Recipient
	State      []byte // encoded message.Node: fields added and ranges removed; nil is the content as received
	Cursor     []byte // lane process: encoded rule.Cursor; nil is the beginning
	Rule       int    // 1-based index of the rule that made the item, 0 for none (Mail Manager, E20 and F21)
	Action     int    // 1-based index of the action within the rule
	Node       int    // number of the state node within the message and action
	RuleName   string
	ActionName string // RELAY, …
	Attempts   int
	LastReply  string // of the last attempt, for people
	Crashes    int    // how often the process died or panicked while the item's step ran
	Origin     Lane   // lanes held/…: where it came to rest from; empty when that is not known
	Warned     bool   // its sender was told that it is delayed
	Sender     string // the reverse-path it leaves with where that is another than its message's; empty: that one
	RuleSetID  string // the rules it is processed under where an operator chose others than its message's; see Rules
	RuleSet    Hash   // their content; zero: those of the message
}

// Rules are the rules that an item of the message is processed under: an operator's choice, or those that were current when
// the message was accepted (Mail Manager, D19).
func (i *Item) Rules(m *Message) (id string, hash Hash) {
	if i.RuleSet != (Hash{}) {
		return i.RuleSetID, i.RuleSet
	}
	return m.RuleSetID, m.RuleSet
}

// Content is a message's content: in memory, or to be read from the spool. It is counted by references because the
// session that accepted it and the work that follows share it; see Release.
type Content interface {
	// Bytes returns the whole content when it is in memory, else nil. The slices must not be changed, nor used after Release.
	Bytes() [][]byte
	// Size in octets.
	Size() int64
	// Retain adds a reference.
	Retain()
	// Release drops a reference; at the last the memory goes back to the budget.
	Release()
}

// Incoming is a message's content on its way in. It is used by one goroutine. Either it is handed to Accept, which ends
// it whatever the result, or Abort ends it.
type Incoming interface {
	io.Writer
	// Size is the octets written so far.
	Size() int64
	// Prefix returns up to the first 256 KiB + 1 of what was written; enough to read the header section. Valid until Accept or Abort.
	Prefix() []byte
	// Abort discards what was written. It does nothing after Accept.
	Abort()
}

// Acceptance is a message and its first items, to be made durable together with the content.
type Acceptance struct {
	Message Message
	Content Incoming
	Items   []Item
	Rules   []byte // the rule set's source, stored once under Message.RuleSet; ignored when it is there already
	Owner   string // who gets the items, already claimed; empty: nobody, they wait for Claim
	Until   time.Time
}

// Claimed is an item that the caller owns until its lease ends, with its message.
type Claimed struct {
	Item    Item
	Message *Message
	Content Content // nil unless the content is in memory already; see Spool.Content
}

// Settlement is the end of a step: items out, items in, messages that are born of it, in one atomic change. A rescheduled
// item is out and in with the same key. When the last item of a message is out, the message and its content go.
type Settlement struct {
	Owner  string
	Out    []ItemKey
	In     []Item
	Births []Birth
	Claim  bool // the items that come in are claimed by Owner; those of births are nobody's
	Until  time.Time
}

// Birth is a message that a step makes: a delivery status notification. Its Size is set by the spool. Its items wait for
// Claim.
type Birth struct {
	Message Message
	Content []byte
	Items   []Item
}

// LaneStat is what is in a lane.
type LaneStat struct {
	Lane   Lane
	Items  int
	Octets int64     // content of the items' messages; a message counts once for each of its items
	Oldest time.Time // the smallest Due
}

// Spool keeps messages and items. All methods may be called at once from many goroutines.
type Spool interface {
	// Begin starts the content of message id.
	Begin(ctx context.Context, id message.ID) (Incoming, error)
	// Accept makes the message durable and only then returns: what it returned nil for survives a power cut. Syncs are
	// shared by concurrent calls. The content that is returned has one reference and may be nil when it is not in memory.
	// ErrSlow says that the disk took too long: the message is taken back, nobody gets its items, and only a crash before
	// that is done can bring it back as a duplicate of what the client will send again.
	Accept(ctx context.Context, a Acceptance) (Content, error)
	// Claim gives owner up to n items of the lane that are due at now and not claimed, in their order, until a time. next is
	// when the lane's first item that is neither claimed nor returned here is due; the zero time when there is none. Leases of
	// others that ended by now are lost; those of owner are not, for an owner that claims is alive (S31: a clock
	// that jumps must not take its work from it).
	Claim(ctx context.Context, lane Lane, n int, owner string, now, until time.Time) (claimed []Claimed, next time.Time, err error)
	// ClaimItems gives owner those of the items that are there and not claimed, whenever they are due, until a time. Leases
	// that ended by now are lost as in Claim. Items that are claimed, by owner too, are left out, and so are those that are not
	// there or cannot be read. The items that are returned are as they are now, in no order.
	ClaimItems(ctx context.Context, owner string, now, until time.Time, keys []ItemKey) ([]Claimed, error)
	// Settle applies settlements, each whole or not at all. It returns ErrLeaseLost, with nothing of that settlement
	// applied, when an item that goes out is not the owner's. It is not synced by itself: it survives a crash of
	// any kind once a later Accept returned or 50 ms went by (docs/promises.md, Settle). An item comes in only with one of the same
	// message that goes out, and its Seq is new in the message or that of an item that goes out. A message is born only when there
	// is none with its id. When some settlements fail
	// the error is a *SettleError; any other error means that none was applied.
	Settle(ctx context.Context, settlements ...Settlement) error
	// Release gives claimed items back unchanged.
	Release(ctx context.Context, owner string, keys ...ItemKey) error
	// Renew extends every lease of owner. It returns ErrLeaseLost when any was lost since.
	Renew(ctx context.Context, owner string, until time.Time) error

	// AddRuleSet keeps a rule set's source under its hash, for items that are to be processed under it; what is there
	// already stays. It is durable when it returns, and may go at a start when no item needs it.
	AddRuleSet(ctx context.Context, hash Hash, source []byte) error
	// Content reads the content of a message from an offset.
	Content(ctx context.Context, id message.ID, from int64) (io.ReadCloser, error)
	// RuleSet returns a rule set's source by its hash.
	RuleSet(ctx context.Context, hash Hash) ([]byte, error)
	// Message returns a message and all its items.
	Message(ctx context.Context, id message.ID) (*Message, []Item, error)
	// Scan returns up to n items of a lane in their order, after an item (nil: from the start), with their messages.
	Scan(ctx context.Context, lane Lane, after *Item, n int) ([]Claimed, error)
	// Lanes returns what is in every lane that is not empty, ordered by name.
	Lanes(ctx context.Context) ([]LaneStat, error)
	// Close waits for running calls, syncs and ends. Later calls return ErrClosed.
	Close() error
}

// Journal notes whose step is running, so that after the process died its crash count can be raised for what was running
// and for nothing else. It survives the end of the process, not a power cut. Its methods may be called at once.
type Journal interface {
	// Begin notes that the item's step runs now.
	Begin(key ItemKey) (slot int)
	// End notes that the step of Begin's slot has ended.
	End(slot int)
	// Interrupted returns the items whose step was running when the process before this one died. An item is interrupted,
	// through further starts too, until a step of it that Begin noted has ended or a settlement has taken it out.
	Interrupted() []ItemKey
}
