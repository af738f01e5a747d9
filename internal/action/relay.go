package action

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/control"
	"sluice/internal/queue"
	"sluice/internal/smtpclient"
	"sluice/internal/spool"
)

// The settings of relaying where the operator sets none.
const (
	DefaultConnections int           = 20              // to one relay
	DefaultIdle        time.Duration = 5 * time.Second // that a connection is kept for the next message
)

// maxTries is on how many connections a message is tried at once when they break under it; after that it waits like one
// that was answered 4yz. A connection that breaks is usually the host's trouble, which the next one shows; a message
// that breaks several is its own.
const maxTries = 3

// Reasons for which mail of a relay is held.
const (
	heldFailed  = "failed"        // answered 5yz
	heldAuth    = "relay-auth"    // the relay wants credentials
	heldDeleted = "relay-deleted" // the relay is gone
)

// RelayConfig is what a RelayExecutor needs. Relays, Secret, Hello and Log must be set.
type RelayConfig struct {
	Relays      Relays
	Secret      Secret
	Strict      bool   // profile aws-strict: private and loopback addresses are not used (Mail Manager, E4)
	Hello       string // what we call ourselves in EHLO
	Connections int    // to one relay at once; 0 is DefaultConnections
	Idle        time.Duration
	Timeouts    smtpclient.Timeouts
	Resolve     Resolve // nil: the system's resolver
	// Dial opens TCP connections; nil is a net.Dialer.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: nothing is counted
}

// RelayExecutor does the items of relay lanes: it passes messages on over kept, pipelined connections. It is safe for
// concurrent use. It implements queue.Executor.
type RelayExecutor struct {
	RelayConfig
	metrics relayMetrics
}

var _ queue.Executor = (*RelayExecutor)(nil)

// NewRelayExecutor returns an executor of the lanes of the kind relay.
func NewRelayExecutor(cfg RelayConfig) *RelayExecutor {
	if cfg.Connections == 0 {
		cfg.Connections = DefaultConnections
	}
	if cfg.Idle == 0 {
		cfg.Idle = DefaultIdle
	}
	if cfg.Resolve == nil {
		cfg.Resolve = resolveSystem
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &RelayExecutor{RelayConfig: cfg, metrics: newRelayMetrics(cfg.Metrics)}
}

// Lane implements queue.Executor.
func (e *RelayExecutor) Lane(spool.Lane) queue.Settings {
	return queue.Settings{Concurrency: e.Connections, Probe: true}
}

// Work implements queue.Executor: it is one connection to the relay at a time.
func (e *RelayExecutor) Work(ctx context.Context, feed queue.Feed) {
	scope, id := relayOf(feed.Lane())
	w := &relayWorker{RelayExecutor: e, ctx: ctx, feed: feed, scope: scope, id: id}
	defer w.hangUp()
	for w.prepare() {
		if err := w.connect(); err != nil {
			w.unreachable(err)
			continue
		}
		if err := w.conn.Deliver(w); err != nil {
			w.lost(err)
		}
	}
}

// relayOf takes apart what spool.RelayLane put together.
func relayOf(lane spool.Lane) (control.Scope, string) {
	parts := strings.SplitN(string(lane), "/", 4)
	if len(parts) < 4 {
		return control.Scope{}, ""
	}
	return control.Scope{Account: parts[1], Region: parts[2]}, parts[3]
}

// connect makes the connection lead to where the next delivery wants to go.
func (w *relayWorker) connect() error {
	target := w.waiting[0].target
	if w.conn != nil && w.target == target {
		return nil
	}
	w.hangUp()
	conn, err := w.dial(w.ctx, target)
	if err != nil {
		w.metrics.refused.Inc()
		return err
	}
	w.metrics.connected.Inc()
	w.metrics.open.Inc()
	w.conn, w.target = conn, target
	return nil
}

// dial tries the host's addresses in their order until one lets us in. RFC 5321, section 5.1.
func (e *RelayExecutor) dial(ctx context.Context, t target) (*smtpclient.Conn, error) {
	addresses, err := e.addresses(ctx, t.host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, address := range addresses {
		at := target{address.String(), t.port}
		conn, err := smtpclient.Dial(ctx, at.String(), smtpclient.Config{Hello: e.Hello, Timeouts: e.Timeouts, Dial: e.Dial})
		if err == nil {
			return conn, nil
		}
		failed = alsoFailed(failed, err, t, at)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// alsoFailed adds one address's failure to those before, naming the address when it is not what the relay says anyway.
func alsoFailed(before, err error, relay, at target) error {
	if at != relay {
		err = fmt.Errorf("%s: %w", at, err)
	}
	if before != nil {
		err = fmt.Errorf("%w; %w", before, err)
	}
	return err
}
