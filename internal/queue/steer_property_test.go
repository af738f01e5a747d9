package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/spool"
	"sluice/internal/spool/memory"
)

// operator steers a world at random and remembers what it discarded and bounced.
type operator struct {
	*world
	random  *rand.Rand
	dropped map[string]int // DONE
	unknown map[string]int // what was not said of
}

var operatorActs = [...]Order{
	{Act: ActHold}, {Act: ActHold}, {Act: ActRelease}, {Act: ActRelease}, {Act: ActRetry}, {Act: ActDiscard}, {Act: ActBounce},
	{Act: ActReroute, RuleSetID: "rs", RuleSet: spool.Hash{1}}, {Act: ActReroute, Relay: relayLane},
}

// steer gives one order to one queue, to some of what is there.
func (o *operator) steer(t *testing.T, q *Queue) {
	order := operatorActs[o.random.IntN(len(operatorActs))]
	s := everything
	s.Lane = []string{"", "", "held", "process", string(relayLane)}[o.random.IntN(5)]
	n := 1 + o.random.IntN(20)
	if order.Act == ActDiscard || order.Act == ActBounce {
		n = 1
	}
	done, _, err := q.Steer(context.Background(), &order, &s, Position{}, n)
	if err != nil {
		t.Errorf("%s: %v", order.Act, err)
	}
	for _, d := range done {
		if order.Act != ActDiscard && order.Act != ActBounce {
			continue
		}
		for _, r := range d.Recipients {
			switch d.Outcome {
			case SteerDone:
				o.dropped[r.Path.Received]++
			case SteerFailed:
				o.unknown[r.Path.Received]++
			}
		}
	}
}

// TestNoRecipientIsLostBySteering lets operators of several owners steer at random what the owners work on. Each recipient
// ends delivered, held, queued, discarded or bounced, and once; only where leases are lost may it end twice.
func TestNoRecipientIsLostBySteering(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.Uint64().Draw(rt, "seed")
		lose := rapid.SampledFrom([]float64{0, 0, 0.05}).Draw(rt, "leases lost")
		messages := rapid.IntRange(1, 60).Draw(rt, "messages")
		synctest.Test(t, func(t *testing.T) {
			budget := spool.NewBudget(0)
			x := &world{
				random: rand.New(rand.NewPCG(seed, 1)), spool: memory.New(memory.Config{Budget: budget, Lose: lose, Seed: seed}), lose: lose > 0,
				running: map[spool.ItemKey]string{}, settled: map[string]int{},
			}
			o := &operator{world: x, random: rand.New(rand.NewPCG(seed, 2)), dropped: map[string]int{}, unknown: map[string]int{}}
			o.live(t, messages)
			if used := budget.Used(); used != 0 {
				t.Errorf("%d octets of content were not released", used)
			}
			for _, wrong := range x.wrong {
				t.Error(wrong)
			}
		})
		if t.Failed() {
			rt.FailNow()
		}
	})
}

// live runs three queues, gives orders while messages come in and for a while after, and judges what became of every recipient.
func (o *operator) live(t *testing.T, messages int) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	var queues []*Queue
	for i := range 3 {
		q := o.queue(ctx, &group, fmt.Sprintf("owner %d", i))
		q.cfg.Bounce = func(_ context.Context, _ *spool.Message, item *spool.Item) error { item.Lane = ""; return nil }
		queues = append(queues, q)
	}
	synctest.Wait()
	var accepted []string
	for i := range 2 * messages {
		if i < messages {
			var to []string
			for j := range 1 + i%5 {
				to = append(to, fmt.Sprintf("%d-%d@example.com", i, j))
			}
			accepted = append(accepted, to...)
			o.acceptFor(t, queues[i%3], to)
		}
		o.steer(t, queues[o.random.IntN(3)])
		time.Sleep(time.Duration(o.random.IntN(500)) * time.Millisecond)
	}
	time.Sleep(10 * time.Minute)
	cancel()
	group.Wait()
	for _, q := range queues {
		checkTidy(t, q)
	}
	o.judge(t, accepted)
}

func (o *operator) judge(t *testing.T, accepted []string) {
	left := o.left(t)
	for _, to := range accepted {
		n := left[to] + o.settled[to] + o.dropped[to]
		if (n == 0 && o.unknown[to] == 0) || (n > 1 && !o.lose) || left[to] > 1 {
			t.Errorf("%s was delivered %d times, dropped %d times (%d not known), and is in %d items", to, o.settled[to], o.dropped[to], o.unknown[to], left[to])
		}
	}
}
