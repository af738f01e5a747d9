package awsapi

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/mailmanager"
)

// gate is Credentials, an Authorizer and an Auditor.
type gate struct {
	key      Key
	inactive bool
	refusal  error
	asks     []Ask
	entries  []Entry
}

func (g *gate) Lookup(_ context.Context, id string) (Key, bool) {
	return g.key, id == testKey && !g.inactive
}

func (g *gate) Authorize(_ context.Context, ask *Ask) ([]string, error) {
	g.asks = append(g.asks, *ask)
	return []string{"arn:of:it"}, g.refusal
}

func (g *gate) Audit(e Entry) { g.entries = append(g.entries, e) }

// gated is an API behind a gate; handled counts what reached a handler.
func gated(g *gate) (f *fixture, handled *[]Caller) {
	handled = &[]Caller{}
	h := handlerFunc(func(caller Caller, operation string, _ any) (any, error) {
		*handled = append(*handled, caller)
		if operation == "ListRelays" {
			return &mailmanager.ListRelaysResponse{}, nil
		}
		return map[string]string{}, nil
	})
	return &fixture{Handler: New(Config{
		Services: []Service{MailManager(h), SecretsManager(h)}, Admin: h,
		Credentials: g, Authorizer: g, Auditor: g,
		Now: func() time.Time { return testTime }, Log: slog.New(slog.DiscardHandler),
	})}, handled
}

var (
	listRelays = jsonCall("ListRelays", "{}")
	getTrace   = call{path: "/admin/GetTrace", contentType: "application/json", service: "sluice", body: `{"Id":"x"}`}
	whoAmI     = call{path: "/", contentType: "application/x-www-form-urlencoded", service: "sts", body: "Action=GetCallerIdentity"}
)

// Every operation is asked for before a handler sees it, and one that is refused reaches none.
func TestOperationsAreAuthorizedFirst(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, service, operation string
		call                     call
	}{
		{"JSON", "ses", "ListRelays", listRelays},
		{"CBOR", "ses", "ListRelays", cborCall("ListRelays", "\xa0")},
		{"secrets", "secretsmanager", "ListSecrets", call{path: "/", target: "secretsmanager.ListSecrets", contentType: "application/x-amz-json-1.1", service: "secretsmanager", body: "{}"}},
		{"admin", "sluice", "GetTrace", getTrace},
		{"STS", "sts", "GetCallerIdentity", whoAmI},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := &gate{key: Key{testSecret, testAccount, "jo"}, refusal: mailmanager.Errorf(mailmanager.CodeAccessDenied, "no")}
			f, handled := gated(g)
			answer := f.do(t, test.call.request(t))
			text, _ := io.ReadAll(answer.Body)
			if answer.StatusCode != 403 || !strings.Contains(string(text), "AccessDeniedException") || len(*handled) != 0 {
				t.Errorf("got %d %s, and %d calls of a handler", answer.StatusCode, text, len(*handled))
			}
			if len(g.asks) != 1 || g.asks[0].Service != test.service || g.asks[0].Operation != test.operation || g.asks[0].Caller.User != "jo" {
				t.Errorf("got %+v", g.asks)
			}
			if e := g.entries; len(e) != 1 || e[0].Code != "AccessDeniedException" || !cmp.Equal(e[0].Resources, []string{"arn:of:it"}) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// revoked is a body during which its caller's key is made inactive.
type revoked struct {
	io.Reader
	gate *gate
}

func (b *revoked) Read(p []byte) (int, error) {
	b.gate.inactive = true
	return b.Reader.Read(p)
}

// S36: a key that was made inactive while a body arrived is as unknown as one that was before.
func TestS36KeysEndWhileBodiesArrive(t *testing.T) {
	t.Parallel()
	for _, c := range []call{listRelays, getTrace, whoAmI} {
		g := &gate{key: Key{testSecret, testAccount, "jo"}}
		f, handled := gated(g)
		r := c.request(t)
		r.Body = io.NopCloser(&revoked{r.Body, g})
		answer := f.do(t, r)
		if answer.StatusCode != 403 || len(*handled) != 0 || len(g.asks) != 0 {
			t.Errorf("%s: got %d, %d questions and %d calls of a handler", c.path, answer.StatusCode, len(g.asks), len(*handled))
		}
		if e := g.entries; len(e) != 1 || e[0].Code != string(mailmanager.CodeUnrecognizedClient) || e[0].Principal != "" {
			t.Errorf("%s: got %+v", c.path, e)
		}
	}
}

// The answer to GetCallerIdentity names the user.
func TestCallerIdentityOfAUserA30(t *testing.T) {
	t.Parallel()
	f, _ := gated(&gate{key: Key{testSecret, "111111111111", "jo"}})
	text, _ := io.ReadAll(f.do(t, whoAmI.request(t)).Body)
	for _, want := range []string{"<Arn>arn:aws:iam::111111111111:user/jo</Arn>", "<UserId>jo</UserId>", "<Account>111111111111</Account>"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("got %s, want %s", text, want)
		}
	}
}

