package admin

import (
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that must hold for the server to take mail. Failing is called for each question, so it is quick.
type Check struct {
	Name    string                               // spool, queue, ingress …
	Failing func() (reason string, failing bool) // reason is for people
}

// Readiness is everything that must hold for the server to take mail. The zero Readiness is always ready.
type Readiness []Check

// Reasons returns why the server does not take mail now, "name: reason" each; empty when it does.
func (r Readiness) Reasons() []string {
	reasons := []string{}
	for _, check := range r {
		if reason, failing := check.Failing(); failing {
			reasons = append(reasons, check.Name+": "+reason)
		}
	}
	return reasons
}

// Metrics answers /metrics with what was registered, in the forms that Prometheus reads.
func Metrics(gatherer prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
}

// Healthz answers /healthz: the process lives and serves HTTP. Whoever restarts dead servers asks it.
func Healthz() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
}

// Readyz answers /readyz: 200 when mail is taken, else 503 with the reasons. Whoever balances load asks it.
func Readyz(readiness Readiness) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reasons := readiness.Reasons()
		status := http.StatusOK
		if len(reasons) > 0 {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, map[string]any{"ready": len(reasons) == 0, "reasons": reasons})
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// The one error left is a caller that went away: nobody is there to be told.
	_ = json.NewEncoder(w).Encode(value)
}
