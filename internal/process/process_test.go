package process

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"sluice/internal/addresslist"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/queue"
	"sluice/internal/rule"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

const content = "From: Ann <ann@example.org>\r\nSubject: An invoice\r\n\r\nBody\r\n"

// contents reads a message's content, or fails.
type contents struct {
	text string
	err  error
}

func (c contents) Content(context.Context, message.ID, int64) (io.ReadCloser, error) {
	if c.err != nil {
		return nil, c.err
	}
	return io.NopCloser(strings.NewReader(c.text)), nil
}

// planner queues what it is asked to, but fails the actions it does not know.
type planner struct{ known []string }

func (p planner) Plan(_ context.Context, _ *spool.Message, step rule.Step) ([]spool.Item, string) {
	if !slices.Contains(p.known, step.ActionName) {
		return nil, "action " + step.ActionName + " is not available"
	}
	state, _ := step.Node.AppendBinary(nil)
	return []spool.Item{{Lane: spool.Lane("relay/" + *step.Do.Relay.Relay), Recipients: step.Recipients, State: state, Rule: step.Rule, Action: step.Action}}, ""
}

// plane has rule sets, and the spool's sources of older ones.
type plane struct {
	sets    map[control.Key]*control.RuleSet
	sources map[spool.Hash][]byte
	err     error
	reads   int
	lists   map[control.Key]*addresslist.List
}

func (p *plane) AddressList(scope control.Scope, id string) (*addresslist.List, bool) {
	list, ok := p.lists[control.Key{Scope: scope, ID: id}]
	return list, ok
}

func (p *plane) RuleSet(key control.Key) (*control.RuleSet, bool) {
	set, ok := p.sets[key]
	return set, ok
}

// sources is the plane as the spool.
type sources struct{ *plane }

func (s sources) RuleSet(_ context.Context, hash spool.Hash) ([]byte, error) {
	s.reads++
	if s.err != nil {
		return nil, s.err
	}
	source, ok := s.sources[hash]
	if !ok {
		return nil, spool.ErrNotFound
	}
	return source, nil
}

var testKey = control.Key{Scope: control.Scope{Account: "000000000000", Region: "us-east-1"}, ID: "rs-test"}

// newPlane has one rule set, current, and in the spool too.
func newPlane(t *testing.T, rules []mailmanager.Rule) (*plane, spool.Hash) {
	t.Helper()
	set, err := rule.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	source, hash := rule.Source(rules)
	return &plane{
		sets:    map[control.Key]*control.RuleSet{testKey: {Key: testKey, Hash: hash, Source: source, Set: set}},
		sources: map[spool.Hash][]byte{hash: source},
	}, hash
}

func newProcessor(p *plane, strict bool) *Processor {
	return New(Config{
		RuleSets: p, Sources: sources{p}, Lists: p, Planner: planner{known: []string{rule.ActionRelay}}, Strict: func(account string) bool { return strict && account == testKey.Account },
		Logger: slog.New(slog.DiscardHandler),
	})
}

func recipients(t *testing.T, addresses ...string) []message.Recipient {
	t.Helper()
	list := make([]message.Recipient, len(addresses))
	for i, address := range addresses {
		local, domain, _ := strings.Cut(address, "@")
		list[i].Path = smtp.Path{Received: address, Local: local, Domain: domain}
	}
	return list
}

// work is a message in lane process.
func work(t *testing.T, hash spool.Hash, from contents, to ...string) *queue.Work {
	t.Helper()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := &spool.Message{ID: message.NewID(now), ReceivedAt: now, Size: int64(len(from.text)), RuleSetID: testKey.ID, RuleSet: hash}
	m.Session.Account, m.Session.Region = testKey.Account, testKey.Region
	m.Session.Client = netip.MustParseAddrPort("192.0.2.1:2525")
	m.Envelope.Recipients = recipients(t, to...)
	item := spool.Item{ItemKey: spool.ItemKey{Message: m.ID}, Lane: spool.LaneProcess, Recipients: m.Envelope.Recipients}
	return queue.NewWork(spool.Claimed{Item: item, Message: m}, from)
}

// feed gives one piece of work after the other and keeps the results.
type feed struct {
	todo    []*queue.Work
	results []queue.Result
}

func (f *feed) Lane() spool.Lane { return spool.LaneProcess }

func (f *feed) Next(context.Context, time.Duration) *queue.Work {
	if len(f.todo) == 0 {
		return nil
	}
	w := f.todo[0]
	f.todo = f.todo[1:]
	return w
}

