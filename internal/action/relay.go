package action

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
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

// heldDeleted is why mail of a relay is held that is gone.
const heldDeleted = "relay-deleted"

// RelayConfig is what a RelayExecutor needs. Relays, Secret, Hello and Log must be set.
type RelayConfig struct {
	Relays Relays
	Secret Secret
	// Strict reports whether an account has the profile aws-strict: private and loopback addresses are not used for its relays
	// (Mail Manager, E4). nil: none has.
	Strict      func(account string) bool
	Hello       string // what we call ourselves in EHLO
	Connections int    // to one relay at once; 0 is DefaultConnections
	Idle        time.Duration
	Timeouts    smtpclient.Timeouts
	Resolve     Resolve // nil: the system's resolver
	// Authorities are the private CAs of the configuration, by name: the tag sluice:ca of a relay names one.
	Authorities map[string]*x509.CertPool
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
	hops    sync.Map // address to *control.Relay
	paces   sync.Map // spool.Lane to *pace
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
	if cfg.Strict == nil {
		cfg.Strict = nobody
	}
	return &RelayExecutor{RelayConfig: cfg, metrics: newRelayMetrics(cfg.Metrics)}
}

// Lane implements queue.Executor. More connections than messages in a minute would only wait for each other.
func (e *RelayExecutor) Lane(lane spool.Lane) queue.Settings {
	settings := queue.Settings{Concurrency: e.Connections, Probe: true}
	relay, ok := e.relay(lane)
	if ok && relay.Connections > 0 {
		settings.Concurrency = relay.Connections
	}
	if ok && relay.Rate > 0 {
		settings.Concurrency = min(settings.Concurrency, relay.Rate)
	}
	return settings
}

// Work implements queue.Executor: it is one connection to the relay at a time.
func (e *RelayExecutor) Work(ctx context.Context, feed queue.Feed) {
	w := &relayWorker{RelayExecutor: e, ctx: ctx, feed: feed, pace: e.pace(feed.Lane())}
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

// pace is that of a lane, shared by its workers, at the rate that its relay has now.
func (e *RelayExecutor) pace(lane spool.Lane) *pace {
	known, _ := e.paces.LoadOrStore(lane, new(pace))
	p := known.(*pace)
	if relay, ok := e.relay(lane); ok {
		p.set(relay.Rate, e.Now())
	}
	return p
}

// relay is where a lane leads to now: the relay resource that it names, or the host of a hop lane, which is treated as one
// without credentials and tags.
func (e *RelayExecutor) relay(lane spool.Lane) (*control.Relay, bool) {
	if address, ok := lane.Hop(); ok {
		return e.hop(address)
	}
	scope, id := relayOf(lane)
	return e.Relays.Relay(scope, id)
}

// hop is the relay of a hop lane: always the same one for an address.
func (e *RelayExecutor) hop(address string) (*control.Relay, bool) {
	if known, ok := e.hops.Load(address); ok {
		return known.(*control.Relay), true
	}
	host, portText, err := net.SplitHostPort(address)
	port, errPort := strconv.Atoi(portText)
	if err != nil || errPort != nil {
		return nil, false
	}
	known, _ := e.hops.LoadOrStore(address, &control.Relay{Server: host, Port: port})
	return known.(*control.Relay), true
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
	relay := w.waiting[0].relay
	if w.conn != nil && w.led == relay {
		return nil
	}
	w.hangUp()
	w.tls = nil
	conn, err := w.dial(w.ctx, relay)
	if err != nil {
		w.metrics.refused.Inc()
		return err
	}
	w.metrics.connected.Inc()
	w.metrics.open.Inc()
	w.conn, w.led, w.tls = conn, relay, traced(conn.TLS())
	return nil
}

// dial tries the relay's addresses in their order until one lets us in. RFC 5321, section 5.1.
func (e *RelayExecutor) dial(ctx context.Context, relay *control.Relay) (*smtpclient.Conn, error) {
	config, err := e.clientConfig(ctx, relay)
	if err != nil {
		return nil, err
	}
	t := target{relay.Server, relay.Port}
	addresses, err := e.addresses(ctx, relay)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, address := range addresses {
		at := target{address.String(), t.port}
		conn, _, err := dialAt(ctx, at, config)
		if err == nil {
			return conn, nil
		}
		failed = alsoFailed(failed, err, t, at)
		if ctx.Err() != nil || refusesUs(err) {
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

// refusesUs reports whether a host refused our credentials for good: another address would count a second failure against us.
func refusesUs(err error) bool {
	var refused *smtpclient.AuthError
	return errors.As(err, &refused) && refused.Reply.Permanent()
}
