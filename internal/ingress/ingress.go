// Package ingress joins ingress points to listening sockets and SMTP sessions to ingress points. It opens the sockets
// (sockets.go), finds a session's point (host.go) by what the TLS handshake and AUTH say and prove (handshake.go, login.go,
// guard.go), runs the point's traffic policy (binding.go), and hands accepted mail to the spool and the queue (sink.go). It
// implements control.Sockets, and its Host is smtpd's. Start with New, then Attach, then Carry: until then sockets open, and every
// session is answered 421.
// Source: Mail Manager, section 2; Mail Manager, B1 to B21.
package ingress

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/control"
	"sluice/internal/message"
	"sluice/internal/smtpd"
	"sluice/internal/spool"
	"sluice/internal/srs"
	"sluice/internal/trace"
)

// DefaultMaxRecipients is how many recipients a transaction may have (Mail Manager, B10).
const DefaultMaxRecipients int = 100

// Spool is what ingress needs of the spool.
type Spool interface {
	Begin(ctx context.Context, id message.ID) (spool.Incoming, error)
	Accept(ctx context.Context, a spool.Acceptance) (spool.Content, error)
	Release(ctx context.Context, owner string, keys ...spool.ItemKey) error
}

// Queue is what ingress needs of the queue.
type Queue interface {
	// Lease is who owns items that are handed over, and until when.
	Lease() (owner string, until time.Time)
	// Room reports whether an item with that much content can be handed over in memory.
	Room(octets int64) bool
	// Offer hands an owned item over; false means that it was not taken.
	Offer(spool.Claimed) bool
	// Notify says that an item waits in the lane.
	Notify(spool.Lane)
	// Behind reports whether processing is too far behind for new mail, and why.
	Behind() (reason string, behind bool)
}

// Trace takes trace events. Append never blocks.
type Trace interface{ Append(trace.Event) }

// SMTP serves the connections of a listener until it is closed.
type SMTP interface {
	Serve(l net.Listener, listener smtpd.Listener) error
}

// Points is the control plane as ingress reads it.
type Points interface {
	control.Snapshot
	// Points yields every ingress point of every account and region.
	Points() iter.Seq[*control.IngressPoint]
	// CheckPassword checks the password of a point; the point is nil when there is none of that name.
	CheckPassword(p *control.IngressPoint, password string) control.Login
}

// Names knows clients by their confirmed names. Name answers at once with what is known, and may find out more for the next
// time.
type Names interface {
	Name(client netip.Addr) string
}

// Inherited returns the listening socket of an address that the process was started with, once, and nil when there is none.
// network is "tcp", "tcp4" or "tcp6".
type Inherited func(network, address string) net.Listener

// ListenerConfig is a named listener (Mail Manager, B19).
type ListenerConfig struct {
	Addresses []string // each host:port
	TLS       smtpd.TLSMode
	ProxyFrom []netip.Prefix // whose connections begin with a PROXY protocol header
}

// Mail is where accepted mail goes, and what tells of it.
type Mail struct {
	Spool   Spool
	Queue   Queue
	Trace   Trace
	Reserve func(octets int64) (release func(), reason string, ok bool) // room in the spool; nil: there always is
}

// Config is what an Ingress works with.
type Config struct {
	Certificates  Certificates                            // of the server; nil: no TLS
	Names         Names                                   // nil: clients have none
	SRS           *srs.Rewriter                           // knows the addresses that REPLACE made; nil: there are none
	Return        func(account, region string) spool.Lane // the way of mail to those; empty: it is held
	Records       Records                                 // nil: none are written
	Pool          Pool
	Listeners     map[string]ListenerConfig // by name
	Hostname      string                    // what a listener with several points is called
	MaxRecipients int                       // 0: DefaultMaxRecipients
	Inherited     Inherited                 // nil: there are none
	Now           func() time.Time
	Logger        *slog.Logger
	Registerer    prometheus.Registerer // nil: metrics are not published
}

// Ingress implements control.Sockets. All methods are safe for concurrent use.
type Ingress struct {
	cfg     Config
	server  SMTP // set by Attach
	points  atomic.Pointer[Points]
	mail    atomic.Pointer[Mail] // nil before Carry
	metrics metrics
	tls     tlsConfigs
	guard   *guard
	pause   func(ctx context.Context, wait time.Duration) // after a failed AUTH

	mu       sync.Mutex // guards sockets, assigned and named; never held by a session
	sockets  map[control.Key]*socket
	assigned map[string]control.Key // pool address to the point that has it for life
	named    map[string]*namedListener
	members  sync.Map // listener name to *memberList: read by sessions
}

// Why nobody is served yet.
var (
	ErrNotAttached = errors.New("the control plane is not attached")
	ErrNoStorage   = errors.New("the spool is not open")
)

// New returns an Ingress that refuses every connection until Attach and Carry.
func New(cfg Config) *Ingress {
	if cfg.MaxRecipients == 0 {
		cfg.MaxRecipients = DefaultMaxRecipients
	}
	in := &Ingress{
		cfg:      cfg,
		metrics:  newMetrics(cfg.Registerer),
		tls:      newTLSConfigs(cfg.Certificates),
		guard:    newGuard(),
		pause:    pause,
		sockets:  map[control.Key]*socket{},
		assigned: map[string]control.Key{},
		named:    map[string]*namedListener{},
	}
	for name, listener := range cfg.Listeners {
		in.named[name] = &namedListener{name: name, config: listener}
		in.members.Store(name, &memberList{})
	}
	return in
}

// Attach gives the Ingress the control plane to read from and the server of its sockets. It must be called once, before the
// first Open, so that no point's pool address is given to another.
func (in *Ingress) Attach(points Points, server SMTP) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for p := range points.Points() {
		if p.PoolAddress != "" {
			in.assigned[p.PoolAddress] = p.Key
		}
	}
	in.server = server
	in.points.Store(&points)
}

// Carry serves the sessions that begin from now on: there is somewhere for mail to go (S29). It is called once, at any time.
func (in *Ingress) Carry(m Mail) { in.mail.Store(&m) }

// tell appends an event to the trace. Without one what nobody is served for is only counted.
func (in *Ingress) tell(e trace.Event) {
	if m := in.mail.Load(); m != nil {
		m.Trace.Append(e)
	}
}

func (in *Ingress) control() (Points, error) {
	p := in.points.Load()
	if p == nil {
		return nil, ErrNotAttached
	}
	return *p, nil
}
