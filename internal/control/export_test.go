package control

import (
	"context"
	"hash"
	"runtime"
	"sync"
	"time"

	"sluice/internal/mailmanager"
)

// Quiet waits until no ingress point is being worked on.
func (c *Control) Quiet() {
	for {
		c.lifecycle.mu.Lock()
		n := len(c.lifecycle.running)
		c.lifecycle.mu.Unlock()
		if n == 0 {
			return
		}
		runtime.Gosched()
	}
}

// ChunkRows is how many rows the chunks of imports have that start from now on. None may be running.
func (c *Control) ChunkRows(n int) { c.imports.chunk = n }

// Maintain runs the recurring duties on ticks of the caller's.
func (c *Control) Maintain(ctx context.Context, retry, sweep <-chan time.Time) {
	c.maintain(ctx, retry, sweep)
}

// RunImport works on one import job, as the worker does.
func (c *Control) RunImport(ctx context.Context) error {
	_, err := c.runImport(ctx)
	return err
}

// Admitting admits an upload when start has begun and waits for the job.
func (c *Control) Admitting(scope Scope, job string, start func()) (done func()) {
	key := kindImportJob.key(scope, job)
	unlock := c.locks.lock(key)
	defer unlock()
	go start()
	for c.imports.starts.TryLock() {
		c.imports.starts.Unlock()
		runtime.Gosched()
	}
	for range 1000 { // so that a start which looks before it has the lock has looked
		runtime.Gosched()
	}
	done, _ = c.imports.upload(key)
	return done
}

// MACs are the keyed hashes that passwords were checked by.
type MACs struct {
	mu     sync.Mutex
	octets []int // that each is over
}

// Take returns how many octets each hash since the last Take was over.
func (m *MACs) Take() []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.octets
	m.octets = nil
	return taken
}

type countedMAC struct {
	hash.Hash
	macs    *MACs
	written int
}

func (h *countedMAC) Write(octets []byte) (int, error) {
	h.written += len(octets)
	return h.Hash.Write(octets)
}

func (h *countedMAC) Sum(b []byte) []byte {
	h.macs.mu.Lock()
	defer h.macs.mu.Unlock()
	h.macs.octets = append(h.macs.octets, h.written)
	h.written = 0
	return h.Hash.Sum(b)
}

// CountMACs counts from now on. No password may be checked at the same time.
func (c *Control) CountMACs() *MACs {
	macs, before := &MACs{}, c.hasher
	c.hasher = newHasher(func() hash.Hash {
		return &countedMAC{Hash: before.idle.Get().(*hashing).mac, macs: macs}
	})
	return macs
}

// What is read of texts that others write.
var (
	PasswordIn   = passwordIn
	ReadAddress  = readAddress
	ReadHostname = readHostname
)

// MaxPasswordOctets is how long the longest password is.
const MaxPasswordOctets = maxPasswordOctets

// TLSPolicy is the TLS policy of a new point, or the error.
func TLSPolicy(strict bool, t mailmanager.IngressPointType, private bool, region string, asked *mailmanager.TlsPolicy) (mailmanager.TlsPolicy, error) {
	c := &Control{cfg: Config{Profiles: NewProfiles(NewProfile(strict, Limits{}), nil)}}
	return c.tlsPolicy(pointOf(t, private, ""), Scope{Region: region}, asked)
}

// ChangedTLSPolicy is the TLS policy after an update, or the error.
func ChangedTLSPolicy(strict bool, t mailmanager.IngressPointType, private bool, region string, from, to mailmanager.TlsPolicy) (mailmanager.TlsPolicy, error) {
	c := &Control{cfg: Config{Profiles: NewProfiles(NewProfile(strict, Limits{}), nil)}}
	return c.changedTLSPolicy(pointOf(t, private, from), Scope{Region: region}, &to)
}

func pointOf(t mailmanager.IngressPointType, private bool, policy mailmanager.TlsPolicy) *pointRecord {
	p := &pointRecord{Type: t, TlsPolicy: policy, Network: networkOf(nil)}
	if private {
		p.Network = mailmanager.NetworkConfiguration{PrivateNetworkConfiguration: &mailmanager.PrivateNetworkConfiguration{}}
	}
	return p
}

// Names of the rest of names.go.
var (
	ParseARN  = func(text string) (string, bool) { a, ok := parseARN(text); return a.String(), ok }
	NewHost   = newHost
	RegionTag = regionTag
	NewUUID   = newUUID
)

// RelayID is how ids of relays are checked and found in ARNs.
func RelayID(id string) bool { return kindRelay.validID(id) }

// RelayIDFromARN is the id in an ARN of a relay.
func RelayIDFromARN(scope Scope, text string) (string, bool) { return kindRelay.idFromARN(scope, text) }

// NewRelayID is a new relay's id, and its ARN.
func NewRelayID(scope Scope) (id, arn string) {
	id = kindRelay.newID()
	return id, kindRelay.arnOf(scope, id)
}
