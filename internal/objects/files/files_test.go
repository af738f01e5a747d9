package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/objects"
	"sluice/internal/objects/files"
	"sluice/internal/objects/objectstest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	t.Run("disk", func(t *testing.T) {
		t.Parallel()
		objectstest.Run(t, func(t *testing.T) objects.Store { return files.New(files.Config{Folder: t.TempDir()}) })
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		objectstest.Run(t, func(t *testing.T) objects.Store {
			return files.New(files.Config{FS: vfs.NewMem(), Folder: "objects"})
		})
	})
}

func TestNewForgetsWhatWasBeingWritten(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	torn := filepath.Join(folder, ".writing", "x")
	if err := errors.Join(os.Mkdir(filepath.Dir(torn), 0o700), os.WriteFile(torn, []byte("half"), 0o600)); err != nil {
		t.Fatal(err)
	}
	files.New(files.Config{Folder: folder})
	if _, err := os.Stat(torn); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want it gone", err)
	}
	if _, err := files.New(files.Config{Folder: "/dev/null/objects"}).Put(t.Context(), "a", strings.NewReader("x")); err == nil {
		t.Error("got no error where no folder can be")
	}
}

// Objects come and go, and leave nothing: an inode for each that ever was would fill a disk.
func TestNoFolderStays(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "objects")
	s := files.New(files.Config{Folder: folder})
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				key := fmt.Sprintf("a/b/%d/c", i%2)
				if _, err := s.Put(t.Context(), key, strings.NewReader("x")); err != nil {
					t.Errorf("put beside a delete: %v", err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 1 || left[0].Name() != ".writing" {
		t.Errorf("got %v, %v left", left, err)
	}
}

// What Put has returned for survives a power cut, whole; what it has not is there whole or as it was.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		disk := vfs.NewCrashableMem()
		s := files.New(files.Config{FS: disk, Folder: "objects"})
		random := rand.New(rand.NewPCG(seed, 0))
		want := map[string]string{}
		for i := range 5 {
			key := fmt.Sprintf("a/%d/b", random.IntN(3))
			want[key] = strings.Repeat(fmt.Sprint(i), 1000)
			if _, err := s.Put(t.Context(), key, strings.NewReader(want[key])); err != nil {
				t.Fatal(err)
			}
		}
		after := files.New(files.Config{FS: disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: random}), Folder: "objects"})
		for key, content := range want {
			r, _, err := after.Get(t.Context(), key, 0)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != content {
				t.Errorf("seed %d: %s has %d octets, %v", seed, key, len(got), err)
			}
		}
	}
}

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// served is a store behind HTTP.
type served struct {
	*files.Store
	*httptest.Server
	now     time.Time
	refusal error        // of uploads
	running atomic.Int32 // uploads
	log     bytes.Buffer

	mu   sync.Mutex
	uses []string // as "method key code status", with a star where the URL was signed
}

func (s *served) used(u files.Use) {
	s.mu.Lock()
	defer s.mu.Unlock()
	signed := ""
	if u.Signed {
		signed = "*"
	}
	s.uses = append(s.uses, fmt.Sprint(u.Request.Method, " ", u.Key, signed, " ", u.Code, " ", u.Status))
	if !u.Began.Equal(s.now) || u.Took <= 0 {
		s.uses = append(s.uses, "at the wrong time")
	}
}

func serve(t *testing.T) *served {
	s := &served{now: now}
	s.Store = files.New(files.Config{
		Folder: t.TempDir(), Key: []byte("key"), URL: func() string { return s.URL }, Now: func() time.Time { return s.now },
	})
	s.Server = httptest.NewServer(s.Handler(files.Uploads{
		MaxOctets: 10, Used: s.used, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
		Admit: func(context.Context, string) (func(), error) {
			s.running.Add(1)
			return func() { s.running.Add(-1) }, s.refusal
		},
	}))
	t.Cleanup(s.Server.Close)
	return s
}

