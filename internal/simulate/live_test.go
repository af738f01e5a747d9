package simulate_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/action"
	"sluice/internal/addresslist"
	"sluice/internal/certs/certtest"
	"sluice/internal/control"
	"sluice/internal/ingress"
	"sluice/internal/lint"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/process"
	"sluice/internal/queue"
	"sluice/internal/rule"
	"sluice/internal/simulate"
	"sluice/internal/smtpd"
	"sluice/internal/spool"
	"sluice/internal/spool/memory"
	"sluice/internal/trace"
	"sluice/internal/trust"
)

// letters is how many messages TestSimulationIsWhatHappens sends, however rapid is configured.
const letters = 1000

var scope = control.Scope{Account: "000000000000", Region: "us-east-1"}

func key(id string) control.Key { return control.Key{Scope: scope, ID: id} }

// plane is the control plane of one message. It is replaced between messages only.
type plane struct {
	control.Snapshot
	point  *control.IngressPoint
	policy *control.Policy
	rules  *control.RuleSet
}

func (p *plane) IngressPoint(k control.Key) (*control.IngressPoint, bool) {
	return p.point, k == p.point.Key
}

func (p *plane) Policy(k control.Key) (*control.Policy, bool) { return p.policy, k == p.policy.Key }

func (p *plane) RuleSet(k control.Key) (*control.RuleSet, bool) { return p.rules, k == p.rules.Key }

func (p *plane) Relay(s control.Scope, id string) (*control.Relay, bool) {
	return &control.Relay{Key: control.Key{Scope: s, ID: id}, Server: "192.0.2.99"}, id != "r-missing"
}

// AddressList: one list exists.
func (p *plane) AddressList(_ control.Scope, id string) (*addresslist.List, bool) {
	list := addresslist.New()
	for _, key := range membersDrawn {
		list.Add(addresslist.FromKey(key))
	}
	return list, id == string(listsDrawn[0])
}

func (p *plane) Points() iter.Seq[*control.IngressPoint] {
	return func(yield func(*control.IngressPoint) bool) { yield(p.point) }
}

func (p *plane) CheckPassword(*control.IngressPoint, string) control.Login { return control.Login{} }

// socket is an SMTP server that serves nothing: it tells as what listener sessions come.
type socket chan smtpd.Listener

func (s socket) Serve(_ net.Listener, listener smtpd.Listener) error {
	s <- listener
	return nil
}

// record is the trace of a message that came in.
type record struct {
	mu     sync.Mutex
	events []trace.Event
}

func (r *record) Append(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// take returns what was traced since the last call.
func (r *record) take() []trace.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// planned is an executor that does nothing but tell what it was given.
type planned struct{}

func (planned) Lane(spool.Lane) queue.Settings { return queue.Settings{Concurrency: 1} }

func (planned) Work(ctx context.Context, feed queue.Feed) {
	for w := feed.Next(ctx, time.Millisecond); w != nil; w = feed.Next(ctx, time.Millisecond) {
		a := trace.Attempt{Status: "QUEUED"}
		for _, to := range w.Item.Recipients {
			a.Recipients = append(a.Recipients, trace.Reply{Recipient: to.Path.Received})
		}
		feed.Done(w, queue.Result{Attempts: []trace.Attempt{a}})
	}
}

// gateway is the live path in this process, from the session's host to the lanes of relays.
type gateway struct {
	plane    *plane
	record   *record
	spool    *memory.Spool
	queue    *queue.Queue
	host     smtpd.Host
	listener smtpd.Listener
}

func newGateway(t *testing.T, strict bool) *gateway {
	point := &control.IngressPoint{
		Key: key("inp-test"), ARecord: "mx.test", Type: mailmanager.IngressPointTypeOpen, TlsPolicy: mailmanager.TlsPolicyOptional,
		Serving: true, DualStack: true, RuleSetID: "rs-test", PolicyID: "tp-test", Listeners: []string{"mx"},
	}
	g := &gateway{plane: &plane{point: point}, record: &record{}, spool: memory.New(memory.Config{})}
	log := slog.New(slog.DiscardHandler)
	processor := process.New(process.Config{
		RuleSets: g.plane, Sources: g.spool, Lists: g.plane, Planner: action.NewPlanner(action.PlannerConfig{Relays: g.plane}), Strict: func(string) bool { return strict }, Logger: log,
	})
	g.queue = queue.New(queue.Config{
		Spool: g.spool, Trace: g.record, Executors: map[string]queue.Executor{"process": processor, "relay": planned{}},
		Owner: "test", Now: time.Now, Logger: log,
	})
	in := ingress.New(ingress.Config{
		Now: time.Now, Logger: log,
		Listeners: map[string]ingress.ListenerConfig{"mx": {Addresses: []string{"127.0.0.1:0"}}},
	})
	served := make(socket, 1)
	in.Attach(g.plane, served)
	in.Carry(ingress.Mail{Spool: g.spool, Trace: g.record, Queue: g.queue})
	if _, err := in.Open(t.Context(), point); err != nil {
		t.Fatal(err)
	}
	g.host, g.listener = in.Host(), <-served
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.queue.Run(ctx) })
	t.Cleanup(func() {
		in.Shutdown()
		stop()
		running.Wait()
	})
	return g
}

