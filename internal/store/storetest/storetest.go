// Package storetest is the contract suite of store.Store: every implementation passes Run.
package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/store"
)

// Open opens the store that is kept in a directory, again after Close, and fails the test when it cannot.
type Open func(t testing.TB, directory string) store.Store

// Run runs the suite. Each test opens a store of its own.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name string
		test func(*testing.T, *suite)
	}{
		{"create and read", testCreate},
		{"create refuses", testCreateRefuses},
		{"a refused creation leaves nothing", testCreateIsWhole},
		{"update", testUpdate},
		{"update refuses", testUpdateRefuses},
		{"delete", testDelete},
		{"what is used stays", testUses},
		{"quotas count alike", testQuota},
		{"updates count anew", testRecount},
		{"lists", testList},
		{"all", testAll},
		{"parts", testParts},
		{"tags", testTags},
		{"tokens", testTokens},
		{"scopes are apart", testScopes},
		{"everything survives", testReopen},
		{"lists of what uses a resource", testListUses},
		{"members", testMembers},
		{"members are told apart by key", testMembersOnce},
		{"pages of members", testMemberPages},
		{"keys of members", testMemberKeys},
		{"keys of members end early", testMemberKeysEnd},
		{"members come with progress or not at all", testMemberProgress},
		{"members refuse", testMembersRefuse},
		{"quotas of members", testMemberQuota},
		{"members go with their resource", testMembersGo},
		{"members survive", testMembersReopen},
		{"any octets", testOctets},
		{"texts order by octets", testTextOrder},
		{"one of many takes a name", testNameRace},
		{"one of many takes a token", testTokenRace},
		{"many take the last of a quota", testQuotaRace},
		{"many add the last tag", testTagRace},
		{"many use what is deleted", testUseRace},
		{"many add members", testMemberRace},
		{"changes that cross", testCrossing},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, open: open, directory: t.TempDir()}
			s.Store = open(t, s.directory)
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			test.test(t, s)
		})
	}
}

// suite is a store under test.
type suite struct {
	*testing.T
	store.Store
	open      Open
	directory string
}

// Names of the tests' resources.
const (
	kindA store.Kind = "a"
	kindB store.Kind = "b"
)

var (
	here  = store.Scope{Account: "111111111111", Region: "us-east-1"}
	start = time.Date(2026, 11, 22, 10, 0, 0, 123456000, time.UTC)
)

func key(id string) store.Key { return store.Key{Scope: here, Kind: kindA, ID: id} }

// resource returns a new resource of kind a, named like its id.
func resource(id string) store.Resource {
	return store.Resource{Key: key(id), Name: id, Counted: "a", Created: start, Modified: start, Body: []byte(`{"id":"` + id + `"}`)}
}

func creation(id string) store.Creation {
	return store.Creation{Change: store.Change{Resource: resource(id)}}
}

// mustCreate creates resources and fails the test when that does not work.
func (s *suite) mustCreate(creations ...store.Creation) {
	s.Helper()
	for _, c := range creations {
		if err := s.Create(s.Context(), c); err != nil {
			s.Fatalf("create %s: %v", c.Resource.ID, err)
		}
	}
}

func (s *suite) mustGet(k store.Key) store.Resource {
	s.Helper()
	r, err := s.Get(s.Context(), k)
	if err != nil {
		s.Fatalf("get %s: %v", k.ID, err)
	}
	return r
}

// wantError fails the test unless err is what was wanted.
func wantError(t *testing.T, action string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", action, err, want)
	}
}

func wantEqual(t *testing.T, action string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", action, diff)
	}
}

func testCreate(t *testing.T, s *suite) {
	s.mustCreate(creation("one"))
	want := resource("one")
	want.Revision = 1
	wantEqual(t, "get", s.mustGet(key("one")), want)
	named, err := s.Named(t.Context(), here, kindA, "one")
	wantError(t, "named", err, nil)
	wantEqual(t, "named", named, want)

	_, err = s.Get(t.Context(), key("other"))
	wantError(t, "get of an unknown id", err, store.ErrNotFound)
	_, err = s.Get(t.Context(), store.Key{Scope: here, Kind: kindB, ID: "one"})
	wantError(t, "get of another kind", err, store.ErrNotFound)
	_, err = s.Named(t.Context(), here, kindA, "ONE")
	wantError(t, "named in another case", err, store.ErrNotFound)
}

