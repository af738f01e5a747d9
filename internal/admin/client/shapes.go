// Package client is the admin API as its callers see it: the inputs and outputs of its operations and a Client that signs
// and sends them. The subcommands of sluice and the quickstart are such callers; they reach a server in no other way.
// Start with Client.
package client

import (
	"slices"
	"time"

	"sluice/internal/trace"
)

// The operations of the admin API.
const (
	OpGetTrace      = "GetTrace"
	OpFindTraces    = "FindTraces"
	OpListListeners = "ListListeners"
	OpGetStatus     = "GetStatus"
	OpTestRelay     = "TestRelay"
)

// GetTraceInput names a message or a session by its id, as the reply to the final dot has it.
type GetTraceInput struct {
	Id string
}

// GetTraceOutput is everything known of the message or session.
type GetTraceOutput struct {
	Record trace.Record
}

// FindTracesInput says which messages and sessions are looked for: those of the caller's account and region that are as
// every member that is set says. See trace.Query, which has the members' meaning.
type FindTracesInput struct {
	Sender    string    `json:",omitempty"`
	Recipient string    `json:",omitempty"`
	Client    string    `json:",omitempty"` // address of IPv4 or IPv6
	Since     time.Time `json:",omitzero"`
	Until     time.Time `json:",omitzero"`
	Refused   bool      `json:",omitempty"`
	Limit     int       `json:",omitempty"`
	NextToken string    `json:",omitempty"`
}

// FindTracesOutput is some of what was found, the newest first. There may be more while NextToken is not empty, even if
// Traces is: one call reads so much and no more.
type FindTracesOutput struct {
	Traces    []trace.Summary
	NextToken string `json:",omitempty"`
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

// GetStatusOutput is what /readyz says, the profile of the account, and what waits in every lane. NotReady is empty when the
// server takes mail.
type GetStatusOutput struct {
	Version  string
	Profile  string `json:",omitempty"` // default or aws-strict
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

// TestRelayInput names a relay of the caller's account and region by its id or ARN.
type TestRelayInput struct {
	Id string
}

// TestRelayOutput is what came of connecting to a relay without sending mail. Failure says why no address was tried.
type TestRelayOutput struct {
	Id        string
	Name      string
	Server    string
	Port      int
	Failure   string         `json:",omitempty"`
	Addresses []RelayAddress // in the order in which they are used
	Took      time.Duration  // nanoseconds
}

// RelayAddress is what came of one address. It works when Failure is empty.
type RelayAddress struct {
	Address  string     // host:port
	Greeting string     `json:",omitempty"` // in the host's words
	Offers   []string   `json:",omitempty"` // service extensions, after TLS
	TLS      *trace.TLS `json:",omitempty"` // absent: in clear
	Fallback string     `json:",omitempty"` // why TLS was begun and is not used
	User     string     `json:",omitempty"` // whom the host took the server for
	Failure  string     `json:",omitempty"` // in the host's words where it said any
	Took     time.Duration
}

// Works reports whether mail can leave by an address of the relay.
func (o *TestRelayOutput) Works() bool {
	return slices.ContainsFunc(o.Addresses, func(a RelayAddress) bool { return a.Failure == "" })
}
