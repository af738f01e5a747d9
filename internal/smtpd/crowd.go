package smtpd

import (
	"net/netip"
	"sync"
)

// sourceBitsIPv6 is what counts as one source of IPv6: the network that is commonly given to one customer.
const sourceBitsIPv6 int = 64

// crowd counts connections, in all and by source, and keeps both under their limits (S11). What has no source, the zero
// prefix, is counted in all only.
type crowd struct {
	max, maxPerSource int

	mu       sync.Mutex
	total    int
	bySource map[netip.Prefix]int
}

func newCrowd(max, maxPerSource int) *crowd {
	return &crowd{max: max, maxPerSource: maxPerSource, bySource: make(map[netip.Prefix]int)}
}

// enter counts a connection, and reports whether there was room for it.
func (c *crowd) enter(source netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.max || !c.add(source) {
		return false
	}
	c.total++
	return true
}

// name gives a counted connection without a source its source, and reports whether there was room for it.
func (c *crowd) name(source netip.Prefix) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add(source)
}

// leave ends what enter and name began.
func (c *crowd) leave(source netip.Prefix) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if !source.IsValid() {
		return
	}
	if c.bySource[source]--; c.bySource[source] == 0 {
		delete(c.bySource, source)
	}
}

func (c *crowd) add(source netip.Prefix) bool {
	if !source.IsValid() {
		return true
	}
	if c.bySource[source] >= c.maxPerSource {
		return false
	}
	c.bySource[source]++
	return true
}

// SourceOf is what counts as one source of connections: an IPv4 address, or an IPv6 network. The zero address, of what is no
// IP connection, has the zero prefix.
func SourceOf(client netip.Addr) netip.Prefix {
	client = client.Unmap()
	bits := client.BitLen()
	if client.Is6() {
		bits = sourceBitsIPv6
	}
	source, _ := client.Prefix(bits)
	return source
}
