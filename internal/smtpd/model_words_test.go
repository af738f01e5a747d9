package smtpd

import (
	"bytes"
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
)

// soundness is what the model makes of an argument.
type soundness int

// The degrees, the worst last. What is good must be taken and what is bad must not; of the rest the server decides.
const (
	good soundness = iota
	unsure
	bad
)

// ruling is the codes for an argument: those that are only possible are negative.
func (s soundness) ruling(codes ...int) (r ruling) {
	for _, code := range codes {
		switch s {
		case unsure:
			r = append(r, -code)
		case bad:
			r = append(r, code)
		}
	}
	return r
}

// ruling is the codes that refuse a command for a reason that holds; which of several is given does not matter. A negative one
// may be given, and need not.
type ruling []int

func when(holds bool, codes ...int) ruling {
	if holds {
		return codes
	}
	return nil
}

// hostRuling is what the host says.
func hostRuling(step, path string) ruling { return when(says(step, path) != 0, says(step, path)) }

var (
	plainName    = regexp.MustCompile(`^[A-Za-z0-9]+(\.[A-Za-z0-9]+)*$`)
	plainPath    = regexp.MustCompile(`^[A-Za-z0-9]{1,60}@[A-Za-z0-9]{1,60}(\.[A-Za-z0-9]{1,30}){0,3}$`)
	chunkSize    = regexp.MustCompile(`^([0-9]+)( +LAST)?$`)
	sureOfMail   = regexp.MustCompile(`^(SIZE=[0-9]{1,20}|BODY=(7BIT|8BITMIME)|SMTPUTF8|RET=(FULL|HDRS))$`)
	likelyOfMail = regexp.MustCompile(`^(ENVID|AUTH)=.`)
	sureOfRcpt   = regexp.MustCompile(`^NOTIFY=(NEVER|SUCCESS|FAILURE|DELAY|SUCCESS,FAILURE)$`)
	likelyOfRcpt = regexp.MustCompile(`^(NOTIFY|ORCPT)=.`)
)

// readPath reads a path in angle brackets behind a keyword; what is quoted may hold a bracket. A source route is left out.
// RFC 5321, sections 4.1.1.2, 4.1.1.3 and 4.1.2; S7
func readPath(argument, keyword string) (path, rest string, sound soundness) {
	if !strings.HasPrefix(upper(argument), keyword) || hasControl(argument) {
		return "", "", bad
	}
	text := strings.TrimLeft(argument[len(keyword):], " ")
	end := closing(text)
	if end < 0 {
		return "", "", bad
	}
	path, rest = text[1:end], text[end+1:]
	switch {
	case path == "" || plainPath.MatchString(path):
		sound = good
	case len(path) > 254 || !strings.Contains(path, "@"):
		sound = bad
	default:
		sound = unsure
	}
	if strings.HasPrefix(path, "@") {
		_, path, _ = strings.Cut(path, ":")
	}
	if rest != "" && rest[0] != ' ' {
		sound = bad
	}
	return path, rest, sound
}

// closing finds the bracket that closes the one at the beginning.
func closing(text string) int {
	quoted := false
	for i := 0; i < len(text) && text[0] == '<'; i++ {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '>' && !quoted:
			return i
		}
	}
	return -1
}

// readParameters reads what follows a path, in capitals, by keyword.
func readParameters(text string, sure, likely *regexp.Regexp) (given map[string]string, sound soundness) {
	given = map[string]string{}
	for _, parameter := range strings.Fields(upper(text)) {
		keyword, value, _ := strings.Cut(parameter, "=")
		_, again := given[keyword]
		given[keyword] = value
		switch {
		case again || !sure.MatchString(parameter) && !likely.MatchString(parameter):
			sound = bad
		case !sure.MatchString(parameter):
			sound = max(sound, unsure)
		}
	}
	return given, sound
}

// readChunk reads the argument of BDAT. Sizes over a billion are all the same here, as long as they are sizes: below 2^63.
func readChunk(argument string) (size int, last, ok bool) {
	found := chunkSize.FindStringSubmatch(upper(argument))
	if found == nil {
		return 0, false, false
	}
	digits := strings.TrimLeft(found[1], "0")
	const limit = "9223372036854775807"
	if len(digits) > len(limit) || len(digits) == len(limit) && digits > limit {
		return 0, false, false
	}
	for _, digit := range digits {
		size = min(size*10+int(digit-'0'), 1e9)
	}
	return size, found[2] != "", true
}

// exceeds reports whether a number is over the limit.
func exceeds(digits string, limit int) bool {
	number := 0
	for _, digit := range digits {
		number = min(number*10+int(digit-'0'), 1e9)
	}
	return number > limit
}

// readReply reads a reply: lines of one code, a hyphen behind it but in the last one, no control in the text.
// RFC 5321, section 4.2.1; section 4.5.3.1.5 has the longest line.
func readReply(heard []byte) (code int, rest []byte, ok bool) {
	for {
		line, after, ended := bytes.Cut(heard, []byte("\r\n"))
		if !ended || len(line) < 4 || len(line) > 510 || hasControl(string(line)) {
			return 0, nil, false
		}
		number, err := strconv.Atoi(string(line[:3]))
		if err != nil || number < 200 || number > 599 || code != 0 && code != number {
			return 0, nil, false
		}
		code, heard = number, after
		switch line[3] {
		case ' ':
			return code, heard, true
		case '-':
		default:
			return 0, nil, false
		}
	}
}

// isAlert reports whether that is all that may be heard of a handshake that failed: nothing, or a record with an alert, which
// is no text. RFC 8446, section 5.1.
func isAlert(heard []byte) bool {
	return len(heard) == 0 || len(heard) == 7 && heard[0] == 21
}

// decode reads base64, and what cancels the exchange as something else.
func decode(text string) (plain string, ok bool) {
	octets, err := base64.StdEncoding.Strict().DecodeString(text)
	return string(octets), err == nil && !strings.ContainsAny(text, "\r\n")
}

// upper has capitals for the letters of ASCII, and no others: ſ is no S.
func upper(text string) string {
	octets := []byte(text)
	for i, octet := range octets {
		if 'a' <= octet && octet <= 'z' {
			octets[i] = octet - 'a' + 'A'
		}
	}
	return string(octets)
}

// isBare reports whether a CR or LF is not part of a CRLF. S2
func isBare(text string) bool {
	return strings.ContainsAny(strings.ReplaceAll(text, "\r\n", ""), "\r\n")
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

func hasControl(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}
