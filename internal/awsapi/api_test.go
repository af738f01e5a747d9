package awsapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

const (
	testKey     = "AKIDEXAMPLE"
	testSecret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	testAccount = "000000000000"
	testRegion  = "eu-central-1"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// oneKey is Credentials with the one test key.
type oneKey struct{}

func (oneKey) Lookup(_ context.Context, id string) (Key, bool) {
	return Key{Secret: testSecret, Account: testAccount}, id == testKey
}

// handlerFunc is a Handler and an AdminHandler.
type handlerFunc func(caller Caller, operation string, input any) (any, error)

func (f handlerFunc) Handle(_ context.Context, caller Caller, op *mailmanager.Operation, input any) (any, error) {
	return f(caller, op.Name, input)
}

func (f handlerFunc) HandleAdmin(_ context.Context, caller Caller, operation string, input json.RawMessage) (any, error) {
	return f(caller, operation, input)
}

// unimplemented is what a handler answers to what it does not have.
func unimplemented(Caller, string, any) (any, error) {
	return nil, mailmanager.Errorf(mailmanager.CodeUnknownOperation, "not here yet")
}

// fixture is an API with a handler, its log and its metrics.
type fixture struct {
	http.Handler
	log     *bytes.Buffer
	metrics *prometheus.Registry
}

func newFixture(h handlerFunc, regions ...string) *fixture {
	f := &fixture{log: &bytes.Buffer{}, metrics: prometheus.NewRegistry()}
	f.Handler = New(Config{
		Services:    []Service{MailManager(h), SecretsManager(h)},
		Admin:       h,
		Credentials: oneKey{},
		Regions:     regions,
		Now:         func() time.Time { return testTime },
		Log:         slog.New(slog.NewJSONHandler(f.log, nil)),
		Metrics:     f.metrics,
	})
	return f
}

// call describes a request to sign and send.
type call struct {
	path, target, contentType, service, body string
	header                                   map[string]string
}

func jsonCall(operation, body string) call {
	return call{path: "/", target: "MailManagerSvc." + operation, contentType: "application/x-amz-json-1.0", service: "ses", body: body}
}

func cborCall(operation, body string) call {
	return call{path: "/service/MailManagerSvc/operation/" + operation, contentType: "application/cbor", service: "ses", body: body,
		header: map[string]string{"Smithy-Protocol": "rpc-v2-cbor"}}
}

// request signs the call with the SDK's signer.
func (c call) request(t testing.TB) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://api.test"+c.path, strings.NewReader(c.body))
	r.Header.Set("Content-Type", c.contentType)
	if c.target != "" {
		r.Header.Set("X-Amz-Target", c.target)
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	signWithSDK(t, r, c.body, c.service, testTime)
	return r
}

func signWithSDK(t testing.TB, r *http.Request, body, service string, at time.Time) {
	t.Helper()
	err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: testKey, SecretAccessKey: testSecret},
		r, hexDigest([]byte(body)), service, testRegion, at)
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) do(t testing.TB, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result()
}

// wantError checks an answer in AWS error shape and returns its text.
func wantError(t *testing.T, response *http.Response, status int, code mailmanager.Code) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var shape map[string]string
	if response.Header.Get("Content-Type") == "application/cbor" {
		err = cbor.Unmarshal(body, &shape)
	} else {
		err = json.Unmarshal(body, &shape)
	}
	if err != nil {
		t.Fatalf("read %q: %v", body, err)
	}
	if response.StatusCode != status || shape["__type"] != string(code) || shape["Message"] == "" || shape["message"] != shape["Message"] {
		t.Errorf("got %d %v, want %d %s with a text", response.StatusCode, shape, status, code)
	}
	if response.Header.Get("X-Amzn-Requestid") == "" || response.Header.Get("Date") != testTime.Format(http.TimeFormat) {
		t.Errorf("got headers %v, want a request id and a date", response.Header)
	}
	return shape["Message"]
}

