package smtpd

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// beginnings are what is sent first, so that what is sent then does not have to find the way.
var beginnings = [4]string{
	"",
	"HELO client.example\r\n",
	"EHLO client.example\r\n",
	"EHLO client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n",
}

// phrases are what clients say, honest and other ones.
var phrases = []string{
	"EHLO client.example\r\n", "HELO x\r\n", "ehlo [192.0.2.1]\r\n", "EHLO\r\n", "EHLO a(b\r\n",
	"MAIL FROM:<a@b.example>\r\n", "mail from: <>\r\n", "MAIL FROM:<a@b.example> SIZE=30 BODY=8BITMIME\r\n", "MAIL FROM:<a@b.example> SIZE=2000000\r\n",
	"MAIL FROM:<ü@b.example> SMTPUTF8\r\n", "MAIL FROM:<ü@b.example>\r\n", "MAIL FROM:<\"a>b\"@c.example> RET=HDRS ENVID=x\r\n", "MAIL FROM:a@b\r\n",
	"MAIL FROM:<a@b> FOO=1\r\n", "MAIL FROM:<denied@b>\r\n", "MAIL FROM:<gone@b>\r\n", "MAIL FROM:<nodata@b>\r\n", "MAIL FROM:<fullsink@b>\r\n",
	"MAIL FROM:<nocommit@b>\r\n",
	"RCPT TO:<c@d.example>\r\n", "RCPT TO:<e@f> NOTIFY=NEVER\r\n", "RCPT TO:<@x,@y.example:g@h>\r\n", "RCPT TO:<>\r\n", "RCPT TO:<denied@d>\r\n",
	"RCPT TO:<é@d.example>\r\n", "rcpt to:<i@[192.0.2.3]> ORCPT=rfc822;i@j\r\n",
	"DATA\r\n", "DATA x\r\n", "DATA\r\nSubject: x\r\n\r\ntext\r\n.\r\n", "DATA\r\n.\r\n", "DATA\r\n..a\r\n.b\r\n...\r\n.\r\n", "DATA\r\na\n.\r\nb\r\n.\r\n",
	"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "MAIL FROM:<fullsink@b>\r\nRCPT TO:<c@d>\r\n",
	"MAIL FROM:<nodata@b>\r\nRCPT TO:<c@d>\r\n", "MAIL FROM:<nocommit@b>\r\nRCPT TO:<c@d>\r\n",
	"BDAT 6\r\ntext\r\n", "BDAT 6 LAST\r\ntext\r\n", "bdat 0 last\r\n", "BDAT 0\r\n", "BDAT 5\r\ntext\r", "BDAT 1 LAST\r\n\n", "BDAT 1\r\n\n", "BDAT 3\r\na\nb",
	"BDAT 41\r\n" + strings.Repeat("x", 39) + "\r\n", "BDAT 6\r\nQUIT\r\n", "BDAT 3 LAST\r\n.\r\n", "BDAT 6 LAST\r\nRSET\r\n", "BDAT 9223372036854775807\r\n",
	"BDAT 9223372036854775808\r\n", "BDAT -1\r\n", "BDAT\r\n", "BDAT 1 LUST\r\n", "BDAT 1024\r\n" + strings.Repeat("y", 1_022) + "\r\n",
	"RSET\r\n", "RSET x\r\n", "RſET\r\n", "NOOP\r\n", "VRFY a\r\n", "VRFY\r\n", "HELP\r\n", "EXPN x\r\n", "QUIT\r\n", "QUIT x\r\n", "\r\n", "FOO\r\n", "GET / HTTP/1.1\r\n",
	"NOOP\n", "NOOP\rRSET\r\n", "NOOP \x00\r\n", strings.Repeat("z", 2_050) + "\r\n", "NOOP " + strings.Repeat("z", 2_041) + "\r\n",
	"STARTTLS\r\n", "STARTTLS x\r\n", "AUTH PLAIN\r\n", "AUTH LOGIN\r\n", "AUTH PLAIN " + secret + "\r\n", "AUTH LOGIN dXNlcg==\r\n", "AUTH PLAIN =\r\n",
	"AUTH FOO\r\n", "AUTH PLAIN !\r\n", secret + "\r\n", "dXNlcg==\r\n", "cmlnaHQ=\r\n", "*\r\n", "AAA=\r\n",
	".\r\n", "\r\n.\r\n", "\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r", "\r\n\x00.\r\n", "..\r\n", ".", "\r", "\n", "text\r\n", "Received: x\r\n", "\x00",
}

