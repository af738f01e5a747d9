package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"sluice/internal/access"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// Limits of users. Source: IAM, quotas of users.
const (
	// MaxUsers is how many users an account may have.
	MaxUsers int = 5_000
	// MaxPolicies is how many policies a user may have.
	MaxPolicies int = 10
	// MaxKeys is how many access keys a user may have: one in use, and the one that takes its place.
	MaxKeys int = 2
)

// countedUser is what users are counted as in the store.
const countedUser = "user"

// maxAttempts is how often a change starts over because another node changed the user meanwhile.
const maxAttempts = 16

var (
	userNames   = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,64}$`)
	policyNames = regexp.MustCompile(`^[A-Za-z0-9+=,.@_-]{1,128}$`)
)

// User is a user as operators see it.
type User struct {
	Name     string
	Created  time.Time
	Policies []PolicyDocument // by name
	Keys     []KeyState       // the oldest first
}

// KeyState is an access key as operators see it: without its secret.
type KeyState struct {
	ID       string
	Created  time.Time
	Inactive bool
	Used     time.Time // to the hour; zero: never
}

// Account is an account that has users.
type Account struct {
	ID    string
	Users int
}

// show is a user as operators see it.
func (u *user) show() User {
	shown := User{Name: u.ID, Created: u.created, Policies: slices.Clone(u.record.Policies)}
	for i, stored := range u.record.Keys {
		state := KeyState{ID: stored.ID, Created: stored.Created, Inactive: stored.Inactive}
		if used := u.keys[i].used.Load(); used > 0 {
			state.Used = latest(time.Unix(used, 0).UTC().Truncate(usageInterval), stored.Created)
		}
		shown.Keys = append(shown.Keys, state)
	}
	return shown
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// List returns the users of an account by name.
func (u *Users) List(account string) []User {
	list := []User{}
	for _, one := range u.of(account) {
		list = append(list, one.show())
	}
	return list
}

// Get returns a user. The error for none is CodeResourceNotFound.
func (u *Users) Get(account, name string) (User, error) {
	found, ok := u.user(account, name)
	if !ok {
		return User{}, noUser(name)
	}
	return found.show(), nil
}

// Accounts returns every account that has users, by id.
func (u *Users) Accounts() []Account {
	counts := map[string]int{}
	u.users.Range(func(key, _ any) bool {
		counts[key.(store.Key).Account]++
		return true
	})
	list := []Account{}
	for id, n := range counts {
		list = append(list, Account{id, n})
	}
	slices.SortFunc(list, func(a, b Account) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Create adds a user with policies and its first access key, whose secret is not shown again. With its first user an
// account begins to be. Errors are CodeConflict when there is one of that name, CodeValidation and
// CodeServiceQuotaExceeded.
func (u *Users) Create(ctx context.Context, account, name string, policies []PolicyDocument) (NewKey, error) {
	if !userNames.MatchString(name) {
		return NewKey{}, invalid("User", "a user's name has 1 to 64 letters, digits and characters of +=,.@_-")
	}
	d := draft{key: userKey(account, name), parts: map[string][]byte{}}
	for _, p := range policies {
		if err := d.record.put(p); err != nil {
			return NewKey{}, err
		}
	}
	made := u.addKey(&d)
	body, err := json.Marshal(d.record)
	if err != nil {
		return made, fmt.Errorf("encode user %s: %w", name, err)
	}
	u.changes.Lock()
	defer u.changes.Unlock()
	now := u.now()
	resource := store.Resource{Key: d.key, Name: name, Counted: countedUser, Created: now, Modified: now, Body: body}
	err = u.cfg.Store.Create(ctx, store.Creation{Change: store.Change{Resource: resource, Parts: d.parts}, Quota: MaxUsers})
	switch {
	case errors.Is(err, store.ErrNameTaken):
		return NewKey{}, mailmanager.Errorf(mailmanager.CodeConflict, "There is a user %s already", name)
	case errors.Is(err, store.ErrQuota):
		return NewKey{}, mailmanager.Errorf(mailmanager.CodeServiceQuotaExceeded, "The account has %d users already", MaxUsers)
	case err != nil:
		return NewKey{}, err
	}
	return made, u.refresh(ctx, resource)
}

// refresh publishes a user as it is stored now, also when whoever asked for the change has gone.
func (u *Users) refresh(ctx context.Context, r store.Resource) error {
	view, err := u.read(context.WithoutCancel(ctx), r)
	if err != nil {
		u.unpublish(r.Key) // better no user than one as it was
		return err
	}
	u.publish(view)
	return nil
}

// Delete removes a user with its keys and policies. The error for none is CodeResourceNotFound.
func (u *Users) Delete(ctx context.Context, account, name string) error {
	u.changes.Lock()
	defer u.changes.Unlock()
	err := u.cfg.Store.Delete(ctx, userKey(account, name))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	u.unpublish(userKey(account, name))
	if err != nil {
		return noUser(name)
	}
	return nil
}

// PutPolicy attaches a policy to a user, in place of its policy of the same name. Errors are CodeValidation, with what is
// wrong with the document, CodeServiceQuotaExceeded and CodeResourceNotFound.
func (u *Users) PutPolicy(ctx context.Context, account, name string, p PolicyDocument) error {
	return u.change(ctx, userKey(account, name), func(d *draft) error { return d.record.put(p) })
}

func (r *userRecord) put(p PolicyDocument) error {
	if !policyNames.MatchString(p.Name) {
		return invalid("Name", "a policy's name has 1 to 128 letters, digits and characters of +=,.@_-")
	}
	if _, err := access.Parse(p.Name, []byte(p.Document)); err != nil {
		return invalid("Document", err.Error())
	}
	i, there := slices.BinarySearchFunc(r.Policies, p.Name, func(q PolicyDocument, name string) int { return cmp.Compare(q.Name, name) })
	switch {
	case there:
		r.Policies[i] = p
	case len(r.Policies) == MaxPolicies:
		return mailmanager.Errorf(mailmanager.CodeServiceQuotaExceeded, "A user can have %d policies", MaxPolicies)
	default:
		r.Policies = slices.Insert(r.Policies, i, p)
	}
	return nil
}

// DeletePolicy takes a policy from a user. The error for none is CodeResourceNotFound.
func (u *Users) DeletePolicy(ctx context.Context, account, name, policy string) error {
	return u.change(ctx, userKey(account, name), func(d *draft) error {
		kept := slices.DeleteFunc(slices.Clone(d.record.Policies), func(p PolicyDocument) bool { return p.Name == policy })
		if len(kept) == len(d.record.Policies) {
			return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "The user %s has no policy %s", name, policy)
		}
		d.record.Policies = kept
		return nil
	})
}

// draft is a user while it is changed. Parts that are nil go.
type draft struct {
	key    store.Key
	record userRecord
	parts  map[string][]byte
}

// errUnchanged ends a change that has nothing to change; it is not an error to the caller.
var errUnchanged = errors.New("nothing to change")

// change changes a user as it is stored, and publishes it.
func (u *Users) change(ctx context.Context, key store.Key, edit func(*draft) error) error {
	u.changes.Lock()
	defer u.changes.Unlock()
	for range maxAttempts {
		r, err := u.cfg.Store.Get(ctx, key)
		if errors.Is(err, store.ErrNotFound) {
			u.unpublish(key)
			return noUser(key.ID)
		}
		if err != nil {
			return err
		}
		d := draft{key: key, parts: map[string][]byte{}}
		if err := json.Unmarshal(r.Body, &d.record); err != nil {
			return fmt.Errorf("decode user %s: %w", key.ID, err)
		}
		if err := edit(&d); err != nil {
			if errors.Is(err, errUnchanged) {
				return nil
			}
			return err
		}
		r.Modified = u.now()
		if r.Body, err = json.Marshal(d.record); err != nil {
			return fmt.Errorf("encode user %s: %w", key.ID, err)
		}
		err = u.cfg.Store.Update(ctx, store.Change{Resource: r, Parts: d.parts})
		if errors.Is(err, store.ErrChanged) {
			continue
		}
		if err != nil {
			return err
		}
		return u.refresh(ctx, r)
	}
	return mailmanager.Errorf(mailmanager.CodeConflict, "The user %s is being changed by others", key.ID)
}

func (u *Users) now() time.Time { return u.cfg.Now().UTC().Truncate(time.Microsecond) }

func noUser(name string) error {
	return mailmanager.Errorf(mailmanager.CodeResourceNotFound, "There is no user %s", name)
}

func isNotFound(err error) bool {
	var e *mailmanager.Error
	return errors.As(err, &e) && e.Code == mailmanager.CodeResourceNotFound
}

func invalid(member, why string) error {
	return mailmanager.Errorf(mailmanager.CodeValidation, "%s: %s", member, why)
}
