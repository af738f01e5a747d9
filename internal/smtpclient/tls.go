package smtpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"sluice/internal/smtp"
)

// maxPeerOctets bounds the name that we repeat of a certificate: no domain is longer. RFC 1035, section 2.3.4.
const maxPeerOctets int = 255

// ErrNoTLS says that TLS is required and the host does not offer it, or refuses it.
var ErrNoTLS = errors.New("TLS is required, and there is none")

var errNotOffered = errors.New("host does not offer STARTTLS")

// TLSMode is when TLS is used.
type TLSMode uint8

// The modes.
const (
	// Never: all in clear.
	Never TLSMode = iota
	// Opportunistic: STARTTLS where the host offers it and does not refuse it, else all in clear. RFC 7435.
	Opportunistic
	// Required: STARTTLS, or no connection (S26).
	Required
	// Implicit: TLS from the first octet. RFC 8314, section 3.3.
	Implicit
)

// TLS is when and how TLS is used.
type TLS struct {
	Mode TLSMode
	// Config decides how the host is verified; nil verifies it against the system's roots. An empty ServerName is the host
	// of the address that was dialled. Versions before 1.2 are not used, whatever it says. With Opportunistic it should not
	// verify: TLS with a stranger is better than none.
	Config *tls.Config
}

// configFor completes the configuration for one address, in a copy.
func (t TLS) configFor(address string) *tls.Config {
	config := t.Config.Clone()
	if config == nil {
		config = new(tls.Config)
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12) // RFC 8996
	config.DynamicRecordSizingDisabled = true                    // a message leaves in one record, not in eight small ones
	return config
}

// TLSFacts are what is known of a connection's TLS. The zero value is a connection in clear.
type TLSFacts struct {
	Version  string // "TLSv1.2" or "TLSv1.3"
	Cipher   string // name of the cipher suite, such as TLS_AES_128_GCM_SHA256
	Peer     string // name in the host's certificate: its first DNS name, else its common name; proven only if Verified
	Verified bool   // the certificate is good for the name that was wanted
}

// TLS is what is known of the connection's TLS.
func (c *Conn) TLS() TLSFacts { return c.tls }

// HandshakeError says that TLS was begun and failed. The connection is lost: after a failed handshake nothing goes in clear.
// With Opportunistic the caller may dial again with Never, with any other mode it must not.
type HandshakeError struct {
	Err error // of crypto/tls, or of the connection
}

// Error implements error.
func (e *HandshakeError) Error() string { return "TLS handshake: " + e.Err.Error() }

// Unwrap returns what crypto/tls said.
func (e *HandshakeError) Unwrap() error { return e.Err }

// upgrade turns a connection in clear to TLS, if the host lets us, and introduces us anew.
func (c *Conn) upgrade(cfg Config, security *tls.Config) error {
	refusal, err := c.startTLS()
	switch {
	case err != nil:
		return fmt.Errorf("start TLS: %w", err)
	case refusal == nil:
		if err := c.secure(security); err != nil {
			return err
		}
		return c.hello(cfg.Hello)
	case cfg.TLS.Mode != Opportunistic: // S26: never in clear
		return fmt.Errorf("%w: %w", ErrNoTLS, refusal)
	case isClosing(refusal):
		return fmt.Errorf("start TLS: %w", refusal)
	}
	return nil
}

// startTLS asks the host for TLS. The refusal is why there is none; the connection goes on in clear then, if it may. What
// came in clear behind the host's consent would be taken for what it says within TLS (S3). RFC 3207, section 4.
func (c *Conn) startTLS() (refusal, err error) {
	if !c.ext.startTLS {
		return errNotOffered, nil
	}
	reply, err := c.command(c.timeouts.Command, "STARTTLS")
	switch {
	case err != nil:
		return nil, err
	case intermediate(reply):
		return nil, fmt.Errorf("%w: %s to STARTTLS", ErrProtocol, reply)
	case !positive(reply):
		return reply, nil
	case c.r.Buffered() > 0:
		return nil, fmt.Errorf("%w: host sent octets in clear behind its reply to STARTTLS", ErrProtocol)
	}
	return nil, nil
}

// isClosing reports whether a refusal says that the connection ends.
func isClosing(refusal error) bool {
	var reply *smtp.Reply
	return errors.As(refusal, &reply) && reply.Code == codeClosing
}

// secure does the handshake. All that is read and written afterwards goes through TLS.
func (c *Conn) secure(config *tls.Config) error {
	secured := tls.Client(c.raw, config)
	secured.SetDeadline(time.Now().Add(c.timeouts.Handshake))
	if err := secured.Handshake(); err != nil {
		return &HandshakeError{Err: err}
	}
	secured.SetDeadline(time.Time{})
	c.tls = FactsOf(secured.ConnectionState())
	c.net, c.block.conn = secured, secured
	c.r.Reset(secured)
	return nil
}

// FactsOf is what is known of TLS in a state of crypto/tls, such as VerifyConnection of tls.Config is given.
func FactsOf(state tls.ConnectionState) TLSFacts {
	facts := TLSFacts{
		Version:  "TLSv" + strings.TrimPrefix(tls.VersionName(state.Version), "TLS "),
		Cipher:   tls.CipherSuiteName(state.CipherSuite),
		Verified: len(state.VerifiedChains) > 0,
	}
	if len(state.PeerCertificates) > 0 {
		facts.Peer = peerName(state.PeerCertificates[0])
	}
	return facts
}

// peerName is what a certificate calls its owner, fit for a line of a trace.
func peerName(certificate *x509.Certificate) string {
	name := certificate.Subject.CommonName
	if len(certificate.DNSNames) > 0 {
		name = certificate.DNSNames[0]
	}
	name = strings.ToValidUTF8(name[:min(len(name), maxPeerOctets)], "?")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}
