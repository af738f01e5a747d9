package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// draft is what a call wants to be stored, and what makes it visible once it is.
type draft struct {
	store.Creation
	publish func() // nil: the data plane does not see it
}

// show makes what was stored visible.
func (d *draft) show() {
	if d.publish != nil {
		d.publish()
	}
}

// errUnchanged ends an update that has nothing to change; it is not an error to the caller.
var errUnchanged = errors.New("nothing to change")

// maxAttempts is how often an update starts over because another node changed the resource meanwhile.
const maxAttempts = 16

// create stores a new resource, once for each client token, and publishes it. It returns the resource's id. build gets
// the resource with its key and times, and completes it.
func (c *Control) create(ctx context.Context, k kind, req request, build func(store.Resource) (draft, error)) (id string, err error) {
	if err := c.checkTags(req.scope.Account, req.tags); err != nil {
		return "", err
	}
	return c.once(ctx, req, func(token *store.Token) (string, error) {
		now := c.now()
		key := k.key(req.scope, k.newID())
		defer c.locks.lock(key)()
		d, err := build(store.Resource{Key: key, Created: now, Modified: now, Revision: 1})
		if err != nil {
			return "", err
		}
		room := c.limits(key.Account).quota(d.Resource.Counted)
		d.Tags, d.Quota, d.Token = storedTags(req.tags), room.most, token
		if token != nil {
			token.Response = []byte(key.ID)
		}
		err = c.cfg.Store.Create(ctx, d.Creation)
		if errors.Is(err, store.ErrQuota) {
			return "", room.exceeded(key.Account, mailmanager.CodeServiceQuotaExceeded)
		}
		if err != nil {
			return "", refuseCreate(k, d.Resource.Name, err)
		}
		d.show()
		return key.ID, nil
	})
}

// update changes a resource and publishes the change. edit gets the resource as it is.
func (c *Control) update(ctx context.Context, k kind, key store.Key, edit func(store.Resource) (draft, error)) error {
	defer c.locks.lock(key)()
	return c.updateLocked(ctx, k, key, edit)
}

func (c *Control) updateLocked(ctx context.Context, k kind, key store.Key, edit func(store.Resource) (draft, error)) error {
	for range maxAttempts {
		r, err := c.read(ctx, k, key)
		if err != nil {
			return err
		}
		d, err := edit(r)
		if errors.Is(err, errUnchanged) {
			return nil
		}
		if err != nil {
			return err
		}
		err = c.cfg.Store.Update(ctx, d.Change)
		if errors.Is(err, store.ErrChanged) {
			continue
		}
		if err != nil {
			return refuseUpdate(k, d.Resource, err)
		}
		d.show()
		return nil
	}
	return mailmanager.Errorf(mailmanager.CodeConflict, "The %s %s is being changed by others", k.noun, key.ID)
}

// remove deletes a resource, and takes it from the data plane by unpublish; nil: that does not see it. That there is none is
// no error: deletes are idempotent (Mail Manager, section 1.1).
func (c *Control) remove(ctx context.Context, k kind, key store.Key, unpublish func(Key)) error {
	defer c.locks.lock(key)()
	return c.removeLocked(ctx, k, key, unpublish)
}

func (c *Control) removeLocked(ctx context.Context, k kind, key store.Key, unpublish func(Key)) error {
	err := c.cfg.Store.Delete(ctx, key)
	if errors.Is(err, store.ErrInUse) {
		return mailmanager.Errorf(mailmanager.CodeConflict, "The %s %s is in use", k.noun, key.ID)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if unpublish != nil {
		unpublish(snapshotKey(key))
	}
	return nil
}

func (c *Control) read(ctx context.Context, k kind, key store.Key) (store.Resource, error) {
	r, err := c.cfg.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return r, k.notFound(key.ID)
	}
	return r, err
}

func refuseCreate(k kind, name string, err error) error {
	if errors.Is(err, store.ErrNameTaken) {
		return nameTaken(k, name)
	}
	if missing := (*store.MissingError)(nil); errors.As(err, &missing) { // Mail Manager, A5
		return noneToUse(missing.Reference, mailmanager.CodeValidation)
	}
	return err
}

func refuseUpdate(k kind, r store.Resource, err error) error {
	switch {
	case errors.Is(err, store.ErrNameTaken):
		return nameTaken(k, r.Name)
	case errors.Is(err, store.ErrNotFound):
		return k.notFound(r.ID)
	}
	if missing := (*store.MissingError)(nil); errors.As(err, &missing) { // Mail Manager, A5
		return noneToUse(missing.Reference, mailmanager.CodeResourceNotFound)
	}
	return err
}

// noneToUse is the error for what a resource is to use and is not there, with that code where it has none of its own: a
// subscription is what its instance is made of, and an instance is named within rules and statements, which are then invalid.
// Of an update, "not found" would be taken for the end of what was to be updated.
func noneToUse(r store.Reference, code mailmanager.Code) error {
	switch r.Kind {
	case kindAddonSubscription.store:
		code = mailmanager.CodeResourceNotFound
	case kindAddonInstance.store:
		code = mailmanager.CodeValidation
	}
	return mailmanager.Errorf(code, "There is no %s to use", describe(r))
}

