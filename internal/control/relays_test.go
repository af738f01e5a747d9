package control_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

func getRelay(id string) *mailmanager.GetRelayRequest {
	return &mailmanager.GetRelayRequest{RelayId: (*mailmanager.RelayId)(&id)}
}

func TestRelayReadsBackAsCreated(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	in := relayRequest("to-the-office")
	in.Authentication = &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn("arn:aws:secretsmanager:eu-west-1:111111111111:secret:smtp-AbCdEf"))}
	id := string(*do[mailmanager.CreateRelayResponse](p, "CreateRelay", in).RelayId)
	if !regexp.MustCompile(`^r-[a-z2-7]{24}$`).MatchString(id) {
		t.Errorf("got id %q, want r- and 24 of a-z2-7", id)
	}
	got := do[mailmanager.GetRelayResponse](p, "GetRelay", getRelay(id))
	created := time.Date(2026, 11, 22, 10, 0, 0, 123000000, time.UTC)
	want := &mailmanager.GetRelayResponse{
		RelayId: ptr(mailmanager.RelayId(id)), RelayArn: ptr(mailmanager.RelayArn("arn:aws:ses:eu-west-1:111111111111:mailmanager-smtp-relay/" + id)),
		RelayName: in.RelayName, ServerName: in.ServerName, ServerPort: in.ServerPort, Authentication: in.Authentication,
		CreatedTimestamp: &created, LastModifiedTimestamp: &created,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// D19: whoever has mail waiting for a relay is told of its correction, once the snapshot has it, and of nothing else.
func TestRelayChangedIsToldOfUpdates(t *testing.T) {
	t.Parallel()
	var p *plane
	var told []string
	p = newPlane(t, func(cfg *control.Config) {
		cfg.RelayChanged = func(key control.Key) {
			relay, ok := p.Relay(key.Scope, key.ID)
			if !ok {
				t.Errorf("told of %v, which the snapshot does not have", key)
				return
			}
			told = append(told, relay.Server)
		}
	})
	id := p.relay("a")
	do[mailmanager.UpdateRelayResponse](p, "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: ptr(mailmanager.RelayId(id)), ServerName: ptr(mailmanager.RelayServerName("b.example"))})
	do[mailmanager.DeleteRelayResponse](p, "DeleteRelay", &mailmanager.DeleteRelayRequest{RelayId: ptr(mailmanager.RelayId(id))})
	if !slices.Equal(told, []string{"b.example"}) {
		t.Errorf("told %q, want the one update with what it changed", told)
	}
}

func TestUpdateRelayChangesOnlyWhatIsGiven(t *testing.T) {
	t.Parallel()
	secret := &mailmanager.RelayAuthentication{SecretArn: ptr(mailmanager.SecretArn("arn:aws:secretsmanager:eu-west-1:111111111111:secret:smtp"))}
	tests := []struct {
		name   string
		change mailmanager.UpdateRelayRequest
		want   func(*mailmanager.GetRelayResponse)
	}{
		{"nothing", mailmanager.UpdateRelayRequest{}, func(*mailmanager.GetRelayResponse) {}},
		{"name", mailmanager.UpdateRelayRequest{RelayName: ptr(mailmanager.RelayName("b"))},
			func(r *mailmanager.GetRelayResponse) { r.RelayName = ptr(mailmanager.RelayName("b")) }},
		{"server", mailmanager.UpdateRelayRequest{ServerName: ptr(mailmanager.RelayServerName("b.example"))},
			func(r *mailmanager.GetRelayResponse) { r.ServerName = ptr(mailmanager.RelayServerName("b.example")) }},
		{"port", mailmanager.UpdateRelayRequest{ServerPort: ptr(int32(25))},
			func(r *mailmanager.GetRelayResponse) { r.ServerPort = ptr(int32(25)) }},
		{"authentication", mailmanager.UpdateRelayRequest{Authentication: secret},
			func(r *mailmanager.GetRelayResponse) { r.Authentication = secret }},
		{"its own name", mailmanager.UpdateRelayRequest{RelayName: ptr(mailmanager.RelayName("a"))}, func(*mailmanager.GetRelayResponse) {}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			id := p.relay("a")
			want := do[mailmanager.GetRelayResponse](p, "GetRelay", getRelay(id))
			p.clock.advance(time.Minute)
			test.change.RelayId = ptr(mailmanager.RelayId(id))
			do[mailmanager.UpdateRelayResponse](p, "UpdateRelay", &test.change)
			test.want(want)
			want.LastModifiedTimestamp = ptr(want.CreatedTimestamp.Add(time.Minute))
			if diff := cmp.Diff(want, do[mailmanager.GetRelayResponse](p, "GetRelay", getRelay(id))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestRelayRefusals(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A4")
	p := newPlane(t, limits(control.Limits{Relays: 2}))
	one, _ := p.relay("one"), p.relay("two")
	unknown := ptr(mailmanager.RelayId("r-aaaaaaaaaaaaaaaaaaaaaaaa"))
	tests := []struct {
		name, operation string
		in              any
		want            mailmanager.Code
		text            string
	}{
		{"a name that is taken", "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: ptr(mailmanager.RelayId(one)), RelayName: ptr(mailmanager.RelayName("two"))}, mailmanager.CodeConflict, "two"},
		{"more than the quota", "CreateRelay", relayRequest("three"), mailmanager.CodeServiceQuotaExceeded, "'relays'"},
		{"get an unknown id", "GetRelay", &mailmanager.GetRelayRequest{RelayId: unknown}, mailmanager.CodeResourceNotFound, string(*unknown)},
		{"update an unknown id", "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: unknown}, mailmanager.CodeResourceNotFound, string(*unknown)},
		{"get a short id", "GetRelay", getRelay("r-abc"), mailmanager.CodeValidation, "'relayId'"},
		{"get an id in capitals", "GetRelay", getRelay("r-AAAAAAAAAAAAAAAAAAAAAAAA"), mailmanager.CodeValidation, "'relayId'"},
		{"get another kind's id", "GetRelay", getRelay("rs-aaaaaaaaaaaaaaaaaaaaaaaa"), mailmanager.CodeValidation, "'relayId'"},
		{"update a malformed id", "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: ptr(mailmanager.RelayId("r-"))}, mailmanager.CodeValidation, "'relayId'"},
		{"delete a malformed id", "DeleteRelay", &mailmanager.DeleteRelayRequest{RelayId: ptr(mailmanager.RelayId("r-"))}, mailmanager.CodeValidation, "'relayId'"},
		{"a foreign page token", "ListRelays", &mailmanager.ListRelaysRequest{NextToken: ptr(mailmanager.PaginationToken("abc"))}, mailmanager.CodeValidation, "'nextToken'"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := p.refused(home, test.operation, test.in)
			wantCode(t, err, test.want, test.text)
		})
	}
	unlimited := newPlane(t)
	unlimited.relay("one")
	err := unlimited.refused(home, "CreateRelay", relayRequest("one"))
	wantCode(t, err, mailmanager.CodeConflict, "one")
}

func TestDeleteRelayIsIdempotent(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A4")
	p := newPlane(t)
	id := p.relay("one")
	for range 2 {
		do[mailmanager.DeleteRelayResponse](p, "DeleteRelay", &mailmanager.DeleteRelayRequest{RelayId: (*mailmanager.RelayId)(&id)})
	}
	err := p.refused(home, "GetRelay", getRelay(id))
	wantCode(t, err, mailmanager.CodeResourceNotFound)
	p.relay("one") // the name is free again
}

// Mail Manager, A2 and A3: pages of any size, in order of creation, each resource once.
func TestListRelaysPages(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A2", "A3")
	p := newPlane(t)
	var want []string
	for i := range 7 {
		want = append(want, p.relay(fmt.Sprint("relay-", i)))
		if i%2 == 0 { // some are equally old
			p.clock.advance(time.Second)
		}
	}
	for _, size := range []int32{1, 2, 3, 7, 8, 50} {
		got := listRelays(p, &size)
		if len(got) != len(want) {
			t.Errorf("pages of %d: got %d relays, want %d", size, len(got), len(want))
		}
		for _, id := range want {
			if got[id] != 1 {
				t.Errorf("pages of %d: %s came %d times", size, id, got[id])
			}
		}
	}
	for _, size := range []int32{-5, 0} { // Mail Manager, A2: clamped to 1
		page := do[mailmanager.ListRelaysResponse](p, "ListRelays", &mailmanager.ListRelaysRequest{PageSize: &size})
		if len(page.Relays) != 1 || page.NextToken == nil || string(*page.Relays[0].RelayId) != want[0] {
			t.Errorf("page size %d: got %d relays, want the oldest", size, len(page.Relays))
		}
	}
	all := do[mailmanager.ListRelaysResponse](p, "ListRelays", &mailmanager.ListRelaysRequest{})
	if len(all.Relays) != len(want) || all.NextToken != nil {
		t.Errorf("without a size: got %d relays, token %v", len(all.Relays), all.NextToken)
	}
}

func listRelays(p *plane, size *int32) map[string]int {
	p.Helper()
	found := map[string]int{}
	in := &mailmanager.ListRelaysRequest{PageSize: size}
	for {
		page := do[mailmanager.ListRelaysResponse](p, "ListRelays", in)
		if len(page.Relays) > int(*size) {
			p.Errorf("a page of %d has %d relays", *size, len(page.Relays))
		}
		for _, r := range page.Relays {
			found[string(*r.RelayId)]++
		}
		if page.NextToken == nil {
			return found
		}
		in.NextToken = page.NextToken
	}
}

func TestPageTokensAreOfOneListAndScope(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A2", "A28")
	p := newPlane(t)
	for i := range 3 {
		p.relay(fmt.Sprint("relay-", i))
		p.ruleSet(fmt.Sprint("rules-", i))
	}
	token := do[mailmanager.ListRelaysResponse](p, "ListRelays", &mailmanager.ListRelaysRequest{PageSize: ptr(int32(1))}).NextToken
	err := p.refused(home, "ListRuleSets", &mailmanager.ListRuleSetsRequest{NextToken: token})
	wantCode(t, err, mailmanager.CodeValidation)
	for _, scope := range []control.Scope{stranger, abroad} {
		err := p.refused(scope, "ListRelays", &mailmanager.ListRelaysRequest{NextToken: token})
		wantCode(t, err, mailmanager.CodeValidation)
	}
	p.clock.advance(25 * time.Hour)
	err = p.refused(home, "ListRelays", &mailmanager.ListRelaysRequest{NextToken: token})
	wantCode(t, err, mailmanager.CodeValidation)
}

func TestSnapshotHasARelayBeforeTheCallAnswers(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	id := p.relay("one")
	arn := "arn:aws:ses:eu-west-1:111111111111:mailmanager-smtp-relay/" + id
	for _, name := range []string{id, arn} {
		got, ok := p.Relay(home, name)
		if !ok || got.Server != "smtp.example.net" || got.Port != 587 || got.ARN != arn || got.SecretARN != "" {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
		for _, scope := range []control.Scope{stranger, abroad} {
			if got, ok := p.Relay(scope, name); ok {
				t.Errorf("%s in %v: got %+v, want none", name, scope, got)
			}
		}
	}
	do[mailmanager.UpdateRelayResponse](p, "UpdateRelay", &mailmanager.UpdateRelayRequest{RelayId: (*mailmanager.RelayId)(&id), ServerPort: ptr(int32(25))})
	if got, _ := p.Relay(home, id); got.Port != 25 {
		t.Errorf("after an update: got port %d, want 25", got.Port)
	}
	do[mailmanager.DeleteRelayResponse](p, "DeleteRelay", &mailmanager.DeleteRelayRequest{RelayId: (*mailmanager.RelayId)(&id)})
	if _, ok := p.Relay(home, id); ok {
		t.Error("after a delete: it is still there")
	}
}

// BenchmarkCreateRelay shows that the 10,000th relay costs what the 10th does.
func BenchmarkCreateRelay(b *testing.B) {
	for _, stored := range []int{10, 10_000} {
		b.Run(fmt.Sprint(stored), func(b *testing.B) {
			p := newPlane(b)
			for i := range stored {
				p.relay(fmt.Sprint("relay-", i))
			}
			for i := 0; b.Loop(); i++ {
				p.relay(fmt.Sprint("another-", i))
			}
		})
	}
}

// A rule set may name what is gone: the action fails when it runs, and lint shows it.
func TestARelayThatARuleSetNamesCanBeDeleted(t *testing.T) {
	t.Parallel()
	conform.Check(t, "A6")
	p := newPlane(t)
	relay := p.relay("one")
	action := mailmanager.RuleAction{Relay: &mailmanager.RelayAction{Relay: ptr(mailmanager.IdOrArn(relay))}}
	rules := string(*do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", ruleSetRequest("rules", action)).RuleSetId)
	do[mailmanager.DeleteRelayResponse](p, "DeleteRelay", &mailmanager.DeleteRelayRequest{RelayId: (*mailmanager.RelayId)(&relay)})
	if got := getRuleSet(p, rules).Rules; len(got) != 1 || len(got[0].Actions) != 1 || string(*got[0].Actions[0].Relay.Relay) != relay {
		t.Errorf("got %s, want the action as it was", text(t, got))
	}
	if _, ok := p.Relay(home, relay); ok {
		t.Error("the snapshot still has the relay")
	}
}
