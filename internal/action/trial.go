package action

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"sluice/internal/control"
	"sluice/internal/smtpclient"
	"sluice/internal/trace"
)

// People sit before a trial, and their client waits for half a minute.
const (
	trialTimeout = 10 * time.Second // for each step
	trialLimit   = 25 * time.Second // for all of them
)

// Trial is what came of trying to connect to a relay without sending mail.
type Trial struct {
	Failure   string         // why no address could be tried: the secret, an authority, the name; empty: they were
	Addresses []AddressTrial // in the order in which they are used
	Took      time.Duration
}

// AddressTrial is what came of one address.
type AddressTrial struct {
	Address  string // host:port
	Greeting string // in the host's words
	Offers   []string
	TLS      *trace.TLS // nil: in clear, or it did not come to it
	Fallback string     // why TLS was begun and is not used
	User     string     // whom the host took us for; empty: nobody logged in
	Failure  string     // why mail would not be taken here, in the host's words where it said any
	Took     time.Duration
}

// Try connects to every address of a relay as a delivery would, and sends no mail. All are tried at once.
func (e *RelayExecutor) Try(ctx context.Context, relay *control.Relay) Trial {
	began := e.Now()
	ctx, cancelAll := context.WithTimeout(ctx, trialLimit)
	defer cancelAll()
	config, err := e.clientConfig(ctx, relay)
	if err != nil {
		return Trial{Failure: err.Error(), Took: e.Now().Sub(began)}
	}
	config.Timeouts = shortened(config.Timeouts)
	looking, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	found, err := e.addresses(looking, relay)
	if err != nil {
		return Trial{Failure: err.Error(), Took: e.Now().Sub(began)}
	}
	trial := Trial{Addresses: make([]AddressTrial, len(found))}
	var tries sync.WaitGroup
	for i, address := range found {
		tries.Go(func() { trial.Addresses[i] = e.tryAddress(ctx, target{address.String(), relay.Port}, config) })
	}
	tries.Wait()
	trial.Took = e.Now().Sub(began)
	return trial
}

// tryAddress is one address of a trial.
func (e *RelayExecutor) tryAddress(ctx context.Context, at target, config smtpclient.Config) AddressTrial {
	began := e.Now()
	trial := AddressTrial{Address: at.String()}
	security := config.TLS.Config.Clone()
	security.VerifyConnection = func(state tls.ConnectionState) error { // known too where what follows fails
		trial.TLS = traced(smtpclient.FactsOf(state))
		return nil
	}
	config.TLS.Config = security
	conn, fallback, err := dialAt(ctx, at, config)
	if fallback != nil {
		trial.Fallback, trial.TLS = fallback.Error(), nil
	}
	if err != nil {
		trial.Failure = err.Error()
	} else {
		trial.Greeting, trial.Offers = conn.Greeting(), conn.Offers()
		if config.Auth != nil { // else there would be no connection
			trial.User = config.Auth.User
		}
		conn.Close()
	}
	trial.Took = e.Now().Sub(began)
	return trial
}

// shortened are timeouts of which none is longer than a person waits.
func shortened(t smtpclient.Timeouts) smtpclient.Timeouts {
	for _, wait := range []*time.Duration{&t.Connect, &t.Handshake, &t.Greeting, &t.Command} {
		if *wait == 0 || *wait > trialTimeout {
			*wait = trialTimeout
		}
	}
	return t
}
