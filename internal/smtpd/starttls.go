package smtpd

import (
	"crypto/tls"
	"errors"
	"os"

	"sluice/internal/smtp"
)

var (
	readyForTLS     = smtp.NewReply(220, 2, 0, 0, "Ready to start TLS")
	handshakeFailed = smtp.NewReply(421, 4, 7, 0, "TLS handshake failed") // reported, and never sent
	inTLSAlready    = smtp.NewReply(503, 5, 5, 1, "TLS is active already")
)

// errNoConfiguration fails a handshake for which the host has no configuration.
var errNoConfiguration = errors.New("no TLS is configured")

// checkStartTLS: RFC 3207, section 4. It wants EHLO before and no transaction that is open (S4).
func checkStartTLS(d *dialogue, c *command) *smtp.Reply {
	switch {
	case d.session.TLS.Version != "":
		return inTLSAlready
	case !d.offer().StartTLS:
		return commandNotOffered
	case c.argument != "":
		return argumentUnexpected
	case d.session.Hello == "" || d.transaction != nil:
		return badSequence
	}
	return nil
}

// proceedStartTLS: whatever was sent behind the command, in clear, is thrown away, and whatever is known of the client is
// forgotten but its address: it begins with EHLO (S3). RFC 3207, sections 4.2 and 6.
func proceedStartTLS(d *dialogue, c *command) *smtp.Reply {
	d.count(c.verb, readyForTLS)
	d.wire.put(readyForTLS)
	if forgetsClear {
		d.in.discard(len(d.in.window()))
		d.session.Hello, d.session.Extended, d.session.AuthUser = "", false, ""
		d.session.Binding = d.opened
	}
	if !d.secure(c.verb.name) {
		return nil
	}
	return d.secured()
}

// forgetsClear is the rule of RFC 3207, sections 4.2 and 6, by which S3 stands.
const forgetsClear = true

// secure makes the handshake, and reports whether it was agreed. If it was not the session is over.
func (d *dialogue) secure(command string) bool {
	state, err := d.wire.secure(&tls.Config{GetConfigForClient: d.handshake})
	d.server.metrics.handshakes[err == nil].Inc()
	if err != nil {
		d.finish("TLS handshake: " + err.Error())
		if !errors.Is(err, errStopping) {
			d.refuse(command, handshakeFailed.Because(err))
		}
		return false
	}
	d.session.TLS = TLS{
		Version: tlsVersions[state.Version], Cipher: tls.CipherSuiteName(state.CipherSuite), ServerName: state.ServerName,
		Wrapped: d.session.Listener.TLS == TLSImplicit, Certificates: state.PeerCertificates,
	}
	return true
}

// secured tells the host what the handshake agreed. The reply is nil, or one that refuses the session.
func (d *dialogue) secured() *smtp.Reply {
	binding, refusal := d.server.host.Secured(d.ctx, d.session)
	d.session.Binding = binding
	return refusal
}

// tlsVersions are the versions as logs and conditions name them. Mail Manager, section 11.
var tlsVersions = map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}

// handshake is called when the client has said hello.
func (d *dialogue) handshake(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	config, err := d.server.host.Handshake(d.session, hello)
	if config == nil && err == nil {
		err = errNoConfiguration
	}
	return config, err
}

// isTimeout reports whether the client took too long.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
