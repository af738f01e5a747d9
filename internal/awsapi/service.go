// Package awsapi is the wire of the API and nothing else: it routes requests, verifies their signatures, decodes and
// validates inputs, calls a Handler, and encodes outputs and errors. It speaks AWS JSON 1.0 and 1.1, Smithy RPC v2 CBOR,
// the one query operation that clients call before anything else (STS, GetCallerIdentity) and the JSON of the admin API,
// all on one address (Mail Manager, A29 and A30). Whom a Throttle holds back is told so in the shape of each service.
//
// It leaves out what Sluice has no use for: signatures in the query string, chunked and unsigned payloads, session
// tokens, SigV4A. Start with New.
package awsapi

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// Config is what New needs. Every field without a default is required.
type Config struct {
	Services    []Service
	Admin       AdminHandler // nil: there is no admin API
	Credentials Credentials
	Authorizer  Authorizer            // nil: every caller may do everything within its account
	Auditor     Auditor               // nil: nobody is told
	Regions     []string              // the regions served; empty: any (Mail Manager, A28)
	Throttle    Throttle              // nil: nobody is throttled (Mail Manager, A15); the admin API never is
	Now         func() time.Time      // nil: time.Now
	Log         *slog.Logger          // one line a request
	Metrics     prometheus.Registerer // nil: nothing is counted
}

// Service is one AWS service: what it is called on the wire, and what carries it out.
type Service struct {
	TargetPrefix string // of X-Amz-Target, and the service's name in RPC v2 paths
	SigningName  string // of the credential scope
	JSONVersion  string // "1.0" or "1.1"
	CBOR         bool   // speaks RPC v2 CBOR, too
	Operations   []mailmanager.Operation
	HTTPStatus   func(mailmanager.Code) int
	Handler      Handler
}

// MailManager is the service of Mail Manager, carried out by h.
func MailManager(h Handler) Service {
	return Service{
		TargetPrefix: mailmanager.TargetPrefix,
		SigningName:  mailmanager.SigningName,
		JSONVersion:  "1.0",
		CBOR:         true,
		Operations:   mailmanager.Operations(),
		HTTPStatus:   mailmanager.Code.HTTPStatus,
		Handler:      h,
	}
}

// SecretsManager is the service of Secrets Manager, carried out by h.
func SecretsManager(h Handler) Service {
	return Service{
		TargetPrefix: secretsmanager.TargetPrefix,
		SigningName:  secretsmanager.SigningName,
		JSONVersion:  "1.1",
		Operations:   secretsmanager.Operations(),
		HTTPStatus:   secretsmanager.HTTPStatus,
		Handler:      h,
	}
}

// api is the http.Handler that New returns.
type api struct {
	services   []Service
	admin      AdminHandler
	authorizer Authorizer
	auditor    Auditor
	throttle   Throttle
	verifier   *verifier
	bodies     *bodyBudget
	cborMode   cbor.DecMode
	now        func() time.Time
	log        *slog.Logger
	requests   *prometheus.CounterVec
}

// New returns the handler of the whole API address except health checks and metrics. Any path and method that is not
// the API's is answered with 404. It is safe for concurrent use.
func New(cfg Config) http.Handler {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	a := &api{
		services:   cfg.Services,
		admin:      cfg.Admin,
		authorizer: cfg.Authorizer,
		auditor:    cfg.Auditor,
		verifier:   &verifier{credentials: cfg.Credentials, regions: cfg.Regions, now: now},
		bodies:     newBodyBudget(),
		throttle:   cfg.Throttle,
		cborMode:   newCBORMode(),
		now:        now,
		log:        cfg.Log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mailmanager_api_requests_total",
			Help: "API requests answered, by operation and error code (OK without one).",
		}, []string{"operation", "code"}),
	}
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(a.requests)
	}
	return a
}
