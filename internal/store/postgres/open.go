// Package postgres is the store in PostgreSQL, for more machines than one: its transactions give exactly one of several
// concurrent callers a name, a token or the last of a quota, on whatever machines they are. Exported methods open and
// commit a transaction; helpers take it and run one statement each, or one for each of several values. Start with Open.
//
// Whoever waits for another's transaction waits in the database, at a row or at an entry of an index, and sees there what
// became of it: READ COMMITTED is enough. The rows that many want, counts, are taken last in every transaction, so that
// they are held shortest and never while waiting for a resource.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"sluice/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// oldestServer is the oldest PostgreSQL that the contract suite runs on, as server_version_num has it.
	oldestServer int = 15_00_00

	// migrationLock is the advisory lock that whoever migrates holds; the number means nothing, and is ours.
	migrationLock int64 = 0x536c75696365
)

// Store is a store.Store in a PostgreSQL database.
type Store struct{ pool *pgxpool.Pool }

var _ store.Store = (*Store)(nil)

// Open opens the store in a database that exists, such as postgres://user@host/name, and creates or migrates its tables in
// the first schema of the search path as needed; openers that come at once wait for each other. The address has what
// pgxpool.ParseConfig takes. Open refuses a server that does not keep what it has committed, and returns
// store.ErrNewerFormat, wrapped with the format numbers, when a later version of the program has migrated the tables. The
// caller calls Close.
func Open(ctx context.Context, address string) (*Store, error) {
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err) // without the password
	}
	config.AfterConnect = checkServer
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	s := &Store{pool: pool}
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the store in database %s on %s: %w", config.ConnConfig.Database, config.ConnConfig.Host, err)
	}
	return s, nil
}

// checkServer refuses a connection to a server on which the contract does not hold.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var s settings
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
		current_setting('fsync'), current_setting('synchronous_commit')`).Scan(&s.version, &s.encoding, &s.fsync, &s.synchronousCommit)
	if err != nil {
		return fmt.Errorf("read the server's settings: %w", err)
	}
	return s.check()
}

// settings are what the contract stands on: what an API call has answered survives a power cut, and a text is the same
// octets for all.
type settings struct {
	version                            int // server_version_num
	encoding, fsync, synchronousCommit string
}

func (s settings) check() error {
	switch {
	case s.version < oldestServer:
		return fmt.Errorf("the server's version is %d\nhint: use PostgreSQL 15 or later", s.version)
	case s.encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s\nhint: create it with ENCODING 'UTF8'", s.encoding)
	case s.fsync == "off":
		return errors.New("the server does not sync what it commits\nhint: set fsync = on")
	case s.synchronousCommit == "off":
		return errors.New("the server answers commits before it has synced them\nhint: set synchronous_commit = on for this role and database")
	}
	return nil
}

// migrate brings the schema to this program's format. The format number is the last migration's.
func (s *Store) migrate(ctx context.Context) error {
	unlock, err := s.lockMigrations(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close() // it holds no connection of its own
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files)
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

// lockMigrations waits until nobody else migrates. The lock lives and ends with a connection of its own.
func (s *Store) lockMigrations(ctx context.Context) (unlock func(), err error) {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return nil, err
	}
	unlock = func() { _ = conn.Close(context.WithoutCancel(ctx)) } // the server ends it when we cannot say so
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		unlock()
		return nil, fmt.Errorf("wait for who else migrates: %w", err)
	}
	return unlock, nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}
