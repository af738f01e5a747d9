package queue

import (
	"context"
	"io"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// Spool is what the queue needs of a spool.Spool.
type Spool interface {
	Contents
	Claim(ctx context.Context, lane spool.Lane, n int, owner string, now, until time.Time) ([]spool.Claimed, time.Time, error)
	ClaimItems(ctx context.Context, owner string, now, until time.Time, keys []spool.ItemKey) ([]spool.Claimed, error)
	Settle(ctx context.Context, settlements ...spool.Settlement) error
	Release(ctx context.Context, owner string, keys ...spool.ItemKey) error
	Renew(ctx context.Context, owner string, until time.Time) error
	Message(ctx context.Context, id message.ID) (*spool.Message, []spool.Item, error)
	Scan(ctx context.Context, lane spool.Lane, after *spool.Item, n int) ([]spool.Claimed, error)
	Lanes(ctx context.Context) ([]spool.LaneStat, error)
}

// Contents reads the content of a message from an offset. Every spool.Spool does.
type Contents interface {
	Content(ctx context.Context, id message.ID, from int64) (io.ReadCloser, error)
}

// Journal remembers across the end of the process which items' steps were running.
type Journal interface {
	// Begin notes that the step of an item begins. It returns the slot for End.
	Begin(key spool.ItemKey) (slot int)
	// End notes that the step in the slot is over.
	End(slot int)
	// Interrupted returns the items whose steps were running when the last process died. An item stays one of them
	// for the next process too until a step of it has ended.
	Interrupted() []spool.ItemKey
}

// Trace takes trace events. Append never blocks.
type Trace interface{ Append(trace.Event) }

// Executor does the items of one kind of lane; it is all that an action adds to the queue.
type Executor interface {
	// Lane says how a lane of this kind is run. It is called once for each lane.
	Lane(lane spool.Lane) Settings
	// Work is one worker of the lane: it takes items from the feed and reports each with Done until Next gives none, then
	// returns. It may keep a connection open between items and may hold several items at once. The scheduler starts as many
	// as the lane's concurrency allows while items wait. Ending ctx means: finish what is running, take no more. When it
	// panics, the items in its hands count as crashed.
	Work(ctx context.Context, feed Feed)
}

// Reports makes the items by which senders learn what became of their mail, in lane report: it is where a step leads that
// the queue itself ends. Mail Manager, E18 and E21.
type Reports interface {
	// Expired makes the item that follows one which was given up; why is what was last said of it.
	Expired(item spool.Item, m *spool.Message, why string) spool.Item
	// Delayed makes an item that goes beside one which is late and tried again until a time. It reports false when
	// it is not late enough, or nobody is to be told.
	Delayed(item spool.Item, m *spool.Message, why string, waited time.Duration, until time.Time) (spool.Item, bool)
}

// Settings are how a lane is run.
type Settings struct {
	Concurrency int  // workers at once; below 1 counts as 1
	Probe       bool // its target is outside: the lane backs off and probes when an executor says Unreachable
}

// Feed gives a worker its items. Its methods may be called at once.
type Feed interface {
	// Lane is the lane that is served.
	Lane() spool.Lane
	// Next returns an item as soon as there is one, or nil after waiting that long, when the worker is not wanted any more, or
	// when ctx ends. A wait of 0 does not wait. Between two items a lane whose target is being probed waits for Done.
	Next(ctx context.Context, wait time.Duration) *Work
	// Done reports how the item's step ended. It does not wait for a disk. The Work must not be used after it.
	Done(w *Work, r Result)
}

// Result is how the step of an item ended. The item is out, and what remains of it comes in again: recipients that are
// in none of the lists are settled. The zero Result means that all of it is done.
type Result struct {
	// Next are the items that follow, already complete but for Message, Seq and Due (zero: now).
	Next []spool.Item
	// Births are messages that come to be with the end of the step: delivery status notifications.
	Births []spool.Birth
	// Deferred recipients are tried again by this item's own schedule (Mail Manager, E5).
	Deferred []message.Recipient
	// Held recipients come to rest, each group in its lane.
	Held []Hold
	// Unreachable, when not empty, says that the target as a whole cannot be reached: the item goes back as it was, the lane
	// waits, and one item probes it. The lists are ignored.
	Unreachable string
	// Reply is kept with a deferred item as its last reply.
	Reply string
	// Attempts are the trace events of the step; the queue adds number, lane, rule, action and the next due time.
	Attempts []trace.Attempt
	// Decided is the trace of an evaluation (lane process only).
	Decided *trace.Decided
}

// Hold is recipients that come to rest, and why.
type Hold struct {
	Reason     string // the lane is held/<Reason>: unrouted, undeliverable, …
	Recipients []message.Recipient
	Detail     string // for people: the reply, the configuration error
	State      []byte // the message state they rest in; nil: that of the item
}
