package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"sluice/internal/mailmanager"
	"sluice/internal/message"
)

// MaxRecordEvents is how many events a record has at most: the first of them.
const MaxRecordEvents = 10_000

// Get returns everything known of a message or session, what is still buffered too. Of another account or region, or
// unknown, are the same: an error with mailmanager.CodeResourceNotFound (S36).
func (l *Log) Get(ctx context.Context, account, region string, id message.ID) (Record, error) {
	if err := l.Flush(ctx); err != nil {
		return Record{}, err
	}
	names, err := l.store.segments()
	if err != nil {
		return Record{}, fmt.Errorf("look up trace %s: %w", id, err)
	}
	record := Record{Version: Version, ID: id}
	newer, older := since(names, id.Time())
	for _, names := range [...][]string{newer, older} { // older only when a clock went back
		if len(record.Events) > 0 {
			break
		}
		if err := l.collect(ctx, &record, names, account, region); err != nil {
			return Record{}, fmt.Errorf("look up trace %s: %w", id, err)
		}
	}
	if len(record.Events) == 0 {
		return Record{}, mailmanager.Errorf(mailmanager.CodeResourceNotFound, "No trace %s", id)
	}
	slices.SortStableFunc(record.Events, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return record, nil
}

// collect adds the events of the record's id that are of the account and region.
func (l *Log) collect(ctx context.Context, r *Record, names []string, account, region string) error {
	var failed error
	err := l.store.find(r.ID, names, func(line []byte) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil { // a newer version's: the others are served
			l.config.Logger.Error("trace: cannot read event", "id", r.ID.String(), "error", err)
			return true
		}
		if (e.Message == r.ID || e.Session == r.ID) && e.Account == account && e.Region == region {
			r.Events = append(r.Events, e)
		}
		return len(r.Events) < MaxRecordEvents
	})
	if failed != nil {
		return failed
	}
	return err
}
