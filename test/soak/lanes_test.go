package soak

import (
	"net"
	"testing"
	"time"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/sink"
)

const (
	keptRate         = 0.9 // of a lane's rate alone, beside one that is stuck
	listeningWithin  = 2 * time.Second
	residentLimitMiB = 300
	drainWithin      = 2 * time.Minute
)

// A lane whose next hop does not answer costs the others nothing, is tried one attempt at a time, is cheap to wait for
// across a restart, and empties quickly once the next hop is back.
func TestStuckLaneBesideOneThatFlows(t *testing.T) {
	stuck, flowing := pick(3000, 100000), pick(3000, 20000)
	far := startSink(t, sink.Options{})
	dead := startSink(t, sink.Options{Behaviour: sink.Behaviour{BlackHole: true}})
	server := harness.Start(t, quickRetries...)
	address := route(t, server, map[string]string{"example.net": far.Addr(), "dead.example": dead.Addr()})

	alone := flow(t, address, far, "alone", flowing, 0)
	deferred := send(t, address, generate.Options{Messages: stuck, Sessions: 20, Prefix: "stuck", To: []string{"rcpt@dead.example"}})
	beside := flow(t, address, far, "beside", flowing, flowing)
	t.Logf("the flowing lane: %.0f messages/s alone, %.0f beside %d stuck ones", alone, beside, stuck)
	// The short form is too short to hold a rate to a tenth.
	if floor := alone * keptRate; pick(0, 1) == 1 && beside < floor || beside < floor/3 {
		t.Errorf("got %.0f messages/s beside the stuck lane, want at least %.0f", beside, floor)
	}
	if _, peak := dead.Connections(); peak > 1 {
		t.Errorf("%d attempts at once at a next hop that does not answer, want 1", peak)
	}

	server = restartWaiting(t, server, address)
	dead.Behave(sink.Behaviour{})
	began := time.Now()
	if err := dead.Await(within(t), stuck); err != nil {
		t.Fatalf("%d of %d stuck messages arrived: %v; lanes: %v", dead.Taken(), stuck, err, lanes(t, server))
	}
	took := time.Since(began)
	t.Logf("%d stuck messages left in %v", stuck, took)
	if took > drainWithin {
		t.Errorf("got %v until the stuck messages were gone, want at most %v", took, drainWithin)
	}
	emptied(t, server)
	if err := balanced(t, deferred.Ledger, dead.Ledger).Err(); err != nil {
		t.Error(err)
	}
}

// flow sends messages to the sink that has taken so many before, and returns messages/s from the first sent to the last
// arrived.
func flow(t *testing.T, address string, far *sink.Sink, prefix string, messages, before int) float64 {
	t.Helper()
	began := time.Now()
	send(t, address, generate.Options{Messages: messages, Sessions: 20, Prefix: prefix, To: []string{"rcpt@example.net"}})
	if err := far.Await(within(t), before+messages); err != nil {
		t.Fatalf("%d of %d messages arrived: %v", far.Taken(), before+messages, err)
	}
	return float64(messages) / time.Since(began).Seconds()
}

// restartWaiting stops the server and starts it again, and holds it to how soon it listens and what it takes.
func restartWaiting(t *testing.T, server *harness.Server, address string) *harness.Server {
	t.Helper()
	server.Stop(t)
	began := time.Now()
	server = server.Restart(t, quickRetries...)
	harness.Eventually(t, "the ingress point listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})
	took, resident := time.Since(began), server.ResidentMiB(t)
	t.Logf("restarted with %v waiting: listening after %v, %d MiB resident", lanes(t, server), took, resident)
	if took > listeningWithin {
		t.Errorf("got listening after %v, want within %v", took, listeningWithin)
	}
	if resident > residentLimitMiB {
		t.Errorf("got %d MiB resident, want at most %d", resident, residentLimitMiB)
	}
	return server
}
