package control

import (
	"context"
	"net/netip"
	"time"

	"sluice/internal/addresslist"
	"sluice/internal/mailmanager"
	"sluice/internal/policy"
	"sluice/internal/rule"
	"sluice/internal/spool"
	"sluice/internal/store"
	"sluice/internal/trust"
)

// Scope is the account and region of a resource (Mail Manager, A28).
type Scope = store.Scope

// Key names a resource.
type Key struct {
	Scope
	ID string
}

// IngressPoint is an ingress point as sessions see it. Values are shared and must not be changed: a change makes a new one.
type IngressPoint struct {
	Key
	Name        string
	ARN         string
	ARecord     string
	Type        mailmanager.IngressPointType
	Status      mailmanager.IngressPointStatus
	Serving     bool // new sessions are served: the status is ACTIVE, or becomes it when an update ends
	TlsPolicy   mailmanager.TlsPolicy
	DualStack   bool // takes IPv6 clients
	Private     bool
	RuleSetID   string
	PolicyID    string
	Listeners   []string     // names from the tag sluice:listener, else the VPC endpoint of a private point; empty: the pool
	PoolAddress string       // host:port that the pool gave it, kept for life; empty until then
	Default     bool         // tag sluice:default = true
	Addresses   []netip.Addr // tag sluice:address: local addresses of shared listeners whose sessions are the point's
	Hostnames   []string     // tag sluice:hostname: server names that choose the point on shared listeners, beside ARecord; in lower case
	SecretARN   string       // of the secret with its password, as it was configured; empty: none
	Trust       *trust.Store // of type MTLS: who is let in; nil: nobody
	Created     time.Time

	passwords passwords
	secret    secretRef
	endpoint  string // the VPC endpoint of a private point
}

// Relay is a relay resource as it is used for one attempt.
type Relay struct {
	Key
	Name      string
	ARN       string
	Server    string
	Port      int
	SecretARN string // empty: no authentication

	TLS         RelayTLS // tag sluice:tls
	CA          string   // tag sluice:ca: the authority, by its name in the configuration, that its certificate is verified against
	Connections int      // tag sluice:connections: at once; 0: the setting
	Rate        int      // tag sluice:rate: messages a minute; 0: as fast as it goes
}

// RelayTLS is how much TLS a relay must have. With credentials it is always RelayTLSVerified.
type RelayTLS string

// The values of the tag sluice:tls. The zero RelayTLS uses what is offered.
const (
	RelayTLSRequired RelayTLS = "required" // encrypted, whoever it is
	RelayTLSVerified RelayTLS = "verified" // encrypted, with a certificate for its name
)

// Policy is a traffic policy, compiled.
type Policy struct {
	Key
	*policy.Policy
}

// RuleSet is a rule set, compiled, with the source that the spool keeps under its hash (Mail Manager, D19).
type RuleSet struct {
	Key
	Name   string
	Hash   spool.Hash
	Source []byte
	*rule.Set
}

// Snapshot is what the data plane reads: every method is one lock-free look-up of the newest state, and a change is
// there before the API call that made it has answered. The values are shared and must not be changed.
type Snapshot interface {
	IngressPoint(Key) (*IngressPoint, bool)
	Policy(Key) (*Policy, bool)
	RuleSet(Key) (*RuleSet, bool)
	// Relay finds a relay by id or ARN; an ARN of another account or region is not found.
	Relay(scope Scope, idOrARN string) (*Relay, bool)
	AddressLists
}

// AddressLists finds an address list by id or ARN (Mail Manager, A24), with the members that it has now and will have; an
// ARN of another account or region is not found. A Snapshot is one.
type AddressLists interface {
	AddressList(scope Scope, idOrARN string) (*addresslist.List, bool)
}

// ScopedLists are the address lists of an account and region: what the conditions of its policies and rules can name.
type ScopedLists struct {
	Lists AddressLists // nil: there are none
	Scope Scope
}

// AddressList implements policy.Lists and rule.Lists.
func (s *ScopedLists) AddressList(idOrARN string) (*addresslist.List, bool) {
	if s.Lists == nil {
		return nil, false
	}
	return s.Lists.AddressList(s.Scope, idOrARN)
}

var (
	_ policy.Lists = (*ScopedLists)(nil)
	_ rule.Lists   = (*ScopedLists)(nil)
)

// Sockets opens and closes the listening sockets of ingress points; ingress implements it. Calls for one ingress point
// are never made at once; calls for different ones are.
type Sockets interface {
	// HasListener reports whether the configuration names such a listener.
	HasListener(name string) bool
	// Open makes the point reachable: it opens the pool address the point already has, or picks one, or joins the named
	// listeners. It returns the pool address it uses (empty with named listeners). Opening what is open is a no-op, unless
	// the point's listeners are others now: then it moves. The error is the StatusReason of a FAILED point; it is an
	// ErrNoListener when the configuration does not name one of them.
	Open(ctx context.Context, p *IngressPoint) (poolAddress string, err error)
	// Close makes the point unreachable. Closing what is not open is a no-op.
	Close(ctx context.Context, key Key)
	// Bound returns the addresses, host:port, that the point is reached at now.
	Bound(key Key) []string
}
