package awsapi

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"sluice/internal/mailmanager"
)

// codeOK stands for the absence of an error in logs and metrics.
const codeOK = "OK"

// exchange is one request and what became of it.
type exchange struct {
	requestID string
	began     time.Time
	route     route
	caller    Caller // empty until the signature is verified
	claimed   string // access key id that the request says it is signed with
	resources []string
	payload   []byte
	err       error
	failure   failure
	wait      time.Duration // after which a throttled caller may come again
}

// ServeHTTP answers one request and logs one line about it. The line never has any of a body.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{requestID: newRequestID(), began: a.now()}
	x.route, x.err = a.find(r)
	if x.err == nil {
		x.payload, x.err = a.answer(w, r, x)
	}
	status := http.StatusOK
	if x.err != nil {
		x.failure = x.route.protocol.describe(x.err, x.requestID)
		status, x.payload = x.failure.status, x.route.protocol.failure(x.failure)
	}
	a.write(w, x, status)
	a.record(r.Context(), x, status)
	a.audit(r, x, status)
}

// newRequestID returns a random UUID: RFC 9562, section 5.4.
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// answer verifies the request and calls its operation. What can be checked without the body is checked before the body
// is read, so that it costs a stranger more than us. A panic becomes an internal error.
func (a *api) answer(w http.ResponseWriter, r *http.Request, x *exchange) (payload []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in %s: %v\n%s", x.route.operation, p, debug.Stack())
		}
	}()
	claim, err := a.verifier.claim(r, x.route.signingName)
	x.claimed = claim.accessKeyID
	if err != nil {
		return nil, err
	}
	body, release, err := a.bodies.read(w, r)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := a.verifier.lookUp(r.Context(), claim); err != nil {
		return nil, err
	}
	if err := claim.verify(r, body); err != nil {
		return nil, err
	}
	if x.caller, err = claim.caller(r, x.requestID); err != nil {
		return nil, err
	}
	if err := a.checkRate(x); err != nil {
		return nil, err
	}
	payload, err = x.route.call(r.Context(), x, body)
	if err != nil && r.Context().Err() != nil {
		// Nobody reads this; it is not to look like a defect in the log.
		err = &mailmanager.Error{Code: mailmanager.CodeUnavailable, Message: "The caller went away.", Cause: err}
	}
	return payload, err
}

func (a *api) write(w http.ResponseWriter, x *exchange, status int) {
	h := w.Header()
	h.Set("Content-Type", x.route.protocol.contentType)
	h.Set("Content-Length", strconv.Itoa(len(x.payload)))
	h.Set("Date", a.now().UTC().Format(http.TimeFormat)) // Mail Manager, A29: clients correct their clocks by it
	h.Set("X-Amzn-Requestid", x.requestID)
	if x.route.protocol.smithyProtocol != "" {
		h.Set("Smithy-Protocol", x.route.protocol.smithyProtocol) // Mail Manager, A29: errors too
	}
	if x.wait > 0 {
		setWait(h, x.wait)
	}
	w.WriteHeader(status)
	_, _ = w.Write(x.payload) // a caller that went away is no concern of ours
}

// record logs and counts the request. Texts and causes that are not for the caller go to the log, and only there.
func (a *api) record(ctx context.Context, x *exchange, status int) {
	code, level := codeOK, slog.LevelInfo
	attributes := []slog.Attr{
		slog.String("request_id", x.requestID),
		slog.String("operation", x.route.operation),
		slog.String("account", x.caller.Account),
		slog.String("region", x.caller.Region),
		slog.String("principal", x.caller.Principal),
		slog.Int("status", status),
		slog.Duration("duration", a.now().Sub(x.began)),
	}
	if x.err != nil {
		code = string(x.failure.code)
		attributes = append(attributes, slog.String("code", code))
		if status == http.StatusInternalServerError || hasCause(x.err) {
			attributes = append(attributes, slog.Any("error", x.err))
		}
	}
	if status == http.StatusInternalServerError {
		level = slog.LevelError
	}
	a.log.LogAttrs(ctx, level, "api request", attributes...)
	a.requests.WithLabelValues(cmp.Or(x.route.label, "unknown"), code).Inc()
}

func hasCause(err error) bool {
	var e *mailmanager.Error
	return errors.As(err, &e) && e.Cause != nil
}

// failure is an error as the caller sees it.
type failure struct {
	status    int
	code      mailmanager.Code
	message   string
	requestID string
}

// noSuchOperation marks the error of an operation that no service has: 404, while an operation that Sluice does not have
// yet is 501.
type noSuchOperation struct{ error }

func (e noSuchOperation) Unwrap() error { return e.error }

func unknownOperation() error {
	return noSuchOperation{mailmanager.Errorf(mailmanager.CodeUnknownOperation, "There is no such operation.")}
}

// describe turns an error into what the caller may know of it. Of an error without a code that is the request id.
func (p *protocol) describe(err error, requestID string) failure {
	f := failure{requestID: requestID, code: mailmanager.CodeInternal, status: http.StatusInternalServerError,
		message: "The request failed inside the server. Its request id is " + requestID + "."}
	var e *mailmanager.Error
	if errors.As(err, &e) && e.Code != "" {
		f.code, f.message, f.status = e.Code, e.Message, p.status(e.Code)
	}
	if errors.As(err, new(noSuchOperation)) {
		f.status = http.StatusNotFound
	}
	return f
}
