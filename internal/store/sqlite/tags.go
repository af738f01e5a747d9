package sqlite

import (
	"context"
	"database/sql"

	"sluice/internal/store"
)

// Tags implements store.Store.
func (s *Store) Tags(ctx context.Context, key store.Key) ([]store.Tag, error) {
	// The resource's row stands beside every tag; its own, without a tag, tells no tags from no resource.
	rows, err := s.readers().QueryContext(ctx, `SELECT tags.key, tags.value FROM resources
		LEFT JOIN tags USING (account, region, kind, id)
		WHERE account = ? AND region = ? AND kind = ? AND id = ? ORDER BY tags.key`, identify(key)...)
	if err != nil {
		return nil, wrap("read the tags of", key, err)
	}
	defer rows.Close() // an error of a read that ended early tells nothing
	found := false
	var tags []store.Tag
	for rows.Next() {
		var name, value sql.NullString
		if err := rows.Scan(&name, &value); err != nil {
			return nil, wrap("read the tags of", key, err)
		}
		found = true
		if name.Valid {
			tags = append(tags, store.Tag{Key: name.String, Value: value.String})
		}
	}
	if err := rows.Err(); err != nil || found {
		return tags, wrap("read the tags of", key, err)
	}
	return nil, wrap("read the tags of", key, store.ErrNotFound)
}

// SetTags implements store.Store.
func (s *Store) SetTags(ctx context.Context, key store.Key, tags []store.Tag, most int) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		if _, err := countedAs(ctx, tx, key); err != nil {
			return err
		}
		if err := putTags(ctx, tx, key, tags); err != nil {
			return err
		}
		n, err := countTags(ctx, tx, key)
		if err == nil && n > most {
			return store.ErrQuota
		}
		return err
	})
	return wrap("tag", key, err)
}

// RemoveTags implements store.Store.
func (s *Store) RemoveTags(ctx context.Context, key store.Key, keys []string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		if _, err := countedAs(ctx, tx, key); err != nil {
			return err
		}
		for _, name := range keys {
			if err := deleteTag(ctx, tx, key, name); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap("untag", key, err)
}

func putTags(ctx context.Context, tx *sql.Tx, key store.Key, tags []store.Tag) error {
	for _, tag := range tags {
		_, err := tx.ExecContext(ctx, `INSERT INTO tags (account, region, kind, id, key, value) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET value = excluded.value`, append(identify(key), tag.Key, tag.Value)...)
		if err != nil {
			return err
		}
	}
	return nil
}

func countTags(ctx context.Context, tx *sql.Tx, key store.Key) (n int, err error) {
	err = tx.QueryRowContext(ctx, `SELECT count(*) FROM tags
		WHERE account = ? AND region = ? AND kind = ? AND id = ?`, identify(key)...).Scan(&n)
	return n, err
}

func deleteTag(ctx context.Context, tx *sql.Tx, key store.Key, name string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM tags
		WHERE account = ? AND region = ? AND kind = ? AND id = ? AND key = ?`, append(identify(key), name)...)
	return err
}
