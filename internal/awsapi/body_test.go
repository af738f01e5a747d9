package awsapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

// endless is a body that never ends and counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	copy(p, "{}")
	e.read += int64(len(p))
	return len(p), nil
}

func post(body io.Reader, announced int64) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://api.test/", body)
	r.ContentLength = announced
	return r
}

func TestBodyLimitA29(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A29")
	tests := []struct {
		name      string
		body      io.Reader
		announced int64
		want      int // octets; negative: refused
	}{
		{"empty", strings.NewReader(""), 0, 0},
		{"short", strings.NewReader("{}"), 2, 2},
		{"of unknown length", strings.NewReader("{}"), -1, 2},
		{"a buffer's size", strings.NewReader(strings.Repeat("x", firstBodyOctets)), firstBodyOctets, firstBodyOctets},
		{"largest", io.LimitReader(&endless{}, maxBodyOctets), maxBodyOctets, maxBodyOctets},
		{"one octet more", io.LimitReader(&endless{}, maxBodyOctets+1), -1, -1},
		{"one octet more, announced", strings.NewReader(""), maxBodyOctets + 1, -1},
		{"endless", &endless{}, -1, -1},
		{"broken off", io.MultiReader(strings.NewReader("{"), failing{}), 2, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			budget := newBodyBudget()
			body, release, err := budget.read(httptest.NewRecorder(), post(tt.body, tt.announced))
			if tt.want < 0 {
				var e *mailmanager.Error
				if !errors.As(err, &e) || e.Code != mailmanager.CodeSerialization {
					t.Errorf("got %v, want a SerializationException", err)
				}
			} else if err != nil || len(body) != tt.want {
				t.Fatalf("got %d octets, %v, want %d", len(body), err, tt.want)
			} else {
				release()
			}
			if !budget.octets.TryAcquire(bodiesOctets) {
				t.Error("memory was not given back")
			}
		})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	budget := newBodyBudget()
	got := allocated(func() {
		_, release, err := budget.read(httptest.NewRecorder(), post(strings.NewReader("{}"), maxBodyOctets))
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
	if got > 4*firstBodyOctets {
		t.Errorf("allocated %d octets for a body of two, want at most %d", got, 4*firstBodyOctets)
	}
}

func TestBodiesShareABudget(t *testing.T) {
	t.Parallel()
	budget := newBodyBudget()
	var releases []func()
	for {
		_, release, err := budget.read(httptest.NewRecorder(), post(io.LimitReader(&endless{}, maxBodyOctets), -1))
		if err != nil {
			var e *mailmanager.Error
			if !errors.As(err, &e) || e.Code != mailmanager.CodeUnavailable {
				t.Errorf("got %v, want ServiceUnavailable", err)
			}
			break
		}
		releases = append(releases, release)
	}
	if got, most := len(releases), bodiesOctets/maxBodyOctets; got == 0 || got > most {
		t.Errorf("got %d largest bodies at once, want 1 to %d", got, most)
	}
	for _, release := range releases {
		release()
	}
	if _, _, err := budget.read(httptest.NewRecorder(), post(strings.NewReader("{}"), -1)); err != nil {
		t.Errorf("after the release: %v", err)
	}
}

// TestStrangersBodiesAreNotRead sends requests whose headers are enough to refuse them.
func TestStrangersBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*http.Request){
		"not signed":   func(r *http.Request) { r.Header.Del("Authorization") },
		"unknown key":  inAuthorization(testKey, "AKIDNOBODY"),
		"expired":      setHeader("X-Amz-Date", "20260228T120000Z"),
		"another path": func(r *http.Request) { r.URL.Path = "/x" },
		"too large":    func(r *http.Request) { r.ContentLength = maxBodyOctets + 1 },
	} {
		body := &endless{}
		r := jsonCall("ListRelays", "{}").request(t)
		r.Body = io.NopCloser(body)
		change(r)
		if response := newFixture(unimplemented).do(t, r); response.StatusCode/100 != 4 || body.read != 0 {
			t.Errorf("%s: got %d after %d octets of the body, want 4xx after 0", name, response.StatusCode, body.read)
		}
	}
}
