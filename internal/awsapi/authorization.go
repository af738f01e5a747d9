package awsapi

import (
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"sluice/internal/mailmanager"
)

// What an Authorization header is made of: AWS Signature Version 4.
const (
	algorithm       = "AWS4-HMAC-SHA256"
	scopeTerminator = "aws4_request"
	dateLayout      = "20060102"
	timeLayout      = "20060102T150405Z"
)

// maxAuthorizationOctets is the longest Authorization header that is taken apart; signers write under 500 octets.
const maxAuthorizationOctets = 8 << 10

// authorization is a parsed Authorization header. Nothing in it has been verified.
type authorization struct {
	accessKeyID   string
	date          string // of the credential scope
	region        string
	service       string
	signedHeaders []string // lower case, ascending, without duplicates
	signature     string   // 64 hexadecimal digits, lower case
}

// incomplete is the error for a header that lacks a part. The text never repeats the header: it has an access key id.
func incomplete(text string) error {
	return &mailmanager.Error{Code: mailmanager.CodeIncompleteSignature, Message: text}
}

// parseAuthorization takes the value of an Authorization header apart. Errors are CodeIncompleteSignature.
func parseAuthorization(value string) (authorization, error) {
	scheme, rest, _ := strings.Cut(value, " ")
	if scheme != algorithm || len(value) > maxAuthorizationOctets {
		return authorization{}, incomplete("The Authorization header must begin with " + algorithm + ".")
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.Trim(part, " "), "=")
		if _, twice := parts[name]; twice {
			return authorization{}, incomplete("The Authorization header has a part twice.")
		}
		parts[name] = value
	}
	a := authorization{signature: parts["Signature"], signedHeaders: strings.Split(parts["SignedHeaders"], ";")}
	if digest, err := hex.DecodeString(a.signature); err != nil || len(digest) != 32 || a.signature != strings.ToLower(a.signature) {
		return authorization{}, incomplete("The Authorization header needs a Signature of 64 hexadecimal digits.")
	}
	if !slices.IsSortedFunc(a.signedHeaders, strictly) || !slices.ContainsFunc(a.signedHeaders, isHost) {
		return authorization{}, incomplete("The Authorization header needs SignedHeaders: sorted, in lower case, host among them.")
	}
	return a, a.parseScope(parts["Credential"])
}

// strictly makes IsSortedFunc refuse equal neighbours, and names that are empty or not in lower case; b comes before a.
func strictly(a, b string) int {
	if b == "" || a != strings.ToLower(a) || b != strings.ToLower(b) || a == b {
		return -1
	}
	return strings.Compare(a, b)
}

func isHost(name string) bool { return name == "host" }

// parseScope takes KEY/DATE/REGION/SERVICE/aws4_request apart. A key id may have slashes.
func (a *authorization) parseScope(credential string) error {
	parts := strings.Split(credential, "/")
	n := len(parts)
	if n < 5 || parts[n-1] != scopeTerminator || parts[0] == "" {
		return incomplete("The Authorization header needs a Credential: KEY/DATE/REGION/SERVICE/" + scopeTerminator + ".")
	}
	a.accessKeyID = strings.Join(parts[:n-4], "/")
	a.date, a.region, a.service = parts[n-4], parts[n-3], parts[n-2]
	return nil
}

// scope is the credential scope that is part of what is signed.
func (a *authorization) scope() string {
	return a.date + "/" + a.region + "/" + a.service + "/" + scopeTerminator
}

// String prints the header; parsing it again gives the same.
func (a *authorization) String() string {
	return algorithm + " Credential=" + a.accessKeyID + "/" + a.scope() +
		", SignedHeaders=" + strings.Join(a.signedHeaders, ";") + ", Signature=" + a.signature
}

// parseAmzDate reads an X-Amz-Date header. Only the one form that signers write is accepted, because the text is signed.
func parseAmzDate(value string) (time.Time, bool) {
	at, err := time.Parse(timeLayout, value)
	return at, err == nil && at.Format(timeLayout) == value
}
