package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sluice/test/harness"
	"sluice/test/load/generate"
	"sluice/test/load/ledger"
	"sluice/test/load/sink"
)

const (
	manyRelays     = 4
	manyRecipients = 20
	refusedPrefix  = "fail-" // of recipients that do not exist
	manySessions   = 4       // that send messages to many recipients
	fewSessions    = 12      // that send to one
	// Messages that the next hop takes between two kills: few enough that retries and bounces are under way at each, and so many
	// that hardly any message runs at three of them and comes to rest as poison.
	leastBetween, mostBetween = 50, 150
)

// S28: killed again and again while messages are deferred, fail and come back, and while some are on their way to 20 recipients
// over 4 relays, the server's account is exact: each recipient of each message that it answered with 250 was delivered to or
// the sender was told that not; but for messages that were running, alone in the end, at three kills: they are held. Of all others
// there is nothing left.
func TestS28KilledWithBounces(t *testing.T) {
	kills := pick(6, 500)
	far := startSink(t, sink.Options{Behaviour: sink.Behaviour{Defer: 1.0 / 3, Fails: refusedPrefix}, Seed: 1})
	args := append([]string{"--config", bouncesBy(t, far.Addr())}, quickRetries...)
	server := harness.Start(t, args...)
	next := map[string]string{}
	for relay := range manyRelays {
		next[fmt.Sprintf("r%d.example", relay)] = far.Addr()
	}
	address := route(t, server, next)
	taken := startWatch(t, far)

	load := startLoad(t, address,
		generate.Options{Sessions: fewSessions, Prefix: "one", To: []string{"rcpt@r0.example"}},
		generate.Options{Sessions: 2, Prefix: "none", To: []string{refusedPrefix + "rcpt@r1.example"}},
		generate.Options{Sessions: manySessions, Prefix: "many", To: many()})
	permitted := 0
	for kill := range kills {
		if err := far.Await(within(t), far.Taken()+leastBetween+rand.IntN(mostBetween-leastBetween)); err != nil {
			t.Fatalf("before kill %d: %v", kill, err)
		}
		permitted += taken.recent() + manyRelays*running
		server.Kill(t)
		server = server.Restart(t, args...)
	}
	sent := load.end()
	rested(t, server)
	server.Stop(t)
	left := audit(t, server, far.Ledger)
	report := balanced(t, sent, far.Ledger)
	t.Logf("%d kills: %s", kills, report)
	repeated := len(report.Twice) + len(report.Repeated) + len(report.ToldMore)
	t.Logf("%d deliveries came more than once, %.1f a kill", repeated, float64(repeated)/float64(kills))
	if most := permitted * manyRecipients / manyRelays; repeated > most {
		t.Errorf("%d deliveries came more than once, want at most the %d that were running or just settled", repeated, most)
	}
	if report.Bounced < kills || report.Sent-report.Bounced < kills {
		t.Errorf("%d came back and %d arrived, too few for %d kills", report.Bounced, report.Sent-report.Bounced, kills)
	}
	if left > kills/10+3 {
		t.Errorf("%d messages are held, too many to have been running alone at %d kills", left, kills)
	}
}

// bouncesBy writes a configuration by which senders are told over a next hop.
func bouncesBy(t *testing.T, address string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "sluice.toml")
	must(t, os.WriteFile(file, fmt.Appendf(nil, "[bounces]\nroute = %q\nalways = true\n", address), 0o600))
	return file
}

// many are recipients over all relays, one of each of which fails.
func many() (to []string) {
	for n := range manyRecipients {
		local := fmt.Sprintf("rcpt%d", n)
		if n/manyRelays == 1 {
			local = refusedPrefix + local
		}
		to = append(to, fmt.Sprintf("%s@r%d.example", local, n%manyRelays))
	}
	return to
}

// runs are generators that send until they are told to end.
type runs struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	ledger *ledger.Ledger
}

// startLoad starts a generator for each of the options, which differ in their prefixes.
func startLoad(t *testing.T, address string, options ...generate.Options) *runs {
	ctx, cancel := context.WithCancel(within(t))
	r := &runs{cancel: cancel, ledger: ledger.New()}
	for _, o := range options {
		o.Messages, o.Persist, o.PerConnection, o.Size = endless, patience, 20, 2000
		r.all.Go(func() {
			result, err := generate.Run(ctx, address, o)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("generate: %v", err)
			}
			t.Log(strings.TrimSpace(o.Prefix + ": " + result.String()))
			r.ledger.Merge(result.Ledger)
		})
	}
	t.Cleanup(func() { r.end() })
	return r
}

// endless is more messages than a test sends.
const endless = 1 << 40

// end stops the generators and returns what they sent.
func (r *runs) end() *ledger.Ledger {
	r.cancel()
	r.all.Wait()
	return r.ledger
}
