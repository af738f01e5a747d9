// Package tour is the client side of sluice quickstart: it creates what a message needs over the Mail Manager API, with the
// AWS SDK, sends a message over SMTP, and asks the admin API what became of it. It does nothing that its reader's own
// programs could not do, from another machine: it reaches the server over TCP only. Start with New.
package tour

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"

	"sluice/internal/admin/client"
)

// How long the tour waits, and how often it asks.
const (
	activePeriod  = 10 * time.Second // for an ingress point to become ACTIVE
	arrivalPeriod = 30 * time.Second // for the message to arrive
	tracePeriod   = 5 * time.Second  // for its trace to have the attempt that succeeded
	askInterval   = 20 * time.Millisecond
)

// Config is what a tour needs to know.
type Config struct {
	Endpoint        string // of the API, such as http://127.0.0.1:4579
	Region          string
	AccessKeyID     string
	SecretAccessKey string
	Out             io.Writer // where each step is shown as it happens
}

// Tour shows a message going through a server.
type Tour struct {
	out   io.Writer
	api   *mailmanager.Client
	admin *client.Client
}

// Hop is where the relay of the tour leads: host and port of an SMTP server, and the Message-IDs of what arrives there.
type Hop struct {
	Host    string
	Port    int
	Arrived <-chan string
}

// String is host:port.
func (h Hop) String() string { return net.JoinHostPort(h.Host, strconv.Itoa(h.Port)) }

// Outcome is what the message of a tour became.
type Outcome struct {
	MessageID string // as the 250 reply ends
	SMTP      string // host:port that it was sent to
	Trace     client.GetTraceOutput
}

// New returns a tour of the server at an endpoint.
func New(cfg Config) *Tour {
	return &Tour{
		out: cfg.Out,
		api: mailmanager.New(mailmanager.Options{
			Region:       cfg.Region,
			BaseEndpoint: aws.String(cfg.Endpoint),
			Credentials:  credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, ""),
		}),
		admin: &client.Client{
			Endpoint: cfg.Endpoint, Region: cfg.Region,
			Credentials: aws.Credentials{AccessKeyID: cfg.AccessKeyID, SecretAccessKey: cfg.SecretAccessKey},
		},
	}
}

// Run creates the resources, or finds those that an earlier run made, sends a message through them to the hop and waits
// until it has arrived there. An error says which step failed.
func (t *Tour) Run(ctx context.Context, hop Hop) (Outcome, error) {
	t.title("Over the API, with the AWS SDK for Go")
	point, err := t.build(ctx, hop)
	if err != nil {
		return Outcome{}, err
	}
	address, err := t.waitActive(ctx, point)
	if err != nil {
		return Outcome{}, err
	}
	t.title("Over SMTP, to %s", address)
	sent := time.Now()
	letter := newLetter(sent)
	id, err := t.send(ctx, address, letter)
	if err != nil {
		return Outcome{}, fmt.Errorf("send a message to %s: %w", address, err)
	}
	if err := waitArrival(ctx, hop, letter.messageID); err != nil {
		return Outcome{MessageID: id}, err
	}
	t.title("At the next hop, %s", hop)
	t.step("arrived", "%s, %s after it was sent", id, time.Since(sent).Round(time.Millisecond))
	record, err := t.waitTrace(ctx, id)
	return Outcome{MessageID: id, SMTP: address, Trace: record}, err
}

func waitArrival(ctx context.Context, hop Hop, messageID string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, arrivalPeriod, fmt.Errorf("the message did not arrive at %s within %s", hop, arrivalPeriod))
	defer cancel()
	for {
		select {
		case arrived := <-hop.Arrived:
			if arrived == messageID { // others are of an earlier run
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waitTrace asks for the record until it has the attempt that the arrival proves: it is written behind the mail.
func (t *Tour) waitTrace(ctx context.Context, id string) (client.GetTraceOutput, error) {
	var record client.GetTraceOutput
	err := poll(ctx, tracePeriod, func() (bool, error) {
		answer, err := t.admin.GetTrace(ctx, id)
		var refused *client.Error
		if errors.As(err, &refused) && refused.Status == 404 {
			return false, nil
		}
		record = answer
		return delivered(answer), err
	})
	if err != nil {
		return record, fmt.Errorf("trace of %s: %w", id, err)
	}
	return record, nil
}

func delivered(answer client.GetTraceOutput) bool {
	for _, event := range answer.Record.Events {
		if event.Attempt != nil && event.Attempt.Status == "SUCCESS" && event.Attempt.Target != "" {
			return true
		}
	}
	return false
}

var errTooLong = errors.New("it took too long")

// poll asks until the answer is yes, an error, or the time is up.
func poll(ctx context.Context, period time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, period, errTooLong)
	defer cancel()
	ticker := time.NewTicker(askInterval)
	defer ticker.Stop()
	for {
		if done, err := ask(); done || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// title begins a part of what is shown.
func (t *Tour) title(format string, args ...any) { fmt.Fprintf(t.out, "\n"+format+"\n", args...) }

// step shows something that was done.
func (t *Tour) step(what, format string, args ...any) {
	fmt.Fprintf(t.out, "  %-20s %s\n", what, fmt.Sprintf(format, args...))
}
