package control

import (
	"context"
	"errors"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/seal"
	"sluice/internal/store"
)

// tokenLifetime is how long a client token is remembered (Mail Manager, A1).
const tokenLifetime = 24 * time.Hour

// request is a Create call, as far as all of them are alike.
type request struct {
	scope     Scope
	operation string
	token     *mailmanager.IdempotencyToken
	tags      []mailmanager.Tag
	input     any
}

// once carries out a Create call unless one with its client token was carried out already: then it returns that one's
// id, or ConflictException when the requests differ. The token is stored by run, in the transaction of the resource: of
// concurrent calls with one token all but one fail, be it in the store or because what they are to make is there, and are then
// answered like the first.
// Source: Mail Manager, A1.
func (c *Control) once(ctx context.Context, req request, run func(*store.Token) (string, error)) (id string, err error) {
	if req.token == nil {
		return run(nil)
	}
	token, err := c.newToken(req)
	if err != nil {
		return "", err
	}
	if id, err := c.replay(ctx, token); !errors.Is(err, store.ErrNotFound) {
		return id, err
	}
	id, failed := run(token)
	if failed == nil {
		return id, nil
	}
	if id, err := c.replay(ctx, token); !errors.Is(err, store.ErrNotFound) { // a concurrent call was first
		return id, err
	}
	return "", failed
}

func (c *Control) newToken(req request) (*store.Token, error) {
	fingerprint, err := c.fingerprint(req.input)
	if err != nil {
		return nil, err
	}
	return &store.Token{
		TokenKey:    store.TokenKey{Scope: req.scope, Operation: req.operation, Token: string(*req.token)},
		Fingerprint: fingerprint,
		Expires:     c.now().Add(tokenLifetime),
	}, nil
}

// fingerprint tells equal requests from others. It is keyed: a request may have a password in it, which a plain hash would
// let others guess (S40).
func (c *Control) fingerprint(input any) ([]byte, error) {
	encoded, err := encode(input)
	if err != nil {
		return nil, err
	}
	return seal.MAC(c.tokenKey, encoded), nil
}

// replay returns what a request with the same token was answered. The error is store.ErrNotFound when there was none.
func (c *Control) replay(ctx context.Context, token *store.Token) (id string, err error) {
	before, err := c.cfg.Store.Token(ctx, token.TokenKey, c.now())
	if err != nil {
		return "", err
	}
	if !seal.Equal(before.Fingerprint, token.Fingerprint) {
		return "", mailmanager.Errorf(mailmanager.CodeConflict, "The client token was used for another request")
	}
	return string(before.Response), nil
}
