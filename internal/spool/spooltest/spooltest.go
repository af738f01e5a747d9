// Package spooltest is the contract suite of spools: Run for what one caller sees, Compare for long random histories
// beside the spool in memory. Every implementation passes both.
package spooltest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

// Opener opens an empty spool whose content in memory is charged to the budget. The suite closes it.
type Opener func(t testing.TB, budget *spool.Budget) spool.Spool

// Epoch is when the suite's time begins.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, *fixture){
		"accepted message is found":           testAcceptedIsFound,
		"content is read from anywhere":       testContent,
		"prefix":                              testPrefix,
		"memory goes back to the budget":      testBudget,
		"aborted content is gone":             testAbort,
		"acceptances that are refused":        testAcceptRefusals,
		"rule set is kept once":               testRuleSet,
		"claim in order and when due":         testClaimOrder,
		"what accept claimed":                 testAcceptClaims,
		"chosen items are claimed":            testClaimItems,
		"chosen items of others":              testClaimItemsOfOthers,
		"chosen items beside workers":         testClaimItemsBesideWorkers,
		"rule set of an item's own":           testAddRuleSet,
		"leases end for others":               testLeaseEnd,
		"leases do not end for their owner":   testOwnLease,
		"renewed leases last":                 testRenew,
		"released items come back":            testRelease,
		"settle takes the last item out":      testSettleLast,
		"settle brings items in":              testSettleIn,
		"settle reschedules":                  testReschedule,
		"settle refuses lost leases whole":    testSettleLost,
		"settle says which failed":            testSettleSome,
		"settlements that are refused":        testSettleRefusals,
		"settle bears messages":               testBirths,
		"births that are refused":             testBirthRefusals,
		"scan goes on after an item":          testScan,
		"lanes are counted":                   testLanes,
		"lanes are counted while they settle": testLanesWhileSettling,
		"long lanes":                          testLongLane,
		"many workers":                        testWorkers,
		"not found":                           testNotFound,
		"cancelled context":                   testCancelled,
		"closed":                              testClosed,
		"items of one message settle at once": testSettleAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newFixture(t, open))
		})
	}
}

// fixture is an open spool and the means to use it shortly.
type fixture struct {
	spool.Spool
	t      testing.TB
	budget *spool.Budget
}

