package ingress

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Pool is the range of addresses that ingress points without a named listener get one of. Source: Mail Manager, B19.
type Pool struct {
	Host      string
	Low, High int // ports, both included
}

const maxPort = 65535

// ParsePool reads HOST:LOW-HIGH or HOST:PORT.
func ParsePool(text string) (Pool, error) {
	malformed := fmt.Errorf("SMTP address pool %q: want HOST:LOW-HIGH, such as 127.0.0.1:2525-2599", text)
	host, ports, err := net.SplitHostPort(text)
	if err != nil {
		return Pool{}, malformed
	}
	lowText, highText, isRange := strings.Cut(ports, "-")
	if !isRange {
		highText = lowText
	}
	low, errLow := strconv.Atoi(lowText)
	high, errHigh := strconv.Atoi(highText)
	if errLow != nil || errHigh != nil || low < 1 || high > maxPort || low > high {
		return Pool{}, malformed
	}
	return Pool{Host: host, Low: low, High: high}, nil
}

// String is the pool as ParsePool reads it.
func (p Pool) String() string {
	return net.JoinHostPort(p.Host, fmt.Sprintf("%d-%d", p.Low, p.High))
}

func (p Pool) address(port int) string { return net.JoinHostPort(p.Host, strconv.Itoa(port)) }

// poolNetwork is the family of a pool address: IPv4, unless it is written as an IPv6 address. IPv6 clients reach a dual-stack
// point by its twin, and other points not at all.
func poolNetwork(address string) string {
	if networkOf(address) == "tcp6" {
		return "tcp6"
	}
	return "tcp4"
}

// ipv6Twin is the address that takes a dual-stack point's IPv6 clients: the same port on the IPv6 loopback or wildcard.
// It is empty when the address is a particular IPv4 address, which has no twin, or an IPv6 address already.
func ipv6Twin(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	switch host {
	case "127.0.0.1", "localhost":
		return net.JoinHostPort("::1", port)
	case "", "0.0.0.0":
		return net.JoinHostPort("::", port)
	default:
		return ""
	}
}
