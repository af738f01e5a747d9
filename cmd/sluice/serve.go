package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

type serveCommand struct {
	Config
}

// Help is the part of --help below the flags' summary.
func (serveCommand) Help() string {
	return `Logs go to standard error, one JSON object a line. SIGTERM and SIGINT stop it: idle sessions get 421 within a second,
running ones have 30 seconds, and nothing accepted is lost. SIGHUP loads the certificates of
SMTP and opens the file of log records anew. Listeners are set in the configuration file only:

  [listeners.mx]
  addresses = ["0.0.0.0:25", "[::]:25"]

An ingress point is put on one with the tag sluice:listener = mx. The root credentials are SLUICE_ROOT_ACCESS_KEY_ID and
SLUICE_ROOT_SECRET_ACCESS_KEY; without them they are made on the first start, into DIR/root-credentials.`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, to streams) error {
	tuneCollector()
	log, err := newLogger(to.err, c.LogLevel)
	if err != nil {
		return err
	}
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	s, err := openServer(ctx, c.Config, log)
	if err != nil {
		return err
	}
	go s.reloadAt(ctx, hangups)
	return errors.Join(s.Run(ctx), s.Close())
}

// newLogger logs JSON lines.
func newLogger(w io.Writer, level string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, usage(fmt.Errorf("log level: %w", err), "")
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: least})), nil
}
