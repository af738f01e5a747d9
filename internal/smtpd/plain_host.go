package smtpd

import (
	"context"
	"crypto/tls"

	"sluice/internal/smtp"
)

// PlainHost is what a Host embeds that offers neither TLS nor AUTH and tells nobody what is refused.
type PlainHost struct{}

// Offer implements Host.
func (PlainHost) Offer(*Session) Offer { return Offer{} }

// Handshake implements Host.
func (PlainHost) Handshake(*Session, *tls.ClientHelloInfo) (*tls.Config, error) {
	return nil, errNoConfiguration
}

// Secured implements Host.
func (PlainHost) Secured(_ context.Context, s *Session) (Binding, *smtp.Reply) { return s.Binding, nil }

// Authenticate implements Host.
func (PlainHost) Authenticate(context.Context, *Session, string, string) (Binding, *smtp.Reply) {
	return nil, commandNotOffered
}

// Refused implements Host.
func (PlainHost) Refused(*Session, *Transaction, string, *smtp.Reply) {}

// Closed implements Host.
func (PlainHost) Closed(*Session) {}
