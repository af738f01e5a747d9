// Package client is the admin API as its callers see it: the inputs and outputs of its operations and a Client that signs
// and sends them. The subcommands of sluice and the quickstart are such callers; they reach a server in no other way.
// Start with Client.
package client

import (
	"time"

	"sluice/internal/trace"
)

// The operations of the admin API.
const (
	OpGetTrace      = "GetTrace"
	OpListListeners = "ListListeners"
	OpGetStatus     = "GetStatus"
)

// GetTraceInput names a message or a session by its id, as the reply to the final dot has it.
type GetTraceInput struct {
	Id string
}

// GetTraceOutput is everything known of the message or session.
type GetTraceOutput struct {
	Record trace.Record
}

// ListListenersInput asks for the ingress points of the caller's account and region.
type ListListenersInput struct{}

// ListListenersOutput has them ordered by name.
type ListListenersOutput struct {
	Listeners []Listener
}

// Listener is where an ingress point is reached. Addresses, host:port, is empty while it is not.
type Listener struct {
	IngressPointId string
	Name           string
	Status         string
	StatusReason   string `json:",omitempty"` // why a point is FAILED
	Addresses      []string
}

// GetStatusInput asks how the server is.
type GetStatusInput struct{}

// GetStatusOutput is what /readyz says, and what waits in every lane. NotReady is empty when the server takes mail.
type GetStatusOutput struct {
	Version  string
	NotReady []string
	Lanes    []Lane
}

// Lane is the queue of items that wait for one target, and those at rest.
type Lane struct {
	Name   string
	Items  int
	Octets int64
	Oldest time.Time // when its first item is due, or since when that is held
}
