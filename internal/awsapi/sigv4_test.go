package awsapi

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
	"sluice/internal/mailmanager"
)

func newVerifier(at time.Time, regions ...string) *verifier {
	return &verifier{credentials: oneKey{}, regions: regions, now: func() time.Time { return at }}
}

// check verifies a request as answer does.
func (v *verifier) check(r *http.Request, body, service string) error {
	claim, err := v.claim(r, service)
	if err != nil {
		return err
	}
	return claim.verify(r, []byte(body))
}

// TestKnownSignature is the plain GET of AWS's public test suite for Signature Version 4.
func TestKnownSignature(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodGet, "http://example.amazonaws.com/", nil)
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "+
		"SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
	if err := newVerifier(time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)).check(r, "", "service"); err != nil {
		t.Error(err)
	}
}

// TestSignaturesOfTheSDK takes the SDK's signer as the oracle: what it signs verifies, whatever is in headers, query and
// body, and does not once a single octet of them is another.
func TestSignaturesOfTheSDK(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		path := rapid.SampledFrom([]string{"/", "/service/MailManagerSvc/operation/CreateRelay", "/admin/GetTrace"}).Draw(rt, "path")
		query := rapid.StringMatching(`(\?([a-z~]{1,3}=[A-Za-z0-9+ %&=é/]{0,5}&?){0,3})?`).Draw(rt, "query")
		query = strings.NewReplacer("%", "%25", " ", "%20", "é", "%C3%A9").Replace(query)
		body := rapid.String().Draw(rt, "body")
		value := strings.TrimSpace(rapid.StringMatching(`[!-~]([ !-~]{0,20}[!-~])?`).Draw(rt, "value"))
		r := httptest.NewRequest(http.MethodPost, "http://api.test"+path+query, strings.NewReader(body))
		r.Header.Set("X-Amz-Target", value)
		r.Header.Set("Content-Type", "text/plain; x=\""+value+"\"")
		signWithSDK(t, r, body, "ses", testTime)
		v := newVerifier(testTime)
		if err := v.check(r, body, "ses"); err != nil {
			rt.Fatalf("%s%s: %v", path, query, err)
		}
		switch rapid.IntRange(0, 4).Draw(rt, "forgery") {
		case 0:
			body += "x"
		case 1:
			r.Header.Set("X-Amz-Target", value+"x")
		case 2:
			r.Host = "other.test"
		case 3:
			r.URL.RawQuery += "&x=y"
		case 4:
			r.Method = http.MethodPut
		}
		if err := v.check(r, body, "ses"); err == nil {
			rt.Fatal("a forged request verifies")
		}
	})
}

func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// inAuthorization replaces a part of the Authorization header.
func inAuthorization(old, with string) func(*http.Request) {
	return func(r *http.Request) {
		value := r.Header.Get("Authorization")
		if !strings.Contains(value, old) {
			panic(fmt.Sprintf("no %s in %s", old, value))
		}
		r.Header.Set("Authorization", strings.Replace(value, old, with, 1))
	}
}

