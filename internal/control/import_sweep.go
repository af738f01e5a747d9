package control

import (
	"context"
	"errors"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/objects"
	"sluice/internal/store"
)

// sweepPage is how many objects are looked at together.
const sweepPage = 1000

// sweepImports forgets jobs that are too old, and removes files that nobody will read.
func (c *Control) sweepImports(ctx context.Context) {
	if err := errors.Join(c.sweepJobs(ctx), c.sweepFiles(ctx)); err != nil && ctx.Err() == nil {
		c.cfg.Logger.Error("imports not swept, will be tried again", "error", err)
	}
}

func (c *Control) sweepJobs(ctx context.Context) error {
	var old []store.Key // the store must not be called while it yields
	for r, err := range c.cfg.Store.All(ctx, kindImportJob.store) {
		if err != nil {
			return err
		}
		if c.now().Sub(r.Created) >= jobLifetime && !c.imports.isProcessing(r.Key) {
			old = append(old, r.Key)
		}
	}
	for _, job := range old {
		if err := c.deleteJob(ctx, job); err != nil {
			return err
		}
	}
	return nil
}

// sweepFiles removes what jobs have left that are gone, have ended, or were never started.
func (c *Control) sweepFiles(ctx context.Context) error {
	if c.cfg.Objects == nil {
		return nil
	}
	for after := ""; ; {
		found, err := c.cfg.Objects.List(ctx, importFolder, after, sweepPage)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, file := range found {
			after = file.Key
			wanted, err := c.isWanted(ctx, file)
			if err == nil && !wanted {
				err = c.cfg.Objects.Delete(ctx, file.Key)
			}
			if err != nil {
				return err
			}
		}
	}
}

// isWanted reports whether an object of a job may be read yet.
func (c *Control) isWanted(ctx context.Context, file objects.Info) (bool, error) {
	job, name, ok := jobOfObject(file.Key)
	if !ok {
		return false, nil
	}
	r, err := c.cfg.Store.Get(ctx, job)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	record, err := decode[importRecord](r.Key, r.Body)
	switch {
	case err != nil:
		return false, err
	case name != uploadName || record.Status == mailmanager.ImportJobStatusProcessing:
		return true, nil
	default:
		return record.startable() && c.now().Sub(r.Created) < fileLifetime, nil
	}
}

// sweeper frees the room of the members of lists that were deleted, little by little. It is a duty of its own.
type sweeper struct{ woken chan struct{} }

func (s *sweeper) init() { s.woken = make(chan struct{}, 1) }

// wake says that a list was deleted.
func (s *sweeper) wake() { wake(s.woken) }

const (
	// sweepMembers is how many members are removed in one transaction.
	sweepMembers = 1000
	// sweepPause is how long others have the store's writer between two.
	sweepPause = 20 * time.Millisecond
)

// sweepDeleted runs when a list was deleted, and once at the start, until ctx ends.
func (c *Control) sweepDeleted(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.sweepAllMembers(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Logger.Error("members of deleted address lists not removed", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-c.sweeper.woken:
		}
	}
}

// sweepAllMembers removes members until there are none of deleted lists.
func (c *Control) sweepAllMembers(ctx context.Context) error {
	pace := newPacer(c.cfg.Traffic)
	pause := time.NewTicker(sweepPause)
	defer pause.Stop()
	for {
		more, err := c.cfg.Store.SweepMembers(ctx, sweepMembers)
		if err != nil || !more {
			return err
		}
		if err := pace.lap(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
	}
}
