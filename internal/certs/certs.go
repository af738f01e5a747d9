// Package certs keeps the server's certificates of SMTP: it loads them from files, or makes one that is self-signed; it
// loads them anew when the files change; and for each handshake it picks the one that fits the name the client asks for.
// A pair that cannot be loaded while the server runs leaves the one before in use. It speaks no ACME: whoever renews
// certificates replaces the files.
//
// Start with Open; Get is for tls.Config, Watch follows the files.
// Source: RFC 6066, section 3 (SNI); RFC 6125, section 6.4.3 (wildcards).
package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// DefaultInterval is how often Watch looks at the files.
	DefaultInterval = 10 * time.Second
	// warnBefore is how long before its end a certificate is warned of, once in warnInterval.
	warnBefore   = 14 * 24 * time.Hour
	warnInterval = 24 * time.Hour
)

// Config is what Certificates are made of.
type Config struct {
	Pairs      []Pair     // the first is for clients that name nothing we have
	SelfSigned SelfSigned // used without pairs
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil: metrics are not published
	Now        func() time.Time      // nil: time.Now
}

// Pair is the files of a certificate.
type Pair struct {
	Cert string // the certificate and its chain, in PEM
	Key  string // its private key, in PEM
}

// Certificates are the server's certificates. All methods are safe for concurrent use, and Get takes no lock.
type Certificates struct {
	log        *slog.Logger
	now        func() time.Time
	selfSigned *SelfSigned // nil: the pairs are the operator's
	metrics    *metrics
	table      atomic.Pointer[table]

	mu    sync.Mutex // guards pairs
	pairs []*pair
}

// Open loads every pair; without one it loads the self-signed certificate, which the first start makes. The error names
// the file that is wrong.
func Open(cfg Config) (*Certificates, error) {
	c := &Certificates{
		log: cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)),
		now: cfg.Now,
	}
	if c.now == nil {
		c.now = time.Now
	}
	if len(cfg.Pairs) == 0 {
		c.selfSigned = &cfg.SelfSigned
		cfg.Pairs = []Pair{cfg.SelfSigned.pair()}
	}
	for _, p := range cfg.Pairs {
		c.pairs = append(c.pairs, &pair{files: p})
	}
	c.metrics = newMetrics(c)
	if err := c.Reload(); err != nil {
		return nil, err
	}
	c.warnOfEnds()
	c.warnOfMissingNames()
	return c, c.metrics.register(cfg.Registerer)
}

// Get picks the certificate of a handshake: of those for the client's server name, else of all, the first that the client
// can verify; a name stands before a wildcard. Without any it is the first that fits the name, so that the handshake fails
// for a reason the client understands. It is for tls.Config.GetCertificate.
func (c *Certificates) Get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.table.Load().pick(hello), nil
}

// Reload loads every pair anew. Pairs that cannot be loaded stay as they were, and are in the error.
func (c *Certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []error
	for _, p := range c.pairs {
		all = append(all, c.load(p))
	}
	c.publish()
	return errors.Join(all...)
}

// Watch loads pairs anew whose files change, until ctx ends. every is the time between two looks; 0 is DefaultInterval.
func (c *Certificates) Watch(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(cmp.Or(every, DefaultInterval))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.look()
		}
	}
}

// look is one round of Watch. A pair that could not be loaded is tried again each time, and logged when its files or the
// reason are others.
func (c *Certificates) look() {
	c.mu.Lock()
	for _, p := range c.pairs {
		if !c.due(p) {
			continue
		}
		before := p.failure
		switch err := c.load(p); {
		case err == nil:
			c.publish()
			c.log.Info("certificate loaded", "file", p.files.Cert, "names", p.names(), "expires", p.certificate.Leaf.NotAfter)
		case before == nil || before.Error() != err.Error():
			c.log.Error("certificate not loaded, the one before stays in use", "file", p.files.Cert, "error", err)
		}
	}
	c.mu.Unlock()
	c.warnOfEnds()
}

// due reports whether a pair is to be loaded.
func (c *Certificates) due(p *pair) bool {
	return p.failure != nil || !p.state.same(p.files.look()) || c.selfSigned != nil && c.ends(p.certificate)
}

// load loads a pair, and remembers why when it cannot.
func (c *Certificates) load(p *pair) error {
	p.failure = c.make()
	if p.failure == nil {
		p.failure = p.load()
	}
	if p.failure != nil {
		c.metrics.failures.Inc()
		return p.failure
	}
	if p.keyIsOpen() {
		c.log.Warn("a private key may be read by others", "file", p.files.Key, "hint", "chmod o= "+p.files.Key)
	}
	return nil
}

// publish lets handshakes see what is loaded. A pair that never was is not there: Open fails then.
func (c *Certificates) publish() {
	loaded := make([]*tls.Certificate, 0, len(c.pairs))
	for _, p := range c.pairs {
		if p.certificate != nil {
			loaded = append(loaded, p.certificate)
		}
	}
	c.table.Store(newTable(loaded))
}

// warnOfEnds logs, once a day, which certificates end soon or have ended.
func (c *Certificates) warnOfEnds() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for _, p := range c.pairs {
		end := p.certificate.Leaf.NotAfter
		if now.Before(end.Add(-warnBefore)) || now.Before(p.warned.Add(warnInterval)) {
			continue
		}
		p.warned = now
		text := "certificate ends soon"
		if now.After(end) {
			text = "certificate has expired"
		}
		c.log.Warn(text, "file", p.files.Cert, "names", p.names(), "expires", end)
	}
}
