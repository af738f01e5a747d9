package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/awsapi"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/store"
)

func arnOf(resource string) *mailmanager.TaggableResourceArn {
	return ptr(mailmanager.TaggableResourceArn("arn:aws:ses:eu-west-1:111111111111:" + resource))
}

func (p *plane) tag(arn *mailmanager.TaggableResourceArn, pairs ...string) error {
	p.Helper()
	_, err := p.call(home, "TagResource", &mailmanager.TagResourceRequest{ResourceArn: arn, Tags: tags(pairs...)})
	return err
}

func (p *plane) untag(arn *mailmanager.TaggableResourceArn, keys ...mailmanager.TagKey) error {
	p.Helper()
	_, err := p.call(home, "UntagResource", &mailmanager.UntagResourceRequest{ResourceArn: arn, TagKeys: keys})
	return err
}

func (p *plane) tagsOf(arn *mailmanager.TaggableResourceArn) []mailmanager.Tag {
	p.Helper()
	return do[mailmanager.ListTagsForResourceResponse](p, "ListTagsForResource", &mailmanager.ListTagsForResourceRequest{ResourceArn: arn}).Tags
}

func TestTagsOfEveryKind(t *testing.T) {
	t.Parallel()
	p := newPlane(t, analyzers(spamhaus, vade))
	relay := relayRequest("relay")
	relay.Tags = tags("b", "1", "alchemy::id", "x")
	for _, arn := range []*mailmanager.TaggableResourceArn{
		arnOf("mailmanager-smtp-relay/" + string(*do[mailmanager.CreateRelayResponse](p, "CreateRelay", relay).RelayId)),
		arnOf("mailmanager-rule-set/" + p.ruleSet("rules")),
		arnOf("mailmanager-traffic-policy/" + p.policy("gate")),
		arnOf("mailmanager-ingress-point/" + p.point("front")),
		arnOf("mailmanager-archive/" + p.archive("mail")),
		arnOf("addon-subscription/" + p.subscription(vade)),
		arnOf("addon-instance/" + p.instance(spamhaus)),
	} {
		t.Run(string(*arn), func(t *testing.T) {
			if err := p.tag(arn, "b", "2", "alchemy::id", "", "c", "3"); err != nil {
				t.Fatal(err)
			}
			want := tags("alchemy::id", "", "b", "2", "c", "3")
			if diff := cmp.Diff(want, p.tagsOf(arn)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := p.untag(arn, "b", "absent", "alchemy::id"); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tags("c", "3"), p.tagsOf(arn)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTagRefusals(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A17")
	p := newPlane(t)
	relay := arnOf("mailmanager-smtp-relay/" + p.relay("relay"))
	point := arnOf("mailmanager-ingress-point/" + p.point("front"))
	many := make([]string, 0, 102)
	for i := range 51 {
		many = append(many, fmt.Sprint("key-", i), "v")
	}
	tests := []struct {
		name  string
		arn   *mailmanager.TaggableResourceArn
		pairs []string
		want  mailmanager.Code
	}{
		{"a key of AWS's (A17)", relay, []string{"aws:x", "1"}, mailmanager.CodeValidation},
		{"a key of AWS's in capitals", relay, []string{"AWS:x", "1"}, mailmanager.CodeValidation},
		{"a key twice", relay, []string{"a", "1", "a", "2"}, mailmanager.CodeValidation},
		{"51 tags (A17)", relay, many, mailmanager.CodeServiceQuotaExceeded},
		{"50 tags on one that has one", relay, many[:100], mailmanager.CodeServiceQuotaExceeded},
		{"an unknown listener", point, []string{"sluice:listener", "nowhere"}, mailmanager.CodeValidation},
		{"a malformed default", point, []string{"sluice:default", "1"}, mailmanager.CodeValidation},
		{"an unknown resource", arnOf("mailmanager-smtp-relay/r-aaaaaaaaaaaaaaaaaaaaaaaa"), []string{"a", "1"}, mailmanager.CodeResourceNotFound},
		{"a malformed id", arnOf("mailmanager-smtp-relay/1"), []string{"a", "1"}, mailmanager.CodeResourceNotFound},
		{"an unknown archive", arnOf("mailmanager-archive/a-aaaaaaaaaaaaaaaaaaaaaaaa"), []string{"a", "1"}, mailmanager.CodeResourceNotFound},
	}
	if err := p.tag(relay, "own", "1"); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			wantCode(t, p.tag(test.arn, test.pairs...), test.want)
		})
	}
	if diff := cmp.Diff(tags("own", "1"), p.tagsOf(relay)); diff != "" {
		t.Errorf("after refusals (-want +got):\n%s", diff)
	}
	gone := arnOf("mailmanager-rule-set/rs-aaaaaaaaaaaaaaaaaaaaaaaa")
	wantCode(t, p.untag(gone, "a"), mailmanager.CodeResourceNotFound)
	wantCode(t, p.refused(home, "ListTagsForResource", &mailmanager.ListTagsForResourceRequest{ResourceArn: gone}), mailmanager.CodeResourceNotFound)
	in := relayRequest("another")
	for _, pairs := range [][]string{{"aws:x", "1"}, {"a", "1", "a", "2"}} {
		in.Tags = tags(pairs...)
		wantCode(t, p.refused(home, "CreateRelay", in), mailmanager.CodeValidation)
	}
	in.Tags = tags(many...)
	wantCode(t, p.refused(home, "CreateRelay", in), mailmanager.CodeServiceQuotaExceeded)
}

// Mail Manager, B19: the tags name the listeners, at creation and later.
func TestListenerTagsMoveAPoint(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.point("front")
	key, arn := control.Key{Scope: home, ID: id}, arnOf("mailmanager-ingress-point/"+id)
	before, _ := p.IngressPoint(key)
	proceed := p.hold()
	if err := p.tag(arn, "sluice:listener", "mx+submission", "sluice:default", "true"); err != nil {
		t.Fatal(err)
	}
	point, _ := p.IngressPoint(key)
	if diff := cmp.Diff([]string{"mx", "submission"}, point.Listeners); diff != "" || !point.Default || !point.Serving {
		t.Errorf("the snapshot: got %+v", point)
	}
	p.wantStatus(id, updating)
	proceed()
	p.wantStatus(id, active)
	if diff := cmp.Diff([]string{"mx", "submission"}, p.getPoint(id).Listeners); diff != "" {
		t.Errorf("as bound (-want +got):\n%s", diff)
	}
	if err := errors.Join(p.tag(arn, "team", "a"), p.tag(arn, "sluice:default", "false")); err != nil {
		t.Fatal(err)
	}
	p.wantStatus(id, active) // neither tag moves it
	close(p.sockets.gate)
	if point, _ := p.IngressPoint(key); point.Default {
		t.Error("the tag sluice:default changed nothing")
	}
	if err := p.untag(arn, "sluice:listener"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	p.wantStatus(id, active)
	if after, _ := p.IngressPoint(key); after.Listeners != nil || after.PoolAddress != before.PoolAddress {
		t.Errorf("back on the pool: got %+v, want the address %s", after, before.PoolAddress)
	}
}

func TestAListenerTagMendsAFailedPoint(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	p.sockets.set(func(s *sockets) { s.failure = fmt.Errorf("the pool is exhausted") })
	id := p.point("front")
	p.wantStatus(id, failed)
	p.sockets.set(func(s *sockets) { s.failure = nil })
	if err := p.tag(arnOf("mailmanager-ingress-point/"+id), "sluice:listener", "mx"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	p.wantStatus(id, active)
}

func TestUpdatesLeaveTagsAlone(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A18")
	p := newPlane(t)
	relay, rules, gate, point := p.relay("relay"), p.ruleSet("rules"), p.policy("gate"), p.point("front")
	updates := map[string]struct {
		operation string
		in        any
	}{
		"mailmanager-smtp-relay/" + relay:    {"UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: (*mailmanager.RelayId)(&relay), ServerPort: ptr(int32(26))}},
		"mailmanager-rule-set/" + rules:      {"UpdateRuleSet", &mailmanager.UpdateRuleSetRequest{RuleSetId: (*mailmanager.RuleSetId)(&rules), Rules: []mailmanager.Rule{}}},
		"mailmanager-traffic-policy/" + gate: {"UpdateTrafficPolicy", &mailmanager.UpdateTrafficPolicyRequest{TrafficPolicyId: (*mailmanager.TrafficPolicyId)(&gate), DefaultAction: ptr(mailmanager.AcceptActionDeny)}},
		"mailmanager-ingress-point/" + point: {"UpdateIngressPoint", &mailmanager.UpdateIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&point), IngressPointName: ptr(mailmanager.IngressPointName("other"))}},
	}
	for name, update := range updates {
		arn, want := arnOf(name), tags("stage", "test")
		if err := p.tag(arn, "stage", "test"); err != nil {
			t.Fatal(err)
		}
		p.Quiet()
		if _, err := p.call(home, update.operation, update.in); err != nil {
			t.Fatal(err)
		}
		p.Quiet()
		if diff := cmp.Diff(want, p.tagsOf(arn)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", update.operation, diff)
		}
	}
}

// leaver is a store whose caller goes away when tags were changed.
type leaver struct {
	store.Store
	leave context.CancelFunc
}

func (s *leaver) SetTags(ctx context.Context, key store.Key, tags []store.Tag, most int) error {
	defer s.leave()
	return s.Store.SetTags(ctx, key, tags, most)
}

func (s *leaver) RemoveTags(ctx context.Context, key store.Key, keys []string) error {
	defer s.leave()
	return s.Store.RemoveTags(ctx, key, keys)
}

// Relays and ingress points follow their tags also when the caller goes away once these are stored.
func TestTagsAreFollowedWithoutTheCaller(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	relay, point := p.relay("out"), p.createPoint(p.pointRequest("front"))
	var db *leaver
	p.reopen(func(s store.Store) store.Store { db = &leaver{Store: s}; return db })
	call := func(name string, in any) {
		t.Helper()
		ctx, leave := context.WithCancel(t.Context())
		db.leave = leave
		op, handler := p.operationFor(name, in)
		if _, err := handler.Handle(ctx, awsapi.Caller{Account: home.Account, Region: home.Region}, op, in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	rate, hostname := mailmanager.TagKey("sluice:rate"), mailmanager.TagKey("sluice:hostname")
	relayARN, pointARN := arnOf("mailmanager-smtp-relay/"+relay), arnOf("mailmanager-ingress-point/"+point)
	want := func(wantRate int, wantNames ...string) {
		t.Helper()
		r, _ := p.Relay(home, relay)
		seen, _ := p.IngressPoint(control.Key{Scope: home, ID: point})
		if r.Rate != wantRate || !slices.Equal(seen.Hostnames, wantNames) {
			t.Errorf("got %d and %v, want %d and %v", r.Rate, seen.Hostnames, wantRate, wantNames)
		}
	}
	call("TagResource", &mailmanager.TagResourceRequest{ResourceArn: relayARN, Tags: tags(string(rate), "60")})
	call("TagResource", &mailmanager.TagResourceRequest{ResourceArn: pointARN, Tags: tags(string(hostname), "mx.example.org")})
	want(60, "mx.example.org")
	call("UntagResource", &mailmanager.UntagResourceRequest{ResourceArn: relayARN, TagKeys: []mailmanager.TagKey{rate}})
	call("UntagResource", &mailmanager.UntagResourceRequest{ResourceArn: pointARN, TagKeys: []mailmanager.TagKey{hostname}})
	want(0)
}
