// Package generate is the near end of a load test: SMTP clients that send letters, each with an id of its own, and keep a
// ledger of how each was answered. It is written apart from the client of the project. Start with Run.
package generate

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"sluice/test/load/ledger"
	"sluice/test/load/letter"
)

// Options are what is sent, and how. A zero field takes the default in parentheses.
type Options struct {
	Messages      int      // how many (1)
	Size          int      // octets of each (10,240)
	Sessions      int      // connections at once (20)
	PerConnection int      // messages on each connection before another is opened (0: as many as there are)
	Lockstep      bool     // one command at a time, although the server offers PIPELINING
	Rate          int      // messages that are begun in a second, however long they take (0: one after the other)
	TLS           TLS      // how connections come to TLS (Clear)
	User          string   // who authenticates, with AUTH PLAIN (nobody)
	Password      string   // of the user
	From          string   // reverse-path (sender@example.org)
	To            []string // recipients of each message (rcpt@example.net)
	Prefix        string   // begins each id, such that runs into one sink can be told apart (m)
	// Persist is for how long a message is tried again that was answered 4yz or met no server (0: not at all). One whose
	// reply to the end of data was lost never is.
	Persist time.Duration
}

// TLS says how a connection comes to TLS. The server's certificate is not verified, and no session is resumed.
type TLS string

// The ways. The zero TLS is Clear.
const (
	Clear    TLS = ""
	StartTLS TLS = "starttls" // RFC 3207
	Implicit TLS = "implicit" // RFC 8314, section 3
)

func (o Options) orDefault() Options {
	set(&o.Messages, 1)
	set(&o.Size, 10_240)
	set(&o.Sessions, 20)
	set(&o.From, "sender@example.org")
	set(&o.Prefix, "m")
	if len(o.To) == 0 {
		o.To = []string{"rcpt@example.net"}
	}
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// pause is between two attempts at one message.
const pause = 50 * time.Millisecond

// Result is what came of a run.
type Result struct {
	Ledger      *ledger.Ledger // has a mark for every recipient of every message that was tried
	Took        time.Duration
	Connections int // that were opened and came as far as the first MAIL

	// Latencies are those of the messages, the shortest first: from when each was due to its last reply. What it has to wait
	// for, be it a session that is free, a connection, a handshake or another attempt, counts.
	Latencies []time.Duration
}

// Percentile is the latency that so many of a hundred messages did not exceed; 0 without any.
func (r Result) Percentile(percent int) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[max((len(r.Latencies)*percent+99)/100, 1)-1]
}

// String is the result on one line.
func (r Result) String() string {
	accepted := r.Ledger.Total(ledger.Accepted)
	return fmt.Sprintf("accepted=%d refused=%d uncertain=%d rate=%.0f/s (%.2f s) connections=%d p50=%v p99=%v",
		accepted, r.Ledger.Total(ledger.Refused), r.Ledger.Total(ledger.Uncertain), float64(accepted)/r.Took.Seconds(), r.Took.Seconds(),
		r.Connections, r.Percentile(50).Round(time.Microsecond), r.Percentile(99).Round(time.Microsecond))
}

// Run sends to a server at host:port until all messages are answered. When ctx ends no more are begun, and its error is
// returned; the result is valid all the same. That messages were refused is no error: the ledger says so.
func Run(ctx context.Context, address string, options Options) (Result, error) {
	o := options.orDefault()
	run := &run{
		Options: o,
		address: address,
		maker:   letter.NewMaker(o.Size, o.From, o.To[0]),
		ledger:  ledger.New(),
	}
	run.start = time.Now()
	var sessions sync.WaitGroup
	for range min(o.Sessions, o.Messages) {
		sessions.Go(func() { run.session(ctx) })
	}
	sessions.Wait()
	slices.Sort(run.latencies)
	return Result{Ledger: run.ledger, Took: time.Since(run.start), Connections: int(run.connections.Load()), Latencies: run.latencies}, ctx.Err()
}

// run is a run under way.
type run struct {
	Options
	address     string
	maker       *letter.Maker
	ledger      *ledger.Ledger
	start       time.Time
	next        atomic.Int64
	connections atomic.Int64

	mu        sync.Mutex
	latencies []time.Duration
}

// session sends messages over one connection after another.
func (r *run) session(ctx context.Context) {
	c := &client{run: r}
	defer c.close()
	for ctx.Err() == nil {
		number := r.next.Add(1)
		if number > int64(r.Messages) {
			return
		}
		due := r.due(ctx, number)
		r.send(ctx, c, fmt.Sprintf("%s-%d", r.Prefix, number))
		took := time.Since(due)
		r.mu.Lock()
		r.latencies = append(r.latencies, took)
		r.mu.Unlock()
	}
}

// due waits until a message is to begin, and returns when that was, which is in the past when all sessions were busy.
func (r *run) due(ctx context.Context, number int64) time.Time {
	if r.Rate == 0 {
		return time.Now()
	}
	due := r.start.Add(time.Duration(number-1) * time.Second / time.Duration(r.Rate))
	wait(ctx, time.Until(due))
	return due
}

// wait pauses, or until ctx ends.
func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-ctx.Done():
	}
}

// send tries one message until it is answered for good.
func (r *run) send(ctx context.Context, c *client, id string) {
	giveUp := time.Now().Add(r.Persist)
	for {
		outcomes, again := c.send(id)
		if !again || ctx.Err() != nil || time.Now().After(giveUp) {
			for i, to := range r.To {
				r.ledger.Add(ledger.Key(id, to), outcomes[i])
			}
			return
		}
		wait(ctx, pause)
	}
}
