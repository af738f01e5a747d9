package awsapi

import (
	"context"
	"encoding/json"
	"time"

	"sluice/internal/mailmanager"
)

// Caller is who makes a request, as its verified signature says.
type Caller struct {
	Account     string
	Region      string // of the credential scope (Mail Manager, A28)
	AccessKeyID string
	RequestID   string
	Address     string // host:port that the request came from
}

// Handler carries out the operations of one service. It is called once the signature is verified and the input is
// decoded and valid; input is what op.New returned and the output must be of the type that op.NewOutput returns. An
// operation that the handler does not implement is answered with mailmanager.CodeUnknownOperation. Handle is called
// concurrently.
type Handler interface {
	Handle(ctx context.Context, caller Caller, op *mailmanager.Operation, input any) (output any, err error)
}

// AdminHandler carries out the operations of the admin API, whose inputs and outputs are any JSON. input is one valid JSON
// value, {} when the body is empty; the output is marshalled with encoding/json. An operation that does not
// exist is answered with mailmanager.CodeUnknownOperation. HandleAdmin is called concurrently.
type AdminHandler interface {
	HandleAdmin(ctx context.Context, caller Caller, operation string, input json.RawMessage) (output any, err error)
}

// Throttle says when a caller asks for too much. Take is called concurrently, once the signature is verified and before the
// handler: 0 lets the request pass, anything else is how long its caller should wait. The operation has its service in front,
// as in MailManagerSvc.GetRelay.
type Throttle interface {
	Take(account, operation string, now time.Time) (wait time.Duration)
}

// Credentials finds the secret access key of an access key id, and the account it belongs to. Lookup is called
// concurrently, for every request, before the caller has proved anything.
type Credentials interface {
	Lookup(ctx context.Context, accessKeyID string) (secret, account string, ok bool)
}
