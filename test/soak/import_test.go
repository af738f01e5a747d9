package soak

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	mm "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"

	"sluice/internal/conform"
	"sluice/test/harness"
	"sluice/test/load/sink"
	"sluice/test/peers/peer"
)

const (
	importWithin = time.Minute // of 1,000,000 rows, on an idle server
	mailRemains  = 0.8         // of the rate of mail while an import runs
	secondShare  = 0.6         // of the file that is read again, of an import that was killed at half
)

// importer fills address lists.
type importer struct {
	*testing.T
	server *harness.Server
	rows   int
	file   string
}

// newImporter writes a file with so many addresses.
func newImporter(t *testing.T, server *harness.Server, rows int) *importer {
	t.Helper()
	peer.Require(t, "curl", "apt-get install curl")
	name := filepath.Join(t.TempDir(), "addresses.csv")
	file, err := os.Create(name)
	must(t, err)
	w := bufio.NewWriter(file)
	for i := range rows {
		_, err := fmt.Fprintf(w, "user-%d@domain-%d.example\n", i*7919%rows, i%5000)
		must(t, err)
	}
	must(t, w.Flush())
	must(t, file.Close())
	return &importer{t, server, rows, name}
}

// start makes a list, uploads the file with curl, as people do, and starts the job that fills the list from it.
func (i *importer) start(list string) (job string) {
	i.Helper()
	ctx, api := i.Context(), i.server.MailManager()
	made, err := api.CreateAddressList(ctx, &mm.CreateAddressListInput{AddressListName: aws.String(list)})
	must(i.T, err)
	created, err := api.CreateAddressListImportJob(ctx, &mm.CreateAddressListImportJobInput{
		AddressListId: made.AddressListId, Name: aws.String("job"), ImportDataFormat: &types.ImportDataFormat{ImportDataType: types.ImportDataTypeCsv},
	})
	must(i.T, err)
	out, err := exec.CommandContext(ctx, "curl", "--silent", "--show-error", "--fail", "-T", i.file, *created.PreSignedUrl).CombinedOutput()
	if err != nil {
		i.Fatalf("%v: %s", err, out)
	}
	_, err = api.StartAddressListImportJob(ctx, &mm.StartAddressListImportJobInput{JobId: created.JobId})
	must(i.T, err)
	return *created.JobId
}

func (i *importer) job(id string) *mm.GetAddressListImportJobOutput {
	i.Helper()
	job, err := i.server.MailManager().GetAddressListImportJob(i.Context(), &mm.GetAddressListImportJobInput{JobId: aws.String(id)})
	must(i.T, err)
	return job
}

// imported is how many rows a job has brought in.
func (i *importer) imported(id string) int {
	i.Helper()
	job := i.job(id)
	if job.FailedItemsCount != nil && *job.FailedItemsCount > 0 {
		i.Fatalf("%d rows were refused", *job.FailedItemsCount)
	}
	return int(aws.ToInt32(job.ImportedItemsCount))
}

// await waits until a job has ended well.
func (i *importer) await(id string) {
	i.Helper()
	harness.Eventually(i.T, "the import has ended", func() bool { return i.job(id).Status != types.ImportJobStatusProcessing })
	if job := i.job(id); job.Status != types.ImportJobStatusCompleted || i.imported(id) != i.rows {
		i.Errorf("got %s with %d rows, want all %d", job.Status, i.imported(id), i.rows)
	}
}

// TestImportWhileMailFlows sends mail as fast as it is taken, before an import, while it runs, and after. The import makes way:
// mail keeps four fifths of its rate. The bound holds for the long form, on a machine with nothing else to do.
func TestImportWhileMailFlows(t *testing.T) {
	conform.Check(t, "F13")
	rows, messages := pick(3_000, 1_000_000), pick(300, 40_000)
	far := startSink(t, sink.Options{})
	server := harness.Start(t, append(quickRetries, "--relay-connections", "20")...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	in := newImporter(t, server, rows)
	flow(t, address, far, "warm", messages/10, 0)
	sent := messages / 10
	run := func(prefix string) float64 {
		rate := flow(t, address, far, prefix, messages, sent)
		sent += messages
		return rate
	}
	before := run("before")
	job := in.start("while-mail-flows")
	during := run("during")
	status, imported := in.job(job).Status, in.imported(job)
	alone := time.Now()
	in.await(job)
	rest := time.Since(alone)
	after := run("after")
	t.Logf("mail before, during and after an import: %.0f, %.0f, %.0f messages/s; %d rows were in while it flowed, and the other %d in %s then",
		before, during, after, imported, rows-imported, rest.Round(time.Millisecond))
	if pick(0, 1) == 0 {
		return
	}
	if status != types.ImportJobStatusProcessing {
		t.Errorf("the import was %s before the mail was through", status)
	}
	if during < mailRemains*(before+after)/2 {
		t.Errorf("got %.0f messages/s during the import, want %.2f of the rate without", during, mailRemains)
	}
}

// TestImportKilled kills the server with half of an import done. The second run reads the rest and no more of what is done than
// the chunk it was in; another import, undisturbed, shows how long one takes.
func TestImportKilled(t *testing.T) {
	conform.Check(t, "F13")
	rows := pick(4_000, 1_000_000)
	in := newImporter(t, harness.Start(t, "--log-level", "info"), rows)
	job := in.start("killed")
	harness.Eventually(t, "half of the rows are in", func() bool { return in.imported(job) >= rows/2 })
	in.server.Kill(t)
	in.server = in.server.Restart(t, "--log-level", "info")
	left := rows - in.imported(job)
	in.await(job)
	from, octets := in.readAgain(job)
	share := float64(octets-from) / float64(octets)
	began := time.Now()
	in.await(in.start("undisturbed"))
	took := time.Since(began)
	t.Logf("killed at half, the second run brought in %d of %d rows and read %.0f %% of the file; undisturbed %d rows take %s", left, rows, 100*share, rows, took.Round(time.Millisecond))
	if pick(0, 1) == 1 && (share >= secondShare || float64(left) >= secondShare*float64(rows) || took > importWithin) {
		t.Errorf("want at most %.0f %% a second time, and %s for a whole import", 100*secondShare, importWithin)
	}
}

var reads = regexp.MustCompile(`"import reads its file".*"job_id":"([^"]+)","from_octet":(\d+),"octets":(\d+)`)

// readAgain is where the server has begun to read a job's file, and how large the file is, as its log says.
func (i *importer) readAgain(job string) (from, octets int64) {
	i.Helper()
	for _, found := range reads.FindAllStringSubmatch(i.server.Log(), -1) {
		if found[1] == job {
			from, _ = strconv.ParseInt(found[2], 10, 64) // both are digits
			octets, _ = strconv.ParseInt(found[3], 10, 64)
		}
	}
	if octets == 0 {
		i.Fatalf("the log does not say where the file of %s was read:\n%s", job, i.server.Log())
	}
	return from, octets
}
