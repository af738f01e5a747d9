package smtpd

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"sluice/internal/conform"
	"sluice/internal/smtp"
)

// TestS1EndOfData: what looks like the end of data and is not ends nothing, so that what follows it stays content.
func TestS1EndOfData(t *testing.T) {
	t.Parallel()
	const evil = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<evil@d.example>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n"
	tests := []struct{ name, end, want string }{
		{"LF dot LF", "\n.\n", "554 5.6.0"},
		{"CRLF dot LF", "\r\n.\n", "554 5.6.0"},
		{"LF dot CRLF", "\n.\r\n", "554 5.6.0"},
		{"CR dot CR", "\r.\r", "554 5.6.0"},
		{"CR dot CRLF", "\r.\r\n", "554 5.6.0"},
		{"CRLF dot CR", "\r\n.\r", "554 5.6.0"},
		{"LF LF dot CRLF", "\n\n.\r\n", "554 5.6.0"},
		{"CRLF CR dot CRLF", "\r\n\r.\r\n", "554 5.6.0"},
		{"CRLF NUL dot CRLF", "\r\n\x00.\r\n", "250 2.0.0"},
		{"CRLF dot NUL CRLF", "\r\n.\x00\r\n", "250 2.0.0"},
		{"CRLF dot dot CRLF", "\r\n..\r\n", "250 2.0.0"},
		{"CRLF dot space CRLF", "\r\n. \r\n", "250 2.0.0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, newHost(), nil)
			c := s.open(t)
			c.data()
			c.send("one" + test.end + evil)
			c.want(test.want, "221")
			c.wantEnd()
			<-s.host.closed
			messages, _, _ := s.host.seen()
			want := 0
			if test.want[0] == '2' {
				want = 1
			}
			if len(messages) != want || strings.Contains(strings.Join(messages, ""), "> evil@d.example") {
				t.Errorf("got %d messages, want %d and none of evil: %q", len(messages), want, messages)
			}
		})
	}
}

// TestS2BareLineEnds: a CR or LF anywhere in a message makes it refused, and nothing of it reaches the host's queue.
func TestS2BareLineEnds(t *testing.T) {
	t.Parallel()
	const message = "Subject: hi\r\n\r\n..a\r\n.b\r\n"
	s := serve(t, newHost(), nil)
	tried := 0
	for _, bare := range []string{"\r", "\n"} {
		c := s.open(t)
		for at := range len(message) + 1 {
			c.data()
			c.send(message[:at] + bare + message[at:] + "\r\n.\r\n")
			if got := c.reply(); !strings.HasPrefix(got, "554 5.6.0") {
				t.Fatalf("%q before octet %d: got %q, want 554 5.6.0", bare, at, got)
			}
			tried++
		}
		c.data()
		c.send(message + ".\r\n")
		c.want("250")
	}
	messages, _, aborted := s.host.seen()
	if len(messages) != 2 || aborted != tried {
		t.Errorf("got %d messages and %d aborted, want 2 and %d", len(messages), aborted, tried)
	}
	for _, message := range messages {
		if want := `a@b.example > c@d.example: "Subject: hi\r\n\r\n.a\r\nb\r\n"`; message != want {
			t.Errorf("got %s, want %s", message, want)
		}
	}
}

