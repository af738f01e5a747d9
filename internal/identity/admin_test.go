package identity_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/admin"
	"sluice/internal/identity"
)

// Every operation of the admin API has a row, and there is no row of none: one without would be about no resource.
func TestAdminTableIsComplete(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(admin.New(admin.Config{}).Operations(), identity.AdminRows()); diff != "" {
		t.Errorf("(-operations +rows):\n%s", diff)
	}
}
