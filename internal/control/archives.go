package control

import (
	"context"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

const (
	// deletionWindow is how long a deleted archive stays before it is gone (Mail Manager, section 7).
	deletionWindow = 30 * 24 * time.Hour
	// retentionWeek is the time in which the retention may be changed only so often (Mail Manager, section 10).
	retentionWeek = 7 * 24 * time.Hour
	// maxRetentionTimes is how many times of changes are kept: no profile asks for more.
	maxRetentionTimes = 1000
)

// archiveRecord is an archive as it is stored. It has two states, which the API names: ACTIVE, and PENDING_DELETION from
// DeleteArchive on, until it is gone. There is no way back.
type archiveRecord struct {
	Retention mailmanager.ArchiveRetention
	KmsKeyArn *mailmanager.KmsKeyArn `json:",omitempty"`
	Changes   []time.Time            `json:",omitempty"` // of the retention, within retentionWeek of the last; the oldest first
	Deleted   *time.Time             `json:",omitempty"` // nil: it is ACTIVE
	Name      string                 `json:",omitempty"` // of a deleted one: in the store it has another
}

func (a *archiveRecord) state() *mailmanager.ArchiveState {
	if a.Deleted != nil {
		return mailmanager.Ptr(mailmanager.ArchiveStatePendingDeletion)
	}
	return mailmanager.Ptr(mailmanager.ArchiveStateActive)
}

// name is the archive's name as the API shows it.
func (a *archiveRecord) name(r store.Resource) *mailmanager.ArchiveNameString {
	if a.Deleted != nil {
		return (*mailmanager.ArchiveNameString)(&a.Name)
	}
	return (*mailmanager.ArchiveNameString)(&r.Name)
}

// ended reports whether a deleted archive is to be gone.
func (a *archiveRecord) ended(now time.Time) bool {
	return a.Deleted != nil && !now.Before(a.Deleted.Add(deletionWindow))
}

// deletedName is the name in the store of a deleted archive: unique, and none that the API takes, so that another archive can
// have the name that it had (Mail Manager, A8).
func deletedName(id string) string { return "deleted/" + id }

// createArchive: Mail Manager, CreateArchive. The key need not exist (Mail Manager, A25).
func (c *Control) createArchive(ctx context.Context, scope Scope, in *mailmanager.CreateArchiveRequest) (*mailmanager.CreateArchiveResponse, error) {
	req := request{scope: scope, operation: "CreateArchive", token: in.ClientToken, tags: in.Tags, input: in}
	id, err := c.create(ctx, kindArchive, req, func(r store.Resource) (draft, error) {
		r.Name, r.Counted = string(*in.ArchiveName), countedArchive
		record := archiveRecord{KmsKeyArn: in.KmsKeyArn}
		record.Retention.RetentionPeriod = mailmanager.Ptr(mailmanager.RetentionPeriodSixMonths) // Mail Manager, F9
		replace(&record.Retention, in.Retention)
		return draftArchive(r, record)
	})
	if err != nil {
		return nil, err
	}
	return &mailmanager.CreateArchiveResponse{ArchiveId: (*mailmanager.ArchiveIdString)(&id)}, nil
}

// draftArchive completes an archive that is about to be stored.
func draftArchive(r store.Resource, record archiveRecord) (d draft, err error) {
	d.Resource = r
	d.Resource.Body, err = encode(record)
	return d, err
}

// getArchive: Mail Manager, GetArchive. A deleted archive is shown until it is gone.
func (c *Control) getArchive(ctx context.Context, scope Scope, in *mailmanager.GetArchiveRequest) (*mailmanager.GetArchiveResponse, error) {
	id := string(*in.ArchiveId)
	if err := kindArchive.checkID(id); err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindArchive, kindArchive.key(scope, id))
	if err != nil {
		return nil, err
	}
	record, err := decode[archiveRecord](r.Key, r.Body)
	if err != nil {
		return nil, err
	}
	return &mailmanager.GetArchiveResponse{
		ArchiveId:            in.ArchiveId,
		ArchiveName:          record.name(r),
		ArchiveArn:           mailmanager.Ptr(mailmanager.ArchiveArn(kindArchive.arnOf(scope, id))),
		ArchiveState:         record.state(),
		Retention:            &record.Retention,
		CreatedTimestamp:     milliseconds(r.Created),
		LastUpdatedTimestamp: milliseconds(r.Modified),
		KmsKeyArn:            record.KmsKeyArn,
	}, nil
}

// listArchives: Mail Manager, ListArchives. Deleted archives are among them until they are gone.
func (c *Control) listArchives(ctx context.Context, scope Scope, in *mailmanager.ListArchivesRequest) (*mailmanager.ListArchivesResponse, error) {
	l := listing{scope: scope, kind: kindArchive.store, operation: "ListArchives", token: in.NextToken, size: pageSize(in.PageSize)}
	archives, next, err := list(ctx, c, l, func(r store.Resource) (mailmanager.Archive, error) {
		record, err := decode[archiveRecord](r.Key, r.Body)
		return mailmanager.Archive{
			ArchiveId:            (*mailmanager.ArchiveIdString)(&r.ID),
			ArchiveName:          record.name(r),
			ArchiveState:         record.state(),
			LastUpdatedTimestamp: milliseconds(r.Modified),
		}, err
	})
	return &mailmanager.ListArchivesResponse{Archives: archives, NextToken: next}, err
}

