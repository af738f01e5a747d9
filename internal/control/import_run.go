package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"sluice/internal/addressfile"
	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/objects"
	"sluice/internal/store"
)

const (
	// rowsOfAChunk is how many rows are sorted before they are brought in: neighbours in the store are then written together, which
	// rows in the order of the file would not be. A chunk of them is in memory, of no more octets than the file.
	rowsOfAChunk = 100_000
	// batchMembers is how many members are stored in one transaction: the store has one writer, which others wait for some 20 ms.
	batchMembers = 1000
	// readRows is how many rows are read before mail may have its turn.
	readRows = 1000
	// importRetry is how long the worker waits when the store or the disk fails.
	importRetry = 5 * time.Second
)

// importFailure ends a job as FAILED.
type importFailure struct {
	why     string
	badRows int32 // that are not in the job's record yet
}

func (f *importFailure) Error() string { return f.why }

// importResult is what the worker did.
type importResult struct {
	job    store.Key                   // zero: there was nothing to do
	status mailmanager.ImportJobStatus // empty: others have changed it
	record importRecord                // as the worker left it
}

// runImports does the jobs that are PROCESSING, one after the other, until ctx ends.
func (c *Control) runImports(ctx context.Context) {
	for ctx.Err() == nil {
		result, err := c.runImport(ctx)
		var again <-chan time.Time
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			c.cfg.Logger.Error("import not finished, will be tried again", "account", result.job.Account, "region", result.job.Region,
				"job_id", result.job.ID, "error", err)
			again = time.After(importRetry)
		case result.status != "":
			c.cfg.Logger.Info("import ended", "account", result.job.Account, "region", result.job.Region, "job_id", result.job.ID,
				"status", result.status, "imported", result.record.Imported, "failed", result.record.Failed)
			continue
		case result.job != store.Key{}:
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.imports.woken:
		case <-again:
		}
	}
}

// runImport works on the job that has waited longest, until it has ended or is taken away. With an error the job waits behind all
// others: what fails of one is not always what fails of them.
func (c *Control) runImport(ctx context.Context) (result importResult, err error) {
	task, ctx, done, ok := c.imports.next(ctx)
	if !ok {
		return importResult{}, nil
	}
	defer done()
	result.job = task.job
	if result.status, result.record, err = c.workOn(ctx, task); err != nil {
		c.imports.postpone(task.job, c.now())
	}
	return result, err
}

// workOn brings in what is in a job's file, and ends the job.
func (c *Control) workOn(ctx context.Context, task importTask) (mailmanager.ImportJobStatus, importRecord, error) {
	run := &importRun{c: c, list: task.list, pacer: newPacer(c.cfg.Traffic)}
	err := run.begin(ctx, task.job)
	if err == nil {
		err = run.fill(ctx)
	}
	failure := (*importFailure)(nil)
	switch {
	case ctx.Err() != nil: // it was stopped, or the server is
		return mailmanager.ImportJobStatusStopped, run.record, nil
	case errors.Is(err, store.ErrChanged), errors.Is(err, store.ErrNotFound), errors.Is(err, errUnchanged):
		// Somebody stopped it, or deleted it, and perhaps started it again: then it is looked at again.
		return "", run.record, c.forgetUnlessRunning(context.WithoutCancel(ctx), task.job)
	case err != nil && !errors.As(err, &failure):
		return "", run.record, err
	}
	status, err := c.endImport(context.WithoutCancel(ctx), task.job, failure)
	return status, run.record, err
}

// forgetUnlessRunning drops a job that is not PROCESSING any more. It is locked, so that nobody starts it meanwhile.
func (c *Control) forgetUnlessRunning(ctx context.Context, job store.Key) error {
	defer c.locks.lock(job)()
	_, record, err := c.importJob(ctx, job.Scope, mailmanager.JobId(job.ID))
	if isCode(err, mailmanager.CodeResourceNotFound) || err == nil && record.Status != mailmanager.ImportJobStatusProcessing {
		c.imports.drop(job)
		return nil
	}
	return err
}