// TestS4Order: every verb at every stage of a session, and the earlier transaction goes on unharmed.
func TestS4Order(t *testing.T) {
	t.Parallel()
	const mail, rcpt = "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n"
	tests := []struct{ name, before, command, want string }{
		{"MAIL before EHLO", "", "MAIL FROM:<x@y.example>", "503"},
		{"RCPT before EHLO", "", "RCPT TO:<x@y.example>", "503"},
		{"DATA before EHLO", "", "DATA", "503"},
		{"RCPT before MAIL", "EHLO x\r\n", "RCPT TO:<x@y.example>", "503"},
		{"DATA before MAIL", "EHLO x\r\n", "DATA", "503"},
		{"MAIL in a transaction", "EHLO x\r\n" + mail, "MAIL FROM:<x@y.example>", "503"},
		{"MAIL after RCPT", "EHLO x\r\n" + mail + rcpt, "MAIL FROM:<x@y.example>", "503"},
		{"DATA before RCPT", "EHLO x\r\n" + mail, "DATA", "554"},
		{"DATA after a denied RCPT", "EHLO x\r\n" + mail + "RCPT TO:<denied@d.example>\r\n", "DATA", "554"},
		{"DATA after RSET", "EHLO x\r\n" + mail + rcpt + "RSET\r\n", "DATA", "503"},
		{"DATA after EHLO", "EHLO x\r\n" + mail + rcpt + "EHLO x\r\n", "DATA", "503"},
		{"malformed MAIL", "EHLO x\r\n", "MAIL FROM:", "501"},
		{"malformed RCPT", "EHLO x\r\n" + mail, "RCPT TO:<", "501"},
		{"malformed DATA", "EHLO x\r\n" + mail + rcpt, "DATA x", "501"},
		{"malformed EHLO", "EHLO x\r\n" + mail + rcpt, "EHLO x y", "501"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, newHost(), nil)
			c := s.dial(t)
			c.want("220")
			c.send(test.before)
			for range strings.Count(test.before, "\n") {
				c.reply()
			}
			c.say(test.command, test.want)
			// What was there before the command is still there: only what is missing is said now.
			for _, missing := range missingBefore(test.before) {
				c.say(missing, "250")
			}
			c.say("DATA", "354")
			c.send("text\r\n.\r\n")
			c.want("250")
			messages, _, _ := s.host.seen()
			if want := `a@b.example > c@d.example: "text\r\n"`; len(messages) != 1 || messages[0] != want {
				t.Errorf("got %q, want %q", messages, want)
			}
		})
	}
}

// missingBefore is what has to be said after the commands so that DATA can follow.
func missingBefore(commands string) []string {
	all := []string{"EHLO x", "MAIL FROM:<a@b.example>", "RCPT TO:<c@d.example>"}
	for _, reset := range []string{"RSET\r\n", "EHLO x\r\n"} {
		if at := strings.LastIndex(commands, reset); at > 0 {
			commands = "EHLO x\r\n" + commands[at+len(reset):]
		}
	}
	for len(all) > 0 && strings.Contains(commands, all[0]+"\r\n") {
		all = all[1:]
	}
	return all
}

// TestS5EarlyTalker: who has spoken before the greeting is sent away, and nothing of what it said is done.
func TestS5EarlyTalker(t *testing.T) {
	t.Parallel()
	spoken := make(chan struct{})
	host := newHost()
	host.open = func(*Session) *smtp.Reply { <-spoken; return nil }
	s := serve(t, host, nil)
	c := s.dial(t)
	c.send("EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nevil\r\n.\r\n")
	close(spoken)
	c.want("554 5.5.1")
	c.wantEnd()
	session := <-host.closed
	messages, refused, _ := host.seen()
	if len(messages) != 0 || session.Hello != "" {
		t.Errorf("got %d messages and hello %q, want none", len(messages), session.Hello)
	}
	if len(refused) != 1 || refused[0] != "CONNECT 554 5.5.1" {
		t.Errorf("got refused %q, want the connection", refused)
	}
	s.open(t).say("QUIT", "221") // who listens first is served
}

// TestS5AfterQuit: commands after QUIT are not done.
func TestS5AfterQuit(t *testing.T) {
	t.Parallel()
	s := serve(t, newHost(), nil)
	c := s.open(t)
	c.send("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nQUIT\r\nDATA\r\nevil\r\n.\r\n" + strings.Repeat("FOO\r\n", 10_000))
	c.want("250", "250", "221") // and no reset, though most of it was never read
	c.wantEnd()
	<-s.host.closed
	if messages, refused, _ := s.host.seen(); len(messages)+len(refused) != 0 {
		t.Errorf("got %q and refused %q, want nothing", messages, refused)
	}
}

