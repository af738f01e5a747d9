package smtpd

import (
	"net/netip"
	"time"

	"sluice/internal/message"
)

// Session is what is known of one connection, from its accept to its end. It is written by the session's own goroutine
// only, and read by it in the methods of Host, Binding and Sink.
// Source: RFC 5321, section 3.1.
type Session struct {
	ID       message.ID
	Listener string // the name given to Serve
	Tag      any    // the tag given to Serve
	Local    netip.AddrPort
	Remote   netip.AddrPort // an IPv4 client is IPv4, on a dual-stack listener too
	Started  time.Time
	Hello    string  // argument of the last EHLO or HELO, checked by smtp.ParseHello; empty before
	Extended bool    // EHLO was used
	TLS      TLS     // zero in clear
	Binding  Binding // nil until the session is bound
}

// TLS is what was agreed in the handshake. The zero TLS is a session in clear.
type TLS struct {
	Version string // "TLSv1.2" or "TLSv1.3"
	Cipher  string // name of the cipher suite
	Wrapped bool   // implicit TLS, from the first octet on
}

// Facts are the session's facts as far as smtpd knows them: all but account, region, ingress point and the client's name.
func (s *Session) Facts() message.Session {
	return message.Session{
		ID:         s.ID,
		Listener:   s.Listener,
		Started:    s.Started,
		Client:     s.Remote,
		Local:      s.Local,
		Hello:      s.Hello,
		Extended:   s.Extended,
		TLSVersion: s.TLS.Version,
		TLSCipher:  s.TLS.Cipher,
		TLSWrapped: s.TLS.Wrapped,
	}
}