const goodRelay = `{"RelayName":"office","ServerName":"mx.example.org","ServerPort":25,"Authentication":{"NoAuthentication":{}}}`

func goodRelayCBOR(t testing.TB) string {
	t.Helper()
	in := new(mailmanager.CreateRelayRequest)
	shape := operation(t, "CreateRelay").Input
	if err := jsonCodec.decode([]byte(goodRelay), shape, in); err != nil {
		t.Fatal(err)
	}
	return string(encode(newCBORSink(), shape, in))
}

func TestBothProtocolsReachTheHandler(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]call{"JSON": jsonCall("CreateRelay", goodRelay), "CBOR": cborCall("CreateRelay", goodRelayCBOR(t))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got *mailmanager.CreateRelayRequest
			var caller Caller
			f := newFixture(func(who Caller, op string, input any) (any, error) {
				caller, got = who, input.(*mailmanager.CreateRelayRequest)
				return &mailmanager.CreateRelayResponse{RelayId: mailmanager.Ptr(mailmanager.RelayId("r-1"))}, nil
			})
			response := f.do(t, c.request(t))
			body, _ := io.ReadAll(response.Body)
			want := map[string]string{"JSON": `{"RelayId":"r-1"}`, "CBOR": "\xa1\x67RelayId\x63r-1"}[name]
			if response.StatusCode != 200 || string(body) != want {
				t.Fatalf("got %d %q, want 200 %q", response.StatusCode, body, want)
			}
			if contentType := response.Header.Get("Content-Type"); contentType != c.contentType {
				t.Errorf("got content type %q, want %q", contentType, c.contentType)
			}
			if protocol := response.Header.Get("Smithy-Protocol"); protocol != c.header["Smithy-Protocol"] {
				t.Errorf("got smithy-protocol %q, want %q", protocol, c.header["Smithy-Protocol"])
			}
			if *got.RelayName != "office" || got.Authentication.NoAuthentication == nil {
				t.Errorf("got input %+v, want the one sent", got)
			}
			// The address is httptest.NewRequest's.
			wantCaller := Caller{Account: testAccount, Region: testRegion, Principal: "arn:aws:iam::000000000000:root", AccessKeyID: testKey, RequestID: response.Header.Get("X-Amzn-Requestid"), Address: "192.0.2.1:1234"}
			if diff := cmp.Diff(wantCaller, caller); diff != "" {
				t.Errorf("caller (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorsOfTheHandler(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A26")
	tests := []struct {
		name   string
		err    error
		status int
		code   mailmanager.Code
	}{
		{"conflict", mailmanager.Errorf(mailmanager.CodeConflict, "there is a relay with that name"), 409, mailmanager.CodeConflict},
		{"wrapped", fmt.Errorf("store relay: %w", mailmanager.Errorf(mailmanager.CodeResourceNotFound, "no such relay")), 404, mailmanager.CodeResourceNotFound},
		{"quota", mailmanager.Errorf(mailmanager.CodeServiceQuotaExceeded, "too many relays"), 402, mailmanager.CodeServiceQuotaExceeded},
		{"not there yet", mailmanager.Errorf(mailmanager.CodeUnknownOperation, "not there yet"), 501, mailmanager.CodeUnknownOperation},
		{"no code", errors.New("hunter2 is the password"), 500, mailmanager.CodeInternal},
		{"empty code", &mailmanager.Error{Message: "hunter2 is the password"}, 500, mailmanager.CodeInternal},
		{"cause", &mailmanager.Error{Code: mailmanager.CodeUnavailable, Message: "try again", Cause: errors.New("hunter2 is the password")}, 503, mailmanager.CodeUnavailable},
	}
	for _, tt := range tests {
		for protocol, c := range map[string]call{"JSON": jsonCall("CreateRelay", goodRelay), "CBOR": cborCall("CreateRelay", goodRelayCBOR(t))} {
			t.Run(tt.name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				f := newFixture(func(Caller, string, any) (any, error) { return nil, tt.err })
				response := f.do(t, c.request(t))
				text := wantError(t, response, tt.status, tt.code)
				if strings.Contains(text, "hunter2") {
					t.Errorf("the caller learns %q", text)
				}
				if protocol == "CBOR" && response.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
					t.Error("no smithy-protocol header on an error")
				}
				id := response.Header.Get("X-Amzn-Requestid")
				if tt.status == 500 && (!strings.Contains(text, id) || !strings.Contains(f.log.String(), "hunter2")) {
					t.Errorf("got text %q and log %s, want the request id and the cause", text, f.log)
				}
				if !strings.Contains(f.log.String(), `"request_id":"`+id+`"`) {
					t.Errorf("got log %s, want request id %s", f.log, id)
				}
			})
		}
	}
}