func (f *feed) Done(_ *queue.Work, r queue.Result) { f.results = append(f.results, r) }

func run(t *testing.T, p *Processor, works ...*queue.Work) []queue.Result {
	t.Helper()
	f := &feed{todo: works}
	p.Work(t.Context(), f)
	if len(f.results) != len(works) {
		t.Fatalf("%d results of %d messages", len(f.results), len(works))
	}
	return f.results
}

func to(domain string) []mailmanager.RuleCondition {
	return when(mailmanager.RuleStringEmailAttributeRecipient, mailmanager.RuleStringOperatorEndsWith, "@"+domain)
}

func when(attribute mailmanager.RuleStringEmailAttribute, op mailmanager.RuleStringOperator, value string) []mailmanager.RuleCondition {
	return []mailmanager.RuleCondition{{StringExpression: &mailmanager.RuleStringExpression{
		Evaluate: &mailmanager.RuleStringToEvaluate{Attribute: &attribute}, Operator: &op,
		Values: []mailmanager.RuleStringValue{mailmanager.RuleStringValue(value)},
	}}}
}

func whenCommonName(name string) []mailmanager.RuleCondition {
	c := when("", mailmanager.RuleStringOperatorEquals, name)
	c[0].StringExpression.Evaluate = &mailmanager.RuleStringToEvaluate{ClientCertificateAttribute: mailmanager.Ptr(mailmanager.RuleClientCertificateAttributeCn)}
	return c
}

func relayTo(id string) mailmanager.RuleAction {
	return mailmanager.RuleAction{Relay: &mailmanager.RelayAction{Relay: mailmanager.Ptr(mailmanager.IdOrArn(id))}}
}

func addHeader(name, value string) mailmanager.RuleAction {
	return mailmanager.RuleAction{AddHeader: &mailmanager.AddHeaderAction{
		HeaderName: mailmanager.Ptr(mailmanager.HeaderName(name)), HeaderValue: mailmanager.Ptr(mailmanager.HeaderValue(value)),
	}}
}

func archive(policy mailmanager.ActionFailurePolicy) mailmanager.RuleAction {
	return mailmanager.RuleAction{Archive: &mailmanager.ArchiveAction{
		ActionFailurePolicy: &policy, TargetArchive: mailmanager.Ptr(mailmanager.NameOrArn("a-test")),
	}}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D5", "D7")
	tests := []struct {
		name     string
		rules    []mailmanager.Rule
		strict   bool
		to       []string
		next     []string // "lane: recipients"
		held     []string // "reason: recipients"
		failures []string // of attempts
	}{
		{
			name:  "recipients are routed by different rules",
			rules: []mailmanager.Rule{{Conditions: to("a.example"), Actions: []mailmanager.RuleAction{relayTo("r-a")}}, {Conditions: to("b.example"), Actions: []mailmanager.RuleAction{relayTo("r-b")}}},
			to:    []string{"x@a.example", "y@b.example", "z@a.example"},
			next:  []string{"relay/r-a: x@a.example z@a.example", "relay/r-b: y@b.example"},
		},
		{
			name:  "D7: who is not routed is held",
			rules: []mailmanager.Rule{{Conditions: to("a.example"), Actions: []mailmanager.RuleAction{relayTo("r-a")}}},
			to:    []string{"x@a.example", "y@b.example"},
			next:  []string{"relay/r-a: x@a.example"},
			held:  []string{"unrouted: y@b.example"},
		},
		{
			name: "D7: an empty rule set routes nobody",
			to:   []string{"x@a.example"}, held: []string{"unrouted: x@a.example"},
		},
		{
			name:  "D7: AddHeader alone does not count",
			rules: []mailmanager.Rule{{Actions: []mailmanager.RuleAction{addHeader("X-Seen", "yes")}}},
			to:    []string{"x@a.example"}, held: []string{"unrouted: x@a.example"},
		},
		{
			name: "D7: aws-strict discards", strict: true,
			to: []string{"x@a.example"},
		},
		{
			name:  "Drop leaves nothing",
			rules: []mailmanager.Rule{{Actions: []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}, relayTo("r-a")}}},
			to:    []string{"x@a.example"},
		},
		{
			name:     "D5: a failure that continues routes nobody",
			rules:    []mailmanager.Rule{{Actions: []mailmanager.RuleAction{archive(mailmanager.ActionFailurePolicyContinue)}}},
			to:       []string{"x@a.example"},
			held:     []string{"unrouted: x@a.example"},
			failures: []string{"action ARCHIVE is not available"},
		},
		{
			name:     "D5: a failure that continues goes on with the next action",
			rules:    []mailmanager.Rule{{Actions: []mailmanager.RuleAction{archive(mailmanager.ActionFailurePolicyContinue), relayTo("r-a")}}},
			to:       []string{"x@a.example"},
			next:     []string{"relay/r-a: x@a.example"},
			failures: []string{"action ARCHIVE is not available"},
		},
		{
			name:     "D5: a failure that drops takes its recipients",
			rules:    []mailmanager.Rule{{Conditions: to("a.example"), Actions: []mailmanager.RuleAction{archive(mailmanager.ActionFailurePolicyDrop), relayTo("r-a")}}, {Actions: []mailmanager.RuleAction{relayTo("r-b")}}},
			to:       []string{"x@a.example", "y@b.example"},
			next:     []string{"relay/r-b: y@b.example"},
			failures: []string{"action ARCHIVE is not available"},
		},
		{
			name:  "header section of the content is seen",
			rules: []mailmanager.Rule{{Conditions: when(mailmanager.RuleStringEmailAttributeSubject, mailmanager.RuleStringOperatorContains, "INVOICE"), Actions: []mailmanager.RuleAction{relayTo("r-a")}}},
			to:    []string{"x@a.example"},
			next:  []string{"relay/r-a: x@a.example"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, hash := newPlane(t, tt.rules)
			r := run(t, newProcessor(p, tt.strict), work(t, hash, contents{text: content}, tt.to...))[0]
			if got := describe(r.Next); !slices.Equal(got, tt.next) {
				t.Errorf("next: got %q, want %q", got, tt.next)
			}
			if got := describeHeld(r.Held); !slices.Equal(got, tt.held) {
				t.Errorf("held: got %q, want %q", got, tt.held)
			}
			var failures []string
			for _, a := range r.Attempts {
				failures = append(failures, a.Reason)
			}
			if !slices.Equal(failures, tt.failures) {
				t.Errorf("failures: got %q, want %q", failures, tt.failures)
			}
			if r.Decided == nil || len(r.Decided.Rules) > len(tt.rules) || r.Decided.RuleSetID != testKey.ID {
				t.Errorf("decided: %+v", r.Decided)
			}
			if len(r.Deferred) > 0 {
				t.Errorf("deferred %v", r.Deferred)
			}
		})
	}
}

