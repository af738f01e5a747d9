package soak

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	mm "github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/smithy-go"

	"net/http"

	"sluice/test/harness"
)

// fleet is writers that share a server. A writer whose call has no answer waits until the server is back, and makes the same
// call again, with the same token.
type fleet struct {
	t       *testing.T
	ctx     context.Context
	writers int
	calls   atomic.Int64 // that were answered
	stop    atomic.Bool

	mu     sync.Mutex
	api    *mm.Client
	back   chan struct{} // closed when the next client is there
	parked chan struct{} // receives one from each writer that waits for it
}

func newFleet(t *testing.T, server *harness.Server, writers int) *fleet {
	return &fleet{t: t, ctx: within(t), writers: writers, api: manyCalls(server, writers, 1), back: make(chan struct{}), parked: make(chan struct{}, 2*writers)}
}

// manyCalls is a client that keeps a connection for each of many callers, and makes so many attempts at a call.
func manyCalls(server *harness.Server, callers, attempts int) *mm.Client {
	options := server.MailManager().Options()
	options.RetryMaxAttempts = attempts
	options.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(transport *http.Transport) {
		transport.MaxIdleConnsPerHost, transport.MaxIdleConns = callers, callers
	})
	return mm.New(options)
}

func (f *fleet) client() (*mm.Client, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.api, f.back
}

// park waits until every writer waits. A test that has failed ends here.
func (f *fleet) park() {
	f.t.Helper()
	for range f.writers {
		select {
		case <-f.parked:
		case <-f.ctx.Done():
			f.t.Fatal("a writer neither waits nor ends")
		}
		if f.t.Failed() {
			f.t.FailNow()
		}
	}
}

// resume lets the writers go on with another server.
func (f *fleet) resume(server *harness.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.api = manyCalls(server, f.writers, 1)
	close(f.back)
	f.back = make(chan struct{})
}

// run starts every writer and returns what waits for all of them to have stopped. A writer whose test has failed waits for
// nothing any more.
func (f *fleet) run(write func(n int)) (wait func()) {
	var all sync.WaitGroup
	for n := range f.writers {
		all.Go(func() {
			for !f.stop.Load() && !f.t.Failed() {
				write(n)
			}
			if f.t.Failed() {
				f.parked <- struct{}{}
			}
		})
	}
	return all.Wait
}

// do makes a call until it is answered, and returns the code of an error of the API. An error of the server's own fails the
// test.
func (f *fleet) do(call func(ctx context.Context, api *mm.Client) error) (code string) {
	for {
		api, back := f.client()
		err := call(f.ctx, api)
		var refused smithy.APIError
		var answered *awshttp.ResponseError
		switch {
		case err == nil:
			f.calls.Add(1)
			return ""
		case errors.As(err, &answered) && answered.HTTPStatusCode() >= http.StatusInternalServerError:
			f.t.Errorf("an error of the server: %v", err)
			return answered.Error()
		case errors.As(err, &refused):
			f.calls.Add(1)
			return refused.ErrorCode()
		case answered != nil && answered.HTTPStatusCode() == http.StatusOK:
			continue // the SDK has closed the connection under the answer, as it does when it is quick and large
		}
		f.parked <- struct{}{}
		select {
		case <-back:
		case <-f.ctx.Done(): // the test has failed, or waited too long
			return err.Error()
		}
	}
}

// want fails the test unless a call was answered as it should be.
func (f *fleet) want(what, got, want string) bool {
	if got != want {
		f.t.Errorf("%s: got %q, want %q", what, got, want)
	}
	return got == want
}

// get reads a relay; nil: it is not there.
func (f *fleet) get(id string) (relay *mm.GetRelayOutput) {
	code := f.do(func(ctx context.Context, api *mm.Client) (err error) {
		relay, err = api.GetRelay(ctx, &mm.GetRelayInput{RelayId: aws.String(id)})
		return err
	})
	if code != "" {
		return nil
	}
	return relay
}
