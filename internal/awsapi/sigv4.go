package awsapi

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/mailmanager"
)

// maxClockSkew is how far the caller's clock may be from ours, either way: AWS Signature Version 4; S34.
const maxClockSkew = 15 * time.Minute

// regionName is what the region of a scope may look like: it becomes part of ARNs and keys (Mail Manager, A28).
var regionName = regexp.MustCompile(`^[a-z0-9-]{1,20}$`)

// verifier checks signatures of AWS Signature Version 4, of the headers only and with the body's hash. The
// canonicalisation is ours: the one of the SDK leaves out headers that other clients sign.
type verifier struct {
	credentials Credentials
	regions     []string
	now         func() time.Time
}

// claim is what a request says of its sender, as far as it can be checked without the body.
type claim struct {
	authorization
	at  time.Time
	key Key
}

// invalid is the error for a signature that does not hold for this request.
func invalid(text string) error {
	return &mailmanager.Error{Code: mailmanager.CodeInvalidSignature, Message: text}
}

// claim checks everything but the signature itself: form, scope, time, signed headers, and that the key is known. The
// request must be signed for the service. With an error the claim has what could be read.
func (v *verifier) claim(r *http.Request, service string) (*claim, error) {
	c := &claim{}
	var err error
	if c.authorization, err = authorizationOf(r); err != nil {
		return c, err
	}
	if c.at, err = requestTime(r.Header); err != nil {
		return c, err
	}
	if err := v.checkTime(c); err != nil {
		return c, err
	}
	if err := v.checkScope(c, service); err != nil {
		return c, err
	}
	if err := c.checkHeaders(r); err != nil {
		return c, err
	}
	if len(r.Header["X-Amz-Security-Token"]) > 0 { // Sluice gives out no session tokens, so none is known
		return c, unknownKey()
	}
	return c, v.lookUp(r.Context(), c)
}

// lookUp finds the key of a claim. It is asked again when the body is there: by then the key may have been made inactive, or
// deleted with its user, and whoever wrote the body slowly is not to act with it (S36).
func (v *verifier) lookUp(ctx context.Context, c *claim) (err error) {
	var ok bool
	if c.key, ok = v.credentials.Lookup(ctx, c.accessKeyID); !ok {
		return unknownKey()
	}
	return nil
}

func unknownKey() error {
	return mailmanager.Errorf(mailmanager.CodeUnrecognizedClient, "The access key id or the security token is not known here.")
}

func authorizationOf(r *http.Request) (authorization, error) {
	values := r.Header["Authorization"]
	switch {
	case len(values) == 1:
		return parseAuthorization(values[0])
	case len(values) > 1:
		return authorization{}, incomplete("There is more than one Authorization header.")
	case strings.Contains(r.URL.RawQuery, "X-Amz-"):
		return authorization{}, mailmanager.Errorf(mailmanager.CodeMissingAuthentication,
			"Signatures in the query string are not accepted; sign the request with an Authorization header.")
	default:
		return authorization{}, mailmanager.Errorf(mailmanager.CodeMissingAuthentication, "The request is not signed.")
	}
}

// requestTime is the time of the request, of X-Amz-Date or else of Date.
func requestTime(h http.Header) (time.Time, error) {
	if values := h["X-Amz-Date"]; len(values) > 0 {
		if at, ok := parseAmzDate(values[0]); ok && len(values) == 1 {
			return at, nil
		}
		return time.Time{}, incomplete("The X-Amz-Date header must be one time like " + timeLayout + ".")
	}
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}, incomplete("The request needs an X-Amz-Date or a Date header.")
	}
	return at.UTC(), nil
}

func (v *verifier) checkTime(c *claim) error {
	now := v.now().UTC()
	switch age := now.Sub(c.at); {
	case age > maxClockSkew:
		return mailmanager.Errorf(mailmanager.CodeRequestExpired, "Signature expired: %s is earlier than %s (%s less 15 minutes).",
			c.at.Format(timeLayout), now.Add(-maxClockSkew).Format(timeLayout), now.Format(timeLayout))
	case age < -maxClockSkew:
		return mailmanager.Errorf(mailmanager.CodeRequestExpired, "Signature not yet current: %s is later than %s (%s and 15 minutes).",
			c.at.Format(timeLayout), now.Add(maxClockSkew).Format(timeLayout), now.Format(timeLayout))
	case c.date != c.at.Format(dateLayout):
		return invalid("The date of the credential scope is not the date of the request.")
	default:
		return nil
	}
}

