package admin

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/action"
	"sluice/internal/admin/client"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/trace"
)

func (s *server) Relay(scope control.Scope, id string) (*control.Relay, bool) {
	if s.relay == nil || s.relay.Scope != scope || s.relay.ID != id {
		return nil, false
	}
	return s.relay, true
}

func (s *server) Try(context.Context, *control.Relay) action.Trial { return s.trial }

func TestTestRelay(t *testing.T) {
	t.Parallel()
	relay := &control.Relay{Key: control.Key{Scope: home, ID: "r-1"}, Name: "out", Server: "mx.example.net", Port: 25}
	facts := &trace.TLS{Version: "TLSv1.3", Cipher: "c", Verified: true, Peer: "mx.example.net"}
	s := &server{relay: relay, trial: action.Trial{Took: time.Second, Addresses: []action.AddressTrial{
		{Address: "192.0.2.1:25", Failure: "connection refused", Took: 1},
		{Address: "192.0.2.2:25", Greeting: "220 hi", Offers: []string{"DSN"}, TLS: facts, User: "u", Took: 2},
		{Address: "192.0.2.3:25", Fallback: "TLS handshake: no", Took: 3},
	}}}
	got, err := call(t, s, "TestRelay", `{"Id":"r-1"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := client.TestRelayOutput{Id: "r-1", Name: "out", Server: "mx.example.net", Port: 25, Took: time.Second, Addresses: []client.RelayAddress{
		{Address: "192.0.2.1:25", Failure: "connection refused", Took: 1},
		{Address: "192.0.2.2:25", Greeting: "220 hi", Offers: []string{"DSN"}, TLS: facts, User: "u", Took: 2},
		{Address: "192.0.2.3:25", Fallback: "TLS handshake: no", Took: 3},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !want.Works() || (&client.TestRelayOutput{Addresses: want.Addresses[:1]}).Works() || (&client.TestRelayOutput{}).Works() {
		t.Error("a relay works if and only if one of its addresses does")
	}
}

// A28: a relay of another account or region is not there.
func TestTestRelayIsForTheCallersOwn(t *testing.T) {
	t.Parallel()
	for name, relay := range map[string]*control.Relay{
		"none":              nil,
		"of another region": {Key: control.Key{Scope: control.Scope{Account: home.Account, Region: "eu-central-1"}, ID: "r-1"}},
		"of somebody else":  {Key: control.Key{Scope: control.Scope{Account: "111111111111", Region: home.Region}, ID: "r-1"}},
	} {
		_, err := call(t, &server{relay: relay}, "TestRelay", `{"Id":"r-1"}`)
		var refused *mailmanager.Error
		if !errors.As(err, &refused) || refused.Code != mailmanager.CodeResourceNotFound {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