func nameTaken(k kind, name string) error {
	if k == kindAddonInstance {
		return mailmanager.Errorf(mailmanager.CodeConflict, "The add-on subscription %s has an instance", name)
	}
	return mailmanager.Errorf(mailmanager.CodeConflict, "The name %s is that of another %s", name, k.noun)
}

func describe(r store.Reference) string {
	for _, k := range taggable {
		if k.store == r.Kind {
			return k.noun + " " + r.ID
		}
	}
	return string(r.Kind) + " " + r.ID
}

// listing is a call of a List operation.
type listing struct {
	scope     Scope
	kind      store.Kind
	operation string
	token     *mailmanager.PaginationToken
	size      int
	uses      store.Reference // only resources that use this one; zero: all
}

// defaultPageSize is how many resources a page has when the request does not say (Mail Manager, A2).
const defaultPageSize = 50

// pageSize is the size that was asked for, or the default.
func pageSize(asked *int32) int {
	if asked == nil {
		return defaultPageSize
	}
	return int(*asked)
}

// list returns a page of resources as show shows them, never nil, and the token of the next page: nil when there is none.
func list[T any](ctx context.Context, c *Control, l listing, show func(store.Resource) (T, error)) ([]T, *mailmanager.PaginationToken, error) {
	after, err := c.position(l.scope, l.operation, (*string)(l.token))
	if err != nil {
		return nil, nil, err
	}
	// One more than asked for tells whether there is another page.
	found, err := c.cfg.Store.List(ctx, store.Page{Scope: l.scope, Kind: l.kind, After: after, N: l.size + 1, Uses: l.uses})
	if err != nil {
		return nil, nil, err
	}
	var next *mailmanager.PaginationToken
	if len(found) > l.size {
		found = found[:l.size]
		next = (*mailmanager.PaginationToken)(c.nextToken(l.scope, l.operation, found[l.size-1]))
	}
	shown := make([]T, len(found))
	for i, r := range found {
		if shown[i], err = show(r); err != nil {
			return nil, nil, err
		}
	}
	return shown, next, nil
}

// nextToken is the token of the page that begins after r.
func (c *Control) nextToken(scope Scope, operation string, r store.Resource) *string {
	position := append(binary.BigEndian.AppendUint64(nil, uint64(r.Created.UnixMicro())), r.ID...)
	return mailmanager.Ptr(c.cfg.Tokens.Seal(position, scope.Account, scope.Region, operation))
}

// position reads a page token; without one it is the beginning. The error for a foreign or stale one is a
// ValidationException (Mail Manager, A2).
func (c *Control) position(scope Scope, operation string, token *string) (store.Position, error) {
	if token == nil {
		return store.Position{}, nil
	}
	position, err := c.cfg.Tokens.Open(*token, scope.Account, scope.Region, operation)
	if err != nil {
		return store.Position{}, err
	}
	const octets = 8
	if len(position) < octets {
		return store.Position{}, fmt.Errorf("position of %d octets in a page token of ours", len(position))
	}
	created := int64(binary.BigEndian.Uint64(position))
	return store.Position{Created: time.UnixMicro(created).UTC(), ID: string(position[octets:])}, nil
}

// encode is a record as a resource's body or part.
func encode(record any) ([]byte, error) {
	body, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("encode a %T: %w", record, err)
	}
	return body, nil
}

// decode reads a record from a resource's body or part.
func decode[T any](key store.Key, body []byte) (record T, err error) {
	if err := json.Unmarshal(body, &record); err != nil {
		return record, fmt.Errorf("decode %s %s: %w", key.Kind, key.ID, err)
	}
	return record, nil
}

// part reads a part of a resource. The resource may have gone since it was read.
func (c *Control) part(ctx context.Context, k kind, key store.Key, name string) ([]byte, error) {
	octets, err := c.cfg.Store.Part(ctx, key, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, k.notFound(key.ID)
	}
	return octets, err
}

// sealPart makes a secret part that opens in its place only.
func (c *Control) sealPart(key store.Key, name string, record any) ([]byte, error) {
	plain, err := encode(record)
	if err != nil {
		return nil, err
	}
	return c.cfg.Seal.Seal(plain, key.Place(name)), nil
}

// openPart reads a secret part.
func openPart[T any](c *Control, key store.Key, name string, sealed []byte) (record T, err error) {
	plain, err := c.cfg.Seal.Open(sealed, key.Place(name))
	if err != nil {
		return record, fmt.Errorf("open the part %s of %s %s: %w", name, key.Kind, key.ID, err)
	}
	return decode[T](key, plain)
}

// lockStripes is how many changes to different resources can be made visible at once.
const lockStripes = 64

// keyLocks serialise the changes of a resource, so that the snapshot gets them in the order of the store.
type keyLocks struct {
	seed    maphash.Seed
	stripes [lockStripes]sync.Mutex
}

// lock locks a resource and returns what unlocks it.
func (l *keyLocks) lock(key store.Key) (unlock func()) {
	stripe := &l.stripes[maphash.Comparable(l.seed, key)%lockStripes]
	stripe.Lock()
	return stripe.Unlock
}
