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

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

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
)

// Store is a store.Store on a SQLite database.
type Store struct {
	writer  *sql.DB // one connection: SQLite has one writer
	readers *sql.DB
}

var _ store.Store = (*Store)(nil)

// Open opens the database at path, creating or migrating it as needed. It returns store.ErrNewerFormat, wrapped with
// the format numbers, when a later version of the program has migrated it. The caller calls Close.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := connect(path)
	if err != nil {
		return nil, fmt.Errorf("open the store %s: %w", path, err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open the store %s: %w", path, err), s.Close())
	}
	return s, nil
}

func connect(path string) (*Store, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// Made here for its mode, which the log and its index take over: the store is nobody else's to read.
	file, err := os.OpenFile(absolute, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	writer, err := sql.Open("sqlite", address(absolute, url.Values{"_txlock": {"immediate"}}))
	if err != nil {
		return nil, err
	}
	readers, err := sql.Open("sqlite", address(absolute, url.Values{"_pragma": {"query_only(1)"}}))
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	writer.SetMaxOpenConns(1)
	readers.SetMaxOpenConns(maxReaders)
	readers.SetMaxIdleConns(maxReaders)
	return &Store{writer: writer, readers: readers}, nil
}

// address is the data source name. synchronous(FULL) syncs the log at every commit: what an API call has answered
// survives a power cut.
func address(path string, query url.Values) string {
	query["_pragma"] = append(query["_pragma"], fmt.Sprintf("busy_timeout(%d)", busyMilliseconds),
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)")
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}).String()
}

// migrate brings the schema to this program's format. The format number is the last migration's.
func (s *Store) migrate(ctx context.Context) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.writer, files)
	if err != nil {
		return err
	}
	found, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the format number: %w", err)
	}
	if found > known {
		return fmt.Errorf("%w: it has format %d, this program reads up to %d\nhint: run the version that wrote it, or restore a backup",
			store.ErrNewerFormat, found, known)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from format %d to %d: %w", found, known, err)
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	return errors.Join(s.readers.Close(), s.writer.Close())
}

// write runs f in a transaction of the writing connection.
func (s *Store) write(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback() // nothing that it could say explains more than err
		return err
	}
	return tx.Commit()
}
