package sqlite

import "context"

// Durability returns what the writing connection does at a commit.
func (s *Store) Durability(ctx context.Context) (synchronous int, journal string, err error) {
	if err := s.pools.Load().writer.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&synchronous); err != nil {
		return 0, "", err
	}
	err = s.pools.Load().writer.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&journal)
	return synchronous, journal, err
}
