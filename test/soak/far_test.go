package soak

import (
	"io"
	"net"
	"testing"
	"time"

	"sluice/test/harness"
	"sluice/test/load/sink"
)

const (
	farRoundTrip   = 50 * time.Millisecond
	farConnections = 20
	farRate        = 300.0 // messages a second, at least
)

// A next hop that is far away gets as many messages as its connections carry when the next MAIL is sent behind the end of the
// content before it (RFC 2920, section 3.1): one a round trip, 400 a second. In lockstep they would carry 130, and with an
// envelope that waits for the end of the content before, 200.
func TestFarNextHop(t *testing.T) {
	messages, room := pick(500, 10000), pick(10, 1)
	far := startSink(t, sink.Options{})
	road := startRoad(t, far.Addr(), farRoundTrip/2)
	server := harness.Start(t, append(quickRetries, "--relay-connections", "20")...)
	address := route(t, server, map[string]string{"example.net": road})
	rate := flow(t, address, far, "far", messages, 0)
	t.Logf("%.0f messages/s over a round trip of %v", rate, farRoundTrip)
	if rate < farRate/float64(room) {
		t.Errorf("got %.0f messages/s, want at least %.0f", rate, farRate/float64(room))
	}
	if _, peak := far.Connections(); peak > farConnections {
		t.Errorf("got %d connections at once, want at most %d", peak, farConnections)
	}
}

// startRoad listens for a host that is far away: what comes at either end takes its time to the other.
func startRoad(t *testing.T, to string, takes time.Duration) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			go travel(far, near, takes)
			go travel(near, far, takes)
		}
	}()
	return listener.Addr().String()
}

// travel carries octets until their end, however many are on the way.
func travel(to io.WriteCloser, from io.Reader, takes time.Duration) {
	type parcel struct {
		due    time.Time
		octets []byte
	}
	onTheWay := make(chan parcel, 10_000)
	go func() {
		defer to.Close()
		for p := range onTheWay {
			<-time.After(time.Until(p.due))
			if _, err := to.Write(p.octets); err != nil {
				continue // the rest has nowhere to go
			}
		}
	}()
	defer close(onTheWay)
	for {
		octets := make([]byte, 32<<10)
		n, err := from.Read(octets)
		if err != nil {
			return
		}
		onTheWay <- parcel{time.Now().Add(takes), octets[:n]}
	}
}