func newFixture(t testing.TB, open Opener) *fixture {
	budget := spool.NewBudget(0)
	f := &fixture{Spool: open(t, budget), t: t, budget: budget}
	t.Cleanup(func() {
		if err := f.Close(); err != nil && !errors.Is(err, spool.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return f
}

// after is a time of the suite.
func after(seconds int) time.Time { return Epoch.Add(time.Duration(seconds) * time.Second) }

// Message makes a message with every field set.
func Message() spool.Message {
	id := message.NewID(Epoch)
	return spool.Message{
		ID: id,
		Session: message.Session{
			ID: message.NewID(Epoch), Account: "123456789012", Region: "eu-central-1", IngressPoint: "inp-1", Listener: "mx",
			Started: Epoch, Client: netip.MustParseAddrPort("192.0.2.1:4321"), Local: netip.MustParseAddrPort("[2001:db8::1]:25"),
			ClientName: "client.example", Hello: "client.example", Extended: true, TLSVersion: "TLSv1.3",
			TLSCipher: "TLS_AES_128_GCM_SHA256", TLSWrapped: true, AuthUser: "user", AuthVersion: "2", SecretARN: "arn:aws:secretsmanager:eu-central-1:123456789012:secret:s",
			Certificate: &message.Certificate{
				CommonNames: []string{"client", "Client"}, SerialNumber: "0A:DE", RFC822Names: []string{"client@example.com"},
				DNSNames: []string{"client.example"}, DirectoryNames: []string{"CN=client"}, URIs: []string{"spiffe://client"},
				IPAddresses: []string{"192.0.2.1"}, RegisteredIDs: []string{"1.2.3"}, Subject: "CN=client,O=Example", Issuer: "CN=CA,O=Example",
				NotBefore: Epoch.AddDate(-1, 0, 0), NotAfter: Epoch.AddDate(1, 0, 0),
			},
		},
		Envelope: message.Envelope{
			ReversePath: path("sender", "example.com"), EightBit: true, UTF8: true, EnvelopeID: "envelope", Return: "HDRS",
			Recipients: []message.Recipient{
				{Path: path("one", "example.net"), Notify: "SUCCESS,FAILURE", Original: "rfc822;one@example.net"},
				{Path: path("two", "example.net")},
			},
		},
		ReceivedAt: Epoch.Add(time.Millisecond),
		Trace:      "Received: from client.example\r\n",
		RuleSetID:  "rs-1",
		RuleSet:    sha256.Sum256([]byte("rules")),
	}
}

func path(local, domain string) smtp.Path {
	return smtp.Path{Received: local + "@" + domain, Local: local, Domain: domain}
}

// Item makes an item of a message for its first recipient.
func Item(m *spool.Message, seq uint32, lane spool.Lane, due time.Time) spool.Item {
	return spool.Item{ItemKey: spool.ItemKey{Message: m.ID, Seq: seq}, Lane: lane, Due: due, Recipients: m.Envelope.Recipients[:1]}
}

// Octets makes content that differs everywhere.
func Octets(n int) []byte {
	content := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(content) // never fails
	return content
}

// accept takes a message in with items that nobody owns.
func (f *fixture) accept(content []byte, lanes ...spool.Lane) (*spool.Message, []spool.Item) {
	f.t.Helper()
	m := Message()
	items := make([]spool.Item, len(lanes))
	for i, lane := range lanes {
		items[i] = Item(&m, uint32(i+1), lane, Epoch)
	}
	f.acceptItems(&m, content, "", items...)
	return &m, items
}

func (f *fixture) acceptItems(m *spool.Message, content []byte, owner string, items ...spool.Item) {
	f.t.Helper()
	m.Size = int64(len(content))
	held, err := f.Accept(f.t.Context(), spool.Acceptance{
		Message: *m, Content: f.incoming(m.ID, content), Items: items, Rules: []byte("rules"), Owner: owner, Until: after(60),
	})
	if err != nil {
		f.t.Fatalf("accept: %v", err)
	}
	if held != nil {
		held.Release()
	}
}

func (f *fixture) incoming(id message.ID, content []byte) spool.Incoming {
	f.t.Helper()
	in, err := f.Begin(f.t.Context(), id)
	if err != nil {
		f.t.Fatalf("begin: %v", err)
	}
	if n, err := in.Write(content); err != nil || n != len(content) {
		f.t.Fatalf("write: %d of %d, %v", n, len(content), err)
	}
	return in
}

// claim claims at a time, for a minute.
func (f *fixture) claim(lane spool.Lane, n int, owner string, now time.Time) []spool.Claimed {
	f.t.Helper()
	claimed, _, err := f.Claim(f.t.Context(), lane, n, owner, now, now.Add(time.Minute))
	if err != nil {
		f.t.Fatalf("claim: %v", err)
	}
	return claimed
}

func (f *fixture) settle(s ...spool.Settlement) {
	f.t.Helper()
	if err := f.Settle(f.t.Context(), s...); err != nil {
		f.t.Fatalf("settle: %v", err)
	}
}

// items returns what a lane has, by Scan.
func (f *fixture) items(lane spool.Lane) []spool.Item {
	f.t.Helper()
	found, err := f.Scan(f.t.Context(), lane, nil, 1<<20)
	if err != nil {
		f.t.Fatalf("scan: %v", err)
	}
	return itemsOf(found)
}

func (f *fixture) content(id message.ID, from int64) ([]byte, error) {
	r, err := f.Content(context.Background(), id, from)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(r)
	return content, errors.Join(err, r.Close())
}

func itemsOf(claimed []spool.Claimed) []spool.Item {
	items := make([]spool.Item, len(claimed))
	for i, c := range claimed {
		items[i] = c.Item
	}
	return items
}

func keys(items ...spool.Item) []spool.ItemKey {
	var all []spool.ItemKey
	for _, i := range items {
		all = append(all, i.ItemKey)
	}
	return all
}

// diff compares with empty slices as nil, and addresses as they print.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }))
}

// same fails the test when got is not want.
func (f *fixture) same(what string, want, got any) {
	f.t.Helper()
	if d := diff(want, got); d != "" {
		f.t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

// refused fails the test when err is not want.
func (f *fixture) refused(what string, err, want error) {
	f.t.Helper()
	if !errors.Is(err, want) {
		f.t.Fatalf("%s: got %v, want %v", what, err, want)
	}
}

func testAcceptedIsFound(t *testing.T, f *fixture) {
	m := Message()
	content := Octets(10 << 10)
	m.Size = int64(len(content))
	item := Item(&m, 7, spool.LaneProcess, Epoch)
	item.State, item.Cursor, item.Rule, item.Action, item.Node = []byte("state"), []byte("cursor"), 1, 2, 3
	item.RuleName, item.ActionName, item.Attempts, item.LastReply, item.Crashes = "rule", "RELAY", 4, "450 later", 5
	held, err := f.Accept(t.Context(), spool.Acceptance{Message: m, Content: f.incoming(m.ID, content), Items: []spool.Item{item}, Rules: []byte("rules")})
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	if held == nil || held.Size() != m.Size || !bytes.Equal(bytes.Join(held.Bytes(), nil), content) {
		t.Fatalf("small content is not in memory as written")
	}
	held.Release()
	got, items, err := f.Message(t.Context(), m.ID)
	if err != nil {
		t.Fatalf("message: %v", err)
	}
	f.same("message", &m, got)
	f.same("items", []spool.Item{item}, items)
	claimed := f.claim(spool.LaneProcess, 10, "a", Epoch)
	f.same("claimed", []spool.Claimed{{Item: item, Message: &m}}, claimed)
}

func testContent(t *testing.T, f *fixture) {
	for _, size := range []int{0, 1, 4 << 10, spool.ChunkOctets - 1, spool.ChunkOctets, spool.ChunkOctets + 1, 3*spool.ChunkOctets + 17, 5<<20 + 3} {
		content := Octets(size)
		m, _ := f.accept(content, spool.LaneProcess)
		for _, from := range []int{0, 1, size / 2, spool.ChunkOctets, size - 1, size, size + 1} {
			want := content[max(0, min(from, size)):]
			got, err := f.content(m.ID, int64(from))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("content of %d octets from %d: got %d octets, %v, want %d", size, from, len(got), err, len(want))
			}
		}
	}
}

func testPrefix(t *testing.T, f *fixture) {
	for _, size := range []int{0, 1, 5000, spool.ChunkOctets, spool.ChunkOctets + 1, spool.ChunkOctets + 2, 3 << 20} {
		content := Octets(size)
		in, err := f.Begin(t.Context(), message.NewID(Epoch))
		if err != nil {
			t.Fatalf("begin: %v", err)
		}
		for rest := content; len(rest) > 0; { // in pieces that end nowhere in particular
			n := min(len(rest), 3000)
			if _, err := in.Write(rest[:n]); err != nil {
				t.Fatalf("write: %v", err)
			}
			rest = rest[n:]
		}
		if got, want := in.Prefix(), content[:min(size, spool.PrefixOctets)]; !bytes.Equal(got, want) {
			t.Errorf("prefix of %d octets: got %d octets, want %d", size, len(got), len(want))
		}
		if in.Size() != int64(size) {
			t.Errorf("size: got %d, want %d", in.Size(), size)
		}
		in.Abort()
	}
}

func testBudget(t *testing.T, f *fixture) {
	m := Message()
	content := Octets(10 << 10)
	in := f.incoming(m.ID, content)
	if used := f.budget.Used(); used < int64(len(content)) || used > 2*int64(len(content)) {
		t.Errorf("%d octets hold %d of the budget", len(content), used)
	}
	held, err := f.Accept(t.Context(), spool.Acceptance{Message: m, Content: in, Items: []spool.Item{Item(&m, 1, "l", Epoch)}})
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	held.Retain()
	held.Release()
	if f.budget.Used() == 0 {
		t.Errorf("the budget has the memory back while it is used")
	}
	held.Release()
	in = f.incoming(message.NewID(Epoch), Octets(5<<20))
	in.Abort()
	in.Abort()
	if used := f.budget.Used(); used != 0 {
		t.Errorf("%d octets of the budget are not given back", used)
	}
}

func testAbort(t *testing.T, f *fixture) {
	for _, size := range []int{100, 5 << 20} {
		id := message.NewID(Epoch)
		f.incoming(id, Octets(size)).Abort()
		_, err := f.content(id, 0)
		f.refused("content", err, spool.ErrNotFound)
	}
}

func testAcceptRefusals(t *testing.T, f *fixture) {
	for name, spoil := range map[string]func(*spool.Acceptance){
		"no id":                   func(a *spool.Acceptance) { a.Message.ID = message.ID{} },
		"no content":              func(a *spool.Acceptance) { a.Content = nil },
		"no items":                func(a *spool.Acceptance) { a.Items = nil },
		"item of another message": func(a *spool.Acceptance) { a.Items[0].Message[0]++ },
		"item without lane":       func(a *spool.Acceptance) { a.Items[0].Lane = "" },
		"item twice":              func(a *spool.Acceptance) { a.Items = append(a.Items, a.Items[0]) },
		"content ended":           func(a *spool.Acceptance) { a.Content.Abort() },
		"foreign content":         func(a *spool.Acceptance) { a.Content = foreign{} },
	} {
		m := Message()
		a := spool.Acceptance{Message: m, Content: f.incoming(m.ID, []byte("x")), Items: []spool.Item{Item(&m, 1, "l", Epoch)}}
		spoil(&a)
		_, err := f.Accept(t.Context(), a)
		f.refused(name, err, spool.ErrInvalid)
		_, _, err = f.Message(t.Context(), m.ID)
		f.refused(name+": message", err, spool.ErrNotFound)
	}
}

// foreign is content of no spool.
type foreign struct{ spool.Incoming }

func testRuleSet(t *testing.T, f *fixture) {
	m, _ := f.accept([]byte("x"), "l")
	other := Message()
	in := f.incoming(other.ID, []byte("y"))
	_, err := f.Accept(t.Context(), spool.Acceptance{Message: other, Content: in, Items: []spool.Item{Item(&other, 1, "l", Epoch)}, Rules: []byte("ignored")})
	if err != nil {
		t.Fatalf("accept: %v", err)
	}
	rules, err := f.RuleSet(t.Context(), m.RuleSet)
	if err != nil || string(rules) != "rules" {
		t.Errorf("rule set: got %q, %v", rules, err)
	}
}

func testNotFound(t *testing.T, f *fixture) {
	id := message.NewID(Epoch)
	_, err := f.Content(t.Context(), id, 0)
	f.refused("content", err, spool.ErrNotFound)
	_, _, err = f.Message(t.Context(), id)
	f.refused("message", err, spool.ErrNotFound)
	_, err = f.RuleSet(t.Context(), spool.Hash{})
	f.refused("rule set", err, spool.ErrNotFound)
	if claimed := f.claim("nothing", 5, "a", Epoch); len(claimed) > 0 {
		t.Errorf("claimed %d items of an empty lane", len(claimed))
	}
}

func testCancelled(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range calls(ctx, f) {
		f.refused(name, err, context.Canceled)
	}
}

func testClosed(t *testing.T, f *fixture) {
	m, _ := f.accept([]byte("x"), "l")
	in := f.incoming(m.ID, []byte("x"))
	if err := f.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	for name, err := range calls(t.Context(), f) {
		f.refused(name, err, spool.ErrClosed)
	}
	in.Abort()
	if used := f.budget.Used(); used != 0 {
		t.Errorf("%d octets of the budget are not given back", used)
	}
}

// calls makes every call and returns how it ended.
func calls(ctx context.Context, f *fixture) map[string]error {
	m := Message()
	item := Item(&m, 1, "l", Epoch)
	errs := map[string]error{}
	_, errs["begin"] = f.Begin(ctx, m.ID)
	_, _, errs["claim"] = f.Claim(ctx, "l", 1, "a", Epoch, after(1))
	_, errs["claim items"] = f.ClaimItems(ctx, "a", Epoch, after(1), keys(item))
	errs["add rule set"] = f.AddRuleSet(ctx, m.RuleSet, []byte("rules"))
	errs["settle"] = f.Settle(ctx, spool.Settlement{Owner: "a", Out: keys(item)})
	errs["release"] = f.Release(ctx, "a", item.ItemKey)
	errs["renew"] = f.Renew(ctx, "a", after(1))
	_, errs["content"] = f.Content(ctx, m.ID, 0)
	_, errs["rule set"] = f.RuleSet(ctx, m.RuleSet)
	_, _, errs["message"] = f.Message(ctx, m.ID)
	_, errs["scan"] = f.Scan(ctx, "l", nil, 1)
	_, errs["lanes"] = f.Lanes(ctx)
	return errs
}
