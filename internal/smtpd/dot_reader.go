package smtpd

import (
	"bytes"

	"sluice/internal/smtp"
)

// endOfData is the line that ends DATA, where a line begins: behind a CRLF or at once (S1). RFC 5321, section 4.1.1.4.
const endOfData string = ".\r\n"

// dotReader reads content as DATA sends it: it ends at CRLF "." CRLF and nowhere else (S1), the dot that was stuffed before
// a line is taken away, and the rest goes to the sink as it stands in the input's buffer. Content that is refused is read
// to its end all the same, so that none of it is taken for commands. RFC 5321, section 4.5.2.
type dotReader struct {
	content
	in   *input
	grow func() // called when the client sends faster than the buffer takes
}

// read reads to the end of the data. It returns the reply that refuses the content, if any, or the error that ended the
// input before the end.
func (r *dotReader) read() (*smtp.Reply, error) {
	for {
		used, ended := r.scan(r.in.window())
		r.in.discard(used)
		if ended {
			return r.verdict(), nil
		}
		if r.in.full {
			r.grow()
		}
		if err := r.in.fill(); err != nil {
			return nil, err
		}
	}
}

// scan takes what it can of the window, and leaves what only the octets that follow explain: a CR at the end, and a dot at the
// beginning of a line without two octets after it, which any honest content still has.
func (r *dotReader) scan(window []byte) (used int, ended bool) {
	from, at := 0, 0 // window[from:at] is still to be written
	for at < len(window) {
		if window[at] == '.' && r.line == 0 {
			if len(window)-at < len(endOfData) {
				break
			}
			r.write(window[from:at])
			if string(window[at:at+len(endOfData)]) == endOfData {
				return at + len(endOfData), true
			}
			at++
			from = at
		}
		end := bytes.IndexByte(window[at:], '\n')
		if end < 0 {
			part := bytes.TrimSuffix(window[at:], []byte{'\r'})
			r.take(part)
			at += len(part)
			break
		}
		r.takeEnd(window[at : at+end+1])
		at += end + 1
	}
	r.write(window[from:at])
	return at, false
}
