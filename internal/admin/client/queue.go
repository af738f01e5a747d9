package client

import (
	"context"
	"time"
)

// The operations on the queue. Those from HoldQueue on are acts: each takes a SteerInput.
const (
	OpListQueue    = "ListQueue"
	OpShowMessage  = "ShowMessage"
	OpListLanes    = "ListLanes"
	OpHoldQueue    = "HoldQueue"
	OpReleaseQueue = "ReleaseQueue"
	OpRetryQueue   = "RetryQueue"
	OpBounceQueue  = "BounceQueue"
	OpDiscardQueue = "DiscardQueue"
	OpRerouteQueue = "RerouteQueue"
)

// MaxQueueResults is how many items one call lists or acts on at most.
const MaxQueueResults int = 1000

// QueueFilter selects the items for which everything that is set holds; without any it selects all of the caller's.
type QueueFilter struct {
	Lane           string    `json:",omitempty"` // a lane, or all below it, such as held or relay
	Sender         string    `json:",omitempty"` // an address, @DOMAIN, or <> for the null reverse-path
	Recipient      string    `json:",omitempty"` // an address or @DOMAIN; of any recipient of the item
	ReceivedBefore time.Time `json:",omitzero"`
	ReceivedAfter  time.Time `json:",omitzero"`
	MinSize        int64     `json:",omitempty"` // octets
	MaxSize        int64     `json:",omitempty"` // octets; 0: any
}

// ListQueueInput asks for items that wait or rest, in the order of lanes and due times.
type ListQueueInput struct {
	Filter     QueueFilter
	MaxResults int    `json:",omitempty"` // up to MaxQueueResults; 0: 100
	NextToken  string `json:",omitempty"`
}

// ListQueueOutput is one page. It may have no items and still go on, because how many are looked at for it is bounded.
type ListQueueOutput struct {
	Items     []QueueItem
	NextToken string `json:",omitempty"` // empty: there are no more
}

// QueueItem is one piece of work that remains to be done for some recipients of a message.
type QueueItem struct {
	MessageId  string
	Seq        uint32
	Lane       string
	State      string // HELD, ACTIVE, DEFERRED, WAITING, DUE
	Sender     string // empty: the null reverse-path
	Recipients []string
	Size       int64 // octets of the message as received
	Received   time.Time
	Due        time.Time `json:",omitzero"` // of items that are not held
	HeldSince  time.Time `json:",omitzero"`
	HeldFrom   string    `json:",omitempty"` // the lane it came to rest from
	Attempts   int
	LastReply  string `json:",omitempty"` // of the last attempt, or why it is held
	Rule       int    `json:",omitempty"` // 1-based
	RuleName   string `json:",omitempty"`
	Action     string `json:",omitempty"`
}

// ShowMessageInput names a message.
type ShowMessageInput struct {
	MessageId string
}

// ShowMessageOutput is a message in the queue and everything that remains to be done for it.
type ShowMessageOutput struct {
	MessageId      string
	SessionId      string
	IngressPointId string
	Client         string // address and port
	Hello          string
	Sender         string
	Recipients     []string // as accepted
	Received       time.Time
	Size           int64
	RuleSetId      string
	Items          []QueueItem
}

// ListLanesInput asks for the lanes that are not empty, as GetStatus does, with how each is run.
type ListLanesInput struct {
	Lane string `json:",omitempty"` // a lane, or all below it
}

// ListLanesOutput has them ordered by name.
type ListLanesOutput struct {
	Lanes []LaneState
}

// LaneState is a lane and how it is run.
type LaneState struct {
	Name    string
	State   string // OPEN, PROBING, WAITING, or RESTING where nothing is run
	Items   int
	Octets  int64
	Oldest  time.Time // when its first item is due, or since when that is held
	Ready   int       // items in memory, about to run
	Running int
	Workers int
	Rate    float64   // items a second that it was done with, over the last minute
	Until   time.Time `json:",omitzero"` // WAITING: when it is probed
	Error   string    `json:",omitempty"`
	ErrorAt time.Time `json:",omitzero"`
}

// ItemRef names the items of a message, or one of them.
type ItemRef struct {
	MessageId string
	Seq       *uint32 `json:",omitempty"` // nil: all of the message
}

// SteerInput says what an act is for: either items by name, or a filter, page by page. RuleSetId and RelayId are
// RerouteQueue's, which takes one of them.
type SteerInput struct {
	Items      []ItemRef    `json:",omitempty"` // up to MaxQueueResults
	Filter     *QueueFilter `json:",omitempty"`
	MaxResults int          `json:",omitempty"` // of a filter, up to MaxQueueResults; 0: that
	NextToken  string       `json:",omitempty"`
	DryRun     bool         `json:",omitempty"` // nothing is done; the answer is what would be
	RuleSetId  string       `json:",omitempty"`
	RelayId    string       `json:",omitempty"`
}

// SteerOutput is what was done. With a NextToken there is more to do.
type SteerOutput struct {
	Done      int
	Busy      int // a step runs, or the item moved meanwhile: act again
	Skipped   int // the act does not apply
	Failed    int
	Items     []SteeredItem
	NextToken string `json:",omitempty"`
}

// SteeredItem is what became of one item.
type SteeredItem struct {
	MessageId  string
	Seq        uint32
	Recipients []string
	Lane       string
	To         string `json:",omitempty"` // the lane it went to
	Outcome    string // DONE, BUSY, SKIPPED, FAILED
	Reason     string `json:",omitempty"`
}

// ListQueue returns a page of items.
func (c *Client) ListQueue(ctx context.Context, in ListQueueInput) (page ListQueueOutput, err error) {
	err = c.call(ctx, OpListQueue, in, &page)
	return page, err
}

// ShowMessage returns a message that is in the queue.
func (c *Client) ShowMessage(ctx context.Context, id string) (shown ShowMessageOutput, err error) {
	err = c.call(ctx, OpShowMessage, ShowMessageInput{MessageId: id}, &shown)
	return shown, err
}

// ListLanes returns the lanes and how they are run.
func (c *Client) ListLanes(ctx context.Context, lane string) (lanes ListLanesOutput, err error) {
	err = c.call(ctx, OpListLanes, ListLanesInput{Lane: lane}, &lanes)
	return lanes, err
}

// Steer calls an act, OpHoldQueue to OpRerouteQueue, for one page.
func (c *Client) Steer(ctx context.Context, operation string, in SteerInput) (out SteerOutput, err error) {
	err = c.call(ctx, operation, in, &out)
	return out, err
}
