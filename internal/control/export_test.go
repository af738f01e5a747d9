package control

import (
	"context"
	"runtime"
	"time"
)

// Quiet waits until no ingress point is being worked on.
func (c *Control) Quiet() {
	for {
		c.lifecycle.mu.Lock()
		n := len(c.lifecycle.running)
		c.lifecycle.mu.Unlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
}

// Maintain runs the recurring duties on ticks of the caller's.
func (c *Control) Maintain(ctx context.Context, retry, sweep <-chan time.Time) {
	c.maintain(ctx, retry, sweep)
}

// PasswordIs reports whether the newest password, or the one before it while it is accepted, is the text.
func (c *Control) PasswordIs(ctx context.Context, key Key, text string) (newest, previous bool, err error) {
	s, err := c.readCredentials(ctx, kindIngressPoint.key(key.Scope, key.ID))
	if err != nil {
		return false, false, err
	}
	is := func(p *password) bool { return p != nil && string(c.hashPassword(p.Salt, text)) == string(p.Hash) }
	return is(s.Password), is(s.Previous), nil
}

// Names of the rest of names.go.
var (
	ParseARN  = func(text string) (string, bool) { a, ok := parseARN(text); return a.String(), ok }
	NewHost   = newHost
	RegionTag = regionTag
	NewUUID   = newUUID
)

// RelayID is how ids of relays are checked and found in ARNs.
func RelayID(id string) bool { return kindRelay.validID(id) }

// RelayIDFromARN is the id in an ARN of a relay.
func RelayIDFromARN(scope Scope, text string) (string, bool) { return kindRelay.idFromARN(scope, text) }

// NewRelayID is a new relay's id, and its ARN.
func NewRelayID(scope Scope) (id, arn string) {
	id = kindRelay.newID()
	return id, kindRelay.arnOf(scope, id)
}
