package action

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/bounce"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

// outLane is where the notifications of these tests leave.
var outLane = spool.RelayLane("000000000000", "eu-west-1", "out")

func survivingReporter(always bool) *Reporter {
	return NewReporter(ReporterConfig{
		Route:  func(string, string) spool.Lane { return outLane },
		Always: always, From: smtp.Path{Received: "postmaster@gw.example.org", Local: "postmaster", Domain: "gw.example.org"},
		Hostname: "gw.example.org", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
}

// ended is an item of lane report: what became of a message's only recipient.
func ended(b *bench, m *spool.Message, recipient message.Recipient, f fate) *queue.Work {
	item := reportItem(spool.Item{ItemKey: spool.ItemKey{Message: m.ID}, Lane: b.feed.Lane()}, []message.Recipient{recipient}, []fate{f})
	return queue.NewWork(spool.Claimed{Item: item, Message: m}, b.store)
}

// S17: nothing is sent to a sender who may be forged, nor about a message without one; what failed is held then. A
// notification that fails begets no other, however often it is tried.
func TestS17NoBounceOfABounce(t *testing.T) {
	t.Parallel()
	sender := smtp.Path{Received: "forged@example.org", Local: "forged", Domain: "example.org"}
	recipient := message.Recipient{Path: smtp.Path{Received: "b@example.net", Local: "b", Domain: "example.net"}}
	asking := recipient
	asking.Notify = "SUCCESS,FAILURE,DELAY"
	refused := fateOf(bounce.Failed, smtp.NewReply(550, 5, 1, 1, "No such user"), "mx.example.net", time.Now())
	late := fate{Outcome: bounce.Delayed, Text: "450 later", Waited: 5 * time.Hour}
	taken := fateOf(bounce.Relayed, smtp.NewReply(250, 2, 0, 0, "Taken"), "mx.example.net", time.Now())
	for _, test := range []struct {
		name       string
		from       smtp.Path
		user       string
		always     bool
		to         message.Recipient
		fate       fate
		told, held int
	}{
		{"failed, who may be forged", sender, "", false, recipient, refused, 0, 1},
		{"failed, who may be forged asks", sender, "", false, asking, refused, 0, 1},
		{"late, who may be forged asks", sender, "", false, asking, late, 0, 0},
		{"taken, who may be forged asks", sender, "", false, asking, taken, 0, 0},
		{"failed, without a sender", smtp.Path{}, "", true, recipient, refused, 0, 1},
		{"failed, without a sender, of a user", smtp.Path{}, "u", true, asking, refused, 0, 1},
		{"late, without a sender", smtp.Path{}, "u", true, asking, late, 0, 0},
		{"taken, without a sender", smtp.Path{}, "u", true, asking, taken, 0, 0},
		{"failed, of a user", sender, "u", false, recipient, refused, 1, 0},
		{"failed, who is always told", sender, "", true, recipient, refused, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			m := b.item("m", "b@example.net").Message
			m.Envelope.ReversePath, m.Session.AuthUser = test.from, test.user
			reporter := survivingReporter(test.always)
			result := reporter.report(t.Context(), ended(b, m, test.to, test.fate))
			if len(result.Births) != test.told || len(result.Held) != test.held {
				t.Fatalf("got %d notifications and %+v held, want %d and %d", len(result.Births), result.Held, test.told, test.held)
			}
			for _, birth := range result.Births {
				checkNoFurther(t, b, reporter, birth)
			}
		})
	}
}

// checkNoFurther lets a notification fail, on a server that always tells: it comes to rest.
func checkNoFurther(t *testing.T, b *bench, reporter *Reporter, birth spool.Birth) {
	t.Helper()
	if !birth.Message.Envelope.ReversePath.IsNull() || birth.Items[0].Lane != outLane {
		t.Errorf("the notification is from %q, in lane %s", birth.Message.Envelope.ReversePath.Received, birth.Items[0].Lane)
	}
	reporter.Always = true
	b.store[birth.Message.ID] = string(birth.Content)
	failed := fateOf(bounce.Failed, smtp.NewReply(550, 5, 1, 1, "No such user"), "mx.example.org", time.Now())
	result := reporter.report(t.Context(), ended(b, &birth.Message, birth.Items[0].Recipients[0], failed))
	if len(result.Births) != 0 || len(result.Next) != 0 || len(result.Held) != 1 || result.Held[0].Reason != bounce.Undeliverable {
		t.Errorf("the notification failed: got %d notifications and %+v held, want it held", len(result.Births), result.Held)
	}
}

// S38: whatever a next hop answers, the notification that leaves has our fields and our parts and no others. The reply goes
// the whole way: over the connection, through the item of lane report, into the content.
func TestS38HopReply(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"plain":           "550 5.1.1 No such user",
		"bare CR":         "550 5.1.1 No\rX-Evil: 1\r\rX-Evil: 2",
		"bare LF":         "550 5.1.1 No\n\nX-Evil: 1",
		"lines":           "550-5.1.1 No\r\n550-X-Evil: 1\r\n550- \r\n550 5.1.1 Final-Recipient: rfc822; x@y",
		"NUL and escapes": "550 5.1.1 No\x00X-Evil: 1\x1b[31m\x7f",
		"8 bit":           "550 5.1.1 K\xc3\xb6nnte \xff\xfe X-Evil: 1",
		"line separators": "550 5.1.1 No\u2028X-Evil: 1\u0085X-Evil: 2\u202e",
		"fake boundary":   "550-5.1.1 --=_0123456789abcdef0123456789abcdef\r\n550 5.1.1 Content-Type: text/html",
		"encoded word":    "550 5.1.1 =?utf-8?q?a=0D=0AX-Evil:_1?=",
		"comment":         "550 5.1.1 ) (X-Evil: 1\\",
		"long":            "550 5.1.1 " + strings.Repeat("X-Evil: 1 ", 40),
		"long lines":      strings.Repeat("550-5.1.1 "+strings.Repeat("x", 400)+"\r\n", 20) + "550 5.1.1 X-Evil: 1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.host.says = replies(map[string]string{"RCPT": reply})
				b.config.Log = slog.New(slog.DiscardHandler)
				b.feed.ready = []*queue.Work{b.item("Subject: mine", "b@example.net")}
				m := b.feed.ready[0].Message
				m.Envelope.ReversePath = smtp.Path{Received: "a@example.org", Local: "a", Domain: "example.org"}
				b.run(t)
				checkNotification(t, b, m)
			})
		})
	}
}

