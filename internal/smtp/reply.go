package smtp

import "fmt"

// EnhancedCode is an enhanced status code, such as 5.1.1; the zero value stands for none. RFC 3463, section 2.
type EnhancedCode struct {
	Class, Subject, Detail uint16
}

// String is the code with dots, or empty for none.
func (c EnhancedCode) String() string {
	if c.Class == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", c.Class, c.Subject, c.Detail)
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

// String is the reply on one line, as logs and traces show it.
func (r *Reply) String() string {
	if r.Enhanced.Class == 0 {
		return fmt.Sprintf("%d %s", r.Code, r.Text)
	}
	return fmt.Sprintf("%d %s %s", r.Code, r.Enhanced, r.Text)
}

// Error implements error.
func (r *Reply) Error() string {
	if r.Cause != nil {
		return fmt.Sprintf("%s (%v)", r, r.Cause)
	}
	return r.String()
}

// Unwrap returns the cause.
func (r *Reply) Unwrap() error { return r.Cause }
