package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
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
// id, or ConflictException when the requests differ. Of concurrent calls with one token, all but one wait for the result.
// The token is stored by run, in the transaction of the resource. Source: Mail Manager, A1.
func (c *Control) once(ctx context.Context, req request, run func(*store.Token) (string, error)) (id string, err error) {
	if req.token == nil {
		return run(nil)
	}
	token, err := c.newToken(req)
	if err != nil {
		return "", err
	}
	leave, err := c.flights.enter(ctx, token.TokenKey)
	if err != nil {
		return "", err
	}
	defer leave()
	if id, err := c.replay(ctx, token); !errors.Is(err, store.ErrNotFound) {
		return id, err
	}
	id, err = run(token)
	if errors.Is(err, store.ErrTokenTaken) { // by another node, a moment ago
		return c.replay(ctx, token)
	}
	return id, err
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

// fingerprint tells equal requests from others, the token aside. It is keyed: a request may have a password in it, which
// a plain hash would let others guess (S40).
func (c *Control) fingerprint(input any) ([]byte, error) {
	encoded, err := encode(input)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(encoded, &members); err != nil {
		return nil, fmt.Errorf("take a %T apart: %w", input, err)
	}
	delete(members, "ClientToken")
	if encoded, err = encode(members); err != nil { // in the order of the keys
		return nil, err
	}
	return seal.MAC(c.keys.clientToken, encoded), nil
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

// flights are the calls with a client token that run now.
type flights struct {
	mu      sync.Mutex
	running map[store.TokenKey]chan struct{} // closed when the call ends
}

// enter waits until no other call with the token runs, and returns what ends this one.
func (f *flights) enter(ctx context.Context, key store.TokenKey) (leave func(), err error) {
	for {
		f.mu.Lock()
		other, busy := f.running[key]
		if !busy {
			done := make(chan struct{})
			f.running[key] = done
			f.mu.Unlock()
			return func() { f.leave(key, done) }, nil
		}
		f.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *flights) leave(key store.TokenKey, done chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.running, key)
	close(done)
}