func (s *served) sign(t *testing.T, method objects.Method, key string) string {
	t.Helper()
	signed, err := s.Sign(method, key, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// do makes a request and returns the status and what is in the body.
func do(t *testing.T, method, target, body string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(content), answer.Header
}

func TestSignedURLs(t *testing.T) {
	t.Parallel()
	s := serve(t)
	upload := s.sign(t, objects.Put, "a/b.csv")
	if again := s.sign(t, objects.Put, "a/b.csv"); again != upload {
		t.Errorf("got %s, then %s", upload, again)
	}
	for _, content := range []string{"first", "second"} {
		if status, body, _ := do(t, "PUT", upload, content); status != 200 || body != "" {
			t.Errorf("got %d, %s", status, body)
		}
	}
	status, body, header := do(t, "GET", s.sign(t, objects.Get, "a/b.csv"), "")
	if status != 200 || body != "second" {
		t.Errorf("got %d, %s", status, body)
	}
	if header.Get("Content-Disposition") != `attachment; filename="b.csv"` || header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got header %v", header)
	}
	if n := s.running.Load(); n != 0 {
		t.Errorf("%d uploads are still running", n)
	}
	s.Close() // every answer is told of by then
	if want := []string{"PUT a/b.csv* OK 200", "PUT a/b.csv* OK 200", "GET a/b.csv* OK 200"}; !slices.Equal(s.uses, want) {
		t.Errorf("got the uses %q, want %q", s.uses, want)
	}
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	parsed := func(signed string) *url.URL {
		u, err := url.Parse(signed)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	with := func(signed, name, value string) string {
		u := parsed(signed)
		query := u.Query()
		query.Set(name, value)
		u.RawQuery = query.Encode()
		return u.String()
	}
	tests := []struct {
		name, method string
		target       func(s *served, put, get string) string
		body         string
		status       int
		code         string
	}{
		{"get what may be put", "GET", func(_ *served, put, _ string) string { return put }, "", 403, "SignatureDoesNotMatch"},
		{"put what may be got", "PUT", func(_ *served, _, get string) string { return get }, "x", 403, "SignatureDoesNotMatch"},
		{"post", "POST", func(_ *served, put, _ string) string { return put }, "x", 403, "SignatureDoesNotMatch"},
		{"delete", "DELETE", func(_ *served, put, _ string) string { return put }, "", 403, "SignatureDoesNotMatch"},
		{"another object", "PUT", func(_ *served, put, _ string) string { return strings.Replace(put, "/a?", "/b?", 1) }, "x", 403, "SignatureDoesNotMatch"},
		{"S39: an object above", "PUT", func(_ *served, put, _ string) string { return strings.Replace(put, "/a?", "/..%2f..%2fa?", 1) }, "x", 403, "SignatureDoesNotMatch"},
		{"later", "PUT", func(_ *served, put, _ string) string {
			return with(put, "expires", fmt.Sprint(now.Add(48*time.Hour).Unix()))
		}, "x", 403, "SignatureDoesNotMatch"},
		{"not signed", "PUT", func(_ *served, put, _ string) string { return with(put, "signature", "") }, "x", 403, "SignatureDoesNotMatch"},
		{"nothing", "PUT", func(_ *served, put, _ string) string { return strings.SplitN(put, "?", 2)[0] }, "x", 403, "SignatureDoesNotMatch"},
		{"expired", "PUT", func(s *served, put, _ string) string { s.now = now.Add(time.Hour); return put }, "x", 403, "AccessDenied"},
		{"too large", "PUT", func(_ *served, put, _ string) string { return put }, "12345678901", 413, "EntityTooLarge"},
		{"not admitted", "PUT", func(s *served, put, _ string) string { s.refusal = errors.New("it has begun"); return put }, "x", 409, "OperationAborted"},
		{"not there", "GET", func(_ *served, _, get string) string { return get }, "", 404, "NoSuchKey"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			target := test.target(s, s.sign(t, objects.Put, "a"), s.sign(t, objects.Get, "a"))
			status, body, _ := do(t, test.method, target, test.body)
			if status != test.status || !strings.Contains(body, "<Code>"+test.code+"</Code>") {
				t.Errorf("got %d, %s, want %d %s", status, body, test.status, test.code)
			}
			if found, err := s.List(t.Context(), "", "", 10); err != nil || len(found) != 0 {
				t.Errorf("got %v, %v, want no object", found, err)
			}
			if s.log.Len() > 0 {
				t.Errorf("it was logged: %s", &s.log)
			}
			s.Close() // every answer is told of by then
			signed := ""
			if test.status != http.StatusForbidden {
				signed = "*"
			}
			if want := fmt.Sprint(signed, " ", test.code, " ", test.status); len(s.uses) != 1 || !strings.HasSuffix(s.uses[0], want) || signed == "" && strings.Contains(s.uses[0], "*") {
				t.Errorf("got the uses %q, want one %q", s.uses, want)
			}
		})
	}
}

// A body without a length that is too long is refused where its limit is, and nothing of it is kept.
func TestEndlessUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	request, err := http.NewRequestWithContext(t.Context(), "PUT", s.sign(t, objects.Put, "a"), io.MultiReader(strings.NewReader("1234567890"), strings.NewReader("1")))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 413 {
		t.Errorf("got %d, want 413", answer.StatusCode)
	}
	if found, err := s.List(t.Context(), "", "", 10); err != nil || len(found) != 0 {
		t.Errorf("got %v, %v, want no object", found, err)
	}
}

