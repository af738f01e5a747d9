// Package sqlite is the embedded store: one SQLite database with a write-ahead log that is synced at every commit, one
// writing connection and a few that read beside it. Exported methods open and commit a transaction; helpers take it and
// run one statement each. Start with Open.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// maxReaders is how many connections read at once; more than cores rarely helps.
	maxReaders = 4
	// busyMilliseconds is how long a connection waits for a lock, such as that of a checkpoint, before it gives up.
	busyMilliseconds = 10_000

	fileMode fs.FileMode = 0o600

	logSuffix = "-wal" // of the name of the write-ahead log
)

// Store is a store.Store on a SQLite database.
type Store struct {
	path  string
	pools atomic.Pointer[pools]
}

// pools are the connections to a database.
type pools struct {
	writer  *sql.DB // one connection: SQLite has one writer; nil: the database is only read
	readers *sql.DB
}

var _ store.Store = (*Store)(nil)

// Open opens the database at path, creating or migrating it as needed. It returns store.ErrNewerFormat, wrapped with
// the format numbers, when a later version of the program has migrated it. The caller calls Close.
func Open(ctx context.Context, path string) (*Store, error) {
	return open(ctx, path, connect)
}

// OpenReadOnly opens a database that is there, and has this program's format, on a disk that takes no writes. What is to be
// changed is refused with store.ErrReadOnly, until Reopen.
func OpenReadOnly(ctx context.Context, path string) (*Store, error) {
	return open(ctx, path, connectReadOnly)
}

func open(ctx context.Context, path string, connect func(context.Context, string) (*pools, error)) (*Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	p, err := connect(ctx, absolute)
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	s := &Store{path: absolute}
	s.pools.Store(p)
	return s, nil
}

// ReadOnly reports whether changes are refused.
func (s *Store) ReadOnly() bool { return s.pools.Load().writer == nil }

// Reopen opens a database for writing that was opened with OpenReadOnly. With an error it is read on, as far as that is possible.
// Calls that run meanwhile may fail. It is called by one goroutine at a time.
func (s *Store) Reopen(ctx context.Context) error {
	before := s.pools.Load()
	if before.writer != nil {
		return nil
	}
	if err := writable(s.path); err != nil {
		return fmt.Errorf("open the store %s: %w", s.path, err)
	}
	// All connections of a process share what the first of them knows of the log: those that only read go first.
	if err := before.close(); err != nil {
		return fmt.Errorf("open the store %s: %w", s.path, err)
	}
	now, err := connect(ctx, s.path)
	if err != nil {
		err = fmt.Errorf("open the store %s: %w", s.path, err)
		var failed error
		if now, failed = connectReadOnly(ctx, s.path); failed != nil {
			return errors.Join(err, failed)
		}
	}
	s.pools.Store(now)
	return err
}

// writable makes the file when it is not there; for its mode, which the log and its index take over: the store is nobody
// else's to read.
func writable(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	return file.Close()
}

func connect(ctx context.Context, path string) (*pools, error) {
	if err := writable(path); err != nil {
		return nil, err
	}
	writer, err := sql.Open("sqlite", address(path, url.Values{"_txlock": {"immediate"}, "_pragma": writing}))
	if err != nil {
		return nil, err
	}
	readers, err := openReaders(path, url.Values{"_pragma": append([]string{"query_only(1)"}, writing...)})
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	writer.SetMaxOpenConns(1)
	p := &pools{writer: writer, readers: readers}
	if err = writer.PingContext(ctx); err == nil { // goose tries for seconds to read what does not open
		err = p.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// connectReadOnly reads the log where there is one, and has its index in memory; without a log the database is as if it could not
// change.
func connectReadOnly(ctx context.Context, path string) (*pools, error) {
	query := url.Values{"mode": {"ro"}, "readonly_shm": {"1"}, "_pragma": {"query_only(1)"}}
	if info, err := os.Stat(path + logSuffix); err != nil || info.Size() == 0 {
		query.Set("immutable", "1")
	}
	readers, err := openReaders(path, query)
	if err != nil {
		return nil, err
	}
	p := &pools{readers: readers}
	provider, err := newProvider(readers)
	if err == nil {
		err = checkFormat(ctx, provider, true)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func openReaders(path string, query url.Values) (*sql.DB, error) {
	readers, err := sql.Open("sqlite", address(path, query))
	if err != nil {
		return nil, err
	}
	readers.SetMaxOpenConns(maxReaders)
	readers.SetMaxIdleConns(maxReaders)
	return readers, nil
}

// writing is how a database is written. synchronous(FULL) syncs the log at every commit: what an API call has answered survives a
// power cut.
var writing = []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}

// address is the data source name.
func address(path string, query url.Values) string {
	query["_pragma"] = append([]string{fmt.Sprintf("busy_timeout(%d)", busyMilliseconds)}, query["_pragma"]...)
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}).String()
}

func newProvider(db *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectSQLite3, db, files)
}

// migrate brings the schema to this program's format. The format number is the last migration's.
func (p *pools) migrate(ctx context.Context) error {
	provider, err := newProvider(p.writer)
	if err != nil {
		return err
	}
	if err := checkFormat(ctx, provider, false); err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the format: %w", err)
	}
	return nil
}

// checkFormat refuses a format that is newer than this program's, and one that is older where it cannot be migrated.
func checkFormat(ctx context.Context, provider *goose.Provider, asItIs bool) error {
	found, known, err := provider.GetVersions(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read the format number: %w", err)
	case found > known:
		return fmt.Errorf("%w: it has format %d, this program reads up to %d\nhint: run the version that wrote it, or restore a backup",
			store.ErrNewerFormat, found, known)
	case asItIs && found < known:
		return fmt.Errorf("it has format %d, and cannot be migrated to %d where nothing can be written", found, known)
	}
	return nil
}

func (p *pools) close() error {
	err := p.readers.Close()
	if p.writer != nil {
		err = errors.Join(err, p.writer.Close())
	}
	return err
}

// Close implements store.Store.
func (s *Store) Close() error { return s.pools.Load().close() }

// readers are connections that only read.
func (s *Store) readers() *sql.DB { return s.pools.Load().readers }

// write runs f in a transaction of the writing connection.
func (s *Store) write(ctx context.Context, f func(tx *sql.Tx) error) error {
	writer := s.pools.Load().writer
	if writer == nil {
		return &mailmanager.Error{
			Code: mailmanager.CodeUnavailable, Message: "Nothing can be changed now: the disk of the server takes no writes", Cause: store.ErrReadOnly,
		}
	}
	tx, err := writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // nothing that it could say explains more than err
		return err
	}
	return tx.Commit()
}
