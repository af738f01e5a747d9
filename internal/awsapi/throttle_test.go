package awsapi

import (
	"encoding/xml"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	sdk "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	sdksecrets "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	sdksts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
)

// paced is a Throttle that lets one request of an operation pass in each period of a clock.
type paced struct {
	mu     sync.Mutex
	period time.Duration
	free   map[string]time.Time // when the next request may pass
	asked  []string
}

func (p *paced) Take(account, operation string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, account+" "+operation)
	if wait := p.free[operation].Sub(now); wait > 0 {
		return wait
	}
	p.free[operation] = now.Add(p.period)
	return 0
}

func newPaced(period time.Duration) *paced {
	return &paced{period: period, free: map[string]time.Time{}}
}

func stsCall(body string) call {
	return call{path: "/", contentType: "application/x-www-form-urlencoded", service: "sts", body: body}
}

func secretsCall(operation, body string) call {
	return call{path: "/", target: "secretsmanager." + operation, contentType: "application/x-amz-json-1.1", service: "secretsmanager", body: body}
}

// Mail Manager, A15: each service says it in its own shape, and when to come again.
func TestThrottledRequests(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A15", "A26")
	tests := []struct {
		name   string
		call   call
		status int
		code   mailmanager.Code
		label  string
	}{
		{"JSON", jsonCall("GetRelay", `{"RelayId":"r-1"}`), 429, mailmanager.CodeThrottling, "MailManagerSvc.GetRelay"},
		{"CBOR", cborCall("GetRelay", "\xa1\x67RelayId\x63r-1"), 429, mailmanager.CodeThrottling, "MailManagerSvc.GetRelay"},
		{"Secrets Manager", secretsCall("GetSecretValue", `{"SecretId":"here"}`), 400, mailmanager.CodeThrottling, "secretsmanager.GetSecretValue"},
		{"STS", stsCall("Action=GetCallerIdentity&Version=2011-06-15"), 400, "Throttling", "sts.GetCallerIdentity"},
		{"input that is refused", jsonCall("GetRelay", `{"RelayId":`), 429, mailmanager.CodeThrottling, "MailManagerSvc.GetRelay"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			handled := 0
			f := newFixture(func(Caller, string, any) (any, error) {
				handled++
				return nil, mailmanager.Errorf(mailmanager.CodeUnavailable, "")
			})
			throttle := newPaced(1500*time.Millisecond + time.Microsecond)
			f.Handler.(*api).throttle = throttle
			f.do(t, tt.call.request(t))
			before := handled
			response := f.do(t, tt.call.request(t))
			if tt.code == "Throttling" {
				wantQueryError(t, response, tt.status, "Throttling", "Rate exceeded")
			} else if text := wantError(t, response, tt.status, tt.code); text != "Rate exceeded" {
				t.Errorf("got the text %q", text)
			}
			got := []string{response.Header.Get("Retry-After"), response.Header.Get("X-Amz-Retry-After")}
			if diff := cmp.Diff([]string{"2", "1501"}, got); diff != "" {
				t.Errorf("when to come again (-want +got):\n%s", diff)
			}
			if handled != before {
				t.Error("the handler was called")
			}
			if diff := cmp.Diff(slices.Repeat([]string{testAccount + " " + tt.label}, 2), throttle.asked); diff != "" {
				t.Errorf("who was asked about (-want +got):\n%s", diff)
			}
			if n := testutil.ToFloat64(f.Handler.(*api).requests.WithLabelValues(tt.label, string(mailmanager.CodeThrottling))); n != 1 {
				t.Errorf("%f were counted, want 1", n)
			}
		})
	}
}

func wantQueryError(t *testing.T, response *http.Response, status int, code, text string) {
	t.Helper()
	body, _ := io.ReadAll(response.Body)
	var got queryError
	if err := xml.Unmarshal(body, &got); err != nil {
		t.Fatalf("read %q: %v", body, err)
	}
	if response.StatusCode != status || got.Code != code || got.Message != text || got.Type != "Sender" {
		t.Errorf("got %d %+v, want %d %s", response.StatusCode, got, status, code)
	}
}

// Nobody uses up the rate of another with requests that prove nothing, and operators always reach the admin API.
func TestWhatIsNotThrottled(t *testing.T) {
	t.Parallel()
	f := newFixture(func(Caller, string, any) (any, error) { return map[string]string{}, nil })
	throttle := newPaced(time.Hour)
	f.Handler.(*api).throttle = throttle
	forged := jsonCall("GetRelay", `{"RelayId":"r-1"}`).request(t)
	forged.Body = io.NopCloser(strings.NewReader(`{"RelayId":"r-2"}`))
	wantError(t, f.do(t, forged), 403, mailmanager.CodeInvalidSignature)
	wantError(t, f.do(t, jsonCall("Nonesuch", "{}").request(t)), 404, mailmanager.CodeUnknownOperation)
	for range 3 {
		admin := call{path: "/admin/GetTrace", contentType: "application/json", service: "sluice", body: "{}"}
		if response := f.do(t, admin.request(t)); response.StatusCode != 200 || response.Header.Get("Retry-After") != "" {
			t.Errorf("admin: got %d %v", response.StatusCode, response.Header)
		}
	}
	if throttle.asked != nil {
		t.Errorf("got asked about %v", throttle.asked)
	}
}

// The SDK's own retries get through, for every service: it waits on a clock of ours.
func TestPeerSDKRetriesWhatIsThrottled(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A15")
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	h := handlerFunc(func(_ Caller, op string, _ any) (any, error) {
		if op == "ListRelays" {
			return &mailmanager.ListRelaysResponse{Relays: []mailmanager.Relay{}}, nil
		}
		return &secretsmanager.GetSecretValueResponse{}, nil
	})
	throttle := newPaced(2 * time.Second)
	server := httptest.NewServer(New(Config{
		Services: []Service{MailManager(h), SecretsManager(h)}, Credentials: oneKey{}, Throttle: throttle, Now: clock, Log: slog.New(slog.DiscardHandler),
	}))
	t.Cleanup(server.Close)
	config := sdkConfig(server, testSecret)
	config.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) {
				mu.Lock()
				defer mu.Unlock()
				now = now.Add(time.Second)
				return 0, nil
			})
		})
	}
	calls := map[string]func() error{
		"MailManagerSvc.ListRelays": func() error {
			_, err := sdk.NewFromConfig(config).ListRelays(t.Context(), &sdk.ListRelaysInput{})
			return err
		},
		"secretsmanager.GetSecretValue": func() error {
			_, err := sdksecrets.NewFromConfig(config).GetSecretValue(t.Context(), &sdksecrets.GetSecretValueInput{SecretId: aws.String("s")})
			return err
		},
		"sts.GetCallerIdentity": func() error {
			_, err := sdksts.NewFromConfig(config).GetCallerIdentity(t.Context(), &sdksts.GetCallerIdentityInput{})
			return err
		},
	}
	for name, call := range calls {
		throttle.asked = nil
		for range 2 { // the second waits for two periods of the clock
			if err := call(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if diff := cmp.Diff(slices.Repeat([]string{testAccount + " " + name}, 4), throttle.asked); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	}
}
