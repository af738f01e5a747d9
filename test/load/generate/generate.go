// Package generate is the near end of a load test: SMTP clients that send letters, each with an id of its own, and keep a
// ledger of how each was answered. It is written apart from the client of the project. Start with Run.
package generate

import (
	"context"
	"fmt"
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
	From          string   // reverse-path (sender@example.org)
	To            []string // recipients of each message (rcpt@example.net)
	Prefix        string   // begins each id, such that runs into one sink can be told apart (m)
	// Persist is for how long a message is tried again that was answered 4yz or met no server (0: not at all). One whose
	// reply to the end of data was lost never is.
	Persist time.Duration
}

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
	Ledger *ledger.Ledger // has a mark for every recipient of every message that was tried
	Took   time.Duration
}

// String is the result on one line.
func (r Result) String() string {
	accepted := r.Ledger.Total(ledger.Accepted)
	return fmt.Sprintf("accepted=%d refused=%d uncertain=%d rate=%.0f/s (%.2f s)", accepted, r.Ledger.Total(ledger.Refused),
		r.Ledger.Total(ledger.Uncertain), float64(accepted)/r.Took.Seconds(), r.Took.Seconds())
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
	start := time.Now()
	var sessions sync.WaitGroup
	for range min(o.Sessions, o.Messages) {
		sessions.Go(func() { run.session(ctx) })
	}
	sessions.Wait()
	return Result{run.ledger, time.Since(start)}, ctx.Err()
}

// run is a run under way.
type run struct {
	Options
	address string
	maker   *letter.Maker
	ledger  *ledger.Ledger
	next    atomic.Int64
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
		r.send(ctx, c, fmt.Sprintf("%s-%d", r.Prefix, number))
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
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}
