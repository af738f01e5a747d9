package smtpd

import (
	"net/netip"
	"sync"
)

// sourceBitsIPv6 is what counts as one source of IPv6: the network that is commonly given to one customer.
const sourceBitsIPv6 int = 64

// crowd counts connections, in all and by source, and keeps both under their limits (S11).
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
func (c *crowd) enter(client netip.Addr) bool {
	source := sourceOf(client)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.total >= c.max || c.bySource[source] >= c.maxPerSource {
		return false
	}
	c.total++
	c.bySource[source]++
	return true
}

// leave ends what enter began.
func (c *crowd) leave(client netip.Addr) {
	source := sourceOf(client)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.bySource[source]--; c.bySource[source] == 0 {
		delete(c.bySource, source)
	}
}

func sourceOf(client netip.Addr) netip.Prefix {
	bits := client.BitLen()
	if client.Is6() {
		bits = sourceBitsIPv6
	}
	source, _ := client.Prefix(bits) // the zero address, of what is no IP connection, has the zero prefix
	return source
}