func describe(items []spool.Item) []string {
	var list []string
	for _, item := range items {
		list = append(list, string(item.Lane)+": "+names(item.Recipients))
	}
	return list
}

func describeHeld(held []queue.Hold) []string {
	var list []string
	for _, h := range held {
		list = append(list, h.Reason+": "+names(h.Recipients))
	}
	return list
}

func names(list []message.Recipient) string {
	var b strings.Builder
	for i := range list {
		b.WriteString(" " + list[i].Path.Received)
	}
	return strings.TrimPrefix(b.String(), " ")
}

// Held mail keeps the fields that rules added to it, for whoever releases it.
func TestUnroutedMailRestsInItsState(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D7")
	p, hash := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{addHeader("X-Seen", "yes")}}})
	r := run(t, newProcessor(p, false), work(t, hash, contents{text: content}, "x@a.example"))[0]
	node, err := message.ParseNode(r.Held[0].State)
	if err != nil {
		t.Fatal(err)
	}
	if got := node.Fields(); len(got) != 1 || got[0] != "X-Seen: yes\r\n" {
		t.Errorf("got fields %q, want the one that was added", got)
	}
}

// D19: a message ends under the rules it was accepted under, which the spool has; they are read and compiled once.
func TestMessageKeepsItsRuleSet(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D19")
	p, hash := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-old")}}})
	changed, _ := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-new")}}})
	p.sets = changed.sets
	results := run(t, newProcessor(p, false), work(t, hash, contents{text: content}, "x@a.example"), work(t, hash, contents{text: content}, "y@a.example"))
	for _, r := range results {
		if got := describe(r.Next); len(got) != 1 || !strings.HasPrefix(got[0], "relay/r-old: ") {
			t.Errorf("got %q, want the relay of the rules as they were", got)
		}
	}
	if p.reads != 1 {
		t.Errorf("the source was read %d times, want once", p.reads)
	}
}

