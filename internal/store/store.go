// Package store is the contract of the durable store of resources: what the control plane keeps of relays, rule sets,
// traffic policies, ingress points and secrets, with their tags, their secret parts and the client tokens that made
// them. It knows keys, names, references and counts, and nothing of what a body means. Everything is keyed by account and
// region (Mail Manager, A28). A text is its octets: texts compare and order as they do, and what is no key, whatever octets
// it has, is not found. The embedded implementation is store/sqlite, that for more machines store/postgres; storetest is the
// suite that every implementation passes.
package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// Errors of a Store.
var (
	ErrNotFound   = errors.New("no such resource")
	ErrNameTaken  = errors.New("the name is taken")
	ErrChanged    = errors.New("the resource was changed meanwhile")
	ErrInUse      = errors.New("another resource uses it")
	ErrQuota      = errors.New("the quota is used up")
	ErrTokenTaken = errors.New("the client token is taken")
	// ErrNewerFormat says that a later version of the program wrote the store.
	ErrNewerFormat = errors.New("the store was written by a later version of this program")
	// ErrReadOnly says that the store can be read and not changed.
	ErrReadOnly = errors.New("the store is open for reading only")
)

// MissingError says that a resource that is to be used does not exist.
type MissingError struct{ Reference Reference }

// Error implements error.
func (e *MissingError) Error() string {
	return fmt.Sprintf("there is no %s %s to use", e.Reference.Kind, e.Reference.ID)
}

// Scope is the account and region of a resource.
type Scope struct {
	Account string
	Region  string
}

// Kind is a kind of resource; names are unique within a scope and kind.
type Kind string

// Key names a resource.
type Key struct {
	Scope
	Kind Kind
	ID   string
}

// Place is what ties a sealed part of a resource to where it is: associated data of package seal.
func (k Key) Place(part string) []byte {
	return fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s", k.Account, k.Region, k.Kind, k.ID, part)
}

// Reference names a resource of the same scope that another one uses; it cannot be deleted while it is used.
type Reference struct {
	Kind Kind
	ID   string
}

// Resource is a resource without its parts and tags. Times are kept to the microsecond.
type Resource struct {
	Key
	Name     string
	Counted  string // what it is counted as for quotas, within its scope; empty: it is not counted
	Created  time.Time
	Modified time.Time
	Revision int64 // 1 when it is new, one more with every Update and every change of its members
	Body     []byte
}

// Change is what Update writes, in one transaction. Resource is as it was read but for Name, Counted, Modified and Body, and
// its Revision must still be the stored one. No quota is held against what it is counted as from now on.
type Change struct {
	Resource Resource
	Uses     []Reference // all that it uses from now on; nil: what it used before
	// Parts are octets kept beside the body, which only Part reads: what is secret (sealed by the caller) or large.
	// nil removes a part; parts that are not named stay.
	Parts map[string][]byte
}

// Creation is what Create writes, in one transaction: all of it or nothing. Its Resource's Revision is ignored.
type Creation struct {
	Change
	Tags  []Tag
	Token *Token // nil: none
	Quota int    // most resources that may be counted alike, this one included; 0: no limit
}

// Tag is a key and a value that a caller attached to a resource.
type Tag struct {
	Key   string
	Value string
}

// TokenKey names a client token (Mail Manager, A1).
type TokenKey struct {
	Scope
	Operation string
	Token     string
}

// Token remembers what a request with a client token was answered, so that the same request is answered the same.
type Token struct {
	TokenKey
	Fingerprint []byte // of the request without the token
	Response    []byte
	Expires     time.Time // from then on the token is forgotten
}

// Position is a place in a list: after the resource with that creation time and id. The zero Position is the beginning.
type Position struct {
	Created time.Time
	ID      string
}

// Page says which resources List returns: up to N after a position, in order of creation, equally old ones by id.
type Page struct {
	Scope
	Kind       Kind
	After      Position
	N          int
	Descending bool      // the newest first
	Uses       Reference // only resources that use this one; zero: all
}

