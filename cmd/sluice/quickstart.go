package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"sluice/cmd/sluice/internal/render"
	"sluice/cmd/sluice/internal/sink"
	"sluice/cmd/sluice/internal/tour"
	"sluice/internal/ingress"
)

const (
	defaultSinkPort = 2600 // beside the ingress points' ports
	loopback        = "127.0.0.1"
	anyPort         = 0
	arrivalBacklog  = 1000 // messages of earlier runs that may arrive before the one that is waited for
)

type quickstartCommand struct {
	Config `set:"log_level=warn"`
	Once   bool `help:"End when the message has arrived: with 0 then, else with 1."`
}

// Help is the part of --help below the flags' summary.
func (quickstartCommand) Help() string {
	return `It starts the server, and a sink as the next hop. Then, over TCP as any client would, it creates a relay, a rule set, a
traffic policy and an OPEN ingress point with the AWS SDK, sends a message over SMTP and shows the message's trace. A default
address that is taken is replaced by a free one. Run again on the same directory, it uses what it made before.`
}

// Run shows the newcomer a message going through, and serves on until ctx ends.
func (c *quickstartCommand) Run(ctx context.Context, to streams) error {
	log, err := newLogger(to.err, c.LogLevel)
	if err != nil {
		return err
	}
	cfg, notes, err := freeAddresses(c.Config)
	if err != nil {
		return err
	}
	s, err := openServer(ctx, cfg, log)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	parts, partsFailed := errgroup.WithContext(serving)
	parts.Go(func() error { return s.Run(serving) })
	err = c.show(partsFailed, s, parts, to.out, notes)
	switch {
	case ctx.Err() != nil && !c.Once:
		err = nil // interrupted on the way: nothing was asked for that did not happen
	case err == nil && !c.Once:
		<-partsFailed.Done() // interrupted, or the server failed
	}
	stop()
	return errors.Join(err, parts.Wait(), s.Close())
}

// show is the tour, from the first line to what to try next.
func (c *quickstartCommand) show(ctx context.Context, s *server, parts *errgroup.Group, out io.Writer, notes []string) error {
	endpoint := localURL(s.url())
	fmt.Fprintf(out, "Sluice: a message goes through a mail gateway that is programmed with the Mail Manager API\n\n")
	fmt.Fprintf(out, "The server is %s, its data is in %s\n", endpoint, s.dir.path)
	for _, note := range notes {
		fmt.Fprintln(out, note)
	}
	guide := tour.New(tour.Config{
		Endpoint: endpoint, Region: defaultRegion,
		AccessKeyID: s.credentials.keyID, SecretAccessKey: s.credentials.secret,
		Out: out,
	})
	hop, err := startHop(ctx, guide, parts, s.log)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The next hop is %s, a sink that stands in for a mail server\n", hop)
	outcome, err := guide.Run(ctx, hop)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nWhy, as sluice trace tells\n")
	if err := render.Trace(out, outcome.Trace.Record); err != nil {
		return err
	}
	c.next(out, s, endpoint, outcome)
	return nil
}

// startHop starts a sink where the relay of an earlier run leads, else beside the ingress points, else anywhere.
func startHop(ctx context.Context, guide *tour.Tour, parts *errgroup.Group, log *slog.Logger) (tour.Hop, error) {
	earlier, err := guide.RelayPort(ctx)
	if err != nil {
		return tour.Hop{}, fmt.Errorf("look for the relay of an earlier run: %w", err)
	}
	arrived := make(chan string, arrivalBacklog)
	cfg := sink.Config{Arrived: func(m *sink.Message) {
		select {
		case arrived <- strings.Trim(m.Header.Get("Message-Id"), "<>"):
		default: // nobody waits any more
		}
	}}
	ports := []int{defaultSinkPort, anyPort}
	if earlier != 0 {
		ports = append([]int{earlier}, ports...)
	}
	var s *sinkServer
	for _, port := range ports {
		if s, err = openSink(net.JoinHostPort(loopback, strconv.Itoa(port)), log, cfg); err == nil {
			break
		}
	}
	if err != nil {
		return tour.Hop{}, err
	}
	parts.Go(func() error { return s.run(ctx) })
	return tour.Hop{Host: loopback, Port: s.listener.Addr().(*net.TCPAddr).Port, Arrived: arrived}, nil
}

// next says how to go on by hand.
func (c *quickstartCommand) next(out io.Writer, s *server, endpoint string, outcome tour.Outcome) {
	host, port, err := net.SplitHostPort(outcome.SMTP)
	if c.Once || err != nil {
		return
	}
	fmt.Fprintf(out, `
The server runs until you press Ctrl-C. In another terminal:

  export AWS_ENDPOINT_URL=%[1]s SLUICE_ENDPOINT=%[1]s
  export AWS_REGION=%[2]s AWS_DEFAULT_REGION=%[2]s
  export AWS_ACCESS_KEY_ID=%[3]s
  export AWS_SECRET_ACCESS_KEY=%[4]s

  aws mailmanager list-ingress-points
  %[8]s listeners
  %[8]s trace %[5]s
  swaks --server %[6]s --port %[7]s --from a@example.org --to b@example.com
`, endpoint, defaultRegion, s.credentials.keyID, s.credentials.secret, outcome.MessageID, host, port, os.Args[0])
}

// freeAddresses replaces default addresses that are taken by free ones, and says so. An address that somebody chose stays.
func freeAddresses(cfg Config) (_ Config, notes []string, err error) {
	if cfg.API == defaultAPI && taken(defaultAPI) {
		cfg.API = net.JoinHostPort(loopback, strconv.Itoa(anyPort))
		notes = append(notes, fmt.Sprintf("(%s is taken: another address is used)", defaultAPI))
	}
	if cfg.SMTP != defaultSMTP {
		return cfg, notes, nil
	}
	pool, err := ingress.ParsePool(defaultSMTP)
	if err != nil {
		return cfg, nil, err
	}
	for port := pool.Low; port <= pool.High; port++ {
		if !taken(net.JoinHostPort(pool.Host, strconv.Itoa(port))) {
			return cfg, notes, nil
		}
	}
	port, err := freePort()
	if err != nil {
		return cfg, nil, err
	}
	cfg.SMTP = fmt.Sprintf("%s:%d-%d", loopback, port, port)
	return cfg, append(notes, fmt.Sprintf("(%s are all taken: %s is used)", defaultSMTP, cfg.SMTP)), nil
}

func taken(address string) bool {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return true
	}
	return listener.Close() != nil
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(anyPort)))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().(*net.TCPAddr).Port, listener.Close()
}

// localURL is a URL for this machine: a server that listens on every address is reached on loopback.
func localURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	host, port, err := net.SplitHostPort(u.Host)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort(loopback, port)
	}
	return u.String()
}