func (v *verifier) checkScope(c *claim, service string) error {
	if c.service != service {
		return invalid("The credential must be scoped to the service " + strconv.Quote(service) + ".")
	}
	// Mail Manager, A28
	if !regionName.MatchString(c.region) || len(v.regions) > 0 && !slices.Contains(v.regions, c.region) {
		return invalid("The credential must be scoped to a region that is served here.")
	}
	return nil
}

// checkHeaders refuses a request with a header that a signature must cover and does not, or that is there twice: the
// verifier and the handler must not read different ones (S34).
func (c *claim) checkHeaders(r *http.Request) error {
	for name := range r.Header {
		lower := strings.ToLower(name)
		mustSign := lower == "content-type" || strings.HasPrefix(lower, "x-amz-") || strings.HasPrefix(lower, "x-sluice-")
		if mustSign && !slices.Contains(c.signedHeaders, lower) {
			return invalid("The header " + strconv.Quote(lower) + " is not signed.")
		}
	}
	for _, name := range c.signedHeaders {
		if len(headerValues(r, name)) != 1 {
			return invalid("Every signed header must be in the request once.")
		}
	}
	return nil
}

// headerValues returns the values of a header as they were sent; net/http keeps some of them elsewhere.
func headerValues(r *http.Request, name string) []string {
	switch name {
	case "host":
		return []string{r.Host}
	case "content-length":
		return []string{strconv.FormatInt(r.ContentLength, 10)}
	case "transfer-encoding":
		return r.TransferEncoding
	default:
		return r.Header.Values(name)
	}
}

// verify checks the signature over the request and the hash of its body. The comparison takes the same time wherever
// the difference is.
func (c *claim) verify(r *http.Request, body []byte) error {
	hash := hexDigest(body)
	// Also refuses UNSIGNED-PAYLOAD and STREAMING-…, which are not hashes (S34).
	if values := r.Header["X-Amz-Content-Sha256"]; len(values) > 0 && values[0] != hash {
		return invalid("X-Amz-Content-Sha256 is not the hash of the body.")
	}
	request, err := c.canonicalRequest(r, hash)
	if err != nil {
		return err
	}
	toSign := algorithm + "\n" + c.at.Format(timeLayout) + "\n" + c.scope() + "\n" + hexDigest([]byte(request))
	if !hmac.Equal([]byte(hex.EncodeToString(sign(c.signingKey(), toSign))), []byte(c.signature)) {
		return invalid("The signature does not belong to this request and this access key id.")
	}
	return nil
}

// canonicalRequest is what is hashed and signed. The path needs no encoding: routes match it as it was sent, and no
// route has a character that would have to be escaped.
func (c *claim) canonicalRequest(r *http.Request, bodyHash string) (string, error) {
	query, err := canonicalQuery(r.URL.RawQuery)
	if err != nil {
		return "", err
	}
	var headers strings.Builder
	for _, name := range c.signedHeaders {
		headers.WriteString(name + ":" + canonicalValue(headerValues(r, name)[0]) + "\n")
	}
	return strings.Join([]string{
		r.Method, r.URL.EscapedPath(), query, headers.String(), strings.Join(c.signedHeaders, ";"), bodyHash,
	}, "\n"), nil
}

// canonicalValue trims a header's value and makes every run of spaces one. Tabs stay: signers keep them.
func canonicalValue(value string) string {
	return strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' }), " ")
}

// canonicalQuery escapes the parameters alike and sorts them by name and then by value, as they are when escaped.
func canonicalQuery(raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return "", invalid("The query string cannot be read.")
	}
	var parameters [][2]string
	for name, values := range query {
		for _, value := range values {
			parameters = append(parameters, [2]string{escape(name), escape(value)})
		}
	}
	slices.SortFunc(parameters, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var canonical strings.Builder
	for i, parameter := range parameters {
		if i > 0 {
			canonical.WriteByte('&')
		}
		canonical.WriteString(parameter[0] + "=" + parameter[1])
	}
	return canonical.String(), nil
}

// escape is URI encoding: what Go's is, but for the space.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// signingKey derives the key that is good for one day, region and service.
func (c *claim) signingKey() []byte {
	key := []byte("AWS4" + c.key.Secret)
	for _, part := range []string{c.date, c.region, c.service, scopeTerminator} {
		key = sign(key, part)
	}
	return key
}

func sign(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexDigest(octets []byte) string {
	sum := sha256.Sum256(octets)
	return hex.EncodeToString(sum[:])
}