// endImport makes a job COMPLETED, or FAILED, and removes its file.
func (c *Control) endImport(ctx context.Context, job store.Key, failure *importFailure) (mailmanager.ImportJobStatus, error) {
	status := mailmanager.ImportJobStatusCompleted
	if failure != nil {
		status = mailmanager.ImportJobStatusFailed
	}
	err := c.changeJob(ctx, job, func(record *importRecord) (func(), error) {
		if record.Status != mailmanager.ImportJobStatusProcessing {
			status = record.Status // it was stopped at the last moment
			return nil, errUnchanged
		}
		now := c.now()
		record.Status, record.Completed = status, &now
		if failure != nil {
			record.Error, record.Failed = failure.why, record.Failed+failure.badRows
		}
		return func() { c.imports.drop(job) }, nil
	})
	if err != nil || status == mailmanager.ImportJobStatusStopped {
		return status, err
	}
	return status, c.deleteObjects(ctx, job, uploadName)
}

// importRun is the worker at one job.
type importRun struct {
	c       *Control
	r       store.Resource // the job as it is stored
	record  importRecord   // what is in it
	list    store.Key
	pacer   *pacer
	failed  failedRows
	rows    int            // of the chunk
	chunk   []store.Member // of those rows
	skipped int32          // those without an address
}

// begin reads the job.
func (run *importRun) begin(ctx context.Context, job store.Key) (err error) {
	run.r, run.record, err = run.c.importJob(ctx, job.Scope, mailmanager.JobId(job.ID))
	if isCode(err, mailmanager.CodeResourceNotFound) || err == nil && run.record.Status != mailmanager.ImportJobStatusProcessing {
		return errUnchanged
	}
	return err
}

