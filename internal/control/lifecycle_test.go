package control_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

const (
	provisioning   = mailmanager.IngressPointStatusProvisioning
	deprovisioning = mailmanager.IngressPointStatusDeprovisioning
	updating       = mailmanager.IngressPointStatusUpdating
	active         = mailmanager.IngressPointStatusActive
	closed         = mailmanager.IngressPointStatusClosed
	failed         = mailmanager.IngressPointStatusFailed
)

// hold makes the sockets wait until the returned function lets one call go on.
func (p *plane) hold() (proceed func()) {
	gate := make(chan struct{})
	p.sockets.set(func(s *sockets) { s.gate = gate })
	return func() {
		gate <- struct{}{}
		p.Quiet()
	}
}

func (p *plane) update(id string, change func(*mailmanager.UpdateIngressPointRequest)) error {
	p.Helper()
	in := &mailmanager.UpdateIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)}
	change(in)
	_, err := p.call(home, "UpdateIngressPoint", in)
	return err
}

func (p *plane) setStatus(id string, status mailmanager.IngressPointStatusToUpdate) error {
	p.Helper()
	return p.update(id, func(in *mailmanager.UpdateIngressPointRequest) { in.StatusToUpdate = &status })
}

func (p *plane) rename(id, name string) error {
	p.Helper()
	return p.update(id, func(in *mailmanager.UpdateIngressPointRequest) {
		in.IngressPointName = (*mailmanager.IngressPointName)(&name)
	})
}

func (p *plane) deletePoint(id string) error {
	p.Helper()
	_, err := p.call(home, "DeleteIngressPoint", &mailmanager.DeleteIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)})
	return err
}

// Mail Manager, A19 to A21: every state is passed through, and nothing is changed on the way.
func TestNoStateIsSkipped(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A19", "A20", "A21")
	p := newPlane(t)
	in := p.pointRequest("front")
	proceed := p.hold()
	id := string(*do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", in).IngressPointId)
	key := control.Key{Scope: home, ID: id}
	p.wantStatus(id, provisioning)
	if p.getPoint(id).ARecord != nil {
		t.Error("the host name is shown before the point is ACTIVE")
	}
	wantCode(t, p.rename(id, "other"), mailmanager.CodeConflict, "PROVISIONING")
	wantCode(t, p.deletePoint(id), mailmanager.CodeConflict, "PROVISIONING")
	proceed()
	p.wantStatus(id, active)

	if err := p.setStatus(id, mailmanager.IngressPointStatusToUpdateClosed); err != nil {
		t.Fatal(err)
	}
	p.wantStatus(id, updating)
	if point, _ := p.IngressPoint(key); point.Serving {
		t.Error("a point that is being closed serves new sessions after the call answered")
	}
	wantCode(t, p.rename(id, "other"), mailmanager.CodeConflict, "UPDATING")
	wantCode(t, p.deletePoint(id), mailmanager.CodeConflict, "UPDATING")
	proceed()
	p.wantStatus(id, closed)

	if err := p.rename(id, "other"); err != nil {
		t.Fatal(err)
	}
	if point, _ := p.IngressPoint(key); point.Serving || point.Name != "other" {
		t.Errorf("a closed point that is renamed: got serving %v, name %s", point.Serving, point.Name)
	}
	proceed()
	p.wantStatus(id, closed)

	if err := p.setStatus(id, mailmanager.IngressPointStatusToUpdateActive); err != nil {
		t.Fatal(err)
	}
	if point, _ := p.IngressPoint(key); !point.Serving {
		t.Error("a point that is being opened does not serve after the call answered")
	}
	proceed()
	p.wantStatus(id, active)

	if err := errors.Join(p.deletePoint(id), p.deletePoint(id)); err != nil {
		t.Fatal(err)
	}
	p.wantStatus(id, deprovisioning)
	wantCode(t, p.refused(home, "DeleteRuleSet", &mailmanager.DeleteRuleSetRequest{RuleSetId: in.RuleSetId}), mailmanager.CodeConflict, "in use")
	wantCode(t, p.refused(home, "DeleteTrafficPolicy", &mailmanager.DeleteTrafficPolicyRequest{TrafficPolicyId: in.TrafficPolicyId}), mailmanager.CodeConflict, "in use")
	wantCode(t, p.rename(id, "other"), mailmanager.CodeConflict, "DEPROVISIONING")
	close(p.sockets.gate)
	p.Quiet()
	wantCode(t, p.refused(home, "GetIngressPoint", &mailmanager.GetIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)}), mailmanager.CodeResourceNotFound)
	if _, ok := p.IngressPoint(key); ok || p.sockets.isOpen(key) {
		t.Error("a point that is gone is in the snapshot, or its sockets are open")
	}
	do[mailmanager.DeleteRuleSetResponse](p, "DeleteRuleSet", &mailmanager.DeleteRuleSetRequest{RuleSetId: in.RuleSetId})
	do[mailmanager.DeleteTrafficPolicyResponse](p, "DeleteTrafficPolicy", &mailmanager.DeleteTrafficPolicyRequest{TrafficPolicyId: in.TrafficPolicyId})
}

