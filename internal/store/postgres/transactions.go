package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"sluice/internal/store"
)

// maxAttempts is how often a transaction is tried that the server gives up for another's sake. It does so after
// deadlock_timeout, by default 1 s, and lets one of those through that stood in each other's way.
const maxAttempts int = 8

// commitTimeout is how long a commit may take, ours: the slowest disk has synced by then. Beyond it nobody knows what became of
// the transaction.
const commitTimeout = 30 * time.Second

// What the server says went wrong (PostgreSQL, appendix A).
const (
	foreignKeyViolation  string = "23503"
	uniqueViolation      string = "23505"
	untranslatable       string = "22021" // no text: U+0000, or not UTF-8
	serializationFailure string = "40001"
	deadlockDetected     string = "40P01"
)

// nameConstraint is what holds that names are unique.
const nameConstraint string = "resources_by_name"

// write runs f in a transaction, again when the server gave it up for another's sake: f must begin anew each time.
func (s *Store) write(ctx context.Context, f func(tx pgx.Tx) error) (err error) {
	for range maxAttempts {
		err = s.try(ctx, f)
		if !violates(err, serializationFailure) && !violates(err, deadlockDetected) {
			return err
		}
	}
	return fmt.Errorf("tried %d times: %w", maxAttempts, err)
}

// try runs f in a transaction, once. Once the commit is on its way it does not matter that the caller goes away: who broke it off
// there would not know whether the server carried it out, and would call undone what is stored.
func (s *Store) try(ctx context.Context, f func(tx pgx.Tx) error) error {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // also of a panic; after a commit it does nothing
	if err := f(tx); err != nil {
		return err
	}
	committing, done := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer done()
	return tx.Commit(committing)
}

// send runs the statements of a batch in one round trip; the error of the first that fails is told with its number.
func send(ctx context.Context, tx pgx.Tx, batch *pgx.Batch) (failed int, err error) {
	if batch.Len() == 0 {
		return 0, nil
	}
	results := tx.SendBatch(ctx, batch)
	for i := range batch.Len() {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // it says the same
			return i, err
		}
	}
	return 0, results.Close()
}

// violates reports whether the server refused with that code.
func violates(err error, code string) bool {
	var failure *pgconn.PgError
	return errors.As(err, &failure) && failure.Code == code
}

// nameTaken tells a name that is not free from an id that is not.
func nameTaken(err error) error {
	var failure *pgconn.PgError
	if errors.As(err, &failure) && failure.Code == uniqueViolation && failure.ConstraintName == nameConstraint {
		return store.ErrNameTaken
	}
	return err
}

// notFound is for statements that look for a key: what cannot be stored as a text is nobody's key.
func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) || violates(err, untranslatable) {
		return store.ErrNotFound
	}
	return err
}

// wrap says what was done to which resource.
func wrap(action string, key store.Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %s: %w", action, key.Kind, key.ID, err)
}

// identify is the arguments that name a resource, and what follows them.
func identify(key store.Key, more ...any) []any {
	return append([]any{key.Account, key.Region, string(key.Kind), key.ID}, more...)
}

// octets is b as an argument: never NULL.
func octets(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
