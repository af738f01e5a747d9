package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"sluice/internal/store"
)

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, c store.Creation) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		r := &c.Resource
		if err := putToken(ctx, tx, c.Token, r.Created); err != nil {
			return err
		}
		if err := insertResource(ctx, tx, r); err != nil {
			return err
		}
		if err := putTags(ctx, tx, r.Key, c.Tags); err != nil {
			return err
		}
		if err := attach(ctx, tx, c.Change); err != nil {
			return err
		}
		return count(ctx, tx, r.Scope, r.Counted, c.Quota)
	})
	return wrap("create", c.Resource.Key, err)
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, c store.Change) error {
	err := s.write(ctx, func(tx *sql.Tx) error { return change(ctx, tx, c) })
	return wrap("update", c.Resource.Key, err)
}

// change writes a resource as it is from now on.
func change(ctx context.Context, tx *sql.Tx, c store.Change) error {
	if err := recount(ctx, tx, &c.Resource); err != nil {
		return err
	}
	if err := updateResource(ctx, tx, &c.Resource); err != nil {
		return err
	}
	if c.Uses != nil {
		if err := dropUses(ctx, tx, c.Resource.Key); err != nil {
			return err
		}
	}
	return attach(ctx, tx, c)
}

// attach writes what a resource uses and its parts.
func attach(ctx context.Context, tx *sql.Tx, c store.Change) error {
	for _, used := range c.Uses {
		if err := putUse(ctx, tx, c.Resource.Key, used); err != nil {
			return err
		}
	}
	for name, octets := range c.Parts {
		if err := putPart(ctx, tx, c.Resource.Key, name, octets); err != nil {
			return err
		}
	}
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		counted, err := countedAs(ctx, tx, key)
		if err != nil {
			return err
		}
		if err := deleteResource(ctx, tx, key); err != nil {
			return err
		}
		if err := dropMembers(ctx, tx, key); err != nil {
			return err
		}
		return uncount(ctx, tx, key.Scope, counted)
	})
	return wrap("delete", key, err)
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Resource, error) {
	r, err := scanResource(s.readers().QueryRowContext(ctx, `SELECT `+columns+` FROM resources
		WHERE account = ? AND region = ? AND kind = ? AND id = ?`, identify(key)...))
	return r, wrap("read", key, err)
}