func TestUpdateIngressPoint(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A5")
	p := newPlane(t)
	id := p.point("front")
	rules, gate := p.ruleSet("new-rules"), p.policy("new-policy")
	p.clock.advance(time.Minute)
	err := p.update(id, func(in *mailmanager.UpdateIngressPointRequest) {
		in.RuleSetId, in.TrafficPolicyId = (*mailmanager.RuleSetId)(&rules), (*mailmanager.TrafficPolicyId)(&gate)
	})
	if err != nil {
		t.Fatal(err)
	}
	point, _ := p.IngressPoint(control.Key{Scope: home, ID: id})
	if point.RuleSetID != rules || point.PolicyID != gate || point.Name != "front" || !point.Serving {
		t.Errorf("the snapshot: got %+v", point)
	}
	p.Quiet()
	got := p.getPoint(id)
	if string(*got.RuleSetId) != rules || string(*got.TrafficPolicyId) != gate || *got.Status != active || !got.LastUpdatedTimestamp.After(*got.CreatedTimestamp) {
		t.Errorf("got %s", text(t, got))
	}
	wantCode(t, p.refused(home, "DeleteRuleSet", &mailmanager.DeleteRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&rules)}), mailmanager.CodeConflict)

	unknown := func(change func(*mailmanager.UpdateIngressPointRequest)) error { return p.update(id, change) }
	wantCode(t, unknown(func(in *mailmanager.UpdateIngressPointRequest) {
		in.RuleSetId = ptr(mailmanager.RuleSetId("rs-aaaaaaaaaaaaaaaaaaaaaaaa"))
	}),
		mailmanager.CodeResourceNotFound, "rs-aaaaaaaaaaaaaaaaaaaaaaaa") // Mail Manager, A5
	wantCode(t, unknown(func(in *mailmanager.UpdateIngressPointRequest) {
		in.TrafficPolicyId = ptr(mailmanager.TrafficPolicyId("tp"))
	}), mailmanager.CodeValidation)
	wantCode(t, unknown(func(in *mailmanager.UpdateIngressPointRequest) {
		in.IngressPointConfiguration = passwordConfiguration(password)
	}), mailmanager.CodeValidation, "OPEN")
	p.point("back")
	wantCode(t, p.rename(id, "back"), mailmanager.CodeConflict, "back")
	p.wantStatus(id, active) // a refused update changes nothing
}

// Mail Manager, A19.
func TestAnUnchangedStatusIsNoChange(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A19")
	p := newPlane(t)
	id := p.point("front")
	before := p.getPoint(id)
	p.clock.advance(time.Minute)
	p.hold()
	if err := p.setStatus(id, mailmanager.IngressPointStatusToUpdateActive); err != nil {
		t.Fatal(err)
	}
	after := p.getPoint(id)
	if *after.Status != active || !after.LastUpdatedTimestamp.Equal(*before.LastUpdatedTimestamp) {
		t.Errorf("got %s", text(t, after))
	}
	close(p.sockets.gate)
}

func TestFailedPointsAreTriedAgain(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A20", "B19")
	p := newPlane(t)
	retry := make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go p.Maintain(ctx, retry, nil)
	p.sockets.set(func(s *sockets) { s.failure = errors.New("port 2525 is in use") })
	id := p.point("front")
	got := p.getPoint(id)
	if *got.Status != failed || *got.StatusReason != "port 2525 is in use" || got.ARecord != nil || got.Listeners != nil {
		t.Errorf("got %s", text(t, got))
	}
	if !strings.Contains(p.log.String(), "port 2525 is in use") {
		t.Errorf("the log does not say why: %s", p.log)
	}
	wantCode(t, p.rename(id, "other"), mailmanager.CodeConflict, "FAILED") // Mail Manager, A20
	logged := len(p.log.String())
	tick := func() {
		retry <- time.Time{}
		retry <- time.Time{} // taken when the one before was served
		p.Quiet()
	}
	tick()
	p.wantStatus(id, failed)
	if now := p.log.String(); len(now) != logged {
		t.Errorf("the same failure was logged again: %s", now[logged:])
	}
	p.sockets.set(func(s *sockets) { s.failure = nil })
	tick()
	if got := p.getPoint(id); *got.Status != active || got.StatusReason != nil || got.ARecord == nil {
		t.Errorf("when it works again: got %s", text(t, got))
	}
	opens := p.sockets.opens
	tick()
	if p.sockets.opens != opens {
		t.Error("an ACTIVE point was tried again")
	}
}