// TestSignaturesRefusedS34 changes a good request after it was signed.
func TestSignaturesRefusedS34(t *testing.T) {
	t.Parallel()
	const scope = "20260301/eu-central-1/ses/aws4_request"
	tests := []struct {
		name   string
		change func(*http.Request)
		code   mailmanager.Code
	}{
		{"not signed", func(r *http.Request) { r.Header.Del("Authorization") }, mailmanager.CodeMissingAuthentication},
		{"query string", func(r *http.Request) {
			r.Header.Del("Authorization")
			r.URL.RawQuery = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
		}, mailmanager.CodeMissingAuthentication},
		{"two Authorization headers", func(r *http.Request) { r.Header.Add("Authorization", r.Header.Get("Authorization")) }, mailmanager.CodeIncompleteSignature},
		{"basic", setHeader("Authorization", "Basic QUtJREVYQU1QTEU6eA=="), mailmanager.CodeIncompleteSignature},
		{"empty Authorization", setHeader("Authorization", ""), mailmanager.CodeIncompleteSignature},
		{"other algorithm", inAuthorization("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), mailmanager.CodeIncompleteSignature},
		{"no signature", inAuthorization("Signature=", "Signatura="), mailmanager.CodeIncompleteSignature},
		{"short signature", inAuthorization("Signature=", "Signature=00, X="), mailmanager.CodeIncompleteSignature},
		{"signature of zeros", inAuthorization("Signature=", "Signature="+strings.Repeat("0", 64)+", X="), mailmanager.CodeInvalidSignature},
		{"no credential", inAuthorization("Credential=", "Credentials="), mailmanager.CodeIncompleteSignature},
		{"key id with slashes", inAuthorization(testKey, testKey+"/x"), mailmanager.CodeUnrecognizedClient},
		{"short scope", inAuthorization(scope, "eu-central-1/ses/aws4_request"), mailmanager.CodeIncompleteSignature},
		{"wrong terminator", inAuthorization("aws4_request", "aws5_request"), mailmanager.CodeIncompleteSignature},
		{"other region than signed", inAuthorization("eu-central-1", "eu-central-2"), mailmanager.CodeInvalidSignature},
		{"twice the same part", inAuthorization("Signature=", "SignedHeaders=host, Signature="), mailmanager.CodeIncompleteSignature},
		{"headers in upper case", inAuthorization("content-type", "Content-Type"), mailmanager.CodeIncompleteSignature},
		{"signed header absent", inAuthorization(";host", ";host;if-match"), mailmanager.CodeInvalidSignature},
		{"x-amz header added", setHeader("X-Amz-Meta", "x"), mailmanager.CodeInvalidSignature},
		{"no date", func(r *http.Request) { r.Header.Del("X-Amz-Date") }, mailmanager.CodeIncompleteSignature},
		{"another form of date", setHeader("X-Amz-Date", "2026-03-01T12:00:00Z"), mailmanager.CodeIncompleteSignature},
		{"another time", setHeader("X-Amz-Date", "20260301T120001Z"), mailmanager.CodeInvalidSignature},
		{"altered header", setHeader("X-Amz-Target", "MailManagerSvc.DeleteRelay"), mailmanager.CodeInvalidSignature},
		{"other host", func(r *http.Request) { r.Host = "other.test" }, mailmanager.CodeInvalidSignature},
		{"query added", func(r *http.Request) { r.URL.RawQuery = "a=b" }, mailmanager.CodeInvalidSignature},
		{"query that cannot be read", func(r *http.Request) { r.URL.RawQuery = "a=%zz" }, mailmanager.CodeInvalidSignature},
		{"security token", setHeader("X-Amz-Security-Token", "token"), mailmanager.CodeInvalidSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(func(Caller, string, any) (any, error) { panic("the handler was reached") })
			r := jsonCall("ListRelays", "{}").request(t)
			tt.change(r)
			text := wantError(t, f.do(t, r), 403, tt.code)
			if strings.Contains(text, testKey) {
				t.Errorf("the text %q repeats the header", text)
			}
		})
	}
}

// TestSignedRefusalsS34 signs requests that are refused for what they say, not for a signature that does not fit.
func TestSignedRefusalsS34(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header map[string]string
		at     time.Time
		code   mailmanager.Code
	}{
		{"UNSIGNED-PAYLOAD", map[string]string{"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"}, testTime, mailmanager.CodeInvalidSignature},
		{"streaming", map[string]string{"X-Amz-Content-Sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, testTime, mailmanager.CodeInvalidSignature},
		{"hash of another body", map[string]string{"X-Amz-Content-Sha256": hexDigest(nil)}, testTime, mailmanager.CodeInvalidSignature},
		{"session token", map[string]string{"X-Amz-Security-Token": "token"}, testTime, mailmanager.CodeUnrecognizedClient},
		{"expired", nil, testTime.Add(-15*time.Minute - time.Second), mailmanager.CodeRequestExpired},
		{"in the future", nil, testTime.Add(15*time.Minute + time.Second), mailmanager.CodeRequestExpired},
		{"years ago", nil, testTime.AddDate(-10, 0, 0), mailmanager.CodeRequestExpired},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := jsonCall("ListRelays", "{}").request(t)
			for name, value := range tt.header {
				r.Header.Set(name, value)
			}
			signWithSDK(t, r, "{}", "ses", tt.at)
			f := newFixture(func(Caller, string, any) (any, error) { panic("the handler was reached") })
			text := wantError(t, f.do(t, r), 403, tt.code)
			if tt.name == "expired" && !strings.HasPrefix(text, "Signature expired: 20260301T114459Z ") {
				t.Errorf("got %q, want it to say when the signature expired", text)
			}
		})
	}
}

