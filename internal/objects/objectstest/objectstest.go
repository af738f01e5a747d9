// Package objectstest is the contract suite of objects.Store: every implementation passes Run.
package objectstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/objects"
)

// Open returns an empty store.
type Open func(t *testing.T) objects.Store

// Run runs the suite. Each test opens a store of its own.
func Run(t *testing.T, open Open) {
	tests := []struct {
		name string
		test func(*testing.T, objects.Store)
	}{
		{"put and get", testPut},
		{"a range", testRange},
		{"what is put replaces", testReplace},
		{"a failed put leaves what was there", testFailedPut},
		{"lists", testList},
		{"delete", testDelete},
		{"S39: no key leads out", testKeys},
		{"a reader keeps what it opened", testReader},
		{"many at once", testConcurrency},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t, open(t))
		})
	}
}

func put(t *testing.T, s objects.Store, key, content string) {
	t.Helper()
	n, err := s.Put(t.Context(), key, strings.NewReader(content))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("put %s: %d octets, %v, want %d", key, n, err, len(content))
	}
}

func get(t *testing.T, s objects.Store, key string, from int64) (string, objects.Info) {
	t.Helper()
	r, info, err := s.Get(t.Context(), key, from)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return string(content), info
}

func testPut(t *testing.T, s objects.Store) {
	for key, content := range map[string]string{"a": "", "b/c": "x", "b/d/e-f_g.h": strings.Repeat("long ", 100_000)} {
		put(t, s, key, content)
		got, info := get(t, s, key, 0)
		if got != content || info.Key != key || info.Octets != int64(len(content)) {
			t.Errorf("%s: got %d octets, %+v", key, len(got), info)
		}
	}
	for _, key := range []string{"absent", "b", "b/x", "a.b"} {
		if _, _, err := s.Get(t.Context(), key, 0); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("get %s: got %v, want %v", key, err, objects.ErrNotFound)
		}
	}
}

func testRange(t *testing.T, s objects.Store) {
	put(t, s, "a", "0123456789")
	for from, want := range map[int64]string{0: "0123456789", 1: "123456789", 9: "9", 10: "", 11: "", 1 << 40: ""} {
		if got, info := get(t, s, "a", from); got != want || info.Octets != 10 {
			t.Errorf("from %d: got %q of %d, want %q of 10", from, got, info.Octets, want)
		}
	}
}

func testReplace(t *testing.T, s objects.Store) {
	put(t, s, "a/b", "a long one")
	put(t, s, "a/b", "short")
	if got, _ := get(t, s, "a/b", 0); got != "short" {
		t.Errorf("got %q", got)
	}
}

func testFailedPut(t *testing.T, s objects.Store) {
	put(t, s, "a", "before")
	broken := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrClosedPipe))
	if _, err := s.Put(t.Context(), "a", broken); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "a", strings.NewReader("late")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if _, err := s.Put(ctx, "b", strings.NewReader("late")); err == nil {
		t.Error("got no error")
	}
	if got, _ := get(t, s, "a", 0); got != "before" {
		t.Errorf("got %q, want what was there", got)
	}
	wantKeys(t, s, "", "", 10, "a")
}

func wantKeys(t *testing.T, s objects.Store, prefix, after string, n int, want ...string) {
	t.Helper()
	found, err := s.List(t.Context(), prefix, after, n)
	var got []string
	for _, info := range found {
		if info.Octets == 0 || info.Modified.IsZero() {
			t.Errorf("list %q: got %+v", prefix, info)
		}
		got = append(got, info.Key)
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("list %q after %q (-want +got), %v:\n%s", prefix, after, err, diff)
	}
}

func testList(t *testing.T, s objects.Store) {
	wantKeys(t, s, "", "", 10)
	for _, key := range []string{"a/b", "a/b.c", "a/d/e", "ab", "b/c", "a-"} {
		put(t, s, key, key)
	}
	wantKeys(t, s, "", "", 10, "a-", "a/b", "a/b.c", "a/d/e", "ab", "b/c")
	wantKeys(t, s, "", "", 2, "a-", "a/b")
	wantKeys(t, s, "", "a/b", 2, "a/b.c", "a/d/e")
	wantKeys(t, s, "a", "", 10, "a-", "a/b", "a/b.c", "a/d/e", "ab")
	wantKeys(t, s, "a/", "", 10, "a/b", "a/b.c", "a/d/e")
	wantKeys(t, s, "a/b", "a/b", 10, "a/b.c")
	wantKeys(t, s, "a/d/e/", "", 10)
	wantKeys(t, s, "z/y/", "", 10)
	if _, err := s.List(t.Context(), "../", "", 10); !errors.Is(err, objects.ErrKey) {
		t.Errorf("list of what is above: got %v, want %v", err, objects.ErrKey)
	}
}

func testDelete(t *testing.T, s objects.Store) {
	put(t, s, "a/b", "x")
	for range 2 {
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := s.Get(t.Context(), "a/b", 0); !errors.Is(err, objects.ErrNotFound) {
		t.Errorf("got %v, want %v", err, objects.ErrNotFound)
	}
	put(t, s, "a/b", "y")
}

// testKeys: S39. What would lead out of the store, or is no key for another reason, is refused by every method.
func testKeys(t *testing.T, s objects.Store) {
	keys := []string{"", "/", "a/", "/a", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/./b", ".hidden", "a/.b", "a\\b", "a\x00b", "C:", "a b", "é",
		"%2e%2e/a", "a\nb", "~", strings.Repeat("a", 201), strings.Repeat("a/", 256) + "a"}
	for _, key := range keys {
		_, putErr := s.Put(t.Context(), key, strings.NewReader("x"))
		_, _, getErr := s.Get(t.Context(), key, 0)
		_, signErr := s.Sign(objects.Get, key, time.Unix(1<<33, 0))
		for method, err := range map[string]error{"put": putErr, "get": getErr, "sign": signErr, "delete": s.Delete(t.Context(), key)} {
			if !errors.Is(err, objects.ErrKey) {
				t.Errorf("%s of %.40q: got %v, want %v", method, key, err, objects.ErrKey)
			}
		}
	}
}

func testReader(t *testing.T, s objects.Store) {
	before := strings.Repeat("before ", 50_000)
	put(t, s, "a", before)
	r, _, err := s.Get(t.Context(), "a", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	put(t, s, "a", "after")
	if got, err := io.ReadAll(r); err != nil || string(got) != before {
		t.Errorf("got %d octets, %v, want the %d that were opened", len(got), err, len(before))
	}
}

func testConcurrency(t *testing.T, s objects.Store) {
	const writers = 8
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			content := bytes.Repeat([]byte{byte('a' + i)}, 100_000)
			if _, err := s.Put(t.Context(), "shared", bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
			put(t, s, fmt.Sprint("own/", i), "x")
		})
	}
	all.Wait()
	got, info := get(t, s, "shared", 0)
	if info.Octets != 100_000 || got != strings.Repeat(got[:1], 100_000) {
		t.Errorf("got %d octets of several writers", info.Octets)
	}
}
