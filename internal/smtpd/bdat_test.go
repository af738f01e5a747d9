package smtpd

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// transaction brings a session to where content may come.
func (c *client) transaction() {
	c.t.Helper()
	c.say("MAIL FROM:<a@b.example>", "250")
	c.say("RCPT TO:<c@d.example>", "250")
}

// chunk sends a chunk with its command.
func (c *client) chunk(text, last, want string) {
	c.t.Helper()
	c.send(fmt.Sprintf("BDAT %d%s\r\n%s", len(text), last, text))
	c.want(want)
}

func TestBDAT(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		chunks []string // the last one is LAST
		want   string   // the content; empty: it is refused
	}{
		{"one chunk", []string{"text\r\n"}, "text\r\n"},
		{"an empty message", []string{""}, ""},
		{"an empty last chunk", []string{"text\r\n", ""}, "text\r\n"},
		{"a line over two chunks", []string{"te", "xt\r\n"}, "text\r\n"},
		{"a line end over two chunks", []string{"text\r", "\n"}, "text\r\n"},
		{"dots are no ends", []string{"a\r\n.\r\n", "..b\r\n.\r\n"}, "a\r\n.\r\n..b\r\n.\r\n"},
		{"without a line end", []string{"text"}, "text"},
		{"commands are content", []string{"QUIT\r\nRSET\r\n"}, "QUIT\r\nRSET\r\n"},
		{"much", []string{"\r\n" + strings.Repeat("x\r\n", 50_000), strings.Repeat("y\r\n", 50_000)}, "\r\n" + strings.Repeat("x\r\n", 50_000) + strings.Repeat("y\r\n", 50_000)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, newHost(), nil)
			c := s.open(t)
			for range 2 { // the session goes on as before
				c.transaction()
				for i, chunk := range test.chunks {
					if i == len(test.chunks)-1 {
						c.chunk(chunk, " LAST", "250 2.0.0 OK ")
					} else {
						c.chunk(chunk, "", fmt.Sprintf("250 2.0.0 %d octets received", len(chunk)))
					}
				}
			}
			messages, _, aborted := s.host.seen()
			want := fmt.Sprintf("a@b.example > c@d.example: %q", test.want)
			if len(messages) != 2 || messages[0] != want || messages[1] != want || aborted != 0 {
				t.Errorf("got %d messages and %d aborted: %.200q, want %.200q twice", len(messages), aborted, messages, want)
			}
		})
	}
}

// TestS2BDATBareLineEnds: BDAT is no way around the rule on line ends.
func TestS2BDATBareLineEnds(t *testing.T) {
	t.Parallel()
	for _, chunks := range [][]string{{"a\rb\r\n"}, {"a\nb\r\n"}, {"a\r", "b\r\n"}, {"a\r"}, {"a", "\nb"}, {"a\r\r\n"}} {
		s := serve(t, newHost(), nil)
		c := s.open(t)
		c.transaction()
		last := len(chunks) - 1
		for i, chunk := range chunks {
			if i == last {
				c.chunk(chunk, " LAST", "554 5.6.0")
				break
			}
			c.send(fmt.Sprintf("BDAT %d\r\n%s", len(chunk), chunk))
			if reply := c.reply(); !strings.HasPrefix(reply, "250") {
				t.Errorf("%q: got %q for a chunk that nothing is wrong with yet", chunks, reply)
			}
		}
		c.say("DATA", "503") // the transaction is over
		c.transaction()
		c.chunk("text\r\n", " LAST", "250 2.0.0 OK 1")
		if _, _, aborted := s.host.seen(); aborted != 1 {
			t.Errorf("%q: got %d sinks aborted, want 1", chunks, aborted)
		}
	}
}

// TestS8BDATSizes: a BDAT that cannot be parsed closes the connection, and its chunk is never read as commands.
func TestS8BDATSizes(t *testing.T) {
	t.Parallel()
	for _, argument := range []string{"", "-1", "9223372036854775808", "99999999999999999999", "0x10", "10 LASTLY", "ten", "1.5", "10 LAST LAST"} {
		s := serve(t, newHost(), nil)
		c := s.open(t)
		c.transaction()
		c.send(strings.TrimRight("BDAT "+argument, " ") + "\r\nRSET\r\nMAIL FROM:<evil@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\nevil\r\n.\r\n")
		c.want("501 5.5.4")
		c.wantEnd()
		<-s.host.closed
		if messages, refused, _ := s.host.seen(); len(messages) != 0 || len(refused) != 1 {
			t.Errorf("%q: got %q and refused %q, want nothing after the refusal", argument, messages, refused)
		}
	}
}

// TestS8BDATMemory: what is announced is not allocated.
func TestS8BDATMemory(t *testing.T) { // not parallel: it counts what the process allocates
	host := newHost()
	c := serve(t, host, nil).open(t)
	c.transaction()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.send("BDAT 9223372036854775807 LAST\r\n" + strings.Repeat("x", 100) + "\r\n")
	hangUpUnheard(c)
	c.wantEnd()
	<-host.closed
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("got %d octets allocated for an announcement", got)
	}
	if messages, _, aborted := host.seen(); len(messages) != 0 || aborted != 1 {
		t.Errorf("got %d messages and %d aborted, want none of a chunk that is shorter than announced", len(messages), aborted)
	}
}

// TestS4BDATOrder: BDAT and DATA do not mix, and a chunk out of order is read and thrown away.
func TestS4BDATOrder(t *testing.T) {
	t.Parallel()
	s := serve(t, newHost(), nil)
	c := s.open(t)
	c.chunk("RSET\r\n", "", "503 5.5.1")
	c.say("MAIL FROM:<a@b.example>", "250")
	c.chunk("RSET\r\n", " LAST", "554 5.5.1")
	c.say("RCPT TO:<c@d.example>", "250")
	c.chunk("one\r\n", "", "250")
	c.say("DATA", "503 5.5.1")
	c.say("MAIL FROM:<x@b.example>", "503 5.5.1")
	c.say("RCPT TO:<x@d.example>", "503 5.5.1")
	c.say("AUTH PLAIN", "502")
	c.say("NOOP", "250")
	c.chunk("two\r\n", " LAST", "250 2.0.0 OK 1")
	c.transaction()
	c.chunk("lost\r\n", "", "250")
	c.say("RSET", "250")
	c.chunk("lost\r\n", " LAST", "503 5.5.1")
	c.transaction()
	c.chunk("lost\r\n", "", "250")
	c.say("EHLO client.example", "250")
	c.transaction()
	c.chunk("lost\r\n", "", "250")
	c.say("QUIT", "221")
	<-s.host.closed
	messages, _, aborted := s.host.seen()
	if want := `a@b.example > c@d.example: "one\r\ntwo\r\n"`; len(messages) != 1 || messages[0] != want || aborted != 3 {
		t.Errorf("got %q and %d aborted, want %s and 3", messages, aborted, want)
	}
}

// TestBDATTooBig: the message is refused where it becomes too big, the rest of its chunk is no command, and the chunks that were
// pipelined behind it are out of order.
func TestBDATTooBig(t *testing.T) {
	t.Parallel()
	host := newHost()
	host.maxSize = 1_000
	s := serve(t, host, nil)
	c := s.open(t)
	c.transaction()
	text := strings.Repeat("RSET\r\n", 150)
	c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d\r\n%sBDAT %d LAST\r\n%s", len(text), text, len(text), text, len(text), text))
	c.want("250", "552 5.3.4", "503 5.5.1")
	c.transaction()
	c.chunk("text\r\n", " LAST", "250")
}
