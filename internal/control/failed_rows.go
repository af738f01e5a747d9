package control

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
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
