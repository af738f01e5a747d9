package ingress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/addresslist"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/message"
	"sluice/internal/policy"
	"sluice/internal/rule"
	"sluice/internal/smtp"
	"sluice/internal/smtpd"
	"sluice/internal/spool"
	"sluice/internal/spool/memory"
	"sluice/internal/trace"
)

// fakeQueue takes what it has room for.
type fakeQueue struct {
	mu       sync.Mutex
	noRoom   bool
	refuse   bool
	behind   string
	offered  []spool.Claimed
	notified int
}

func (q *fakeQueue) Lease() (string, time.Time)      { return "test", time.Now().Add(time.Hour) }
func (q *fakeQueue) Room(int64) bool                 { return !q.noRoom }
func (q *fakeQueue) Behind() (reason string, b bool) { return q.behind, q.behind != "" }
func (q *fakeQueue) Offer(c spool.Claimed) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refuse {
		return false
	}
	q.offered = append(q.offered, c)
	return true
}

func (q *fakeQueue) Notify(spool.Lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.notified++
}

// recorder keeps trace events.
type recorder struct {
	mu     sync.Mutex
	events []trace.Event
}

func (r *recorder) Append(e trace.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) last(t *testing.T) trace.Event {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.events) - 1; i >= 0; i-- {
		if r.events[i].Ended == nil { // which comes when the client has heard the rest
			return r.events[i]
		}
	}
	t.Fatal("nothing was traced")
	return trace.Event{}
}

type traceEvent = trace.Event

// await waits for an event that is of that kind.
func (r *recorder) await(t *testing.T, is func(*traceEvent) bool) traceEvent {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.After(20 * time.Second); ; {
		if e, ok := r.find(is); ok {
			return e
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("no such event was traced")
		}
	}
}

func (r *recorder) find(is func(*traceEvent) bool) (traceEvent, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.events {
		if is(&r.events[i]) {
			return r.events[i], true
		}
	}
	return traceEvent{}, false
}

// gateway is an Ingress with one point on a real socket.
type gateway struct {
	in      *Ingress
	plane   *plane
	point   *control.IngressPoint
	spool   spool.Spool
	queue   *fakeQueue
	trace   *recorder
	mail    Mail
	address string
}

func recipientCondition(op mailmanager.IngressStringOperator, values ...string) mailmanager.PolicyCondition {
	attribute := mailmanager.IngressStringEmailAttributeRecipient
	return mailmanager.PolicyCondition{StringExpression: &mailmanager.IngressStringExpression{
		Evaluate: &mailmanager.IngressStringToEvaluate{Attribute: &attribute}, Operator: &op, Values: values,
	}}
}

// newGateway has a policy that takes recipients at example.net only, up to 2,000 octets.
func newGateway(t *testing.T, change func(*gateway, *Config)) *gateway {
	t.Helper()
	allow := mailmanager.AcceptActionAllow
	pol, err := policy.Compile(policy.Source{ID: "tp-test", Default: mailmanager.AcceptActionDeny, MaxSize: 2000, Statements: []mailmanager.PolicyStatement{
		{Action: &allow, Conditions: []mailmanager.PolicyCondition{recipientCondition(mailmanager.IngressStringOperatorEndsWith, "@example.net")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	source, hash := rule.Source(nil)
	set, err := rule.Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{spool: memory.New(memory.Config{}), queue: &fakeQueue{}, trace: &recorder{}}
	g.point = testPoint("inp-test")
	g.point.Type, g.point.TlsPolicy = mailmanager.IngressPointTypeOpen, mailmanager.TlsPolicyOptional
	g.point.ARecord, g.point.PolicyID, g.point.RuleSetID = "mx.test", "tp-test", "rs-test"
	g.plane = &plane{
		points:   map[control.Key]*control.IngressPoint{g.point.Key: g.point},
		policies: map[control.Key]*control.Policy{testKey("tp-test"): {Key: testKey("tp-test"), Policy: pol}},
		rules:    map[control.Key]*control.RuleSet{testKey("rs-test"): {Key: testKey("rs-test"), Hash: hash, Source: source, Set: set}},
	}
	g.mail = Mail{Spool: g.spool, Queue: g.queue, Trace: g.trace}
	low := freePorts(t, 1)
	cfg := Config{
		Pool: Pool{Host: "127.0.0.1", Low: low, High: low}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(g, &cfg)
	}
	g.in = New(cfg)
	server := smtpd.New(smtpd.Config{Hostname: "shared.test", Host: g.in.Host()})
	g.in.Attach(g.plane, server)
	g.in.Carry(g.mail)
	if g.address, err = g.in.Open(t.Context(), g.point); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.in.Shutdown()
		server.Shutdown(context.Background())
	})
	return g
}

// talk sends lines, each after the reply to the one before, and returns the replies' last lines.
func talk(t *testing.T, address string, lines ...string) []string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	replies := []string{readReply(t, r)}
	for _, line := range lines {
		if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
			t.Fatal(err)
		}
		replies = append(replies, readReply(t, r))
	}
	return replies
}

func readReply(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("read a reply: %v", err)
		}
		if len(line) > 3 && line[3] == ' ' {
			return strings.TrimRight(line, "\r\n")
		}
	}
}

