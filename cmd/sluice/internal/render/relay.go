package render

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"sluice/internal/admin/client"
)

// Relay writes what came of testing a relay, address by address, step by step.
func Relay(w io.Writer, test client.TestRelayOutput) error {
	p := page{bufio.NewWriter(w)}
	p.line(0, "relay %s %s, %s port %d, tested in %s", test.Id, plain(test.Name), plain(test.Server), test.Port, rounded(test.Took))
	if test.Failure != "" {
		p.line(1, "no address can be tried: %s", plain(test.Failure))
	}
	for i := range test.Addresses {
		p.address(&test.Addresses[i])
	}
	if test.Works() {
		p.line(0, "mail can leave; none was sent")
	} else {
		p.line(0, "mail cannot leave")
	}
	return p.Flush()
}

func (p page) address(a *client.RelayAddress) {
	outcome := "works"
	if a.Failure != "" {
		outcome = "fails"
	}
	p.line(0, "%s  %s after %s", a.Address, outcome, rounded(a.Took))
	for _, step := range []struct{ name, text string }{
		{"greeting", a.Greeting},
		{"TLS", addressTLS(a)},
		{"offers", strings.Join(a.Offers, ", ")},
		{"logged in as", a.User},
		{"failure", a.Failure},
	} {
		if step.text != "" {
			p.line(1, "%-14s%s", step.name, plain(step.text))
		}
	}
}

// addressTLS says how the connection was protected, where it came so far.
func addressTLS(a *client.RelayAddress) string {
	switch {
	case a.TLS != nil:
		return protection(a.TLS)
	case a.Fallback != "":
		return fmt.Sprintf("none, in clear because of %s", a.Fallback)
	case a.Failure == "":
		return "none, in clear"
	default:
		return ""
	}
}

func rounded(took time.Duration) time.Duration { return took.Round(100 * time.Microsecond) }