func testCreateRefuses(t *testing.T, s *suite) {
	s.mustCreate(creation("one"))
	sameName := creation("two")
	sameName.Resource.Name = "one"
	wantError(t, "a taken name", s.Create(t.Context(), sameName), store.ErrNameTaken)

	users := creation("three")
	users.Uses = []store.Reference{{Kind: kindA, ID: "one"}, {Kind: kindB, ID: "gone"}}
	var missing *store.MissingError
	if err := s.Create(t.Context(), users); !errors.As(err, &missing) || missing.Reference != users.Uses[1] {
		t.Errorf("a reference to nothing: got %v, want a MissingError of %v", err, users.Uses[1])
	}
	otherKind := creation("four")
	otherKind.Resource.Kind, otherKind.Resource.Name = kindB, "one"
	wantError(t, "the name in another kind", s.Create(t.Context(), otherKind), nil)
}

func testCreateIsWhole(t *testing.T, s *suite) {
	token := store.TokenKey{Scope: here, Operation: "Create", Token: "t"}
	c := creation("one")
	c.Quota = 1
	c.Tags = []store.Tag{{Key: "k", Value: "v"}}
	c.Parts = map[string][]byte{"p": {1}}
	c.Token = &store.Token{TokenKey: token, Expires: start.Add(time.Hour)}
	c.Uses = []store.Reference{{Kind: kindB, ID: "gone"}}
	if err := s.Create(t.Context(), c); err == nil {
		t.Fatal("got no error")
	}
	_, err := s.Get(t.Context(), key("one"))
	wantError(t, "the resource", err, store.ErrNotFound)
	_, err = s.Token(t.Context(), token, start)
	wantError(t, "its token", err, store.ErrNotFound)
	c.Uses = nil
	wantError(t, "again, with the quota and the token still free", s.Create(t.Context(), c), nil)
}

func testUpdate(t *testing.T, s *suite) {
	s.mustCreate(creation("one"))
	r := s.mustGet(key("one"))
	r.Name, r.Body, r.Modified = "uno", []byte(`{}`), start.Add(time.Minute)
	wantError(t, "update", s.Update(t.Context(), store.Change{Resource: r}), nil)
	r.Revision = 2
	wantEqual(t, "get", s.mustGet(key("one")), r)
	s.mustCreate(creation("two"))
	again := creation("three")
	again.Resource.Name = "one"
	wantError(t, "the name that was given up", s.Create(t.Context(), again), nil)
}

func testUpdateRefuses(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("two"))
	unknown := resource("three")
	unknown.Revision = 1
	wantError(t, "an unknown id", s.Update(t.Context(), store.Change{Resource: unknown}), store.ErrNotFound)

	r := s.mustGet(key("one"))
	stale := r
	stale.Revision--
	wantError(t, "a stale revision", s.Update(t.Context(), store.Change{Resource: stale}), store.ErrChanged)
	taken := r
	taken.Name = "two"
	wantError(t, "a taken name", s.Update(t.Context(), store.Change{Resource: taken}), store.ErrNameTaken)
	var missing *store.MissingError
	uses := []store.Reference{{Kind: kindB, ID: "gone"}}
	if err := s.Update(t.Context(), store.Change{Resource: r, Uses: uses}); !errors.As(err, &missing) {
		t.Errorf("a reference to nothing: got %v, want a MissingError", err)
	}
	wantEqual(t, "after four refusals", s.mustGet(key("one")), r)
}

func testDelete(t *testing.T, s *suite) {
	c := creation("one")
	c.Tags = []store.Tag{{Key: "k", Value: "v"}}
	c.Parts = map[string][]byte{"p": {1}}
	s.mustCreate(c)
	wantError(t, "delete", s.Delete(t.Context(), key("one")), nil)
	wantError(t, "delete again", s.Delete(t.Context(), key("one")), store.ErrNotFound)
	_, err := s.Get(t.Context(), key("one"))
	wantError(t, "get", err, store.ErrNotFound)
	s.mustCreate(creation("one"))
	tags, err := s.Tags(t.Context(), key("one"))
	wantError(t, "tags", err, nil)
	wantEqual(t, "tags of the one that has its id now", len(tags), 0)
	_, err = s.Part(t.Context(), key("one"), "p")
	wantError(t, "its part", err, store.ErrNotFound)
}

