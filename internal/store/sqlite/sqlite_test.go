package sqlite_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/store"
	"sluice/internal/store/sqlite"
	"sluice/internal/store/storetest"
)

func open(t testing.TB, directory string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(directory, "control.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

func TestOpenRefusesALaterFormat(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	if err := open(t, directory).Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(directory, "control.db")
	execute(t, path, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`)
	s, err := sqlite.Open(t.Context(), path)
	if !errors.Is(err, store.ErrNewerFormat) || s != nil {
		t.Fatalf("got %v, %v, want %v", s, err, store.ErrNewerFormat)
	}
	if !strings.Contains(err.Error(), "format 99") {
		t.Errorf("got %q, want the format number", err)
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "control.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil {
		t.Error("got no error")
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "absent", "control.db")); err == nil {
		t.Error("in a directory that does not exist: got no error")
	}
}

func TestOpenTakesAnyPath(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "50% of it? #1 & more")
	if err := os.Mkdir(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := open(t, directory).Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(directory, "control.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
}

// What an API call has answered must survive a power cut: every commit syncs the log.
func TestCommitsAreSynced(t *testing.T) {
	t.Parallel()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	const full = 2
	synchronous, journal, err := s.Durability(t.Context())
	if err != nil || synchronous != full || journal != "wal" {
		t.Errorf("got synchronous %d, journal %q, %v, want %d, wal", synchronous, journal, err, full)
	}
}

// Every statement that a request runs must find its rows by an index: a scan's cost grows with what else exists.
func TestNoStatementScans(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	if err := open(t, directory).Close(); err != nil {
		t.Fatal(err)
	}
	db := connect(t, filepath.Join(directory, "control.db"))
	where := ` WHERE account = 'a' AND region = 'r' AND kind = 'k'`
	statements := []string{
		`SELECT * FROM resources` + where + ` AND id = 'i'`,
		`SELECT * FROM resources` + where + ` AND name = 'n'`,
		`SELECT * FROM resources` + where + ` AND (created, id) > (1, 'i') ORDER BY created, id LIMIT 10`,
		`SELECT * FROM resources` + where + ` AND (created, id) < (1, 'i') ORDER BY created DESC, id DESC LIMIT 10`,
		`DELETE FROM resources` + where + ` AND id = 'i'`,
		`DELETE FROM uses` + where + ` AND id = 'i'`,
		`SELECT tags.key FROM resources LEFT JOIN tags USING (account, region, kind, id)` + where + ` AND id = 'i' ORDER BY tags.key`,
		`SELECT * FROM client_tokens WHERE rowid IN (SELECT rowid FROM client_tokens WHERE expires <= 1 ORDER BY expires LIMIT 8)`,
		`SELECT * FROM members WHERE owner = (SELECT number FROM member_owners` + where + ` AND id = 'i' AND dropped = 0) AND key = 'k'`,
		`SELECT * FROM members WHERE owner = 1 AND text > 'a' AND text >= 'b' AND text < 'c' ORDER BY text LIMIT 10`,
		`DELETE FROM members WHERE owner = 1 AND key IN (SELECT key FROM members WHERE owner = 1 ORDER BY key LIMIT 10)`,
		`SELECT number FROM member_owners WHERE dropped = 1 ORDER BY number LIMIT 1`,
		`UPDATE member_owners SET dropped = 1` + where + ` AND id = 'i' AND dropped = 0`,
		`SELECT 1 FROM uses WHERE account = 'a' AND region = 'r' AND used_kind = 'k' AND used_id = 'i'`,
	}
	for _, statement := range statements {
		for _, step := range explain(t, db, statement) {
			if strings.HasPrefix(step, "SCAN") || strings.Contains(step, "TEMP B-TREE") {
				t.Errorf("%s: %s", statement, step)
			}
		}
	}
}

func explain(t *testing.T, db *sql.DB, statement string) (steps []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN `+statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if len(steps) == 0 || rows.Err() != nil {
		t.Fatalf("no plan: %v", rows.Err())
	}
	return steps
}

func connect(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, path, statement string) {
	t.Helper()
	if _, err := connect(t, path).ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkCreate shows that a creation costs the same whatever is stored already.
func BenchmarkCreate(b *testing.B) {
	for _, stored := range []int{10, 10_000} {
		b.Run(fmt.Sprint(stored), func(b *testing.B) {
			s := open(b, b.TempDir())
			b.Cleanup(func() { s.Close() })
			create := func(i int) {
				id, at := fmt.Sprintf("id%09d", i), time.Unix(int64(i), 0)
				r := store.Resource{Key: store.Key{Kind: "a", ID: id}, Name: id, Counted: "a", Created: at, Modified: at}
				if err := s.Create(b.Context(), store.Creation{Change: store.Change{Resource: r}}); err != nil {
					b.Fatal(err)
				}
			}
			for i := range stored {
				create(i)
			}
			b.ResetTimer()
			for i := range b.N {
				create(stored + i)
			}
		})
	}
}

// BenchmarkAddMember shows that a member costs the same whatever its owner has already, and BenchmarkAddMembers what a batch of
// an import costs.
func BenchmarkAddMember(b *testing.B) {
	for _, stored := range []int{10, 1_000_000} {
		b.Run(fmt.Sprint(stored), func(b *testing.B) { benchmarkAdd(b, stored, 1) })
	}
}

func BenchmarkAddMembers(b *testing.B) { benchmarkAdd(b, 10, 1000) }

func benchmarkAdd(b *testing.B, stored, batch int) {
	s := open(b, b.TempDir())
	b.Cleanup(func() { s.Close() })
	at := time.Unix(1, 0)
	owner := store.Resource{Key: store.Key{Kind: "a", ID: "i"}, Name: "n", Counted: "a", Created: at, Modified: at}
	if err := s.Create(b.Context(), store.Creation{Change: store.Change{Resource: owner}}); err != nil {
		b.Fatal(err)
	}
	next := 0
	add := func(n int) {
		a := store.Addition{Owner: owner.Key, Modified: at, Members: make([]store.Member, n)}
		for i := range a.Members {
			text := fmt.Sprintf("%08x@%d.example.com", uint32(next)*2654435761, next%100)
			a.Members[i] = store.Member{Key: text, Text: text, Created: at}
			next++
		}
		slices.SortFunc(a.Members, func(x, y store.Member) int { return strings.Compare(x.Key, y.Key) })
		if err := s.AddMembers(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	for next < stored {
		add(min(stored-next, 100_000))
	}
	for b.Loop() {
		add(batch)
	}
}