// selfSigned signs a request as the claim says, with what it says in place of the body's hash.
func selfSigned(t *testing.T, r *http.Request, c *claim, payload string) *http.Request {
	t.Helper()
	request, err := c.canonicalRequest(r, payload)
	if err != nil {
		t.Fatal(err)
	}
	toSign := algorithm + "\n" + c.at.Format(timeLayout) + "\n" + c.scope() + "\n" + hexDigest([]byte(request))
	c.signature = hex.EncodeToString(sign(c.signingKey(), toSign))
	r.Header.Set("Authorization", c.String())
	return r
}

// goodClaim is the claim of the request that jsonCall makes.
func goodClaim() *claim {
	return &claim{at: testTime, key: Key{Secret: testSecret}, authorization: authorization{accessKeyID: testKey, date: "20260301",
		region: testRegion, service: "ses", signedHeaders: []string{"content-type", "host", "x-amz-date", "x-amz-target"}}}
}

// TestGuardsBehindTheSignatureS34 has requests whose signature is right and that are refused all the same.
func TestGuardsBehindTheSignatureS34(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*http.Request, *claim)
		code   mailmanager.Code // empty: accepted
	}{
		{"nothing wrong", func(*http.Request, *claim) {}, ""},
		{"content type not signed", func(_ *http.Request, c *claim) { c.signedHeaders = c.signedHeaders[1:] }, mailmanager.CodeInvalidSignature},
		{"target not signed", func(_ *http.Request, c *claim) { c.signedHeaders = c.signedHeaders[:3] }, mailmanager.CodeInvalidSignature},
		{"host not signed", func(_ *http.Request, c *claim) {
			c.signedHeaders = append(c.signedHeaders[:1:1], c.signedHeaders[2:]...)
		},
			mailmanager.CodeIncompleteSignature},
		{"headers not sorted", func(_ *http.Request, c *claim) { slices.Reverse(c.signedHeaders) }, mailmanager.CodeIncompleteSignature},
		{"host listed twice", func(_ *http.Request, c *claim) { c.signedHeaders = slices.Insert(c.signedHeaders, 1, "host") },
			mailmanager.CodeIncompleteSignature},
		{"another target after the signed one", func(r *http.Request, _ *claim) { r.Header.Add("X-Amz-Target", "MailManagerSvc.DeleteRelay") },
			mailmanager.CodeInvalidSignature},
		{"another content type after the signed one", func(r *http.Request, _ *claim) { r.Header.Add("Content-Type", "text/plain") },
			mailmanager.CodeInvalidSignature},
		{"another date after the signed one", func(r *http.Request, _ *claim) { r.Header.Add("X-Amz-Date", "20260301T120000Z") },
			mailmanager.CodeIncompleteSignature},
		{"another service", func(_ *http.Request, c *claim) { c.service = "s3" }, mailmanager.CodeInvalidSignature},
		{"empty region", func(_ *http.Request, c *claim) { c.region = "" }, mailmanager.CodeInvalidSignature},
		{"region of other characters", func(_ *http.Request, c *claim) { c.region = "eu:*" }, mailmanager.CodeInvalidSignature},
		{"yesterday's scope", func(_ *http.Request, c *claim) { c.date = "20260228" }, mailmanager.CodeInvalidSignature},
		{"empty key id", func(_ *http.Request, c *claim) { c.accessKeyID = "" }, mailmanager.CodeIncompleteSignature},
		{"unknown key id", func(_ *http.Request, c *claim) { c.accessKeyID = "AKIDNOBODY" }, mailmanager.CodeUnrecognizedClient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(func(Caller, string, any) (any, error) { return &mailmanager.ListRelaysResponse{}, nil })
			r, c := jsonCall("ListRelays", "{}").request(t), goodClaim()
			tt.change(r, c)
			response := f.do(t, selfSigned(t, r, c, hexDigest([]byte("{}"))))
			if tt.code != "" {
				wantError(t, response, 403, tt.code)
			} else if response.StatusCode != 200 {
				t.Errorf("got %d, want 200", response.StatusCode)
			}
		})
	}
}