// secret is the user and the password that a ledger takes.
var secret = base64.StdEncoding.EncodeToString([]byte("\x00user\x00right"))

// conversations are sessions of one topic each.
func conversations() []string {
	const hello, group = "EHLO client.example\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	return []string{
		hello + group + "DATA\r\nSubject: x\r\n\r\ntext\r\n.\r\n" + group + "DATA\r\n..\r\n.\r\nQUIT\r\nNOOP\r\n",
		hello + group + "BDAT 5\r\ntext\rBDAT 3\r\n\nabBDAT 2 LAST\r\n\r\n" + group + "BDAT 6 LAST\r\na\nb\r\n\r\nQUIT\r\n",
		hello + group + "BDAT 3\r\nabcRCPT TO:<e@f>\r\nDATA\r\nMAIL FROM:<g@h>\r\nRSET\r\nBDAT 6 LAST\r\nQUIT\r\nBDAT x\r\nNOOP\r\n",
		hello + group + "DATA\r\na\r\n\x00.\r\n\n.\n\r\n.\n\n.\r\n\r.\r\n\n.\r\nMAIL FROM:<smuggled@b>\r\n.\r\n" + group + "DATA\r\n.\r\n",
		hello + "AUTH LOGIN\r\ndXNlcg==\r\ncmlnaHQ=\r\n" + group + "DATA\r\n.\r\nAUTH PLAIN =\r\nQUIT\r\n",
		hello + "AUTH PLAIN\r\n" + secret + "\r\nAUTH PLAIN " + secret + "\r\n" + group + "AUTH LOGIN\r\nQUIT\r\n",
		hello + "AUTH LOGIN\r\n*\r\nAUTH PLAIN !\r\nAUTH LOGIN\r\nQUIT\r\nAUTH PLAIN\r\n" + strings.Repeat("a", 2_100) + "\r\nAUTH X\r\n",
		hello + group + "DATA\r\n" + strings.Repeat("x", 38) + "\r\n.\r\n" + group + "DATA\r\n" + strings.Repeat("x", 39) + "\r\n.\r\n",
		hello + group + "BDAT 40 LAST\r\n" + strings.Repeat("x", 40) + group + "BDAT 40\r\n" + strings.Repeat("x", 40) + "BDAT 1 LAST\r\nx",
		hello + strings.Repeat("AUTH PLAIN AAA=\r\n", 4) + "NOOP\r\n",
		hello + "STARTTLS\r\n" + hello + group + "DATA\r\n.\r\n",
		hello + "STARTTLS\r\n\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00QUIT\r\n",
		strings.Repeat("FOO\r\n", 25),
		hello + strings.Repeat("FOO\r\n", 19) + group + "DATA\r\n.\r\n" + strings.Repeat("NOOP\n", 21) + group,
		hello + "MAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\nDATA\r\nBDAT 6 LAST\r\nRSET\r\nRCPT TO:<c@d>\r\nBDAT 0 LAST\r\n",
		group + "HELO x\r\n" + group + "EHLO y\r\nDATA\r\n" + group + "HELO (\r\nDATA\r\n.\r\n",
	}
}

// scripted is what the clients say in the dialogues.
func scripted(t testing.TB) (texts []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.dialogue")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d dialogues, %v", len(files), err)
	}
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for line := range strings.SplitSeq(string(lines), "\n") {
			if said, whole := strings.CutPrefix(line, "C: "); whole {
				text.WriteString(unescape(said) + "\r\n")
			} else if said, part := strings.CutPrefix(line, "C> "); part {
				text.WriteString(unescape(said))
			}
		}
		texts = append(texts, text.String())
	}
	return texts
}
