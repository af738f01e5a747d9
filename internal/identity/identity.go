// Package identity knows who may do what: the users of each account with their access keys and policies, and which action
// on which resource every operation of the API is. It finds the key that a request is signed with, and decides, before
// anything is looked up, whether its user may do what it asks for. The root of the installation may do everything.
//
// users.go and keys.go have what is done with users; directory.go what every request reads; table.go which action and
// resource each operation is, targets.go and facts.go how those and the condition keys are taken from a request;
// authorize.go the decision. The language of policies is package access. Start with Open.
// Source: Mail Manager, sections 1.1 and 12; Mail Manager, A28 and A30 (S36, S40).
package identity

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"sluice/internal/awsapi"
	"sluice/internal/seal"
	"sluice/internal/store"
)

// Config is what Users work with.
type Config struct {
	Store  store.Store // the caller closes it after Close
	Seal   *seal.Keys
	Root   awsapi.Credentials // the root's key
	Now    func() time.Time   // nil: time.Now
	Logger *slog.Logger       // nil: slog.Default
}

// Users are the users of all accounts. All methods are safe for concurrent use. A change is durable, and seen by the next
// request, before its method returns.
type Users struct {
	directory
	cfg     Config
	changes sync.Mutex // held while a user is changed
	used    chan usage
	stop    context.CancelFunc
	stopped chan struct{}
}

var _ awsapi.Credentials = (*Users)(nil)

// Open loads every user. One that cannot be used any more is logged and left out, and so are its keys. The caller calls
// Close.
func Open(ctx context.Context, cfg Config) (*Users, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	u := &Users{cfg: cfg, used: make(chan usage, maxUsages), stopped: make(chan struct{})}
	if err := u.load(ctx); err != nil {
		return nil, fmt.Errorf("load the users: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	u.stop = stop
	go u.keepUsage(running)
	return u, nil
}

// Close ends what runs beside requests. No method is called after it.
func (u *Users) Close() error {
	u.stop()
	<-u.stopped
	return nil
}

func (u *Users) load(ctx context.Context) error {
	var found []store.Resource // the store must not be called while it yields
	for r, err := range u.cfg.Store.All(ctx, kindUser) {
		if err != nil {
			return err
		}
		found = append(found, r)
	}
	for _, r := range found {
		view, err := u.read(ctx, r)
		if err == nil {
			u.publish(view)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.cfg.Logger.Error("user cannot be used: its keys are refused", "account", r.Account, "user", r.Name, "error", err)
	}
	return nil
}

// Lookup implements awsapi.Credentials. A key that is inactive is not found.
func (u *Users) Lookup(ctx context.Context, id string) (awsapi.Key, bool) {
	if k, ok := u.key(id); ok {
		return awsapi.Key{Secret: k.secret, Account: k.account, User: k.user}, k.active
	}
	return u.cfg.Root.Lookup(ctx, id)
}

// Limits of the use of keys that is waiting to be kept.
const (
	// usageInterval is how exactly is known when a key was used last.
	usageInterval = time.Hour
	// maxUsages is how many wait; more are forgotten until the keys are used again.
	maxUsages = 1024
)

// usage is that a key was used.
type usage struct {
	account, user, key string
	at                 time.Time
}

// use notes that a key is used. It waits for nothing, and for most requests is one comparison.
func (u *Users) use(id string) {
	k, ok := u.key(id)
	if !ok {
		return
	}
	now, before := u.cfg.Now(), k.used.Load()
	if now.Sub(time.Unix(before, 0)) < usageInterval || !k.used.CompareAndSwap(before, now.Unix()) {
		return
	}
	select {
	case u.used <- usage{k.account, k.user, id, now}:
	default:
	}
}

// keepUsage writes down when keys were used.
func (u *Users) keepUsage(ctx context.Context) {
	defer close(u.stopped)
	for {
		select {
		case one := <-u.used:
			if err := u.keep(ctx, one); err != nil && ctx.Err() == nil {
				u.cfg.Logger.Error("use of an access key not kept", "account", one.account, "user", one.user, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (u *Users) keep(ctx context.Context, one usage) error {
	err := u.change(ctx, userKey(one.account, one.user), func(d *draft) error {
		k, ok := d.record.find(one.key)
		if !ok {
			return errUnchanged
		}
		k.Used = one.at.UTC().Truncate(time.Second)
		return nil
	})
	if isNotFound(err) {
		return nil // it was deleted meanwhile
	}
	return err
}