func TestSecretsManagerAnswersItsOwnStatus(t *testing.T) {
	t.Parallel()
	f := newFixture(func(_ Caller, op string, input any) (any, error) {
		if op == "GetSecretValue" && *input.(*secretsmanager.GetSecretValueRequest).SecretId == "here" {
			return &secretsmanager.GetSecretValueResponse{SecretString: mailmanager.Ptr(secretsmanager.SecretString("hunter2"))}, nil
		}
		return nil, mailmanager.Errorf(mailmanager.CodeResourceNotFound, "no such secret")
	})
	c := call{path: "/", target: "secretsmanager.GetSecretValue", contentType: "application/x-amz-json-1.1", service: "secretsmanager", body: `{"SecretId":"here"}`}
	response := f.do(t, c.request(t))
	body, _ := io.ReadAll(response.Body)
	if string(body) != `{"SecretString":"hunter2"}` || response.Header.Get("Content-Type") != "application/x-amz-json-1.1" {
		t.Errorf("got %v %s, want the secret in JSON 1.1", response.Header, body)
	}
	c.body = `{"SecretId":"gone"}`
	wantError(t, f.do(t, c.request(t)), 400, mailmanager.CodeResourceNotFound)
	c.body = `{}`
	wantError(t, f.do(t, c.request(t)), 400, mailmanager.CodeValidation)
	if strings.Contains(f.log.String(), "hunter2") {
		t.Errorf("the log has a body: %s", f.log)
	}
}

func TestInputIsValidatedBeforeTheHandler(t *testing.T) {
	t.Parallel()
	for _, op := range mailmanager.Operations() {
		t.Run(op.Name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(unimplemented)
			response := f.do(t, jsonCall(op.Name, "{}").request(t))
			if err := mailmanager.Validate(op.Input, op.New()); err != nil {
				wantError(t, response, 400, mailmanager.CodeValidation)
			} else {
				wantError(t, response, 501, mailmanager.CodeUnknownOperation)
			}
			wantError(t, f.do(t, jsonCall(op.Name, "{}}").request(t)), 400, mailmanager.CodeSerialization)
			wantError(t, f.do(t, cborCall(op.Name, "\xff").request(t)), 400, mailmanager.CodeSerialization)
		})
	}
}

