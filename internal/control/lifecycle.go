package control

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

const (
	// retryInterval is how often a FAILED ingress point is tried again (Mail Manager, B19).
	retryInterval = 5 * time.Second
	// sweepInterval is how often deleted secrets and archives are removed whose time to be recovered, or to be seen, has ended,
	// and what imports have left.
	sweepInterval = time.Hour
	// maxSettling is how many ingress points are opened or closed at once.
	maxSettling = 16
)

// lifecycle brings ingress points from what was asked of them to what is. The states and what follows them:
//
//	PROVISIONING → ACTIVE or FAILED
//	UPDATING → ACTIVE, CLOSED or FAILED
//	FAILED → ACTIVE or CLOSED, when a later attempt succeeds; UPDATING, when its listeners change
//	DEPROVISIONING → gone
//
// FAILED stands for ASSOCIATED_VPC_ENDPOINT_DOES_NOT_EXIST too, which private points whose listener is not there become.
// ACTIVE and CLOSED change by a request only, or to FAILED when a socket cannot be opened after a restart. At most one
// goroutine works on a point, and it starts over when the point was changed meanwhile.
type lifecycle struct {
	work  sync.WaitGroup
	slots chan struct{}

	mu      sync.Mutex
	ctx     context.Context // nil before Start; ended by Close
	cancel  context.CancelFunc
	running map[Key]bool // points that are worked on; true: to be looked at again
}

func (l *lifecycle) init() {
	l.slots = make(chan struct{}, maxSettling)
	l.running = map[Key]bool{}
}

// Start opens the sockets of every ingress point, also of those whose change the last process did not finish, and keeps
// trying what fails until Close. It returns at once. ctx gives values only.
func (c *Control) Start(ctx context.Context) {
	l := &c.lifecycle
	l.mu.Lock()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
		l.work.Go(func() {
			retry, sweep := time.NewTicker(retryInterval), time.NewTicker(sweepInterval)
			defer retry.Stop()
			defer sweep.Stop()
			c.maintain(l.ctx, retry.C, sweep.C)
		})
		l.work.Go(func() { c.runImports(l.ctx) })
		l.work.Go(func() { c.sweepDeleted(l.ctx) })
	}
	l.mu.Unlock()
	for p := range c.Points() {
		c.settleSoon(p.Key)
	}
}

// Close stops trying and waits for what is running, or for the end of ctx. Sockets stay as they are.
func (c *Control) Close(ctx context.Context) error {
	l := &c.lifecycle
	l.mu.Lock()
	if l.cancel != nil {
		l.cancel()
	}
	l.mu.Unlock()
	done := make(chan struct{})
	go func() {
		l.work.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maintain runs the duties that recur, when they are due.
func (c *Control) maintain(ctx context.Context, retry, sweep <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-retry:
			c.retryUnsettled()
		case <-sweep:
			c.sweepSecrets(ctx)
			c.sweepArchives(ctx)
			c.sweepImports(ctx)
			c.sweeper.wake()
		}
	}
}

// retryUnsettled tries again every point that is not where it should be.
func (c *Control) retryUnsettled() {
	for p := range c.Points() {
		if p.Status != mailmanager.IngressPointStatusActive && p.Status != mailmanager.IngressPointStatusClosed {
			c.settleSoon(p.Key)
		}
	}
}

// settleSoon has a point looked at, by the goroutine that works on it or by a new one. Before Start it does nothing.
func (c *Control) settleSoon(key Key) {
	l := &c.lifecycle
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil {
		return
	}
	_, busy := l.running[key]
	l.running[key] = busy
	if !busy {
		l.work.Go(func() { c.settleUntilQuiet(l.ctx, key) })
	}
}

func (c *Control) settleUntilQuiet(ctx context.Context, key Key) {
	l := &c.lifecycle
	for again := true; again; again = l.again(key) {
		l.slots <- struct{}{}
		if err := c.settle(ctx, key); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("ingress point not settled, will be tried again", "account", key.Account, "region", key.Region,
				"ingress_point_id", key.ID, "error", err)
		}
		<-l.slots
	}
}

// again reports whether a point was changed while it was worked on; if not, the work on it has ended.
func (l *lifecycle) again(key Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[key] && l.ctx.Err() == nil {
		l.running[key] = false
		return true
	}
	delete(l.running, key)
	return false
}

// settle brings one point to where it should be.
func (c *Control) settle(ctx context.Context, key Key) error {
	point, ok := c.IngressPoint(key)
	if !ok {
		return nil
	}
	if point.Status == mailmanager.IngressPointStatusDeprovisioning {
		return c.deprovision(ctx, key)
	}
	address, failure := c.cfg.Sockets.Open(ctx, point)
	if ctx.Err() != nil {
		return nil // the next process opens it; a failure now is only that this one ends
	}
	err := c.update(ctx, kindIngressPoint, kindIngressPoint.key(key.Scope, key.ID), func(r store.Resource) (draft, error) {
		if now, ok := c.IngressPoint(key); !ok || now != point {
			return draft{}, errUnchanged // it was changed meanwhile, and whoever did asked for another look
		}
		return c.openedPoint(ctx, r, address, failure)
	})
	if isCode(err, mailmanager.CodeResourceNotFound) {
		return nil
	}
	return err
}

// openedPoint is the point after an attempt to open its sockets.
func (c *Control) openedPoint(ctx context.Context, r store.Resource, address string, failure error) (d draft, err error) {
	before, err := decode[pointRecord](r.Key, r.Body)
	if err != nil {
		return d, err
	}
	p := before
	p.Status, p.Reason = p.Target, ""
	if failure != nil {
		p.failed(failure)
	}
	p.Reached = p.Reached || failure == nil
	if address != "" {
		p.PoolAddress = address
	}
	if p.Status == before.Status && p.Reason == before.Reason && p.PoolAddress == before.PoolAddress {
		return d, errUnchanged
	}
	tags, err := c.cfg.Store.Tags(ctx, r.Key)
	if err != nil {
		return d, err
	}
	log := c.cfg.Logger.Info
	if failure != nil {
		log = c.cfg.Logger.Warn
	}
	log("ingress point changed its state", "account", r.Account, "region", r.Region, "ingress_point_id", r.ID,
		"from", before.Status, "to", p.Status, "reason", p.Reason)
	return c.draftPoint(ctx, r, p, tags, nil)
}

// deprovision makes a point unreachable and then removes it; what it used is free from then on.
func (c *Control) deprovision(ctx context.Context, key Key) error {
	c.cfg.Sockets.Close(ctx, key)
	return c.remove(ctx, kindIngressPoint, kindIngressPoint.key(key.Scope, key.ID), c.points.remove)
}

// isCode reports whether err is a domain error with that code.
func isCode(err error, code mailmanager.Code) bool {
	var failure *mailmanager.Error
	return errors.As(err, &failure) && failure.Code == code
}
