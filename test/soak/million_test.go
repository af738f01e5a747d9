package soak

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/spool/pebble"
	"sluice/test/harness"
	"sluice/test/load/sink"
)

const (
	account            = "000000000000" // of the harness
	deferredOctets     = 1000
	laneConnections    = 3         // the concurrency of each lane
	dueOver            = time.Hour // that the deferred are due over
	startWithin        = 5 * time.Second
	firstWithin        = 10 * time.Second
	deferredLimitOctet = 1_000_000_000 // resident
	writers            = 100           // that share the syncs of the spool
)

// S33: with a million deferred messages in a thousand lanes a server listens within seconds, in bounded memory; what is due leaves
// at once, and no lane is served by more connections than it may have.
func TestS33ManyDeferred(t *testing.T) {
	messages, lanes := pick(20_000, 1_000_000), pick(100, 1000)
	far, err := sink.Listen("0.0.0.0:0", sink.Options{})
	must(t, err)
	t.Cleanup(func() { far.Close() })
	args := append(quickRetries, "--relay-connections", fmt.Sprint(laneConnections))
	server := harness.Start(t, args...)
	address := route(t, server, map[string]string{})
	names := deferredLanes(t, server, far, lanes)
	server.Stop(t)
	writeDeferred(t, server, names, messages)

	began := time.Now()
	server = server.Restart(t, args...)
	peak := watchResident(t, server)
	harness.Eventually(t, "the ingress point listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	listening := time.Since(began)
	must(t, far.Await(within(t), 1))
	first := time.Since(began)
	must(t, far.Await(within(t), messages/1000))
	some := time.Since(began)
	resident := peak()
	server.Stop(t)

	t.Logf("%d deferred in %d lanes: listening after %v, first delivery after %v, %d after %v, %d MiB resident at most",
		messages, lanes, listening, first, messages/1000, some, resident)
	if listening > startWithin || first > firstWithin {
		t.Errorf("listening after %v and first delivery after %v, want %v and %v", listening, first, startWithin, firstWithin)
	}
	if pick(0, 1) == 1 && (resident+1)<<20 > deferredLimitOctet { // the race detector takes several times as much
		t.Errorf("%d MiB resident, want under %d octets", resident, deferredLimitOctet)
	}
	for at, connections := range far.Peaks() {
		if connections > laneConnections {
			t.Errorf("%d connections at once to %s, want at most %d", connections, at, laneConnections)
		}
	}
	left := 0
	for _, stat := range lanesOf(t, server) {
		left += stat.Items
	}
	t.Logf("accepted %d = delivered %d + bounced 0 + held 0 + queued %d", messages, far.Taken(), left)
	if far.Taken()+left != messages {
		t.Errorf("%d were delivered and %d wait, of %d", far.Taken(), left, messages)
	}
}

// deferredLanes makes relays, each with an address of its own, and returns their lanes.
func deferredLanes(t *testing.T, server *harness.Server, far *sink.Sink, n int) (names []spool.Lane) {
	t.Helper()
	_, port, err := net.SplitHostPort(far.Addr())
	must(t, err)
	for i := range n {
		id := relay(t, server, fmt.Sprintf("relay-%d", i), fmt.Sprintf("127.1.%d.%d:%s", i/200, i%200+1, port))
		names = append(names, spool.RelayLane(account, harness.Region, id))
	}
	return names
}

// writeDeferred fills the spool of a server that has ended by the spool's own verbs: messages that were tried once, and are due
// again over some time from now on.
func writeDeferred(t *testing.T, server *harness.Server, lanes []spool.Lane, messages int) {
	t.Helper()
	began := time.Now()
	s, err := pebble.Open(filepath.Join(server.Data, "spool"), pebble.Config{})
	must(t, err)
	content := []byte("Subject: deferred\r\n\r\n" + strings.Repeat("1 KB of this\r\n", deferredOctets/14))
	var next atomic.Int64
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for n := next.Add(1); n <= int64(messages); n = next.Add(1) {
				due := began.Add(dueOver * time.Duration(n) / time.Duration(messages))
				if err := deferOne(t, s, lanes[int(n)%len(lanes)], due, content); err != nil {
					t.Errorf("message %d: %v", n, err)
					return
				}
			}
		})
	}
	all.Wait()
	must(t, s.Close())
	t.Logf("%d messages written in %v", messages, time.Since(began))
}

// deferOne accepts a message whose only item waits in a lane.
func deferOne(t *testing.T, s *pebble.Spool, lane spool.Lane, due time.Time, content []byte) error {
	now := time.Now()
	m := spool.Message{
		ID:      message.NewID(now),
		Session: message.Session{ID: message.NewID(now), Account: account, Region: harness.Region},
		Envelope: message.Envelope{
			ReversePath: smtp.Path{Received: "sender@example.org", Local: "sender", Domain: "example.org"},
			Recipients:  []message.Recipient{{Path: smtp.Path{Received: "rcpt@example.net", Local: "rcpt", Domain: "example.net"}}},
		},
		ReceivedAt: now,
	}
	in, err := s.Begin(t.Context(), m.ID)
	if err != nil {
		return err
	}
	if _, err := in.Write(content); err != nil {
		in.Abort()
		return err
	}
	item := spool.Item{
		ItemKey: spool.ItemKey{Message: m.ID}, Lane: lane, Due: due, Recipients: m.Envelope.Recipients,
		ActionName: "RELAY", Attempts: 1, LastReply: "451 4.3.0 not now",
	}
	held, err := s.Accept(t.Context(), spool.Acceptance{Message: m, Content: in, Items: []spool.Item{item}})
	if held != nil {
		held.Release()
	}
	return err
}

// lanesOf reads the lanes from the spool of a server that has ended.
func lanesOf(t *testing.T, server *harness.Server) []spool.LaneStat {
	t.Helper()
	s, err := pebble.Open(filepath.Join(server.Data, "spool"), pebble.Config{})
	must(t, err)
	stats, err := s.Lanes(t.Context())
	must(t, err)
	must(t, s.Close())
	return stats
}
