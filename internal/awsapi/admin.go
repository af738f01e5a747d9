package awsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"sluice/internal/mailmanager"
)

// adminSigningName is the service that requests to the admin API are signed for.
const adminSigningName = "sluice"

var adminOperation = regexp.MustCompile(fmt.Sprintf(`^[A-Za-z][A-Za-z0-9]{0,%d}$`, maxOperationOctets-1))

// adminProtocol is plain JSON with the errors of AWS JSON.
func adminProtocol() *protocol {
	p := jsonProtocol("1.0", mailmanager.Code.HTTPStatus)
	p.contentType = "application/json"
	return p
}

// findAdmin returns the route of POST /admin/OPERATION. Only the handler knows which operations there are, so the metric
// has one label for all of them.
func (a *api) findAdmin(r *http.Request, operation string) (route, error) {
	rt := route{protocol: adminProtocol(), signingName: adminSigningName, operation: "admin." + printable(operation)}
	if a.admin == nil || r.Method != http.MethodPost || !adminOperation.MatchString(operation) {
		return rt, unknownOperation()
	}
	rt.label, rt.isAdmin = "admin", true
	rt.call = func(ctx context.Context, x *exchange, body []byte) ([]byte, error) {
		return a.callAdmin(ctx, x, operation, body)
	}
	return rt, nil
}

func (a *api) callAdmin(ctx context.Context, x *exchange, operation string, body []byte) ([]byte, error) {
	if len(body) == 0 {
		body = []byte("{}")
	}
	if !json.Valid(body) {
		return nil, errNotJSON
	}
	if err := a.authorize(ctx, x, adminSigningName, operation, json.RawMessage(body)); err != nil {
		return nil, err
	}
	output, err := a.admin.HandleAdmin(ctx, x.caller, operation, body)
	var e *mailmanager.Error
	if errors.As(err, &e) && e.Code == mailmanager.CodeUnknownOperation {
		return nil, noSuchOperation{err} // the admin API has no operations that are still to come
	}
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(output)
	if err != nil {
		return nil, fmt.Errorf("encode the output of %s: %w", operation, err)
	}
	return payload, nil
}
