package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/internal/addressfile"
	"sluice/internal/mailmanager"
	"sluice/internal/objects"
	"sluice/internal/store"
)

const (
	// uploadLifetime is how long the URL for an import's file is good (Mail Manager, F13).
	uploadLifetime = 24 * time.Hour
	// MaxUploadOctets is how large an import's file may be (Mail Manager, F13).
	MaxUploadOctets int64 = 50 << 20
	// failedItemsLifetime is how long a URL for the list of bad rows is good; each answer has a new one.
	failedItemsLifetime = time.Hour
	// uploadsOfAccount is how many files an account may upload at once: half of what the server takes, so that slow uploads of one
	// account leave room for those of others (S42).
	uploadsOfAccount = 8
	// jobLifetime is how long a job is remembered (Mail Manager, F4).
	jobLifetime = 30 * 24 * time.Hour
	// fileLifetime is how long the file of a job that has not ended is kept.
	fileLifetime = 7 * 24 * time.Hour
)

// importRecord is an import job as it is stored. Its states and what follows them:
//
//	CREATED → PROCESSING, by a request
//	PROCESSING → COMPLETED or FAILED; STOPPED, by a request
//	STOPPED → PROCESSING, by a request: it goes on where it was stopped
type importRecord struct {
	ListID    string
	Name      mailmanager.JobName
	Format    mailmanager.ImportDataType
	Status    mailmanager.ImportJobStatus
	Started   *time.Time  `json:",omitempty"`
	Completed *time.Time  `json:",omitempty"`
	Error     string      `json:",omitempty"`
	Imported  int32       // rows whose address is in the list because of them, or was before
	Failed    int32       // rows without an address
	Place     importPlace `json:"At"` // under Place, earlier builds counted rows from the beginning of the file: their jobs begin anew
}

// importPlace is how far a job is in its file: behind the last chunk that is done, and in the chunk after it.
type importPlace struct {
	ChunkRows int // rows of a chunk, whose members are brought in in the order of their keys
	File      addressfile.Place
	Imported  int32  // of the chunks that are done
	After     string `json:",omitempty"` // the last key of the chunk behind them that was brought in
}

func (r *importRecord) listKey(scope Scope) store.Key { return kindAddressList.key(scope, r.ListID) }

// startable reports whether a job may begin or go on.
func (r *importRecord) startable() bool {
	return r.Status == mailmanager.ImportJobStatusCreated || r.Status == mailmanager.ImportJobStatusStopped
}

// createImportJob: Mail Manager, CreateAddressListImportJob.
func (c *Control) createImportJob(ctx context.Context, scope Scope, in *mailmanager.CreateAddressListImportJobRequest) (*mailmanager.CreateAddressListImportJobResponse, error) {
	list, err := c.addressList(ctx, scope, *in.AddressListId)
	if err != nil {
		return nil, err
	}
	req := request{scope: scope, operation: "CreateAddressListImportJob", token: in.ClientToken, input: in}
	record := importRecord{ListID: list.ID, Name: *in.Name, Format: *in.ImportDataFormat.ImportDataType, Status: mailmanager.ImportJobStatusCreated}
	id, err := c.create(ctx, kindImportJob, req, func(r store.Resource) (d draft, err error) {
		r.Name, r.Counted = r.ID, countedImportJob // jobs may have the same name
		if r.Body, err = encode(record); err != nil {
			return d, err
		}
		d.Resource, d.Uses = r, []store.Reference{{Kind: kindAddressList.store, ID: list.ID}}
		d.publish = func() {}
		return d, nil
	})
	if err != nil {
		return nil, err
	}
	r, err := c.read(ctx, kindImportJob, kindImportJob.key(scope, id))
	if err != nil {
		return nil, err
	}
	url, err := c.uploadURL(r)
	return &mailmanager.CreateAddressListImportJobResponse{JobId: (*mailmanager.JobId)(&id), PreSignedUrl: url}, err
}

// Names of a job's objects.
const (
	importFolder   = "imports/"
	uploadName     = "/file"
	failedRowsName = "/failed.csv"
)

func jobObject(job store.Key, name string) string {
	return importFolder + job.Account + "/" + job.Region + "/" + job.ID + name
}

// uploadURL is where the job's file is put. It stays the same when it has expired (Mail Manager, F14).
func (c *Control) uploadURL(job store.Resource) (*mailmanager.PreSignedUrl, error) {
	return c.sign(objects.Put, jobObject(job.Key, uploadName), job.Created.Add(uploadLifetime))
}

func (c *Control) sign(method objects.Method, key string, expires time.Time) (*mailmanager.PreSignedUrl, error) {
	if c.cfg.Objects == nil {
		return nil, objects.ErrSign
	}
	url, err := c.cfg.Objects.Sign(method, key, expires)
	return (*mailmanager.PreSignedUrl)(&url), err
}

