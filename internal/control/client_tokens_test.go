package control_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

func withToken(in *mailmanager.CreateRelayRequest, token string) *mailmanager.CreateRelayRequest {
	in.ClientToken = (*mailmanager.IdempotencyToken)(&token)
	return in
}

// Mail Manager, A1.
func TestClientTokenReplaysTheResponse(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A1")
	p := newPlane(t)
	create := func(in *mailmanager.CreateRelayRequest) string {
		return string(*do[mailmanager.CreateRelayResponse](p, "CreateRelay", in).RelayId)
	}
	first := create(withToken(relayRequest("one"), "t1"))
	if again := create(withToken(relayRequest("one"), "t1")); again != first {
		t.Errorf("the same request: got %s, want %s", again, first)
	}
	other := withToken(relayRequest("one"), "t1")
	other.ServerPort = ptr(int32(25))
	wantCode(t, p.refused(home, "CreateRelay", other), mailmanager.CodeConflict, "client token")
	wantCode(t, p.refused(home, "CreateRelay", withToken(relayRequest("one"), "t2")), mailmanager.CodeConflict, "name")

	for _, scope := range []control.Scope{stranger, abroad} { // a token is an account's and region's own
		out, err := p.call(scope, "CreateRelay", withToken(relayRequest("one"), "t1"))
		if err != nil || string(*out.(*mailmanager.CreateRelayResponse).RelayId) == first {
			t.Errorf("%v: got %s, %v, want another relay", scope, text(t, out), err)
		}
	}
	set := ruleSetRequest("one")
	set.ClientToken = ptr(mailmanager.IdempotencyToken("t1")) // and an operation's own
	do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", set)

	do[mailmanager.DeleteRelayResponse](p, "DeleteRelay", &mailmanager.DeleteRelayRequest{RelayId: (*mailmanager.RelayId)(&first)})
	p.clock.advance(24*time.Hour - time.Second)
	if again := create(withToken(relayRequest("one"), "t1")); again != first {
		t.Errorf("within a day: got %s, want %s", again, first)
	}
	p.clock.advance(time.Second)
	if again := create(withToken(relayRequest("one"), "t1")); again == first {
		t.Error("after a day: the response was replayed still")
	}
}

// hasty is a store whose tokens are looked for before they are there: as often as it says.
type hasty struct {
	store.Store
	before int
}

func (h *hasty) Token(ctx context.Context, key store.TokenKey, now time.Time) (store.Token, error) {
	if h.before > 0 {
		h.before--
		return store.Token{}, store.ErrNotFound
	}
	return h.Store.Token(ctx, key, now)
}

// Mail Manager, A1: of two calls at once with one token the second is answered like the first, also when what the first has made is
// in its way.
func TestClientTokensAtOnce(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A1")
	p := newPlane(t)
	var db *hasty
	p.reopen(func(s store.Store) store.Store { db = &hasty{Store: s}; return db })
	in := p.pointRequest("one")
	in.Tags, in.ClientToken = tags("sluice:listener", "mx", "sluice:default", "true"), ptr(mailmanager.IdempotencyToken("t"))
	first := do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", in)
	db.before = 1
	if again := do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", in); *again.IngressPointId != *first.IngressPointId {
		t.Errorf("got %s, then %s", *first.IngressPointId, *again.IngressPointId)
	}
	db.before = 1
	in.ClientToken = ptr(mailmanager.IdempotencyToken("another"))
	wantCode(t, p.refused(home, "CreateIngressPoint", in), mailmanager.CodeConflict, "default")
}

// Mail Manager, A1, for archives and add-ons: the response is replayed, also once a call with another token would be refused.
func TestClientTokensOfArchivesAndAddons(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus, vade))
	token := ptr(mailmanager.IdempotencyToken("t"))
	archive, other := archiveRequest("mail"), archiveRequest("post")
	archive.ClientToken, other.ClientToken = token, token
	subscription, otherAddon := subscriptionRequest(spamhaus), subscriptionRequest(vade)
	subscription.ClientToken, otherAddon.ClientToken = token, token
	instance, otherInstance := instanceRequest(p.subscription(vade)), instanceRequest("as-aaaaaaaaaaaaaaaaaaaaaaaa")
	instance.ClientToken, otherInstance.ClientToken = token, token
	for _, test := range []struct {
		operation   string
		same, other any
	}{{"CreateArchive", archive, other}, {"CreateAddonSubscription", subscription, otherAddon}, {"CreateAddonInstance", instance, otherInstance}} {
		first, err := p.call(home, test.operation, test.same)
		if err != nil {
			t.Fatal(err)
		}
		p.restart()
		again, err := p.call(home, test.operation, test.same)
		if err != nil || text(t, again) != text(t, first) {
			t.Errorf("%s again: got %s, %v, want %s", test.operation, text(t, again), err, text(t, first))
		}
		wantCode(t, p.refused(home, test.operation, test.other), mailmanager.CodeConflict, "client token")
	}
}

func TestAFailedCallLeavesItsTokenFree(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.relay("taken")
	wantCode(t, p.refused(home, "CreateRelay", withToken(relayRequest("taken"), "t")), mailmanager.CodeConflict, "name")
	do[mailmanager.CreateRelayResponse](p, "CreateRelay", withToken(relayRequest("free"), "t"))
}

func TestConcurrentCallsWithOneTokenHaveOneResult(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A1")
	p := newPlane(t)
	const callers = 16
	ids := make([]string, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			out, err := p.call(home, "CreateRelay", withToken(relayRequest("one"), "t"))
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = string(*out.(*mailmanager.CreateRelayResponse).RelayId)
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("got %v, want one id", ids)
		}
	}
	if list := do[mailmanager.ListRelaysResponse](p, "ListRelays", &mailmanager.ListRelaysRequest{}); len(list.Relays) != 1 {
		t.Errorf("got %d relays, want 1", len(list.Relays))
	}
}

func TestConcurrentCallsWithOneTokenAndOtherRequestsConflict(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A1")
	p := newPlane(t)
	const callers = 8
	var mu sync.Mutex
	made := 0
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			in := withToken(relayRequest("relay"), "t")
			in.ServerPort = ptr(int32(i + 1))
			if _, err := p.call(home, "CreateRelay", in); err != nil {
				wantCode(t, err, mailmanager.CodeConflict, "client token")
				return
			}
			mu.Lock()
			defer mu.Unlock()
			made++
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("%d calls made something, want 1", made)
	}
}

func TestTokensSurviveARestart(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A1")
	p := newPlane(t)
	first := do[mailmanager.CreateRelayResponse](p, "CreateRelay", withToken(relayRequest("one"), "t"))
	p.restart()
	again := do[mailmanager.CreateRelayResponse](p, "CreateRelay", withToken(relayRequest("one"), "t"))
	if *again.RelayId != *first.RelayId {
		t.Errorf("got %s, want %s", *again.RelayId, *first.RelayId)
	}
}
