package bounce

import (
	"bytes"
	"slices"
	"strings"

	"sluice/internal/message"
)

// bulk are the values of Precedence that stand for mail to many. RFC 3834, section 2.
var bulk = []string{"bulk", "list", "junk"}

// Automatic reports whether a machine or a list sent the message: Auto-Submitted has something other than "no", Precedence has
// bulk, list or junk, or there is a field of a list. RFC 3834, sections 2 and 5; RFC 2369; RFC 2919.
func Automatic(header message.Header) bool {
	for f := range header.Fields() {
		switch {
		case f.Is("Auto-Submitted"):
			if keyword(f.Raw) != "no" {
				return true
			}
		case f.Is("Precedence"):
			if slices.Contains(bulk, keyword(f.Raw)) {
				return true
			}
		case len(f.Name) > len("List-") && bytes.EqualFold(f.Name[:len("List-")], []byte("List-")):
			return true
		}
	}
	return false
}

// keyword is the first word of a value, in lower case, without parameters and a comment behind it.
func keyword(raw []byte) string {
	text := strings.ToLower(string(message.AppendText(nil, raw)))
	if end := strings.IndexAny(text, "; \t("); end >= 0 {
		text = text[:end]
	}
	return text
}