// importJob reads a job that a request names.
func (c *Control) importJob(ctx context.Context, scope Scope, id mailmanager.JobId) (r store.Resource, record importRecord, err error) {
	if err := kindImportJob.checkID(string(id)); err != nil {
		return r, record, err
	}
	if r, err = c.read(ctx, kindImportJob, kindImportJob.key(scope, string(id))); err != nil {
		return r, record, err
	}
	record, err = decode[importRecord](r.Key, r.Body)
	return r, record, err
}

// showJob is a job as lists show it.
func (c *Control) showJob(r store.Resource) (mailmanager.ImportJob, error) {
	record, err := decode[importRecord](r.Key, r.Body)
	if err != nil {
		return mailmanager.ImportJob{}, err
	}
	url, err := c.uploadURL(r)
	if err != nil {
		return mailmanager.ImportJob{}, err
	}
	job := mailmanager.ImportJob{
		JobId:              (*mailmanager.JobId)(&r.ID),
		Name:               &record.Name,
		Status:             &record.Status,
		PreSignedUrl:       url,
		ImportedItemsCount: &record.Imported,
		FailedItemsCount:   &record.Failed,
		ImportDataFormat:   &mailmanager.ImportDataFormat{ImportDataType: &record.Format},
		AddressListId:      (*mailmanager.AddressListId)(&record.ListID),
		CreatedTimestamp:   milliseconds(r.Created),
	}
	if record.Started != nil {
		job.StartTimestamp = milliseconds(*record.Started)
	}
	if record.Completed != nil {
		job.CompletedTimestamp = milliseconds(*record.Completed)
	}
	if record.Error != "" {
		job.Error = &record.Error
	}
	return job, nil
}

// getImportJob: Mail Manager, GetAddressListImportJob, with the member FailedItemsUrl of ours: where the list of bad rows is.
func (c *Control) getImportJob(ctx context.Context, scope Scope, in *mailmanager.GetAddressListImportJobRequest) (*mailmanager.GetAddressListImportJobResponse, error) {
	r, record, err := c.importJob(ctx, scope, *in.JobId)
	if err != nil {
		return nil, err
	}
	job, err := c.showJob(r)
	if err != nil {
		return nil, err
	}
	out := &mailmanager.GetAddressListImportJobResponse{
		JobId: job.JobId, Name: job.Name, Status: job.Status, PreSignedUrl: job.PreSignedUrl,
		ImportedItemsCount: job.ImportedItemsCount, FailedItemsCount: job.FailedItemsCount,
		ImportDataFormat: job.ImportDataFormat, AddressListId: job.AddressListId,
		CreatedTimestamp: job.CreatedTimestamp, StartTimestamp: job.StartTimestamp, CompletedTimestamp: job.CompletedTimestamp,
		Error: job.Error,
	}
	if record.Failed > 0 {
		out.FailedItemsUrl, err = c.sign(objects.Get, jobObject(r.Key, failedRowsName), c.now().Add(failedItemsLifetime))
	}
	return out, err
}

// listImportJobs: Mail Manager, ListAddressListImportJobs.
func (c *Control) listImportJobs(ctx context.Context, scope Scope, in *mailmanager.ListAddressListImportJobsRequest) (*mailmanager.ListAddressListImportJobsResponse, error) {
	r, err := c.addressList(ctx, scope, *in.AddressListId)
	if err != nil {
		return nil, err
	}
	l := listing{scope: scope, kind: kindImportJob.store, operation: "ListAddressListImportJobs/" + r.ID, token: in.NextToken, size: pageSize(in.PageSize),
		uses: store.Reference{Kind: kindAddressList.store, ID: r.ID}}
	jobs, next, err := list(ctx, c, l, c.showJob)
	return &mailmanager.ListAddressListImportJobsResponse{ImportJobs: jobs, NextToken: next}, err
}

// startImportJob: Mail Manager, StartAddressListImportJob. One job of a list runs at a time (Mail Manager, F13).
func (c *Control) startImportJob(ctx context.Context, scope Scope, in *mailmanager.StartAddressListImportJobRequest) (*mailmanager.StartAddressListImportJobResponse, error) {
	id := string(*in.JobId)
	if err := kindImportJob.checkID(id); err != nil {
		return nil, err
	}
	c.imports.starts.Lock()
	defer c.imports.starts.Unlock()
	key := kindImportJob.key(scope, id)
	err := c.changeJob(ctx, key, func(record *importRecord) (func(), error) {
		list := record.listKey(scope)
		switch {
		case !record.startable():
			return nil, mailmanager.Errorf(mailmanager.CodeConflict, "The import job %s is %s", id, record.Status)
		case c.imports.isUploading(key): // and none is admitted before the change is there: the job is locked
			return nil, mailmanager.Errorf(mailmanager.CodeConflict, "The file of the import job %s is being uploaded", id)
		case c.imports.isFilling(list):
			return nil, mailmanager.Errorf(mailmanager.CodeConflict, "Another import job of the address list %s is running", list.ID)
		}
		now := c.now()
		record.Status = mailmanager.ImportJobStatusProcessing
		if record.Started == nil {
			record.Started, record.Place.ChunkRows = &now, c.imports.chunk
		}
		return func() { c.imports.add(importTask{job: key, list: list, since: now}) }, nil
	})
	return &mailmanager.StartAddressListImportJobResponse{}, err
}

