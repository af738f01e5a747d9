package smtpclient

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRoundTrips counts what a connection costs in round trips: lone messages two with DATA and one with BDAT, messages in a row
// one each either way, after the first envelope of DATA.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	const roundTrip = 50 * time.Millisecond
	tests := []struct {
		name     string
		chunking bool
		lone     int // messages, each once the one before is done
		row      int // messages behind each other
		octets   int
		want     time.Duration
	}{
		{"lone by DATA", false, 3, 1, 100, 6},
		{"lone by BDAT", true, 3, 1, 100, 3},
		{"in a row by DATA", false, 1, 10, 100, 11},
		{"in a row by BDAT", true, 1, 10, 100, 10},
		{"too large for BDAT", true, 3, 1, int(maxChunkOctets) + 1, 6},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				taken := make(chan int, 100)
				conn := dialFar(t, roundTrip, Config{Chunking: test.chunking}, taken)
				defer conn.Close()
				start := time.Now()
				for range test.lone {
					deliverRow(t, conn, test.row, test.octets)
				}
				if got := time.Since(start); got != test.want*roundTrip {
					t.Errorf("took %v, want %d round trips", got, test.want)
				}
				for range test.lone * test.row {
					if got := <-taken; got != test.octets {
						t.Errorf("the host took %d octets, want %d", got, test.octets)
					}
				}
			})
		})
	}
}

// BenchmarkDeliver is what a message of 10 KB costs on a kept connection to a host next door.
func BenchmarkDeliver(b *testing.B) {
	for name, chunking := range map[string]bool{"DATA": false, "BDAT": true} {
		b.Run(name, func(b *testing.B) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer listener.Close()
			taken := make(chan int, b.N)
			go serveOnce(listener, taken)
			conn, err := Dial(b.Context(), listener.Addr().String(), Config{Chunking: chunking})
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			b.ResetTimer()
			deliverRow(b, conn, b.N, 10_000)
		})
	}
}

func deliverRow(t testing.TB, conn *Conn, messages, octets int) {
	t.Helper()
	source := &list{}
	for range messages {
		transaction := newTransaction([]string{"a@example.org", "b@example.net"})
		transaction.Content.(*content).WriteString(strings.Repeat("x", octets-2) + "\r\n")
		transaction.Size = int64(octets)
		source.waiting = append(source.waiting, transaction)
	}
	if err := conn.Deliver(source); err != nil || deliveries(source.done) != messages {
		t.Fatalf("got %d deliveries of %d, %v", deliveries(source.done), messages, err)
	}
}

// dialFar connects to a host that takes what comes, a round trip away.
func dialFar(t *testing.T, roundTrip time.Duration, cfg Config, taken chan<- int) *Conn {
	t.Helper()
	ours, near := net.Pipe()
	theirs, far := net.Pipe()
	go travel(far, near, roundTrip/2)
	go travel(near, far, roundTrip/2)
	go serve(theirs, taken)
	cfg.Hello = "mail.example.org"
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) { return ours, nil }
	conn, err := Dial(t.Context(), "192.0.2.1:25", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// travel carries what is written at one end to the other, so long after it was written.
func travel(to, from net.Conn, takes time.Duration) {
	type parcel struct {
		due    time.Time
		octets []byte
	}
	road := make(chan parcel, 1_000)
	go func() {
		defer to.Close()
		for p := range road {
			time.Sleep(time.Until(p.due))
			to.Write(p.octets)
		}
	}()
	defer close(road)
	for {
		octets := make([]byte, 64<<10)
		n, err := from.Read(octets)
		if err != nil {
			return
		}
		road <- parcel{time.Now().Add(takes), octets[:n]}
	}
}
