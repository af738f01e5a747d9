package smtpd

import "sluice/internal/smtp"

var (
	noValidRecipients = smtp.NewReply(554, 5, 5, 1, "No valid recipients")
	startInput        = &smtp.Reply{Code: 354, Text: "Start mail input; end with <CRLF>.<CRLF>"}
)

// checkData wants a transaction with a recipient, and no BDAT in it (S4). RFC 5321, section 4.1.1.4; RFC 3030, section 2.
func checkData(d *dialogue, c *command) *smtp.Reply {
	switch {
	case d.transaction == nil || d.chunks != nil:
		return badSequence
	case c.argument != "":
		return argumentUnexpected
	case len(d.transaction.Envelope.Recipients) == 0:
		return noValidRecipients
	}
	return nil
}

// proceedData takes the content, and ends the transaction once 354 was sent. A DATA that is refused before leaves it open.
func proceedData(d *dialogue, c *command) *smtp.Reply {
	sink, refusal := d.session.Binding.Data(d.ctx, d.transaction)
	if refusal != nil {
		return refusal
	}
	committed := false
	defer func() {
		if !committed { // a panic included
			sink.Abort()
		}
		d.reset()
	}()
	d.count(c.verb, startInput)
	d.wire.put(startInput)
	refusal, err := d.receive(sink)
	if err != nil {
		return d.failed(err)
	}
	if refusal != nil {
		return d.refuse(c.verb.name, refusal)
	}
	committed = true
	return d.commit(sink)
}

// commit makes a message durable.
func (d *dialogue) commit(sink Sink) *smtp.Reply {
	reply := sink.Commit(d.ctx)
	if reply.Positive() {
		d.accepted()
	}
	return reply
}

// receive reads the content into the sink.
func (d *dialogue) receive(sink Sink) (*smtp.Reply, error) {
	d.wire.allow(bodyTimeout, bodyQuantum)
	reader := dotReader{content: content{to: sink, maxSize: d.session.Binding.MaxSize()}, in: &d.in, grow: d.growInput}
	refusal, err := reader.read()
	d.server.metrics.octets.Add(float64(reader.size))
	d.shrinkInput()
	return refusal, err
}

// growInput goes on with a large buffer.
func (d *dialogue) growInput() {
	if d.large == nil {
		d.large = d.server.contentBuffers.get()
		d.in.swap(d.large[:])
	}
}

// shrinkInput gives the large buffer back, unless more was pipelined behind the content than the small one holds.
func (d *dialogue) shrinkInput() {
	if d.large != nil && len(d.in.window()) < len(d.small) {
		d.in.swap(d.small[:])
		d.server.contentBuffers.put(d.large)
		d.large = nil
	}
}
