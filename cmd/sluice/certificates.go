package main

import (
	"context"
	"fmt"
	"os"

	"sluice/internal/certs"
	"sluice/internal/control"
)

// openCertificates loads the certificates of SMTP, or makes one on the first start.
func (g *gateway) openCertificates(context.Context) (err error) {
	s := g.server
	pairs := s.cfg.pairs()
	g.certificates, err = certs.Open(certs.Config{
		Pairs:      pairs,
		SelfSigned: certs.SelfSigned{Dir: s.dir.path, Names: s.cfg.certificateNames()},
		Logger:     s.log, Registerer: s.registry,
	})
	switch {
	case err == nil:
		return nil
	case len(pairs) > 0:
		return usage(fmt.Errorf("certificate of SMTP: %w", err), "")
	default:
		return hint(fmt.Errorf("certificate of SMTP: %w", err), "move smtp-cert.pem and smtp-key.pem away to have new ones made")
	}
}

// pairs are the certificates of the configuration, the flags' first.
func (c *Config) pairs() []certs.Pair {
	var pairs []certs.Pair
	if c.SMTPCert != "" {
		pairs = append(pairs, certs.Pair{Cert: c.SMTPCert, Key: c.SMTPKey})
	}
	for _, certificate := range c.Certificates {
		pairs = append(pairs, certs.Pair{Cert: certificate.Cert, Key: certificate.Key})
	}
	return pairs
}

// certificateNames are what a self-signed certificate is for: what greetings call us. A wildcard stands for one label, so
// that each region needs its own.
func (c *Config) certificateNames() []string {
	names := []string{c.hostname(), c.MailDomain, "*." + c.MailDomain}
	regions := c.Regions
	if len(regions) == 0 {
		regions = []string{defaultRegion}
	}
	for _, region := range regions {
		names = append(names, "*."+control.HostDomain(region, c.MailDomain))
	}
	return names
}

// reloadAt loads the certificates anew, and opens the log of records anew, at each signal, until ctx ends.
func (s *server) reloadAt(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		}
		if err := s.gateway.certificates.Reload(); err != nil {
			s.log.Error("certificates not loaded, those before stay in use", "error", err.Error())
		} else {
			s.log.Info("certificates loaded")
		}
		if err := s.gateway.records.Reopen(); err != nil {
			s.log.Error("log of records not opened anew, the file before stays in use", "error", err.Error())
		}
	}
}
