package control_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

// notThere are the operations of the API that are answered as not there yet.
var notThere = []string{
	// Those of what an archive holds come with the archive itself.
	"GetArchiveExport", "GetArchiveMessage", "GetArchiveMessageContent", "GetArchiveSearch", "GetArchiveSearchResults",
	"ListArchiveExports", "ListArchiveSearches", "StartArchiveExport", "StartArchiveSearch", "StopArchiveExport", "StopArchiveSearch",
}

func TestOperationsThatAreThere(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	caller := awsapi.Caller{Account: home.Account, Region: home.Region}
	for i, op := range append(append([]mailmanager.Operation{}, mailmanager.Operations()...), secretsmanager.Operations()...) {
		handler := awsapi.Handler(p.Control)
		if i >= len(mailmanager.Operations()) {
			handler = p.Secrets()
		}
		_, err := handler.Handle(t.Context(), caller, &op, nil) // refused by type when it is there
		if err == nil {
			t.Errorf("%s took an input of another type", op.Name)
			continue
		}
		isUnknown := strings.Contains(err.Error(), string(mailmanager.CodeUnknownOperation))
		if want := slices.Contains(notThere, op.Name); isUnknown != want {
			t.Errorf("%s: got %v, want it not there: %v", op.Name, err, want)
		}
		if isUnknown {
			wantCode(t, err, mailmanager.CodeUnknownOperation, op.Name)
		}
	}
}

// A resource that cannot be read keeps nothing else from being served.
func TestOpenLeavesOutWhatCannotBeUsed(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	good, bad := p.relay("good"), p.relay("bad")
	r, err := p.config.Store.Get(t.Context(), store.Key{Scope: home, Kind: "relay", ID: bad})
	if err != nil {
		t.Fatal(err)
	}
	r.Body = []byte("{")
	if err := p.config.Store.Update(t.Context(), store.Change{Resource: r}); err != nil {
		t.Fatal(err)
	}
	p.restart()
	_, hasGood := p.Relay(home, good)
	_, hasBad := p.Relay(home, bad)
	if !hasGood || hasBad {
		t.Errorf("got the good one %v, the bad one %v", hasGood, hasBad)
	}
	if log := p.log.String(); !strings.Contains(log, bad) {
		t.Errorf("the log does not name it: %s", log)
	}
	err = p.refused(home, "GetRelay", getRelay(bad))
	if strings.Contains(err.Error(), string(mailmanager.CodeResourceNotFound)) {
		t.Errorf("got %v, want an internal error", err)
	}
}

// lateStore begins another change of the same resource after an update is stored and before it is visible.
type lateStore struct {
	store.Store
	another func()
	between atomic.Bool // an update is stored and not visible yet
	overlap atomic.Bool // a resource was read in between
	began   atomic.Bool
}

func (s *lateStore) Get(ctx context.Context, key store.Key) (store.Resource, error) {
	if s.between.Load() {
		s.overlap.Store(true)
	}
	return s.Store.Get(ctx, key)
}

func (s *lateStore) Update(ctx context.Context, c store.Change) error {
	err := s.Store.Update(ctx, c)
	if s.began.CompareAndSwap(false, true) {
		s.between.Store(true)
		go s.another()
		for range 10_000 { // time enough for the other change to get through, if anything lets it
			runtime.Gosched()
		}
		s.between.Store(false)
	}
	return err
}

// Changes of one resource that come at once become visible in the order in which they are stored.
func TestSnapshotFollowsTheStore(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.relay("busy")
	var late *lateStore
	p.reopen(func(s store.Store) store.Store { late = &lateStore{Store: s}; return late })
	setPort := func(port int32) {
		if _, err := p.call(home, "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: (*mailmanager.RelayId)(&id), ServerPort: &port}); err != nil {
			t.Error(err)
		}
	}
	done := make(chan struct{})
	late.another = func() {
		setPort(2)
		close(done)
	}
	setPort(1)
	<-done
	if late.overlap.Load() {
		t.Error("a change began before the one before it was visible")
	}
	if seen, _ := p.Relay(home, id); seen.Port != 2 {
		t.Errorf("the snapshot has port %d, the store 2", seen.Port)
	}
}

// A change that comes while the sockets are being opened is not lost, and the point is not ACTIVE before it is made.
func TestAChangeWhileOpening(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	gate := make(chan struct{})
	p.sockets.set(func(s *sockets) { s.gate = gate })
	id := string(*do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", p.pointRequest("front")).IngressPointId)
	for !p.sockets.entered(control.Key{Scope: home, ID: id}) {
	}
	if err := p.tag(arnOf("mailmanager-ingress-point/"+id), "sluice:listener", "mx"); err != nil {
		t.Fatal(err)
	}
	close(gate)
	p.Quiet()
	if diff := cmp.Diff([]string{"mx"}, p.getPoint(id).Listeners); diff != "" {
		t.Errorf("as bound (-want +got):\n%s", diff)
	}
	p.wantStatus(id, active)
	if diff := cmp.Diff([]mailmanager.IngressPointStatus{provisioning, provisioning}, p.sockets.seen); diff != "" {
		t.Errorf("states when it was opened (-want +got):\n%s", diff)
	}
}