func testUses(t *testing.T, s *suite) {
	user := creation("user")
	user.Uses = []store.Reference{{Kind: kindA, ID: "one"}, {Kind: kindA, ID: "two"}}
	s.mustCreate(creation("one"), creation("two"), user)
	wantError(t, "delete what is used", s.Delete(t.Context(), key("one")), store.ErrInUse)
	s.mustGet(key("one"))

	r := s.mustGet(key("user"))
	wantError(t, "update that says nothing of uses", s.Update(t.Context(), store.Change{Resource: r}), nil)
	wantError(t, "delete what is used as before", s.Delete(t.Context(), key("one")), store.ErrInUse)
	r = s.mustGet(key("user"))
	uses := []store.Reference{{Kind: kindA, ID: "two"}}
	wantError(t, "update", s.Update(t.Context(), store.Change{Resource: r, Uses: uses}), nil)
	wantError(t, "delete what was used", s.Delete(t.Context(), key("one")), nil)
	wantError(t, "delete what is used still", s.Delete(t.Context(), key("two")), store.ErrInUse)
	r = s.mustGet(key("user"))
	wantError(t, "update to using nothing", s.Update(t.Context(), store.Change{Resource: r, Uses: []store.Reference{}}), nil)
	wantError(t, "delete what was used", s.Delete(t.Context(), key("two")), nil)

	s.mustCreate(creation("three"))
	r = s.mustGet(key("user"))
	uses = []store.Reference{{Kind: kindA, ID: "three"}}
	wantError(t, "update to using another", s.Update(t.Context(), store.Change{Resource: r, Uses: uses}), nil)
	wantError(t, "delete the user", s.Delete(t.Context(), key("user")), nil)
	wantError(t, "delete what was used", s.Delete(t.Context(), key("three")), nil)
}

func testQuota(t *testing.T, s *suite) {
	limited := func(id, counted string) store.Creation {
		c := creation(id)
		c.Quota, c.Resource.Counted = 2, counted
		return c
	}
	s.mustCreate(limited("one", "x"), limited("two", "x"), limited("other", "y"))
	wantError(t, "the third", s.Create(t.Context(), limited("three", "x")), store.ErrQuota)
	again := limited("three", "x")
	again.Resource.Name = limited("two", "x").Resource.Name
	wantError(t, "the third, by a name that is taken", s.Create(t.Context(), again), store.ErrNameTaken)
	again.Resource.Name, again.Uses = "three", []store.Reference{{Kind: kindB, ID: "gone"}}
	wantError(t, "the third, with a reference to nothing", kindOf(s.Create(t.Context(), again)), errMissing)
	wantError(t, "delete", s.Delete(t.Context(), key("one")), nil)
	wantError(t, "the third after one went", s.Create(t.Context(), limited("three", "x")), nil)
	unlimited := limited("four", "x")
	unlimited.Quota = 0
	wantError(t, "without a limit", s.Create(t.Context(), unlimited), nil)
}

// testRecount: an update moves a resource to what it is counted as from then on.
func testRecount(t *testing.T, s *suite) {
	limited := func(id, counted string) store.Creation {
		c := creation(id)
		c.Quota, c.Resource.Counted = 1, counted
		return c
	}
	recounted := func(id, counted string) store.Change {
		r := s.mustGet(key(id))
		r.Counted = counted
		return store.Change{Resource: r}
	}
	s.mustCreate(limited("one", "x"), limited("spare", ""), limited("another spare", ""))
	wantError(t, "update to not counted", s.Update(t.Context(), recounted("one", "")), nil)
	wantEqual(t, "what it is counted as", s.mustGet(key("one")).Counted, "")
	wantError(t, "another in its place", s.Create(t.Context(), limited("two", "x")), nil)
	wantError(t, "one more", s.Create(t.Context(), limited("three", "x")), store.ErrQuota)
	stale := recounted("two", "")
	stale.Resource.Revision--
	wantError(t, "a stale update", s.Update(t.Context(), stale), store.ErrChanged)
	wantError(t, "one more after that", s.Create(t.Context(), limited("three", "x")), store.ErrQuota)
	wantError(t, "delete what is not counted", s.Delete(t.Context(), key("one")), nil)
	wantError(t, "one more after that", s.Create(t.Context(), limited("three", "x")), store.ErrQuota)
	wantError(t, "update to counted, whatever the quota", s.Update(t.Context(), recounted("spare", "x")), nil)
	wantError(t, "delete one of two", s.Delete(t.Context(), key("two")), nil)
	wantError(t, "one more beside the other", s.Create(t.Context(), limited("three", "x")), store.ErrQuota)
	wantError(t, "delete the other", s.Delete(t.Context(), key("spare")), nil)
	wantError(t, "one again", s.Create(t.Context(), limited("three", "x")), nil)
}

