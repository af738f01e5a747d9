package awsapi

import (
	"context"
	"mime"
	"net/http"
	"slices"
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
	call        func(ctx context.Context, x *exchange, body []byte) ([]byte, error)
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
			return a.serve(s, jsonProtocol(s.JSONVersion, s.HTTPStatus), jsonCodec, operation)
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
			return a.serve(s, cborProtocol(s.HTTPStatus), cborCodec(a.cborMode), operation)
		}
	}
	return route{protocol: cborProtocol(mailmanager.Code.HTTPStatus)}, unknownOperation()
}

// serve returns the route of one of a service's operations.
func (a *api) serve(s *Service, p *protocol, c codec, operation string) (route, error) {
	rt := route{protocol: p, signingName: s.SigningName, operation: s.TargetPrefix + "." + printable(operation)}
	i := slices.IndexFunc(s.Operations, func(op mailmanager.Operation) bool { return op.Name == operation })
	if i < 0 {
		return rt, unknownOperation()
	}
	rt.label = rt.operation
	rt.call = func(ctx context.Context, x *exchange, body []byte) ([]byte, error) {
		return a.call(ctx, x, served{s, c, &s.Operations[i]}, body)
	}
	return rt, nil
}

// served is an operation of a service in one encoding.
type served struct {
	*Service
	codec
	operation *mailmanager.Operation
}

// printable is the name of an operation as it is logged: at most maxOperationOctets.
func printable(operation string) string { return operation[:min(len(operation), maxOperationOctets)] }

// call decodes and validates the input, asks whether the caller may, calls the handler and encodes the output. An input is
// validated also when the handler does not have the operation.
func (a *api) call(ctx context.Context, x *exchange, s served, body []byte) ([]byte, error) {
	input := s.operation.New()
	if err := s.decode(body, s.operation.Input, input); err != nil {
		return nil, err
	}
	if err := mailmanager.Validate(s.operation.Input, input); err != nil {
		return nil, err
	}
	if err := a.authorize(ctx, x, s.SigningName, s.operation.Name, input); err != nil {
		return nil, err
	}
	output, err := s.Handler.Handle(ctx, x.caller, s.operation, input)
	if err != nil {
		return nil, err
	}
	return encode(s.newSink(), s.operation.Output, output), nil
}

// authorize asks whether the caller may do what it asks for.
func (a *api) authorize(ctx context.Context, x *exchange, service, operation string, input any) (err error) {
	if a.authorizer == nil {
		return nil
	}
	x.resources, err = a.authorizer.Authorize(ctx, &Ask{Caller: x.caller, Service: service, Operation: operation, Input: input})
	return err
}
