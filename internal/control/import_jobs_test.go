package control_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/objects"
	"sluice/internal/objects/files"
	"sluice/internal/store"
	"sluice/test/harness"
)

// slowObjects are objects of which reading waits at a gate, when there is one.
type slowObjects struct {
	objects.Store
	gate chan struct{}
}

// Get implements objects.Store. What it opens gives some rows, and the rest once the gate is open.
func (s *slowObjects) Get(ctx context.Context, key string, from int64) (io.ReadCloser, objects.Info, error) {
	file, info, err := s.Store.Get(ctx, key, from)
	if err == nil && s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, info, ctx.Err()
		}
	}
	return file, info, err
}

// withObjects gives a control plane objects in memory, whose clock is its own.
func withObjects(t *testing.T, gate chan struct{}) func(*control.Config) {
	return func(c *control.Config) {
		store := files.New(files.Config{FS: vfs.NewMem(), Folder: "objects", Key: []byte("a key of tests"), Now: c.Now,
			URL: func() string { return "http://127.0.0.1:4579" }})
		c.Objects = &slowObjects{store, gate}
	}
}

// importJob makes a job and returns its id.
func (p *plane) importJob(list string, format mailmanager.ImportDataType) string {
	p.Helper()
	in := &mailmanager.CreateAddressListImportJobRequest{AddressListId: (*mailmanager.AddressListId)(&list), Name: ptr(mailmanager.JobName("job")),
		ImportDataFormat: &mailmanager.ImportDataFormat{ImportDataType: &format}}
	return string(*do[mailmanager.CreateAddressListImportJobResponse](p, "CreateAddressListImportJob", in).JobId)
}

// upload puts a job's file, as the handler of signed URLs does.
func (p *plane) upload(job, content string) {
	p.Helper()
	key := uploadKey(job)
	done, err := p.AdmitUpload(p.Context(), key)
	if err != nil {
		p.Fatal(err)
	}
	defer done()
	if _, err := p.config.Objects.Put(p.Context(), key, strings.NewReader(content)); err != nil {
		p.Fatal(err)
	}
}

func uploadKey(job string) string {
	return "imports/" + home.Account + "/" + home.Region + "/" + job + "/file"
}

func startJob(job string) *mailmanager.StartAddressListImportJobRequest {
	return &mailmanager.StartAddressListImportJobRequest{JobId: (*mailmanager.JobId)(&job)}
}

func stopJob(job string) *mailmanager.StopAddressListImportJobRequest {
	return &mailmanager.StopAddressListImportJobRequest{JobId: (*mailmanager.JobId)(&job)}
}

func (p *plane) start(job string) {
	p.Helper()
	do[mailmanager.StartAddressListImportJobResponse](p, "StartAddressListImportJob", startJob(job))
}

func (p *plane) job(id string) *mailmanager.GetAddressListImportJobResponse {
	p.Helper()
	return do[mailmanager.GetAddressListImportJobResponse](p, "GetAddressListImportJob", &mailmanager.GetAddressListImportJobRequest{JobId: (*mailmanager.JobId)(&id)})
}

// ended waits until a job is not PROCESSING any more.
func (p *plane) ended(id string) *mailmanager.GetAddressListImportJobResponse {
	p.Helper()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if job := p.job(id); *job.Status != mailmanager.ImportJobStatusProcessing {
			return job
		}
		if time.Now().After(deadline) {
			p.Fatalf("job %s does not end", id)
		}
	}
}

// left waits until so many objects are left: the file goes once its job has ended.
func (p *plane) left(n int) {
	p.Helper()
	for deadline := time.Now().Add(time.Minute); ; runtime.Gosched() {
		left, err := p.config.Objects.List(p.Context(), "imports/", "", 10)
		if err != nil || time.Now().After(deadline) {
			p.Fatalf("got %v, %v left, want %d", left, err, n)
		}
		if len(left) == n {
			return
		}
	}
}

