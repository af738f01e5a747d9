package smtp

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// maxSizeDigits is how many digits SIZE may have. RFC 1870, section 3.
const maxSizeDigits int = 20

// What can be wrong with ESMTP parameters; the Cause of the reply that refuses them.
var (
	errParameterSyntax    = errors.New("parameter is malformed")
	errParameterDuplicate = errors.New("parameter is given twice")
	errParameterUnknown   = errors.New("parameter is unknown")
	errParameterValue     = errors.New("parameter has a value it cannot have")
)

var (
	badParameter     = NewReply(501, 5, 5, 4, "Bad parameter")
	unknownParameter = NewReply(555, 5, 5, 4, "Parameter not recognised") // RFC 5321, section 4.1.1.11
)

// MailParameters are the ESMTP parameters of MAIL. The zero value is a MAIL without any.
type MailParameters struct {
	Size       int64  // SIZE in octets, at most math.MaxInt64; 0 when absent. RFC 1870, section 3
	EightBit   bool   // BODY=8BITMIME. RFC 6152, section 3
	UTF8       bool   // SMTPUTF8. RFC 6531, section 3.4
	Return     string // RET: FULL or HDRS; empty when absent. RFC 3461, section 4.3
	EnvelopeID string // ENVID, decoded: printable ASCII; empty when absent. RFC 3461, section 4.4
	Auth       string // AUTH, decoded: a mailbox or <>, which nobody trusts; empty when absent. RFC 4954, section 5
}

// RcptParameters are the ESMTP parameters of RCPT. The zero value is a RCPT without any.
type RcptParameters struct {
	Notify   string // NOTIFY as received, checked; empty when absent. RFC 3461, section 4.1
	Original string // ORCPT as received, checked; empty when absent. RFC 3461, section 4.2; RFC 6533, section 3
}

// ParseMailParameters reads what follows the reverse-path. The reply is 555 5.5.4 for a parameter that is not known, 501
// 5.5.4 for one that is malformed or given twice.
func ParseMailParameters(text string) (MailParameters, *Reply) {
	var parameters MailParameters
	refusal := eachParameter(text, func(keyword, value string, valued bool) error {
		switch keyword {
		case "SIZE":
			return parseSize(value, &parameters.Size)
		case "BODY":
			return parseBody(value, &parameters.EightBit)
		case "SMTPUTF8":
			parameters.UTF8 = true
			if valued {
				return errParameterValue
			}
			return nil
		case "RET":
			return parseReturn(value, &parameters.Return)
		case "ENVID":
			return parseEnvelopeID(value, &parameters.EnvelopeID)
		case "AUTH":
			return parseSubmitter(value, &parameters.Auth)
		}
		return errParameterUnknown
	})
	return parameters, refusal
}

// ParseRcptParameters reads what follows the forward-path; utf8 says whether MAIL had SMTPUTF8. The replies are those of
// ParseMailParameters.
func ParseRcptParameters(text string, utf8 bool) (RcptParameters, *Reply) {
	var parameters RcptParameters
	refusal := eachParameter(text, func(keyword, value string, _ bool) error {
		switch keyword {
		case "NOTIFY":
			return parseNotify(value, &parameters.Notify)
		case "ORCPT":
			return parseOriginal(value, utf8, &parameters.Original)
		}
		return errParameterUnknown
	})
	return parameters, refusal
}

// parseSize reads SIZE. What int64 cannot hold is larger than any limit all the same.
func parseSize(value string, size *int64) error {
	if !isNumber(value) || len(value) > maxSizeDigits {
		return errParameterValue
	}
	octets, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		octets = math.MaxInt64
	}
	*size = int64(min(octets, math.MaxInt64))
	return nil
}

func parseBody(value string, eightBit *bool) error {
	*eightBit = isWord(value, "8BITMIME")
	if !*eightBit && !isWord(value, "7BIT") {
		return errParameterValue
	}
	return nil
}

// parseSubmitter reads AUTH of MAIL: who submitted the message, or <> when that is not known. RFC 4954, section 5.
func parseSubmitter(value string, submitter *string) error {
	plain, err := decodeXtext(value)
	if err != nil {
		return err
	}
	if plain != "<>" {
		if _, err := ParseMailbox(plain); err != nil {
			return err
		}
	}
	*submitter = plain
	return nil
}

// eachParameter splits the text at spaces and gives each parameter, its keyword in upper case, to take. It refuses the text at
// the first error. RFC 5321, section 4.1.2: Mail-parameters, esmtp-param.
func eachParameter(text string, take func(keyword, value string, valued bool) error) *Reply {
	seen := make([]string, 0, 8)
	for parameter := range strings.SplitSeq(text, " ") {
		if parameter == "" {
			continue
		}
		keyword, value, valued := strings.Cut(parameter, "=")
		if !isKeyword(keyword) || valued && !isParameterValue(value) {
			return badParameter.Because(errParameterSyntax)
		}
		keyword = strings.ToUpper(keyword)
		for _, earlier := range seen {
			if earlier == keyword {
				return badParameter.Because(errParameterDuplicate)
			}
		}
		seen = append(seen, keyword)
		switch err := take(keyword, value, valued); err {
		case nil:
		case errParameterUnknown:
			return unknownParameter.Because(err)
		default:
			return badParameter.Because(err)
		}
	}
	return nil
}

// isWord reports whether the text is the word, in any case. No letter outside ASCII is as long as the one it folds to.
func isWord(text, word string) bool {
	return len(text) == len(word) && strings.EqualFold(text, word)
}

// isNumber reports whether the text is digits and nothing else: no sign, no underscores.
func isNumber(text string) bool {
	for i := range len(text) {
		if !isDigit(text[i]) {
			return false
		}
	}
	return text != ""
}

// isKeyword checks esmtp-keyword: letters, digits and hyphens, the first not a hyphen.
func isKeyword(text string) bool {
	for i := range len(text) {
		if !isLetter(text[i]) && !isDigit(text[i]) && (i == 0 || text[i] != '-') {
			return false
		}
	}
	return text != ""
}

// isParameterValue checks esmtp-value: printable, neither space nor "="; UTF-8 as RFC 6531, section 3.3 has it.
func isParameterValue(text string) bool {
	return text != "" && !strings.ContainsAny(text, " =") && checkCharacters(text) == nil
}