// updateArchive: Mail Manager, UpdateArchive. A deleted archive stays as it is.
func (c *Control) updateArchive(ctx context.Context, scope Scope, in *mailmanager.UpdateArchiveRequest) (*mailmanager.UpdateArchiveResponse, error) {
	id := string(*in.ArchiveId)
	if err := kindArchive.checkID(id); err != nil {
		return nil, err
	}
	err := c.update(ctx, kindArchive, kindArchive.key(scope, id), func(r store.Resource) (draft, error) {
		record, err := decode[archiveRecord](r.Key, r.Body)
		if err != nil {
			return draft{}, err
		}
		if record.Deleted != nil {
			return draft{}, mailmanager.Errorf(mailmanager.CodeConflict, "The archive %s is PENDING_DELETION: it cannot be changed", id)
		}
		if err := c.changeRetention(scope.Account, &record, in.Retention); err != nil {
			return draft{}, err
		}
		replace(&r.Name, (*string)(in.ArchiveName))
		r.Modified = c.now()
		return draftArchive(r, record)
	})
	return &mailmanager.UpdateArchiveResponse{}, err
}

// changeRetention sets the retention to what an update asks for; nil, and the one that it has, change nothing. So many changes
// in a week are refused as the quota says (Mail Manager, section 10).
func (c *Control) changeRetention(account string, record *archiveRecord, asked *mailmanager.ArchiveRetention) error {
	if asked == nil || mailmanager.Value(asked.RetentionPeriod) == mailmanager.Value(record.Retention.RetentionPeriod) {
		return nil
	}
	now := c.now()
	for len(record.Changes) > 0 && !now.Before(record.Changes[0].Add(retentionWeek)) {
		record.Changes = record.Changes[1:]
	}
	room := quota{"archive_retention_changes_per_week", min(c.limits(account).RetentionChanges, maxRetentionTimes)}
	if err := room.within(len(record.Changes)+1, account, mailmanager.CodeServiceQuotaExceeded); err != nil {
		return err
	}
	record.Changes = append(record.Changes, now)
	record.Retention = *asked
	return nil
}

// deleteArchive: Mail Manager, DeleteArchive. Rules that name the archive keep nobody from it: their actions then fail (Mail
// Manager, A6). The name and the place in the quota are free at once; the archive is gone when deletionWindow ends.
func (c *Control) deleteArchive(ctx context.Context, scope Scope, in *mailmanager.DeleteArchiveRequest) (*mailmanager.DeleteArchiveResponse, error) {
	id := string(*in.ArchiveId)
	if err := kindArchive.checkID(id); err != nil {
		return nil, err
	}
	err := c.update(ctx, kindArchive, kindArchive.key(scope, id), c.deletedArchive)
	if err != nil && !isCode(err, mailmanager.CodeResourceNotFound) {
		return nil, err
	}
	return &mailmanager.DeleteArchiveResponse{}, nil
}

// deletedArchive is the archive once it is deleted. Deleting it again is refused in aws-strict only (Mail Manager, A9).
func (c *Control) deletedArchive(r store.Resource) (d draft, err error) {
	record, err := decode[archiveRecord](r.Key, r.Body)
	if err != nil {
		return d, err
	}
	switch {
	case record.Deleted != nil && c.cfg.Profiles.Strict(r.Account):
		return d, mailmanager.Errorf(mailmanager.CodeValidation, "The archive %s is PENDING_DELETION already", r.ID)
	case record.Deleted != nil:
		return d, errUnchanged
	}
	now := c.now()
	record.Deleted, record.Name = &now, r.Name
	r.Name, r.Counted, r.Modified = deletedName(r.ID), notCounted, now
	return draftArchive(r, record)
}

// sweepArchives removes the archives whose time since their deletion has ended.
func (c *Control) sweepArchives(ctx context.Context) {
	ended, err := c.endedArchives(ctx)
	if err != nil {
		c.cfg.Logger.Error("deleted archives not swept", "error", err)
		return
	}
	for _, key := range ended {
		if err := c.remove(ctx, kindArchive, key, nil); err != nil {
			c.cfg.Logger.Error("deleted archive not swept", "account", key.Account, "region", key.Region, "id", key.ID, "error", err)
			continue
		}
		c.cfg.Logger.Info("deleted archive is gone", "account", key.Account, "region", key.Region, "id", key.ID)
	}
}

// endedArchives are the archives that are to be gone.
func (c *Control) endedArchives(ctx context.Context) (ended []store.Key, err error) {
	for r, err := range c.cfg.Store.All(ctx, kindArchive.store) {
		if err != nil {
			return nil, err
		}
		record, err := decode[archiveRecord](r.Key, r.Body)
		if err != nil { // it does not keep the others
			c.cfg.Logger.Error("archive cannot be read", "account", r.Account, "region", r.Region, "id", r.ID, "error", err)
			continue
		}
		if record.ended(c.now()) {
			ended = append(ended, r.Key)
		}
	}
	return ended, nil
}
