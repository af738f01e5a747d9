package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/admin"
	"sluice/internal/control"
	"sluice/internal/objects/files"
)

// Limits of the HTTP servers. The size of a body, and how long an operation may take, are awsapi's to bound.
const (
	httpHeaderTimeout  = 10 * time.Second
	httpBodyTimeout    = time.Minute      // for a body that its handler sets no time for
	httpRestTimeout    = 5 * time.Second  // for what a handler has not read of a body
	httpAnswerTimeout  = 20 * time.Minute // for a whole request, its answer included; uploads have 15 minutes
	httpIdleTimeout    = 2 * time.Minute
	httpHeaderOctets   = 64 << 10
	httpShutdownPeriod = 5 * time.Second
)

// webServer is one HTTP address and what is served on it.
type webServer struct {
	listener net.Listener
	server   *http.Server
}

// openWeb makes a server of a listener, and owns that. With a certificate it is HTTPS. Nothing is answered until serve.
func openWeb(listener net.Listener, certificate *tls.Certificate, handler http.Handler, log *slog.Logger) *webServer {
	if certificate != nil {
		listener = tls.NewListener(listener, &tls.Config{
			Certificates: []tls.Certificate{*certificate},
			MinVersion:   tls.VersionTLS12,
			NextProtos:   []string{"http/1.1"},
		})
	}
	return &webServer{listener: listener, server: &http.Server{
		Handler:           bounded(handler),
		ReadHeaderTimeout: httpHeaderTimeout,
		WriteTimeout:      httpAnswerTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    httpHeaderOctets,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// bounded gives every body a time. net/http reads the rest of one that a handler did not want before it goes on, and by itself waits for
// that without end, whoever the client is (S11).
func bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(httpBodyTimeout))
			defer func() { _ = control.SetReadDeadline(time.Now().Add(httpRestTimeout)) }()
		}
		next.ServeHTTP(w, r)
	})
}

// address is host:port as bound.
func (w *webServer) address() string { return w.listener.Addr().String() }

// serve answers until close. It returns nil then, and an error when the listener fails.
func (w *webServer) serve() error {
	if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP on %s: %w", w.address(), err)
	}
	return nil
}

// close lets running requests end for a while, then cuts them.
func (w *webServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), httpShutdownPeriod)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		return w.server.Close()
	}
	// Shutdown closes only listeners that were served.
	if err := w.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// loadCertificate returns nil without files.
func loadCertificate(cfg Config) (*tls.Certificate, error) {
	if cfg.APICert == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(cfg.APICert, cfg.APIKey)
	if err != nil {
		return nil, usage(fmt.Errorf("certificate of the API: %w", err), "")
	}
	return &certificate, nil
}

// routes is what the API address answers: the pages that need no signature, what signed URLs lead to, and the API for everything
// else.
func (g *gateway) routes(ready admin.Readiness, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(files.Path, g.objects.Handler(files.Uploads{
		MaxOctets: control.MaxUploadOctets, Admit: g.admitUpload, Used: auditor{g.audit}.used, Log: g.server.log,
	}))
	mux.Handle("/", apiRoutes(g.api, ready, metrics))
	return mux
}

// admitUpload asks the disk, then whoever is to have the file.
func (g *gateway) admitUpload(ctx context.Context, key string) (done func(), err error) {
	if _, failing := g.storage.failing(); failing { // why is the operator's to know
		return nil, errors.New("the server has no room for files now")
	}
	return g.control.AdmitUpload(ctx, key)
}

// apiRoutes is what an address answers beside signed URLs.
func apiRoutes(api http.Handler, ready admin.Readiness, metrics prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /healthz", admin.Healthz())
	mux.Handle("GET /readyz", admin.Readyz(ready))
	if metrics != nil {
		mux.Handle("GET /metrics", admin.Metrics(metrics))
	}
	mux.Handle("/", api)
	return mux
}

// adminRoutes is what the --admin address answers.
func adminRoutes(ready admin.Readiness, metrics prometheus.Gatherer) http.Handler {
	return apiRoutes(http.NotFoundHandler(), ready, metrics)
}

// isLoopback reports whether only this machine can reach a listener on host:port. No host is every address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isEveryAddress reports whether host:port stands for all addresses of this machine, and so for none that a client could name.
func isEveryAddress(address string) bool {
	at, err := netip.ParseAddrPort(address)
	return err == nil && at.Addr().IsUnspecified()
}
