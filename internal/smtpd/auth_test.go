package smtpd

import (
	"encoding/base64"
	"strings"
	"testing"

	"sluice/internal/conform"
)

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestAuth(t *testing.T) {
	t.Parallel()
	right := encoded("\x00user\x00right")
	tests := []struct {
		name string
		say  []string // a command or response, then the beginning of its reply
	}{
		{"PLAIN at once", []string{"AUTH PLAIN " + right, "235 2.7.0"}},
		{"PLAIN asked for", []string{"AUTH PLAIN", "334 ", right, "235 2.7.0"}},
		{"in any case", []string{"auth plain " + right, "235 2.7.0"}},
		{"PLAIN for oneself", []string{"AUTH PLAIN " + encoded("user\x00user\x00right"), "235 2.7.0"}},
		{"LOGIN", []string{"AUTH LOGIN", "334 VXNlcm5hbWU6", encoded("user"), "334 UGFzc3dvcmQ6", encoded("right"), "235 2.7.0"}},
		{"LOGIN with the user", []string{"AUTH LOGIN " + encoded("user"), "334 UGFzc3dvcmQ6", encoded("right"), "235 2.7.0"}},
		{"twice", []string{"AUTH PLAIN " + right, "235", "AUTH PLAIN " + right, "503 5.5.1"}},
		{"after a failure", []string{"AUTH PLAIN " + encoded("\x00user\x00wrong"), "535 5.7.8", "AUTH PLAIN " + right, "235"}},
		{"in a transaction", []string{"MAIL FROM:<a@b>", "250", "AUTH PLAIN " + right, "503 5.5.1", "RCPT TO:<c@d.example>", "250"}},
		{"for another", []string{"AUTH PLAIN " + encoded("other\x00user\x00right"), "535 5.7.8"}},
		{"of no mechanism", []string{"AUTH", "501 5.5.4"}},
		{"of an unknown mechanism", []string{"AUTH CRAM-MD5", "504 5.5.4"}},
		{"cancelled", []string{"AUTH PLAIN", "334", "*", "501 ", "AUTH PLAIN " + right, "235"}},
		{"no base64", []string{"AUTH PLAIN ?", "501 5.5.2", "AUTH PLAIN", "334", "???", "501 5.5.2"}},
		{"two parts", []string{"AUTH PLAIN " + encoded("user\x00right"), "501 5.5.2"}},
		{"empty at once", []string{"AUTH PLAIN =", "501 5.5.2"}},
		{"an empty password", []string{"AUTH LOGIN", "334", encoded("user"), "334", "", "535 5.7.8"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			host := newHost()
			host.offer = Offer{Auth: true}
			c := serve(t, host, nil).open(t)
			for i := 0; i < len(test.say); i += 2 {
				c.say(test.say[i], test.say[i+1])
			}
		})
	}
}

// TestS10NotInClear: where TLS is to be had first, a password is neither asked for nor taken.
func TestS10NotInClear(t *testing.T) {
	t.Parallel()
	c := serve(t, secureHost(t), nil).dial(t)
	c.want("220")
	c.send("EHLO client.example\r\n")
	if reply := c.whole(); strings.Contains(reply, "AUTH") {
		t.Errorf("got %q, want no AUTH", reply)
	}
	c.say("AUTH PLAIN "+encoded("\x00user\x00right"), "538 5.7.11")
	c.startTLS()
	c.say("AUTH PLAIN "+encoded("\x00user\x00right"), "503 5.5.1")
	c.say("EHLO client.example", "250")
	c.say("AUTH PLAIN "+encoded("\x00user\x00right"), "235 2.7.0")
	plain := serve(t, newHost(), nil).open(t)
	plain.say("AUTH PLAIN "+encoded("\x00user\x00right"), "502 5.5.1")
}

// TestS10ThreeFailures: the third ends the session (Mail Manager, B4).
func TestS10ThreeFailures(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B4")
	host := newHost()
	host.offer = Offer{Auth: true}
	c := serve(t, host, nil).open(t)
	for range 3 {
		c.say("AUTH PLAIN "+encoded("\x00user\x00wrong"), "535 5.7.8")
	}
	c.want("421 4.7.0")
	c.wantEnd()
	<-host.closed
	if _, refused, _ := host.seen(); strings.Join(refused, ", ") != " 421 4.7.0" {
		t.Errorf("got refused %q, want the session", refused)
	}
}
