package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"sluice/internal/store"
)

// sweptTokens is how many expired tokens a new one takes away: more than one, so that they never pile up.
const sweptTokens int = 8

// Token implements store.Store.
func (s *Store) Token(ctx context.Context, key store.TokenKey, now time.Time) (store.Token, error) {
	token := store.Token{TokenKey: key}
	var expires int64
	err := s.pool.QueryRow(ctx, `SELECT fingerprint, response, expires FROM client_tokens
		WHERE account = $1 AND region = $2 AND operation = $3 AND token = $4 AND expires > $5`,
		key.Account, key.Region, key.Operation, []byte(key.Token), now.UnixMicro()).Scan(&token.Fingerprint, &token.Response, &expires)
	if err != nil {
		return store.Token{}, fmt.Errorf("read the client token of %s: %w", key.Operation, notFound(err))
	}
	token.Expires = time.UnixMicro(expires).UTC()
	return token, nil
}

// putToken stores a token, nil being none, and takes some expired ones away.
func putToken(ctx context.Context, tx pgx.Tx, token *store.Token, now time.Time) error {
	if token == nil {
		return nil
	}
	if err := insertToken(ctx, tx, token, now); err != nil {
		return err
	}
	return sweepTokens(ctx, tx, now)
}

// insertToken waits for who else stores the same token, and finds it taken unless that one was undone.
func insertToken(ctx context.Context, tx pgx.Tx, token *store.Token, now time.Time) error {
	tag, err := tx.Exec(ctx, `INSERT INTO client_tokens (account, region, operation, token, fingerprint, response, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, region, operation, token) DO UPDATE
		SET fingerprint = excluded.fingerprint, response = excluded.response, expires = excluded.expires
		WHERE client_tokens.expires <= $8`,
		token.Account, token.Region, token.Operation, []byte(token.Token), octets(token.Fingerprint), octets(token.Response),
		token.Expires.UnixMicro(), now.UnixMicro())
	if err != nil || tag.RowsAffected() == 1 {
		return err
	}
	return store.ErrTokenTaken
}

// sweepTokens leaves those alone that others are taking away, or using anew.
func sweepTokens(ctx context.Context, tx pgx.Tx, now time.Time) error {
	_, err := tx.Exec(ctx, `DELETE FROM client_tokens WHERE ctid = ANY(ARRAY(
		SELECT ctid FROM client_tokens WHERE expires <= $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED))`,
		now.UnixMicro(), sweptTokens)
	return err
}