func checkNotification(t *testing.T, b *bench, m *spool.Message) {
	t.Helper()
	if len(b.feed.done) == 0 || len(b.feed.done[0].result.Next) == 0 {
		// A reply that is none at all leaves the message where it is: nothing leaves.
		t.Logf("nothing is told: %v", b.feed.done)
		return
	}
	item := b.feed.done[0].result.Next[0]
	result := survivingReporter(true).report(t.Context(), queue.NewWork(spool.Claimed{Item: item, Message: m}, b.store))
	if len(result.Births) != 1 {
		t.Fatalf("got %+v, want a notification", result)
	}
	content := result.Births[0].Content
	for line := range bytes.SplitSeq(content, []byte("\r\n")) {
		if bytes.HasPrefix(line, []byte("X-Evil")) || bytes.ContainsAny(line, "\r\n\x00\x1b\x7f") || len(line) > 998 {
			t.Errorf("line %q", line)
		}
	}
	checkFields(t, content)
}

// checkFields reads the notification with parsers that know nothing of how it was written.
func checkFields(t *testing.T, content []byte) {
	t.Helper()
	read, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	checkOnly(t, textproto.MIMEHeader(read.Header), "From", "To", "Subject", "Date", "Message-Id", "Auto-Submitted", "Mime-Version",
		"Content-Type", "Content-Transfer-Encoding")
	_, parameters, err := mime.ParseMediaType(read.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for parts := multipart.NewReader(read.Body, parameters["boundary"]); ; {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		checkOnly(t, part.Header, "Content-Type", "Content-Transfer-Encoding")
		if kinds = append(kinds, kind); kind == "message/delivery-status" {
			checkStatus(t, part)
		}
	}
	if want := []string{"text/plain", "message/delivery-status", "message/rfc822"}; !slices.Equal(kinds, want) {
		t.Errorf("got parts %v, want %v", kinds, want)
	}
}

func checkStatus(t *testing.T, part io.Reader) {
	t.Helper()
	reader := textproto.NewReader(bufio.NewReader(part))
	groups := 0
	for ; ; groups++ {
		group, err := reader.ReadMIMEHeader()
		if errors.Is(err, io.EOF) && len(group) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		checkOnly(t, group, "Reporting-Mta", "Arrival-Date", "Final-Recipient", "Action", "Status", "Remote-Mta", "Diagnostic-Code", "Last-Attempt-Date")
	}
	if groups != 2 {
		t.Errorf("got %d groups of fields, want one of the message and one of the recipient", groups)
	}
}

// checkOnly wants each field at most once, and none but those.
func checkOnly(t *testing.T, fields textproto.MIMEHeader, allowed ...string) {
	t.Helper()
	for name, values := range fields {
		if !slices.Contains(allowed, name) || len(values) != 1 {
			t.Errorf("field %s: %q", name, values)
		}
	}
}
