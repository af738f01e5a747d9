package smtpclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-sasl"

	"sluice/internal/smtp"
)

// codeChallenge is the reply that asks for the next response of an authentication exchange. RFC 4954, section 4.
const codeChallenge = 334

// maxAuthOctets is how long AUTH with an initial response may be; a longer response goes on a line of its own. RFC 4954,
// section 4; RFC 5321, section 4.5.3.1.4.
const maxAuthOctets int = 512

// ErrNoAuth says that the credentials cannot be used with this host: TLS has not verified it, or it offers neither PLAIN nor
// LOGIN. They were not sent.
var ErrNoAuth = errors.New("credentials cannot be used with this host")

// withheld is the text of a reply that repeats the credentials.
const withheld = "(text withheld: it repeats the credentials)"

// Credentials are what we are to the host. They print as the user alone.
type Credentials struct {
	User     string
	Password string `json:"-"`
}

// String implements fmt.Stringer.
func (c Credentials) String() string { return c.User }

// GoString implements fmt.GoStringer.
func (c Credentials) GoString() string {
	return fmt.Sprintf("smtpclient.Credentials{User: %q}", c.User)
}

// AuthError says that the host refused the credentials: for good, or for now, as the reply's code says.
type AuthError struct {
	Reply *smtp.Reply
}

// Error implements error.
func (e *AuthError) Error() string { return "authenticate: " + e.Reply.Error() }

// Unwrap returns the reply.
func (e *AuthError) Unwrap() error { return e.Reply }

// authenticate sends the credentials, and returns nil only if the host has accepted them. RFC 4954, section 4.
func (c *Conn) authenticate(credentials *Credentials) error {
	client, err := c.mechanism(credentials)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAuth, err)
	}
	name, response, err := client.Start()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoAuth, err)
	}
	c.auth = credentials
	line := "AUTH " + name
	if response != nil && len(line)+len(" \r\n")+base64.StdEncoding.EncodedLen(len(response)) <= maxAuthOctets {
		line, response = line+" "+base64.StdEncoding.EncodeToString(response), nil
	}
	for {
		reply, err := c.command(c.timeouts.Command, line)
		if err != nil || reply.Code != codeChallenge {
			return verdict(reply, err)
		}
		if response == nil {
			if response, err = client.Next(nil); err != nil { // a challenge says nothing that PLAIN or LOGIN needs
				return fmt.Errorf("%w: authenticate: %w", ErrProtocol, err)
			}
		}
		line, response = base64.StdEncoding.EncodeToString(response), nil
	}
}

// verdict is what the last reply of the exchange says. There is no way on to another host, or to another mechanism (S27).
func verdict(reply *smtp.Reply, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("authenticate: %w", err)
	case positive(reply):
		return nil
	case intermediate(reply):
		return fmt.Errorf("%w: %s to AUTH", ErrProtocol, reply)
	}
	return &AuthError{Reply: reply}
}

// mechanism chooses how to authenticate. A password goes to a host that TLS has verified, and to no other: S27.
func (c *Conn) mechanism(credentials *Credentials) (sasl.Client, error) {
	offered := strings.Fields(c.ext.auth)
	switch {
	case c.tls == TLSFacts{}:
		return nil, errors.New("the connection is in clear")
	case !c.tls.Verified:
		return nil, errors.New("its certificate was not verified")
	case len(offered) == 0:
		return nil, errors.New("it does not offer AUTH")
	case slices.Contains(offered, sasl.Plain) && !strings.Contains(credentials.User+credentials.Password, "\x00"): // RFC 4616, section 2
		return sasl.NewPlainClient("", credentials.User, credentials.Password), nil
	case slices.Contains(offered, sasl.Login):
		return &loginClient{responses: []string{credentials.User, credentials.Password}}, nil
	}
	return nil, fmt.Errorf("it offers AUTH%s", c.ext.auth)
}

// loginClient is the mechanism LOGIN, draft-murchison-sasl-login: first the user, then the password, whatever the host calls
// them. It implements sasl.Client; go-sasl's own knows one spelling of the challenge.
type loginClient struct {
	responses []string // not sent yet
}

// Start implements sasl.Client.
func (*loginClient) Start() (name string, initial []byte, err error) { return sasl.Login, nil, nil }

// Next implements sasl.Client.
func (l *loginClient) Next([]byte) ([]byte, error) {
	if len(l.responses) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	response := l.responses[0]
	l.responses = l.responses[1:]
	return []byte(response), nil
}

// conceal takes the text away from a reply that repeats the password, as it is or as it was sent: replies get into errors,
// logs, traces and bounces. Without credentials there is nothing to conceal.
func (c *Credentials) conceal(reply *smtp.Reply) *smtp.Reply {
	if c == nil || c.Password == "" {
		return reply
	}
	for _, form := range []string{
		c.Password,
		base64.StdEncoding.EncodeToString([]byte(c.Password)),
		base64.StdEncoding.EncodeToString([]byte("\x00" + c.User + "\x00" + c.Password)),
	} {
		if strings.Contains(reply.Text, form) {
			return &smtp.Reply{Code: reply.Code, Enhanced: reply.Enhanced, Text: withheld}
		}
	}
	return reply
}
