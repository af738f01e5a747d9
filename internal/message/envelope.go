package message

import (
	"net/netip"
	"time"

	"sluice/internal/smtp"
)

// Envelope is what MAIL and RCPT said of a message. RFC 5321, section 2.3.1.
type Envelope struct {
	ReversePath smtp.Path
	EightBit    bool   // BODY=8BITMIME (RFC 6152)
	UTF8        bool   // SMTPUTF8 (RFC 6531)
	EnvelopeID  string // ENVID, decoded (RFC 3461, section 4.4)
	Return      string // RET: FULL, HDRS or empty (RFC 3461, section 4.3)
	Recipients  []Recipient
}

// Recipient is one forward-path with its delivery status parameters.
type Recipient struct {
	Path     smtp.Path
	Notify   string // NOTIFY as received, or empty (RFC 3461, section 4.1)
	Original string // ORCPT as received, or empty (RFC 3461, section 4.2)
}

// Session is what is known of the SMTP session that a message came in by: the facts that rules, traces and logs use.
type Session struct {
	ID           ID
	Account      string
	Region       string
	IngressPoint string // id of the ingress point
	Listener     string // name of the listener
	Started      time.Time
	Client       netip.AddrPort
	Local        netip.AddrPort
	ClientName   string // confirmed reverse DNS name, or empty
	Hello        string // argument of EHLO or HELO
	Extended     bool   // EHLO was used
	TLSVersion   string // "TLSv1.2", "TLSv1.3", or empty without TLS
	TLSCipher    string
	TLSWrapped   bool // implicit TLS
	AuthUser     string
	AuthVersion  string       `json:",omitempty"` // version of the password that was accepted
	SecretARN    string       `json:",omitempty"` // of the secret that has the password, if it is in one
	Certificate  *Certificate `json:",omitempty"` // the client's, verified, or nil
}

// Addresses are the forward-paths of recipients as they were received.
func Addresses(recipients []Recipient) []string {
	list := make([]string, len(recipients))
	for i := range recipients {
		list[i] = recipients[i].Path.Received
	}
	return list
}