func TestUnknownOperationsAre404(t *testing.T) {
	t.Parallel()
	rpc := func(path string) call {
		return call{path: path, contentType: "application/cbor", service: "ses", header: map[string]string{"Smithy-Protocol": "rpc-v2-cbor"}}
	}
	tests := []struct {
		name string
		call call
	}{
		{"no target", call{path: "/", contentType: "application/x-amz-json-1.0", service: "ses"}},
		{"unknown service", call{path: "/", target: "DynamoDB_20120810.ListTables", contentType: "application/x-amz-json-1.0", service: "ses"}},
		{"unknown operation", jsonCall("DestroyRelay", "{}")},
		{"operation in another case", jsonCall("createrelay", "{}")},
		{"no operation", jsonCall("", "{}")},
		{"long operation", jsonCall(strings.Repeat("x", 10000), "{}")},
		{"unknown operation over CBOR", rpc("/service/MailManagerSvc/operation/DestroyRelay")},
		{"unknown service over CBOR", rpc("/service/Other/operation/CreateRelay")},
		{"service without CBOR", rpc("/service/secretsmanager/operation/ListSecrets")},
		{"more path", rpc("/service/MailManagerSvc/operation/CreateRelay/x")},
		{"escaped path", rpc("/service/MailManagerSvc/operation/%43reateRelay")},
		{"no protocol header", call{path: "/service/MailManagerSvc/operation/CreateRelay", contentType: "application/cbor", service: "ses"}},
		{"unknown path", call{path: "/other", contentType: "application/x-amz-json-1.0", service: "ses"}},
		{"admin without operation", call{path: "/admin/", contentType: "application/json", service: "sluice"}},
		{"admin with a path", call{path: "/admin/../x", contentType: "application/json", service: "sluice"}},
		{"admin unknown", call{path: "/admin/Nonesuch", contentType: "application/json", service: "sluice"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(unimplemented)
			wantError(t, f.do(t, tt.call.request(t)), 404, mailmanager.CodeUnknownOperation)
			if got := f.log.Len(); got > 600 {
				t.Errorf("got a log line of %d octets, want at most 600", got)
			}
		})
	}
	f := newFixture(unimplemented)
	get := httptest.NewRequest(http.MethodGet, "http://api.test/", nil)
	wantError(t, f.do(t, get), 404, mailmanager.CodeUnknownOperation)
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	f := newFixture(func(caller Caller, operation string, input any) (any, error) {
		return map[string]any{"operation": operation, "account": caller.Account, "input": input}, nil
	})
	tests := []struct{ name, body, want string }{
		{"no body", "", `{"account":"000000000000","input":{},"operation":"GetTrace"}`},
		{"any JSON", `[1,{"a":null}]`, `{"account":"000000000000","input":[1,{"a":null}],"operation":"GetTrace"}`},
	}
	for _, tt := range tests {
		response := f.do(t, call{path: "/admin/GetTrace", contentType: "application/json", service: "sluice", body: tt.body}.request(t))
		body, _ := io.ReadAll(response.Body)
		if string(body) != tt.want || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %s, want %s", tt.name, body, tt.want)
		}
	}
	for _, body := range []string{"{", "{}{}", "\xff", "nul"} {
		c := call{path: "/admin/GetTrace", contentType: "application/json", service: "sluice", body: body}
		wantError(t, f.do(t, c.request(t)), 400, mailmanager.CodeSerialization)
	}
	for _, name := range []string{"", "Get/Trace", "1Trace", "Get-Trace", "Get%54race", strings.Repeat("x", maxOperationOctets+1)} {
		c := call{path: "/admin/" + name, contentType: "application/json", service: "sluice"}
		wantError(t, f.do(t, c.request(t)), 404, mailmanager.CodeUnknownOperation)
	}
	wrong := call{path: "/admin/GetTrace", contentType: "application/json", service: "ses"}
	wantError(t, f.do(t, wrong.request(t)), 403, mailmanager.CodeInvalidSignature)
}

func TestCallerIdentityA30(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A30")
	f := newFixture(unimplemented)
	form := call{path: "/", contentType: "application/x-www-form-urlencoded; charset=utf-8", service: "sts"}
	tests := []struct {
		name, body string
		service    string
		status     int
		want       string
	}{
		{"identity", "Action=GetCallerIdentity&Version=2011-06-15", "sts", 200,
			"<GetCallerIdentityResult><Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId><Account>000000000000</Account></GetCallerIdentityResult>"},
		{"another action", "Action=AssumeRole", "sts", 400, "<Type>Sender</Type><Code>InvalidAction</Code>"},
		{"no form", "%zz", "sts", 400, "<Code>SerializationException</Code>"},
		{"another service", "Action=GetCallerIdentity", "ses", 403, "<Code>SignatureDoesNotMatch</Code>"},
	}
	for _, tt := range tests {
		c := form
		c.body, c.service = tt.body, tt.service
		response := f.do(t, c.request(t))
		body, _ := io.ReadAll(response.Body)
		if response.StatusCode != tt.status || !strings.Contains(string(body), tt.want) || response.Header.Get("Content-Type") != "text/xml" {
			t.Errorf("%s: got %d %s, want %d with %s", tt.name, response.StatusCode, body, tt.status, tt.want)
		}
	}
}

