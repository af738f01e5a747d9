package ingress

import (
	"crypto/tls"
	"errors"
	"slices"

	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/smtpd"
)

// Certificates are what the server proves itself with.
type Certificates interface {
	// Get returns the certificate for a handshake. tls.Config.GetCertificate has the details.
	Get(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

var (
	errNoTrust  = errors.New("the ingress point has no trust store that can be used")
	errNotFIPS  = errors.New("the cipher suite is not one that FIPS 140-3 approves")
	errNoServer = errors.New("no server certificate is configured")
)

// modernSuites are the cipher suites of TLS 1.2 that are taken: ephemeral keys and authenticated encryption. Those of TLS 1.3
// are all of that kind. RFC 9325, section 4.2.
var modernSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// fipsSuites are those, of both versions, that FIPS 140-3 approves: NIST SP 800-52 Rev. 2, section 3.3.1.
var fipsSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384,
}

var fipsCurves = []tls.CurveID{tls.CurveP256, tls.CurveP384}

// tlsConfigs are the configurations of handshakes, made once. None resumes sessions: a client that proves itself does so each
// time, and against the trust store that is current.
type tlsConfigs struct {
	modern   *tls.Config
	fips     *tls.Config
	fipsTLS2 *tls.Config // for clients that would have TLS 1.3 use a suite that is not approved: Go lets nobody choose these
}

func newTLSConfigs(certificates Certificates) tlsConfigs {
	modern := &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: modernSuites, SessionTicketsDisabled: true}
	if certificates != nil {
		modern.GetCertificate = certificates.Get
	}
	fips := modern.Clone()
	fips.CipherSuites, fips.CurvePreferences = fipsSuites, fipsCurves
	fips.VerifyConnection = func(state tls.ConnectionState) error { return checkFIPS(state.CipherSuite) }
	fipsTLS2 := fips.Clone()
	fipsTLS2.MaxVersion = tls.VersionTLS12
	return tlsConfigs{modern: modern, fips: fips, fipsTLS2: fipsTLS2}
}

func checkFIPS(suite uint16) error {
	if !slices.Contains(fipsSuites, suite) {
		return errNotFIPS
	}
	return nil
}

// isFIPS reports whether a session's cipher suite, by its name, is approved.
func isFIPS(name string) bool {
	return slices.ContainsFunc(fipsSuites, func(suite uint16) bool { return tls.CipherSuiteName(suite) == name })
}

// Handshake implements smtpd.Host. The server name may tell which point is meant: its TLS policy and its trust store then hold.
// Source: Mail Manager, B6, B17 and B18.
func (in host) Handshake(s *smtpd.Session, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if in.cfg.Certificates == nil {
		return nil, errNoServer
	}
	point := in.pointOfHandshake(s, hello.ServerName)
	config := in.tls.modern
	if point != nil && point.TlsPolicy == mailmanager.TlsPolicyFips {
		config = in.tls.fips
		if prefersUnapproved(hello.CipherSuites) {
			config = in.tls.fipsTLS2
		}
	}
	if point == nil || point.Type != mailmanager.IngressPointTypeMtls {
		return config, nil
	}
	return in.demandCertificate(s, point, config)
}

// prefersUnapproved reports whether TLS 1.3 would come to a suite that FIPS 140-3 does not approve: the client's first choice of
// what both sides know decides.
func prefersUnapproved(suites []uint16) bool {
	for _, suite := range suites {
		switch suite {
		case tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384:
			return false
		case tls.TLS_CHACHA20_POLY1305_SHA256:
			return true
		}
	}
	return false
}

// pointOfHandshake is the point that a session is bound to or will be, with that server name: nil when AUTH is to tell. When
// nothing tells and the default point wants certificates, the handshake is the only moment to demand one.
func (in *Ingress) pointOfHandshake(s *smtpd.Session, name string) *control.IngressPoint {
	points, err := in.control()
	if err != nil {
		return nil
	}
	if p := pointOf(s); p != nil {
		return newest(points, p)
	}
	candidates := narrowByName(in.candidates(points, s), name)
	if len(candidates) == 1 {
		return candidates[0]
	}
	if p, err := settled(candidates); err == nil && p.Type == mailmanager.IngressPointTypeMtls {
		return p
	}
	return nil
}

// newest is the point as it is now, or as it was when it is gone.
func newest(points Points, p *control.IngressPoint) *control.IngressPoint {
	if now, ok := points.IngressPoint(p.Key); ok {
		return now
	}
	return p
}

// demandCertificate adds to a configuration that the client proves itself to the point's trust store.
func (in *Ingress) demandCertificate(s *smtpd.Session, point *control.IngressPoint, base *tls.Config) (*tls.Config, error) {
	if point.Trust == nil {
		return nil, errNoTrust
	}
	config := base.Clone()
	config.ClientAuth = tls.RequireAnyClientCert // it is verified by us: expiry and revocation have rules of their own
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if err := point.Trust.Verify(state.PeerCertificates, in.cfg.Now()); err != nil {
			return err
		}
		visitOf(s).proved = point
		if base.VerifyConnection != nil {
			return base.VerifyConnection(state)
		}
		return nil
	}
	return config, nil
}