func testList(t *testing.T, s *suite) {
	// The ids are not in the order of creation, and two are equally old.
	ages := []struct {
		id  string
		age time.Duration
	}{{"d", 0}, {"a", 2 * time.Microsecond}, {"c", 1 * time.Microsecond}, {"b", 1 * time.Microsecond}}
	for _, a := range ages {
		c := creation(a.id)
		c.Resource.Created = start.Add(a.age)
		s.mustCreate(c)
	}
	for size := 1; size <= len(ages)+1; size++ {
		page := store.Page{Scope: here, Kind: kindA, N: size}
		wantEqual(t, fmt.Sprintf("pages of %d", size), listAll(s, page), []string{"d", "b", "c", "a"})
		page.Descending = true
		wantEqual(t, fmt.Sprintf("descending pages of %d", size), listAll(s, page), []string{"a", "c", "b", "d"})
	}
}

func listAll(s *suite, page store.Page) (ids []string) {
	for {
		list, err := s.List(s.Context(), page)
		wantError(s.T, "list", err, nil)
		if len(list) == 0 {
			return ids
		}
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		last := list[len(list)-1]
		page.After = store.Position{Created: last.Created, ID: last.ID}
	}
}

func testAll(t *testing.T, s *suite) {
	far := creation("far")
	far.Resource.Scope = store.Scope{Account: "222222222222", Region: "eu-west-1"}
	other := creation("other")
	other.Resource.Kind = kindB
	s.mustCreate(creation("one"), creation("two"), far, other)
	found := map[store.Key]bool{}
	for r, err := range s.All(t.Context(), kindA) {
		wantError(t, "all", err, nil)
		found[r.Key] = true
	}
	wantEqual(t, "all", found, map[store.Key]bool{key("one"): true, key("two"): true, far.Resource.Key: true})
	for range s.All(t.Context(), kindA) {
		break // a loop that ends early gives back what it holds
	}
	wantError(t, "delete after a loop that ended early", s.Delete(t.Context(), key("one")), nil)
}

func testParts(t *testing.T, s *suite) {
	c := creation("one")
	c.Parts = map[string][]byte{"p": {1, 0, 2}, "q": {}}
	s.mustCreate(c)
	part := func(name string) []byte {
		octets, err := s.Part(t.Context(), key("one"), name)
		wantError(t, "part "+name, err, nil)
		return octets
	}
	wantEqual(t, "p", part("p"), []byte{1, 0, 2})
	wantEqual(t, "q", len(part("q")), 0)
	change := store.Change{Resource: s.mustGet(key("one")), Parts: map[string][]byte{"p": {3}, "q": nil, "r": {4}}}
	wantError(t, "update", s.Update(t.Context(), change), nil)
	wantEqual(t, "p", part("p"), []byte{3})
	wantEqual(t, "r", part("r"), []byte{4})
	_, err := s.Part(t.Context(), key("one"), "q")
	wantError(t, "q", err, store.ErrNotFound)
	change = store.Change{Resource: s.mustGet(key("one"))}
	wantError(t, "update that names no part", s.Update(t.Context(), change), nil)
	wantEqual(t, "p", part("p"), []byte{3})
}

func testTags(t *testing.T, s *suite) {
	c := creation("one")
	c.Tags = []store.Tag{{Key: "b", Value: "1"}, {Key: "a", Value: ""}}
	s.mustCreate(c, creation("two"))
	tags := func(id string) []store.Tag {
		list, err := s.Tags(t.Context(), key(id))
		wantError(t, "tags", err, nil)
		return list
	}
	wantEqual(t, "as created", tags("one"), []store.Tag{{Key: "a"}, {Key: "b", Value: "1"}})
	wantError(t, "set", s.SetTags(t.Context(), key("one"), []store.Tag{{Key: "b", Value: "2"}, {Key: "c", Value: "3"}}, 3), nil)
	want := []store.Tag{{Key: "a"}, {Key: "b", Value: "2"}, {Key: "c", Value: "3"}}
	wantEqual(t, "after set", tags("one"), want)
	tooMany := []store.Tag{{Key: "a", Value: "9"}, {Key: "d", Value: "4"}}
	wantError(t, "one too many", s.SetTags(t.Context(), key("one"), tooMany, 3), store.ErrQuota)
	wantEqual(t, "after a refusal", tags("one"), want)
	wantError(t, "remove", s.RemoveTags(t.Context(), key("one"), []string{"b", "absent"}), nil)
	wantEqual(t, "after remove", tags("one"), []store.Tag{{Key: "a"}, {Key: "c", Value: "3"}})
	wantEqual(t, "of another", len(tags("two")), 0)

	_, err := s.Tags(t.Context(), key("gone"))
	wantError(t, "tags of nothing", err, store.ErrNotFound)
	wantError(t, "set on nothing", s.SetTags(t.Context(), key("gone"), want, 50), store.ErrNotFound)
	wantError(t, "remove from nothing", s.RemoveTags(t.Context(), key("gone"), []string{"a"}), store.ErrNotFound)
}

