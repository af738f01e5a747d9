package main

import (
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"sluice/internal/admin"
	"sluice/internal/inherit"
)

// server is one gateway, wired: what serve and quickstart run, and what the tests of this package start. openServer opens
// and binds everything, Run serves until it is told to stop, Close gives everything back.
type server struct {
	cfg         Config
	log         *slog.Logger
	now         func() time.Time
	dir         *dataDir
	credentials *rootCredentials
	registry    *prometheus.Registry
	inherited   *inherit.Sockets
	gateway     *gateway
	web         []*webServer // the first is the API's
	stopping    atomic.Bool
	closers     []func() error // undone in the reverse order
}

// openServer opens a gateway. When it returns an error, nothing stays open.
func openServer(ctx context.Context, cfg Config, log *slog.Logger) (*server, error) {
	return openServerAt(ctx, cfg, log, time.Now)
}

// openServerAt is openServer with a clock, which passwords, tokens and the dates of mail go by.
func openServerAt(ctx context.Context, cfg Config, log *slog.Logger, now func() time.Time) (_ *server, err error) {
	s := &server{cfg: cfg, log: log, now: now, registry: newRegistry()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.cfg.settle(); err != nil {
		return nil, err
	}
	if s.inherited, err = inherit.Take(); err != nil {
		return nil, usage(fmt.Errorf("inherited sockets: %w", err), "")
	}
	s.closers = append(s.closers, func() error { s.inherited.Close(); return nil })
	if s.dir, err = openDataDir(cfg.Data); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.dir.unlock)
	if s.credentials, err = openRootCredentials(s.dir, os.Getenv); err != nil {
		return nil, err
	}
	if s.gateway, err = openGateway(ctx, s); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.gateway.close)
	return s, s.openWeb()
}

// newRegistry has the metrics of the process itself; packages add theirs.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// openWeb binds the API address, and that of /metrics when it is another.
func (s *server) openWeb() error {
	certificate, err := loadCertificate(s.cfg)
	if err != nil {
		return err
	}
	var onAPI prometheus.Gatherer // metrics tell much about a gateway: by default they stay on this machine
	if s.cfg.Admin == "" && isLoopback(s.cfg.API) {
		onAPI = s.registry
	}
	listener, err := s.listenWeb(s.cfg.API)
	if err != nil {
		return hint(err, "another server may run already; name another address with --api")
	}
	s.addWeb(openWeb(listener, certificate, s.gateway.routes(s.readiness(), onAPI), s.log))
	if s.cfg.APIURL == "" && isEveryAddress(s.web[0].address()) {
		s.log.Warn("signed URLs for files name an address that clients cannot reach; set api_url to what they reach the API at", "url", s.url())
	}
	if s.cfg.Admin == "" {
		return nil
	}
	if listener, err = s.listenWeb(s.cfg.Admin); err != nil {
		return hint(err, "name another address with --admin")
	}
	s.addWeb(openWeb(listener, nil, adminRoutes(s.readiness(), s.registry), s.log))
	return nil
}

// listen takes the inherited socket of an address, or makes one.
func (s *server) listen(address string) (net.Listener, error) {
	if l := s.inherited.Claim("tcp", address); l != nil {
		return l, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}

// listenWeb is listen for HTTP, of which each address has so many connections at once.
func (s *server) listenWeb(address string) (net.Listener, error) {
	listener, err := s.listen(address)
	if err != nil {
		return nil, err
	}
	return netutil.LimitListener(listener, s.cfg.APIMaxConnections), nil
}

// claimPeriod is how long an inherited socket waits for somebody to ask for it: ingress points open theirs at once, and
// those that failed are tried again every 5 seconds.
const claimPeriod = 15 * time.Second

// closeUnclaimed closes the inherited sockets that nobody asked for, so that their clients are refused and do not wait.
func (s *server) closeUnclaimed() {
	for _, address := range s.inherited.Close() {
		s.log.Warn("inherited socket closed: no ingress point and no setting has its address", "address", address)
	}
}

func (s *server) addWeb(w *webServer) {
	s.web = append(s.web, w)
	s.closers = append(s.closers, w.close)
}

// readiness is everything that must hold for the server to take mail.
func (s *server) readiness() admin.Readiness {
	stopping := admin.Check{Name: "server", Failing: func() (string, bool) { return "it is stopping", s.stopping.Load() }}
	return append(admin.Readiness{stopping}, s.gateway.readiness...)
}

// url is where clients reach the API, without a slash at the end.
func (s *server) url() string {
	if s.cfg.APIURL != "" {
		return strings.TrimRight(s.cfg.APIURL, "/")
	}
	scheme := "http://"
	if s.cfg.APICert != "" {
		scheme = "https://"
	}
	return scheme + s.web[0].address()
}

// Run serves until ctx ends or a part fails, then lets what is running end: idle SMTP sessions get 421 at once, running
// ones have 30 seconds. It returns nil when it was told to stop.
func (s *server) Run(ctx context.Context) error {
	parts, failed := errgroup.WithContext(ctx)
	s.gateway.start(failed)
	defer time.AfterFunc(claimPeriod, s.closeUnclaimed).Stop()
	for _, w := range s.web {
		parts.Go(w.serve)
	}
	parts.Go(func() error { return s.gateway.run(failed) })
	s.log.Info("serving", "api", s.url(), "data", s.dir.path, "version", version(), "fips140", fips140.Enabled())
	<-failed.Done()
	s.stopping.Store(true)
	s.log.Info("stopping")
	s.gateway.drain()
	for _, w := range s.web {
		if err := w.close(); err != nil {
			s.log.Warn("close HTTP", "error", err.Error())
		}
	}
	return parts.Wait()
}

// Close gives everything back, in the reverse order of opening. It is called once, after Run has returned if it was called.
func (s *server) Close() error {
	var all []error
	for _, undo := range slices.Backward(s.closers) {
		all = append(all, undo())
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("close the server: %w", err)
	}
	return nil
}
