//go:build !fuzzing

package control_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"sluice/internal/store"
	"sluice/internal/store/postgres"
	"sluice/internal/store/sqlite"
	"sluice/test/peers/pgcluster"
)

// openDatabase opens the store of the plane's path, in a file or in PostgreSQL.
func openDatabase(p *plane) (store.Store, error) {
	if folder := os.Getenv(clusterVariable); folder != "" {
		return postgres.Open(context.Background(), pgcluster.Join(folder).Namespace(p, p.path))
	}
	return sqlite.Open(context.Background(), p.path)
}

// clusterVariable says that planes keep their stores in PostgreSQL, and in which folder its socket is.
const clusterVariable = "SLUICE_TEST_CLUSTER"

// notOfTheStore are tests of what is read of requests and decided about sessions: no store makes a difference to it, and they
// would take as long again. Secrets are looked for in the files of the embedded store.
const notOfTheStore = "Password|Rotation|Check|Trust|TLS|Network|Listener|Limit|Profile|Refusals|Appear"

// Nothing in the control plane depends on one database: its tests are run again, in a process of its own whose planes keep
// their stores in PostgreSQL.
func TestOnPostgreSQL(t *testing.T) {
	if os.Getenv(clusterVariable) != "" {
		t.Skip("this is that process")
	}
	t.Parallel()
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^Test", "-test.skip="+notOfTheStore, "-test.timeout=5m")
	again.Env = append(os.Environ(), clusterVariable+"="+pgcluster.Start(t).Folder())
	if output, err := again.CombinedOutput(); err != nil {
		t.Errorf("on PostgreSQL: %v\n%s", err, output)
	}
}