func testTokens(t *testing.T, s *suite) {
	tk := store.TokenKey{Scope: here, Operation: "Create", Token: "t"}
	withToken := func(id string, created time.Time) store.Creation {
		c := creation(id)
		c.Resource.Created = created
		c.Token = &store.Token{TokenKey: tk, Fingerprint: []byte(id), Response: []byte("r"), Expires: created.Add(time.Hour)}
		return c
	}
	first := withToken("one", start)
	s.mustCreate(first)
	got, err := s.Token(t.Context(), tk, start.Add(time.Hour-time.Microsecond))
	wantError(t, "token", err, nil)
	wantEqual(t, "token", got, *first.Token)
	other := tk
	other.Operation = "CreateOther"
	_, err = s.Token(t.Context(), other, start)
	wantError(t, "token of another operation", err, store.ErrNotFound)
	wantError(t, "a taken token", s.Create(t.Context(), withToken("two", start)), store.ErrTokenTaken)
	_, err = s.Get(t.Context(), key("two"))
	wantError(t, "the resource with a taken token", err, store.ErrNotFound)

	later := start.Add(time.Hour)
	_, err = s.Token(t.Context(), tk, later)
	wantError(t, "an expired token", err, store.ErrNotFound)
	wantError(t, "the token again once it has expired", s.Create(t.Context(), withToken("three", later)), nil)
	got, err = s.Token(t.Context(), tk, later)
	wantError(t, "token", err, nil)
	wantEqual(t, "fingerprint", string(got.Fingerprint), "three")
}

func testScopes(t *testing.T, s *suite) {
	scopes := []store.Scope{here, {Account: "222222222222", Region: here.Region}, {Account: here.Account, Region: "eu-west-1"}}
	for i, scope := range scopes {
		c := creation("one") // the same id and name everywhere
		c.Resource.Scope, c.Quota = scope, 1
		c.Tags = []store.Tag{{Key: "n", Value: fmt.Sprint(i)}}
		c.Token = &store.Token{TokenKey: store.TokenKey{Scope: scope, Operation: "Create", Token: "t"}, Expires: start.Add(time.Hour)}
		s.mustCreate(c)
	}
	for i, scope := range scopes {
		k := store.Key{Scope: scope, Kind: kindA, ID: "one"}
		tags, err := s.Tags(t.Context(), k)
		wantError(t, "tags", err, nil)
		wantEqual(t, "tags", tags, []store.Tag{{Key: "n", Value: fmt.Sprint(i)}})
		list, err := s.List(t.Context(), store.Page{Scope: scope, Kind: kindA, N: 10})
		wantError(t, "list", err, nil)
		wantEqual(t, "list", len(list), 1)
		wantError(t, "delete", s.Delete(t.Context(), k), nil)
		wantError(t, "delete again", s.Delete(t.Context(), k), store.ErrNotFound)
	}
}

func testReopen(t *testing.T, s *suite) {
	c := creation("one")
	c.Tags = []store.Tag{{Key: "k", Value: "v"}}
	c.Parts = map[string][]byte{"p": {1}}
	c.Token = &store.Token{TokenKey: store.TokenKey{Scope: here, Operation: "o", Token: "t"}, Expires: start.Add(time.Hour)}
	s.mustCreate(c)
	want := s.mustGet(key("one"))
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s.Store = s.open(t, s.directory)
	wantEqual(t, "the resource", s.mustGet(key("one")), want)
	tags, err := s.Tags(t.Context(), key("one"))
	wantError(t, "its tags", err, nil)
	wantEqual(t, "its tags", tags, c.Tags)
	_, err = s.Part(t.Context(), key("one"), "p")
	wantError(t, "its part", err, nil)
	_, err = s.Token(t.Context(), c.Token.TokenKey, start)
	wantError(t, "its token", err, nil)
}