// letter is one message as a client sends it.
type letter struct {
	session  smtpd.Session
	envelope message.Envelope
	content  []byte
}

// send does what smtpd does with a letter, and returns the trace when nothing is left to be done.
func (g *gateway) send(t *rapid.T, l *letter) []trace.Event {
	s := l.session
	s.Listener = &g.listener
	s.Binding, _ = g.host.Open(t.Context(), &s)
	if s.TLS.Version != "" {
		s.Binding, _ = g.host.Secured(t.Context(), &s)
	}
	tx := &smtpd.Transaction{Session: &s, Envelope: l.envelope}
	tx.Envelope.Recipients = nil
	if reply := s.Binding.Mail(t.Context(), tx); reply != nil {
		t.Fatal(reply)
	}
	for _, to := range l.envelope.Recipients {
		if s.Binding.Recipient(t.Context(), tx, to) == nil {
			tx.Envelope.Recipients = append(tx.Envelope.Recipients, to)
		}
	}
	if len(tx.Envelope.Recipients) > 0 {
		g.data(t, tx, l.content)
	}
	return g.record.take()
}

func (g *gateway) data(t *rapid.T, tx *smtpd.Transaction, content []byte) {
	binding := tx.Session.Binding
	sink, reply := binding.Data(t.Context(), tx)
	if reply != nil {
		t.Fatal(reply)
	}
	if reply := smtpd.CheckContent(content, binding.MaxSize()); reply != nil {
		sink.Abort()
		g.host.Refused(tx.Session, tx, "DATA", reply)
		return
	}
	if _, err := sink.Write(content); err != nil {
		t.Fatal(err)
	}
	reply = sink.Commit(t.Context())
	id, err := message.ParseID(strings.TrimPrefix(reply.Text, "OK "))
	if err != nil {
		t.Fatal(reply)
	}
	g.settled(t, id)
}

// settled waits until nothing of the message is left that is not at rest.
func (g *gateway) settled(t *rapid.T, id message.ID) {
	again := time.NewTicker(50 * time.Microsecond)
	defer again.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-again.C {
		_, items, err := g.spool.Message(context.Background(), id)
		if err != nil || !slices.ContainsFunc(items, func(i spool.Item) bool { return !i.Lane.Held() }) {
			return
		}
	}
	t.Fatal("the message is not settled within a minute")
}

// drawLetter draws a session, with a certificate in some of those with TLS, and a message.
func drawLetter(t *rapid.T, certificates []*x509.Certificate) *letter {
	now := time.Now()
	l := &letter{content: drawContent(t)}
	l.session = smtpd.Session{
		ID: message.NewID(now), Started: now, Remote: drawClient(t), Local: netip.MustParseAddrPort("192.0.2.25:25"),
		Hello: one(t, "hello", "x.example", "hello"), Extended: true,
	}
	if l.session.TLS.Version = one(t, "TLS", "", "TLSv1.2", "TLSv1.3"); l.session.TLS.Version != "" {
		l.session.TLS.Wrapped = rapid.Bool().Draw(t, "wrapped")
		l.session.TLS.Certificates = one(t, "certificate", nil, certificates[:1], certificates[1:])
	}
	l.envelope.Recipients = drawRecipients(t)
	if rapid.Bool().Draw(t, "sender") {
		l.envelope.ReversePath = drawRecipients(t)[0].Path
	}
	return l
}

// simulated is the letter as a simulation has it.
func (l *letter) simulated() simulate.Message {
	facts := l.session
	facts.Listener = &smtpd.Listener{}
	m := simulate.Message{ID: message.NewID(time.Now()), Session: facts.Facts(), Envelope: l.envelope, Content: l.content}
	if len(l.session.TLS.Certificates) > 0 {
		m.Session.Certificate = trust.Facts(l.session.TLS.Certificates[0])
	}
	return m
}

