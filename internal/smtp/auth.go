package smtp

import (
	"encoding/base64"
	"errors"
	"strings"
)

// Limits of an authentication exchange.
const (
	maxMechanismOctets int = 20     // of the mechanism's name; RFC 4422, section 3.1
	maxResponseOctets  int = 12_288 // of a response in base64; RFC 4954, section 4
)

// What can be wrong with an authentication exchange; no cause repeats any of it.
var (
	errMechanism   = errors.New("argument is not the name of a mechanism")
	errBase64      = errors.New("response is not base64")
	errResponse    = errors.New("response is over 12288 octets")
	errAuthStopped = errors.New("client cancelled the exchange")
)

// RFC 4954 has no enhanced code for an exchange that the client cancels: it is 5.7.0, the general one of its subject.
var (
	badResponse     = NewReply(501, 5, 5, 2, "Cannot decode response")
	responseTooLong = NewReply(500, 5, 5, 6, "Authentication exchange line is too long") // RFC 4954, section 6
	authCancelled   = NewReply(501, 5, 7, 0, "Authentication cancelled")                 // RFC 4954, section 4
)

// ParseAuth reads the argument of AUTH: the mechanism in upper case, and the initial response, decoded, if there is one; it may
// be there and empty. The reply is 501 5.5.4 for an argument that names no mechanism, else as DecodeAuthLine has it. Whether
// the mechanism is known is not asked. RFC 4954, sections 4 and 8.
func ParseAuth(argument string) (mechanism string, initial []byte, hasInitial bool, refusal *Reply) {
	name, response, _ := strings.Cut(argument, " ")
	response = strings.Trim(response, " ")
	if !isMechanism(name) {
		return "", nil, false, badKeyword.Because(errMechanism)
	}
	mechanism = strings.ToUpper(name)
	switch response {
	case "":
		return mechanism, nil, false, nil
	case "=":
		return mechanism, []byte{}, true, nil
	}
	if initial, refusal = decodeResponse(response); refusal != nil {
		return "", nil, false, refusal
	}
	return mechanism, initial, true, nil
}

// DecodeAuthLine decodes a client's response, a line of its own, which may be empty. The reply is 501 5.7.0 when the client
// cancels the exchange with "*", 501 5.5.2 for what is not base64, 500 5.5.6 for a line that is too long. RFC 4954, section 4.
func DecodeAuthLine(line string) ([]byte, *Reply) {
	if line == "*" {
		return nil, authCancelled.Because(errAuthStopped)
	}
	return decodeResponse(line)
}

// decodeResponse takes base64 without anything else in it: Go's would skip line ends.
func decodeResponse(text string) ([]byte, *Reply) {
	if len(text) > maxResponseOctets {
		return nil, responseTooLong.Because(errResponse)
	}
	plain, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, badResponse.Because(errBase64)
	}
	return plain, nil
}

// isMechanism checks sasl-mech, in any case. RFC 4422, section 3.1.
func isMechanism(text string) bool {
	for i := range len(text) {
		if !isLetter(text[i]) && !isDigit(text[i]) && text[i] != '-' && text[i] != '_' {
			return false
		}
	}
	return text != "" && len(text) <= maxMechanismOctets
}
