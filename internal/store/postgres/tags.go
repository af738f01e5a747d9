package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"sluice/internal/store"
)

// Tags implements store.Store.
func (s *Store) Tags(ctx context.Context, key store.Key) (tags []store.Tag, err error) {
	// The resource's row stands beside every tag; its own, without a tag, tells no tags from no resource.
	found := false
	for tag, err := range query(ctx, s, scanTag, `SELECT tags.key, tags.value FROM resources
		LEFT JOIN tags USING (account, region, kind, id)
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 ORDER BY tags.key`, identify(key)...) {
		if err != nil {
			return nil, wrap("read the tags of", key, err)
		}
		found = true
		if tag != nil {
			tags = append(tags, *tag)
		}
	}
	if !found {
		return nil, wrap("read the tags of", key, store.ErrNotFound)
	}
	return tags, nil
}

// scanTag returns nil for a row without a tag.
func scanTag(row pgx.Row) (*store.Tag, error) {
	var key, value []byte
	if err := row.Scan(&key, &value); err != nil || key == nil {
		return nil, err
	}
	return &store.Tag{Key: string(key), Value: string(value)}, nil
}

// SetTags implements store.Store.
func (s *Store) SetTags(ctx context.Context, key store.Key, tags []store.Tag, most int) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		if _, err := lock(ctx, tx, key); err != nil { // nobody else adds tags between writing and counting them
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
	err := s.write(ctx, func(tx pgx.Tx) error {
		if _, err := lock(ctx, tx, key); err != nil {
			return err
		}
		return deleteTags(ctx, tx, key, keys)
	})
	return wrap("untag", key, err)
}

func putTags(ctx context.Context, tx pgx.Tx, key store.Key, tags []store.Tag) error {
	batch := &pgx.Batch{}
	for _, tag := range tags {
		batch.Queue(`INSERT INTO tags (account, region, kind, id, key, value) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (account, region, kind, id, key) DO UPDATE SET value = excluded.value`,
			identify(key, []byte(tag.Key), []byte(tag.Value))...)
	}
	_, err := send(ctx, tx, batch)
	return err
}

func countTags(ctx context.Context, tx pgx.Tx, key store.Key) (n int, err error) {
	err = tx.QueryRow(ctx, `SELECT count(*) FROM tags
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4`, identify(key)...).Scan(&n)
	return n, err
}

func deleteTags(ctx context.Context, tx pgx.Tx, key store.Key, keys []string) error {
	list := make([][]byte, 0, len(keys))
	for _, name := range keys {
		list = append(list, []byte(name))
	}
	_, err := tx.Exec(ctx, `DELETE FROM tags
		WHERE account = $1 AND region = $2 AND kind = $3 AND id = $4 AND key = ANY($5)`, identify(key, list)...)
	return err
}
