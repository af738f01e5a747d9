package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"sluice/internal/store"
)

// lastRune comes after every character that a text goes on with, so that a prefix is a range of an index.
const lastRune = "\U0010ffff"

// AddMembers implements store.Store.
func (s *Store) AddMembers(ctx context.Context, a store.Addition) error {
	rows, err := memberRows(a.Members)
	if err != nil {
		return wrap("add members to", a.Owner, err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		if err := touch(ctx, tx, a.Owner, a.Modified); err != nil {
			return err
		}
		number, err := ownerNumber(ctx, tx, a.Owner)
		if err != nil {
			return err
		}
		added, err := insertMembers(ctx, tx, number, rows)
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
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := touch(ctx, tx, owner, modified); err != nil {
			return err
		}
		number, err := ownerNumber(ctx, tx, owner)
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `DELETE FROM members WHERE owner = ? AND key = ?`, number, member)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 || err != nil {
			return errors.Join(err, store.ErrNotFound)
		}
		return countMembers(ctx, tx, number, -1, 0)
	})
	return wrap("remove a member of", owner, err)
}

// Member implements store.Store.
func (s *Store) Member(ctx context.Context, owner store.Key, member string) (store.Member, error) {
	m := store.Member{Key: member}
	var created int64
	err := s.readers().QueryRowContext(ctx, `SELECT text, created FROM members WHERE owner = `+numberOf+` AND key = ?`,
		append(identify(owner), member)...).Scan(&m.Text, &created)
	if err != nil {
		return store.Member{}, wrap("read a member of", owner, err)
	}
	m.Created = time.UnixMicro(created).UTC()
	return m, nil
}

// Members implements store.Store.
func (s *Store) Members(ctx context.Context, p store.MemberPage) (list []store.Member, err error) {
	rows, err := s.readers().QueryContext(ctx, `SELECT key, text, created FROM members
		WHERE owner = `+numberOf+` AND text > ? AND text >= ? AND text < ? ORDER BY text LIMIT ?`,
		append(identify(p.Owner), p.After, p.Prefix, p.Prefix+lastRune, p.N)...)
	if err != nil {
		return nil, wrap("list the members of", p.Owner, err)
	}
	defer rows.Close() // an error of a read that ended early tells nothing
	for rows.Next() {
		var m store.Member
		var created int64
		if err := rows.Scan(&m.Key, &m.Text, &created); err != nil {
			return nil, wrap("list the members of", p.Owner, err)
		}
		m.Created = time.UnixMicro(created).UTC()
		list = append(list, m)
	}
	return list, wrap("list the members of", p.Owner, rows.Err())
}

// MemberKeys implements store.Store. The table lies in the order of its keys: this is one scan of a part of it. Octets take a
// third less time than a text, whose column the driver looks up again in each row.
func (s *Store) MemberKeys(ctx context.Context, owner store.Key) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		rows, err := s.readers().QueryContext(ctx, `SELECT CAST(key AS BLOB) FROM members WHERE owner = `+numberOf+` ORDER BY key`, identify(owner)...)
		if err != nil {
			yield("", wrap("read the members of", owner, err))
			return
		}
		defer rows.Close() // an error of a read that ended early tells nothing
		for rows.Next() {
			var key sql.RawBytes
			err := errors.Join(rows.Scan(&key), ctx.Err())
			if !yield(string(key), wrap("read the members of", owner, err)) || err != nil {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield("", wrap("read the members of", owner, err))
		}
	}
}

// SweepMembers implements store.Store.
func (s *Store) SweepMembers(ctx context.Context, n int) (more bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		var number int64
		err := tx.QueryRowContext(ctx, `SELECT number FROM member_owners WHERE dropped = 1 ORDER BY number LIMIT 1`).Scan(&number)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		more = true // if not of this one, then perhaps of another
		return sweepOwner(ctx, tx, number, n)
	})
	if err != nil {
		return false, fmt.Errorf("sweep members of what was deleted: %w", err)
	}
	return more, nil
}

// sweepOwner removes up to n members of a deleted resource, and with the last of them what stands for the resource.
func sweepOwner(ctx context.Context, tx *sql.Tx, number int64, n int) error {
	result, err := tx.ExecContext(ctx, `DELETE FROM members WHERE owner = ?1 AND key IN
		(SELECT key FROM members WHERE owner = ?1 ORDER BY key LIMIT ?2)`, number, n)
	if err != nil {
		return err
	}
	removed, err := result.RowsAffected()
	if err != nil || removed == int64(n) {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM member_owners WHERE number = ?`, number)
	return err
}

// numberOf is the number that stands for a resource in its members; NULL, which is equal to nothing, when it has none.
const numberOf = `(SELECT number FROM member_owners WHERE account = ? AND region = ? AND kind = ? AND id = ? AND dropped = 0)`

// ownerNumber returns the number that stands for a resource in its members; the first of them makes it.
func ownerNumber(ctx context.Context, tx *sql.Tx, owner store.Key) (number int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT `+numberOf+` AS number WHERE number IS NOT NULL`, identify(owner)...).Scan(&number)
	if !errors.Is(err, sql.ErrNoRows) {
		return number, err
	}
	err = tx.QueryRowContext(ctx, `INSERT INTO member_owners (account, region, kind, id, n) VALUES (?, ?, ?, ?, 0) RETURNING number`,
		identify(owner)...).Scan(&number)
	return number, err
}

// memberRows is members as one argument: a JSON list of key, text and time of creation, one after the other. A statement for
// each would take five times as long.
func memberRows(members []store.Member) ([]byte, error) {
	rows := make([][3]any, len(members))
	for i, m := range members {
		rows[i] = [3]any{m.Key, m.Text, m.Created.UnixMicro()}
	}
	return json.Marshal(rows)
}

// insertMembers adds those members that are not there yet, and returns how many.
func insertMembers(ctx context.Context, tx *sql.Tx, number int64, rows []byte) (added int64, err error) {
	result, err := tx.ExecContext(ctx, `INSERT INTO members (owner, key, text, created)
		SELECT ?, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?) WHERE true ON CONFLICT DO NOTHING`, number, string(rows))
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// countMembers changes how many members there are; the quota is checked on the new number of one that grew.
func countMembers(ctx context.Context, tx *sql.Tx, number, more int64, quota int) error {
	if more == 0 {
		return nil
	}
	var n int
	err := tx.QueryRowContext(ctx, `UPDATE member_owners SET n = n + ? WHERE number = ? RETURNING n`, more, number).Scan(&n)
	if err == nil && quota > 0 && n > quota {
		return store.ErrQuota
	}
	return err
}

// dropMembers leaves the members of a resource to SweepMembers.
func dropMembers(ctx context.Context, tx *sql.Tx, owner store.Key) error {
	_, err := tx.ExecContext(ctx, `UPDATE member_owners SET dropped = 1
		WHERE account = ? AND region = ? AND kind = ? AND id = ? AND dropped = 0`, identify(owner)...)
	return err
}

// touch says when a resource was modified.
func touch(ctx context.Context, tx *sql.Tx, key store.Key, modified time.Time) error {
	result, err := tx.ExecContext(ctx, `UPDATE resources SET modified = ?, revision = revision + 1
		WHERE account = ? AND region = ? AND kind = ? AND id = ?`, append([]any{modified.UnixMicro()}, identify(key)...)...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n == 1 || err != nil {
		return err
	}
	return store.ErrNotFound
}
