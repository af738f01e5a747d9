package soak

import (
	"context"
	"sync"
	"testing"
	"time"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/sink"
)

const (
	largeLimitOctets = 600_000_000 // resident, whatever is on its way in and out
	// largeOctets is just below the largest message that is taken, 41,943,040 octets with its header section.
	largeOctets      = 41_900_000
	smallLargeOctets = 10_000_000
	residentPeriod   = 20 * time.Millisecond
)

// Many large messages at once are neither kept in memory nor lost: content goes through it in pieces, in and out.
func TestLargeAtOnce(t *testing.T) {
	messages, octets := pick(10, 200), pick(smallLargeOctets, largeOctets)
	far := startSink(t, sink.Options{})
	server := harness.Start(t, quickRetries...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	peak := watchResident(t, server)

	began := time.Now()
	sent := send(t, address, generate.Options{
		Messages: messages, Sessions: messages, Size: octets, To: []string{"rcpt@example.net"}, Persist: patience,
	})
	if err := far.Await(within(t), messages); err != nil {
		t.Fatalf("%d of %d messages arrived: %v; lanes: %v", far.Taken(), messages, err, lanes(t, server))
	}
	took := time.Since(began)
	emptied(t, server)
	resident := peak()
	t.Logf("%d sessions with %d octets each: last arrived after %v, %d MiB resident at most", messages, octets, took, resident)
	// The short form runs with the race detector, which takes several times as much. What is resident is rounded down.
	if pick(0, 1) == 1 && (resident+1)<<20 > largeLimitOctets {
		t.Errorf("got %d MiB resident, want under %d octets", resident, largeLimitOctets)
	}
	if err := balanced(t, sent.Ledger, far.Ledger).Err(); err != nil {
		t.Error(err)
	}
}

// watchResident samples the resident memory of a server, and returns what ends that and tells the most there was, in MiB.
func watchResident(t *testing.T, s *harness.Server) (peak func() int) {
	t.Helper()
	most := s.ResidentMiB(t) // where the system does not tell the test is skipped here
	ctx, cancel := context.WithCancel(t.Context())
	var sampling sync.WaitGroup
	sampling.Go(func() {
		ticker := time.NewTicker(residentPeriod)
		defer ticker.Stop()
		for ctx.Err() == nil {
			<-ticker.C
			most = max(most, s.ResidentMiB(t))
		}
	})
	peak = func() int {
		cancel()
		sampling.Wait()
		return most
	}
	t.Cleanup(func() { peak() }) // before the server ends
	return peak
}
