package mailmanager_test

import (
	"os"
	"strings"
	"testing"

	"sluice/internal/mailmanager"
)

// TestConformanceListsEveryOperation keeps the table of operations in docs/conformance.md whole.
func TestConformanceListsEveryOperation(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range mailmanager.Operations() {
		if got := strings.Count(string(document), "| "+op.Name+" | "); got != 1 {
			t.Errorf("%s: got %d rows, want 1", op.Name, got)
		}
	}
}
