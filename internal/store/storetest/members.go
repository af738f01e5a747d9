package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/store"
)

// member is a member by its text; what differs in case only is the same.
func member(text string) store.Member {
	return store.Member{Key: strings.ToLower(text), Text: text, Created: start}
}

// addition gives a resource members, a second after the start.
func addition(id string, texts ...string) store.Addition {
	a := store.Addition{Owner: key(id), Modified: start.Add(time.Second)}
	for _, text := range texts {
		a.Members = append(a.Members, member(text))
	}
	return a
}

func (s *suite) mustAdd(a store.Addition) {
	s.Helper()
	if err := s.AddMembers(s.Context(), a); err != nil {
		s.Fatalf("add %d members to %s: %v", len(a.Members), a.Owner.ID, err)
	}
}

// texts is the texts of a page of members.
func (s *suite) texts(page store.MemberPage) (texts []string) {
	s.Helper()
	list, err := s.Members(s.Context(), page)
	wantError(s.T, "members", err, nil)
	for _, m := range list {
		texts = append(texts, m.Text)
	}
	return texts
}

func (s *suite) allTexts(id string) []string {
	s.Helper()
	return s.texts(store.MemberPage{Owner: key(id), N: 1000})
}

func testMembers(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("two"))
	s.mustAdd(addition("one", "Ann@example.com", "bob@example.com"))
	got, err := s.Member(t.Context(), key("one"), "ann@example.com")
	wantError(t, "member", err, nil)
	wantEqual(t, "member", got, member("Ann@example.com"))
	_, err = s.Member(t.Context(), key("one"), "Ann@example.com")
	wantError(t, "member by its text", err, store.ErrNotFound)
	_, err = s.Member(t.Context(), key("two"), "ann@example.com")
	wantError(t, "member of another", err, store.ErrNotFound)
	wantEqual(t, "modified", s.mustGet(key("one")).Modified, start.Add(time.Second))
	wantEqual(t, "modified of another", s.mustGet(key("two")).Modified, start)

	later := start.Add(time.Minute)
	wantError(t, "remove", s.RemoveMember(t.Context(), key("one"), "ann@example.com", later), nil)
	wantEqual(t, "after a removal", s.allTexts("one"), []string{"bob@example.com"})
	wantEqual(t, "modified", s.mustGet(key("one")).Modified, later)
	s.mustAdd(addition("one"))
	wantEqual(t, "after no members", s.allTexts("one"), []string{"bob@example.com"})
}

func testMembersOnce(t *testing.T, s *suite) {
	s.mustCreate(creation("one"))
	s.mustAdd(addition("one", "Ann@example.com"))
	again := addition("one", "ann@example.com", "bob@example.com", "BOB@example.com")
	for i := range again.Members {
		again.Members[i].Created = start.Add(time.Hour)
	}
	s.mustAdd(again)
	wantEqual(t, "the first of each", s.allTexts("one"), []string{"Ann@example.com", "bob@example.com"})
	got, err := s.Member(t.Context(), key("one"), "ann@example.com")
	wantError(t, "member", err, nil)
	wantEqual(t, "as it was first", got, member("Ann@example.com"))
}

func testMemberPages(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("two"))
	s.mustAdd(addition("two", "ab"))
	want := []string{"*@a.example", "A", "Ab", "a", "aa", "ab%", "ab_c", "abc", "a\x7f", "aé", "b", "é", "\U0001f600"}
	shuffled := slices.Concat(want[7:], want[:7])
	s.mustAdd(addition("one", slices.DeleteFunc(shuffled, func(text string) bool { return text == "A" || text == "Ab" })...))
	want = slices.DeleteFunc(want, func(text string) bool { return text == "A" || text == "Ab" })
	for size := 1; size <= len(want)+1; size++ {
		for _, prefix := range []string{"", "a", "ab", "ab%", "a\x7f", "é", "c"} {
			var got, wanted []string
			page := store.MemberPage{Owner: key("one"), Prefix: prefix, N: size}
			for list := s.texts(page); len(list) > 0; list = s.texts(page) {
				got, page.After = append(got, list...), list[len(list)-1]
			}
			for _, text := range want {
				if strings.HasPrefix(text, prefix) {
					wanted = append(wanted, text)
				}
			}
			wantEqual(t, fmt.Sprintf("pages of %d of what begins with %q", size, prefix), got, wanted)
		}
	}
	wantEqual(t, "of nothing", len(s.allTexts("gone")), 0)
}

