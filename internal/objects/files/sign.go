package files

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"sluice/internal/objects"
)

// Path is what the paths of all signed URLs begin with.
const Path = "/objects/"

// Parameters of a signed URL.
const (
	parameterExpires   = "expires" // seconds since 1970
	parameterSignature = "signature"
)

// signer makes signed URLs and checks them.
type signer struct {
	key []byte
	url func() string
	now func() time.Time
}

func newSigner(cfg Config) signer {
	s := signer{key: cfg.Key, url: cfg.URL, now: cfg.Now}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Sign implements objects.Store. An expiry is kept to the second.
func (s *Store) Sign(method objects.Method, key string, expires time.Time) (string, error) {
	if err := objects.CheckKey(key); err != nil {
		return "", err
	}
	if s.signer.url == nil || len(s.signer.key) == 0 {
		return "", objects.ErrSign
	}
	until := strconv.FormatInt(expires.Unix(), 10)
	query := url.Values{parameterExpires: {until}, parameterSignature: {s.signer.sign(method, key, until)}}
	return s.signer.url() + Path + key + "?" + query.Encode(), nil
}

// sign is the signature of what a URL is good for. None of the parts has a line break in it.
func (s *signer) sign(method objects.Method, key, expires string) string {
	mac := hmac.New(sha256.New, s.key)
	fmt.Fprintf(mac, "%s\n%s\n%s", method, key, expires)
	return hex.EncodeToString(mac.Sum(nil))
}

// The refusals of a URL.
var (
	errSignature = &failure{403, "SignatureDoesNotMatch", "The signature of the URL is not that of this request"}
	errExpired   = &failure{403, "AccessDenied", "The URL has expired"}
)

// check refuses a request whose URL is not signed for it. What has a signature of ours is what Sign was given.
func (s *signer) check(method objects.Method, key string, query url.Values) *failure {
	until := query.Get(parameterExpires)
	if !hmac.Equal([]byte(s.sign(method, key, until)), []byte(query.Get(parameterSignature))) {
		return errSignature
	}
	seconds, err := strconv.ParseInt(until, 10, 64)
	if err != nil || !s.now().Before(time.Unix(seconds, 0)) {
		return errExpired
	}
	return nil
}
