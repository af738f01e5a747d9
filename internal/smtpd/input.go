package smtpd

import (
	"bytes"
	"errors"
	"io"
)

// What can be wrong with a command line. The line was read to its end in either case.
var (
	errLineTooLong = errors.New("command line is over 2048 octets")
	errBareLF      = errors.New("command line does not end with CRLF")
)

// input shows what has arrived without copying it. It has one buffer, which must hold a command line.
type input struct {
	from       io.Reader
	buffer     []byte
	start, end int    // buffer[start:end] has arrived and was not used
	full       bool   // the last read filled the buffer: there is probably more
	drained    bool   // the last read did not fill it: the next will probably have to wait
	ease       func() // called before a read that will probably have to wait, and may swap; may be nil
}

// window is what has arrived. It is valid until the next fill or swap.
func (in *input) window() []byte { return in.buffer[in.start:in.end] }

// discard uses n octets of the window.
func (in *input) discard(n int) {
	in.start += n
	if in.start == in.end {
		in.start, in.end = 0, 0
	}
}

// fill waits for at least one more octet. The window must be shorter than the buffer.
func (in *input) fill() error {
	if in.drained && in.ease != nil {
		in.ease()
	}
	if in.start > 0 {
		in.end = copy(in.buffer, in.buffer[in.start:in.end])
		in.start = 0
	}
	for range 100 { // a reader may return nothing a few times
		n, err := in.from.Read(in.buffer[in.end:])
		in.end += n
		in.full = in.end == len(in.buffer)
		in.drained = !in.full
		if n > 0 {
			return nil // an error will come again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// swap goes on with another buffer, which must hold the window.
func (in *input) swap(buffer []byte) {
	in.end = copy(buffer, in.window())
	in.start, in.buffer, in.full, in.drained = 0, buffer, false, false
}

// line reads a command line and returns it without CRLF, valid until the next call. A line that is too long is read to its
// end and thrown away as it comes (Mail Manager, B21); one that ends with LF alone is no command either.
func (in *input) line() ([]byte, error) {
	tooLong, seen := false, 0
	for {
		window := in.window()
		if at := bytes.IndexByte(window[seen:], '\n'); at >= 0 {
			line := window[:seen+at+1]
			in.discard(len(line))
			switch {
			case tooLong || len(line) > maxCommandOctets:
				return nil, errLineTooLong
			case len(line) < 2 || line[len(line)-2] != '\r':
				return nil, errBareLF
			}
			return line[:len(line)-2], nil
		}
		seen = len(window)
		if seen >= maxCommandOctets {
			in.discard(seen)
			tooLong, seen = true, 0
		}
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
}