// Named implements store.Store.
func (s *Store) Named(ctx context.Context, scope store.Scope, kind store.Kind, name string) (store.Resource, error) {
	r, err := scanResource(s.readers().QueryRowContext(ctx, `SELECT `+columns+` FROM resources
		WHERE account = ? AND region = ? AND kind = ? AND name = ?`, scope.Account, scope.Region, kind, name))
	return r, wrap("read by name", store.Key{Scope: scope, Kind: kind, ID: name}, err)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, p store.Page) ([]store.Resource, error) {
	query := `SELECT ` + columns + ` FROM resources WHERE account = ? AND region = ? AND kind = ?`
	args := []any{p.Account, p.Region, p.Kind}
	if p.Uses != (store.Reference{}) { // few use one: they are sorted
		query += ` AND id IN (SELECT id FROM uses WHERE account = ? AND region = ? AND used_kind = ? AND used_id = ? AND kind = ?)`
		args = append(args, p.Account, p.Region, p.Uses.Kind, p.Uses.ID, p.Kind)
	}
	after, order := ` AND (created, id) > (?, ?)`, ` ORDER BY created, id LIMIT ?`
	if p.Descending {
		after, order = ` AND (created, id) < (?, ?)`, ` ORDER BY created DESC, id DESC LIMIT ?`
	}
	if p.After != (store.Position{}) {
		query += after
		args = append(args, p.After.Created.UnixMicro(), p.After.ID)
	}
	var list []store.Resource
	for r, err := range s.query(ctx, query+order, append(args, p.N)...) {
		if err != nil {
			return nil, fmt.Errorf("list every %s: %w", p.Kind, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// All implements store.Store.
func (s *Store) All(ctx context.Context, kind store.Kind) iter.Seq2[store.Resource, error] {
	return s.query(ctx, `SELECT `+columns+` FROM resources WHERE kind = ?`, kind)
}

// Part implements store.Store.
func (s *Store) Part(ctx context.Context, key store.Key, name string) ([]byte, error) {
	var octets []byte
	err := s.readers().QueryRowContext(ctx, `SELECT octets FROM parts
		WHERE account = ? AND region = ? AND kind = ? AND id = ? AND name = ?`, append(identify(key), name)...).Scan(&octets)
	return octets, wrap("read a part of", key, err)
}

func (s *Store) query(ctx context.Context, query string, args ...any) iter.Seq2[store.Resource, error] {
	return func(yield func(store.Resource, error) bool) {
		rows, err := s.readers().QueryContext(ctx, query, args...)
		if err != nil {
			yield(store.Resource{}, err)
			return
		}
		defer rows.Close() // an error of a read that ended early tells nothing
		for rows.Next() {
			if r, err := scanResource(rows); !yield(r, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(store.Resource{}, err)
		}
	}
}

// columns is what scanResource reads.
const columns = `account, region, kind, id, name, counted, created, modified, revision, body`

func scanResource(row interface{ Scan(...any) error }) (store.Resource, error) {
	var r store.Resource
	var created, modified int64
	err := row.Scan(&r.Account, &r.Region, &r.Kind, &r.ID, &r.Name, &r.Counted, &created, &modified, &r.Revision, &r.Body)
	if err != nil {
		return store.Resource{}, err
	}
	r.Created, r.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	return r, nil
}

func insertResource(ctx context.Context, tx *sql.Tx, r *store.Resource) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO resources (account, region, kind, id, name, counted, created, modified, body, revision)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`,
		append(identify(r.Key), r.Name, r.Counted, r.Created.UnixMicro(), r.Modified.UnixMicro(), octets(r.Body))...)
	return nameTaken(err)
}

func updateResource(ctx context.Context, tx *sql.Tx, r *store.Resource) error {
	result, err := tx.ExecContext(ctx, `UPDATE resources SET name = ?, counted = ?, modified = ?, body = ?, revision = revision + 1
		WHERE account = ? AND region = ? AND kind = ? AND id = ? AND revision = ?`,
		append(append([]any{r.Name, r.Counted, r.Modified.UnixMicro(), octets(r.Body)}, identify(r.Key)...), r.Revision)...)
	if err != nil {
		return nameTaken(err)
	}
	if n, err := result.RowsAffected(); n == 1 || err != nil {
		return err
	}
	return store.ErrChanged
}

func deleteResource(ctx context.Context, tx *sql.Tx, key store.Key) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM resources
		WHERE account = ? AND region = ? AND kind = ? AND id = ?`, identify(key)...)
	if violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) {
		return store.ErrInUse
	}
	return err
}

// countedAs returns what the resource is counted as, or store.ErrNotFound.
func countedAs(ctx context.Context, tx *sql.Tx, key store.Key) (counted string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT counted FROM resources
		WHERE account = ? AND region = ? AND kind = ? AND id = ?`, identify(key)...).Scan(&counted)
	return counted, notFound(err)
}

func dropUses(ctx context.Context, tx *sql.Tx, key store.Key) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM uses
		WHERE account = ? AND region = ? AND kind = ? AND id = ?`, identify(key)...)
	return err
}

func putUse(ctx context.Context, tx *sql.Tx, key store.Key, used store.Reference) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO uses (account, region, kind, id, used_kind, used_id) VALUES (?, ?, ?, ?, ?, ?)`,
		append(identify(key), used.Kind, used.ID)...)
	if violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) {
		return &store.MissingError{Reference: used}
	}
	return err
}

func putPart(ctx context.Context, tx *sql.Tx, key store.Key, name string, octets []byte) error {
	if octets == nil {
		_, err := tx.ExecContext(ctx, `DELETE FROM parts
			WHERE account = ? AND region = ? AND kind = ? AND id = ? AND name = ?`, append(identify(key), name)...)
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO parts (account, region, kind, id, name, octets) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET octets = excluded.octets`, append(identify(key), name, octets)...)
	return err
}

// count raises the number of resources that are counted alike; the quota is checked on the new number.
func count(ctx context.Context, tx *sql.Tx, scope store.Scope, counted string, quota int) error {
	if counted == "" {
		return nil
	}
	var n int
	err := tx.QueryRowContext(ctx, `INSERT INTO counts (account, region, counted, n) VALUES (?, ?, ?, 1)
		ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n`, scope.Account, scope.Region, counted).Scan(&n)
	if err == nil && quota > 0 && n > quota {
		return store.ErrQuota
	}
	return err
}

func uncount(ctx context.Context, tx *sql.Tx, scope store.Scope, counted string) error {
	_, err := tx.ExecContext(ctx, `UPDATE counts SET n = n - 1 WHERE account = ? AND region = ? AND counted = ?`,
		scope.Account, scope.Region, counted)
	return err
}

// recount moves a resource that is about to be updated to what it is counted as from now on. It returns store.ErrNotFound
// when there is no such resource.
func recount(ctx context.Context, tx *sql.Tx, r *store.Resource) error {
	before, err := countedAs(ctx, tx, r.Key)
	if err != nil || before == r.Counted {
		return err
	}
	if err := uncount(ctx, tx, r.Scope, before); err != nil {
		return err
	}
	const noQuota = 0
	return count(ctx, tx, r.Scope, r.Counted, noQuota)
}

// identify is the arguments that name a resource, with room for more.
func identify(key store.Key) []any {
	const room = 16
	return append(make([]any, 0, room), key.Account, key.Region, string(key.Kind), key.ID)
}

// octets is b as an argument: never NULL.
func octets(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// violates reports whether err is that kind of broken constraint.
func violates(err error, code int) bool {
	var failure *sqlite.Error
	return errors.As(err, &failure) && failure.Code() == code
}

func nameTaken(err error) error {
	if violates(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE) {
		return store.ErrNameTaken
	}
	return err
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

// wrap says what was done to which resource.
func wrap(action string, key store.Key, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s %s: %w", action, key.Kind, key.ID, notFound(err))
}
