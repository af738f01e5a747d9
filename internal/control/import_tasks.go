package control

import (
	"context"
	"strings"
	"sync"
	"time"

	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

// importTask is a job that is PROCESSING.
type importTask struct {
	job, list store.Key
	since     time.Time
}

// importTasks is what the worker of imports is to do, and what is done beside it. The zero value is not ready: init.
type importTasks struct {
	// starts is held while a job is started, or a list deleted: no list has two jobs that run, and none goes while it is filled.
	// It is taken before the lock of any resource.
	starts sync.Mutex

	woken chan struct{} // has room for one: there is something to do
	chunk int           // rows of the chunks of a job that starts

	mu      sync.Mutex
	tasks   map[store.Key]importTask
	running store.Key // the job that the worker is at
	cancel  context.CancelFunc
	uploads map[store.Key]int // of jobs that have not started
}

func (t *importTasks) init() {
	t.chunk = rowsOfAChunk
	t.woken = make(chan struct{}, 1)
	t.tasks, t.uploads = map[store.Key]importTask{}, map[store.Key]int{}
}

// add has a job run.
func (t *importTasks) add(task importTask) {
	t.mu.Lock()
	t.tasks[task.job] = task
	t.mu.Unlock()
	wake(t.woken)
}

// drop takes a job from the worker, which is interrupted when it is at it.
func (t *importTasks) drop(job store.Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.tasks, job)
	if t.running == job && t.cancel != nil {
		t.cancel()
	}
}

// next returns the job that has waited longest, and a context that ends when it is taken away. The caller calls done once it
// has stopped working on the job.
func (t *importTasks) next(ctx context.Context) (task importTask, runCtx context.Context, done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.tasks {
		if !ok || other.since.Before(task.since) {
			task, ok = other, true
		}
	}
	if !ok {
		return task, nil, nil, false
	}
	runCtx, cancel := context.WithCancel(ctx)
	t.running, t.cancel = task.job, cancel
	return task, runCtx, func() {
		cancel()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.running, t.cancel = store.Key{}, nil
	}, true
}

// postpone puts a job behind all others that wait, unless it was taken away.
func (t *importTasks) postpone(job store.Key, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if task, ok := t.tasks[job]; ok {
		task.since = now
		t.tasks[job] = task
	}
}

// isFilling reports whether a job of the list is PROCESSING.
func (t *importTasks) isFilling(list store.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, task := range t.tasks {
		if task.list == list {
			return true
		}
	}
	return false
}

// isProcessing reports whether a job is PROCESSING.
func (t *importTasks) isProcessing(job store.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.tasks[job]
	return ok
}

// upload notes that a job's file is being put, until done is called. It is not ok while the account puts as many as it may.
func (t *importTasks) upload(job store.Key) (done func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	running := 0
	for other, n := range t.uploads { // no more than the server takes at once
		if other.Account == job.Account {
			running += n
		}
	}
	if running >= uploadsOfAccount {
		return nil, false
	}
	t.uploads[job]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.uploads[job]--; t.uploads[job] == 0 {
			delete(t.uploads, job)
		}
	}, true
}

func (t *importTasks) isUploading(job store.Key) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.uploads[job] > 0
}

// loadImportJob has a job go on that was PROCESSING when the last process ended.
func (c *Control) loadImportJob(_ context.Context, r store.Resource) error {
	record, err := decode[importRecord](r.Key, r.Body)
	if err == nil && record.Status == mailmanager.ImportJobStatusProcessing {
		c.imports.add(importTask{job: r.Key, list: record.listKey(r.Scope), since: r.Modified})
	}
	return err
}

// wake tells a worker that there is something to do.
func wake(worker chan<- struct{}) {
	select {
	case worker <- struct{}{}:
	default: // it was told already
	}
}

// ObjectScope is whose an object of an import is, by its key.
func ObjectScope(key string) (Scope, bool) {
	job, _, ok := jobOfObject(key)
	return job.Scope, ok
}

// jobOfObject is the job that an object belongs to, and the object's name, as in jobObject.
func jobOfObject(key string) (job store.Key, name string, ok bool) {
	parts := strings.Split(key, "/")
	const folder, account, region, id, file, all = 0, 1, 2, 3, 4, 5
	if len(parts) != all || parts[folder]+"/" != importFolder || !kindImportJob.validID(parts[id]) {
		return store.Key{}, "", false
	}
	return kindImportJob.key(Scope{Account: parts[account], Region: parts[region]}, parts[id]), "/" + parts[file], true
}
