package smtp

import (
	"errors"
	"slices"
	"strings"
)

// Limits of what a client may have given back to it in a delivery status notification. RFC 3461, sections 4.2, 4.4 and 5.4.
const (
	maxEnvelopeIDOctets int = 100 // of ENVID, decoded
	maxOriginalOctets   int = 500 // of ORCPT, as received
)

// errParameterTooLong is the cause where a limit above is exceeded.
var errParameterTooLong = errors.New("parameter is too long")

// parseReturn reads RET: how much of the message a notification of failure gives back. RFC 3461, section 4.3.
func parseReturn(value string, what *string) error {
	for _, word := range [...]string{"FULL", "HDRS"} {
		if isWord(value, word) {
			*what = word
			return nil
		}
	}
	return errParameterValue
}

// parseEnvelopeID reads ENVID, the client's own name for the transaction. RFC 3461, section 4.4.
func parseEnvelopeID(value string, id *string) error {
	plain, err := decodeXtext(value)
	switch {
	case err != nil:
		return err
	case plain == "":
		return errParameterValue
	case len(plain) > maxEnvelopeIDOctets:
		return errParameterTooLong
	case !isPrintable(plain): // it will stand in a field of a notification
		return errXtext
	}
	*id = plain
	return nil
}

// parseNotify checks NOTIFY: NEVER, or one or more conditions, none twice. RFC 3461, section 4.1.
func parseNotify(value string, notify *string) error {
	left := []string{"SUCCESS", "FAILURE", "DELAY"}
	if isWord(value, "NEVER") {
		*notify = value
		return nil
	}
	for text := range strings.SplitSeq(value, ",") {
		at := slices.IndexFunc(left, func(condition string) bool { return isWord(text, condition) })
		if at < 0 {
			return errParameterValue
		}
		left = slices.Delete(left, at, at+1)
	}
	*notify = value
	return nil
}

// parseOriginal checks ORCPT: the type of an address, and the address as its sender spelled it, which need not be one of that
// type. Type utf-8 has an encoding of its own, and without it if MAIL had SMTPUTF8. RFC 3461, section 4.2; RFC 6533, section 3.
func parseOriginal(value string, utf8 bool, original *string) error {
	if len(value) > maxOriginalOctets {
		return errParameterTooLong
	}
	kind, address, found := strings.Cut(value, ";")
	if !found || !isAtom(kind) || address == "" {
		return errParameterValue
	}
	if err := checkOriginal(kind, address, utf8); err != nil {
		return err
	}
	*original = value
	return nil
}

func checkOriginal(kind, address string, utf8 bool) error {
	if isWord(kind, "utf-8") {
		return checkUnitext(address, utf8)
	}
	plain, err := decodeXtext(address)
	if err == nil && !isPrintable(plain) { // it will stand in a field of a notification
		err = errXtext
	}
	return err
}

// isAtom checks atom of RFC 5322, section 3.2.3, without what RFC 6531 adds to it.
func isAtom(text string) bool {
	for i := range len(text) {
		if !isAtomText(text[i]) || text[i] >= 0x80 {
			return false
		}
	}
	return text != ""
}
