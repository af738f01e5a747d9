package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sluice/internal/store"
)

// sweptTokens is how many expired tokens a new one takes away: more than one, so that they never pile up.
const sweptTokens = 8

// Token implements store.Store.
func (s *Store) Token(ctx context.Context, key store.TokenKey, now time.Time) (store.Token, error) {
	token := store.Token{TokenKey: key}
	var expires int64
	err := s.readers().QueryRowContext(ctx, `SELECT fingerprint, response, expires FROM client_tokens
		WHERE account = ? AND region = ? AND operation = ? AND token = ? AND expires > ?`,
		key.Account, key.Region, key.Operation, key.Token, now.UnixMicro()).Scan(&token.Fingerprint, &token.Response, &expires)
	if err != nil {
		return store.Token{}, fmt.Errorf("read the client token of %s: %w", key.Operation, notFound(err))
	}
	token.Expires = time.UnixMicro(expires).UTC()
	return token, nil
}

// putToken stores a token, nil being none, and takes some expired ones away.
func putToken(ctx context.Context, tx *sql.Tx, token *store.Token, now time.Time) error {
	if token == nil {
		return nil
	}
	if err := insertToken(ctx, tx, token, now); err != nil {
		return err
	}
	return sweepTokens(ctx, tx, now)
}

func insertToken(ctx context.Context, tx *sql.Tx, token *store.Token, now time.Time) error {
	result, err := tx.ExecContext(ctx, `INSERT INTO client_tokens (account, region, operation, token, fingerprint, response, expires)
		VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
		SET fingerprint = excluded.fingerprint, response = excluded.response, expires = excluded.expires
		WHERE client_tokens.expires <= ?`,
		token.Account, token.Region, token.Operation, token.Token, octets(token.Fingerprint), octets(token.Response),
		token.Expires.UnixMicro(), now.UnixMicro())
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); n == 1 || err != nil {
		return err
	}
	return store.ErrTokenTaken
}

func sweepTokens(ctx context.Context, tx *sql.Tx, now time.Time) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM client_tokens WHERE rowid IN
		(SELECT rowid FROM client_tokens WHERE expires <= ? ORDER BY expires LIMIT ?)`, now.UnixMicro(), sweptTokens)
	return err
}