func TestAFailedPointCanBeDeleted(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.sockets.set(func(s *sockets) { s.failure = errors.New("no") })
	id := p.point("front")
	if err := p.deletePoint(id); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	if _, ok := p.IngressPoint(control.Key{Scope: home, ID: id}); ok {
		t.Error("it is still there")
	}
}

func TestNothingIsOpenedBeforeStart(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.point("front")
	p.restart()
	if p.sockets.opens != 0 {
		t.Errorf("%d points were opened", p.sockets.opens)
	}
	other := string(*do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", p.pointRequest("back")).IngressPointId)
	p.wantStatus(other, provisioning)
	p.Start(t.Context())
	p.Quiet()
	p.wantStatus(id, active)
	p.wantStatus(other, active)
	if p.sockets.opens != 2 {
		t.Errorf("%d points were opened, want 2", p.sockets.opens)
	}
}

// A restart opens every point again, each at its own address, and ends what the last process had begun.
func TestRestartFinishesWhatWasBegun(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		begin func(p *plane, id string) error
		want  mailmanager.IngressPointStatus // empty: gone
	}{
		{"nothing", func(*plane, string) error { return nil }, active},
		{"closing", func(p *plane, id string) error { return p.setStatus(id, mailmanager.IngressPointStatusToUpdateClosed) }, closed},
		{"renaming", func(p *plane, id string) error { return p.rename(id, "other") }, active},
		{"deleting", func(p *plane, id string) error { return p.deletePoint(id) }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			id := p.point("front")
			key := control.Key{Scope: home, ID: id}
			before, _ := p.IngressPoint(key)
			p.restart() // not started: what is begun now stays begun
			if err := test.begin(p, id); err != nil {
				t.Fatal(err)
			}
			p.restart()
			p.Start(t.Context())
			p.Quiet()
			after, ok := p.IngressPoint(key)
			if test.want == "" {
				if ok {
					t.Errorf("got %+v, want none", after)
				}
				return
			}
			p.wantStatus(id, test.want)
			if !p.sockets.isOpen(key) || after.PoolAddress != before.PoolAddress || after.PoolAddress == "" || after.ARecord != before.ARecord {
				t.Errorf("got %+v, before %+v, open %v", after, before, p.sockets.isOpen(key))
			}
		})
	}
}

func TestAPointThatCannotBeOpenedAfterARestartFails(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.point("front")
	before, _ := p.IngressPoint(control.Key{Scope: home, ID: id})
	p.restart()
	p.sockets.set(func(s *sockets) { s.failure = errors.New("in use") })
	p.Start(t.Context())
	p.Quiet()
	got := p.getPoint(id)
	if *got.Status != failed || got.ARecord == nil {
		t.Errorf("got %s, want FAILED with the host name it had", text(t, got))
	}
	if after, _ := p.IngressPoint(control.Key{Scope: home, ID: id}); after.PoolAddress != before.PoolAddress {
		t.Errorf("got the address %s, want %s", after.PoolAddress, before.PoolAddress)
	}
}

func TestEverythingSurvivesARestart(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	relay, rules, gate, point := p.relay("relay"), p.ruleSet("rules"), p.policy("gate"), p.point("front")
	read := func() string {
		return text(t, []any{
			do[mailmanager.GetRelayResponse](p, "GetRelay", getRelay(relay)), getRuleSet(p, rules), getPolicy(p, gate), p.getPoint(point),
		})
	}
	before := read()
	p.restart()
	p.Start(t.Context())
	p.Quiet()
	if after := read(); after != before {
		t.Errorf("got %s, before %s", after, before)
	}
	_, hasRelay := p.Relay(home, relay)
	_, hasRules := p.RuleSet(control.Key{Scope: home, ID: rules})
	_, hasPolicy := p.Policy(control.Key{Scope: home, ID: gate})
	if !hasRelay || !hasRules || !hasPolicy {
		t.Errorf("the snapshot: got relay %v, rule set %v, policy %v", hasRelay, hasRules, hasPolicy)
	}
	points := 0
	for q := range p.Points() {
		points++
		if q.ID != point || q.Created.IsZero() {
			t.Errorf("got the point %+v", q)
		}
	}
	if points != 1 {
		t.Errorf("got %d points, want 1", points)
	}
}

func TestCloseWaitsForWhatRunsOnlyAsLongAsItMay(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.hold()
	do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", p.pointRequest("front"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	close(p.sockets.gate)
}