// What cannot be read now is tried again, with all its recipients, and nothing of it is decided.
func TestWhatCannotBeReadIsDeferred(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := []struct {
		name string
		set  func(*plane)
		from contents
	}{
		{"content", func(*plane) {}, contents{err: broken}},
		{"rule set", func(p *plane) { p.sets, p.err = nil, broken }, contents{text: content}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, hash := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-a")}}})
			tt.set(p)
			r := run(t, newProcessor(p, false), work(t, hash, tt.from, "x@a.example", "y@a.example"))[0]
			if len(r.Deferred) != 2 || r.Decided != nil || len(r.Next)+len(r.Held) > 0 {
				t.Errorf("got %+v, want both recipients deferred and nothing else", r)
			}
			if r.Reply == "" {
				t.Error("nobody is told why")
			}
		})
	}
}

// Without the rules it was accepted under a message is held at once: no later attempt finds them.
func TestMessageWithoutItsRulesIsHeld(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		set  func(*plane)
	}{
		{"not in the spool", func(p *plane) { p.sources = nil }},
		{"corrupt", func(p *plane) { p.err = spool.ErrCorrupt }},
		{"does not compile", func(p *plane) {
			for hash := range p.sources {
				p.sources[hash] = []byte("nonsense")
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, hash := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-a")}}})
			p.sets = nil
			tt.set(p)
			r := run(t, newProcessor(p, false), work(t, hash, contents{text: content}, "x@a.example"))[0]
			if got := describeHeld(r.Held); !slices.Equal(got, []string{"failed: x@a.example"}) || len(r.Deferred) > 0 {
				t.Errorf("held %q, deferred %v", got, r.Deferred)
			}
		})
	}
}

