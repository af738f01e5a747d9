package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sluice/internal/store"
	"sluice/internal/store/postgres"
	"sluice/internal/store/storetest"
	"sluice/test/peers/pgcluster"
)

// TestOnPostgreSQL runs all that needs a server, on one.
func TestOnPostgreSQL(t *testing.T) {
	t.Parallel()
	s := &server{pgcluster.Start(t)}
	tests := []struct {
		name string
		test func(*testing.T, *server)
	}{
		{"contract", func(t *testing.T, s *server) { storetest.Run(t, s.open) }},
		{"the server orders texts unlike octets", testServerOrder},
		{"openers wait for each other", testOpenersWait},
		{"a later format is refused", testLaterFormat},
		{"commits that are not synced are refused", testUnsynced},
		{"connections that break are replaced", testBrokenConnections},
		{"a commit is not broken off", testCommitGoesOn},
		{"no statement scans", testNoStatementScans},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t, s)
		})
	}
}

type server struct{ *pgcluster.Cluster }

// open opens the store that is kept in a namespace of that name.
func (s *server) open(t testing.TB, name string) store.Store {
	t.Helper()
	opened, err := postgres.Open(t.Context(), s.Namespace(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return opened
}

func (s *server) connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// setting adds a setting of the connection to an address.
func setting(t *testing.T, address, name, value string) string {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	query := parsed.Query()
	query.Set(name, value)
	parsed.RawQuery = query.Encode()
	return parsed.String()
}

// Without this the suite would show nothing of the collation of ours.
func testServerOrder(t *testing.T, s *server) {
	var below bool
	err := s.connect(t, s.Address()).QueryRow(t.Context(), `SELECT 'a'::text < 'B'::text`).Scan(&below)
	if err != nil || !below {
		t.Errorf("got %v, %v, want a before B, as people order them", below, err)
	}
}

func testOpenersWait(t *testing.T, s *server) {
	const openers = 8
	address := s.Namespace(t, t.Name())
	var all sync.WaitGroup
	for range openers {
		all.Go(func() {
			opened, err := postgres.Open(t.Context(), address)
			if err != nil {
				t.Error(err)
				return
			}
			opened.Close()
		})
	}
	all.Wait()
	var migrations int
	err := s.connect(t, address).QueryRow(t.Context(), `SELECT count(*) FROM goose_db_version WHERE version_id = 1`).Scan(&migrations)
	if err != nil || migrations != 1 {
		t.Errorf("the first migration was run %d times, %v", migrations, err)
	}
}

func testLaterFormat(t *testing.T, s *server) {
	if err := s.open(t, t.Name()).Close(); err != nil {
		t.Fatal(err)
	}
	address := s.Namespace(t, t.Name())
	execute(t, s.connect(t, address), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`)
	opened, err := postgres.Open(t.Context(), address)
	if !errors.Is(err, store.ErrNewerFormat) || opened != nil {
		t.Fatalf("got %v, %v, want %v", opened, err, store.ErrNewerFormat)
	}
	if !strings.Contains(err.Error(), "format 99") {
		t.Errorf("got %q, want the format number", err)
	}
}

func testUnsynced(t *testing.T, s *server) {
	opened, err := postgres.Open(t.Context(), setting(t, s.Namespace(t, t.Name()), "synchronous_commit", "off"))
	if err == nil || opened != nil || !strings.Contains(err.Error(), "synchronous_commit = on") {
		t.Errorf("got %v, %v, want a hint at synchronous_commit", opened, err)
	}
}

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		version  int
		encoding string
		fsync    string
		commit   string
		want     string // in the error; empty: none
	}{
		{"as installed", 150000, "UTF8", "on", "on", ""},
		{"a later version", 180001, "UTF8", "on", "on", ""},
		{"commits that are on a standby too", 150000, "UTF8", "on", "remote_apply", ""},
		{"an earlier version", 140012, "UTF8", "on", "on", "140012"},
		{"an encoding of some characters", 150000, "LATIN1", "on", "on", "LATIN1"},
		{"an encoding of any octets", 150000, "SQL_ASCII", "on", "on", "SQL_ASCII"},
		{"no syncs", 150000, "UTF8", "off", "on", "fsync"},
		{"answers before syncs", 150000, "UTF8", "on", "off", "synchronous_commit"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := postgres.CheckSettings(test.version, test.encoding, test.fsync, test.commit)
			if got := fmt.Sprint(err); (err != nil) != (test.want != "") || !strings.Contains(got, test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestOpenRefusesAddresses(t *testing.T) {
	t.Parallel()
	const password = "hunter2hunter2"
	for _, address := range []string{
		"postgres://user:" + password + "@127.0.0.1:1/name?connect_timeout=5",
		"postgres://user:" + password + "@127.0.0.1:port/name",
		"postgres://user:" + password + "@127.0.0.1/name?pool_max_conns=none",
		"user=x password=" + password + " port=none",
	} {
		opened, err := postgres.Open(t.Context(), address)
		if err == nil || opened != nil {
			t.Errorf("%s: got %v, %v", address, opened, err)
		}
		if strings.Contains(fmt.Sprint(err), password) {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}

// A server that starts anew, or another that takes its place, costs the calls that were running and no restart of ours.
func testBrokenConnections(t *testing.T, s *server) {
	const connections = 2
	address := setting(t, s.Namespace(t, t.Name()), "application_name", "broken")
	opened, err := postgres.Open(t.Context(), setting(t, address, "pool_max_conns", fmt.Sprint(connections)))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	create := func(id string) error {
		r := store.Resource{Key: store.Key{Kind: "a", ID: id}, Name: id}
		return opened.Create(t.Context(), store.Creation{Change: store.Change{Resource: r}})
	}
	if err := create("before"); err != nil {
		t.Fatal(err)
	}
	execute(t, s.connect(t, s.Address()), `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'broken'`)
	for range connections { // each may be found broken once
		if err = create("after"); err == nil {
			break
		}
	}
	if err = errors.Join(err, create("once more")); err != nil {
		t.Error(err)
	}
}

// Whoever goes away while the server commits must not be told that nothing was stored. Here a commit waits for a lock of ours.
func testCommitGoesOn(t *testing.T, s *server) {
	const lock = 0x636f6d6d6974 // nobody else's
	opened := s.open(t, t.Name())
	defer opened.Close()
	conn := s.connect(t, s.Namespace(t, t.Name()))
	execute(t, conn, fmt.Sprintf(`CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
		'BEGIN PERFORM pg_advisory_xact_lock(%d); RETURN NULL; END'`, lock))
	execute(t, conn, `CREATE CONSTRAINT TRIGGER wait AFTER INSERT ON resources
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION wait()`)
	execute(t, conn, `SELECT pg_advisory_lock($1)`, lock)

	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	created := make(chan error, 1)
	r := store.Resource{Key: store.Key{Kind: "a", ID: "one"}, Name: "one"}
	go func() { created <- opened.Create(ctx, store.Creation{Change: store.Change{Resource: r}}) }()
	execute(t, conn, fmt.Sprintf(`DO 'BEGIN
		WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = ''advisory'' AND objid = %d AND NOT granted) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP; END'`, uint32(lock&0xffffffff)))
	leave()
	select {
	case err := <-created:
		t.Errorf("the commit was broken off: %v", err)
	case <-time.After(100 * time.Millisecond): // what breaks off does so at once
	}
	execute(t, conn, `SELECT pg_advisory_unlock($1)`, lock)
	if !t.Failed() {
		if err := <-created; err != nil {
			t.Errorf("the commit was carried out and failed: %v", err)
		}
	}
	if _, err := opened.Get(t.Context(), r.Key); err != nil {
		t.Error(err)
	}
}

// Every statement that a request runs must find its rows by an index, and pages their order too: the cost of a scan, or of
// sorting all that a page is of, grows with what else exists.
func testNoStatementScans(t *testing.T, s *server) {
	if err := s.open(t, t.Name()).Close(); err != nil {
		t.Fatal(err)
	}
	conn := s.connect(t, s.Namespace(t, t.Name()))
	execute(t, conn, `SET enable_seqscan = off`) // it scans small tables, unless it cannot but scan
	execute(t, conn, `SET enable_bitmapscan = off`)
	where := ` WHERE account = 'a' AND region = 'r' AND kind = 'k'`
	statements := []string{
		`SELECT * FROM resources` + where + ` AND id = 'i'`,
		`SELECT * FROM resources` + where + ` AND name = 'n'`,
		`SELECT * FROM resources` + where + ` AND (created, id) > (1, 'i') ORDER BY created, id LIMIT 10`,
		`SELECT * FROM resources` + where + ` AND (created, id) < (1, 'i') ORDER BY created DESC, id DESC LIMIT 10`,
		`SELECT * FROM resources WHERE kind = 'k'`,
		`DELETE FROM uses` + where + ` AND id = 'i'`,
		`SELECT tags.key FROM resources LEFT JOIN tags USING (account, region, kind, id)` + where + ` AND id = 'i' ORDER BY tags.key`,
		`DELETE FROM client_tokens WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM client_tokens WHERE expires <= 1 ORDER BY expires LIMIT 8 FOR UPDATE SKIP LOCKED))`,
		`SELECT * FROM resources` + where + ` AND id IN (
			SELECT id FROM uses WHERE account = 'a' AND region = 'r' AND used_kind = 'k' AND used_id = 'i' AND kind = 'k')`,
		`SELECT * FROM members WHERE owner = (SELECT number FROM member_owners` + where + ` AND id = 'i' AND NOT dropped) AND key = 'k'`,
		`SELECT * FROM members WHERE owner = 1 AND text > 'a' AND text >= 'b' AND text < 'c' ORDER BY text LIMIT 10`,
		`SELECT key FROM members WHERE owner = (SELECT number FROM member_owners` + where + ` AND id = 'i' AND NOT dropped)`,
		`DELETE FROM members WHERE ctid = ANY(ARRAY(SELECT ctid FROM members WHERE owner = 1 ORDER BY key LIMIT 10))`,
		`SELECT number FROM member_owners WHERE dropped ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED`,
		`UPDATE member_owners SET dropped = true` + where + ` AND id = 'i' AND NOT dropped`,
		`SELECT 1 FROM uses WHERE account = 'a' AND region = 'r' AND used_kind = 'k' AND used_id = 'i' FOR KEY SHARE`,
	}
	for _, statement := range statements {
		for _, step := range explain(t, conn, statement) {
			if strings.Contains(step, "Seq Scan") || strings.Contains(step, "Sort") && strings.Contains(statement, "LIMIT") {
				t.Errorf("%s: %s", statement, step)
			}
		}
	}
}

func explain(t *testing.T, conn *pgx.Conn, statement string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `EXPLAIN `+statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	steps, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(steps) == 0 {
		t.Fatalf("%s: no plan: %v", statement, err)
	}
	return steps
}