const testContent = "Subject: hello\r\n\r\nBody.\r\n"

var wholeMessage = []string{"EHLO client.test", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.net>", "DATA", testContent + "."}

// Mail Manager, B14: durable before the 250, whose last word is the message id; then handed over.
func TestAcceptedMessageIsSpooledTracedAndHandedOver(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B14")
	g := newGateway(t, nil)
	replies := talk(t, g.address, wholeMessage...)
	final := replies[len(replies)-1]
	idText, ok := strings.CutPrefix(final, "250 2.0.0 OK ")
	if !ok {
		t.Fatalf("final reply %q", final)
	}
	id, err := message.ParseID(idText)
	if err != nil {
		t.Fatal(err)
	}
	m, items, err := g.spool.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if m.Envelope.ReversePath.Received != "a@example.org" || m.Size != int64(len(testContent)) || m.RuleSetID != "rs-test" {
		t.Errorf("spooled message %+v", m)
	}
	if m.Session.Account != testScope.Account || m.Session.IngressPoint != "inp-test" || m.Session.Hello != "client.test" {
		t.Errorf("session facts %+v", m.Session)
	}
	if len(items) != 1 || items[0].Lane != spool.LaneProcess || len(items[0].Recipients) != 1 {
		t.Errorf("items %+v, want one in lane process", items)
	}
	if !strings.HasPrefix(m.Trace, "Received: from client.test ") || !strings.Contains(m.Trace, idText) {
		t.Errorf("trace field %q", m.Trace)
	}
	if len(g.queue.offered) != 1 || g.queue.offered[0].Item.Message != id {
		t.Errorf("offered %+v", g.queue.offered)
	}
	event := g.trace.last(t)
	if event.Accepted == nil || event.Message != id || len(event.Accepted.Decisions) != 1 || event.Accepted.Decisions[0].By != 1 {
		t.Errorf("traced %+v", event)
	}
	if _, err := g.spool.RuleSet(t.Context(), m.RuleSet); err != nil {
		t.Errorf("rule set of the message: %v", err)
	}
}

// What the queue has no room for, or does not take, waits in the spool for whoever claims it.
func TestMessageWithoutRoomWaitsInTheSpool(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		set  func(*fakeQueue)
	}{
		{"no room", func(q *fakeQueue) { q.noRoom = true }},
		{"not taken", func(q *fakeQueue) { q.refuse = true }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, func(g *gateway, _ *Config) { tt.set(g.queue) })
			replies := talk(t, g.address, wholeMessage...)
			if final := replies[len(replies)-1]; !strings.HasPrefix(final, "250 ") {
				t.Fatalf("final reply %q", final)
			}
			if g.queue.notified != 1 {
				t.Errorf("queue was notified %d times, want once", g.queue.notified)
			}
			now := time.Now()
			claimed, _, err := g.spool.Claim(t.Context(), spool.LaneProcess, 10, "other", now, now.Add(time.Minute))
			if err != nil || len(claimed) != 1 {
				t.Errorf("another owner claims %d items, %v, want the one", len(claimed), err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B3", "B4", "B6", "B7", "B9", "B13")
	tests := []struct {
		name   string
		change func(*gateway, *Config)
		lines  []string
		want   string // the last reply
		reason string // in the trace
	}{
		{
			name: "B3: clear text at a point that requires TLS", change: func(g *gateway, _ *Config) { g.point.TlsPolicy = mailmanager.TlsPolicyRequired },
			lines: wholeMessage[:2], want: "530 5.7.0 Must issue a STARTTLS command first", reason: "TLS",
		},
		{
			name: "B3: FIPS too", change: func(g *gateway, _ *Config) { g.point.TlsPolicy = mailmanager.TlsPolicyFips },
			lines: wholeMessage[:2], want: "530 5.7.0 ", reason: "TLS",
		},
		{
			name: "B13: closed point", change: func(g *gateway, _ *Config) { g.point.Serving = false },
			want: "421 4.3.2 Service not available", reason: "not serving",
		},
		{
			name: "B4: AUTH point without AUTH", change: func(g *gateway, _ *Config) { g.point.Type = mailmanager.IngressPointTypeAuth },
			lines: wholeMessage[:2], want: "530 5.7.0 Authentication required", reason: "password",
		},
		{
			name: "B6: MTLS point without a certificate", change: func(g *gateway, _ *Config) { g.point.Type = mailmanager.IngressPointTypeMtls },
			lines: wholeMessage[:2], want: "530 5.7.0 Client certificate required", reason: "certificate",
		},
		{
			name: "policy is gone", change: func(g *gateway, _ *Config) { g.point.PolicyID = "tp-other" },
			want: "421 4.3.2 ", reason: "policy is gone",
		},
		{
			name: "B7: denied recipient", lines: []string{wholeMessage[0], wholeMessage[1], "RCPT TO:<b@example.com>"},
			want: "550 5.7.1 ", reason: "denied",
		},
		{
			name: "B9: declared size over the policy's", lines: []string{wholeMessage[0], "MAIL FROM:<a@example.org> SIZE=2001"},
			want: "552 5.3.4 ",
		},
		{
			name: "B9: content over the policy's size", lines: append(wholeMessage[:4:4], strings.Repeat(strings.Repeat("x", 70)+"\r\n", 30)+"."),
			want: "552 5.3.4 ",
		},
		{
			name: "processing is behind", change: func(g *gateway, _ *Config) { g.queue.behind = "the oldest is 11 minutes old" },
			lines: wholeMessage[:2], want: "452 4.3.1 ", reason: "11 minutes",
		},
		{
			name: "storage is short", change: func(g *gateway, _ *Config) {
				g.mail.Reserve = func(int64) (func(), string, bool) { return nil, "1 MiB free", false }
			},
			lines: wholeMessage[:2], want: "452 4.3.1 ", reason: "1 MiB free",
		},
		{
			name: "rule set is gone", change: func(g *gateway, _ *Config) { g.point.RuleSetID = "rs-other" },
			lines: wholeMessage, want: "451 4.3.0 ", reason: "rule set is gone",
		},
		{
			name: "spool does not begin", change: func(g *gateway, _ *Config) { g.mail.Spool = failingSpool{g.spool, true} },
			lines: wholeMessage[:4], want: "451 4.3.0 ", reason: "broken",
		},
		{
			name: "spool does not accept", change: func(g *gateway, _ *Config) { g.mail.Spool = failingSpool{g.spool, false} },
			lines: wholeMessage, want: "451 4.3.0 ", reason: "broken",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGateway(t, tt.change)
			replies := talk(t, g.address, tt.lines...)
			if last := replies[len(replies)-1]; !strings.HasPrefix(last, tt.want) {
				t.Errorf("got %q, want %q", last, tt.want)
			}
			event := g.trace.last(t)
			if event.Refused == nil || !strings.Contains(event.Refused.Reason, tt.reason) || event.Account != testScope.Account {
				t.Errorf("traced %+v, want a refusal because of %q", event.Refused, tt.reason)
			}
			if len(g.queue.offered) != 0 {
				t.Error("a refused message was handed over")
			}
			stats, err := g.spool.Lanes(t.Context())
			if err != nil || len(stats) != 0 {
				t.Errorf("lanes %v, %v: a refused message was kept", stats, err)
			}
		})
	}
}

var errBroken = errors.New("broken")

// failingSpool is one whose disk fails.
type failingSpool struct {
	Spool
	begin bool
}

func (s failingSpool) Begin(ctx context.Context, id message.ID) (spool.Incoming, error) {
	if s.begin {
		return nil, errBroken
	}
	return s.Spool.Begin(ctx, id)
}

func (s failingSpool) Accept(_ context.Context, a spool.Acceptance) (spool.Content, error) {
	a.Content.Abort()
	return nil, errBroken
}

// Mail Manager, C8: a session keeps the policy it began with; the next session has the new one.
func TestPolicyIsTakenWhenTheSessionBegins(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C8")
	g := newGateway(t, nil)
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	readReply(t, r)

	denyAll, err := policy.Compile(policy.Source{ID: "tp-deny", Default: mailmanager.AcceptActionDeny})
	if err != nil {
		t.Fatal(err)
	}
	g.plane.policies[testKey("tp-deny")] = &control.Policy{Key: testKey("tp-deny"), Policy: denyAll}
	changed := *g.point
	changed.PolicyID = "tp-deny"
	g.plane.mu.Lock()
	g.plane.points[g.point.Key] = &changed
	g.plane.mu.Unlock()

	for _, line := range wholeMessage[:3] {
		fmt.Fprintf(conn, "%s\r\n", line)
		if reply := readReply(t, r); !strings.HasPrefix(reply, "250 ") {
			t.Errorf("running session: %s: %q", line, reply)
		}
	}
	replies := talk(t, g.address, wholeMessage[:3]...)
	if last := replies[len(replies)-1]; !strings.HasPrefix(last, "550 ") {
		t.Errorf("new session: %q, want the new policy's 550", last)
	}
}

// Mail Manager, F15 and C7: a member counts as soon as it is registered, and a list of another account is none at all.
func TestAddressListsAreAskedWhenThePolicyDecides(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C7", "F15")
	pol, err := policy.Compile(policy.Source{ID: "tp-list", Default: mailmanager.AcceptActionDeny, Statements: []mailmanager.PolicyStatement{
		{Action: mailmanager.Ptr(mailmanager.AcceptActionAllow), Conditions: []mailmanager.PolicyCondition{listCondition("al-1")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, func(g *gateway, c *Config) {
		withTLS(t, c)
		g.plane.policies[testKey("tp-list")] = &control.Policy{Key: testKey("tp-list"), Policy: pol}
		g.point.PolicyID = "tp-list"
	})
	setList := func(key control.Key, members ...string) {
		list := addresslist.New()
		for _, key := range members {
			list.Add(addresslist.FromKey(key))
		}
		g.plane.mu.Lock()
		defer g.plane.mu.Unlock()
		g.plane.lists = map[control.Key]*addresslist.List{key: list}
	}
	ask := func(want string, result policy.Result) {
		t.Helper()
		c := call(t, g.address)
		c.say("EHLO client.test", "250")
		c.say("MAIL FROM:<a@example.org>", "250")
		if reply := c.say("RCPT TO:<B@Example.net>", want); strings.HasPrefix(reply, "550") {
			condition := g.trace.last(t).Refused.Decisions[0].Statements[0].Conditions[0]
			if condition.Result != result || condition.Seen != "B@Example.net" || condition.Values[0] != "al-1" || (condition.Why != "") != (result == policy.ResultCannotTell) {
				t.Errorf("got %+v in the trace, want %v", condition, result)
			}
		}
	}
	ask("550", policy.ResultCannotTell)
	setList(control.Key{Scope: control.Scope{Account: "111111111111", Region: testScope.Region}, ID: "al-1"}, "b@example.net")
	ask("550", policy.ResultCannotTell)
	setList(testKey("al-1"), "c@example.net")
	ask("550", policy.ResultNoMatch)

	running := call(t, g.address)
	if err := running.secure(&tls.Config{}); err != nil {
		t.Fatal(err)
	}
	running.say("MAIL FROM:<a@example.org>", "250")
	running.say("RCPT TO:<b@example.net>", "550")
	list, _ := g.plane.AddressList(testScope, "al-1")
	list.Add(addresslist.FromKey("b@example.net"))
	ask("250", policy.ResultMatch)
	running.say("RCPT TO:<b@example.net>", "250")
	list.Remove(addresslist.FromKey("b@example.net"))
	ask("550", policy.ResultNoMatch)
}

func listCondition(list mailmanager.AddressListArn) mailmanager.PolicyCondition {
	return mailmanager.PolicyCondition{BooleanExpression: &mailmanager.IngressBooleanExpression{
		Operator: mailmanager.Ptr(mailmanager.IngressBooleanOperatorIsTrue),
		Evaluate: &mailmanager.IngressBooleanToEvaluate{IsInAddressList: &mailmanager.IngressIsInAddressList{
			Attribute: mailmanager.Ptr(mailmanager.IngressAddressListEmailAttributeRecipient), AddressLists: []mailmanager.AddressListArn{list},
		}},
	}}
}

// Mail Manager, B19: several points on one listener are told apart by the tag sluice:default; without one, MAIL gets 421.
func TestSharedListenerBindsAtMail(t *testing.T) {
	t.Parallel()
	low := freePorts(t, 1)
	address := fmt.Sprintf("127.0.0.1:%d", low)
	g := newGateway(t, func(g *gateway, c *Config) {
		c.Listeners = map[string]ListenerConfig{"mx": {Addresses: []string{address}}}
		g.point.Listeners = []string{"mx"}
	})
	other := *g.point
	other.Key = testKey("inp-other")
	g.plane.mu.Lock()
	g.plane.points[other.Key] = &other
	g.plane.mu.Unlock()
	if replies := talk(t, address, wholeMessage[:2]...); !strings.HasPrefix(replies[0], "220 mx.test ") || !strings.HasPrefix(replies[2], "250 ") {
		t.Errorf("the only point of a listener: %q", replies)
	}
	if _, err := g.in.Open(t.Context(), &other); err != nil {
		t.Fatal(err)
	}
	replies := talk(t, address, wholeMessage[:2]...)
	if !strings.HasPrefix(replies[0], "220 shared.test ") || !strings.HasPrefix(replies[2], "421 4.3.2") {
		t.Errorf("two points, no default: %q", replies)
	}
	preferred := other
	preferred.Default = true
	g.plane.mu.Lock()
	g.plane.points[other.Key] = &preferred
	g.plane.mu.Unlock()
	if replies := talk(t, address, wholeMessage...); !strings.HasPrefix(replies[len(replies)-1], "250 2.0.0 OK ") {
		t.Errorf("two points, one default: %q", replies)
	}
	if event := g.trace.last(t); event.Accepted == nil || event.Accepted.Facts.IngressPoint != "inp-other" {
		t.Errorf("traced %+v, want the default point", event)
	}
}

// TestS29NothingIsServedWithoutStorage: until there is a control plane, and somewhere for mail to go, every session is answered
// 421; from then on it is served.
func TestS29NothingIsServedWithoutStorage(t *testing.T) {
	t.Parallel()
	point, plain := testPoint("inp-test"), smtpd.New(smtpd.Config{})
	in := New(Config{Now: time.Now, Logger: slog.New(slog.DiscardHandler), Listeners: map[string]ListenerConfig{"mx": {}}})
	open := func(tag any) *smtp.Reply {
		s := &smtpd.Session{Listener: &smtpd.Listener{Tag: tag}}
		_, reply := in.Host().Open(t.Context(), s)
		in.Host().Closed(s)
		return reply
	}
	refused := func(want error) {
		t.Helper()
		for _, tag := range []any{pointTag{point.Key}, sharedTag{"mx"}} {
			if reply := open(tag); reply == nil || reply.String() != "421 4.3.2 Service not available" || !errors.Is(reply, want) {
				t.Errorf("%T: got %v, want 421 because %v", tag, reply, want)
			}
		}
	}
	refused(ErrNotAttached)
	in.Attach(&plane{points: map[control.Key]*control.IngressPoint{point.Key: point}}, plain)
	in.editMembers("mx", func([]control.Key) []control.Key { return []control.Key{point.Key, testKey("inp-other")} })
	refused(ErrNoStorage)
	recorder := &recorder{}
	in.Carry(Mail{Trace: recorder})
	if reply := open(pointTag{point.Key}); !errors.Is(reply, errNoPolicy) {
		t.Errorf("got %v, want that the session is taken up to the point's policy", reply)
	}
	recorder.last(t)
}