// stopImportJob: Mail Manager, StopAddressListImportJob. What was brought in stays.
func (c *Control) stopImportJob(ctx context.Context, scope Scope, in *mailmanager.StopAddressListImportJobRequest) (*mailmanager.StopAddressListImportJobResponse, error) {
	id := string(*in.JobId)
	if err := kindImportJob.checkID(id); err != nil {
		return nil, err
	}
	key := kindImportJob.key(scope, id)
	err := c.changeJob(ctx, key, func(record *importRecord) (func(), error) {
		if record.Status != mailmanager.ImportJobStatusProcessing {
			return nil, mailmanager.Errorf(mailmanager.CodeConflict, "The import job %s is %s", id, record.Status)
		}
		record.Status = mailmanager.ImportJobStatusStopped
		return func() { c.imports.drop(key) }, nil
	})
	return &mailmanager.StopAddressListImportJobResponse{}, err
}

// changeJob changes a job. edit returns what is to be done once it is stored.
func (c *Control) changeJob(ctx context.Context, key store.Key, edit func(*importRecord) (publish func(), err error)) error {
	return c.update(ctx, kindImportJob, key, func(r store.Resource) (d draft, err error) {
		record, err := decode[importRecord](r.Key, r.Body)
		if err != nil {
			return d, err
		}
		if d.publish, err = edit(&record); err != nil {
			return d, err
		}
		r.Modified = c.now()
		if r.Body, err = encode(record); err != nil {
			return d, err
		}
		d.Resource = r
		return d, nil
	})
}

// deleteJobs removes the jobs of a list that is about to go. None of them is running.
func (c *Control) deleteJobs(ctx context.Context, list store.Key) error {
	for {
		jobs, err := c.cfg.Store.List(ctx, store.Page{
			Scope: list.Scope, Kind: kindImportJob.store, N: defaultPageSize,
			Uses: store.Reference{Kind: list.Kind, ID: list.ID},
		})
		if err != nil || len(jobs) == 0 {
			return err
		}
		for _, job := range jobs {
			if err := c.deleteJob(ctx, job.Key); err != nil {
				return err
			}
		}
	}
}

func (c *Control) deleteJob(ctx context.Context, job store.Key) error {
	if err := c.remove(ctx, kindImportJob, job, func(Key) {}); err != nil {
		return err
	}
	return c.deleteObjects(ctx, job, uploadName, failedRowsName)
}

func (c *Control) deleteObjects(ctx context.Context, job store.Key, names ...string) error {
	if c.cfg.Objects == nil {
		return nil
	}
	for _, name := range names {
		if err := c.cfg.Objects.Delete(ctx, jobObject(job, name)); err != nil {
			return err
		}
	}
	return nil
}

// AdmitUpload reports whether the file of a job may be put now: until the job has started. done is called once it is there, or
// will not be; the job does not start before. The key is one that a signed URL was made for.
func (c *Control) AdmitUpload(ctx context.Context, key string) (done func(), err error) {
	job, name, ok := jobOfObject(key)
	if !ok || name != uploadName {
		return nil, errors.New("the object is no file of an import job")
	}
	defer c.locks.lock(job)()
	r, err := c.cfg.Store.Get(ctx, job)
	if errors.Is(err, store.ErrNotFound) {
		return nil, errors.New("the import job is not there any more")
	}
	if err != nil {
		return nil, errors.New("the import job cannot be read now")
	}
	record, err := decode[importRecord](r.Key, r.Body)
	if err != nil || record.Status != mailmanager.ImportJobStatusCreated {
		return nil, errors.New("the import job has been started")
	}
	if err := c.checkFiles(ctx, job); err != nil {
		return nil, err
	}
	if done, ok := c.imports.upload(job); ok {
		return done, nil
	}
	return nil, fmt.Errorf("%d files of the account are being uploaded; try again when one of them is there", uploadsOfAccount)
}

// checkFiles refuses a file of a job when those of other jobs have all the room that an account may take.
func (c *Control) checkFiles(ctx context.Context, job store.Key) error {
	waiting, most, own := 0, c.limits(job.Account).ImportFiles, jobObject(job, uploadName)
	for page := (objects.Info{}); ; {
		found, err := c.cfg.Objects.List(ctx, importFolder+job.Account+"/"+job.Region+"/", page.Key, sweepPage)
		if err != nil {
			return errors.New("the files of the account cannot be counted now")
		}
		for _, page = range found {
			if strings.HasSuffix(page.Key, uploadName) && page.Key != own {
				waiting++
			}
		}
		if waiting >= most {
			return fmt.Errorf("%d files wait for their jobs, which is the quota waiting_import_files: start their jobs, or delete their lists", waiting)
		}
		if len(found) < sweepPage {
			return nil
		}
	}
}
