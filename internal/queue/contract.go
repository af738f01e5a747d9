package queue

import (
	"context"
	"io"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// Work is one claimed item with its message, in the hands of one worker.
type Work struct {
	Item    spool.Item
	Message *spool.Message
	content spool.Content // nil: read from the spool
	open    func(ctx context.Context) (io.ReadCloser, error)
}

// Executor does the items of one kind of lane; it is all that an action adds to the queue.
type Executor interface {
	// Lane says how a lane of this kind is run.
	Lane(lane spool.Lane) Settings
	// Work is one worker of the lane: it takes items from the feed and reports each with Done until Next gives none, then
	// returns. It may keep a connection open between items and may hold several items at once. The scheduler starts as many
	// as the lane's concurrency allows while items wait. Ending ctx means: finish what is running, take no more.
	Work(ctx context.Context, feed Feed)
}

// Settings are how a lane is run.
type Settings struct {
	Concurrency int  // workers at once
	Probe       bool // the lane backs off and probes when an executor says Unreachable
}

// Feed gives a worker its items. Its methods may be called at once.
type Feed interface {
	// Lane is the lane that is served.
	Lane() spool.Lane
	// Next returns an item as soon as there is one, or nil after waiting that long, when the worker is not wanted any more, or
	// when ctx ends. A wait of 0 does not wait.
	Next(ctx context.Context, wait time.Duration) *Work
	// Done reports how the item's step ended. It does not wait for a disk.
	Done(w *Work, r Result)
}

// Result is how the step of an item ended. The item is out, and what remains of it comes in again: recipients that are
// in none of the lists are settled. The zero Result means that all of it is done.
type Result struct {
	// Next are the items that follow, already complete but for Message, Seq and Due (zero: now).
	Next []spool.Item
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
	Reason     string // the lane is held/<Reason>: unrouted, failed, relay-auth, …
	Recipients []message.Recipient
	Detail     string // for people: the reply, the configuration error
}
