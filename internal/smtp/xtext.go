package smtp

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// errXtext is the cause where a parameter is not encoded as it must be, or holds what cannot be printed.
var errXtext = errors.New("parameter is not encoded properly")

// decodeXtext decodes xtext: printable ASCII but for "+" and "=", and any octet as "+" with two hexadecimal digits. Digits are
// taken in both cases, as RFC 4954, section 8 has them. RFC 3461, section 4.
func decodeXtext(text string) (string, error) {
	plain := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		octet := text[i]
		switch {
		case octet == '+':
			end := min(i+len("+00"), len(text))
			decoded, err := strconv.ParseUint(text[i+1:end], 16, 8)
			if err != nil || end-i < len("+00") {
				return "", errXtext
			}
			octet, i = byte(decoded), end-1
		case octet <= ' ', octet >= 0x7f, octet == '=':
			return "", errXtext
		}
		plain = append(plain, octet)
	}
	return string(plain), nil
}

// isPrintable reports whether the text is printable ASCII, spaces included.
func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// checkUnitext checks utf-8-addr-xtext, and with SMTPUTF8 utf-8-addr-unitext, where characters outside ASCII may stand as they
// are: as xtext, but with \x{...} for a character in place of "+" for an octet. Controls and what is not UTF-8 were refused with
// the parameter. RFC 6533, section 3.
func checkUnitext(text string, international bool) error {
	for text != "" {
		switch octet := text[0]; {
		case octet == '\\':
			size, ok := consumeEmbedded(text)
			if !ok {
				return errXtext
			}
			text = text[size:]
			continue
		case octet == '+', octet == '=', octet <= ' ', octet == 0x7f, octet >= utf8.RuneSelf && !international:
			return errXtext
		}
		text = text[1:]
	}
	return nil
}

// consumeEmbedded reads EmbeddedUnicodeChar at the beginning of the text: two to six hexadecimal digits, none needless, of what
// cannot stand for itself. Controls, which the grammar has and no mailbox may have, are not taken.
func consumeEmbedded(text string) (size int, ok bool) {
	const open = `\x{`
	digits, _, closed := strings.Cut(strings.TrimPrefix(text, open), "}")
	if !strings.HasPrefix(text, open) || !closed || len(digits) < 2 || len(digits) > 6 || len(digits) > 2 && digits[0] == '0' {
		return 0, false
	}
	point, err := strconv.ParseUint(digits, 16, 32)
	character := rune(point)
	if err != nil || !utf8.ValidRune(character) || unicode.IsControl(character) {
		return 0, false
	}
	if character < utf8.RuneSelf && !strings.ContainsRune(` +=\`, character) {
		return 0, false
	}
	return len(open) + len(digits) + len("}"), true
}
