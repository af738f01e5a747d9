package smtpclient

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
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

// acceptances is how many messages the host can have taken at most: a 2yz reply somewhere after each 354.
func acceptances(says string) int {
	r := bufio.NewReader(strings.NewReader(says))
	count, waiting := 0, false
	for {
		reply, err := smtp.ReadReply(r)
		switch {
		case err != nil:
			return count
		case intermediate(reply):
			waiting = true
		case waiting:
			waiting = false
			if positive(reply) {
				count++
			}
		}
	}
}

// FuzzDeliver feeds the client what a host might say. It must not panic, must hand back every transaction once, must give
// every recipient of an answered one a final reply, and must never report a delivery that no reply to a dot stands for.
func FuzzDeliver(f *testing.F) {
	const greeting = "220 h\r\n250-h\r\n250 PIPELINING\r\n"
	const envelope = "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"
	f.Add(greeting + envelope + "250 one\r\n" + envelope + "250 two\r\n" + envelope + "250 three\r\n221 bye\r\n")
	f.Add("220 h\r\n250 h\r\n" + envelope + "250 one\r\n" + envelope + "250 two\r\n")
	f.Add("220 h\r\n500 what\r\n250 h\r\n" + envelope + "554 no\r\n" + envelope)
	f.Add(greeting + "250 ok\r\n550 no\r\n550 no\r\n354 go\r\n250 lone\r\n" + envelope + "250-ok\r\n250 ok\r\n")
	f.Add(greeting + "550 no\r\n250 ok\r\n250 ok\r\n354 go\r\n250 lone\r\n421 bye\r\n")
	f.Add(greeting + "250 ok\r\n552 no\r\n250 ok\r\n354 go\r\n354 more\r\n")
	f.Add(greeting + envelope + "250 one\r\n421 4.7.0 enough\r\n")
	f.Add("554 go away\r\n")
	f.Fuzz(func(t *testing.T, says string) {
		host := &tape{says: strings.NewReader(says)}
		conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
			Hello: "mail.example.org",
			Dial:  func(context.Context, string, string) (net.Conn, error) { return host, nil },
		})
		if err != nil {
			return
		}
		source := &list{}
		for range 3 {
			transaction := newTransaction([]string{"a@example.org", "b@example.net,c@example.net"})
			transaction.Content.(*content).WriteString(".x\r\n")
			source.waiting = append(source.waiting, transaction)
		}
		given := len(source.waiting)
		err = conn.Deliver(source)
		conn.Close()
		if source.out != 0 || len(source.done)+len(source.waiting) != given {
			t.Fatalf("%d of %d transactions came back, %d were not asked for", len(source.done), given, len(source.waiting))
		}
		delivered := 0
		for _, transaction := range source.done {
			if checkOutcome(t, transaction, err) {
				delivered++
			}
		}
		if most := acceptances(says); delivered > most {
			t.Errorf("%d deliveries reported, the host took at most %d", delivered, most)
		}
	})
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