// keys is the keys of all members of a resource, sorted: they may come in any order.
func (s *suite) keys(owner store.Key) (keys []string) {
	s.Helper()
	for k, err := range s.MemberKeys(s.Context(), owner) {
		wantError(s.T, "keys of "+owner.ID, err, nil)
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// many is texts of as many members as come in more than one piece.
func many() (texts []string) {
	const members = 5000
	for n := range members {
		texts = append(texts, fmt.Sprintf("user%06d@example.com", n*7919%members))
	}
	return texts
}

func testMemberKeys(t *testing.T, s *suite) {
	abroad := creation("one")
	abroad.Resource.Region = "eu-west-1"
	s.mustCreate(creation("one"), creation("two"), creation("none"), creation("gone"), abroad)
	s.mustAdd(addition("one", many()...))
	s.mustAdd(addition("two", "Ann@example.com", "*@a.example", "é", "\U0001f600", "a\x7f"))
	s.mustAdd(addition("gone", "a", "b"))
	want := many()
	slices.Sort(want)
	wantEqual(t, "of many", s.keys(key("one")), want)
	wantEqual(t, "of another", s.keys(key("two")), []string{"*@a.example", "ann@example.com", "a\x7f", "é", "\U0001f600"})
	wantEqual(t, "of one that has none", len(s.keys(key("none"))), 0)
	wantEqual(t, "of nothing", len(s.keys(key("nothing"))), 0)
	wantEqual(t, "of its id in another region", len(s.keys(abroad.Resource.Key)), 0)

	wantError(t, "remove", s.RemoveMember(t.Context(), key("two"), "é", start), nil)
	wantEqual(t, "after a removal", len(s.keys(key("two"))), 4)
	wantError(t, "delete", s.Delete(t.Context(), key("gone")), nil)
	wantEqual(t, "of what was deleted and is not swept", len(s.keys(key("gone"))), 0)
	s.mustCreate(creation("gone"))
	s.mustAdd(addition("gone", "c"))
	wantEqual(t, "of what has its id now", s.keys(key("gone")), []string{"c"})
}

func testMemberKeysEnd(t *testing.T, s *suite) {
	s.mustCreate(creation("one"))
	s.mustAdd(addition("one", many()...))
	const moreThanConnections = 20
	for range moreThanConnections { // what was left holds none
		n := 0
		for _, err := range s.MemberKeys(t.Context(), key("one")) {
			wantError(t, "the first keys", err, nil)
			if n++; n == 2 {
				break
			}
		}
		wantEqual(t, "keys until the loop was left", n, 2)
	}
	wantEqual(t, "all the same", len(s.keys(key("one"))), len(many()))

	for after := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		n, last := 0, error(nil)
		if after == 0 {
			cancel()
		}
		for _, err := range s.MemberKeys(ctx, key("one")) {
			wantError(t, "what came before the last", last, nil)
			if last = err; err == nil {
				n++
			}
			if n == after {
				cancel()
			}
		}
		cancel()
		wantError(t, fmt.Sprintf("a context that ended after %d", after), last, context.Canceled)
		wantEqual(t, "keys of a context that ended", n, after)
	}
}

func testMemberProgress(t *testing.T, s *suite) {
	s.mustCreate(creation("list"), creation("job"))
	progress := func(body string) *store.Change {
		r := s.mustGet(key("job"))
		r.Body = []byte(body)
		return &store.Change{Resource: r, Uses: []store.Reference{{Kind: kindA, ID: "list"}}}
	}
	a := addition("list", "a", "b")
	a.Progress = progress("2")
	s.mustAdd(a)
	wantEqual(t, "the progress", string(s.mustGet(key("job")).Body), "2")
	wantError(t, "delete what the progress uses", s.Delete(t.Context(), key("list")), store.ErrInUse)

	stale := addition("list", "c")
	stale.Progress = a.Progress
	wantError(t, "a stale progress", s.AddMembers(t.Context(), stale), store.ErrChanged)
	full := addition("list", "c")
	full.Progress, full.Quota = progress("3"), 2
	wantError(t, "one too many", s.AddMembers(t.Context(), full), store.ErrQuota)
	wantEqual(t, "the progress after refusals", string(s.mustGet(key("job")).Body), "2")
	wantEqual(t, "the members after refusals", s.allTexts("list"), []string{"a", "b"})
	lost := addition("list", "c")
	lost.Progress = progress("3")
	lost.Progress.Resource.ID = "gone"
	wantError(t, "the progress of nothing", s.AddMembers(t.Context(), lost), store.ErrNotFound)
	wantEqual(t, "the members after all", s.allTexts("list"), []string{"a", "b"})
}

func testMembersRefuse(t *testing.T, s *suite) {
	s.mustCreate(creation("one"))
	before := s.mustGet(key("one"))
	wantError(t, "add to nothing", s.AddMembers(t.Context(), addition("gone", "a")), store.ErrNotFound)
	wantError(t, "remove what is not there", s.RemoveMember(t.Context(), key("one"), "a", start.Add(time.Hour)), store.ErrNotFound)
	wantError(t, "remove from nothing", s.RemoveMember(t.Context(), key("gone"), "a", start), store.ErrNotFound)
	_, err := s.Member(t.Context(), key("gone"), "a")
	wantError(t, "member of nothing", err, store.ErrNotFound)
	wantEqual(t, "what was refused something", s.mustGet(key("one")), before)
	abroad := addition("one", "a")
	abroad.Owner.Region = "eu-west-1"
	wantError(t, "add in another region", s.AddMembers(t.Context(), abroad), store.ErrNotFound)
	wantEqual(t, "members", len(s.allTexts("one")), 0)
}

func testMemberQuota(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("two"))
	limited := func(texts ...string) store.Addition {
		a := addition("one", texts...)
		a.Quota = 2
		return a
	}
	s.mustAdd(addition("two", "x", "y", "z"))
	s.mustAdd(limited("a", "b"))
	wantError(t, "the third", s.AddMembers(t.Context(), limited("c")), store.ErrQuota)
	s.mustAdd(limited("a", "B"))
	wantError(t, "remove", s.RemoveMember(t.Context(), key("one"), "a", start), nil)
	s.mustAdd(limited("c"))
	wantError(t, "the third again", s.AddMembers(t.Context(), limited("b", "a")), store.ErrQuota)
	wantEqual(t, "members", s.allTexts("one"), []string{"b", "c"})
}

