package storetest

import (
	"testing"
	"time"

	"sluice/internal/store"
)

// odd are texts that databases are known not to take.
var odd = []string{"\x00", "a\x00b", "\xff", "a\xc3", "\uffff\U0010ffff"}

// testOctets: tokens and tags are what callers write, and whatever they ask for that is not there is not found.
func testOctets(t *testing.T, s *suite) {
	c := creation("one")
	c.Resource.Body = []byte("\x00\xff")
	s.mustCreate(c)
	s.mustAdd(addition("one", "a", "\ufffd"))
	wantEqual(t, "body", s.mustGet(key("one")).Body, c.Resource.Body)
	for _, text := range odd {
		checkOddKey(t, s, text)
		checkOddToken(t, s, text)
		tags := []store.Tag{{Key: text, Value: text}}
		wantError(t, "set", s.SetTags(t.Context(), key("one"), tags, 1), nil)
		got, err := s.Tags(t.Context(), key("one"))
		wantError(t, "tags", err, nil)
		wantEqual(t, "tags", got, tags)
		wantError(t, "remove", s.RemoveTags(t.Context(), key("one"), []string{text}), nil)
		got, err = s.Tags(t.Context(), key("one"))
		wantError(t, "tags", err, nil)
		wantEqual(t, "tags after all went", len(got), 0)
	}
}

func checkOddKey(t *testing.T, s *suite, id string) {
	t.Helper()
	_, err := s.Get(t.Context(), key(id))
	wantError(t, "get", err, store.ErrNotFound)
	_, err = s.Named(t.Context(), here, kindA, id)
	wantError(t, "named", err, store.ErrNotFound)
	_, err = s.Part(t.Context(), key(id), "p")
	wantError(t, "part", err, store.ErrNotFound)
	_, err = s.Part(t.Context(), key("one"), id)
	wantError(t, "part of that name", err, store.ErrNotFound)
	_, err = s.Tags(t.Context(), key(id))
	wantError(t, "tags", err, store.ErrNotFound)
	wantError(t, "set", s.SetTags(t.Context(), key(id), nil, 1), store.ErrNotFound)
	wantError(t, "remove", s.RemoveTags(t.Context(), key(id), nil), store.ErrNotFound)
	wantError(t, "update", s.Update(t.Context(), store.Change{Resource: resource(id)}), store.ErrNotFound)
	wantError(t, "delete", s.Delete(t.Context(), key(id)), store.ErrNotFound)
	_, err = s.Member(t.Context(), key("one"), id)
	wantError(t, "member", err, store.ErrNotFound)
	wantError(t, "remove a member", s.RemoveMember(t.Context(), key("one"), id, start), store.ErrNotFound)
	wantError(t, "add to it", s.AddMembers(t.Context(), addition(id, "a")), store.ErrNotFound)
	wantEqual(t, "members that begin so", len(s.texts(store.MemberPage{Owner: key("one"), Prefix: id, N: 9})), 0)
	wantEqual(t, "what uses it", len(listAll(s, store.Page{Scope: here, Kind: kindA, N: 9, Uses: store.Reference{Kind: kindA, ID: id}})), 0)
	c := creation("user")
	c.Uses = []store.Reference{{Kind: kindA, ID: id}}
	wantError(t, "creation that uses it", kindOf(s.Create(t.Context(), c)), errMissing)
}

func checkOddToken(t *testing.T, s *suite, text string) {
	t.Helper()
	token := store.Token{TokenKey: store.TokenKey{Scope: here, Operation: "Create", Token: text},
		Fingerprint: []byte(text), Response: []byte(text), Expires: start.Add(time.Hour)}
	c := creation("with token")
	c.Token = &token
	s.mustCreate(c)
	got, err := s.Token(t.Context(), token.TokenKey, start)
	wantError(t, "token", err, nil)
	wantEqual(t, "token", got, token)
	wantError(t, "a taken token", s.Create(t.Context(), c), store.ErrTokenTaken)
	wantError(t, "delete", s.Delete(t.Context(), c.Resource.Key), nil)
}

// testTextOrder: texts order by their octets, not as people order them.
func testTextOrder(t *testing.T, s *suite) {
	c := creation("one")
	var want []store.Tag
	for _, text := range []string{"", " ", "-", "10", "9", "B", "a", "a b", "a-b", "ab", "b", "é", "\uffff", "\U0001f600"} {
		want = append(want, store.Tag{Key: text})
		c.Tags = append([]store.Tag{{Key: text}}, c.Tags...)
	}
	s.mustCreate(c)
	got, err := s.Tags(t.Context(), key("one"))
	wantError(t, "tags", err, nil)
	wantEqual(t, "tags", got, want)
	// Equally old resources come by id, of which A to Z order before a to z.
	for _, id := range []string{"b", "B", "a-b", "ab", "a b"} {
		s.mustCreate(creation(id))
	}
	wantEqual(t, "list", listAll(s, store.Page{Scope: here, Kind: kindA, N: 2}), []string{"B", "a b", "a-b", "ab", "b", "one"})
}
