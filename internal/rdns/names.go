// Package rdns tells the names of clients: reverse DNS that the name's own addresses confirm, so that whoever has only the
// reverse zone cannot call himself as he likes. It never makes anybody wait: Name says what is known, and looks up
// in the background what is not, so that the answer is there a little later in the session, or in the next one.
// Source: Mail Manager, E1; RFC 8601, section 3 (iprev). Start with New.
package rdns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits of what is looked up and kept.
const (
	maxRunning   int           = 32               // look-ups at once; further ones are skipped, not queued
	maxAddresses int           = 16384            // in the cache
	maxNames     int           = 10               // of one address that are tried. RFC 7208, section 4.6.4
	lookUpTime   time.Duration = 10 * time.Second // for one address, all its names included
)

// How long an answer is current, and how long a name is still told while a newer answer is sought.
const (
	confirmedFor time.Duration = time.Hour
	noneFor      time.Duration = 10 * time.Minute
	failedFor    time.Duration = time.Minute
	toldFor      time.Duration = 24 * time.Hour
)

// Resolver is what asks the DNS; net.Resolver is one. Both methods end when ctx does. An error that is a *net.DNSError with
// IsNotFound says that there is nothing, any other that it cannot be told.
type Resolver interface {
	// LookupAddr returns the names that an address points to.
	LookupAddr(ctx context.Context, address string) ([]string, error)
	// LookupNetIP returns the addresses of a host, which ends in a dot; the network is ip4 or ip6.
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Config is what Names works with. The zero value serves.
type Config struct {
	Lookup     Resolver              // nil: Go's own resolver, with the system's configuration
	Now        func() time.Time      // nil: time.Now
	Logger     *slog.Logger          // nil: slog.Default
	Registerer prometheus.Registerer // nil: metrics are not published
}

// Names knows the names of clients. It is safe for concurrent use.
type Names struct {
	lookup  Resolver
	now     func() time.Time
	logger  *slog.Logger
	results *prometheus.CounterVec

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	group  sync.WaitGroup // of the look-ups

	mu      sync.Mutex
	cache   cache
	running map[netip.Addr]struct{} // being looked up
}

// New returns Names that know nothing yet.
func New(c Config) *Names {
	n := &Names{
		lookup: c.Lookup, now: c.Now, logger: c.Logger,
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailmanager_reverse_lookups_total", Help: "Look-ups of the names of clients, by result.",
		}, []string{"result"}),
		cache:   newCache(maxAddresses),
		running: map[netip.Addr]struct{}{},
	}
	if n.lookup == nil {
		n.lookup = &net.Resolver{PreferGo: true} // its look-ups end with their context, and take no thread
	}
	if n.now == nil {
		n.now = time.Now
	}
	if n.logger == nil {
		n.logger = slog.Default()
	}
	if c.Registerer != nil {
		c.Registerer.MustRegister(n.results)
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Name returns the confirmed name of an address, without the final dot, as far as it is known; else the empty text. It does
// not wait. When nothing is known, or what is known is no longer current, a look-up begins.
func (n *Names) Name(address netip.Addr) string {
	address = address.Unmap().WithZone("") // IPv4-mapped IPv6 is IPv4
	if !address.IsValid() {
		return ""
	}
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	known, ok := n.cache.get(address)
	if !ok || !now.Before(known.due) {
		n.start(address)
	}
	return known.nameAt(now)
}

// start begins a look-up unless the address is being looked up already. The caller holds n.mu.
func (n *Names) start(address netip.Addr) {
	if _, is := n.running[address]; is || n.ctx.Err() != nil {
		return
	}
	if len(n.running) >= maxRunning {
		n.results.WithLabelValues(resultSkipped).Inc()
		return
	}
	n.running[address] = struct{}{}
	n.group.Go(func() { n.lookUp(address) })
}

// Close cancels the look-ups that run and waits for them to end. Name goes on telling what is known.
func (n *Names) Close() error {
	n.mu.Lock()
	n.cancel() // under the lock, so that no look-up begins any more
	n.mu.Unlock()
	n.group.Wait()
	return nil
}
