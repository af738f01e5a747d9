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
	pipelining bool  // RFC 2920
	eightBit   bool  // RFC 6152
	utf8       bool  // RFC 6531
	size       bool  // RFC 1870
	maxSize    int64 // octets; 0: no limit is known
}

// hello introduces us: EHLO, or HELO where that is all the host knows. RFC 5321, section 3.2.
func (c *Conn) hello(name string) error {
	reply, err := c.command(c.timeouts.Command, "EHLO ", name)
	if err == nil && positive(reply) {
		c.ext = parseExtensions(reply)
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
		case "PIPELINING":
			ext.pipelining = true
		case "8BITMIME":
			ext.eightBit = true
		case "SMTPUTF8":
			ext.utf8 = true
		case "SIZE":
			ext.size = true
			// RFC 1870, section 4: no number, or 0, sets no fixed limit.
			ext.maxSize, _ = strconv.ParseInt(strings.TrimSpace(parameters), 10, 64)
			ext.maxSize = max(ext.maxSize, 0)
		}
	}
	return ext
}
