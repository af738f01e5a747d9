package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"sluice/internal/store"
)

// lastRune comes after every character that a text goes on with, so that a prefix is a range of an index.
const lastRune = "\U0010ffff"

// AddMembers implements store.Store.
func (s *Store) AddMembers(ctx context.Context, a store.Addition) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		if err := touch(ctx, tx, a.Owner, a.Modified); err != nil { // and nobody else changes its members until the end
			return err
		}
		number, err := ownerNumber(ctx, tx, a.Owner)
		if err != nil {
			return err
		}
		added, err := insertMembers(ctx, tx, number, a.Members)
		if err != nil {
			return err
		}
		if err := countMembers(ctx, tx, number, added, a.Quota); err != nil || a.Progress == nil {
			return err
		}
		return change(ctx, tx, *a.Progress)
	})
	return wrap("add members to", a.Owner, err)
}

// RemoveMember implements store.Store.
func (s *Store) RemoveMember(ctx context.Context, owner store.Key, member string, modified time.Time) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		if err := touch(ctx, tx, owner, modified); err != nil {
			return err
		}
		number, err := deleteMember(ctx, tx, owner, member)
		if err != nil {
			return err
		}
		const one, noQuota = -1, 0
		return countMembers(ctx, tx, number, one, noQuota)
	})
	return wrap("remove a member of", owner, err)
}

// Member implements store.Store.
func (s *Store) Member(ctx context.Context, owner store.Key, member string) (store.Member, error) {
	m, err := scanMember(s.pool.QueryRow(ctx, `SELECT key, text, created FROM members
		WHERE owner = `+numberOf+` AND key = $5`, identify(owner, member)...))
	return m, wrap("read a member of", owner, notFound(err))
}

// Members implements store.Store.
func (s *Store) Members(ctx context.Context, p store.MemberPage) (list []store.Member, err error) {
	for m, err := range query(ctx, s, scanMember, `SELECT key, text, created FROM members
		WHERE owner = `+numberOf+` AND text > $5 AND text >= $6 AND text < $7 ORDER BY text LIMIT $8`,
		identify(p.Owner, p.After, p.Prefix, p.Prefix+lastRune, p.N)...) {
		if err != nil {
			return nil, wrap("list the members of", p.Owner, err)
		}
		list = append(list, m)
	}
	return list, nil
}

// MemberKeys implements store.Store. Rows come from the connection as they are taken; they are in nobody's memory.
func (s *Store) MemberKeys(ctx context.Context, owner store.Key) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range query(ctx, s, scanKey, `SELECT key FROM members WHERE owner = `+numberOf, identify(owner)...) {
			err = errors.Join(err, ctx.Err())
			if !yield(key, wrap("read the members of", owner, err)) || err != nil {
				return
			}
		}
	}
}

// SweepMembers implements store.Store.
func (s *Store) SweepMembers(ctx context.Context, n int) (more bool, err error) {
	err = s.write(ctx, func(tx pgx.Tx) error {
		number, err := droppedOwner(ctx, tx)
		if more = err == nil; errors.Is(err, pgx.ErrNoRows) { // more: if not of this one, then perhaps of another
			return nil
		}
		if err != nil {
			return err
		}
		removed, err := sweepOwner(ctx, tx, number, n)
		if err != nil || removed == int64(n) {
			return err
		}
		return forgetOwner(ctx, tx, number)
	})
	if err != nil {
		return false, fmt.Errorf("sweep members of what was deleted: %w", err)
	}
	return more, nil
}

func scanMember(row pgx.Row) (m store.Member, err error) {
	var created int64
	if err := row.Scan(&m.Key, &m.Text, &created); err != nil {
		return store.Member{}, err
	}
	m.Created = time.UnixMicro(created).UTC()
	return m, nil
}

func scanKey(row pgx.Row) (key string, err error) {
	err = row.Scan(&key)
	return key, err
}

// numberOf is the number that stands for a resource in its members; NULL, which is equal to nothing, when it has none.
const numberOf = `(SELECT number FROM member_owners WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 AND NOT dropped)`

