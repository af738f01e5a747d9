package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits of a reply that is read. RFC 5321, section 4.5.3.1.5 lets a line have 512 octets; servers that write longer ones
// exist and are understood all the same.
const (
	maxReplyLineOctets int = 2_048 // with its end
	maxReplyLines      int = 128
)

// ErrMalformedReply says that what a server sent is not a reply. Nothing more can be read from it.
var ErrMalformedReply = errors.New("malformed SMTP reply")

// AppendTo appends the reply as it goes over the wire: one line for each line of Text, each with the code, the enhanced
// code if there is one, and CRLF. Control characters in the text become question marks. RFC 5321, section 4.2.1.
func (r *Reply) AppendTo(wire []byte) []byte {
	text, more := r.Text, true
	for more {
		var line string
		line, text, more = strings.Cut(text, "\n")
		wire = strconv.AppendInt(wire, int64(r.Code), 10)
		if more {
			wire = append(wire, '-')
		} else {
			wire = append(wire, ' ')
		}
		if r.Enhanced.Class != 0 { // RFC 2034, section 4: on every line of the reply
			wire = append(r.Enhanced.append(wire), ' ')
		}
		wire = append(appendPrintable(wire, line), '\r', '\n')
	}
	return wire
}

// ReadReply reads one reply of one or more lines. The enhanced code, when every line begins with the same one, is taken out of
// the text; control characters and what is not UTF-8 become question marks. It returns io.EOF when the server closed
// before the reply, an error that wraps ErrMalformedReply for what is not a reply, and else what reading returned. It
// takes bounded memory whatever the server sends. RFC 5321, section 4.2; RFC 2034, section 4.
func ReadReply(from *bufio.Reader) (*Reply, error) {
	var lines []string
	var reply Reply
	for len(lines) < maxReplyLines {
		line, err := readReplyLine(from)
		if err != nil {
			if errors.Is(err, io.EOF) && len(lines) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		code, text, last, err := splitReplyLine(line)
		if err != nil {
			return nil, err
		}
		if len(lines) > 0 && code != reply.Code {
			return nil, fmt.Errorf("%w: code %d after %d", ErrMalformedReply, code, reply.Code)
		}
		reply.Code, lines = code, append(lines, text)
		if last {
			reply.Enhanced = cutEnhancedCodes(code, lines)
			reply.Text = strings.Join(lines, "\n")
			return &reply, nil
		}
	}
	return nil, fmt.Errorf("%w: over %d lines", ErrMalformedReply, maxReplyLines)
}

// readReplyLine returns a line without its end, which is LF or CRLF: nothing hangs on the difference here. The line is
// valid until the next read.
func readReplyLine(from *bufio.Reader) ([]byte, error) {
	var long []byte // what came of the line when the reader's buffer is smaller than the line
	for {
		part, err := from.ReadSlice('\n')
		if len(long)+len(part) > maxReplyLineOctets {
			return nil, fmt.Errorf("%w: line over %d octets", ErrMalformedReply, maxReplyLineOctets)
		}
		if err == nil && long == nil {
			return trimLineEnd(part), nil
		}
		long = append(long, part...)
		switch {
		case err == nil:
			return trimLineEnd(long), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(long) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

func trimLineEnd(line []byte) []byte {
	return bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
}

// splitReplyLine takes the line apart. A code alone is a last line: RFC 5321, section 4.2 wants it understood.
func splitReplyLine(line []byte) (code int, text string, last bool, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, "", false, fmt.Errorf("%w: no code", ErrMalformedReply)
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, "", true, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, "", false, fmt.Errorf("%w: no space after the code", ErrMalformedReply)
	}
	text = string(appendPrintable(nil, strings.ToValidUTF8(string(line[4:]), "?")))
	return code, text, line[3] == ' ', nil
}

// cutEnhancedCodes removes the enhanced code from every line, when all have the same one and its class agrees with the
// code; else the lines stay as they are. RFC 2034, section 4.
func cutEnhancedCodes(code int, lines []string) EnhancedCode {
	found, _, ok := cutEnhancedCode(lines[0])
	if !ok || int(found.Class) != code/100 {
		return EnhancedCode{}
	}
	texts := make([]string, len(lines))
	for i, line := range lines {
		other, text, ok := cutEnhancedCode(line)
		if !ok || other != found {
			return EnhancedCode{}
		}
		texts[i] = text
	}
	copy(lines, texts)
	return found
}

// cutEnhancedCode reads class "." subject "." detail at the beginning of a text, up to a space or the end.
// RFC 3463, section 2.
func cutEnhancedCode(text string) (EnhancedCode, string, bool) {
	word, rest, _ := strings.Cut(text, " ")
	var numbers [3]uint16
	for i := range numbers {
		digits, after, more := strings.Cut(word, ".")
		if more != (i < 2) || len(digits) == 0 || len(digits) > 3 {
			return EnhancedCode{}, text, false
		}
		for _, digit := range []byte(digits) {
			if !isDigit(digit) {
				return EnhancedCode{}, text, false
			}
			numbers[i] = numbers[i]*10 + uint16(digit-'0')
		}
		word = after
	}
	class := numbers[0]
	if class != 2 && class != 4 && class != 5 {
		return EnhancedCode{}, text, false
	}
	return EnhancedCode{class, numbers[1], numbers[2]}, rest, true
}

// appendPrintable appends the text with control characters replaced, so that no reply can forge a line of a log, of the
// dialogue or of a bounce.
func appendPrintable(to []byte, text string) []byte {
	for _, octet := range []byte(text) {
		if octet < ' ' && octet != '\t' || octet == 0x7f {
			octet = '?'
		}
		to = append(to, octet)
	}
	return to
}

func isDigit(octet byte) bool { return '0' <= octet && octet <= '9' }
