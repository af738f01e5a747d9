package smtp

import (
	"strconv"
	"strings"
)

// DecodeOriginal takes the value of ORCPT apart: the type of the address, and the address without the encoding that the parameter
// needs. ok is false for what is no such value. RFC 3461, section 4.2; RFC 6533, section 3.
func DecodeOriginal(value string) (kind, address string, ok bool) {
	var checked string
	if parseOriginal(value, true, &checked) != nil {
		return "", "", false
	}
	kind, encoded, _ := strings.Cut(value, ";")
	if isWord(kind, "utf-8") {
		return kind, decodeUnitext(encoded), true
	}
	address, _ = decodeXtext(encoded) // it was checked
	return kind, address, true
}

// decodeUnitext decodes what checkUnitext has checked.
func decodeUnitext(text string) string {
	var plain strings.Builder
	for text != "" {
		size, embedded := consumeEmbedded(text)
		if !embedded {
			plain.WriteByte(text[0])
			text = text[1:]
			continue
		}
		point, _ := strconv.ParseUint(text[len(`\x{`):size-len("}")], 16, 32)
		plain.WriteRune(rune(point))
		text = text[size:]
	}
	return plain.String()
}
