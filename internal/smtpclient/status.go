package smtpclient

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// sendsReturn reports whether RET can be sent, or need not be. RFC 3461, section 4.3.
func (t *Transaction) sendsReturn() bool {
	return !t.DSN || t.Return == "" || t.Return == "FULL" || t.Return == "HDRS"
}

// sendsStatus reports whether NOTIFY and ORCPT of a recipient can be sent, or need not be: neither may break its line, nor add
// a parameter.
func (t *Transaction) sendsStatus(recipient int) bool {
	r := &t.Recipients[recipient]
	return !t.DSN || isValue(r.Notify) && isValue(r.Original)
}

// isValue reports whether a text can be the value of a parameter. RFC 5321, section 4.1.2: esmtp-value; RFC 6531, section 3.3.
func isValue(text string) bool {
	for _, octet := range []byte(text) {
		if octet <= ' ' || octet == '=' || octet == 0x7f {
			return false
		}
	}
	return utf8.ValidString(text)
}

// mailStatus puts RET and ENVID into the connection's buffer, if the host offers DSN. RFC 3461, section 5.2.1.
func (t *Transaction) mailStatus(c *Conn) {
	if !t.DSN {
		return
	}
	if t.Return != "" {
		c.w.WriteString(" RET=")
		c.w.WriteString(t.Return)
	}
	if t.EnvelopeID != "" {
		c.w.WriteString(" ENVID=")
		for _, octet := range []byte(t.EnvelopeID) {
			c.xtext(octet)
		}
	}
}

// rcptStatus puts NOTIFY and ORCPT into the connection's buffer, if the host offers DSN.
func (t *Transaction) rcptStatus(c *Conn, recipient int) {
	if !t.DSN {
		return
	}
	r := &t.Recipients[recipient]
	if r.Notify != "" {
		c.w.WriteString(" NOTIFY=")
		c.w.WriteString(r.Notify)
	}
	if r.Original != "" {
		c.w.WriteString(" ORCPT=")
		c.w.WriteString(t.original(r.Original))
	}
}

// xtext puts an octet into the buffer, encoded unless it can stand for itself. RFC 3461, section 4.
func (c *Conn) xtext(octet byte) {
	if octet <= ' ' || octet >= 0x7f || octet == '+' || octet == '=' {
		fmt.Fprintf(c.w, "+%02X", octet)
		return
	}
	c.w.WriteByte(octet)
}

// original is ORCPT as the host can take it: without SMTPUTF8 characters outside ASCII are embedded. RFC 6533, section 3.
func (t *Transaction) original(text string) string {
	if t.utf8 {
		return text
	}
	var embedded strings.Builder
	for _, character := range text {
		if character < utf8.RuneSelf {
			embedded.WriteRune(character)
		} else {
			fmt.Fprintf(&embedded, `\x{%X}`, character)
		}
	}
	return embedded.String()
}
