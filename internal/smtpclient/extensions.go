package smtpclient

import (
	"fmt"
	"strconv"
	"strings"

	"sluice/internal/smtp"
)

// extensions are what the host offered in its reply to EHLO, as far as we use it. The zero value is a host that knows
// HELO only.
type extensions struct {
	startTLS   bool   // RFC 3207
	auth       string // names of mechanisms, each behind a space; RFC 4954
	pipelining bool   // RFC 2920
	chunking   bool   // RFC 3030
	eightBit   bool   // RFC 6152
	utf8       bool   // RFC 6531
	dsn        bool   // RFC 3461
	size       bool   // RFC 1870
	maxSize    int64  // octets; 0: no limit is known
}

// hello introduces us: EHLO, or HELO where that is all the host knows. What an earlier EHLO taught is forgotten. RFC 5321,
// section 3.2; RFC 3207, section 4.2.
func (c *Conn) hello(name string) error {
	c.ext, c.offer = extensions{}, nil
	reply, err := c.command(c.timeouts.Command, "EHLO ", name)
	if err == nil && positive(reply) {
		c.ext, c.offer = parseExtensions(reply), reply
		return nil
	}
	if err == nil && reply.Permanent() {
		reply, err = c.command(c.timeouts.Command, "HELO ", name)
	}
	if err == nil && !positive(reply) {
		err = reply
	}
	if err != nil {
		return fmt.Errorf("greet host: %w", err)
	}
	return nil
}

// parseExtensions reads the lines after the first. A keyword that is malformed or unknown is passed over: it can only
// make us ask for less. RFC 5321, section 4.1.1.1.
func parseExtensions(reply *smtp.Reply) extensions {
	var ext extensions
	_, rest, _ := strings.Cut(reply.Text, "\n")
	for line := range strings.SplitSeq(rest, "\n") {
		keyword, parameters, _ := strings.Cut(line, " ")
		switch strings.ToUpper(keyword) {
		case "STARTTLS":
			ext.startTLS = true
		case "AUTH":
			ext.auth += " " + strings.ToUpper(parameters)
		case "PIPELINING":
			ext.pipelining = true
		case "CHUNKING":
			ext.chunking = true
		case "8BITMIME":
			ext.eightBit = true
		case "SMTPUTF8":
			ext.utf8 = true
		case "DSN":
			ext.dsn = true
		case "SIZE":
			ext.size = true
			// RFC 1870, section 4: no number, or 0, sets no fixed limit.
			ext.maxSize, _ = strconv.ParseInt(strings.TrimSpace(parameters), 10, 64)
			ext.maxSize = max(ext.maxSize, 0)
		}
	}
	return ext
}
