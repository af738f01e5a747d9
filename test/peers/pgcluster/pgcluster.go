// Package pgcluster runs PostgreSQL for tests: a server of the installed binaries on a cluster of its own, which is gone
// with the test. It listens on a socket in a folder and nowhere else, and syncs what it commits. Start with Start, once for
// the tests of a package: a test takes a namespace of its own in it, at the cost of a statement instead of a database's.
package pgcluster

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"sluice/test/peers/peer"
)

const (
	install = "apt-get install postgresql"

	// patience is how long initdb, and the server's start, may take: both take a second or two.
	patience = time.Minute

	// serverUser is who runs the server when the test is run by root, whom PostgreSQL refuses.
	serverUser = "postgres"
	superuser  = "sluice"
	database   = "postgres"

	// ready is what the server logs once it takes connections.
	ready = "database system is ready to accept connections"
)

// Cluster is a running PostgreSQL. It may be used by many tests at once.
type Cluster struct{ folder string }

// Start makes a cluster and starts it; it is stopped and removed when the test has ended. The test is skipped when
// PostgreSQL is not installed.
func Start(t testing.TB) *Cluster {
	t.Helper()
	binaries := findBinaries(t)
	owner := serverOwner(t)
	// Not t.TempDir: its path is too long for a socket, and root's folders are closed to the server's user.
	folder, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if owner != nil {
		if err := os.Chown(folder, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	c := &Cluster{folder: folder}
	c.initialise(t, binaries, owner)
	c.serve(t, binaries, owner)
	return c
}

// Join uses a cluster that another process has started, by its Folder.
func Join(folder string) *Cluster { return &Cluster{folder: folder} }

// Folder is where the server's socket is.
func (c *Cluster) Folder() string { return c.folder }

// Address is how to reach the cluster, with settings of the connection in pairs of name and value.
func (c *Cluster) Address(settings ...string) string {
	query := url.Values{"host": {c.folder}, "user": {superuser}}
	for i := 0; i < len(settings); i += 2 {
		query.Set(settings[i], settings[i+1])
	}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Namespace returns the address of a namespace for tables: the same one for the same name, empty at first.
func (c *Cluster) Namespace(t testing.TB, name string) (address string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // a cleanup may ask too
	conn, err := pgx.Connect(ctx, c.Address("client_min_messages", "warning"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	const octets = 12 // of the sum, so that two tests do not meet
	sum := sha256.Sum256([]byte(name))
	schema := fmt.Sprintf("t%x", sum[:octets])
	if _, err := conn.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+schema); err != nil {
		t.Fatal(err)
	}
	return c.Address("search_path", schema)
}

// findBinaries returns the folder of the server's programs, which Debian has outside of PATH.
func findBinaries(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	if told, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		folder := strings.TrimSpace(string(told))
		if _, err := os.Stat(filepath.Join(folder, "initdb")); err == nil {
			return folder
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		peer.Require(t, "initdb", install) // says that it is not there
		t.FailNow()
	}
	return filepath.Dir(found[len(found)-1])
}

// serverOwner is who runs the server, nil being whoever runs the test.
func serverOwner(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	account, err := user.Lookup(serverUser)
	if err != nil {
		t.Fatalf("root cannot run PostgreSQL: %v", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

func (c *Cluster) data() string { return filepath.Join(c.folder, "data") }

func (c *Cluster) command(ctx context.Context, owner *syscall.Credential, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true} // an interrupt of the test is not the server's
	return cmd
}

// initialise makes the cluster. Its locale orders texts as people do, and not as octets, as that of others may.
func (c *Cluster) initialise(t testing.TB, binaries string, owner *syscall.Credential) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	output, err := c.command(ctx, owner, filepath.Join(binaries, "initdb"), "--pgdata="+c.data(), "--username="+superuser, "--auth=trust",
		"--no-sync", "--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en").CombinedOutput()
	if err != nil {
		t.Fatalf("initdb: %v\n%s", err, output)
	}
}

// guardian runs a server until its own input ends, which the end of the test's process is enough for, however it comes. The
// server's log ends with the server.
const guardian = `"$@" & exec 2>/dev/null; read -r line; kill -QUIT $!; wait; rm -rf "$0"`

func (c *Cluster) serve(t testing.TB, binaries string, owner *syscall.Credential) {
	t.Helper()
	cmd := c.command(context.WithoutCancel(t.Context()), owner, "sh", "-c", guardian, c.data(),
		filepath.Join(binaries, "postgres"), "-D", c.data(), "-k", c.folder, "-c", "listen_addresses=", "-c", "max_connections=200",
		"-c", "deadlock_timeout=20ms", // tests bring deadlocks about, and wait for their end
	)
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan string, 1)
	go func() { ended <- follow(log, started) }()
	t.Cleanup(func() {
		input.Close()
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("PostgreSQL: %v", err)
		}
	})
	select {
	case <-started:
	case said := <-ended:
		ended <- said
		t.Fatalf("PostgreSQL does not start:\n%s", said)
	case <-time.After(patience):
		t.Fatalf("PostgreSQL has not started after %v", patience)
	}
}

// follow reads the server's log to its end, returns its beginning, and closes started when the server is ready.
func follow(log io.Reader, started chan<- struct{}) string {
	const kept = 64 << 10 // octets
	var said strings.Builder
	lines := bufio.NewScanner(log)
	for waiting := true; lines.Scan(); {
		if waiting && strings.Contains(lines.Text(), ready) {
			waiting = false
			close(started)
		}
		if said.Len() < kept {
			said.WriteString(lines.Text() + "\n")
		}
	}
	_, _ = io.Copy(io.Discard, log) // after a line that is too long: whoever logs must not wait
	return said.String()
}
