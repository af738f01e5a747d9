package smtp

import (
	"errors"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Limits of a path. A domain may have 255 octets (RFC 5321, section 4.5.3.1.2), more than the path that holds it.
const (
	maxLocalPartOctets int = 64  // as received, quotes included; RFC 5321, section 4.5.3.1.1
	maxPathOctets      int = 254 // 256 with the angle brackets; a source route counts. RFC 5321, section 4.5.3.1.3
	maxLabelOctets     int = 63  // RFC 1035, section 2.3.4
)

// What can be wrong with a path; the Cause of the reply that refuses it.
var (
	errNoBrackets   = errors.New("path is not in angle brackets")
	errPathTooLong  = errors.New("path is over 254 octets")
	errNotUTF8      = errors.New("path is not UTF-8")
	errControl      = errors.New("path has a control character")
	errSourceRoute  = errors.New("source route is malformed")
	errLocalPart    = errors.New("local part is malformed")
	errLocalTooLong = errors.New("local part is over 64 octets")
	errNoDomain     = errors.New("path has no domain")
	errDomain       = errors.New("domain is malformed")
	errLiteral      = errors.New("address literal is malformed")
)

var (
	badReversePath = NewReply(501, 5, 1, 7, "Bad sender address syntax")
	badForwardPath = NewReply(501, 5, 1, 3, "Bad recipient address syntax") // Mail Manager, B15 and B16
	pathNeedsUTF8  = NewReply(553, 5, 6, 7, "Address needs SMTPUTF8")       // RFC 6531, section 3.5
)

// ParseReversePath reads the reverse-path at the beginning of a text, and returns it with what follows, which is empty or
// begins with a space. <> is the null reverse-path. The reply is 501 5.1.7 for what is not a path.
// Addresses outside ASCII are taken; whether they may be used is known after the parameters: see Path.CheckASCII.
func ParseReversePath(text string) (path Path, rest string, refusal *Reply) {
	inner, rest, err := cutBrackets(text)
	if err == nil && inner == "" {
		return Path{}, rest, nil // Mail Manager, B15
	}
	if err == nil {
		path, err = parsePath(inner)
	}
	if err != nil {
		return Path{}, "", badReversePath.Because(err)
	}
	return path, rest, nil
}

// ParseForwardPath reads the forward-path at the beginning of a text, as ParseReversePath does, but without a null path.
// The reply is 501 5.1.3 for what is not a path.
func ParseForwardPath(text string) (path Path, rest string, refusal *Reply) {
	inner, rest, err := cutBrackets(text)
	if err == nil {
		path, err = parsePath(inner)
	}
	if err != nil {
		return Path{}, "", badForwardPath.Because(err)
	}
	return path, rest, nil
}

// ParseMailbox reads a path that stands alone, without brackets and without a source route: an address from elsewhere than
// MAIL and RCPT. The errors say what is wrong and do not repeat the text.
func ParseMailbox(text string) (Path, error) {
	if strings.HasPrefix(text, "@") {
		return Path{}, errSourceRoute
	}
	return parsePath(text)
}

// CheckASCII returns 553 5.6.7 when the path is not ASCII, for a transaction without SMTPUTF8. RFC 6531, section 3.5.
func (p Path) CheckASCII() *Reply {
	if p.IsASCII() {
		return nil
	}
	return pathNeedsUTF8
}

// cutBrackets finds the end of the path: the first > that is not in a quoted string.
func cutBrackets(text string) (inner, rest string, err error) {
	if text == "" || text[0] != '<' {
		return "", "", errNoBrackets
	}
	quoted := false
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case '>':
			if quoted {
				continue
			}
			inner, rest = text[1:i], text[i+1:]
			if rest != "" && rest[0] != ' ' {
				return "", "", errNoBrackets
			}
			return inner, rest, nil
		}
	}
	return "", "", errNoBrackets
}

// parsePath reads [ A-d-l ":" ] Mailbox. RFC 5321, section 4.1.2.
func parsePath(inner string) (Path, error) {
	if len(inner) > maxPathOctets {
		return Path{}, errPathTooLong
	}
	if err := checkCharacters(inner); err != nil {
		return Path{}, err
	}
	mailbox, err := skipSourceRoute(inner)
	if err != nil {
		return Path{}, err
	}
	local, rest, err := consumeLocalPart(mailbox)
	if err != nil {
		return Path{}, err
	}
	if len(mailbox)-len(rest) > maxLocalPartOctets {
		return Path{}, errLocalTooLong
	}
	domain, found := strings.CutPrefix(rest, "@")
	if !found || domain == "" {
		return Path{}, errNoDomain
	}
	if err := checkHost(domain); err != nil {
		return Path{}, err
	}
	return Path{Received: mailbox, Local: local, Domain: domain}, nil
}

