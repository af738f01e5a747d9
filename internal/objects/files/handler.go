package files

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"sluice/internal/objects"
)

// Limits of uploads.
const (
	maxUploads = 16               // at once
	uploadTime = 15 * time.Minute // for a whole upload; 50 MB take that long at 56 kB/s
	sendTime   = 15 * time.Minute // for a whole download
)

// Uploads says what may be put by a signed URL.
type Uploads struct {
	MaxOctets int64 // of an object
	// Admit is asked before an object is put. It returns what is called once the object is there, or will not be; or the reason
	// why it may not be put, which the client is told with status 409.
	Admit func(ctx context.Context, key string) (done func(), err error)
	// Used is told of every request once it has been answered. It must not wait.
	Used func(Use)
	Log  *slog.Logger
}

// Use is what became of a request at a signed URL, or at what pretends to be one.
type Use struct {
	Request *http.Request // its body has been read, or will not be
	Began   time.Time
	Took    time.Duration
	Signed  bool   // the URL was ours, and good for this request
	Key     string // of the object
	Code    string // OK, or that of the error
	Status  int    // of HTTP
}

// handler serves signed URLs.
type handler struct {
	store   *Store
	uploads Uploads
	slots   chan struct{}
}

// Handler serves the URLs that Sign makes, at Path. Refusals have the form of S3's.
func (s *Store) Handler(uploads Uploads) http.Handler {
	return &handler{store: s, uploads: uploads, slots: make(chan struct{}, maxUploads)}
}

// failure is what a client is told.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.message }

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	use := Use{Request: r, Began: h.store.signer.now(), Key: strings.TrimPrefix(r.URL.Path, Path), Code: "OK", Status: http.StatusOK}
	refused := h.store.signer.check(objects.Method(r.Method), use.Key, r.URL.Query())
	if use.Signed = refused == nil; use.Signed {
		refused = h.serve(w, r, use.Key)
	}
	if refused != nil {
		refuse(w, refused)
		use.Code, use.Status = refused.code, refused.status
	}
	use.Took = time.Since(began)
	h.uploads.Used(use)
}

// serve does what a URL is good for. The client is told of its own mistakes, and the log of ours.
func (h *handler) serve(w http.ResponseWriter, r *http.Request, key string) (refused *failure) {
	serve := h.get
	if objects.Method(r.Method) == objects.Put {
		serve = h.put
	}
	err := serve(w, r, key)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, objects.ErrNotFound):
		return &failure{http.StatusNotFound, "NoSuchKey", "There is no such object"}
	case errors.Is(err, context.Canceled):
		return errIncomplete
	default:
		h.uploads.Log.Error("object not served", "key", key, "error", err.Error())
		return &failure{http.StatusInternalServerError, "InternalError", "The request could not be served"}
	}
}

// errIncomplete is for a client that has gone, or does not send what it should.
var errIncomplete = &failure{http.StatusBadRequest, "IncompleteBody", "The body did not arrive whole"}

// sent is a body as the client sends it: what reading it fails with is the client's mistake, and a *failure.
type sent struct {
	r    io.Reader
	most int64 // octets
}

// Read implements io.Reader.
func (s *sent) Read(p []byte) (n int, err error) {
	n, err = s.r.Read(p)
	large := (*http.MaxBytesError)(nil)
	switch {
	case err == nil || err == io.EOF:
		return n, err
	case errors.As(err, &large):
		return n, errTooLarge(s.most)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return n, &failure{http.StatusRequestTimeout, "RequestTimeout", "The body took too long"}
	default: // it ended, was reset, or is no chunks
		return n, errIncomplete
	}
}

func errTooLarge(most int64) *failure {
	return &failure{http.StatusRequestEntityTooLarge, "EntityTooLarge", fmt.Sprintf("A file may have %d octets", most)}
}

func refuse(w http.ResponseWriter, f *failure) {
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Connection", "close") // the rest of a body that is refused is not read
	w.WriteHeader(f.status)
	fmt.Fprint(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(struct { // a client that has gone is told nothing
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: f.code, Message: f.message})
}

// put takes an object.
func (h *handler) put(w http.ResponseWriter, r *http.Request, key string) error {
	most := h.uploads.MaxOctets
	if r.ContentLength > most {
		return errTooLarge(most)
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		return &failure{http.StatusServiceUnavailable, "SlowDown", "There are too many uploads; try again"}
	}
	done, err := h.uploads.Admit(r.Context(), key)
	if err != nil {
		return &failure{http.StatusConflict, "OperationAborted", err.Error()}
	}
	defer done()
	if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(uploadTime)); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	if _, err = h.store.Put(r.Context(), key, &sent{http.MaxBytesReader(w, r.Body, most), most}); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// get sends an object, to be saved and never shown.
func (h *handler) get(w http.ResponseWriter, r *http.Request, key string) error {
	content, info, err := h.store.Get(r.Context(), key, 0)
	if err != nil {
		return err
	}
	defer content.Close() // it was only read
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", `attachment; filename="`+path.Base(key)+`"`)
	header.Set("Content-Length", strconv.FormatInt(info.Octets, 10))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Connection", "close") // the deadline is the connection's
	_, _ = io.Copy(w, content)        // a client that has gone asks again
	return nil
}
