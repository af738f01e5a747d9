package conform_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

var update = flag.Bool("update", false, "write the tables in docs/conformance.md")

const (
	documentPath = root + "/docs/conformance.md"
	begin        = "<!-- The table of %s is made by make generate, from internal/conform and the tests. -->\n"
	end          = "<!-- End of the table of %s. -->\n"
)

// TestDocument holds that the tables of docs/conformance.md are what the lists and the tests say. With -update it writes
// them. A row that no test proves and that waits for nothing fails it, and so does one that waits for what is there.
func TestDocument(t *testing.T) {
	t.Parallel()
	found := readProofs(t)
	document, err := os.ReadFile(documentPath)
	if err != nil {
		t.Fatal(err)
	}
	text := replace(t, string(document), "operations", operations(t, found))
	text = replace(t, text, "behaviours", behaviours(t, found))
	switch {
	case text == string(document):
	case !*update:
		t.Error("the tables of docs/conformance.md are not what the tests say: run make generate")
	default:
		if err := os.WriteFile(documentPath, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// replace puts a table in its place in a document.
func replace(t *testing.T, document, name, table string) string {
	t.Helper()
	from, to := fmt.Sprintf(begin, name), fmt.Sprintf(end, name)
	before, rest, ok := strings.Cut(document, from)
	_, after, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of %s", documentPath, name)
	}
	return before + from + table + to + after
}

// tally counts the rows of a table.
type tally struct{ proved, due int }

// row is the cell of an id that says what proves it, or what it waits for.
func (c *tally) row(t *testing.T, found proofs, id, due string) string {
	t.Helper()
	proved := found.cell(id)
	switch {
	case proved != "" && due != "":
		t.Errorf("%s waits for nothing any more: %s. Remove its Due in internal/conform", id, proved)
	case proved == "" && due == "":
		t.Errorf("%s: no test calls conform.Check(t, %q), and internal/conform does not say what it waits for", id, id)
		return ""
	case proved == "":
		c.due++
		return "not yet: " + due
	}
	c.proved++
	return proved
}

func operations(t *testing.T, found proofs) string {
	t.Helper()
	var rows strings.Builder
	var count tally
	for _, op := range conform.Operations() {
		state := "implemented"
		if op.Due != "" {
			state = "501"
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", op.Resource, op.Name, state, count.row(t, found, op.Name, op.Due))
	}
	t.Logf("operations: %d proved, %d not yet", count.proved, count.due)
	return fmt.Sprintf("%d operations are implemented, %d are not yet.\n\n| Resource | Operation | State | Proved by |\n|---|---|---|---|\n%s",
		count.proved, count.due, &rows)
}

func behaviours(t *testing.T, found proofs) string {
	t.Helper()
	var rows strings.Builder
	var count tally
	for _, b := range conform.Behaviours() {
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", b.ID, b.Title, count.row(t, found, b.ID, b.Due))
	}
	t.Logf("behaviours: %d proved, %d not yet", count.proved, count.due)
	return fmt.Sprintf("Tests prove %d of them; %d are not yet due.\n\n| Id | Subject | Proved by |\n|---|---|---|\n%s", count.proved, count.due, &rows)
}

// TestListsAreWhole holds that the list of operations is the model's, and that of ids has no gap and nothing twice.
func TestListsAreWhole(t *testing.T) {
	t.Parallel()
	var listed, modelled []string
	for _, op := range conform.Operations() {
		listed = append(listed, op.Name)
	}
	for _, op := range mailmanager.Operations() {
		modelled = append(modelled, op.Name)
	}
	slices.Sort(listed)
	slices.Sort(modelled)
	if !slices.Equal(listed, modelled) {
		t.Errorf("the operations are not those of the model:\n%v\n%v", listed, modelled)
	}
	var ids, want []string
	for _, b := range conform.Behaviours() {
		ids = append(ids, b.ID)
	}
	for _, part := range []struct {
		letter string
		last   int
	}{{"A", 30}, {"B", 21}, {"C", 8}, {"D", 20}, {"E", 21}, {"F", 21}} {
		for i := range part.last {
			want = append(want, fmt.Sprint(part.letter, i+1))
		}
	}
	want = slices.DeleteFunc(want, func(id string) bool { return id == "B5" }) // there is none
	if !slices.Equal(ids, want) {
		t.Errorf("the ids are %v, want %v", ids, want)
	}
}