// S36: the account of a request is that of its key, unless the root names another.
func TestS36AccountHeader(t *testing.T) {
	t.Parallel()
	const other = "222222222222"
	tests := []struct {
		name, user, header, want string // want: the account that the handler gets; empty: refused
	}{
		{"a user names none", "jo", "", testAccount},
		{"a user names its own", "jo", testAccount, testAccount},
		{"a user names another", "jo", other, ""},
		{"the root names none", "", "", testAccount},
		{"the root names another", "", other, other},
		{"the root names nonsense", "", "22222222222x", ""},
		{"the root names a prefix", "", "2222", ""},
	}
	for _, test := range tests {
		for _, c := range []call{listRelays, getTrace} {
			t.Run(test.name+" "+c.path, func(t *testing.T) {
				t.Parallel()
				g := &gate{key: Key{testSecret, testAccount, test.user}}
				f, handled := gated(g)
				c.header = map[string]string{}
				if test.header != "" {
					c.header[AccountHeader] = test.header
				}
				f.do(t, c.request(t))
				got := ""
				if len(*handled) == 1 {
					got = (*handled)[0].Account
				}
				if got != test.want {
					t.Errorf("got %q, want %q", got, test.want)
				}
			})
		}
	}
	g := &gate{key: Key{testSecret, testAccount, ""}}
	f, handled := gated(g)
	r := listRelays.request(t)
	r.Header.Set(AccountHeader, other) // on the way, after it was signed
	if wantError(t, f.do(t, r), 403, mailmanager.CodeInvalidSignature); len(*handled) != 0 {
		t.Errorf("an unsigned header was taken: %+v", *handled)
	}
}

func TestCallersAreDescribed(t *testing.T) {
	t.Parallel()
	g := &gate{key: Key{testSecret, testAccount, "jo"}}
	f, handled := gated(g)
	r := listRelays.request(t)
	r.Header.Set("User-Agent", strings.Repeat("é", 200))
	r.TLS = &tls.ConnectionState{}
	f.do(t, r)
	if len(*handled) != 1 {
		t.Fatal("it was refused")
	}
	got := (*handled)[0]
	want := Caller{
		Account: testAccount, Region: testRegion, User: "jo", Principal: "arn:aws:iam::" + testAccount + ":user/jo", AccessKeyID: testKey,
		RequestID: got.RequestID, Address: r.RemoteAddr, UserAgent: strings.Repeat("é", 128), Secure: true,
	}
	if diff := cmp.Diff(want, got); diff != "" || got.RequestID == "" {
		t.Error(diff)
	}
}

func TestRequestsAreAudited(t *testing.T) {
	t.Parallel()
	refused := func(change func(*http.Request)) *http.Request {
		r := listRelays.request(t)
		change(r)
		return r
	}
	tests := []struct {
		name    string
		request *http.Request
		want    Entry
	}{
		{"served", listRelays.request(t), Entry{
			Operation: "MailManagerSvc.ListRelays", Resources: []string{"arn:of:it"}, Account: testAccount, Region: testRegion,
			Principal: "arn:aws:iam::" + testAccount + ":user/jo", AccessKeyID: testKey, Code: "OK", Status: 200,
		}},
		{"body altered", refused(func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("{ }")) }), Entry{
			Operation: "MailManagerSvc.ListRelays", AccessKeyID: testKey, Code: "InvalidSignatureException", Status: 403,
		}},
		{"unknown key", refused(func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), testKey, "AKID"+strings.Repeat("X", 200), 1))
		}), Entry{
			Operation: "MailManagerSvc.ListRelays", AccessKeyID: "AKID" + strings.Repeat("X", 124), Code: "UnrecognizedClientException", Status: 403,
		}},
		{"not signed", refused(func(r *http.Request) { r.Header.Del("Authorization") }), Entry{
			Operation: "MailManagerSvc.ListRelays", Code: "MissingAuthenticationToken", Status: 403,
		}},
		{"no such operation", jsonCall("Made.Up", "{}").request(t), Entry{
			Operation: "MailManagerSvc.Made.Up", Code: "UnknownOperationException", Status: 404,
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g := &gate{key: Key{testSecret, testAccount, "jo"}}
			f, _ := gated(g)
			f.do(t, test.request)
			if len(g.entries) != 1 {
				t.Fatalf("got %d entries", len(g.entries))
			}
			test.want.Time, test.want.RequestID, test.want.Address = testTime, g.entries[0].RequestID, test.request.RemoteAddr
			if diff := cmp.Diff(test.want, g.entries[0]); diff != "" || test.want.RequestID == "" {
				t.Error(diff)
			}
		})
	}
}

// An input that is not valid is refused before anybody is asked: what is asked for is then known.
func TestOnlyValidInputsAreAuthorized(t *testing.T) {
	t.Parallel()
	g := &gate{key: Key{testSecret, testAccount, "jo"}}
	f, _ := gated(g)
	f.do(t, jsonCall("GetRelay", "{}").request(t))
	admin := getTrace
	admin.body = "{"
	f.do(t, admin.request(t))
	if len(g.asks) != 0 {
		t.Errorf("got %+v", g.asks)
	}
	f.do(t, getTrace.request(t))
	if len(g.asks) != 1 || string(g.asks[0].Input.(json.RawMessage)) != getTrace.body {
		t.Errorf("got %+v", g.asks)
	}
}