func TestImportJobs(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F13")
	const both = "a@example.org,b@example.org"
	tests := []struct {
		name             string
		format           mailmanager.ImportDataType
		file             string
		want             string // members
		imported, failed int32
		failure          string // part of the job's error
	}{
		{"CSV", "CSV", "address\na@example.org\nb@example.org\n", both, 2, 0, ""},
		{"CSV without a header", "CSV", "a@example.org\nb@example.org\n", both, 2, 0, ""},
		{"CSV with a byte order mark and CRLF", "CSV", "\ufeffaddress\r\na@example.org\r\nb@example.org\r\n", both, 2, 0, ""},
		{"the same row twice", "CSV", "a@example.org\nA@example.org\nb@example.org", both, 3, 0, ""},
		{"bad rows", "CSV", "address\n=cmd|'/C calc'!A0\na@example.org\n@SUM(1+1)\nb@example.org\nnobody at all\n", both, 2, 3, ""},
		{"an empty file", "CSV", "", "", 0, 0, ""},
		{"JSON of items", "JSON", `{"items":[{"address":"a@example.org"},{"address":"b@example.org"}]}`, both, 2, 0, ""},
		{"JSON, a list alone", "JSON", `[{"address":"a@example.org"},{"address":"b@example.org"},{"address":"x"}]`, both, 2, 1, ""},
		{"JSON that ends early", "JSON", `{"items":[{"address":"a@example.org"},`, "a@example.org", 1, 0, "JSON"},
		{"CSV where JSON is said", "JSON", "address\na@example.org\n", "", 0, 0, "JSON"},
		{"no file", "CSV", "-", "", 0, 0, "No file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t, withObjects(t, nil))
			list := p.addressList("list")
			id := p.importJob(list, test.format)
			if test.file != "-" {
				p.upload(id, test.file)
			}
			p.start(id)
			job := p.ended(id)
			status := mailmanager.ImportJobStatusCompleted
			if test.failure != "" {
				status = mailmanager.ImportJobStatusFailed
			}
			if *job.Status != status || !strings.Contains(mailmanager.Value((*string)(job.Error)), test.failure) {
				t.Errorf("got %s, want %s because of %s", text(t, job), status, test.failure)
			}
			if *job.ImportedItemsCount != test.imported || *job.FailedItemsCount != test.failed {
				t.Errorf("got %s, want %d imported and %d failed", text(t, job), test.imported, test.failed)
			}
			if got := strings.Join(p.members(list, "", 10), ","); got != test.want {
				t.Errorf("got the members %s, want %s", got, test.want)
			}
			for _, address := range strings.Split(test.want, ",") {
				if address != "" && !p.isIn(list, address) {
					t.Errorf("%s does not count", address)
				}
			}
			if (job.FailedItemsUrl != nil) != (test.failed > 0) {
				t.Errorf("got the list of bad rows %v", job.FailedItemsUrl)
			}
			p.left(min(int(test.failed), 1)) // the list of bad rows at most
		})
	}
}

// TestS39BadRows: nothing of a bad row comes back, whatever a spreadsheet would make of it.
func TestS39BadRows(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil))
	id := p.importJob(p.addressList("list"), "CSV")
	p.upload(id, "address\n=HYPERLINK(\"http://evil.example\")\n\"+1\n2\"\n-1+1@\n@SUM(A1)\n\"a\",\"b\"\n"+strings.Repeat("x", 1<<20)+"\na@example.org\n")
	p.start(id)
	if job := p.ended(id); *job.Status != mailmanager.ImportJobStatusCompleted || *job.ImportedItemsCount != 1 {
		t.Fatalf("got %s", text(t, job))
	}
	file, _, err := p.config.Objects.Get(t.Context(), strings.TrimSuffix(uploadKey(id), "file")+"failed.csv", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	list, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(list)), "\n") {
		if i > 0 && (line[0] < '0' || line[0] > '9') || strings.Contains(line, "evil") || len(line) > 200 {
			t.Errorf("line %d of the bad rows: %q", i, line)
		}
	}
}

