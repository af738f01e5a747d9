package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	mm "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
	"golang.org/x/sync/errgroup"

	"sluice/test/harness"
	"sluice/test/load/generate"
)

// How long 99 of 100 calls may take at most, with 100,000 relays stored.
const (
	callRate     = 200 // a second
	boundOfGet   = 5 * time.Millisecond
	boundOfWrite = 50 * time.Millisecond
)

// TestLatencyOfCalls stores many relays and then makes calls at a steady rate, whatever became of those before: GetRelay, and
// then CreateRelay. A call's time runs from when it was due. The bounds hold for the long form, on a machine with nothing else
// to do.
func TestLatencyOfCalls(t *testing.T) {
	stored, calls := pick(200, 100_000), pick(1, 60)*callRate
	config := filepath.Join(t.TempDir(), "sluice.toml")
	must(t, os.WriteFile(config, []byte("[limits]\nrelays = 1000000\n"), 0o600))
	server := harness.Start(t, "--log-level", "error", "--config", config)
	api := manyCalls(server, callRate, 3)
	ids := store(t, api, stored)

	get := steadily(t, calls, func(ctx context.Context, _ int) error {
		_, err := api.GetRelay(ctx, &mm.GetRelayInput{RelayId: aws.String(ids[rand.IntN(len(ids))])})
		return err
	})
	create := steadily(t, calls, func(ctx context.Context, n int) error {
		_, err := newRelay(ctx, api, fmt.Sprint("timed-", n))
		return err
	})
	t.Logf("with %d relays, %d calls a second: half of GetRelay within %s, 99 %% within %s; half of CreateRelay within %s, 99 %% within %s",
		stored, callRate, get.Percentile(50), get.Percentile(99), create.Percentile(50), create.Percentile(99))
	if pick(0, 1) == 1 && (get.Percentile(99) > boundOfGet || create.Percentile(99) > boundOfWrite) {
		t.Errorf("want 99 %% within %s and %s", boundOfGet, boundOfWrite)
	}
}

// store makes relays, many at once.
func store(t *testing.T, api *mm.Client, n int) []string {
	t.Helper()
	ids := make([]string, n)
	group, ctx := errgroup.WithContext(within(t))
	group.SetLimit(64)
	for i := range n {
		group.Go(func() (err error) {
			ids[i], err = newRelay(ctx, api, fmt.Sprint("stored-", i))
			return err
		})
	}
	must(t, group.Wait())
	return ids
}

func newRelay(ctx context.Context, api *mm.Client, name string) (id string, err error) {
	output, err := api.CreateRelay(ctx, &mm.CreateRelayInput{
		RelayName: aws.String(name), ServerName: aws.String("relay.example.com"), ServerPort: aws.Int32(25),
		Authentication: &types.RelayAuthenticationMemberNoAuthentication{},
	})
	if err != nil {
		return "", err
	}
	return *output.RelayId, nil
}

// steadily makes calls, each when it is due.
func steadily(t *testing.T, n int, call func(ctx context.Context, n int) error) generate.Result {
	t.Helper()
	ctx := within(t)
	took := make([]time.Duration, n)
	var calls sync.WaitGroup
	begun := time.Now()
	for i := range n {
		due := begun.Add(time.Duration(i) * time.Second / callRate)
		<-time.After(time.Until(due))
		calls.Go(func() {
			if err := call(ctx, i); err != nil {
				t.Error(err)
			}
			took[i] = time.Since(due)
		})
	}
	calls.Wait()
	slices.Sort(took)
	return generate.Result{Latencies: took}
}
