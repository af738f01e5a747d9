package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"sluice/internal/control"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/srs"
)

// relayPrefix is what the id of a relay begins with, and no host:port that has no colon.
const relayPrefix = "r-"

// checkOut refuses what is wrong with the settings of how mail leaves.
func (c *Config) checkOut() error {
	if err := checkRoute(c.Bounces.Route); err != nil {
		return usage(fmt.Errorf("route of [bounces]: %w", err), "name a relay by its id, or HOST:PORT")
	}
	if c.Bounces.From != "" {
		if _, err := c.bouncesFrom(); err != nil {
			return usage(fmt.Errorf("from of [bounces]: %w", err), "write an address, or the part before the @")
		}
	}
	if c.SRS.Domain != "" {
		if _, err := smtp.ParseMailbox("srs@" + c.SRS.Domain); err != nil {
			return usage(fmt.Errorf("domain of [srs]: %w", err), "")
		}
	}
	return nil
}

func checkRoute(route string) error {
	if route == "" || isRelayID(route) {
		return nil
	}
	host, port, err := net.SplitHostPort(route)
	if err != nil {
		return err
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || host == "" {
		return fmt.Errorf("%q has no host or no port", route)
	}
	return nil
}

func isRelayID(route string) bool {
	return strings.HasPrefix(route, relayPrefix) && !strings.Contains(route, ":")
}

// bouncesFrom is whom notifications are from.
func (c *Config) bouncesFrom() (smtp.Path, error) {
	from := c.Bounces.From
	if from == "" {
		from = "postmaster"
	}
	if !strings.Contains(from, "@") {
		from += "@" + c.hostname()
	}
	path, err := smtp.ParseMailbox(from)
	if err != nil {
		return path, fmt.Errorf("%q is no address: %w", from, err)
	}
	return path, nil
}

// alwaysBounces reports whether senders are told whoever they are.
func (c *Config) alwaysBounces() bool { return c.Bounces.Always == nil || *c.Bounces.Always }

// bounceRoute is the lane by which notifications of a scope leave; empty when there is none.
func (g *gateway) bounceRoute(account, region string) spool.Lane {
	route := g.server.cfg.Bounces.Route
	switch {
	case route == "":
		return ""
	case !isRelayID(route):
		return spool.HopLane(route)
	}
	if _, ok := g.control.Relay(control.Scope{Account: account, Region: region}, route); !ok {
		return ""
	}
	return spool.RelayLane(account, region, route)
}

// loadAuthorities reads the private authorities of the configuration.
func (c *Config) loadAuthorities() (map[string]*x509.CertPool, error) {
	pools := map[string]*x509.CertPool{}
	for name, file := range c.Authorities {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usage(fmt.Errorf("authority %q: %w", name, err), "")
		}
		pools[name] = x509.NewCertPool()
		if !pools[name].AppendCertsFromPEM(text) {
			return nil, usage(fmt.Errorf("authority %q: %w", name, errors.New(file+" has no certificate in PEM")), "")
		}
	}
	return pools, nil
}

// rewriter makes replaced senders; nil without a domain for them.
func (c *Config) rewriter(derive func(purpose string) []byte) *srs.Rewriter {
	if c.SRS.Domain == "" {
		return nil
	}
	return srs.New(c.SRS.Domain, derive("srs"))
}
