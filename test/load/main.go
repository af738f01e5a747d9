// Command load puts a mail gateway under load and keeps account of every message: generate sends, sink takes what the
// gateway relays, and compare says whether all that was accepted arrived or came back, once. What slow does is hold connections.
//
//	go run ./test/load sink --listen 127.0.0.1:2626 --ledger taken --messages 20000
//	go run ./test/load generate --server 127.0.0.1:2525 --ledger sent --messages 20000
//	go run ./test/load compare sent taken
//	go run ./test/load slow --server 127.0.0.1:2525 --connections 10000 --for 1m
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
	"sluice/test/load/slow"
)

type commands struct {
	Generate generateCommand `cmd:"" help:"Send messages, each with an id of its own, and note how each was answered."`
	Sink     sinkCommand     `cmd:"" help:"Take messages, and note which."`
	Compare  compareCommand  `cmd:"" help:"Say whether all that was accepted arrived or came back, once."`
	Slow     slowCommand     `cmd:"" help:"Hold connections, idle or an octet at a time, half of them in the TLS handshake."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed := kong.Parse(&commands{}, kong.Name("load"), kong.Description("Puts a mail gateway under load and keeps account of every message."),
		kong.UsageOnError(), kong.BindTo(ctx, (*context.Context)(nil)))
	parsed.FatalIfErrorf(parsed.Run())
}

type generateCommand struct {
	Server        string        `required:"" placeholder:"HOST:PORT" help:"Where to send to."`
	Messages      int           `short:"n" default:"20000" help:"How many messages."`
	Size          int           `default:"10240" help:"Octets of each message."`
	Sessions      int           `default:"20" help:"Connections at once."`
	PerConnection int           `help:"Messages on each connection before another is opened; 0: no limit."`
	Lockstep      bool          `help:"Send one command at a time, although the server offers PIPELINING."`
	Rate          int           `help:"Messages begun in a second; 0: one after the other."`
	TLS           string        `enum:",starttls,implicit" default:"" placeholder:"MODE" help:"Speak TLS: starttls or implicit. The certificate is not verified."`
	Auth          string        `placeholder:"USER:PASSWORD" help:"Authenticate, with AUTH PLAIN."`
	From          string        `default:"sender@example.org" help:"Reverse-path."`
	To            []string      `default:"rcpt@example.net" help:"Recipients of each message."`
	Prefix        string        `default:"m" help:"Begins each id, such that several runs can be told apart."`
	Persist       time.Duration `help:"For how long a message is tried again that was answered 4yz or met no server."`
	Ledger        string        `type:"path" help:"File for the ledger."`
}

// Run sends.
func (c *generateCommand) Run(ctx context.Context) error {
	user, password, _ := strings.Cut(c.Auth, ":")
	result, err := generate.Run(ctx, c.Server, generate.Options{
		Messages: c.Messages, Size: c.Size, Sessions: c.Sessions, PerConnection: c.PerConnection, Lockstep: c.Lockstep,
		Rate: c.Rate, TLS: generate.TLS(c.TLS), User: user, Password: password,
		From: c.From, To: c.To, Prefix: c.Prefix, Persist: c.Persist,
	})
	fmt.Println(result)
	return errors.Join(err, save(result.Ledger, c.Ledger))
}

type sinkCommand struct {
	Listen    string        `required:"" placeholder:"HOST:PORT" help:"Where to listen."`
	Messages  int           `short:"n" help:"End after so many messages; 0: at an interrupt."`
	Defer     float64       `help:"Share of messages answered 4yz, 0 to 1."`
	Reject    float64       `help:"Share of messages answered 5yz, 0 to 1."`
	Drop      float64       `help:"Share of messages whose connection is dropped, at any moment, 0 to 1."`
	BlackHole bool          `help:"Answer nothing at all."`
	Fails     string        `placeholder:"PREFIX" help:"Recipients that begin with this are answered 550."`
	For       time.Duration `help:"Misbehave for so long only; 0: always."`
	Lockstep  bool          `help:"Do not offer PIPELINING."`
	Seed      uint64        `help:"Seed of chance."`
	Ledger    string        `type:"path" help:"File for the ledger."`
}

// Run takes messages until there are enough or an interrupt comes.
func (c *sinkCommand) Run(ctx context.Context) error {
	s, err := sink.Listen(c.Listen, sink.Options{
		Behaviour: sink.Behaviour{Defer: c.Defer, Reject: c.Reject, Drop: c.Drop, BlackHole: c.BlackHole, Fails: c.Fails},
		Lockstep:  c.Lockstep,
		Seed:      c.Seed,
	})
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Println("listening on", s.Addr())
	if c.For > 0 {
		defer time.AfterFunc(c.For, func() { s.Behave(sink.Behaviour{}) }).Stop()
	}
	start := time.Now()
	if c.Messages > 0 {
		s.Await(ctx, c.Messages)
	} else {
		<-ctx.Done()
	}
	connections, peak := s.Connections()
	fmt.Printf("taken=%d unanswered=%d damaged=%d connections=%d peak=%d (%.2f s)\n", s.Taken(), s.Ledger.Total(ledger.Unanswered),
		s.Ledger.Total(ledger.Damaged), connections, peak, time.Since(start).Seconds())
	return save(s.Ledger, c.Ledger)
}

type compareCommand struct {
	Sent  string `arg:"" type:"existingfile" help:"Ledger of generate."`
	Taken string `arg:"" type:"existingfile" help:"Ledger of sink."`
}

// Run compares. It fails when the ledgers disagree.
func (c *compareCommand) Run() error {
	sent, err := ledger.Load(c.Sent)
	if err != nil {
		return err
	}
	taken, err := ledger.Load(c.Taken)
	if err != nil {
		return err
	}
	report := ledger.Compare(sent, taken)
	fmt.Println(report)
	for _, list := range []struct {
		name string
		keys []string
	}{{"came again after a lost reply:", report.Repeated}, {"came twice:", report.Twice}, {"told of twice:", report.ToldMore}} {
		for _, key := range list.keys {
			fmt.Println(list.name, key)
		}
	}
	line, err := report.Balance()
	fmt.Println(line)
	if len(report.Twice)+len(report.ToldMore) > 0 {
		err = errors.Join(err, fmt.Errorf("%d came twice, %d were told of twice", len(report.Twice), len(report.ToldMore)))
	}
	return err
}

type slowCommand struct {
	Server      string        `required:"" placeholder:"HOST:PORT" help:"Whom to hold up. It must offer STARTTLS."`
	Implicit    string        `placeholder:"HOST:PORT" help:"A listener with implicit TLS, for half of the handshakes."`
	Connections int           `short:"n" default:"10000" help:"How many. A process may have so many files open: ulimit -n."`
	Pause       time.Duration `default:"10s" help:"Between two octets of a connection."`
	Again       bool          `help:"Open another for each that the server ends."`
	Content     int           `default:"30" help:"Octets of content that come at once, before those that come slowly."`
	From        string        `default:"slow@example.org" help:"Reverse-path."`
	To          string        `default:"rcpt@example.net" help:"Recipient."`
	For         time.Duration `help:"End after so long; 0: at an interrupt."`
}

// countPeriod is between two looks at what became of slow connections.
const countPeriod = 100 * time.Millisecond

// Run holds connections, and prints how many there are, by stage, whenever that has changed.
func (c *slowCommand) Run(ctx context.Context) error {
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	crowd := slow.Start(c.Server, slow.Options{
		Connections: c.Connections, Pause: c.Pause, Implicit: c.Implicit, Again: c.Again, Content: c.Content, From: c.From, To: c.To,
	})
	defer crowd.Close()
	ticker := time.NewTicker(countPeriod)
	defer ticker.Stop()
	for last := ""; ; {
		if line := crowd.Count().String(); line != last {
			fmt.Println(line)
			last = line
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func save(l *ledger.Ledger, name string) error {
	if name == "" {
		return nil
	}
	return l.Save(name)
}
