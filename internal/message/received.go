package message

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxTraceNameOctets is how much of a name that the peer gave goes into a trace field. RFC 5321, section 4.5.3.1.2.
const maxTraceNameOctets = 255

// Received is the trace field of a message that we took responsibility for. RFC 5321, section 4.4; Mail Manager, E1.
type Received struct {
	Session    *Session
	By         string // our host name: the ingress point's ARecord
	ID         ID     // of the message
	Date       time.Time
	Recipients []Recipient // named only when there is one: others are never exposed
	UTF8       bool        // SMTPUTF8 was asked for (RFC 6531, section 4.3)
}

// String is the complete field, folded, with its CRLFs. Nothing that the peer said can end a line or leave a bracket open:
// what could is replaced by question marks or left out.
func (r Received) String() string {
	var b strings.Builder
	b.Grow(320)
	b.WriteString("Received: from ")
	b.WriteString(traceName(r.Session.Hello))
	b.WriteString(" (")
	if r.Session.ClientName != "" {
		b.WriteString(traceName(r.Session.ClientName) + " ")
	}
	b.WriteString("[" + addressLiteral(r.Session.Client.Addr()) + "])\r\n\tby ")
	b.WriteString(traceName(r.By) + " with " + r.protocol() + " id " + r.ID.String())
	if path, ok := r.recipient(); ok {
		b.WriteString("\r\n\tfor <" + path + ">")
	}
	b.WriteString(";\r\n\t" + r.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700") + "\r\n")
	return b.String()
}

// protocol: RFC 3848 and RFC 6531, section 4.3.
func (r Received) protocol() string {
	if !r.Session.Extended {
		return "SMTP"
	}
	name := "ESMTP"
	if r.UTF8 {
		name = "UTF8SMTP"
	}
	if r.Session.TLSVersion != "" {
		name += "S"
	}
	if r.Session.AuthUser != "" {
		name += "A"
	}
	return name
}

// recipient is the path for the "for" clause: of a single recipient, and one that needs no quoting.
func (r Received) recipient() (string, bool) {
	if len(r.Recipients) != 1 {
		return "", false
	}
	path := r.Recipients[0].Path.Received
	for _, c := range path {
		if c <= ' ' || strings.ContainsRune("\"\\<>()[]:;,\x7f", c) || (c >= 0x80 && (!r.UTF8 || c == utf8.RuneError || !unicode.IsPrint(c))) {
			return "", false
		}
	}
	return path, path != ""
}

// traceName returns a domain or address literal with every octet that has no place in one replaced.
func traceName(name string) string {
	if name == "" {
		return "unknown"
	}
	name = name[:min(len(name), maxTraceNameOctets)]
	literal := len(name) > 2 && name[0] == '[' && name[len(name)-1] == ']'
	clean := func(i int) bool {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '-', c == '_', c == ':':
			return true
		}
		return literal && (i == 0 || i == len(name)-1)
	}
	var b []byte
	for i := range len(name) {
		if !clean(i) {
			if b == nil {
				b = []byte(name)
			}
			b[i] = '?'
		}
	}
	if b == nil {
		return name
	}
	return string(b)
}

// addressLiteral: RFC 5321, section 4.1.3.
func addressLiteral(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return "unknown"
	case a.Is4():
		return a.String()
	}
	return "IPv6:" + a.String()
}
