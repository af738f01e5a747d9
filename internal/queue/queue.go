// Package queue runs the work that remains to be done for accepted messages. Everything of that kind is an item in a
// lane, and a lane is what can be slow or broken on its own; one scheduler serves all lanes, and an Executor is all that
// an action adds. Start with New and Run; Offer and Notify bring items in.
//
// The life of an item: it is claimed, either by the session that accepted its message or by a claimer that reads a batch
// from the spool (claim.go); it rests in its lane's ready list, in memory; a worker takes it from its Feed (feed.go); its
// Result becomes a settlement (result.go) that a committer applies (settle.go), after which its successors are ready in
// their lanes without having been read back. A lane whose target cannot be reached waits and is probed (lane.go). Steps
// that were running when a process died are counted (crash.go). What is held rests until its time is over (held.go).
// Operators find items (find.go) and steer them (steer.go, steering.go) while all that goes on.
//
// One mutex guards all lanes. It is held for a few hundred nanoseconds at a time, four times for an item, and never while
// the spool or an executor works. Source: docs/promises.md; Mail Manager, D7, E5 and E20.
package queue

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/schedule"
	"sluice/internal/spool"
)

// Limits of the queue. Where no source is named they are ours, chosen so that 100,000 waiting items drain in well under
// two minutes and memory stays far below the 300 MB that a gateway with such a backlog may use.
const (
	// claimBatch is how many items are read from the spool at once.
	claimBatch int = 128
	// lowReady is when a lane's ready list is filled up from the spool.
	lowReady int = claimBatch / 2
	// maxLaneReady is how many items of one lane rest in memory, about 2 KiB each without their content.
	maxLaneReady int = 2048
	// maxReady is how many items of all lanes rest in memory; beyond it a lane gets no more than fewReady.
	maxReady int = 16384
	fewReady int = 16
	// maxUnsettled is how many ended steps may wait for a committer before no new ones begin.
	maxUnsettled int = 4096
	// leaseTime is how long items stay this owner's when it does not renew them. A third of it is the time between renewals.
	leaseTime time.Duration = 2 * time.Minute
	// pollTime is how often the spool is asked what its lanes hold: for metrics, for Behind, and to find what nobody told of.
	pollTime time.Duration = 5 * time.Second
	// claimRetry is how long a lane rests after the spool failed to give items, or gave none although some were due.
	claimRetry time.Duration = time.Second

	claimers   int = 2
	committers int = 2

	// maxProcessOctets and maxProcessAge are when MAIL is answered 452. Source: docs/promises.md, Accept.
	maxProcessOctets int64         = 2 << 30
	maxProcessAge    time.Duration = 10 * time.Minute

	// DefaultMemory is the content that lanes hold in memory, in octets: three quarters of what sessions share with them.
	DefaultMemory int64 = 48 << 20
	// DefaultWorkers is how many workers are busy with targets outside, of all lanes together.
	DefaultWorkers int = 512
	// DefaultGrace is how long running steps may take to end when the queue stops. Source: docs/promises.md, Stop.
	DefaultGrace time.Duration = 30 * time.Second
)

// Config is what a Queue works with. Fields from Retry on are settings; their zero values stand for the defaults.
type Config struct {
	Spool      Spool
	Trace      Trace
	Reports    Reports              // nil: mail that is given up is held, and nobody is told of delays
	Executors  map[string]Executor  // by kind of lane; items of other lanes rest
	Owner      string               // of leases: one for each start of a process
	Journal    Journal              // nil: crashes of the process are not counted
	Now        func() time.Time     // the wall clock: time.Now
	Elapsed    func() time.Duration // since New, by a clock that does not step; nil: the monotonic reading of Now
	Random     func() float64       // in [0, 1), safe for concurrent use; nil: math/rand
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are not published

	Retry      schedule.Retry // Mail Manager, E5
	Probe      schedule.Probe // Mail Manager, E5
	HeldFor    time.Duration  // Mail Manager, D7 and E18; 0: schedule.DefaultHolding, negative: for ever
	HeldOctets int64          // of held/unrouted; beyond it the oldest is bounced, without Reports it ends with a log record; 0: no bound (Mail Manager, D7)
	Memory     int64          // octets of content that lanes hold in memory
	Workers    int            // busy with targets outside
	Grace      time.Duration  // for running steps when the queue stops

	// Bounce makes an item, which an operator gives up, the one that tells its sender, in another lane; or it leaves it without a
	// lane when nothing is to follow. An error leaves the item where it was. It is called for one item of a message at a time
	// or for several at once; nil: ErrNoBounces.
	Bounce func(ctx context.Context, m *spool.Message, item *spool.Item) error
}

func (c Config) orDefault() Config {
	if c.Random == nil {
		c.Random = rand.Float64
	}
	if c.HeldFor == 0 {
		c.HeldFor = schedule.DefaultHolding
	}
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	if c.Workers <= 0 {
		c.Workers = DefaultWorkers
	}
	if c.Grace <= 0 {
		c.Grace = DefaultGrace
	}
	return c
}

