package admin

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func get(t *testing.T, h http.Handler) (status int, body string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/", nil))
	text, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	return recorder.Code, string(text)
}

func check(name, reason string) Check {
	return Check{Name: name, Failing: func() (string, bool) { return reason, reason != "" }}
}

func TestReadyz(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		in         Readiness
		wantStatus int
		wantBody   string
	}{
		{"nothing to check", nil, 200, `{"ready":true,"reasons":[]}`},
		{"all hold", Readiness{check("spool", ""), check("queue", "")}, 200, `{"ready":true,"reasons":[]}`},
		{"one fails", Readiness{check("spool", ""), check("queue", "2 GiB behind")}, 503, `{"ready":false,"reasons":["queue: 2 GiB behind"]}`},
		{"both fail", Readiness{check("spool", "no room"), check("queue", "behind")}, 503, `{"ready":false,"reasons":["spool: no room","queue: behind"]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			status, body := get(t, Readyz(test.in))
			if status != test.wantStatus || strings.TrimSpace(body) != test.wantBody {
				t.Errorf("got %d %s, want %d %s", status, body, test.wantStatus, test.wantBody)
			}
		})
	}
}

func TestHealthzNeedsNothingToHold(t *testing.T) {
	t.Parallel()
	if status, body := get(t, Healthz()); status != http.StatusOK || !strings.Contains(body, "alive") {
		t.Errorf("got %d %s, want 200 and alive", status, body)
	}
}

func TestMetricsShowsWhatIsRegistered(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "mailmanager_test_total", Help: "A test's."})
	registry.MustRegister(counter)
	counter.Add(3)
	if status, body := get(t, Metrics(registry)); status != http.StatusOK || !strings.Contains(body, "mailmanager_test_total 3") {
		t.Errorf("got %d %s, want 200 and the counter", status, body)
	}
}
