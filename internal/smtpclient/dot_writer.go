package smtpclient

import (
	"bufio"
	"bytes"
)

// dotWriter writes content with its leading dots doubled and ends it. Lines are told by LF alone, so that a bare LF, which
// our own server never lets in, cannot make an end of data of what follows it. RFC 5321, section 4.5.2.
type dotWriter struct {
	w    *bufio.Writer
	last [2]byte // the last two octets written; starts as CRLF: content begins a line
}

func newDotWriter(w *bufio.Writer) *dotWriter {
	return &dotWriter{w: w, last: [2]byte{'\r', '\n'}}
}

// Write implements io.Writer. Content may be cut anywhere between calls.
func (d *dotWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	rest := p
	if d.last[1] == '\n' && p[0] == '.' {
		d.w.WriteByte('.')
	}
	for {
		at := bytes.Index(rest, []byte("\n."))
		if at < 0 {
			break
		}
		d.w.Write(rest[:at+1])
		d.w.WriteByte('.')
		rest = rest[at+1:]
	}
	if _, err := d.w.Write(rest); err != nil { // bufio.Writer keeps its first error
		return 0, err
	}
	d.remember(p)
	return len(p), nil
}

func (d *dotWriter) remember(p []byte) {
	if len(p) == 1 {
		d.last = [2]byte{d.last[1], p[0]}
		return
	}
	d.last = [2]byte(p[len(p)-2:])
}

// end completes an unfinished last line, without which the dot would not stand alone, and writes the dot.
func (d *dotWriter) end() {
	if d.last != [2]byte{'\r', '\n'} {
		d.w.WriteString("\r\n")
	}
	d.w.WriteString(".\r\n")
}
