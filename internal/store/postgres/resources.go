package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"sluice/internal/store"
)

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, c store.Creation) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
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
	err := s.write(ctx, func(tx pgx.Tx) error {
		return change(ctx, tx, c)
	})
	return wrap("update", c.Resource.Key, err)
}

// change waits for who else changes the resource; what it then finds has that one's revision.
func change(ctx context.Context, tx pgx.Tx, c store.Change) error {
	r := &c.Resource
	before, err := lock(ctx, tx, r.Key)
	if err != nil {
		return err
	}
	if err := updateResource(ctx, tx, r); err != nil {
		return err
	}
	if c.Uses != nil {
		if err := dropUses(ctx, tx, r.Key); err != nil {
			return err
		}
	}
	if err := attach(ctx, tx, c); err != nil {
		return err
	}
	return recount(ctx, tx, r.Scope, before, r.Counted)
}

// attach writes what a resource uses and its parts.
func attach(ctx context.Context, tx pgx.Tx, c store.Change) error {
	if err := putUses(ctx, tx, c.Resource.Key, c.Uses); err != nil {
		return err
	}
	return putParts(ctx, tx, c.Resource.Key, c.Parts)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		counted, err := deleteResource(ctx, tx, key)
		if err != nil {
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
	r, err := scanResource(s.pool.QueryRow(ctx, `SELECT `+columns+` FROM resources
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4`, identify(key)...))
	return r, wrap("read", key, notFound(err))
}

// Named implements store.Store.
func (s *Store) Named(ctx context.Context, scope store.Scope, kind store.Kind, name string) (store.Resource, error) {
	key := store.Key{Scope: scope, Kind: kind, ID: name}
	r, err := scanResource(s.pool.QueryRow(ctx, `SELECT `+columns+` FROM resources
		WHERE account = $1 AND region = $2 AND kind = $3 AND name = $4`, identify(key)...))
	return r, wrap("read by name", key, notFound(err))
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, p store.Page) ([]store.Resource, error) {
	statement := `SELECT ` + columns + ` FROM resources WHERE account = $1 AND region = $2 AND kind = $3`
	args := []any{p.Account, p.Region, string(p.Kind), p.N}
	if p.Uses != (store.Reference{}) { // few use one: they are sorted
		args = append(args, string(p.Uses.Kind), p.Uses.ID)
		statement += ` AND id IN (SELECT id FROM uses WHERE account = $1 AND region = $2 AND used_kind = $5 AND used_id = $6 AND kind = $3)`
	}
	relation, order := `>`, ` ORDER BY created, id LIMIT $4`
	if p.Descending {
		relation, order = `<`, ` ORDER BY created DESC, id DESC LIMIT $4`
	}
	if p.After != (store.Position{}) {
		args = append(args, p.After.Created.UnixMicro(), p.After.ID)
		statement += fmt.Sprintf(` AND (created, id) %s ($%d, $%d)`, relation, len(args)-1, len(args))
	}
	var list []store.Resource
	for r, err := range query(ctx, s, scanResource, statement+order, args...) {
		if err != nil {
			return nil, fmt.Errorf("list every %s: %w", p.Kind, err)
		}
		list = append(list, r)
	}
	return list, nil
}

// All implements store.Store.
func (s *Store) All(ctx context.Context, kind store.Kind) iter.Seq2[store.Resource, error] {
	return query(ctx, s, scanResource, `SELECT `+columns+` FROM resources WHERE kind = $1`, string(kind))
}

// Part implements store.Store.
func (s *Store) Part(ctx context.Context, key store.Key, name string) (octets []byte, err error) {
	err = s.pool.QueryRow(ctx, `SELECT octets FROM parts
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 AND name = $5`, identify(key, name)...).Scan(&octets)
	return octets, wrap("read a part of", key, notFound(err))
}

// query yields what scan makes of the rows of a query. Nothing is found by what is no text.
func query[T any](ctx context.Context, s *Store, scan func(pgx.Row) (T, error), statement string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		rows, err := s.pool.Query(ctx, statement, args...)
		if err != nil {
			yield(none, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			if row, err := scan(rows); !yield(row, err) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil && !violates(err, untranslatable) {
			yield(none, err)
		}
	}
}

// columns is what scanResource reads.
const columns = `account, region, kind, id, name, counted, created, modified, revision, body`

func scanResource(row pgx.Row) (store.Resource, error) {
	var r store.Resource
	var created, modified int64
	err := row.Scan(&r.Account, &r.Region, &r.Kind, &r.ID, &r.Name, &r.Counted, &created, &modified, &r.Revision, &r.Body)
	if err != nil {
		return store.Resource{}, err
	}
	r.Created, r.Modified = time.UnixMicro(created).UTC(), time.UnixMicro(modified).UTC()
	return r, nil
}

func insertResource(ctx context.Context, tx pgx.Tx, r *store.Resource) error {
	_, err := tx.Exec(ctx, `INSERT INTO resources (account, region, kind, id, name, counted, created, modified, body, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1)`,
		identify(r.Key, r.Name, r.Counted, r.Created.UnixMicro(), r.Modified.UnixMicro(), octets(r.Body))...)
	return nameTaken(err)
}

func updateResource(ctx context.Context, tx pgx.Tx, r *store.Resource) error {
	tag, err := tx.Exec(ctx, `UPDATE resources SET name = $5, counted = $6, modified = $7, body = $8, revision = revision + 1
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 AND revision = $9`,
		identify(r.Key, r.Name, r.Counted, r.Modified.UnixMicro(), octets(r.Body), r.Revision)...)
	if err != nil || tag.RowsAffected() == 1 {
		return nameTaken(err)
	}
	return store.ErrChanged
}

// lock keeps others from changing a resource until the transaction ends, and returns what it is counted as. It returns
// store.ErrNotFound when there is no such resource.
func lock(ctx context.Context, tx pgx.Tx, key store.Key) (counted string, err error) {
	err = tx.QueryRow(ctx, `SELECT counted FROM resources
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 FOR NO KEY UPDATE`, identify(key)...).Scan(&counted)
	return counted, notFound(err)
}

// deleteResource returns what the resource was counted as.
func deleteResource(ctx context.Context, tx pgx.Tx, key store.Key) (counted string, err error) {
	err = tx.QueryRow(ctx, `DELETE FROM resources
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 RETURNING counted`, identify(key)...).Scan(&counted)
	if violates(err, foreignKeyViolation) {
		return "", store.ErrInUse
	}
	return counted, notFound(err)
}

func dropUses(ctx context.Context, tx pgx.Tx, key store.Key) error {
	_, err := tx.Exec(ctx, `DELETE FROM uses
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4`, identify(key)...)
	return err
}

func putUses(ctx context.Context, tx pgx.Tx, key store.Key, uses []store.Reference) error {
	batch := &pgx.Batch{}
	for _, used := range uses {
		batch.Queue(`INSERT INTO uses (account, region, kind, id, used_kind, used_id) VALUES ($1, $2, $3, $4, $5, $6)`,
			identify(key, string(used.Kind), used.ID)...)
	}
	failed, err := send(ctx, tx, batch)
	if violates(err, foreignKeyViolation) || violates(err, untranslatable) {
		return &store.MissingError{Reference: uses[failed]}
	}
	return err
}

func putParts(ctx context.Context, tx pgx.Tx, key store.Key, parts map[string][]byte) error {
	batch := &pgx.Batch{}
	for name, octets := range parts {
		if octets == nil {
			batch.Queue(`DELETE FROM parts
				WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 AND name = $5`, identify(key, name)...)
			continue
		}
		batch.Queue(`INSERT INTO parts (account, region, kind, id, name, octets) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account, region, kind, id, name) DO UPDATE SET octets = excluded.octets`, identify(key, name, octets)...)
	}
	_, err := send(ctx, tx, batch)
	return err
}

// count raises the number of resources that are counted alike; the quota is checked on the new number. Whoever counts alike
// waits here until this transaction ends, so that no two take the last of a quota.
func count(ctx context.Context, tx pgx.Tx, scope store.Scope, counted string, quota int) error {
	if counted == "" {
		return nil
	}
	var n int
	err := tx.QueryRow(ctx, `INSERT INTO counts (account, region, counted, n) VALUES ($1, $2, $3, 1)
		ON CONFLICT (account, region, counted) DO UPDATE SET n = counts.n + 1 RETURNING n`, scope.Account, scope.Region, counted).Scan(&n)
	if err == nil && quota > 0 && n > quota {
		return store.ErrQuota
	}
	return err
}

func uncount(ctx context.Context, tx pgx.Tx, scope store.Scope, counted string) error {
	_, err := tx.Exec(ctx, `UPDATE counts SET n = n - 1 WHERE account = $1 AND region = $2 AND counted = $3`,
		scope.Account, scope.Region, counted)
	return err
}

// recount moves a resource from what it was counted as to what it is counted as from now on.
func recount(ctx context.Context, tx pgx.Tx, scope store.Scope, before, after string) error {
	if before == after {
		return nil
	}
	if err := uncount(ctx, tx, scope, before); err != nil {
		return err
	}
	const noQuota = 0
	return count(ctx, tx, scope, after, noQuota)
}
