package smtpd

import (
	"encoding/base64"
	"errors"

	"github.com/emersion/go-sasl"

	"sluice/internal/smtp"
)

var (
	authenticated      = smtp.NewReply(235, 2, 7, 0, "Authentication successful")
	encryptionRequired = smtp.NewReply(538, 5, 7, 11, "Encryption required for authentication")
	unknownMechanism   = smtp.NewReply(504, 5, 5, 4, "Unrecognized authentication type")
	malformedResponse  = smtp.NewReply(501, 5, 5, 2, "Malformed authentication response")
	responseTooLong    = smtp.NewReply(500, 5, 5, 6, "Authentication exchange line is too long")
	tooManyFailures    = smtp.NewReply(421, 4, 7, 0, "Too many failed authentications")
)

// checkAuth wants EHLO before, no transaction that is open, and no AUTH that succeeded (S4). Where a password could be read
// on the way it is not taken (S10). RFC 4954, section 4; Mail Manager, B2.
func checkAuth(d *dialogue, c *command) *smtp.Reply {
	offer := d.offer()
	switch {
	case offer.AuthNext && !offer.Auth:
		return encryptionRequired
	case !offer.Auth:
		return commandNotOffered
	case d.session.Hello == "" || d.transaction != nil || d.session.AuthUser != "":
		return badSequence
	case c.argument == "":
		return argumentMissing
	}
	return nil
}

// proceedAuth leads the exchange of challenges and responses. It reads their lines itself.
func proceedAuth(d *dialogue, c *command) *smtp.Reply {
	mechanism, response, given, refusal := smtp.ParseAuth(c.argument)
	if refusal != nil {
		return d.refuse(c.verb.name, refusal)
	}
	var outcome *smtp.Reply
	verify := func(user, password string) error {
		outcome = d.authenticate(user, password)
		return nil
	}
	server := mechanismNamed(mechanism, verify)
	if server == nil {
		return d.refuse(c.verb.name, unknownMechanism)
	}
	if given {
		response = present(response)
	}
	for {
		challenge, done, err := server.Next(response)
		if err != nil {
			return d.refuse(c.verb.name, malformedResponse.Because(err))
		}
		if done {
			return outcome
		}
		if response, refusal = d.challenge(c, challenge); refusal != nil || d.ended {
			return refusal
		}
	}
}

// challenge sends a challenge and reads the response. The reply is nil, or one that ends the exchange.
func (d *dialogue) challenge(c *command, challenge []byte) ([]byte, *smtp.Reply) {
	intermediate := &smtp.Reply{Code: 334, Text: base64.StdEncoding.EncodeToString(challenge)}
	d.count(c.verb, intermediate)
	d.wire.put(intermediate)
	d.wire.allow(commandTimeout, 0)
	line, err := d.in.line()
	if errors.Is(err, errLineTooLong) { // RFC 4954, section 4
		return nil, d.refuse(c.verb.name, responseTooLong)
	}
	if err != nil {
		return nil, d.failed(err)
	}
	response, refusal := smtp.DecodeAuthLine(string(line))
	if refusal != nil {
		return nil, d.refuse(c.verb.name, refusal)
	}
	return present(response), nil
}

// present makes an empty response one that is there: to a mechanism, nil is none.
func present(response []byte) []byte { return append([]byte{}, response...) }

// authenticate asks the host. A failure costs more of the session than other errors do: see answer.
func (d *dialogue) authenticate(user, password string) *smtp.Reply {
	binding, refusal := d.server.host.Authenticate(d.ctx, d.session, user, password)
	if refusal != nil {
		d.failures++
		return refusal
	}
	d.session.AuthUser, d.session.Binding = user, binding
	return authenticated
}

// mechanismNamed returns the server's half of a mechanism; nil when it is not offered. Mail Manager, section 2.2.
func mechanismNamed(name string, verify func(user, password string) error) sasl.Server {
	switch name {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && identity != user {
				user = "" // nobody may act for another: a user that there is not
			}
			return verify(user, password)
		})
	case sasl.Login:
		return &loginServer{verify: verify}
	default:
		return nil
	}
}

// loginServer is the server's half of LOGIN, which no RFC describes: two challenges, for the user and for the password.
// A user name may come with the command.
type loginServer struct {
	verify func(user, password string) error
	asked  int
	user   string
}

var errLoginOver = errors.New("the exchange is over")

// Next implements sasl.Server.
func (s *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if s.asked == 0 && response != nil {
		s.asked++
	}
	s.asked++
	switch s.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		s.user = string(response)
		return []byte("Password:"), false, nil
	case 3:
		return nil, true, s.verify(s.user, string(response))
	default:
		return nil, false, errLoginOver
	}
}