// fill brings in what is in the job's file behind the chunks that are done.
func (run *importRun) fill(ctx context.Context) error {
	if err := run.failed.load(ctx, run.c.cfg.Objects, jobObject(run.r.Key, failedRowsName), &run.record); err != nil {
		return err
	}
	from := run.record.Place.File
	file, info, err := run.c.cfg.Objects.Get(ctx, jobObject(run.r.Key, uploadName), from.Offset)
	if errors.Is(err, objects.ErrNotFound) {
		return &importFailure{why: "No file was uploaded, or it has expired"}
	}
	if err != nil {
		return err
	}
	defer file.Close() // it is only read
	run.c.cfg.Logger.Info("import reads its file", "account", run.r.Account, "region", run.r.Region, "job_id", run.r.ID,
		"from_octet", from.Offset, "octets", info.Octets)
	rows := addressfile.NewReader(addressfile.Format(run.record.Format), file, from)
	for {
		row, err := rows.Next()
		if err != nil {
			return run.finish(ctx, rows.Place(), err)
		}
		run.take(row)
		if run.rows == run.record.Place.ChunkRows {
			err = run.bringChunk(ctx, rows.Place())
		} else if run.rows%readRows == 0 {
			err = run.pacer.lap(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// finish brings in the last rows. end is why there are no more.
func (run *importRun) finish(ctx context.Context, at addressfile.Place, end error) error {
	var wrong *addressfile.SyntaxError
	if end != io.EOF && !errors.As(end, &wrong) {
		return fmt.Errorf("read the file: %w", end)
	}
	if err := run.bringChunk(ctx, at); err != nil {
		return err
	}
	if wrong != nil {
		return &importFailure{why: fmt.Sprintf("The file is not %s: %s", run.record.Format, wrong.Error())}
	}
	return nil
}

// take takes a row into the chunk.
func (run *importRun) take(row addressfile.Row) {
	run.rows++
	entry, problem := readRow(row)
	if problem != "" {
		run.failed.add(row.Number, problem)
		run.skipped++
		return
	}
	run.chunk = append(run.chunk, store.Member{Key: entry.Key(), Text: row.Address})
}

// readRow is what a list has of a row, or why it has nothing.
func readRow(row addressfile.Row) (entry addresslist.Entry, problem string) {
	if row.Problem != "" {
		return entry, row.Problem
	}
	entry, err := addresslist.Parse(row.Address)
	if invalid := (*mailmanager.Error)(nil); errors.As(err, &invalid) {
		_, constraint, _ := strings.Cut(invalid.Message, "constraint: ")
		return entry, constraint
	}
	if err != nil {
		return entry, "Member must be an address"
	}
	return entry, ""
}

// bringChunk brings in the members of the chunk, in the order of their keys, and begins the next, which begins at a place. Its bad
// rows are told also when the list has no room for all of its members.
func (run *importRun) bringChunk(ctx context.Context, at addressfile.Place) error {
	if run.rows == 0 {
		return nil // the file ended with the chunk before
	}
	failure, imported := (*importFailure)(nil), int32(len(run.chunk))
	if err := run.bringMembers(ctx); err != nil && !errors.As(err, &failure) {
		return err
	}
	if run.skipped > 0 {
		if err := run.failed.put(ctx, run.c.cfg.Objects, jobObject(run.r.Key, failedRowsName)); err != nil {
			return err
		}
	}
	if failure != nil {
		failure.badRows = run.skipped
		return failure
	}
	done := run.record
	done.Place = importPlace{ChunkRows: done.Place.ChunkRows, File: at, Imported: done.Place.Imported + imported}
	done.Imported, done.Failed = done.Place.Imported, done.Failed+run.skipped
	run.rows, run.chunk, run.skipped = 0, run.chunk[:0], 0
	return run.save(ctx, done)
}

// bringMembers brings in the members of the chunk, batch by batch.
func (run *importRun) bringMembers(ctx context.Context) error {
	for batch := range slices.Chunk(run.sortChunk(), batchMembers) {
		if err := run.bring(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}

// sortChunk is the chunk in the order of keys, the first of those with one key, less what was brought in before.
func (run *importRun) sortChunk() []store.Member {
	byKey := func(a, b store.Member) int { return strings.Compare(a.Key, b.Key) }
	slices.SortStableFunc(run.chunk, byKey)
	members := slices.CompactFunc(run.chunk, func(a, b store.Member) bool { return a.Key == b.Key })
	from, found := slices.BinarySearchFunc(members, store.Member{Key: run.record.Place.After}, byKey)
	if found {
		from++
	}
	return members[from:]
}

// bring adds members to the list. Of more than its quota has room for, it adds those that there is room for, and fails.
func (run *importRun) bring(ctx context.Context, batch []store.Member) error {
	err := run.add(ctx, batch)
	switch {
	case err == nil:
		return run.pacer.lap(ctx)
	case !errors.Is(err, store.ErrQuota):
		return err
	case len(batch) > 1:
		half := len(batch) / 2
		if err := run.bring(ctx, batch[:half]); err != nil {
			return err
		}
		return run.bring(ctx, batch[half:])
	default:
		return &importFailure{why: run.c.memberQuota(run.list.Account).exceeded(run.list.Account, mailmanager.CodeServiceQuotaExceeded).Error()}
	}
}

// add adds members and notes it in the job, in one transaction.
func (run *importRun) add(ctx context.Context, batch []store.Member) error {
	now := run.c.now()
	for i := range batch {
		batch[i].Created = now
	}
	next := run.record
	next.Imported += int32(len(batch))
	next.Place.After = batch[len(batch)-1].Key
	r, err := run.change(next)
	if err != nil {
		return err
	}
	defer run.c.locks.lock(run.list)()
	if err := run.c.addMembers(ctx, store.Addition{Owner: run.list, Members: batch, Modified: now, Progress: &store.Change{Resource: r}}); err != nil {
		return err
	}
	run.stored(r, next)
	return nil
}

// save stores how far the job is.
func (run *importRun) save(ctx context.Context, next importRecord) error {
	r, err := run.change(next)
	if err != nil {
		return err
	}
	if err := run.c.cfg.Store.Update(ctx, store.Change{Resource: r}); err != nil {
		return err
	}
	run.stored(r, next)
	return nil
}

// change is the job with another record.
func (run *importRun) change(next importRecord) (r store.Resource, err error) {
	r = run.r
	r.Modified = run.c.now()
	r.Body, err = encode(next)
	return r, err
}

// stored says that the job was stored as that.
func (run *importRun) stored(r store.Resource, record importRecord) {
	r.Revision++
	run.r, run.record = r, record
}
