package awsapi

import (
	"cmp"
	"context"
	"encoding/xml"
	"net/http"
	"net/url"

	"sluice/internal/mailmanager"
)

// stsSigningName is the service that GetCallerIdentity is signed for.
const stsSigningName = "sts"

// stsNamespace is the XML namespace of STS answers.
const stsNamespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// stsCodes are the names that STS, which is older than JSON, has for common errors.
var stsCodes = map[mailmanager.Code]mailmanager.Code{
	mailmanager.CodeInvalidSignature:   "SignatureDoesNotMatch",
	mailmanager.CodeUnrecognizedClient: "InvalidClientTokenId",
	mailmanager.CodeThrottling:         "Throttling",
}

// codeInvalidAction is STS's name for an operation that it does not have. It is answered with 400, as is a caller that is throttled.
const codeInvalidAction mailmanager.Code = "InvalidAction"

func stsStatus(code mailmanager.Code) int {
	if code == codeInvalidAction || code == mailmanager.CodeThrottling {
		return http.StatusBadRequest
	}
	return code.HTTPStatus()
}

// callerIdentity is the answer to GetCallerIdentity: STS, GetCallerIdentity.
type callerIdentity struct {
	XMLName   xml.Name `xml:"GetCallerIdentityResponse"`
	Namespace string   `xml:"xmlns,attr"`
	ARN       string   `xml:"GetCallerIdentityResult>Arn"`
	UserID    string   `xml:"GetCallerIdentityResult>UserId"`
	Account   string   `xml:"GetCallerIdentityResult>Account"`
	RequestID string   `xml:"ResponseMetadata>RequestId"`
}

// queryError is an error of the query protocol.
type queryError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Namespace string   `xml:"xmlns,attr"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// stsRoute is the route of every form sent to /. STS is here because Terraform and CDK ask it first who they are
// (Mail Manager, A30).
func (a *api) stsRoute() route {
	return route{
		protocol: &protocol{
			contentType: "text/xml",
			status:      stsStatus,
			failure:     queryFailure,
		},
		signingName: stsSigningName,
		operation:   "sts.GetCallerIdentity",
		label:       "sts.GetCallerIdentity",
		call: func(ctx context.Context, x *exchange, body []byte) ([]byte, error) {
			if err := a.authorize(ctx, x, stsSigningName, "GetCallerIdentity", nil); err != nil {
				return nil, err
			}
			return getCallerIdentity(x.caller, body)
		},
	}
}

func getCallerIdentity(caller Caller, body []byte) ([]byte, error) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, malformed("the body is not a form")
	}
	if form.Get("Action") != "GetCallerIdentity" {
		return nil, mailmanager.Errorf(codeInvalidAction, "The only action here is GetCallerIdentity.")
	}
	return xml.Marshal(callerIdentity{
		Namespace: stsNamespace,
		ARN:       caller.Principal,
		UserID:    cmp.Or(caller.User, caller.Account),
		Account:   caller.Account,
		RequestID: caller.RequestID,
	})
}

func queryFailure(f failure) []byte {
	code := f.code
	if own, ok := stsCodes[code]; ok {
		code = own
	}
	side := "Sender"
	if f.status >= http.StatusInternalServerError {
		side = "Receiver"
	}
	// A structure of strings gives no error.
	payload, _ := xml.Marshal(queryError{Namespace: stsNamespace, Type: side, Code: string(code), Message: f.message, RequestID: f.requestID})
	return payload
}
