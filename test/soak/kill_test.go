package soak

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

const (
	unsettled    = 50 * time.Millisecond // a settlement may be lost for so long
	samplePeriod = 5 * time.Millisecond
	// What may be running at a kill: a connection has one message whose reply is awaited and one behind it.
	running = 2 * relayConnections
	// relayConnections is the default of --relay-connections.
	relayConnections = 20
)

// S28: killed at random moments under load, the server loses nothing that it answered with 250, and repeats at most what
// was running, or was settled in the last 50 ms, at a kill.
func TestKilledUnderLoad(t *testing.T) {
	kills, messages := pick(4, 20), pick(4000, 40000)
	far := startSink(t, sink.Options{})
	server := harness.Start(t, quickRetries...)
	address := route(t, server, map[string]string{"example.net": far.Addr()})
	watch := startWatch(t, far)

	sent := make(chan generate.Result, 1)
	go func() {
		result, err := generate.Run(within(t), address, generate.Options{
			Messages: messages, Sessions: 20, To: []string{"rcpt@example.net"}, Persist: patience, PerConnection: 20,
		})
		if err != nil {
			t.Errorf("generate: %v", err)
		}
		sent <- result
	}()
	permitted := 0
	for kill := range kills {
		// Kills are spread over the whole run, each at a random moment of its part.
		from := kill * messages / (kills + 1)
		if err := far.Await(within(t), from+rand.IntN(messages/(kills+1))); err != nil {
			t.Fatalf("before kill %d: %v", kill, err)
		}
		permitted += watch.recent() + running
		server.Kill(t)
		server = server.Restart(t, quickRetries...)
	}
	result := <-sent
	t.Log(result)
	if lost := messages - result.Ledger.Total(ledger.Accepted) - result.Ledger.Total(ledger.Uncertain); lost != 0 {
		t.Fatalf("%d messages were neither accepted nor lost their reply", lost)
	}
	emptied(t, server)
	report := balanced(t, result.Ledger, far.Ledger)
	t.Log(report)
	if len(report.Missing) > 0 || len(report.Unknown) > 0 || len(report.Damaged) > 0 || len(report.Refused) > 0 {
		t.Errorf("lost or changed: %v", report.Err())
	}
	if repeated := len(report.Twice) + len(report.Repeated); repeated > permitted {
		t.Errorf("%d messages came twice, want at most the %d that were running or just settled at the %d kills", repeated, permitted, kills)
	}
}

// watch knows how many messages a sink took lately.
type watch struct {
	sink *sink.Sink
	mu   sync.Mutex
	past [unsettled/samplePeriod + 1]int // counts, the newest last
}

func startWatch(t *testing.T, s *sink.Sink) *watch {
	w := &watch{sink: s}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		ticker := time.NewTicker(samplePeriod)
		defer ticker.Stop()
		for ctx.Err() == nil {
			<-ticker.C
			w.mu.Lock()
			copy(w.past[:], w.past[1:])
			w.past[len(w.past)-1] = s.Taken()
			w.mu.Unlock()
		}
	}()
	return w
}

// recent is how many were taken in the time that a settlement may be lost for.
func (w *watch) recent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sink.Taken() - w.past[0]
}
