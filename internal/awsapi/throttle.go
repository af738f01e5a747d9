package awsapi

import (
	"net/http"
	"strconv"
	"time"

	"sluice/internal/mailmanager"
)

// checkRate refuses a request of an account that asks for too much of the operation (Mail Manager, A15). Operators reach the
// admin API whatever else their account does.
func (a *api) checkRate(x *exchange) error {
	if a.throttle == nil || x.route.isAdmin {
		return nil
	}
	if x.wait = a.throttle.Take(x.caller.Account, x.route.label, a.now()); x.wait > 0 {
		return mailmanager.Errorf(mailmanager.CodeThrottling, "Rate exceeded")
	}
	return nil
}

// setWait tells a throttled caller when to come again, in the two spellings that AWS's clients know: whole seconds, and
// milliseconds. Both are rounded up, so that who obeys gets through.
func setWait(h http.Header, wait time.Duration) {
	h.Set("Retry-After", strconv.FormatInt(ceil(wait, time.Second), 10)) // RFC 9110, section 10.2.3
	h.Set("X-Amz-Retry-After", strconv.FormatInt(ceil(wait, time.Millisecond), 10))
}

func ceil(d, unit time.Duration) int64 { return int64((d + unit - 1) / unit) }
