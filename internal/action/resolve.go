package action

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"sluice/internal/control"
)

// maxAddresses is how many addresses of a next hop are tried for one connection.
const maxAddresses = 8

// resolveTimeout bounds a look-up. RFC 1035, section 7.2 wants no less than 5 seconds for one server, and resolvers ask several.
const resolveTimeout = 20 * time.Second

// Resolve returns the addresses of a host in the order in which they are to be tried.
type Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

// resolveSystem asks the system's resolver.
func resolveSystem(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// addresses returns where a relay may be reached: one look-up a connection, and none for an address literal.
func (e *RelayExecutor) addresses(ctx context.Context, relay *control.Relay) ([]netip.Addr, error) {
	host, found := relay.Server, []netip.Addr{}
	if addr, err := netip.ParseAddr(host); err == nil {
		found = append(found, addr)
	} else {
		looking, cancel := context.WithTimeout(ctx, resolveTimeout)
		defer cancel()
		if found, err = e.Resolve(looking, host); err != nil {
			return nil, err
		}
	}
	if relay.ID != "" && e.Strict(relay.Account) { // a relay resource: Mail Manager, E4; the addresses themselves are judged, whatever the name was when it was configured (S23)
		found = slices.DeleteFunc(slices.Clone(found), private)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no address that may be used", host)
	}
	return found[:min(len(found), maxAddresses)], nil
}

// sharedSpace is what carriers use inside. RFC 6598.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// private reports whether an address is not one of the public internet.
func private(addr netip.Addr) bool {
	addr = addr.Unmap()
	return !addr.IsGlobalUnicast() || addr.IsPrivate() || sharedSpace.Contains(addr)
}