// TestRunningJob holds what may not be done while a job runs, and what may once it was stopped.
func TestRunningJob(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A7", "F13")
	gate := make(chan struct{})
	p := newPlane(t, withObjects(t, gate))
	list := p.addressList("list")
	first, second := p.importJob(list, "CSV"), p.importJob(list, "CSV")
	p.upload(first, "a@example.org\n")
	wantCode(t, p.refused(home, "StopAddressListImportJob", stopJob(first)), mailmanager.CodeConflict, "CREATED")
	p.start(first)
	wantCode(t, p.refused(home, "StartAddressListImportJob", startJob(first)), mailmanager.CodeConflict, "PROCESSING")
	wantCode(t, p.refused(home, "StartAddressListImportJob", startJob(second)), mailmanager.CodeConflict, "running")
	wantCode(t, p.refused(home, "DeleteAddressList", deleteAddressList(list)), mailmanager.CodeConflict, "running")
	if _, err := p.AdmitUpload(t.Context(), uploadKey(first)); err == nil {
		t.Error("the file of a job that runs may be put again")
	}
	do[mailmanager.StopAddressListImportJobResponse](p, "StopAddressListImportJob", stopJob(first))
	if status := *p.job(first).Status; status != mailmanager.ImportJobStatusStopped {
		t.Errorf("got %s, want STOPPED", status)
	}
	p.start(first)
	p.restart() // a job that was PROCESSING goes on
	p.Start(t.Context())
	close(gate)
	if job := p.ended(first); *job.Status != mailmanager.ImportJobStatusCompleted || *job.ImportedItemsCount != 1 {
		t.Errorf("got %s, want it COMPLETED", text(t, job))
	}
	wantCode(t, p.refused(home, "StartAddressListImportJob", startJob(first)), mailmanager.CodeConflict, "COMPLETED")
	do[mailmanager.DeleteAddressListResponse](p, "DeleteAddressList", deleteAddressList(list))
	wantCode(t, p.refused(home, "StartAddressListImportJob", startJob(second)), mailmanager.CodeResourceNotFound)
}

// brokenObjects are objects whose files cannot be read beyond an octet, when there is one. They note from where files are read.
type brokenObjects struct {
	objects.Store
	mu    sync.Mutex
	end   int64 // 0: of the file
	froms []int64
}

// Get implements objects.Store.
func (b *brokenObjects) Get(ctx context.Context, key string, from int64) (io.ReadCloser, objects.Info, error) {
	file, info, err := b.Store.Get(ctx, key, from)
	if err != nil || !strings.HasSuffix(key, "/file") {
		return file, info, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.froms = append(b.froms, from)
	if b.end == 0 {
		return file, info, nil
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(file, b.end-from), iotest.ErrReader(io.ErrClosedPipe)), file}, info, nil
}

// TestImportGoesOn breaks off in the third chunk of a file. The job that goes on reads the chunks that are done no more, and lists
// the bad rows of all, each once.
func TestImportGoesOn(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F13")
	for format, parts := range map[mailmanager.ImportDataType][2]string{"CSV": {"name,address\n", "\n"}, "JSON": {`{"version":1,"items":[`, `]}`}} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			broken := &brokenObjects{}
			p := newPlane(t, withObjects(t, nil), func(c *control.Config) { broken.Store, c.Objects = c.Objects, broken })
			p.ChunkRows(4)
			rows, separator := []string{`N,a@example.org`, `N,b@example.org`, `N,no address`, `N,c@example.org`, `N,d@example.org`, `N,`, `N,e@example.org`, `N,f@example.org`, `N,no address`, `N,g@example.org`}, "\n"
			if format == "JSON" {
				separator = ","
				for i, row := range rows {
					rows[i] = `{"address":"` + strings.TrimPrefix(row, "N,") + `"}`
				}
			}
			half := parts[0] + strings.Join(rows[:8], separator)
			list := p.addressList("list")
			id := p.importJob(list, format)
			p.upload(id, parts[0]+strings.Join(rows, separator)+parts[1])
			broken.end = int64(len(half)) + 20 // in the row after next
			p.start(id)
			harness.Eventually(t, "two chunks are done", func() bool { return *p.job(id).FailedItemsCount == 2 })
			if job := p.job(id); *job.ImportedItemsCount != 6 || *job.Status != mailmanager.ImportJobStatusProcessing {
				t.Errorf("got %s", text(t, job))
			}
			broken.mu.Lock()
			broken.end = 0
			broken.mu.Unlock()
			p.restart()
			p.Start(t.Context())
			if job := p.ended(id); *job.Status != mailmanager.ImportJobStatusCompleted || *job.ImportedItemsCount != 7 || *job.FailedItemsCount != 3 {
				t.Errorf("got %s", text(t, job))
			}
			if got := strings.Join(p.members(list, "", 10), ","); got != "a@example.org,b@example.org,c@example.org,d@example.org,e@example.org,f@example.org,g@example.org" {
				t.Errorf("got the members %s", got)
			}
			if last := broken.froms[len(broken.froms)-1]; last < int64(len(half)) {
				t.Errorf("the file was read from octets %d, want from %d on", broken.froms, len(half))
			}
			if got, want := p.badRows(id), badRowsWanted[format]; !slices.Equal(got, want) {
				t.Errorf("got the bad rows %q, want %q", got, want)
			}
		})
	}
}

