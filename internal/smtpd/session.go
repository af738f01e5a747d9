package smtpd

import (
	"crypto/x509"
	"net/netip"
	"time"

	"sluice/internal/message"
)

// Session is what is known of one connection, from its accept to its end. It is written by the session's own goroutine
// only, and read by it in the methods of Host, Binding and Sink.
// Source: RFC 5321, section 3.1.
type Session struct {
	ID       message.ID
	Listener *Listener // where it came in
	Local    netip.AddrPort
	Remote   netip.AddrPort // an IPv4 client is IPv4, on a dual-stack listener too; behind a proxy, the proxy's client
	Proxy    netip.AddrPort // the proxy that said so; zero without one
	Started  time.Time
	Hello    string  // argument of the last EHLO or HELO, checked by smtp.ParseHello; empty before
	Extended bool    // EHLO was used
	TLS      TLS     // zero in clear
	AuthUser string  // who AUTH proved; empty before
	Binding  Binding // nil until the session is bound
	Host     any     // what the host keeps with the session

	// What became of it, for Host.Closed.
	Commands int    // that were read
	Messages int    // that were accepted
	End      string // why it ended
}

// TLS is what was agreed in the handshake. The zero TLS is a session in clear.
type TLS struct {
	Version    string // "TLSv1.2" or "TLSv1.3"
	Cipher     string // name of the cipher suite
	Wrapped    bool   // implicit TLS, from the first octet on
	ServerName string // that the client asked for, empty when it did not (RFC 6066, section 3)

	// Certificates are those that the client presented, its own first, as far as they were demanded. Whether they are
	// good is the host's to say, in the configuration that it returns from Handshake.
	Certificates []*x509.Certificate
}

// Facts are the session's facts as far as smtpd knows them: all but account, region, ingress point, the client's name and
// what its certificate says.
func (s *Session) Facts() message.Session {
	return message.Session{
		ID:         s.ID,
		Listener:   s.Listener.Name,
		Started:    s.Started,
		Client:     s.Remote,
		Local:      s.Local,
		Hello:      s.Hello,
		Extended:   s.Extended,
		TLSVersion: s.TLS.Version,
		TLSCipher:  s.TLS.Cipher,
		TLSWrapped: s.TLS.Wrapped,
		AuthUser:   s.AuthUser,
	}
}
