package smtpd

import (
	"sluice/internal/message"
	"sluice/internal/smtp"
)

var (
	senderOK          = smtp.NewReply(250, 2, 1, 0, "OK")
	recipientOK       = smtp.NewReply(250, 2, 1, 5, "OK")
	tooManyRecipients = smtp.NewReply(452, 4, 5, 3, "Too many recipients") // Mail Manager, B10
)

// checkMail wants EHLO or HELO before, and no transaction that is open (S4). RFC 5321, section 4.1.4.
func checkMail(d *dialogue, c *command) (refusal *smtp.Reply) {
	if d.session.Hello == "" || d.transaction != nil {
		return badSequence
	}
	c.path, c.mail, refusal = smtp.ParseMail(c.argument)
	return refusal
}

// proceedMail opens a transaction. A session that is not bound yet is bound here: the host has seen by now all it will see.
func proceedMail(d *dialogue, c *command) *smtp.Reply {
	if d.session.Binding == nil {
		binding, refusal := d.server.host.Bind(d.ctx, d.session)
		if refusal != nil {
			return refusal
		}
		d.session.Binding = binding
	}
	if c.mail.Size > d.maxSize() { // RFC 1870, section 6.1; Mail Manager, B9
		return d.refuse(c.verb.name, messageTooBig.Because(&SizeError{c.mail.Size}))
	}
	transaction := &Transaction{
		Session: d.session,
		Envelope: message.Envelope{
			ReversePath: c.path, EightBit: c.mail.EightBit, UTF8: c.mail.UTF8,
			EnvelopeID: c.mail.EnvelopeID, Return: c.mail.Return,
		},
		DeclaredSize: c.mail.Size,
	}
	if refusal := d.session.Binding.Mail(d.ctx, transaction); refusal != nil {
		return refusal
	}
	d.transaction = transaction
	return senderOK
}

// checkRcpt wants a transaction of which no content has come yet (S4). RFC 5321, section 4.1.1.3; RFC 3030, section 2.
func checkRcpt(d *dialogue, c *command) (refusal *smtp.Reply) {
	if d.transaction == nil || d.chunks != nil {
		return badSequence
	}
	envelope := &d.transaction.Envelope
	if c.path, c.rcpt, refusal = smtp.ParseRcpt(c.argument, envelope.UTF8); refusal != nil {
		return refusal
	}
	if len(envelope.Recipients) >= d.session.Binding.MaxRecipients() {
		return tooManyRecipients
	}
	return nil
}

func proceedRcpt(d *dialogue, c *command) *smtp.Reply {
	recipient := message.Recipient{Path: c.path, Notify: c.rcpt.Notify, Original: c.rcpt.Original}
	if refusal := d.session.Binding.Recipient(d.ctx, d.transaction, recipient); refusal != nil {
		return refusal
	}
	d.transaction.Envelope.Recipients = append(d.transaction.Envelope.Recipients, recipient)
	d.spent-- // an accepted recipient is what a session is for, see maxCommands
	return recipientOK
}

// reset ends the transaction, if one is open, and throws content away that is not complete. RFC 5321, section 4.1.1.5.
func (d *dialogue) reset() {
	chunks, transaction := d.chunks, d.transaction
	d.chunks, d.transaction = nil, nil
	if chunks != nil {
		chunks.sink.Abort()
	}
	if transaction != nil {
		d.session.Binding.Ended(transaction)
	}
}
