package smtp

import (
	"errors"
	"strings"
)

// maxHelloOctets bounds the argument of EHLO and HELO: a domain or an address literal. RFC 5321, section 4.5.3.1.2.
const maxHelloOctets int = 255

var (
	errHello  = errors.New("argument is neither a domain nor an address literal")
	errPrefix = errors.New("keyword FROM: or TO: is missing")
)

var (
	badHello   = NewReply(501, 5, 5, 4, "Bad host name")
	badKeyword = NewReply(501, 5, 5, 4, "Syntax error in arguments")
)

// ParseCommand splits a command line, without its end, into the verb and its argument: what follows the first space,
// without spaces around it. RFC 5321, section 4.1.1 has receivers ignore spaces at the end.
func ParseCommand(line string) (verb, argument string) {
	verb, argument, _ = strings.Cut(line, " ")
	return verb, strings.Trim(argument, " ")
}

// ParseHello checks the argument of EHLO or HELO. Host names that RFC 1123 would not have are taken, for many honest machines
// have one; controls, spaces and the characters that delimit comments, paths and strings in a Received field are not.
// The reply is 501 5.5.4. RFC 5321, section 4.1.1.1.
func ParseHello(argument string) (string, *Reply) {
	if argument == "" || len(argument) > maxHelloOctets {
		return "", badHello.Because(errHello)
	}
	for i := range len(argument) {
		if octet := argument[i]; octet <= ' ' || octet >= 0x7f || strings.IndexByte(`()<>@,;"\`, octet) >= 0 {
			return "", badHello.Because(errHello)
		}
	}
	return argument, nil
}

// ParseMail reads the argument of MAIL. The reply says what is wrong, see ParseReversePath and ParseMailParameters.
// RFC 5321, section 4.1.1.2.
func ParseMail(argument string) (Path, MailParameters, *Reply) {
	text, found := cutKeyword(argument, "FROM:")
	if !found {
		return Path{}, MailParameters{}, badKeyword.Because(errPrefix)
	}
	path, rest, refusal := ParseReversePath(text)
	if refusal != nil {
		return Path{}, MailParameters{}, refusal
	}
	parameters, refusal := ParseMailParameters(rest)
	if refusal == nil && !parameters.UTF8 {
		refusal = path.CheckASCII()
	}
	return path, parameters, refusal
}

// ParseRcpt reads the argument of RCPT; utf8 says whether MAIL had SMTPUTF8. The reply says what is wrong, see ParseForwardPath
// and ParseRcptParameters. RFC 5321, section 4.1.1.3.
func ParseRcpt(argument string, utf8 bool) (Path, RcptParameters, *Reply) {
	text, found := cutKeyword(argument, "TO:")
	if !found {
		return Path{}, RcptParameters{}, badKeyword.Because(errPrefix)
	}
	path, rest, refusal := ParseForwardPath(text)
	if refusal != nil {
		return Path{}, RcptParameters{}, refusal
	}
	parameters, refusal := ParseRcptParameters(rest, utf8)
	if refusal == nil && !utf8 {
		refusal = path.CheckASCII()
	}
	return path, parameters, refusal
}

// cutKeyword removes FROM: or TO:. Spaces after it are against RFC 5321, section 3.3 and common.
func cutKeyword(argument, keyword string) (rest string, found bool) {
	if len(argument) < len(keyword) || !strings.EqualFold(argument[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(argument[len(keyword):], " "), true
}
