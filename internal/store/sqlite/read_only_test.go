package sqlite_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
	"sluice/internal/store/sqlite"
)

func creation(id string) store.Creation {
	at := time.Unix(1_700_000_000, 0)
	return store.Creation{Change: store.Change{Resource: store.Resource{Key: store.Key{Kind: "a", ID: id}, Name: id, Counted: "a", Created: at, Modified: at}}}
}

// left is a directory with a store as a process leaves it: ended, or killed.
func left(t *testing.T, killed bool) (directory string) {
	t.Helper()
	from, directory := t.TempDir(), t.TempDir()
	s := open(t, from)
	if err := s.Create(t.Context(), creation("before")); err != nil {
		t.Fatal(err)
	}
	if killed {
		defer s.Close()
	} else if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(from, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(directory, filepath.Base(name)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

func namesIn(t *testing.T, directory string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestReadOnly: on a disk that takes no writes a store is read, whether a process ended or was killed before, and makes no file;
// opened anew it is changed (S29).
func TestReadOnly(t *testing.T) {
	t.Parallel()
	for name, killed := range map[string]bool{"ended": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := left(t, killed)
			files := namesIn(t, directory)
			s, err := sqlite.OpenReadOnly(t.Context(), filepath.Join(directory, "control.db"))
			if err != nil {
				t.Fatal(err)
			}
			if r, err := s.Get(t.Context(), creation("before").Change.Resource.Key); err != nil || r.Name != "before" {
				t.Errorf("got %v, %v", r, err)
			}
			err = s.Create(t.Context(), creation("after"))
			if refused, ok := errors.AsType[*mailmanager.Error](err); !ok || refused.Code != mailmanager.CodeUnavailable || !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("a change: got %v, want %v", err, store.ErrReadOnly)
			}
			if now := namesIn(t, directory); !s.ReadOnly() || !slices.Equal(now, files) {
				t.Errorf("read only: %v, files %q, want %q", s.ReadOnly(), now, files)
			}
			for range 2 { // the second time there is nothing to do
				if err := s.Reopen(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Create(t.Context(), creation("after")); err != nil || s.ReadOnly() {
				t.Errorf("read only: %v, %v", s.ReadOnly(), err)
			}
			for _, id := range []string{"before", "after"} {
				if _, err := s.Get(t.Context(), creation(id).Change.Resource.Key); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadOnlyRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change string // of the database
		want   error
	}{
		"a later format":    {`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`, store.ErrNewerFormat},
		"an earlier format": {`DELETE FROM goose_db_version WHERE version_id > 0`, nil},
	} {
		path := filepath.Join(left(t, false), "control.db")
		execute(t, path, test.change)
		s, err := sqlite.OpenReadOnly(t.Context(), path)
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, %v", name, s, err)
		}
	}
	if _, err := sqlite.OpenReadOnly(t.Context(), filepath.Join(t.TempDir(), "control.db")); err == nil {
		t.Error("what is not there is opened")
	}
}

// TestReopenFails: what cannot be opened for writing yet can be later.
func TestReopenFails(t *testing.T) {
	t.Parallel()
	directory := left(t, false)
	path := filepath.Join(directory, "control.db")
	s, err := sqlite.OpenReadOnly(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	execute(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	for range 2 {
		if err := s.Reopen(t.Context()); !errors.Is(err, store.ErrNewerFormat) || !s.ReadOnly() {
			t.Fatalf("got %v, read only: %v", err, s.ReadOnly())
		}
	}
	execute(t, path, `DELETE FROM goose_db_version WHERE version_id = 99`)
	if err := s.Reopen(t.Context()); err != nil || s.ReadOnly() {
		t.Errorf("read only: %v, %v", s.ReadOnly(), err)
	}
	if _, err := s.Get(t.Context(), creation("before").Change.Resource.Key); err != nil {
		t.Error(err)
	}
}