// TestImportOfAnEarlierBuild: a job that an earlier build has left in the middle begins anew, and passes over no member.
func TestImportOfAnEarlierBuild(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil))
	list := p.addressList("list")
	id := p.importJob(list, "CSV")
	p.upload(id, "z@example.org\na@example.org\nb@example.org\n")
	p.reopen(func(s store.Store) store.Store {
		r, err := s.Get(t.Context(), store.Key{Scope: store.Scope(home), Kind: "import-job", ID: id})
		if err != nil {
			t.Fatal(err)
		}
		var record map[string]any
		if err := json.Unmarshal(r.Body, &record); err != nil {
			t.Fatal(err)
		}
		delete(record, "At")
		record["Status"], record["Started"] = "PROCESSING", "2026-11-22T10:00:00Z"
		record["Place"] = map[string]any{"ChunkRows": 1, "Rows": 1, "Imported": 1, "After": "m@example.org"}
		if r.Body, err = json.Marshal(record); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), store.Change{Resource: r}); err != nil {
			t.Fatal(err)
		}
		return s
	})
	p.Start(t.Context())
	if job := p.ended(id); *job.Status != mailmanager.ImportJobStatusCompleted || *job.ImportedItemsCount != 3 {
		t.Errorf("got %s", text(t, job))
	}
	if got := strings.Join(p.members(list, "", 10), ","); got != "a@example.org,b@example.org,z@example.org" {
		t.Errorf("got the members %s", got)
	}
}

// badRowsWanted are the numbers of the bad rows: in CSV those of the lines.
var badRowsWanted = map[mailmanager.ImportDataType][]string{"CSV": {"4", "7", "10"}, "JSON": {"3", "6", "9"}}

// badRows are the numbers of the bad rows that a job lists.
func (p *plane) badRows(id string) (numbers []string) {
	p.Helper()
	file, _, err := p.config.Objects.Get(p.Context(), strings.TrimSuffix(uploadKey(id), "file")+"failed.csv", 0)
	if err != nil {
		p.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		p.Fatal(err)
	}
	for _, row := range rows[1:] {
		numbers = append(numbers, row[0])
	}
	return numbers
}

// TestStartWhileUploading: a job does not start on a file that is still coming, also when that was admitted at the same moment.
func TestStartWhileUploading(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil))
	id := p.importJob(p.addressList("list"), "CSV")
	done, err := p.AdmitUpload(t.Context(), uploadKey(id))
	if err != nil {
		t.Fatal(err)
	}
	wantCode(t, p.refused(home, "StartAddressListImportJob", startJob(id)), mailmanager.CodeConflict, "being uploaded")
	done()
	refusal := make(chan error)
	done = p.Admitting(home, id, func() {
		_, err := p.call(home, "StartAddressListImportJob", startJob(id))
		refusal <- err
	})
	wantCode(t, <-refusal, mailmanager.CodeConflict, "being uploaded")
	done()
	p.upload(id, "a@example.org\n")
	p.start(id)
	if job := p.ended(id); *job.ImportedItemsCount != 1 {
		t.Errorf("got %s", text(t, job))
	}
}

// TestS42Uploads: an account that uploads as much as it can leaves room for others.
func TestS42Uploads(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil))
	list := p.addressList("list")
	var ends []func()
	for range 20 {
		if done, err := p.AdmitUpload(t.Context(), uploadKey(p.importJob(list, "CSV"))); err == nil {
			ends = append(ends, done)
		}
	}
	if len(ends) != 8 {
		t.Errorf("%d uploads of 20 were admitted, want 8", len(ends))
	}
	for _, done := range ends {
		done()
	}
	if done, err := p.AdmitUpload(t.Context(), uploadKey(p.importJob(list, "CSV"))); err != nil {
		t.Errorf("got %v once the others were there", err)
	} else {
		done()
	}
}

// unreadable are objects of which one cannot be read.
type unreadable struct {
	objects.Store
	key string
}

