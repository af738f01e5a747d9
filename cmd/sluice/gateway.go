package main

import (
	"context"
	"net/http"

	"sluice/internal/admin"
)

// gateway is what stands behind the HTTP address.
type gateway struct {
	api       http.Handler
	readiness admin.Readiness
}

func openGateway(context.Context, *server) (*gateway, error) {
	return &gateway{api: http.NotFoundHandler()}, nil
}

func (g *gateway) run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (g *gateway) drain() {}

func (g *gateway) close() error { return nil }