// ownerNumber returns the number that stands for a resource in its members; the first of them makes it.
func ownerNumber(ctx context.Context, tx pgx.Tx, owner store.Key) (number int64, err error) {
	err = tx.QueryRow(ctx, `SELECT number FROM `+numberOf+` AS owner`, identify(owner)...).Scan(&number)
	if !errors.Is(err, pgx.ErrNoRows) {
		return number, err
	}
	err = tx.QueryRow(ctx, `INSERT INTO member_owners (account, region, kind, id, n) VALUES ($1, $2, $3, $4, 0) RETURNING number`,
		identify(owner)...).Scan(&number)
	return number, err
}

// insertMembers adds those members that are not there yet, and returns how many: of several with one key, the first.
func insertMembers(ctx context.Context, tx pgx.Tx, number int64, members []store.Member) (added int64, err error) {
	keys, texts, created := make([]string, len(members)), make([]string, len(members)), make([]int64, len(members))
	for i, m := range members {
		keys[i], texts[i], created[i] = m.Key, m.Text, m.Created.UnixMicro()
	}
	tag, err := tx.Exec(ctx, `INSERT INTO members (owner, key, text, created)
		SELECT $1, key, text, created FROM unnest($2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS m (key, text, created, place)
		ORDER BY place ON CONFLICT (owner, key) DO NOTHING`, number, keys, texts, created)
	return tag.RowsAffected(), err
}

// deleteMember returns the number that stands for the owner, or store.ErrNotFound.
func deleteMember(ctx context.Context, tx pgx.Tx, owner store.Key, member string) (number int64, err error) {
	err = tx.QueryRow(ctx, `DELETE FROM members WHERE owner = `+numberOf+` AND key = $5 RETURNING owner`,
		identify(owner, member)...).Scan(&number)
	return number, notFound(err)
}

// countMembers changes how many members there are; the quota is checked on the new number of one that grew.
func countMembers(ctx context.Context, tx pgx.Tx, number, more int64, quota int) error {
	if more == 0 {
		return nil
	}
	var n int
	err := tx.QueryRow(ctx, `UPDATE member_owners SET n = n + $2 WHERE number = $1 RETURNING n`, number, more).Scan(&n)
	if err == nil && quota > 0 && n > quota {
		return store.ErrQuota
	}
	return err
}

// dropMembers leaves the members of a resource to SweepMembers.
func dropMembers(ctx context.Context, tx pgx.Tx, owner store.Key) error {
	_, err := tx.Exec(ctx, `UPDATE member_owners SET dropped = true
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 AND NOT dropped`, identify(owner)...)
	return err
}

// droppedOwner returns what stands for a deleted resource that nobody else is sweeping, or pgx.ErrNoRows.
func droppedOwner(ctx context.Context, tx pgx.Tx) (number int64, err error) {
	err = tx.QueryRow(ctx, `SELECT number FROM member_owners WHERE dropped ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED`).Scan(&number)
	return number, err
}

// sweepOwner removes up to n members of a deleted resource.
func sweepOwner(ctx context.Context, tx pgx.Tx, number int64, n int) (removed int64, err error) {
	tag, err := tx.Exec(ctx, `DELETE FROM members WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM members WHERE owner = $1 ORDER BY key LIMIT $2))`, number, n)
	return tag.RowsAffected(), err
}

func forgetOwner(ctx context.Context, tx pgx.Tx, number int64) error {
	_, err := tx.Exec(ctx, `DELETE FROM member_owners WHERE number = $1`, number)
	return err
}

// touch says when a resource was modified.
func touch(ctx context.Context, tx pgx.Tx, key store.Key, modified time.Time) error {
	tag, err := tx.Exec(ctx, `UPDATE resources SET modified = $5, revision = revision + 1
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4`, identify(key, modified.UnixMicro())...)
	if err == nil && tag.RowsAffected() == 0 {
		return store.ErrNotFound
	}
	return notFound(err)
}