func testMembersGo(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("two"))
	s.mustAdd(addition("one", "a", "b", "c"))
	s.mustAdd(addition("two", "a"))
	wantError(t, "delete", s.Delete(t.Context(), key("one")), nil)
	wantEqual(t, "of what was deleted", len(s.allTexts("one")), 0)
	wantError(t, "add to what was deleted", s.AddMembers(t.Context(), addition("one", "d")), store.ErrNotFound)
	s.mustCreate(creation("one"))
	wantEqual(t, "of what has its id now", len(s.allTexts("one")), 0)
	again := addition("one", "b")
	again.Quota = 1
	s.mustAdd(again)
	sweeps := 0
	for more := true; more; sweeps++ {
		var err error
		more, err = s.SweepMembers(t.Context(), 2)
		wantError(t, "sweep", err, nil)
		if sweeps > 10 {
			t.Fatal("sweeping does not end")
		}
	}
	if sweeps < 2 {
		t.Errorf("3 members were swept in %d sweeps of 2", sweeps)
	}
	wantEqual(t, "of what has its id now", s.allTexts("one"), []string{"b"})
	wantEqual(t, "of another", s.allTexts("two"), []string{"a"})
}

func testMembersReopen(t *testing.T, s *suite) {
	s.mustCreate(creation("one"), creation("gone"))
	s.mustAdd(addition("one", "a", "b"))
	s.mustAdd(addition("gone", "a"))
	wantError(t, "delete", s.Delete(t.Context(), key("gone")), nil)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s.Store = s.open(t, s.directory)
	wantEqual(t, "members", s.allTexts("one"), []string{"a", "b"})
	more, err := s.SweepMembers(t.Context(), 10)
	wantError(t, "sweep", err, nil)
	wantEqual(t, "there was something to sweep", more, true)
	more, err = s.SweepMembers(t.Context(), 10)
	wantError(t, "sweep again", err, nil)
	wantEqual(t, "there is more", more, false)
}

func testListUses(t *testing.T, s *suite) {
	s.mustCreate(creation("used"), creation("other"))
	for i, used := range []string{"used", "other", "used", "used"} {
		c := creation(fmt.Sprint("user", i))
		c.Resource.Created = start.Add(time.Duration(10-i) * time.Second)
		c.Uses = []store.Reference{{Kind: kindA, ID: used}}
		s.mustCreate(c)
	}
	foreign := creation("foreign")
	foreign.Resource.Kind, foreign.Uses = kindB, []store.Reference{{Kind: kindA, ID: "used"}}
	s.mustCreate(foreign)
	for size := 1; size <= 4; size++ {
		page := store.Page{Scope: here, Kind: kindA, N: size, Uses: store.Reference{Kind: kindA, ID: "used"}}
		wantEqual(t, fmt.Sprintf("pages of %d", size), listAll(s, page), []string{"user3", "user2", "user0"})
	}
	none := store.Page{Scope: here, Kind: kindA, N: 9, Uses: store.Reference{Kind: kindA, ID: "user0"}}
	wantEqual(t, "of what nothing uses", len(listAll(s, none)), 0)
}
