package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/internal/access"
	"sluice/internal/store"
)

// kindUser is the kind of users in the store. They are of an account and of no region; their id is their name.
const kindUser store.Kind = "user"

func userKey(account, name string) store.Key {
	return store.Key{Scope: store.Scope{Account: account}, Kind: kindUser, ID: name}
}

// userRecord is a user as it is stored, the secrets of its keys aside: each is a sealed part, named like its key.
type userRecord struct {
	Policies []PolicyDocument `json:",omitempty"` // by name
	Keys     []keyRecord      `json:",omitempty"` // the oldest first
}

// PolicyDocument is a policy of a user.
type PolicyDocument struct {
	Name     string
	Document string // JSON, as it was attached
}

type keyRecord struct {
	ID       string
	Created  time.Time
	Inactive bool      `json:",omitempty"`
	Used     time.Time `json:",omitzero"` // about when it was used last
}

func (r *userRecord) find(id string) (*keyRecord, bool) {
	i := slices.IndexFunc(r.Keys, func(k keyRecord) bool { return k.ID == id })
	if i < 0 {
		return nil, false
	}
	return &r.Keys[i], true
}

// user is a user as requests see it. It is not changed: a change makes a new one.
type user struct {
	store.Key
	created  time.Time
	record   userRecord
	policies []*access.Policy
	keys     []*key
}

// key is an access key as requests see it.
type key struct {
	id, secret, account, user string
	active                    bool
	used                      *atomic.Int64 // seconds since 1970; of all views of the key
}

// directory is what requests read, without a lock.
type directory struct {
	users sync.Map // store.Key to *user
	keys  sync.Map // id to *key
}

func (d *directory) key(id string) (*key, bool) {
	k, ok := d.keys.Load(id)
	if !ok {
		return nil, false
	}
	return k.(*key), true
}

func (d *directory) user(account, name string) (*user, bool) {
	found, ok := d.users.Load(userKey(account, name))
	if !ok {
		return nil, false
	}
	return found.(*user), true
}

// publish makes a user and its keys what requests see, and no key that it does not have any more.
func (d *directory) publish(next *user) {
	before, _ := d.user(next.Account, next.ID)
	d.users.Store(next.Key, next)
	for _, k := range next.keys {
		d.keys.Store(k.id, k)
	}
	if before == nil {
		return
	}
	for _, k := range before.keys {
		if _, ok := next.record.find(k.id); !ok {
			d.keys.Delete(k.id)
		}
	}
}

func (d *directory) unpublish(key store.Key) {
	before, ok := d.user(key.Account, key.ID)
	if !ok {
		return
	}
	for _, k := range before.keys {
		d.keys.Delete(k.id)
	}
	d.users.Delete(key)
}

// of returns the users of an account by name.
func (d *directory) of(account string) []*user {
	var all []*user
	d.users.Range(func(_, value any) bool {
		if one := value.(*user); one.Account == account {
			all = append(all, one)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *user) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// read makes a user of what is stored.
func (u *Users) read(ctx context.Context, r store.Resource) (*user, error) {
	view := &user{Key: r.Key, created: r.Created}
	if err := json.Unmarshal(r.Body, &view.record); err != nil {
		return nil, fmt.Errorf("decode user %s: %w", r.ID, err)
	}
	for _, p := range view.record.Policies {
		compiled, err := access.Parse(p.Name, []byte(p.Document))
		if err != nil {
			return nil, fmt.Errorf("compile policy %s: %w", p.Name, err)
		}
		view.policies = append(view.policies, compiled)
	}
	for _, stored := range view.record.Keys {
		secret, err := u.secret(ctx, r.Key, stored.ID)
		if err != nil {
			return nil, err
		}
		k := &key{id: stored.ID, secret: secret, account: r.Account, user: r.ID, active: !stored.Inactive, used: new(atomic.Int64)}
		if before, ok := u.key(stored.ID); ok {
			k.used = before.used
		} else {
			k.used.Store(stored.Used.Unix())
		}
		view.keys = append(view.keys, k)
	}
	return view, nil
}

// secret reads the secret of a key.
func (u *Users) secret(ctx context.Context, key store.Key, id string) (string, error) {
	sealed, err := u.cfg.Store.Part(ctx, key, id)
	if err != nil {
		return "", err
	}
	secret, err := u.cfg.Seal.Open(sealed, key.Place(id))
	if err != nil {
		return "", fmt.Errorf("open access key %s of user %s: %w", id, key.ID, err)
	}
	return string(secret), nil
}