// TestUnsignedPayloadIsRefusedEvenSigned signs something else in place of the hash, as S3 clients do.
func TestUnsignedPayloadIsRefusedEvenSigned(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"UNSIGNED-PAYLOAD", strings.Repeat("0", 64)} {
		r, c := jsonCall("ListRelays", "{}").request(t), goodClaim()
		r.Header.Set("X-Amz-Content-Sha256", payload)
		c.signedHeaders = slices.Insert(c.signedHeaders, 2, "x-amz-content-sha256")
		wantError(t, newFixture(unimplemented).do(t, selfSigned(t, r, c, payload)), 403, mailmanager.CodeInvalidSignature)
	}
}

func TestSignaturesWithinTheSkewS34(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-15 * time.Minute, -time.Second, 0, time.Second, 15 * time.Minute} {
		r := jsonCall("ListRelays", "{}").request(t)
		signWithSDK(t, r, "{}", "ses", testTime.Add(skew))
		if err := newVerifier(testTime).check(r, "{}", "ses"); err != nil {
			t.Errorf("%v: %v", skew, err)
		}
	}
	// A request that was good once is refused when it is sent again too late.
	r := jsonCall("ListRelays", "{}").request(t)
	if err := newVerifier(testTime.Add(16*time.Minute)).check(r, "{}", "ses"); err == nil {
		t.Error("a request replayed after 16 minutes verifies")
	}
}

func TestRegionsServedA28(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A28")
	r := jsonCall("ListRelays", "{}").request(t)
	if err := newVerifier(testTime, "us-east-1", testRegion).check(r, "{}", "ses"); err != nil {
		t.Errorf("a region that is served: %v", err)
	}
	wantError(t, newFixture(unimplemented, "us-east-1").do(t, r), 403, mailmanager.CodeInvalidSignature)
}

func TestDateHeaderInPlaceOfAmzDate(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest(http.MethodPost, "http://api.test/", nil)
	r.Header.Set("Date", testTime.Format(http.TimeFormat))
	c := goodClaim()
	c.signedHeaders = []string{"date", "host"}
	selfSigned(t, r, c, hexDigest(nil))
	if err := newVerifier(testTime).check(r, "", "ses"); err != nil {
		t.Error(err)
	}
	r.Header.Set("Date", testTime.Add(time.Second).Format(http.TimeFormat))
	if err := newVerifier(testTime).check(r, "", "ses"); err == nil {
		t.Error("another date verifies")
	}
}

func TestParseAuthorization(t *testing.T) {
	t.Parallel()
	signature := strings.Repeat("0a", 32)
	got, err := parseAuthorization("AWS4-HMAC-SHA256 Credential=AK/ID/20260301/eu-central-1/ses/aws4_request,SignedHeaders=host;x-amz-date,Signature=" + signature)
	if err != nil {
		t.Fatal(err)
	}
	want := authorization{accessKeyID: "AK/ID", date: "20260301", region: "eu-central-1", service: "ses",
		signedHeaders: []string{"host", "x-amz-date"}, signature: signature}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(authorization{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	good := got.String()
	for _, bad := range []string{
		"", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 ", " " + good, strings.ToUpper(good), good + good, good + ",Signature=" + signature,
		strings.Replace(good, "host", ";host", 1), strings.Replace(good, "host;", "host;;", 1), strings.Replace(good, "host", "Host", 1),
		strings.Replace(good, signature, strings.ToUpper(signature), 1), strings.Replace(good, signature, signature+"00", 1),
		strings.Replace(good, "AK/ID", strings.Repeat("A", maxAuthorizationOctets), 1),
	} {
		if _, err := parseAuthorization(bad); err == nil {
			t.Errorf("%.200q: got nil, want an error", bad)
		}
	}
}

func TestCanonicalForms(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "b=2&a=1": "a=1&b=2", "a=2&a=1": "a=1&a=2", "a": "a=", "a=b%20c+d": "a=b%20c%20d", "a=%2B%7E*": "a=%2B~%2A", "%C3%A9=%2f": "%C3%A9=%2F",
		"a=1&%C3%A9=2": "%C3%A9=2&a=1", "a-b=1&a=2": "a=2&a-b=1",
	} {
		if got, err := canonicalQuery(raw); err != nil || got != want {
			t.Errorf("query %q: got %q, %v, want %q", raw, got, err, want)
		}
	}
	for raw, want := range map[string]string{"": "", " a  b ": "a b", "a\tb": "a\tb", "a": "a"} {
		if got := canonicalValue(raw); got != want {
			t.Errorf("value %q: got %q, want %q", raw, got, want)
		}
	}
}
