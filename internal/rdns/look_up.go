package rdns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Results of look-ups, as the label of a metric.
const (
	resultConfirmed = "confirmed"
	resultNone      = "none" // no name, or none that leads back
	resultFailed    = "failed"
	resultSkipped   = "skipped" // too many were running
)

// lookUp looks an address up and keeps the answer.
func (n *Names) lookUp(address netip.Addr) {
	ctx, cancel := context.WithTimeout(n.ctx, lookUpTime)
	defer cancel()
	name, err := n.confirmed(ctx, address)
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.running, address)
	if n.ctx.Err() != nil { // by Close: nothing was learnt
		return
	}
	now := n.now()
	known, _ := n.cache.get(address)
	result := resultNone
	switch {
	case name != "":
		result, known = resultConfirmed, answer{name: name, due: now.Add(confirmedFor), until: now.Add(toldFor)}
	case err != nil: // what was confirmed before stays
		result, known.due = resultFailed, now.Add(failedFor)
		n.logger.Debug("reverse DNS failed", "address", address.String(), "error", err)
	default:
		known = answer{due: now.Add(noneFor)}
	}
	n.cache.put(address, known)
	n.results.WithLabelValues(result).Inc()
}

// confirmed returns the first name of the address that the address is one of. The error says that it cannot be told
// whether there is one.
func (n *Names) confirmed(ctx context.Context, address netip.Addr) (string, error) {
	names, failure := n.lookup.LookupAddr(ctx, address.String())
	if len(names) > 0 || notFound(failure) {
		failure = nil // beside names, an error speaks of others that were no names
	}
	network := "ip6"
	if address.Is4() {
		network = "ip4"
	}
	for _, name := range candidates(names) {
		addresses, err := n.lookup.LookupNetIP(ctx, network, name+".") // absolute: no search list
		if slices.ContainsFunc(addresses, func(a netip.Addr) bool { return a.Unmap() == address }) {
			return name, nil
		}
		if err != nil && !notFound(err) {
			failure = err
		}
	}
	return "", failure
}

func notFound(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound
}

// candidates are the names worth trying. The owner of the reverse zone writes what he likes, and as much as he likes.
func candidates(names []string) []string {
	var out []string
	for _, name := range names {
		if host, ok := hostName(name); ok && !slices.Contains(out, host) {
			out = append(out, host)
		}
		if len(out) == maxNames {
			break
		}
	}
	return out
}

// Lengths of names in octets. RFC 1035, section 2.3.4.
const (
	maxHostOctets  = 253 // as text, without the final dot
	maxLabelOctets = 63
)

// hostName is the name without its final dot. ok is false for what is no host name: only letters, digits, hyphens and, as
// some do, underscores are taken, so that nothing in it can mean anything elsewhere; and no address in disguise.
func hostName(name string) (host string, ok bool) {
	host = strings.TrimSuffix(name, ".")
	if len(host) > maxHostOctets {
		return "", false
	}
	last := ""
	for last = range strings.SplitSeq(host, ".") {
		if last == "" || len(last) > maxLabelOctets || strings.ContainsFunc(last, isForeign) {
			return "", false
		}
	}
	if strings.Trim(last, "0123456789") == "" { // 192.0.2.1
		return "", false
	}
	return host, true
}

func isForeign(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}