// Get implements objects.Store.
func (u *unreadable) Get(ctx context.Context, key string, from int64) (io.ReadCloser, objects.Info, error) {
	if key == u.key {
		return nil, objects.Info{}, errors.New("input/output error")
	}
	return u.Store.Get(ctx, key, from)
}

// TestFileThatCannotBeRead: a job that fails again and again keeps no other from running.
func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil))
	p.restart() // without a worker
	broken, other := p.importJob(p.addressList("one"), "CSV"), p.importJob(p.addressList("two"), "CSV")
	for _, id := range []string{broken, other} {
		p.upload(id, "a@example.org\n")
		p.start(id)
		p.clock.advance(time.Second)
	}
	p.stop()
	p.config.Objects = &unreadable{p.config.Objects, uploadKey(broken)}
	p.open()
	if err := p.RunImport(t.Context()); err == nil {
		t.Error("got no error of the file that cannot be read")
	}
	if err := p.RunImport(t.Context()); err != nil {
		t.Errorf("the other job: %v", err)
	}
	if status := *p.job(other).Status; status != mailmanager.ImportJobStatusCompleted {
		t.Errorf("the other job is %s", status)
	}
	if status := *p.job(broken).Status; status != mailmanager.ImportJobStatusProcessing {
		t.Errorf("the job whose file cannot be read is %s", status)
	}
}

// TestFilesThatWait: an account may leave so many files lying about, and no more; one that is put again, or has been read, is none more.
func TestFilesThatWait(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil), limits(control.Limits{ImportFiles: 2}))
	list := p.addressList("list")
	first, second, third := p.importJob(list, "CSV"), p.importJob(list, "CSV"), p.importJob(list, "CSV")
	for _, job := range []string{first, second, second} {
		p.upload(job, "a@example.org\nno address\n")
	}
	if _, err := p.AdmitUpload(t.Context(), uploadKey(third)); err == nil || !strings.Contains(err.Error(), "waiting_import_files") {
		t.Errorf("a third file: got %v", err)
	}
	p.start(first)
	p.ended(first)
	p.left(2) // its list of bad rows, and the second file
	p.upload(third, "b@example.org\n")
}

// TestUploadURL: a URL stays what it was, also when its time is over, and the job is listed with it.
func TestUploadURL(t *testing.T) {
	t.Parallel()
	conform.Check(t, "F14")
	p := newPlane(t, withObjects(t, nil))
	list := p.addressList("list")
	id := p.importJob(list, "CSV")
	url := *p.job(id).PreSignedUrl
	if !strings.HasPrefix(string(url), "http://127.0.0.1:4579/") {
		t.Errorf("got %s", url)
	}
	p.clock.advance(25 * time.Hour)
	if again := *p.job(id).PreSignedUrl; again != url {
		t.Errorf("got %s, then %s", url, again)
	}
	jobs := do[mailmanager.ListAddressListImportJobsResponse](p, "ListAddressListImportJobs",
		&mailmanager.ListAddressListImportJobsRequest{AddressListId: (*mailmanager.AddressListId)(&list)})
	if len(jobs.ImportJobs) != 1 || *jobs.ImportJobs[0].PreSignedUrl != url {
		t.Errorf("got %s", text(t, jobs))
	}
}

// TestImportBeyondTheQuota brings in what there is room for, and says what there is none for.
func TestImportBeyondTheQuota(t *testing.T) {
	t.Parallel()
	p := newPlane(t, withObjects(t, nil), limits(control.Limits{AddressesPerList: 100}))
	list := p.addressList("list")
	id := p.importJob(list, "CSV")
	var file strings.Builder
	for n := range 130 {
		fmt.Fprintf(&file, "u%03d@example.org\n", n)
	}
	file.WriteString("nobody at all\n")
	p.upload(id, file.String())
	p.start(id)
	job := p.ended(id)
	if *job.FailedItemsCount != 1 || job.FailedItemsUrl == nil {
		t.Errorf("got %s, want the bad row told", text(t, job))
	}
	if *job.Status != mailmanager.ImportJobStatusFailed || *job.ImportedItemsCount != 100 || !strings.Contains(string(*job.Error), "addresses_per_address_list") {
		t.Errorf("got %s", text(t, job))
	}
	if diff := cmp.Diff(100, len(p.members(list, "", 1000))); diff != "" {
		t.Error(diff)
	}
}
