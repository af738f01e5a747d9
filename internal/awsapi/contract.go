package awsapi

import (
	"context"
	"encoding/json"
	"time"

	"sluice/internal/mailmanager"
)

// Caller is who makes a request, as its verified signature says.
type Caller struct {
	Account     string // whose resources are meant: the caller's own, but for the root (see AccountHeader)
	Region      string // of the credential scope (Mail Manager, A28)
	User        string // name within the account; empty: the root of the installation
	Principal   string // ARN of the user or the root
	AccessKeyID string
	RequestID   string
	Address     string // host:port that the request came from
	UserAgent   string // in the client's words
	Secure      bool   // the request came over TLS
}

// AccountHeader names the account that a request of the root is about, where that is not the root's own. It must be signed,
// and a user may name none but its own.
const AccountHeader = "X-Sluice-Account"

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

// Key is an access key, as far as it is needed to verify a signature and to say whose it is.
type Key struct {
	Secret  string
	Account string
	User    string // empty: the root of the installation
}

// Credentials finds access keys by their ids. A key that may not be used is as one that does not exist. Lookup is called
// concurrently, for every request, before the caller has proved anything.
type Credentials interface {
	Lookup(ctx context.Context, accessKeyID string) (key Key, ok bool)
}

// Ask is what a caller wants to do.
type Ask struct {
	Caller    Caller
	Service   string // as it is called in the scope of signatures
	Operation string
	Input     any // what the handler gets: decoded and valid, or of the admin API a json.RawMessage
}

// Authorizer decides whether a caller may do what it asks for. It is asked once for every request whose signature is
// verified and whose input is valid, before the handler or anybody else has looked anything up. An error refuses the
// request. resources are the ARNs that the request is about, whatever the answer. Authorize is called concurrently.
type Authorizer interface {
	Authorize(ctx context.Context, ask *Ask) (resources []string, err error)
}

// Entry is what became of one request: who, what, from where, with which outcome. There is nothing of a body in it. Texts
// that callers choose are of bounded length and may have any character.
type Entry struct {
	Time        time.Time
	RequestID   string
	Operation   string // with its service: MailManagerSvc.GetRelay, admin.GetTrace
	Resources   []string
	Account     string // empty while the caller is not known
	Region      string
	Principal   string // ARN; empty while the caller is not known
	AccessKeyID string // without a Principal it is what the request claims
	Address     string
	UserAgent   string
	Code        string // OK, or that of the error
	Status      int    // of HTTP
	Duration    time.Duration
}

// Auditor takes an Entry for every request, after it was answered. Audit is called concurrently and must not wait.
type Auditor interface {
	Audit(Entry)
}