// Member is one of the many values that a resource holds beside its body, such as an address of an address list.
type Member struct {
	Key     string    // what tells it from the others of its owner
	Text    string    // as it was given; equal texts have equal keys
	Created time.Time // kept to the microsecond
}

// Addition is what AddMembers writes, in one transaction: all of it or nothing.
type Addition struct {
	Owner    Key
	Members  []Member // one whose key the owner has already changes nothing
	Quota    int      // most members that the owner may have from then on; 0: no limit
	Modified time.Time
	// Progress is a change of another resource: that of the job which brings the members, so that the two never part. nil: none.
	Progress *Change
}

// MemberPage says which members Members returns: up to N of those whose text begins with Prefix and comes after After, in the
// order of the octets of their texts.
type MemberPage struct {
	Owner  Key
	Prefix string
	After  string // empty: from the beginning
	N      int
}

// Store keeps resources. Every method is one transaction, durable when it returns, and may be called at once from many
// goroutines. What it costs does not depend on how much else is stored.
type Store interface {
	// Create adds a resource. It returns ErrTokenTaken, ErrNameTaken, a *MissingError or ErrQuota: the first of these that holds.
	// So whoever makes sure that a resource is there learns that it is, when the quota is used up too.
	Create(ctx context.Context, c Creation) error
	// Update replaces a resource. It returns ErrNotFound, ErrChanged, ErrNameTaken or a *MissingError.
	Update(ctx context.Context, c Change) error
	// Delete removes a resource with its parts, tags and members; what members leave behind goes with SweepMembers, however
	// many there are. It returns ErrNotFound or ErrInUse.
	Delete(ctx context.Context, key Key) error
	// Get returns a resource, or ErrNotFound.
	Get(ctx context.Context, key Key) (Resource, error)
	// Named returns the resource with that name, or ErrNotFound.
	Named(ctx context.Context, scope Scope, kind Kind, name string) (Resource, error)
	// List returns a page of resources (Mail Manager, A3).
	List(ctx context.Context, page Page) ([]Resource, error)
	// All yields every resource of a kind, of all scopes, in no particular order; an error is the last thing it yields.
	// The loop must not call the Store.
	All(ctx context.Context, kind Kind) iter.Seq2[Resource, error]
	// Part returns a part of a resource, or ErrNotFound.
	Part(ctx context.Context, key Key, name string) ([]byte, error)

	// Tags returns a resource's tags ordered by key, or ErrNotFound.
	Tags(ctx context.Context, key Key) ([]Tag, error)
	// SetTags adds tags and replaces those with the same key. It returns ErrNotFound, or ErrQuota when the resource
	// would have more than most, and then changes nothing.
	SetTags(ctx context.Context, key Key, tags []Tag, most int) error
	// RemoveTags removes the tags with those keys, as far as they exist. It returns ErrNotFound.
	RemoveTags(ctx context.Context, key Key, keys []string) error

	// AddMembers adds members to a resource, whose Modified becomes that of the addition. It returns ErrNotFound, ErrQuota, or
	// what Update returns of the progress.
	AddMembers(ctx context.Context, a Addition) error
	// RemoveMember removes the member with a key from a resource, which is modified then. It returns ErrNotFound.
	RemoveMember(ctx context.Context, owner Key, member string, modified time.Time) error
	// Member returns the member with a key, or ErrNotFound.
	Member(ctx context.Context, owner Key, member string) (Member, error)
	// Members returns a page of members. What is no resource has none.
	Members(ctx context.Context, page MemberPage) ([]Member, error)
	// MemberKeys yields the keys of all members of a resource, in no particular order and without holding them all; an error,
	// such as that of a context which ended meanwhile, is the last thing it yields. What is no resource has none. The loop must
	// not call the Store.
	MemberKeys(ctx context.Context, owner Key) iter.Seq2[string, error]
	// SweepMembers frees the room of up to n members of resources that were deleted, and reports whether there are more.
	SweepMembers(ctx context.Context, n int) (more bool, err error)

	// Token returns a client token that has not expired at now, or ErrNotFound.
	Token(ctx context.Context, key TokenKey, now time.Time) (Token, error)

	// Close ends the store once running calls have ended.
	Close() error
}
