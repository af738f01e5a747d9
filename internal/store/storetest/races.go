package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"sluice/internal/store"
)

const (
	// racers is how many callers come at once; more than the connections of a pool.
	racers = 8
	// rounds is how often callers come at once where it depends on their order what happens.
	rounds = 10
)

// errMissing stands for every MissingError in outcomes.
var errMissing = errors.New("what is to be used is missing")

// outcomes counts what calls returned, by error; nil is success.
type outcomes map[error]int

// race calls f at once from many goroutines, which know their numbers, and counts what it returned.
func race(f func(i int) error) outcomes {
	errs := make([]error, racers)
	var all sync.WaitGroup
	for i := range racers {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	counted := outcomes{}
	for _, err := range errs {
		counted[kindOf(err)]++
	}
	return counted
}

// kindOf is the contract's error that err wraps, or err itself.
func kindOf(err error) error {
	for _, kind := range []error{store.ErrNotFound, store.ErrNameTaken, store.ErrChanged, store.ErrInUse, store.ErrQuota, store.ErrTokenTaken} {
		if errors.Is(err, kind) {
			return kind
		}
	}
	if missing := (*store.MissingError)(nil); errors.As(err, &missing) {
		return errMissing
	}
	return err
}

func wantOutcomes(t *testing.T, action string, got, want outcomes) {
	t.Helper()
	for _, outcomes := range []outcomes{got, want} {
		for err := range outcomes {
			if got[err] != want[err] {
				t.Errorf("%s: %d calls returned %v, want %d", action, got[err], err, want[err])
			}
		}
	}
}

// testNameRace: one of many takes a name, and one of many changes a resource as it was.
func testNameRace(t *testing.T, s *suite) {
	s.mustCreate(creation("shared"))
	r := s.mustGet(key("shared"))
	wantOutcomes(t, "creations of one name", race(func(i int) error {
		c := creation(fmt.Sprint("id", i))
		c.Resource.Name = "same"
		return s.Create(t.Context(), c)
	}), outcomes{nil: 1, store.ErrNameTaken: racers - 1})
	wantOutcomes(t, "updates of one revision", race(func(int) error {
		return s.Update(t.Context(), store.Change{Resource: r})
	}), outcomes{nil: 1, store.ErrChanged: racers - 1})
	wantEqual(t, "revision", s.mustGet(key("shared")).Revision, int64(2))
	wantOutcomes(t, "deletions", race(func(int) error {
		return s.Delete(t.Context(), key("shared"))
	}), outcomes{nil: 1, store.ErrNotFound: racers - 1})
}

// testTokenRace: the resource of the token that is kept is the one that is there.
func testTokenRace(t *testing.T, s *suite) {
	tk := store.TokenKey{Scope: here, Operation: "Create", Token: "t"}
	for round := range rounds { // in all but the first, over a token that has expired
		now := start.Add(time.Duration(round) * time.Hour)
		id := func(i int) string { return fmt.Sprint(round, ".", i) }
		wantOutcomes(t, "creations with one token", race(func(i int) error {
			c := creation(id(i))
			c.Resource.Created = now
			c.Token = &store.Token{TokenKey: tk, Response: []byte(id(i)), Expires: now.Add(time.Hour)}
			return s.Create(t.Context(), c)
		}), outcomes{nil: 1, store.ErrTokenTaken: racers - 1})
		token, err := s.Token(t.Context(), tk, now)
		wantError(t, "token", err, nil)
		for i := range racers {
			want := store.ErrNotFound
			if id(i) == string(token.Response) {
				want = nil
			}
			_, err := s.Get(t.Context(), key(id(i)))
			wantError(t, "get", err, want)
		}
	}
}

func testQuotaRace(t *testing.T, s *suite) {
	const quota = 3
	create := func(i int) error {
		c := creation(fmt.Sprint("id", i))
		c.Quota = quota
		return s.Create(t.Context(), c)
	}
	wantOutcomes(t, "creations", race(create), outcomes{nil: quota, store.ErrQuota: racers - quota})
	list, err := s.List(t.Context(), store.Page{Scope: here, Kind: kindA, N: racers})
	wantError(t, "list", err, nil)
	wantEqual(t, "how many there are", len(list), quota)
	wantOutcomes(t, "deletions", race(func(i int) error {
		return s.Delete(t.Context(), list[i%quota].Key)
	}), outcomes{nil: quota, store.ErrNotFound: racers - quota})
	wantOutcomes(t, "creations in their place", race(create), outcomes{nil: quota, store.ErrQuota: racers - quota})
}

func testTagRace(t *testing.T, s *suite) {
	const most = 3
	s.mustCreate(creation("one"))
	wantOutcomes(t, "tags", race(func(i int) error {
		return s.SetTags(t.Context(), key("one"), []store.Tag{{Key: fmt.Sprint(i)}}, most)
	}), outcomes{nil: most, store.ErrQuota: racers - most})
	tags, err := s.Tags(t.Context(), key("one"))
	wantError(t, "tags", err, nil)
	wantEqual(t, "how many there are", len(tags), most)
}

// testMemberRace: every member comes once, and no more than the quota.
func testMemberRace(t *testing.T, s *suite) {
	const most = 3
	s.mustCreate(creation("one"), creation("two"))
	wantOutcomes(t, "additions of the same", race(func(i int) error {
		a := addition("one", "a", "b", "c")
		if i%2 == 1 {
			a = addition("one", "c", "b", "a")
		}
		a.Quota = most
		return s.AddMembers(t.Context(), a)
	}), outcomes{nil: racers})
	wantEqual(t, "members", s.allTexts("one"), []string{"a", "b", "c"})
	wantOutcomes(t, "additions", race(func(i int) error {
		a := addition("two", fmt.Sprint(i))
		a.Quota = most
		return s.AddMembers(t.Context(), a)
	}), outcomes{nil: most, store.ErrQuota: racers - most})
	wantEqual(t, "how many there are", len(s.allTexts("two")), most)
	wantOutcomes(t, "removals", race(func(int) error {
		return s.RemoveMember(t.Context(), key("one"), "b", start)
	}), outcomes{nil: 1, store.ErrNotFound: racers - 1})
	again := addition("one", "d", "e")
	again.Quota = most
	wantError(t, "one too many for the quota", s.AddMembers(t.Context(), again), store.ErrQuota)
}

// testUseRace: what is being deleted is used by all that try, or by none.
func testUseRace(t *testing.T, s *suite) {
	for round := range rounds {
		used := fmt.Sprint("used", round)
		s.mustCreate(creation(used))
		got := race(func(i int) error {
			if i == round%racers {
				return s.Delete(t.Context(), key(used))
			}
			c := creation(fmt.Sprint(round, ".", i))
			c.Uses = []store.Reference{{Kind: kindA, ID: used}}
			return s.Create(t.Context(), c)
		})
		want := outcomes{nil: 1, errMissing: racers - 1} // it was deleted first
		if got[store.ErrInUse] > 0 {
			want = outcomes{store.ErrInUse: 1, nil: racers - 1}
		}
		wantOutcomes(t, "a deletion and creations", got, want)
	}
}

// testCrossing: changes that want what the other has wait for each other, and neither is refused for that alone.
func testCrossing(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("two"))
	for round := range rounds {
		resources := []store.Resource{s.mustGet(key("one")), s.mustGet(key("two"))}
		wantOutcomes(t, "renames", race(func(i int) error {
			r := resources[i%2]
			r.Name = resources[1-i%2].Name
			return s.Update(t.Context(), store.Change{Resource: r})
		}), outcomes{store.ErrNameTaken: racers})
		wantOutcomes(t, "renames that use each other", race(func(i int) error {
			r := resources[i%2]
			r.Name = fmt.Sprint(r.ID, round)
			return s.Update(t.Context(), store.Change{Resource: r, Uses: []store.Reference{{Kind: kindA, ID: resources[1-i%2].ID}}})
		}), outcomes{nil: 2, store.ErrChanged: racers - 2})
		resources = []store.Resource{s.mustGet(key("one")), s.mustGet(key("two"))}
		wantOutcomes(t, "counts that change places", race(func(i int) error {
			r := resources[i%2]
			r.Counted = []string{"x", "y"}[(i+round)%2]
			return s.Update(t.Context(), store.Change{Resource: r})
		}), outcomes{nil: 2, store.ErrChanged: racers - 2})
	}
}
