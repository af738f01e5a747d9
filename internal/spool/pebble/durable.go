package pebble

import (
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// settleSyncEvery leaves the sync itself some of the 50 ms in which a settlement becomes durable.
// Source: docs/promises.md, Settle.
const settleSyncEvery = 40 * time.Millisecond

// covered says that a sync has ended that began when so many settlements were committed.
func (s *Spool) covered(settlements int64) {
	for {
		synced := s.synced.Load()
		if synced >= settlements || s.synced.CompareAndSwap(synced, settlements) {
			return
		}
	}
}

// syncSettled syncs the log if settlements were committed that no sync has covered.
func (s *Spool) syncSettled() {
	unsynced := s.unsynced.Load()
	if unsynced == s.synced.Load() {
		return
	}
	if err := s.db.LogData(nil, pebble.Sync); err != nil {
		s.log.Error("spool: cannot sync settlements", "error", err)
		return
	}
	s.covered(unsynced)
}
