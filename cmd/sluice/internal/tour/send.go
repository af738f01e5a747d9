package tour

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"
)

const (
	smtpTimeout = 30 * time.Second // for the whole dialog
	heloName    = "quickstart.localhost"
)

// letter is the message that is sent.
type letter struct {
	messageID string // without angle brackets
	text      string
}

func newLetter(now time.Time) letter {
	id := strings.ToLower(rand.Text()) + "@" + heloName
	return letter{messageID: id, text: strings.Join([]string{
		"From: Newcomer <" + sender + ">",
		"To: You <" + recipient + ">",
		"Subject: Hello through Sluice",
		"Date: " + now.Format(time.RFC1123Z),
		"Message-ID: <" + id + ">",
		"",
		"This message went through an ingress point, a traffic policy, a rule set",
		"and a relay that were made over the Mail Manager API a moment ago.",
		"",
	}, "\r\n")}
}

// exchange is a command and the reply it must get.
type exchange struct {
	command string
	want    int // first digits of the code, as textproto compares them
	show    bool
}

// send speaks SMTP, as any client does, and shows the dialog. It returns the id that the last reply ends with. The second
// recipient is one that the traffic policy denies.
func (t *Tour) send(ctx context.Context, address string, l letter) (string, error) {
	dialer := net.Dialer{Timeout: smtpTimeout}
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	if err := raw.SetDeadline(time.Now().Add(smtpTimeout)); err != nil {
		return "", err
	}
	conn := textproto.NewConn(raw)
	defer conn.Close()
	if _, err := t.reply(conn, 220); err != nil {
		return "", err
	}
	dialog := []exchange{
		{"EHLO " + heloName, 250, true},
		{"MAIL FROM:<" + sender + ">", 250, true},
		{"RCPT TO:<" + recipient + ">", 250, true},
		{"RCPT TO:<" + unwanted + ">", 550, true},
		{"DATA", 354, true},
		{l.text + ".", 250, false},
	}
	last := ""
	for _, e := range dialog {
		if last, err = t.exchange(conn, e); err != nil {
			return "", err
		}
	}
	// The message is the server's: whether it hears the farewell changes nothing.
	_, _ = t.exchange(conn, exchange{"QUIT", 221, true})
	return last[strings.LastIndexByte(last, ' ')+1:], nil
}

func (t *Tour) exchange(conn *textproto.Conn, e exchange) (string, error) {
	shown := e.command
	if !e.show {
		shown = fmt.Sprintf("(the message, %d octets, and a dot)", len(e.command))
	}
	fmt.Fprintf(t.out, "  > %s\n", shown)
	if err := conn.PrintfLine("%s", e.command); err != nil {
		return "", err
	}
	return t.reply(conn, e.want)
}

// reply reads a reply, shows it and refuses one with another code.
func (t *Tour) reply(conn *textproto.Conn, want int) (string, error) {
	code, text, err := conn.ReadResponse(want)
	for line := range strings.Lines(text) {
		fmt.Fprintf(t.out, "  < %d %s\n", code, strings.TrimSpace(line))
	}
	return text, err
}