// TestS6Lengths: lines up to the limits are taken, longer ones refused (Mail Manager, B21).
func TestS6Lengths(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B21")
	command := func(octets int) string { return "NOOP " + strings.Repeat("x", octets-len("NOOP \r\n")) + "\r\n" }
	content := func(lines string) string {
		return "MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + lines + "\r\n.\r\n"
	}
	text := func(octets int) string { return content("Subject: x\r\n\r\n" + strings.Repeat("x", octets)) }
	header := func(octets int) string { // with the empty line
		var fields strings.Builder
		for rest := octets - len("\r\n"); rest > 0; {
			field := min(rest, 60_000)
			rest -= field
			fields.WriteString("X:" + strings.Repeat("x", field-len("X:\r\n")) + "\r\n")
		}
		return content(fields.String() + "\r\ntext")
	}
	tests := []struct{ name, in, want string }{
		{"command of 512", command(512), "250"},
		{"command of 2048", command(2_048), "250"},
		{"command of 2049", command(2_049), "500 5.5.2"},
		{"command of 1 MB", command(1_000_000), "500 5.5.2"},
		{"text line of 998", text(998), "250"},
		{"text line of 1000", text(1_000), "250"},
		{"text line of 64 KiB", text(65_536), "250"},
		{"text line of one more", text(65_537), "554 5.6.0"},
		{"text line of one more, stuffed", content("Subject: x\r\n\r\n.." + strings.Repeat("x", 65_536)), "554 5.6.0"},
		{"header line of 64 KiB", content("X:" + strings.Repeat("x", 65_534) + "\r\n\r\ntext"), "250"},
		{"header line of one more", content("X:" + strings.Repeat("x", 65_535) + "\r\n\r\ntext"), "554 5.6.0"},
		{"header section of 256 KiB", header(262_144), "250"},
		{"header section of one more", header(262_145), "552 5.3.4"},
		{"100,000 fields", content(strings.Repeat("X: y\r\n", 100_000)), "552 5.3.4"},
		{"a field folded 100,000 times", content("X: y\r\n" + strings.Repeat(" z\r\n", 100_000)), "552 5.3.4"},
		{"a body as large", content("X: y\r\n\r\n" + strings.Repeat("z\r\n", 100_000)), "250"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, newHost(), nil).open(t)
			c.send(test.in)
			if strings.HasPrefix(test.in, "MAIL") {
				c.want("250", "250", "354")
			}
			c.want(test.want)
			c.say("QUIT", "221") // the rest of the line was no command
			c.wantEnd()
		})
	}
}

// TestS6Memory: a line that does not end takes bounded memory: the short form of the line of 1 GB.
func TestS6Memory(t *testing.T) { // not parallel: it counts what the process allocates
	const sent, allowed = 64 << 20, 1 << 20
	stages := []struct {
		name, before, after string
		want                []string
	}{
		{"command", "NOOP ", "\r\n", []string{"500 5.5.2"}},
		{"header section", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nX: ", "\r\n.\r\n", []string{"250", "250", "354", "554 5.6.0"}},
		{"body", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\r\n", "\r\n.\r\n", []string{"250", "250", "354", "554 5.6.0"}},
	}
	chunk := bytes.Repeat([]byte("x"), 1<<20)
	for _, stage := range stages {
		t.Run(stage.name, func(t *testing.T) {
			c := serve(t, newHost(), nil).open(t)
			c.send(stage.before)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range sent / len(chunk) {
				if _, err := c.conn.Write(chunk); err != nil {
					t.Fatal(err)
				}
			}
			c.send(stage.after)
			c.want(stage.want...)
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > allowed {
				t.Errorf("got %d octets allocated for %d sent, want at most %d", got, sent, allowed)
			}
			c.say("QUIT", "221")
		})
	}
}

// TestS7Addresses: malformed addresses are refused with 501 or 553, and reach no log line but as a reason.
func TestS7Addresses(t *testing.T) {
	t.Parallel()
	malformed := []string{
		"c@d.example", "<c@d.example", "<c\x00c@d.example>", "<c\x1b[m@d.example>", "<c\rc@d.example>", "<\x7f@d.example>",
		"<ž@d.example>", "<c@ž.example>", "<" + strings.Repeat("l", 65) + "@d.example>", "<c@" + strings.Repeat("d.", 126) + "d>",
		`<"c@d.example>`, `<"c\"@d.example>`, "<\"c\x1bc\"@d.example>", "<\"c\\\x01c\"@d.example>", "<c@[192.0.2.1>", "<c@[IPv6:::1>", "<c>", "<c@>", "<@d.example>", "<c@d..example>",
	}
	taken := []string{`<"c c"@d.example>`, "<c@[192.0.2.1]>", "<c@[IPv6:2001:db8::1]>", "<@r.example:c@d.example>"}
	s := serve(t, newHost(), nil)
	for _, verb := range []string{"MAIL FROM:", "RCPT TO:"} {
		c := s.open(t)
		for i, path := range malformed {
			if verb[0] == 'R' && i == 0 {
				c.say("MAIL FROM:<a@b.example>", "250")
			}
			c.send(verb + path + "\r\n")
			if got := c.reply(); !strings.HasPrefix(got, "501 5.1.") && !strings.HasPrefix(got, "553 5.6.7") {
				t.Errorf("%s%q: got %q, want 501 or 553", verb, path, got)
			}
		}
	}
	c := s.open(t)
	c.say("MAIL FROM:<a@b.example>", "250")
	for _, path := range taken {
		c.say("RCPT TO:"+path, "250 2.1.5")
	}
}

// TestS12Floods: ten thousand commands that lead nowhere end the session after two thousand.
func TestS12Floods(t *testing.T) {
	t.Parallel()
	floods := []struct{ name, command string }{
		{"NOOP", "NOOP\r\n"}, {"RSET", "RSET\r\n"}, {"VRFY", "VRFY x\r\n"}, {"EHLO", "HELO x\r\n"}, {"RCPT", "RCPT TO:<c@d.example>\r\n"},
	}
	for _, flood := range floods {
		t.Run(flood.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, newHost(), nil).open(t)
			c.say("MAIL FROM:<a@b.example>", "250")
			go c.conn.Write([]byte(strings.Repeat(flood.command, 10_000)))
			replies, last := 0, ""
			for reply := c.reply(); reply != ""; reply = c.reply() {
				replies, last = replies+1, reply
			}
			want := 2_000 - 2 + 1 // EHLO and MAIL count, the 421 is one more
			if flood.name == "RCPT" {
				want += 100 // which were accepted
			}
			if replies != want || !strings.HasPrefix(last, "421 4.7.0") {
				t.Errorf("got %d replies, the last %q, want %d and 421", replies, last, want)
			}
		})
	}
}

