package smtpclient

import (
	"context"
	"net"
	"testing"

	"sluice/internal/conform"
)

// TestDSNIsTold: the caller learns whether the host keeps the promises of RFC 3461, for the connection and for each transaction.
func TestDSNIsTold(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E21")
	for reply, want := range map[string]bool{"250 host\r\n": false, "250-host\r\n250 DSN\r\n": true} {
		host := &tape{says: &talkInTurn{[]string{"220 host\r\n", reply, "550 no\r\n"}}}
		conn, err := Dial(t.Context(), "192.0.2.1:25", Config{
			Dial: func(context.Context, string, string) (net.Conn, error) { return host, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		transaction := newTransaction([]string{"a@example.org", "b@example.net|NEVER"})
		transaction.DSN = !want // of an earlier connection
		if err := conn.Deliver(&list{waiting: []*Transaction{transaction}}); err != nil || transaction.DSN != want {
			t.Errorf("%q: got %v, %v, want %v", reply, err, transaction.DSN, want)
		}
	}
}
