package letter

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// notification is one about x-17, to two recipients of three.
const notification = `From: Mail Delivery System <postmaster@gateway.example>
To: <sender@example.org>
Content-Type: multipart/report; report-type=delivery-status; boundary="=_b"
MIME-Version: 1.0

--=_b
Content-Type: text/plain; charset=us-ascii

X-Load-Id: not here

--=_b
Content-Type: message/delivery-status

Reporting-MTA: dns; gateway.example
Action: failed

Original-Recipient: rfc822;one@example.net
Final-Recipient: rfc822; one@example.net
Action: failed
Status: 5.1.1

Final-Recipient: rfc822;two@example.net
Action: delayed
Status: 4.4.1

Final-Recipient: rfc822;three@example.net
Action: Failed
Status: 5.0.0

--=_b
Content-Type: text/rfc822-headers

From: <sender@example.org>
X-Load-Id: x-17 00c0ffee
Subject: load
--=_b--
`

func TestReadBounce(t *testing.T) {
	t.Parallel()
	want := Bounce{ID: "x-17", Failed: []string{"one@example.net", "three@example.net"}}
	whole := strings.NewReplacer("text/rfc822-headers", "message/rfc822", "Subject: load\n", "Subject: load\n\nbody\n")
	for name, in := range map[string]string{"header section": notification, "whole": whole.Replace(notification)} {
		got, err := ReadBounce([]byte(strings.ReplaceAll(in, "\n", "\r\n")))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadBounceRefuses(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"nothing":           "",
		"a letter":          "From: <a@example.org>\nX-Load-Id: x-17 00\n\nbody\n",
		"another multipart": strings.Replace(notification, "multipart/report", "multipart/mixed", 1),
		"no boundary":       strings.Replace(notification, "boundary=", "border=", 1),
		"cut short":         notification[:len(notification)-len("=_b--\n")],
		"no letter":         strings.Replace(notification, "X-Load-Id: x-17", "X-Other: x-17", 1),
		"a part of no kind": strings.Replace(notification, "message/delivery-status", "/", 1),
	} {
		if got, err := ReadBounce([]byte(strings.ReplaceAll(in, "\n", "\r\n"))); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}
