package smtpd

import (
	"net/netip"
	"slices"
)

// TLSMode says how sessions of a listener come to TLS.
type TLSMode int

// The modes. The zero TLSMode is TLSStart.
const (
	TLSStart    TLSMode = iota // in clear until STARTTLS (RFC 3207), where the host offers it
	TLSImplicit                // from the first octet on (RFC 8314, section 3)
	TLSNone                    // never
)

// Listener is what is known of a listening socket. Source: Mail Manager, B19.
type Listener struct {
	Name      string
	Tag       any // the host's own
	TLS       TLSMode
	ProxyFrom []netip.Prefix // connections from these networks begin with a PROXY protocol header
}

// trusts reports whether a connection from there begins with a PROXY header.
func (l *Listener) trusts(peer netip.Addr) bool {
	return slices.ContainsFunc(l.ProxyFrom, func(network netip.Prefix) bool { return network.Contains(peer) })
}
