package smtpd

import (
	"fmt"

	"sluice/internal/smtp"
)

// chunks is a message that comes by BDAT, from its first chunk to its last. RFC 3030, section 2.
type chunks struct {
	sink   Sink
	reader chunkReader
}

// checkChunk ends the session when the command cannot be parsed: the chunk follows whatever we answer, and must not be read
// as commands (S8).
func checkChunk(d *dialogue, c *command) (refusal *smtp.Reply) {
	if c.chunk, refusal = smtp.ParseChunk(c.argument); refusal != nil {
		d.hangUp("malformed BDAT")
	}
	return refusal
}

// proceedChunk takes a chunk, and with the last one the message. A chunk that is refused is read all the same.
func proceedChunk(d *dialogue, c *command) *smtp.Reply {
	d.wire.allow(bodyTimeout, bodyQuantum)
	refusal, ours := d.expectChunk()
	if refusal != nil {
		if err := discard(&d.in, c.chunk.Size); err != nil {
			return d.failed(err)
		}
		if ours {
			d.refuse(c.verb.name, refusal)
		}
		return refusal
	}
	err := d.chunks.reader.read(c.chunk.Size, c.chunk.Last)
	d.shrinkInput()
	if err != nil {
		return d.failed(err)
	}
	if refusal := d.chunks.reader.verdict(); refusal != nil {
		d.refuse(c.verb.name, refusal)
		d.reset()
		return refusal
	}
	if c.chunk.Last {
		return d.lastChunk()
	}
	if c.chunk.Size >= minChunkOctets {
		d.spent-- // see maxCommands
	}
	return smtp.NewReply(250, 2, 0, 0, fmt.Sprintf("%d octets received", c.chunk.Size))
}

// expectChunk opens the message with its first chunk. It returns nil, or a refusal and whether it is our own.
func (d *dialogue) expectChunk() (refusal *smtp.Reply, ours bool) {
	switch {
	case d.chunks != nil:
		return nil, false
	case d.transaction == nil:
		return badSequence, true
	case len(d.transaction.Envelope.Recipients) == 0:
		return noValidRecipients, true
	}
	sink, refusal := d.session.Binding.Data(d.ctx, d.transaction)
	if refusal == nil {
		d.chunks = &chunks{sink: sink, reader: chunkReader{content: content{to: sink, maxSize: d.session.Binding.MaxSize()}, in: &d.in, grow: d.growInput}}
	}
	return refusal, false
}

// lastChunk makes the message durable and ends the transaction.
func (d *dialogue) lastChunk() *smtp.Reply {
	sink := d.chunks.sink
	d.server.metrics.octets.Add(float64(d.chunks.reader.size))
	d.chunks = nil // from here on the sink is Commit's
	defer d.reset()
	return d.commit(sink)
}