// checkCharacters refuses controls, C1 included, and what is not UTF-8, wherever they stand. RFC 6531, section 3.3.
func checkCharacters(text string) error {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			if text[i] < ' ' || text[i] == 0x7f {
				return errControl
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return errNotUTF8
		}
		if unicode.IsControl(r) {
			return errControl
		}
		i += size
	}
	return nil
}

// skipSourceRoute returns what follows a source route, which is accepted and ignored. RFC 5321, section 4.1.1.3.
func skipSourceRoute(inner string) (mailbox string, err error) {
	if !strings.HasPrefix(inner, "@") {
		return inner, nil
	}
	route, mailbox, found := strings.Cut(inner, ":")
	if !found {
		return "", errSourceRoute
	}
	for hop := range strings.SplitSeq(route, ",") {
		domain, at := strings.CutPrefix(hop, "@")
		if !at || checkDomain(domain) != nil {
			return "", errSourceRoute
		}
	}
	return mailbox, nil
}

// consumeLocalPart reads Dot-string or Quoted-string, and returns the local part without quoting and what follows.
func consumeLocalPart(text string) (local, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		return consumeQuotedString(text)
	}
	end := 0
	for end < len(text) && (isAtomText(text[end]) || text[end] == '.') {
		end++
	}
	local = text[:end]
	if local == "" || local[0] == '.' || local[end-1] == '.' || strings.Contains(local, "..") {
		return "", "", errLocalPart
	}
	return local, text[end:], nil
}

// consumeQuotedString reads a quoted string of printable characters and quoted pairs. Controls were refused before.
func consumeQuotedString(text string) (local, rest string, err error) {
	var plain strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			if plain.Len() == 0 {
				return "", "", errLocalPart // no mailbox is called ""
			}
			return plain.String(), text[i+1:], nil
		case '\\':
			i++
			if i == len(text) || text[i] >= utf8.RuneSelf { // quoted-pairSMTP is ASCII, with SMTPUTF8 too
				return "", "", errLocalPart
			}
			plain.WriteByte(text[i])
		default:
			plain.WriteByte(text[i])
		}
	}
	return "", "", errLocalPart
}

// isAtomText is atext of RFC 5322, section 3.2.3, and what RFC 6531, section 3.3 adds.
func isAtomText(octet byte) bool {
	return isLetter(octet) || isDigit(octet) || octet >= utf8.RuneSelf ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", octet) >= 0
}

func isLetter(octet byte) bool {
	octet |= 'a' - 'A'
	return 'a' <= octet && octet <= 'z'
}

// checkHost checks a domain or an address literal.
func checkHost(host string) error {
	if host[0] == '[' {
		return checkLiteral(host)
	}
	return checkDomain(host)
}

// checkLiteral checks an IPv4 or IPv6 address literal. RFC 5321, section 4.1.3.
func checkLiteral(literal string) error {
	text, closed := strings.CutSuffix(literal[1:], "]")
	if !closed {
		return errLiteral
	}
	wantV6 := len(text) >= len("IPv6:") && strings.EqualFold(text[:len("IPv6:")], "IPv6:")
	if wantV6 {
		text = text[len("IPv6:"):]
	}
	address, err := netip.ParseAddr(text)
	if err != nil || address.Zone() != "" || address.Is6() != wantV6 {
		return errLiteral
	}
	return nil
}

// checkDomain checks the labels of a domain. An underscore is taken though RFC 1123 has none: the bounce domains of large
// senders do. A domain outside ASCII must have a form in A-labels. RFC 5321, section 4.1.2; RFC 6531, section 3.3.
func checkDomain(domain string) error {
	ascii := true
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return errDomain
		}
		plain, ok := checkLabel(label)
		if !ok || plain && len(label) > maxLabelOctets {
			return errDomain
		}
		ascii = ascii && plain
	}
	if ascii {
		return nil
	}
	if _, err := idna.Lookup.ToASCII(domain); err != nil {
		return errDomain
	}
	return nil
}

// checkLabel reports whether the label is ASCII, and whether its ASCII characters may stand in a label.
func checkLabel(label string) (ascii, ok bool) {
	ascii = true
	for i := range len(label) {
		octet := label[i]
		switch {
		case octet >= utf8.RuneSelf:
			ascii = false
		case !isLetter(octet) && !isDigit(octet) && octet != '-' && octet != '_':
			return ascii, false
		}
	}
	return ascii, true
}
