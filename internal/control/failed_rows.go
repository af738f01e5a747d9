package control

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"

	"sluice/internal/objects"
)

// maxFailedRows is how many bad rows of an import are listed with their reasons; all are counted.
const maxFailedRows = 10_000

// failedRows are the bad rows of an import: which, and why. Nothing of a row itself is in them: what a spreadsheet would take for
// a formula, and addresses, stay where they came from (S39).
type failedRows struct {
	reasons []failedRow
	more    bool
}

type failedRow struct {
	number int
	why    string
}

func (f *failedRows) add(number int, why string) {
	if len(f.reasons) == maxFailedRows {
		f.more = true
		return
	}
	f.reasons = append(f.reasons, failedRow{number, why})
}

// load reads the list that a job has left, as far as the job is done; what it said of rows behind that will be found again.
func (f *failedRows) load(ctx context.Context, from objects.Store, key string, job *importRecord) error {
	if job.Failed == 0 {
		return nil
	}
	file, _, err := from.Get(ctx, key, 0)
	if errors.Is(err, objects.ErrNotFound) {
		return nil // it has expired
	}
	if err != nil {
		return fmt.Errorf("read the bad rows: %w", err)
	}
	defer file.Close() // it is only read
	rows := csv.NewReader(file)
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			f.more = int(job.Failed) > len(f.reasons)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the bad rows: %w", err)
		}
		if number, err := strconv.Atoi(row[0]); err == nil && number <= job.Place.File.Row { // neither the header nor the last line
			f.add(number, row[1])
		}
	}
}

// put writes the list, as CSV with a header.
func (f *failedRows) put(ctx context.Context, to objects.Store, key string) error {
	var b bytes.Buffer
	w := csv.NewWriter(&b) // into memory, which does not fail
	_ = w.Write([]string{"row", "reason"})
	for _, row := range f.reasons {
		_ = w.Write([]string{strconv.Itoa(row.number), row.why})
	}
	if f.more {
		_ = w.Write([]string{"", fmt.Sprintf("There are more; the first %d are listed", maxFailedRows)})
	}
	w.Flush()
	if _, err := to.Put(ctx, key, &b); err != nil {
		return fmt.Errorf("list the bad rows: %w", err)
	}
	return nil
}
