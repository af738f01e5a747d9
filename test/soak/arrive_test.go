package soak

import (
	"testing"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/sink"
)

// Every message arrives, none twice, whatever the next hop does. Only a message whose reply to the dot was lost may come
// again.
func TestEveryMessageArrives(t *testing.T) {
	tests := []struct {
		name      string
		misbehave sink.Behaviour
	}{
		{name: "well-behaved next hop"},
		{name: "next hop defers a third for a while", misbehave: sink.Behaviour{Defer: 1.0 / 3}},
		{name: "next hop drops connections", misbehave: sink.Behaviour{Drop: 0.02}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			messages := pick(1000, 20000)
			far := startSink(t, sink.Options{Behaviour: tt.misbehave, Seed: 1})
			server := harness.Start(t, quickRetries...)
			address := route(t, server, map[string]string{"example.net": far.Addr()})

			sent := send(t, address, generate.Options{Messages: messages, Sessions: 20, To: []string{"rcpt@example.net"}})
			if tt.misbehave.Defer > 0 {
				far.Behave(sink.Behaviour{})
			}
			if err := far.Await(within(t), messages); err != nil {
				t.Fatalf("%d of %d messages arrived: %v", far.Taken(), messages, err)
			}
			emptied(t, server)
			report := balanced(t, sent.Ledger, far.Ledger)
			t.Log(report)
			if err := report.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}
