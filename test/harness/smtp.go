package harness

import (
	"net/textproto"
	"strings"
	"time"
)

// Deliver is the plainest of SMTP clients: one message, one recipient, and the id that the last reply ends with. The
// content has CRLFs, no line that begins with a dot, and ends with a CRLF. An error that is a *textproto.Error is a reply.
func Deliver(address, from, to, content string) (string, error) {
	conn, err := textproto.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, _, err := conn.ReadResponse(220); err != nil {
		return "", err
	}
	last := ""
	for _, step := range []struct {
		command string
		want    int
	}{
		{"EHLO harness.localhost", 250},
		{"MAIL FROM:<" + from + ">", 250},
		{"RCPT TO:<" + to + ">", 250},
		{"DATA", 354},
		{content + ".", 250},
	} {
		if err := conn.PrintfLine("%s", step.command); err != nil {
			return "", err
		}
		if _, last, err = conn.ReadResponse(step.want); err != nil {
			return "", err
		}
	}
	return last[strings.LastIndexByte(last, ' ')+1:], nil
}

// Letter is a small message with a subject.
func Letter(subject string) string {
	return "From: a@example.org\nTo: b@example.com\nSubject: " + subject + "\nDate: " + time.Now().Format(time.RFC1123Z) + "\n\nHello.\n"
}
