package queue

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/trace"
)

// null is a spool that does nothing, so that a benchmark measures the queue alone.
type null struct{ Spool }

func (null) Settle(context.Context, ...spool.Settlement) error                 { return nil }
func (null) Release(context.Context, string, ...spool.ItemKey) error           { return nil }
func (null) Renew(context.Context, string, time.Time) error                    { return nil }
func (null) Lanes(context.Context) ([]spool.LaneStat, error)                   { return nil, nil }
func (null) Content(context.Context, message.ID, int64) (io.ReadCloser, error) { return nil, errDisk }
func (null) Claim(context.Context, spool.Lane, int, string, time.Time, time.Time) ([]spool.Claimed, time.Time, error) {
	return nil, time.Time{}, nil
}

// BenchmarkQueue takes messages through two lanes, process and relay, with executors that do nothing: what the queue
// itself costs a message.
func BenchmarkQueue(b *testing.B) {
	flying := make(chan struct{}, 100) // a closed loop, as sessions are; the spool would not keep what lanes have no room for
	q := New(Config{
		Spool: null{}, Trace: nothing{}, Owner: "owner", Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Executors: map[string]Executor{
			"process": stepper{Settings{Concurrency: 4}, func(_ context.Context, w *Work) Result {
				return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients}}}
			}},
			"relay": stepper{Settings{Concurrency: 20, Probe: true}, func(context.Context, *Work) Result {
				<-flying
				return Result{}
			}},
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	go q.Run(ctx)
	defer func() { cancel(); <-q.stopped }()
	content := inMemory{make([]byte, 10<<10)}
	recipients := toRecipients([]string{"one@example.com"})
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		id := message.NewID(time.Now())
		m := &spool.Message{ID: id, Size: 10 << 10}
		flying <- struct{}{}
		q.Room(10 << 10)
		q.Offer(spool.Claimed{Item: spool.Item{ItemKey: spool.ItemKey{Message: id}, Lane: spool.LaneProcess, Recipients: recipients}, Message: m, Content: content})
	}
	for range cap(flying) {
		flying <- struct{}{}
	}
}

// nothing is a Trace that forgets.
type nothing struct{}

func (nothing) Append(trace.Event) {}
