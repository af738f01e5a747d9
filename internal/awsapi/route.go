package awsapi

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"sluice/internal/mailmanager"
)

// maxOperationOctets is the longest name of an operation that is looked at, and logged.
const maxOperationOctets = 64

// protocol is how the answers of a route look.
type protocol struct {
	contentType    string
	smithyProtocol string // of the response header, if any
	status         func(mailmanager.Code) int
	failure        func(failure) []byte
}

// route is where a request goes: what it must be signed for, and what is called then.
type route struct {
	protocol    *protocol
	signingName string
	operation   string // for the log, also when it does not exist
	label       string // for metrics; empty when the operation does not exist: callers make up names
	isAdmin     bool
	call        func(ctx context.Context, caller Caller, body []byte) ([]byte, error)
}

// find returns the route of a request. The protocol is there even with an error. Paths are compared as they were sent:
// none of ours needs escaping, and the signature covers the path as it was sent.
func (a *api) find(r *http.Request) (route, error) {
	path := r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/service/"); ok {
		return a.findRPC(r, rest)
	}
	if operation, ok := strings.CutPrefix(path, "/admin/"); ok {
		return a.findAdmin(r, operation)
	}
	if path != "/" || r.Method != http.MethodPost {
		return route{protocol: jsonProtocol("1.0", mailmanager.Code.HTTPStatus)}, unknownOperation()
	}
	if r.Header.Get("X-Amz-Target") == "" && hasForm(r) {
		return a.stsRoute(), nil
	}
	prefix, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	for i := range a.services {
		if s := &a.services[i]; s.TargetPrefix == prefix {
			return s.route(jsonProtocol(s.JSONVersion, s.HTTPStatus), jsonCodec, operation)
		}
	}
	return route{protocol: jsonProtocol("1.0", mailmanager.Code.HTTPStatus)}, unknownOperation()
}

func hasForm(r *http.Request) bool {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && mediaType == "application/x-www-form-urlencoded"
}

// findRPC returns the route of a Smithy RPC v2 CBOR request: /service/NAME/operation/NAME.
func (a *api) findRPC(r *http.Request, rest string) (route, error) {
	name, operation, _ := strings.Cut(rest, "/operation/")
	for i := range a.services {
		s := &a.services[i]
		if s.CBOR && s.TargetPrefix == name && r.Method == http.MethodPost && r.Header.Get("Smithy-Protocol") == rpcV2CBOR {
			return s.route(cborProtocol(s.HTTPStatus), cborCodec(a.cborMode), operation)
		}
	}
	return route{protocol: cborProtocol(mailmanager.Code.HTTPStatus)}, unknownOperation()
}

// route returns the route of one of the service's operations.
func (s *Service) route(p *protocol, c codec, operation string) (route, error) {
	rt := route{protocol: p, signingName: s.SigningName, operation: s.TargetPrefix + "." + printable(operation)}
	for i := range s.Operations {
		if op := &s.Operations[i]; op.Name == operation {
			rt.label = rt.operation
			rt.call = func(ctx context.Context, caller Caller, body []byte) ([]byte, error) {
				return s.call(ctx, caller, op, c, body)
			}
			return rt, nil
		}
	}
	return rt, unknownOperation()
}

// printable is the name of an operation as it is logged: at most maxOperationOctets.
func printable(operation string) string { return operation[:min(len(operation), maxOperationOctets)] }

// call decodes and validates the input, calls the handler and encodes the output. An input is validated also when the
// handler does not have the operation.
func (s *Service) call(ctx context.Context, caller Caller, op *mailmanager.Operation, c codec, body []byte) ([]byte, error) {
	input := op.New()
	if err := c.decode(body, op.Input, input); err != nil {
		return nil, err
	}
	if err := mailmanager.Validate(op.Input, input); err != nil {
		return nil, err
	}
	output, err := s.Handler.Handle(ctx, caller, op, input)
	if err != nil {
		return nil, err
	}
	return encode(c.newSink(), op.Output, output), nil
}
