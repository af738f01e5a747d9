package smtpd

import "bytes"

// chunkReader reads content as BDAT sends it: in chunks of announced sizes, whose borders may lie anywhere, within a CRLF too.
// It goes to the sink as it stands in the input's buffer. A chunk is read to its end whether or not the content is refused, so
// that none of it is taken for commands (S8). What the refusal says after the last chunk is final. RFC 3030, section 2.
type chunkReader struct {
	content
	in   *input
	grow func() // called when the client sends faster than the buffer takes

	heldCR bool // the last octet was a CR: only the next one tells whether it is bare
}

// read reads a chunk of so many octets. It returns the error that ended the input before the end of it.
func (r *chunkReader) read(size int64, last bool) error {
	if size > r.maxSize-r.size { // before any of it is written; Mail Manager, B9
		r.refuse(messageTooBig)
		r.received += size
	}
	if err := eachPart(r.in, size, r.grow, r.scan); err != nil {
		return err
	}
	if last && r.heldCR {
		r.refuseBareEnd()
	}
	return nil
}

// scan takes a part of a chunk.
func (r *chunkReader) scan(part []byte) {
	if r.refusal != nil || len(part) == 0 {
		return
	}
	rest := part
	if r.heldCR {
		rest = r.takeHeld(rest)
	}
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			break
		}
		r.takeEnd(rest[:end+1])
		rest = rest[end+1:]
	}
	rest, r.heldCR = bytes.CutSuffix(rest, []byte{'\r'})
	r.take(rest)
	r.write(part)
}

// takeHeld takes the CR that was held back, with the LF that follows it, if one does, and returns the rest.
func (r *chunkReader) takeHeld(part []byte) (rest []byte) {
	if rest, crlf := bytes.CutPrefix(part, []byte{'\n'}); crlf {
		r.takeEnd([]byte("\r\n"))
		return rest
	}
	r.take([]byte{'\r'})
	return part
}

// discard throws a chunk away that belongs to no content, so that it is not taken for commands (S8).
func discard(in *input, size int64) error {
	return eachPart(in, size, func() {}, func([]byte) {})
}

// eachPart gives so many octets of the input to take, as they arrive. The size is a client's, and nothing is allocated by it
// (S8).
func eachPart(in *input, size int64, grow func(), take func(part []byte)) error {
	for {
		part := in.window()
		part = part[:min(int64(len(part)), size)]
		take(part)
		in.discard(len(part))
		size -= int64(len(part))
		if size == 0 {
			return nil
		}
		if in.full {
			grow()
		}
		if err := in.fill(); err != nil {
			return err
		}
	}
}
