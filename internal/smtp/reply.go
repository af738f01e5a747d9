package smtp

import "strconv"

// EnhancedCode is an enhanced status code, such as 5.1.1; the zero value stands for none. RFC 3463, section 2.
type EnhancedCode struct {
	Class, Subject, Detail uint16
}

// String is the code with dots, or empty for none.
func (c EnhancedCode) String() string {
	if c.Class == 0 {
		return ""
	}
	return string(c.append(make([]byte, 0, len("5.999.999"))))
}

func (c EnhancedCode) append(to []byte) []byte {
	to = strconv.AppendUint(to, uint64(c.Class), 10)
	to = append(to, '.')
	to = strconv.AppendUint(to, uint64(c.Subject), 10)
	to = append(to, '.')
	return strconv.AppendUint(to, uint64(c.Detail), 10)
}

// Reply is an SMTP reply and the one error of the SMTP packages. Text may have several lines, separated by \n, and names
// no configuration; Cause is for the log only. Permanence is read from the code. RFC 5321, section 4.2.
type Reply struct {
	Code     int
	Enhanced EnhancedCode
	Text     string
	Cause    error
}

// NewReply returns a reply with an enhanced code, given by its three numbers.
func NewReply(code int, class, subject, detail uint16, text string) *Reply {
	return &Reply{Code: code, Enhanced: EnhancedCode{class, subject, detail}, Text: text}
}

// Because returns a copy of the reply that carries a cause.
func (r *Reply) Because(cause error) *Reply {
	with := *r
	with.Cause = cause
	return &with
}

// Positive reports whether the reply is 2yz or 3yz.
func (r *Reply) Positive() bool { return r.Code >= 200 && r.Code < 400 }

// Transient reports whether the reply is 4yz: a later attempt may succeed.
func (r *Reply) Transient() bool { return r.Code >= 400 && r.Code < 500 }

// Permanent reports whether the reply is 5yz: the same attempt will fail again.
func (r *Reply) Permanent() bool { return r.Code >= 500 }

// String is the reply as logs and traces show it: one code, then the text, whose lines stay apart by \n.
func (r *Reply) String() string {
	text := strconv.AppendInt(make([]byte, 0, len("250 5.999.999 ")+len(r.Text)), int64(r.Code), 10)
	if r.Enhanced.Class != 0 {
		text = r.Enhanced.append(append(text, ' '))
	}
	return string(append(append(text, ' '), r.Text...))
}

// Error implements error.
func (r *Reply) Error() string {
	if r.Cause != nil {
		return r.String() + " (" + r.Cause.Error() + ")"
	}
	return r.String()
}

// Unwrap returns the cause.
func (r *Reply) Unwrap() error { return r.Cause }