// lines are the events in their stable form, one a line; the steps after a decision, which end in any order, are sorted.
func lines(t *rapid.T, events []trace.Event) []string {
	text, err := simulate.Stable(events)
	if err != nil {
		t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	out, decided := make([]string, len(list)), len(list)
	for i, e := range list {
		out[i] = string(e)
		if events[i].Decided != nil {
			decided = i
		}
	}
	slices.Sort(out[decided:])
	return out
}

// TestSimulationIsWhatHappens sends drawn messages through drawn policies and rule sets, and simulates each: the traces are the
// same, which is decisions, reasons, steps, and what comes to rest. And what lint says can never match does not.
func TestSimulationIsWhatHappens(t *testing.T) {
	t.Parallel()
	certificates := []*x509.Certificate{certtest.New(t, "hello", nil).Certificate(), certtest.New(t, "1", nil).Certificate()}
	gateways := map[bool]*gateway{false: newGateway(t, false), true: newGateway(t, true)}
	seen := map[string]int{}
	for n := 0; n < letters; {
		rapid.Check(t, func(t *rapid.T) {
			n++
			strict := rapid.IntRange(0, 4).Draw(t, "strict") == 0
			compare(t, gateways[strict], drawLetter(t, certificates), strict, seen)
		})
		if t.Failed() {
			return
		}
	}
	for _, kind := range []string{"accepted", "refused", "decided", "QUEUED", "FAILURE", "held", "never"} {
		if seen[kind] < letters/50 {
			t.Errorf("%s: seen %d times in %d messages, which proves little", kind, seen[kind], letters)
		}
	}
}

func compare(t *rapid.T, g *gateway, l *letter, strict bool, seen map[string]int) {
	rules := drawRules(t)
	set, err := rule.Compile(rules)
	if err != nil {
		t.Fatal(err)
	}
	statements := drawStatements(t)
	pol, err := policy.Compile(policy.Source{
		Statements: statements, MaxSize: one[int64](t, "max size", 0, 120),
		Default: one(t, "default", mailmanager.AcceptActionAllow, mailmanager.AcceptActionAllow, mailmanager.AcceptActionDeny),
	})
	if err != nil {
		t.Fatal(err)
	}
	source, hash := rule.Source(rules)
	g.plane.policy = &control.Policy{Key: key("tp-test"), Policy: pol}
	g.plane.rules = &control.RuleSet{Key: key("rs-test"), Hash: hash, Source: source, Set: set}
	m := l.simulated()
	m.Session.Account, m.Session.Region = scope.Account, scope.Region
	events, err := simulate.Run(t.Context(), simulate.Config{
		Policy: pol, RuleSet: set, Planner: action.NewPlanner(action.PlannerConfig{Relays: g.plane}), Strict: strict, Lists: g.plane,
	}, m)
	if err != nil {
		t.Fatal(err)
	}
	count(events, seen)
	for _, f := range append(lint.RuleSet(rules, lint.Known{}), lint.Policy(statements, mailmanager.AcceptActionAllow, lint.Known{})...) {
		if (f.Code == lint.NeverMatches || f.Code == lint.NeverDecides) && applied(events, f) {
			t.Errorf("it did all the same: %+v", f)
		} else if f.Code == lint.NeverMatches {
			seen["never"]++
		}
	}
	if diff := cmp.Diff(lines(t, g.send(t, l)), lines(t, events)); diff != "" {
		t.Errorf("what happened (-) is not what was simulated (+):\n%s", diff)
	}
}

// applied reports whether the rule or statement of a finding has matched.
func applied(events []trace.Event, f lint.Finding) bool {
	for _, e := range events {
		switch {
		case f.Code == lint.NeverMatches && e.Decided != nil:
			return slices.ContainsFunc(e.Decided.Rules, func(r rule.Reason) bool { return r.Rule == f.Index && len(r.Matched) > 0 })
		case f.Code == lint.NeverDecides && e.Refused != nil && slices.ContainsFunc(e.Refused.Decisions, by(f.Index)):
			return true
		case f.Code == lint.NeverDecides && e.Accepted != nil && slices.ContainsFunc(e.Accepted.Decisions, by(f.Index)):
			return true
		}
	}
	return false
}

func by(statement int) func(policy.Decision) bool {
	return func(d policy.Decision) bool { return d.By == statement }
}

// count counts the kinds of events.
func count(events []trace.Event, seen map[string]int) {
	for i := range events {
		switch e := &events[i]; {
		case e.Accepted != nil:
			seen["accepted"]++
		case e.Refused != nil:
			seen["refused"]++
		case e.Decided != nil:
			seen["decided"]++
		case e.Attempt != nil:
			seen[e.Attempt.Status]++
		case e.Held != nil:
			seen["held"]++
		}
	}
}