// Queue is the scheduler of all lanes. All methods are safe for concurrent use.
type Queue struct {
	cfg     Config
	clock   *schedule.Clock
	metrics *metrics
	kinds   map[string]*kind
	behind  atomic.Pointer[string] // why MAIL is answered 452, or nil

	committers [committers]*committer
	stopped    chan struct{} // closed when Run returns
	drain      chan context.Context
	alarm      chan struct{} // an alarm was set that is earlier than all others
	workCtx    context.Context
	stopWork   context.CancelFunc
	steers     sync.WaitGroup // orders that hand items to committers; begun while mu is held
	claimsCond sync.Cond      // claims has one, or stopping; uses mu

	mu          sync.Mutex // guards all that follows
	lanes       map[spool.Lane]*lane
	alarms      alarms
	claims      []*lane                 // that want items from the spool, in turn
	owned       map[spool.ItemKey]*Work // in memory; not nil: claimed again, see receive
	interrupted map[spool.ItemKey]struct{}
	suspects    []*Work // crashed twice: each runs alone
	alone       *Work   // the suspect whose turn it is
	feeds       map[*feed]struct{}
	hungry      []*lane // that want a worker beyond cfg.Workers, in turn
	busyLanes   int     // lanes with workers that count
	busy        int     // workers that count towards cfg.Workers
	ready       int     // items in memory, of all lanes
	octets      int64   // content in memory, of all lanes
	running     int     // steps
	unsettled   int     // ended steps whose settlement was not applied yet
	started     bool
	stopping    bool
	idle        chan struct{} // closed when stopping and no worker is left
}

// New returns a Queue that holds what it is offered until Run.
func New(cfg Config) *Queue {
	cfg = cfg.orDefault()
	q := &Queue{
		cfg:         cfg,
		clock:       schedule.NewClock(cfg.Now, cfg.Elapsed),
		kinds:       map[string]*kind{},
		stopped:     make(chan struct{}),
		drain:       make(chan context.Context, 1),
		alarm:       make(chan struct{}, 1),
		lanes:       map[spool.Lane]*lane{},
		owned:       map[spool.ItemKey]*Work{},
		interrupted: map[spool.ItemKey]struct{}{},
		feeds:       map[*feed]struct{}{},
		idle:        make(chan struct{}),
	}
	q.claimsCond.L = &q.mu
	q.workCtx, q.stopWork = context.WithCancel(context.Background())
	q.metrics = newMetrics(cfg.Registerer, q)
	for name, executor := range cfg.Executors {
		q.kinds[name] = &kind{executor: executor, metrics: q.metrics.of(name)}
	}
	for i := range q.committers {
		q.committers[i] = newCommitter(q)
	}
	if cfg.Journal != nil {
		for _, key := range cfg.Journal.Interrupted() {
			q.interrupted[key] = struct{}{}
		}
	}
	return q
}

// Lease is who owns an item that is handed over in memory, and until when.
func (q *Queue) Lease() (owner string, until time.Time) {
	return q.cfg.Owner, q.clock.Now().Add(leaseTime)
}

// Room reports whether a new message with so many octets of content can be handed over in memory.
func (q *Queue) Room(octets int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(spool.LaneProcess)
	return q.started && !q.stopping && q.unsettled < maxUnsettled && q.admits(l) && q.fits(l, octets)
}

// Offer hands over an item that this owner holds already, with its content's reference. When it reports false, because
// the queue is stopping or does not run items of that lane now, nothing was taken: the caller gives the item back to the
// spool and then calls Notify.
func (q *Queue) Offer(c spool.Claimed) bool {
	w := &Work{Item: c.Item, Message: c.Message, content: c.Content, contents: q.cfg.Spool}
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(c.Item.Lane)
	if q.stopping || !l.runs() || l.state == stateWaiting {
		return false
	}
	q.enter(l, w)
	q.serve(l)
	return true
}

// Notify says that an item that is due waits in the lane, in the spool.
func (q *Queue) Notify(name spool.Lane) {
	now := q.clock.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(name)
	l.note(now)
	q.refill(l)
}

// Probe makes a lane that waits for its target try it now, with one item: what the lane leads to was changed. It does
// nothing in other lanes. Source: Mail Manager, D19.
func (q *Queue) Probe(name spool.Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[name]
	if l == nil || l.state != stateWaiting {
		return
	}
	l.until, l.failures = q.clock.Now(), 0
	q.wake(l, l.until)
}

// Behind reports whether processing is so far behind that MAIL is answered 452, and why. Items that wait in other lanes
// do not count. Source: docs/promises.md, Accept.
func (q *Queue) Behind() (reason string, behind bool) {
	if why := q.behind.Load(); why != nil {
		return *why, true
	}
	return "", false
}

// LaneState is what is known of a lane. The counts of the spool are up to 5 seconds old.
type LaneState struct {
	Lane     spool.Lane
	State    string // OPEN, PROBING (one item at a time), WAITING, or RESTING where nothing is run
	Items    int
	Octets   int64
	Oldest   time.Time
	Ready    int // items in memory
	Running  int
	Workers  int
	Failures int       // in a row, of reaching the target
	Until    time.Time // WAITING: when it is probed
	Reason   string    // WAITING: what was said when its target could not be reached
	Rate     float64   // items a second that it is done with, over the last minute
	Error    string    // the last that went wrong with an item or its target, for people; empty: nothing since the lane was empty
	ErrorAt  time.Time
}

// Lanes returns the state of every lane that is not empty, in no order.
func (q *Queue) Lanes() []LaneState {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.clock.Now()
	states := make([]LaneState, 0, len(q.lanes))
	for _, l := range q.lanes {
		states = append(states, l.describe(now))
	}
	return states
}
