package pgcluster_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"sluice/test/peers/pgcluster"
)

func TestAClusterIsGoneWithItsTest(t *testing.T) {
	t.Parallel()
	var cluster *pgcluster.Cluster
	passed := t.Run("its test", func(t *testing.T) {
		cluster = pgcluster.Start(t)
		first, again, other := cluster.Namespace(t, "a"), pgcluster.Join(cluster.Folder()).Namespace(t, "a"), cluster.Namespace(t, "b")
		if first != again || first == other {
			t.Errorf("got the addresses %s, %s and of another %s", first, again, other)
		}
		conn, err := pgx.Connect(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var synced string
		if err := conn.QueryRow(t.Context(), `SHOW fsync`).Scan(&synced); err != nil || synced != "on" {
			t.Errorf("got fsync %s, %v", synced, err)
		}
		if _, err := conn.Exec(t.Context(), `CREATE TABLE t ()`); err != nil {
			t.Errorf("a table in a namespace: %v", err)
		}
	})
	if !passed || cluster == nil {
		t.SkipNow() // it said why
	}
	if _, err := os.Stat(cluster.Folder()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its folder is there still: %v", err)
	}
	if _, err := pgx.Connect(t.Context(), cluster.Address()); err == nil {
		t.Error("its server answers still")
	}
}
