package certs

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// notes is a log that tests read.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(line []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(line)
}

// count is how many lines have the text in them.
func (n *notes) count(text string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for line := range strings.Lines(n.text.String()) {
		if strings.Contains(line, text) {
			count++
		}
	}
	return count
}

// open opens certificates of the pairs, and says where they log.
func open(t testing.TB, pairs ...Pair) (*Certificates, *notes) {
	t.Helper()
	log := &notes{}
	c, err := Open(Config{Pairs: pairs, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return c, log
}

// serving is the name of the certificate that a client gets for a server name.
func serving(t *testing.T, c *Certificates, server string) string {
	t.Helper()
	certificate, err := shake(c, &tls.Config{ServerName: server, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return certificate.DNSNames[0]
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := issue(t, dir, "good", request{names: []string{"mx.example"}})
	other := issue(t, dir, "other", request{names: []string{"mx.example"}})
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile(good.Cert)
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		pair Pair
		want string
	}{
		{"no certificate", Pair{filepath.Join(dir, "none"), good.Key}, "no such file"},
		{"no key", Pair{good.Cert, filepath.Join(dir, "none")}, "no such file"},
		{"the key of another", Pair{good.Cert, other.Key}, "does not match"},
		{"swapped", Pair{good.Key, good.Cert}, good.Key},
		{"empty", Pair{file("empty", ""), good.Key}, "empty"},
		{"garbage", Pair{file("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), good.Key}, "garbage"},
		{"half written", Pair{file("half", string(whole[:len(whole)/2])), good.Key}, "half"},
		{"a directory", Pair{dir, good.Key}, errNotRegular.Error()},
		{"a pipe that nobody writes to", Pair{pipe, good.Key}, errNotRegular.Error()},
		{"far too long", Pair{file("long", strings.Repeat("#", maxFileOctets+1)), good.Key}, "octets"},
		{"no file named", Pair{"", good.Key}, "no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Open(Config{Pairs: []Pair{good, test.pair}}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

// TestWatch replaces a pair by what is wrong in every way, and by what is right.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		pair := issue(t, dir, "mx", request{names: []string{"first.example"}})
		c, log := open(t, pair)
		go c.Watch(t.Context(), 0)
		rounds := func(n int) {
			time.Sleep(time.Duration(n) * DefaultInterval)
			synctest.Wait()
		}
		rounds(3)
		if log.count("certificate loaded") != 0 {
			t.Error("files that do not change are loaded again")
		}
		issue(t, dir, "mx", request{names: []string{"second.example"}})
		rounds(1)
		if got := serving(t, c, ""); got != "second.example" {
			t.Errorf("after %s clients get %s", DefaultInterval, got)
		}
		for i, step := range []struct {
			spoil  func()
			logged int // so far
		}{
			{func() { write(t, pair.Cert, "garbage") }, 1},
			{func() { issueCert(t, pair.Cert, request{names: []string{"third.example"}}) }, 2}, // its key comes later
			{func() { remove(t, pair.Cert) }, 3},
			{func() { remove(t, pair.Key) }, 3}, // without either file the reason is the same
		} {
			step.spoil()
			rounds(5)
			if got := serving(t, c, ""); got != "second.example" {
				t.Errorf("spoilt %d: clients get %s, want the one before", i, got)
			}
			if got := log.count("certificate not loaded"); got != step.logged {
				t.Errorf("spoilt %d: logged %d times, want %d", i, got, step.logged)
			}
		}
		if got := testutil.ToFloat64(c.metrics.failures); got != 20 {
			t.Errorf("counted %v failures, want one in each of 20 rounds", got)
		}
		issue(t, dir, "mx", request{names: []string{"fourth.example"}})
		rounds(1)
		if got := serving(t, c, ""); got != "fourth.example" {
			t.Errorf("corrected: clients get %s", got)
		}
	})
}

// A swap of symbolic links, as certbot (the file) and Kubernetes (the folder) do.
func TestSymbolicLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		issue(t, filepath.Join(dir, name), "tls", request{names: []string{name + ".example"}})
	}
	current := filepath.Join(dir, "current")
	link := func(target string) {
		if err := errors.Join(os.Symlink(target, current+".new"), os.Rename(current+".new", current)); err != nil {
			t.Fatal(err)
		}
	}
	link("one")
	c, _ := open(t, Pair{filepath.Join(current, "tls.pem"), filepath.Join(current, "tls.key")})
	link("two")
	if got := serving(t, c, ""); got != "one.example" {
		t.Errorf("before a look clients get %s", got)
	}
	c.look()
	if got := serving(t, c, ""); got != "two.example" {
		t.Errorf("after a look clients get %s", got)
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := issue(t, dir, "a", request{names: []string{"a.example"}}), issue(t, dir, "b", request{names: []string{"b.example"}})
	c, log := open(t, a, b)
	issue(t, dir, "a", request{names: []string{"new.example"}})
	write(t, b.Key, "garbage")
	if err := c.Reload(); err == nil || !strings.Contains(err.Error(), b.Key) {
		t.Errorf("got %v, want an error that names %s", err, b.Key)
	}
	if got := serving(t, c, "new.example"); got != "new.example" {
		t.Errorf("the good pair was not loaded: %s", got)
	}
	if got := serving(t, c, "b.example"); got != "b.example" {
		t.Errorf("the one before is gone: %s", got)
	}
	if log.count("not loaded") != 0 {
		t.Error("an error was logged and returned")
	}
}

// TestReloadWhileHandshakesRun replaces a pair again and again under running handshakes: each gets the old or the new one,
// whole.
func TestReloadWhileHandshakesRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pair := issue(t, dir, "mx", request{names: []string{"mx.example"}})
	c, _ := open(t, pair)
	var done atomic.Bool
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !done.Load() {
				if _, err := shake(c, &tls.Config{ServerName: "mx.example", InsecureSkipVerify: true}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		fresh := issue(t, dir, "mx", request{names: []string{"mx.example"}})
		c.look()
		certificate, err := c.Get(&tls.ClientHelloInfo{ServerName: "mx.example"})
		if want := readLeaf(t, fresh.Cert); err != nil || !certificate.Leaf.Equal(want) {
			t.Fatalf("the next handshake gets serial %v, want %v", certificate.Leaf.SerialNumber, want.SerialNumber)
		}
	}
	done.Store(true)
	clients.Wait()
}

func TestEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	end := now.Add(20 * 24 * time.Hour)
	log := &notes{}
	c, err := Open(Config{
		Pairs: []Pair{
			issue(t, dir, "a", request{names: []string{"a.example"}, end: end}),
			issue(t, dir, "b", request{names: []string{"b.example"}, end: end.AddDate(1, 0, 0)}),
			issue(t, dir, "c", request{names: []string{"b.example"}, end: end.AddDate(2, 0, 0)}),
		},
		Logger: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	soon, gone := 0, 0
	for _, step := range []struct {
		pass            time.Duration
		newSoon, newEnd int
	}{
		{0, 0, 0},
		{6*24*time.Hour - time.Second, 0, 0},
		{time.Second, 1, 0}, // 14 days before
		{23 * time.Hour, 0, 0},
		{time.Hour, 1, 0},
		{13*24*time.Hour + time.Second, 0, 1},
		{time.Hour, 0, 0},
		{23 * time.Hour, 0, 1},
	} {
		now = now.Add(step.pass)
		c.look()
		soon, gone = soon+step.newSoon, gone+step.newEnd
		if log.count("ends soon") != soon || log.count("has expired") != gone {
			t.Errorf("at %s: warned %d and %d times, want %d and %d", now, log.count("ends soon"), log.count("has expired"), soon, gone)
		}
	}
	want := `
# HELP mailmanager_certificate_expiry_seconds Time until a certificate of SMTP ends, by its first name; of several with that name the earliest.
# TYPE mailmanager_certificate_expiry_seconds gauge
mailmanager_certificate_expiry_seconds{name="a.example"} -86401
mailmanager_certificate_expiry_seconds{name="b.example"} 3.1449599e+07
`
	if err := testutil.CollectAndCompare(c.metrics, strings.NewReader(want), "mailmanager_certificate_expiry_seconds"); err != nil {
		t.Error(err)
	}
	issue(t, dir, "a", request{names: []string{"a.example"}, end: now.AddDate(1, 0, 0)})
	c.look()
	now = now.Add(warnInterval)
	c.look()
	if log.count("has expired") != gone {
		t.Error("a certificate that was renewed is warned of")
	}
}

func TestAKeyThatOthersMayRead(t *testing.T) {
	t.Parallel()
	for mode, warned := range map[os.FileMode]int{0o600: 0, 0o640: 0, 0o400: 0, 0o644: 1, 0o606: 1} {
		pair := issue(t, t.TempDir(), "mx", request{names: []string{"mx.example"}})
		if err := os.Chmod(pair.Key, mode); err != nil {
			t.Fatal(err)
		}
		if _, log := open(t, pair); log.count("private key may be read") != warned {
			t.Errorf("mode %o: warned %d times, want %d", mode, log.count("private key may be read"), warned)
		}
	}
}

func readLeaf(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(text).Leaf
}
