package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"sluice/cmd/sluice/internal/sink"
	"sluice/internal/smtpd"
)

// sinkDrain is how long running sessions of a sink have to end. A sink promises nothing.
const sinkDrain = time.Second

type sinkCommand struct {
	Listen  string `required:"" placeholder:"HOST:PORT" help:"Address to listen on; port 0 is any that is free."`
	Maildir string `placeholder:"DIR" help:"Maildir to keep the messages in. Without it they are only counted."`
}

// Run accepts mail until ctx ends.
func (c *sinkCommand) Run(ctx context.Context, to streams) error {
	log, err := newLogger(to.err, "info")
	if err != nil {
		return err
	}
	s, err := openSink(c.Listen, log, sink.Config{
		Maildir: c.Maildir,
		Arrived: func(m *sink.Message) { fmt.Fprintln(to.out, m) },
	})
	if err != nil {
		return hint(err, "name another address with --listen")
	}
	log.Info("sink is listening", "address", s.address())
	return s.run(ctx)
}

// sinkServer is a sink on an address.
type sinkServer struct {
	listener net.Listener
	smtp     *smtpd.Server
}

func openSink(address string, log *slog.Logger, cfg sink.Config) (*sinkServer, error) {
	host, err := sink.New(cfg)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return &sinkServer{listener: listener, smtp: smtpd.New(smtpd.Config{Hostname: host.Hostname(), Host: host, Logger: log})}, nil
}

func (s *sinkServer) address() string { return s.listener.Addr().String() }

// run serves until ctx ends.
func (s *sinkServer) run(ctx context.Context) error {
	stopped := make(chan error, 1)
	unwatch := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), sinkDrain)
		defer cancel()
		err := s.smtp.Shutdown(drain)
		if errors.Is(err, context.DeadlineExceeded) {
			err = nil // cut short, as announced
		}
		stopped <- err
	})
	if err := s.smtp.Serve(s.listener, smtpd.Listener{TLS: smtpd.TLSNone}); err != nil {
		unwatch()
		return err
	}
	return <-stopped
}
