package action

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"sluice/internal/control"
	"sluice/internal/smtpclient"
	"sluice/internal/trace"
)

// submissionsPort speaks TLS from the first octet on. RFC 8314, section 7.3.
const submissionsPort = 465

// clientConfig is how a relay is spoken to. Credentials go out over verified TLS only (S27); without any, TLS is used where it
// is offered, whatever the certificate, unless a tag of the relay asks for more. Mail Manager, E4.
func (e *RelayExecutor) clientConfig(ctx context.Context, relay *control.Relay) (smtpclient.Config, error) {
	config := smtpclient.Config{Hello: e.Hello, Timeouts: e.Timeouts, Dial: e.Dial, Chunking: true}
	verify := relay.TLS == control.RelayTLSVerified || relay.CA != ""
	if relay.SecretARN != "" {
		credentials, err := credentialsOf(ctx, e.Secret, relay)
		if err != nil {
			return config, err
		}
		config.Auth, verify = credentials, true
	}
	config.TLS.Config = &tls.Config{ServerName: relay.Server, InsecureSkipVerify: !verify} // unverified is better than clear: RFC 7435
	if relay.CA != "" {
		pool, ok := e.Authorities[relay.CA]
		if !ok {
			return config, fmt.Errorf("relay %s: the tag sluice:ca names %q, which is not in the configuration", relay.ID, relay.CA)
		}
		config.TLS.Config.RootCAs = pool
	}
	switch {
	case relay.Port == submissionsPort:
		config.TLS.Mode = smtpclient.Implicit
	case verify || relay.TLS == control.RelayTLSRequired:
		config.TLS.Mode = smtpclient.Required
	default:
		config.TLS.Mode = smtpclient.Opportunistic
	}
	return config, nil
}

// dialAt connects to one address. Where TLS is used only because it is offered, a handshake that fails is no reason not to
// deliver: the address is tried once more in clear, and fallback says why.
func dialAt(ctx context.Context, at target, config smtpclient.Config) (conn *smtpclient.Conn, fallback, err error) {
	conn, err = smtpclient.Dial(ctx, at.String(), config)
	var handshake *smtpclient.HandshakeError
	if config.TLS.Mode != smtpclient.Opportunistic || !errors.As(err, &handshake) {
		return conn, nil, err
	}
	config.TLS.Mode = smtpclient.Never
	conn, err = smtpclient.Dial(ctx, at.String(), config)
	return conn, handshake, err
}

// traced is what a trace says of a connection's TLS: nil in clear.
func traced(facts smtpclient.TLSFacts) *trace.TLS {
	if facts == (smtpclient.TLSFacts{}) {
		return nil
	}
	return &trace.TLS{Version: facts.Version, Cipher: facts.Cipher, Verified: facts.Verified, Peer: facts.Peer}
}