// TestBrokenUpload: what a client does wrong is told to it, kept nowhere, and no line in the log, which would be for anyone to write.
func TestBrokenUpload(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, rest string }{
		{"too short", "Content-Length: 9\r\n\r\nhalf"},
		{"chunks that are none", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n"},
		{"chunks that end early", "Transfer-Encoding: chunked\r\n\r\n4\r\nha"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			_, path, _ := strings.Cut(strings.TrimPrefix(s.sign(t, objects.Put, "a"), "http://"), "/")
			conn, err := net.Dial("tcp", s.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := fmt.Fprintf(conn, "PUT /%s HTTP/1.1\r\nHost: a\r\n%s", path, test.rest); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
				t.Errorf("got %q, %v, want 400", answer, err)
			}
			s.Close() // waits for the handler
			if found, err := s.List(t.Context(), "", "", 10); err != nil || len(found) != 0 {
				t.Errorf("got %v, %v, want no object", found, err)
			}
			if s.log.Len() > 0 {
				t.Errorf("it was logged: %s", &s.log)
			}
		})
	}
}

// timed is a ResponseWriter that notes until when a body may come.
type timed struct {
	*httptest.ResponseRecorder
	until time.Time
}

// SetReadDeadline is what http.ResponseController calls.
func (t *timed) SetReadDeadline(until time.Time) error {
	t.until = until
	return nil
}

// TestS11SlowUpload: an upload has 15 minutes, and whoever does not make it is told so.
func TestS11SlowUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	w := &timed{ResponseRecorder: httptest.NewRecorder()}
	slow := io.MultiReader(strings.NewReader("half"), iotest.ErrReader(os.ErrDeadlineExceeded))
	s.Config.Handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "PUT", s.sign(t, objects.Put, "a"), slow))
	if left := time.Until(w.until); left <= 0 || left > 15*time.Minute {
		t.Errorf("the body has %s", left)
	}
	if w.Code != 408 || !strings.Contains(w.Body.String(), "<Code>RequestTimeout</Code>") {
		t.Errorf("got %d, %s", w.Code, w.Body)
	}
	if found, err := s.List(t.Context(), "", "", 10); err != nil || len(found) != 0 || s.log.Len() > 0 {
		t.Errorf("got %v, %v and the log %s, want nothing", found, err, &s.log)
	}
}

func TestSignNeedsAURL(t *testing.T) {
	t.Parallel()
	s := files.New(files.Config{Folder: t.TempDir()})
	if signed, err := s.Sign(objects.Get, "a", now); !errors.Is(err, objects.ErrSign) || signed != "" {
		t.Errorf("got %q, %v, want %v", signed, err, objects.ErrSign)
	}
}
