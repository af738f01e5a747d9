package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/internal/spool"
	"sluice/internal/store"
)

// spoiled is the configuration of a server whose spool cannot be opened: a file is in its place, until mend is called.
func spoiled(t *testing.T) (cfg Config, mend func()) {
	t.Helper()
	cfg = testConfig(t)
	if err := os.MkdirAll(cfg.Data, dataDirMode); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cfg.Data, spoolFolder)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg, func() {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// opened is a server that does not run, and its log.
func opened(t *testing.T, cfg Config) (*server, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	s, err := openServer(t.Context(), cfg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, log
}

func ticks(n int) <-chan time.Time {
	again := make(chan time.Time, n)
	for range n {
		again <- time.Time{}
	}
	return again
}

// TestS29MailIsAwaited: opening mail is tried at each tick, told once for each reason, and is there for everybody at once.
func TestS29MailIsAwaited(t *testing.T) {
	t.Parallel()
	cfg, mend := spoiled(t)
	s, log := opened(t, cfg)
	if err := s.gateway.tryMail(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "mail is answered 421"); n != 1 || !strings.Contains(log.String(), syscall.ENOTDIR.Error()) {
		t.Errorf("the log says %d times why mail is not served:\n%s", n, log)
	}
	mend()
	if reasons := s.readiness().Reasons(); len(reasons) != 1 || !strings.HasPrefix(reasons[0], "storage: open the spool") {
		t.Errorf("not ready because of %q", reasons)
	}
	m, err := s.gateway.awaitMail(t.Context(), ticks(1))
	if m == nil || err != nil {
		t.Fatalf("got %v, %v", m, err)
	}
	if reasons := s.readiness().Reasons(); len(reasons) != 0 {
		t.Errorf("not ready because of %q", reasons)
	}
	if !strings.Contains(log.String(), "mail is served") {
		t.Errorf("the log does not say that mail is served:\n%s", log)
	}
}

// TestS29NothingIsBegunAtTheEnd: mail that opens while the server stops is closed again, and nobody waits for it.
func TestS29NothingIsBegunAtTheEnd(t *testing.T) {
	t.Parallel()
	cfg, mend := spoiled(t)
	s, _ := opened(t, cfg)
	mend()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.gateway.tryMail(ended); err != nil || s.gateway.storage.mail.Load() != nil {
		t.Errorf("mail is open: %v, %v", s.gateway.storage.mail.Load() != nil, err)
	}
	if m, err := s.gateway.awaitMail(ended, nil); m != nil || err != nil {
		t.Errorf("got %v, %v", m, err)
	}
	if err := s.gateway.drainMail(ended); err != nil {
		t.Error(err)
	}
	if err := s.gateway.tryMail(t.Context()); err != nil || s.gateway.storage.mail.Load() == nil {
		t.Errorf("the spool was not given back: %v", err)
	}
}

// TestANewerSpoolIsNotWaitedFor: a spool of a later version ends the start, and the waiting too, and says so.
func TestANewerSpoolIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t)
	_, stop := started(t, cfg)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	const header = "sluice running \xff\n" // of the journal of running steps, whose format number is the last but one octet
	folder := filepath.Join(cfg.Data, spoolFolder)
	journal, err := os.OpenFile(filepath.Join(folder, "running"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer journal.Close()
	if _, err := journal.WriteAt([]byte(header), 0); err != nil {
		t.Fatal(err)
	}
	newer := func(what string, err error) {
		t.Helper()
		var told strings.Builder
		if !errors.Is(err, spool.ErrNewerFormat) || complain(&told, err) != exitFailed || !strings.Contains(told.String(), "later version") {
			t.Errorf("%s: got %v, told as %q; want %v", what, err, told.String(), spool.ErrNewerFormat)
		}
	}
	_, err = openServer(t.Context(), cfg, slog.New(slog.DiscardHandler))
	newer("start", err)

	late, mend := spoiled(t)
	s, _ := opened(t, late)
	mend()
	if err := os.Rename(folder, filepath.Join(late.Data, spoolFolder)); err != nil {
		t.Fatal(err)
	}
	_, err = s.gateway.awaitMail(t.Context(), ticks(1))
	newer("wait", err)
}

// TestS29ServedWithoutMail runs such a server: its pages, and its end.
func TestS29ServedWithoutMail(t *testing.T) {
	t.Parallel()
	cfg, mend := spoiled(t)
	s, stop := started(t, cfg)
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/readyz": http.StatusServiceUnavailable} {
		if status, body := page(t, http.DefaultClient, s.url()+path); status != want {
			t.Errorf("%s: got %d %s, want %d", path, status, body, want)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("it does not stop: %v", err)
	}
	mend()
	started(t, cfg)
}

func TestStorageHints(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want string
	}{
		{syscall.ENOSPC, "make room"},
		{syscall.EDQUOT, "make room"},
		{syscall.EROFS, "mount"},
		{syscall.EACCES, "let the user"},
		{syscall.EPERM, "let the user"},
		{syscall.EAGAIN, "stop the process"},
		{spool.ErrCorrupt, "rescue"},
		{syscall.EIO, "put right"},
		{store.ErrReadOnly, "put right"},
	} {
		if got := storageHint(fmt.Errorf("open the spool: %w", test.err)); !strings.Contains(got, test.want) {
			t.Errorf("%v: got %q, want %q", test.err, got, test.want)
		}
	}
}