// TestS12Headers: header sections that cost a reader time are refused, and the session goes on.
func TestS12Headers(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, header, want string }{
		{"100,000 fields", strings.Repeat("X: y\r\n", 100_000), "552 5.3.4"},
		{"one field of 1 MB", "X: " + strings.Repeat("y", 1_000_000) + "\r\n", "554 5.6.0"},
		{"one field of 1 MB in lines", "X: y" + strings.Repeat("\r\n "+strings.Repeat("y", 997), 1_000) + "\r\n", "552 5.3.4"},
		{"a field folded 10,000 times", "X: y" + strings.Repeat("\r\n z", 10_000) + "\r\n", "552 5.3.4"},
		{"two fields folded as often as may be", strings.Repeat("X: y"+strings.Repeat("\r\n\tz", 5_000)+"\r\n", 2), "250"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, newHost(), nil).open(t)
			c.data()
			c.send(test.header + "\r\ntext\r\n.\r\n")
			c.want(test.want)
			c.say("NOOP", "250")
		})
	}
}

// TestS12Recipients: of ten thousand, the surplus is refused until the budget of commands is spent.
func TestS12Recipients(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B10")
	host := newHost()
	c := serve(t, host, nil).open(t)
	c.say("MAIL FROM:<a@b.example>", "250")
	go c.conn.Write([]byte(strings.Repeat("RCPT TO:<c@d.example>\r\n", 10_000)))
	codes := map[string]int{}
	for reply := c.reply(); reply != ""; reply = c.reply() {
		codes[reply[:3]]++
	}
	if codes["250"] != 100 || codes["452"] != 2_000-2 || codes["421"] != 1 {
		t.Errorf("got %v, want 100 taken, the surplus refused and then the end", codes)
	}
}

// TestManyRecipients: as many as the binding allows cost nothing of the budget (Mail Manager, B10).
func TestManyRecipients(t *testing.T) {
	t.Parallel()
	host := newHost()
	host.maxRecipients = 5_000
	c := serve(t, host, nil).open(t)
	c.say("MAIL FROM:<a@b.example>", "250")
	for i := range host.maxRecipients {
		c.say(fmt.Sprintf("RCPT TO:<c%d@d.example>", i), "250")
	}
	c.say("RCPT TO:<c@d.example>", "452 4.5.3")
	c.say("DATA", "354")
	c.say(".", "250")
}
