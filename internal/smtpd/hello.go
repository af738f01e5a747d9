package smtpd

import (
	"strconv"

	"sluice/internal/smtp"
)

// extensions are the EHLO keywords that do not depend on the session. Mail Manager, B1.
const extensions = "\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nCHUNKING\nDSN"

func checkHello(_ *dialogue, c *command) (refusal *smtp.Reply) {
	c.argument, refusal = smtp.ParseHello(c.argument)
	return refusal
}

// proceedEHLO greets back with what is offered. RFC 5321, section 4.1.1.1.
func proceedEHLO(d *dialogue, c *command) *smtp.Reply {
	d.hello(c.argument, true)
	text := make([]byte, 0, 256)
	text = append(append(text, d.hostname()...), extensions...)
	if d.session.Binding != nil { // RFC 9422, section 4
		text = strconv.AppendInt(append(text, "\nLIMITS RCPTMAX="...), int64(d.session.Binding.MaxRecipients()), 10)
	}
	offer := d.offer()
	if offer.StartTLS {
		text = append(text, "\nSTARTTLS"...)
	}
	if offer.Auth {
		text = append(text, "\nAUTH LOGIN PLAIN"...)
	}
	text = strconv.AppendInt(append(text, "\nSIZE "...), d.maxSize(), 10)
	return &smtp.Reply{Code: 250, Text: string(text)}
}

func proceedHELO(d *dialogue, c *command) *smtp.Reply {
	d.hello(c.argument, false)
	return &smtp.Reply{Code: 250, Text: d.hostname()}
}

// hello begins the session anew: a transaction that was open is gone. RFC 5321, section 4.1.4.
func (d *dialogue) hello(name string, extended bool) {
	d.reset()
	d.session.Hello, d.session.Extended = name, extended
}

// hostname is what we are called, which depends on the ingress point once the session is bound to one.
func (d *dialogue) hostname() string {
	if d.session.Binding != nil {
		return d.session.Binding.Hostname()
	}
	return d.server.hostname
}

func (d *dialogue) maxSize() int64 {
	if d.session.Binding != nil {
		return d.session.Binding.MaxSize()
	}
	return DefaultMaxSize
}
