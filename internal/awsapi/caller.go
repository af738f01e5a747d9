package awsapi

import (
	"net/http"
	"regexp"
	"strings"

	"sluice/internal/mailmanager"
)

// Limits of what callers say of themselves, as it is passed on and kept.
const (
	maxUserAgentOctets = 256
	maxKeyIDOctets     = 128 // AWS has no longer ones
)

// accountID is what an account id looks like.
var accountID = regexp.MustCompile(`^[0-9]{12}$`)

// caller is who has signed the request.
func (c *claim) caller(r *http.Request, requestID string) (Caller, error) {
	caller := Caller{
		Account: c.key.Account, Region: c.region, User: c.key.User, Principal: mailmanager.UserARN(c.region, c.key.Account, c.key.User),
		AccessKeyID: c.accessKeyID, RequestID: requestID, Address: r.RemoteAddr, UserAgent: bounded(r.UserAgent(), maxUserAgentOctets),
		Secure: r.TLS != nil,
	}
	account := r.Header.Get(AccountHeader)
	switch {
	case account == "" || account == caller.Account:
	case !accountID.MatchString(account):
		return caller, mailmanager.Errorf(mailmanager.CodeValidation, "%s must be an account id of 12 digits", AccountHeader)
	case caller.User != "": // whether there is such an account is none of its business (S36)
		return caller, mailmanager.Errorf(mailmanager.CodeAccessDenied, "User: %s may not act in another account", caller.Principal)
	default:
		caller.Account = account
	}
	return caller, nil
}

// bounded is the beginning of a text.
func bounded(text string, octets int) string {
	if len(text) <= octets {
		return text
	}
	return strings.ToValidUTF8(text[:octets], "")
}

// audit tells the auditor of a request.
func (a *api) audit(r *http.Request, x *exchange, status int) {
	if a.auditor == nil {
		return
	}
	entry := Entry{
		Time: x.began, RequestID: x.requestID, Operation: x.route.operation, Resources: x.resources,
		Account: x.caller.Account, Region: x.caller.Region, Principal: x.caller.Principal,
		AccessKeyID: bounded(x.claimed, maxKeyIDOctets), Address: r.RemoteAddr, UserAgent: bounded(r.UserAgent(), maxUserAgentOctets),
		Code: codeOK, Status: status, Duration: a.now().Sub(x.began),
	}
	if x.err != nil {
		entry.Code = string(x.failure.code)
	}
	a.auditor.Audit(entry)
}