// Clients take the partition of the ARNs that they make from this one.
func TestCallerIdentityIsOfTheRegionsPartitionA30(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A30")
	for region, want := range map[string]string{
		"eu-central-1":   "<Arn>arn:aws:iam::000000000000:root</Arn>",
		"cn-north-1":     "<Arn>arn:aws-cn:iam::000000000000:root</Arn>",
		"us-gov-west-1":  "<Arn>arn:aws-us-gov:iam::000000000000:root</Arn>",
		"eusc-de-east-1": "<Arn>arn:aws-eusc:iam::000000000000:root</Arn>",
	} {
		got, err := getCallerIdentity(Caller{Account: testAccount, Principal: mailmanager.UserARN(region, testAccount, "")}, []byte("Action=GetCallerIdentity"))
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: got %s, %v, want %s", region, got, err, want)
		}
	}
}

func TestPanicIsAnInternalFailure(t *testing.T) {
	t.Parallel()
	f := newFixture(func(Caller, string, any) (any, error) { panic("broken invariant") })
	text := wantError(t, f.do(t, jsonCall("CreateRelay", goodRelay).request(t)), 500, mailmanager.CodeInternal)
	if strings.Contains(text, "invariant") || !strings.Contains(f.log.String(), "broken invariant") || !strings.Contains(f.log.String(), "api_test.go") {
		t.Errorf("got text %q and log %s, want the panic and its stack in the log only", text, f.log)
	}
}

func TestRequestsAreLoggedAndCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(unimplemented)
	f.do(t, jsonCall("ListRelays", `{"NextToken":"hunter2"}`).request(t))
	f.do(t, jsonCall("Made.Up", "{}").request(t))
	f.do(t, call{path: "/admin/MadeUp", contentType: "application/json", service: "sluice"}.request(t))
	want := `
# HELP mailmanager_api_requests_total API requests answered, by operation and error code (OK without one).
# TYPE mailmanager_api_requests_total counter
mailmanager_api_requests_total{code="UnknownOperationException",operation="MailManagerSvc.ListRelays"} 1
mailmanager_api_requests_total{code="UnknownOperationException",operation="admin"} 1
mailmanager_api_requests_total{code="UnknownOperationException",operation="unknown"} 1
`
	if err := testutil.GatherAndCompare(f.metrics, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	line, _, _ := strings.Cut(f.log.String(), "\n")
	for _, want := range []string{`"operation":"MailManagerSvc.ListRelays"`, `"account":"000000000000"`, `"region":"eu-central-1"`, `"status":501`, `"duration":0`} {
		if !strings.Contains(line, want) {
			t.Errorf("got log line %s, want %s in it", line, want)
		}
	}
	if strings.Contains(f.log.String(), "hunter2") {
		t.Errorf("the log has a body: %s", f.log)
	}
}

func TestCallerThatWentAway(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := newFixture(func(Caller, string, any) (any, error) {
		cancel()
		return nil, ctx.Err()
	})
	f.do(t, jsonCall("CreateRelay", goodRelay).request(t).WithContext(ctx))
	if !strings.Contains(f.log.String(), `"code":"ServiceUnavailable"`) || strings.Contains(f.log.String(), `"level":"ERROR"`) {
		t.Errorf("got log %s, want no error", f.log)
	}
}
