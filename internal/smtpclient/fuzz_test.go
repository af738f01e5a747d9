package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"sluice/internal/smtp"
)

// tape is a host that says all it has to say whatever it is told, and then closes.
type tape struct {
	net.Conn
	says io.Reader
	told bytes.Buffer
}

func (t *tape) Read(p []byte) (int, error)       { return t.says.Read(p) }
func (t *tape) Write(p []byte) (int, error)      { return t.told.Write(p) }
func (t *tape) Close() error                     { return nil }
func (t *tape) SetDeadline(time.Time) error      { return nil }
func (t *tape) SetReadDeadline(time.Time) error  { return nil }
func (t *tape) SetWriteDeadline(time.Time) error { return nil }

// acceptances is how many messages the host can have taken at most: a 2yz reply somewhere after each 354. With chunks there may
// be no 354; there are 2yz replies to MAIL, RCPT and BDAT then.
func acceptances(says string, chunking bool) int {
	r := bufio.NewReader(strings.NewReader(says))
	count, positives, waiting := 0, 0, false
	for {
		reply, err := smtp.ReadReply(r)
		switch {
		case err != nil && chunking:
			return positives / 3
		case err != nil:
			return count
		case intermediate(reply):
			waiting = true
		case positive(reply):
			positives++
			if waiting {
				count++
			}
			waiting = false
		default:
			waiting = false
		}
	}
}

// toldLine is what the client may say, whatever it was told: commands of ours, with parameters that are ours, and the content.
var toldLine = regexp.MustCompile(`^(?:(?:EHLO|HELO) mail\.example\.org|RSET|DATA|BDAT 4 LAST|QUIT|\.?\.x|\.|` +
	`MAIL FROM:<a@example\.org>(?: SIZE=4)?(?: SMTPUTF8)?(?: RET=FULL)?(?: ENVID=[!-<>-~]+)?|` +
	`RCPT TO:<[bc]@example\.net>(?: NOTIFY=NEVER)?(?: ORCPT=[^\x00-\x20=\x7f]+)?)$`)

// FuzzDeliver feeds the client what a host might say, and what a sender might want to be notified of. It must not panic, must
// hand back every transaction once, must give every recipient of an answered one a final reply, must say nothing but commands
// of its own, and must never report a delivery that no reply to a dot stands for.
func FuzzDeliver(f *testing.F) {
	const hello = "220 h\r\n250-h\r\n250-SIZE\r\n250-DSN\r\n250-CHUNKING\r\n"
	const greeting = hello + "250 PIPELINING\r\n"
	const envelope = "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"
	const chunk = "250 ok\r\n250 ok\r\n550 no\r\n250 taken\r\n"
	add := func(says string) { f.Add(says, false, "QQ314", "rfc822;b@example.net") }
	add(greeting + envelope + "250 one\r\n" + envelope + "250 two\r\n" + envelope + "250 three\r\n221 bye\r\n")
	add("220 h\r\n250 h\r\n" + envelope + "250 one\r\n" + envelope + "250 two\r\n")
	add("220 h\r\n500 what\r\n250 h\r\n" + envelope + "554 no\r\n" + envelope)
	add(greeting + "250 ok\r\n550 no\r\n550 no\r\n354 go\r\n250 lone\r\n" + envelope + "250-ok\r\n250 ok\r\n")
	add(greeting + "550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n250 lone\r\n421 bye\r\n")
	add(greeting + "250 ok\r\n552 no\r\n250 ok\r\n354 go\r\n354 more\r\n")
	add(greeting + envelope + "250 one\r\n421 4.7.0 enough\r\n")
	add("554 go away\r\n")
	f.Add(greeting+chunk+chunk+chunk, true, "\r\nDATA", "utf-8;\u00e9 x")
	f.Add(greeting+"250 ok\r\n550 no\r\n550 no\r\n250 nobody\r\n450 no\r\n250 ok\r\n250 ok\r\n554 no\r\n"+chunk, true, "", "utf-8;\u00e9")
	f.Add(hello+"250-PIPELINING\r\n250 SMTPUTF8\r\n"+chunk, true, "=+", "utf-8;\u00e9\n")
	f.Fuzz(func(t *testing.T, says string, chunking bool, id, original string) {
		host := &tape{says: iotest.OneByteReader(strings.NewReader(says))} // else all would be said out of turn
		conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
			Hello:    "mail.example.org",
			Chunking: chunking,
			Dial:     func(context.Context, string, string) (net.Conn, error) { return host, nil },
		})
		if err != nil {
			return
		}
		source := &list{waiting: fuzzTransactions(id, original)}
		given := len(source.waiting)
		err = conn.Deliver(source)
		conn.Close()
		if source.out != 0 || len(source.done)+len(source.waiting) != given {
			t.Fatalf("%d of %d transactions came back, %d were not asked for", len(source.done), given, len(source.waiting))
		}
		checkTold(t, host.told.String())
		delivered := 0
		for _, transaction := range source.done {
			if checkOutcome(t, transaction, err) {
				delivered++
			}
		}
		if most := acceptances(says, chunking); delivered > most {
			t.Errorf("%d deliveries reported, the host took at most %d", delivered, most)
		}
	})
}

// fuzzTransactions are three, each with what its sender wants to be notified of.
func fuzzTransactions(id, original string) []*Transaction {
	var transactions []*Transaction
	for range 3 {
		transaction := newTransaction([]string{"a@example.org", "b@example.net,c@example.net|NEVER", "RET=FULL", "utf8", "size=4"})
		transaction.EnvelopeID = id
		transaction.Recipients[0].Original = original
		transaction.Content.(*content).WriteString(".x\r\n")
		transactions = append(transactions, transaction)
	}
	return transactions
}

func checkTold(t *testing.T, told string) {
	t.Helper()
	for line := range strings.SplitSeq(strings.TrimSuffix(told, "\r\n"), "\r\n") {
		if !toldLine.MatchString(line) {
			t.Errorf("the client said %q", line)
		}
	}
}

// checkOutcome checks that an outcome is whole, and reports whether it is a delivery.
func checkOutcome(t *testing.T, transaction *Transaction, err error) (delivered bool) {
	t.Helper()
	if transaction.State != Answered && (transaction.Err == nil || transaction.Err != err) {
		t.Errorf("state %v for the reason %v, the connection ended by %v", transaction.State, transaction.Err, err)
	}
	for _, reply := range transaction.Replies {
		switch {
		case transaction.State != Answered:
			if reply != nil && positive(reply) {
				t.Errorf("state %v has the reply %v", transaction.State, reply)
			}
		case reply == nil || intermediate(reply):
			t.Errorf("answered with %v", reply)
		default:
			delivered = delivered || positive(reply)
		}
	}
	return delivered
}