// A cursor that nothing can go on from is held, not tried for ever.
func TestMalformedCursorIsHeld(t *testing.T) {
	t.Parallel()
	p, hash := newPlane(t, nil)
	w := work(t, hash, contents{text: content}, "x@a.example")
	w.Item.Cursor = []byte("nonsense")
	r := run(t, newProcessor(p, false), w)[0]
	if got := describeHeld(r.Held); !slices.Equal(got, []string{"failed: x@a.example"}) {
		t.Errorf("held %q", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c cache
	for i := range 3 * maxOlderSets {
		c.put(spool.Hash{byte(i), byte(i >> 8)}, new(rule.Set))
		if len(c.sets) > maxOlderSets {
			t.Fatalf("%d rule sets are kept, at most %d", len(c.sets), maxOlderSets)
		}
	}
}

func BenchmarkProcess(b *testing.B) {
	var rules []mailmanager.Rule
	for range 9 {
		rules = append(rules, mailmanager.Rule{
			Conditions: when(mailmanager.RuleStringEmailAttributeSubject, mailmanager.RuleStringOperatorContains, "in no subject"),
			Actions:    []mailmanager.RuleAction{{Drop: &mailmanager.DropAction{}}},
		})
	}
	rules = append(rules, mailmanager.Rule{Actions: []mailmanager.RuleAction{relayTo("r-a")}})
	t := new(testing.T)
	p, hash := newPlane(t, rules)
	processor := newProcessor(p, false)
	e := new(evaluation)
	w := work(t, hash, contents{text: content}, "x@a.example")
	b.ReportAllocs()
	for b.Loop() {
		processor.step(context.Background(), e, w)
	}
}

// outside is a planner that looks something up, which fails once its context has ended.
type outside struct{ planner }

func (o outside) Plan(ctx context.Context, m *spool.Message, step rule.Step) ([]spool.Item, string) {
	if err := ctx.Err(); err != nil {
		return nil, err.Error()
	}
	return o.planner.Plan(ctx, m, step)
}

// TestStepThatRunsIsFinished stops the worker while it has a message in hand: that is no failure of an action's configuration.
func TestStepThatRunsIsFinished(t *testing.T) {
	t.Parallel()
	p, hash := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-a")}}})
	processor := newProcessor(p, false)
	processor.cfg.Planner = outside{planner{known: []string{rule.ActionRelay}}}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	f := &feed{todo: []*queue.Work{work(t, hash, contents{text: content}, "x@a.example")}}
	processor.Work(ctx, f)
	if r := f.results[0]; len(r.Next) != 1 || len(r.Attempts)+len(r.Held)+len(r.Deferred) != 0 {
		t.Errorf("got %+v, want one item that follows", r)
	}
}

// Rules see the certificate of the session that the message came in by, and none after it. Mail Manager, D16.
func TestRulesSeeTheCertificate(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D16")
	p, hash := newPlane(t, []mailmanager.Rule{{Conditions: whenCommonName("gateway"), Actions: []mailmanager.RuleAction{relayTo("r-a")}}})
	var works []*queue.Work
	for _, certificate := range []*message.Certificate{{CommonNames: []string{"Gateway"}}, nil, {CommonNames: []string{"other"}}} {
		w := work(t, hash, contents{text: content}, "x@a.example")
		w.Message.Session.Certificate = certificate
		works = append(works, w)
	}
	for i, result := range run(t, newProcessor(p, false), works...) {
		if got, want := len(result.Next) == 1, i == 0; got != want {
			t.Errorf("message %d: got routed %v, want %v", i, got, want)
		}
	}
}

// Rules see the address lists of the message's account and region as they are now, and no others (Mail Manager, F15 and
// D20); what could not be told is counted.
func TestRulesSeeTheAddressLists(t *testing.T) {
	t.Parallel()
	conform.Check(t, "D20", "F15")
	p, hash := newPlane(t, []mailmanager.Rule{{
		Conditions: []mailmanager.RuleCondition{{BooleanExpression: &mailmanager.RuleBooleanExpression{
			Operator: mailmanager.Ptr(mailmanager.RuleBooleanOperatorIsTrue),
			Evaluate: &mailmanager.RuleBooleanToEvaluate{IsInAddressList: &mailmanager.RuleIsInAddressList{
				Attribute: mailmanager.Ptr(mailmanager.RuleAddressListEmailAttributeRecipient), AddressLists: []mailmanager.AddressListArn{"al-1"},
			}},
		}}},
		Actions: []mailmanager.RuleAction{relayTo("r-a")},
	}})
	list := addresslist.New()
	p.lists = map[control.Key]*addresslist.List{{Scope: testKey.Scope, ID: "al-1"}: list}
	processor := newProcessor(p, false)
	for i, step := range []struct {
		change     func()
		account    string
		routed     string
		cannotTell float64
	}{
		{func() {}, testKey.Account, "", 0},
		{func() { list.Add(addresslist.FromKey("x@a.example")) }, testKey.Account, "x@a.example", 0},
		{func() {}, "111111111111", "", 1},
		{func() { list.Add(addresslist.FromKey("@b.example")) }, testKey.Account, "x@a.example y@b.example", 0},
		{func() { list.Remove(addresslist.FromKey("x@a.example")) }, testKey.Account, "y@b.example", 0},
		{func() { clear(p.lists) }, testKey.Account, "", 1},
	} {
		step.change()
		before := testutil.ToFloat64(processor.cannotTell)
		w := work(t, hash, contents{text: content}, "x@a.example", "y@b.example")
		w.Message.Session.Account = step.account
		var routed []string
		for _, item := range run(t, processor, w)[0].Next {
			routed = append(routed, message.Addresses(item.Recipients)...)
		}
		if got := strings.Join(routed, " "); got != step.routed {
			t.Errorf("step %d: got %q, want %q", i, got, step.routed)
		}
		if got := testutil.ToFloat64(processor.cannotTell) - before; got < step.cannotTell || step.cannotTell == 0 && got > 0 {
			t.Errorf("step %d: counted %v, want %v", i, got, step.cannotTell)
		}
	}
}

// An item that an operator gave another rule set goes through that one, current or as it was, and the trace says so.
func TestItemWithRulesOfItsOwn(t *testing.T) {
	t.Parallel()
	p, hash := newPlane(t, []mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-first")}}})
	source, own := rule.Source([]mailmanager.Rule{{Actions: []mailmanager.RuleAction{relayTo("r-chosen")}}})
	p.sources[own] = source
	processor := newProcessor(p, false)
	for _, test := range []struct {
		name, id string
		hash     spool.Hash
		lane     spool.Lane
	}{
		{"none", "", spool.Hash{}, "relay/r-first"},
		{"another", "rs-chosen", own, "relay/r-chosen"},
		{"gone", "rs-gone", spool.Hash{1}, ""},
	} {
		w := work(t, hash, contents{text: content}, "x@a.example")
		w.Item.RuleSetID, w.Item.RuleSet = test.id, test.hash
		r := run(t, processor, w)[0]
		if test.lane == "" {
			if len(r.Held) != 1 || !strings.Contains(r.Held[0].Detail, "rs-gone") {
				t.Errorf("%s: got %+v", test.name, r)
			}
			continue
		}
		if len(r.Next) != 1 || r.Next[0].Lane != test.lane || r.Next[0].RuleSet != (spool.Hash{}) {
			t.Errorf("%s: got %+v, want one item in %s", test.name, r.Next, test.lane)
		}
		if id, _ := w.Item.Rules(w.Message); r.Decided.RuleSetID != id {
			t.Errorf("%s: decided by %s, want %s", test.name, r.Decided.RuleSetID, id)
		}
	}
}
