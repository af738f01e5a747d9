package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/awsapi"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
	"sluice/internal/seal"
	"sluice/internal/secretsmanager"
	"sluice/internal/store"
)

var (
	home     = control.Scope{Account: "111111111111", Region: "eu-west-1"}
	stranger = control.Scope{Account: "222222222222", Region: "eu-west-1"}
	abroad   = control.Scope{Account: "111111111111", Region: "us-east-1"}
)

// plane is a control plane under test.
type plane struct {
	testing.TB
	*control.Control
	sockets *sockets
	clock   *clock
	log     *lockedBuffer
	path    string
	config  control.Config
	stop    func()
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// sockets pretends to open listening sockets. It fails the test when two calls for one point come at once.
type sockets struct {
	t         testing.TB
	mu        sync.Mutex
	listeners []string // of the configuration
	open      map[control.Key]*control.IngressPoint
	busy      map[control.Key]bool
	failure   error         // what Open returns
	gate      chan struct{} // not nil: Open and Close wait until they can receive
	opens     int
	seen      []mailmanager.IngressPointStatus // of the points that Open was called with
}

func (s *sockets) HasListener(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l == name {
			return true
		}
	}
	return false
}

func (s *sockets) enter(key control.Key) (leave func()) {
	s.mu.Lock()
	if s.busy[key] {
		s.t.Errorf("two calls for %s at once", key.ID)
	}
	s.busy[key] = true
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		<-gate
	}
	s.mu.Lock()
	return func() {
		s.busy[key] = false
		s.mu.Unlock()
	}
}

func (s *sockets) Open(_ context.Context, p *control.IngressPoint) (string, error) {
	defer s.enter(p.Key)()
	s.opens++
	s.seen = append(s.seen, p.Status)
	if s.failure != nil {
		return p.PoolAddress, s.failure
	}
	for _, name := range p.Listeners {
		if !slices.Contains(s.listeners, name) {
			return "", fmt.Errorf("listener %q %w", name, control.ErrNoListener)
		}
	}
	s.open[p.Key] = p
	if len(p.Listeners) > 0 {
		return "", nil
	}
	if p.PoolAddress != "" {
		return p.PoolAddress, nil
	}
	return fmt.Sprintf("127.0.0.1:%d", 2524+s.opens), nil
}

func (s *sockets) Close(_ context.Context, key control.Key) {
	defer s.enter(key)()
	delete(s.open, key)
}

func (s *sockets) Bound(key control.Key) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.open[key]
	if !ok {
		return nil
	}
	if len(p.Listeners) > 0 {
		return p.Listeners
	}
	return []string{"127.0.0.1:2525"}
}

// entered reports whether a call for the point is under way.
func (s *sockets) entered(key control.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	runtime.Gosched()
	return s.busy[key]
}

func (s *sockets) set(change func(*sockets)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *sockets) isOpen(key control.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[key] != nil
}

// newPlane opens a control plane on an empty store; options change its configuration. The life cycle has begun.
func newPlane(t testing.TB, options ...func(*control.Config)) *plane {
	t.Helper()
	p := &plane{TB: t, path: filepath.Join(t.TempDir(), "control.db"), log: &lockedBuffer{},
		clock: &clock{now: time.Date(2026, 11, 22, 10, 0, 0, 123456789, time.UTC)}}
	keys, err := seal.New(bytes.Repeat([]byte{1}, seal.KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	p.config = control.Config{Seal: keys, Now: p.clock.Now, Logger: slog.New(slog.NewJSONHandler(p.log, nil))}
	for _, option := range options {
		option(&p.config)
	}
	p.newSockets()
	p.open()
	p.Start(t.Context())
	t.Cleanup(func() { p.stop() })
	return p
}

// profile gives every account the profile aws-strict, or the generous one.
func profile(strict bool) func(*control.Config) {
	return func(c *control.Config) {
		c.Profiles = control.NewProfiles(control.NewProfile(strict, control.Limits{}), nil)
	}
}

// limits gives every account these limits, and the generous ones for the rest.
func limits(own control.Limits) func(*control.Config) {
	return func(c *control.Config) { c.Profiles = control.NewProfiles(control.NewProfile(false, own), nil) }
}

func (p *plane) newSockets() {
	p.sockets = &sockets{t: p.TB, listeners: []string{"mx", "mx2", "submission", endpoint},
		open: map[control.Key]*control.IngressPoint{}, busy: map[control.Key]bool{}}
	p.config.Sockets = p.sockets
}

func (p *plane) open() {
	p.Helper()
	db := p.openStore()
	p.config.Store = db
	var err error
	if p.Control, err = control.Open(context.Background(), p.config); err != nil {
		p.Fatal(err)
	}
	running := p.Control
	p.stop = func() {
		if err := errors.Join(running.Close(context.Background()), db.Close()); err != nil {
			p.Error(err)
		}
	}
}

// openStore opens the store of the plane's path. Tests that put something before the store use it too.
func (p *plane) openStore() store.Store {
	p.Helper()
	opened, err := openDatabase(p)
	if err != nil {
		p.Fatal(err)
	}
	return opened
}

// reopen opens the control plane on what wrap makes of its store; the life cycle does not begin.
func (p *plane) reopen(wrap func(store.Store) store.Store) {
	p.Helper()
	p.stop()
	db := p.openStore()
	p.stop = func() { db.Close() }
	p.config.Store = wrap(db)
	var err error
	if p.Control, err = control.Open(p.Context(), p.config); err != nil {
		p.Fatal(err)
	}
}

// restart ends the process, as far as the control plane is concerned, and starts another: with other sockets.
func (p *plane) restart() {
	p.Helper()
	p.stop()
	p.newSockets()
	p.open()
}

// operationNamed finds an operation of Mail Manager.
func operationNamed(name string) *mailmanager.Operation {
	op, ok := mailmanager.Lookup(name)
	if !ok {
		panic("no operation " + name)
	}
	return op
}

// operationFor finds the operation of that name which takes such an input, and who carries it out.
func (p *plane) operationFor(name string, in any) (*mailmanager.Operation, awsapi.Handler) {
	p.Helper()
	for i, table := range [][]mailmanager.Operation{mailmanager.Operations(), secretsmanager.Operations()} {
		for j := range table {
			if op := &table[j]; op.Name == name && reflect.TypeOf(op.New()) == reflect.TypeOf(in) {
				return op, []awsapi.Handler{p.Control, p.Secrets()}[i]
			}
		}
	}
	p.Fatalf("no operation %s takes a %T", name, in)
	return nil, nil
}

// call calls an operation as awsapi does: with an input that satisfies the model.
func (p *plane) call(scope control.Scope, name string, in any) (any, error) {
	p.Helper()
	op, handler := p.operationFor(name, in)
	if err := mailmanager.Validate(op.Input, in); err != nil {
		p.Fatalf("%s: the test's input does not satisfy the model: %v", name, err)
	}
	caller := awsapi.Caller{Account: scope.Account, Region: scope.Region, AccessKeyID: "AKIATEST", RequestID: "r"}
	return handler.Handle(p.Context(), caller, op, in)
}

// refused calls an operation that is to fail and returns its error.
func (p *plane) refused(scope control.Scope, name string, in any) error {
	p.Helper()
	out, err := p.call(scope, name, in)
	if err == nil {
		p.Errorf("%s: got %s, want an error", name, text(p, out))
	}
	return err
}

// do calls an operation at home and fails the test when it fails.
func do[Out any](p *plane, name string, in any) *Out {
	p.Helper()
	out, err := p.call(home, name, in)
	if err != nil {
		p.Fatalf("%s: %v", name, err)
	}
	return out.(*Out)
}

// wantCode fails the test unless err has the code and a text that has every part in it.
func wantCode(t testing.TB, err error, code mailmanager.Code, parts ...string) {
	t.Helper()
	var failure *mailmanager.Error
	if !errors.As(err, &failure) {
		t.Errorf("got error %v, want %s", err, code)
		return
	}
	if failure.Code != code {
		t.Errorf("got %v, want %s", failure, code)
	}
	for _, part := range parts {
		if !strings.Contains(failure.Message, part) {
			t.Errorf("got the text %q, want %q in it", failure.Message, part)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// text is a value as JSON, for comparisons and searches.
func text(t testing.TB, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// relay, ruleSet, policy and point make a resource at home and return its id.

func (p *plane) relay(name string) string {
	p.Helper()
	return string(*do[mailmanager.CreateRelayResponse](p, "CreateRelay", relayRequest(name)).RelayId)
}

func relayRequest(name string) *mailmanager.CreateRelayRequest {
	return &mailmanager.CreateRelayRequest{
		RelayName: (*mailmanager.RelayName)(&name), ServerName: ptr(mailmanager.RelayServerName("smtp.example.net")),
		ServerPort: ptr(int32(587)), Authentication: &mailmanager.RelayAuthentication{NoAuthentication: &mailmanager.NoAuthentication{}},
	}
}

func (p *plane) ruleSet(name string) string {
	p.Helper()
	return string(*do[mailmanager.CreateRuleSetResponse](p, "CreateRuleSet", ruleSetRequest(name)).RuleSetId)
}

func ruleSetRequest(name string, actions ...mailmanager.RuleAction) *mailmanager.CreateRuleSetRequest {
	in := &mailmanager.CreateRuleSetRequest{RuleSetName: (*mailmanager.RuleSetName)(&name), Rules: []mailmanager.Rule{}}
	if len(actions) > 0 {
		in.Rules = append(in.Rules, mailmanager.Rule{Actions: actions})
	}
	return in
}

func (p *plane) policy(name string) string {
	p.Helper()
	return string(*do[mailmanager.CreateTrafficPolicyResponse](p, "CreateTrafficPolicy", policyRequest(name)).TrafficPolicyId)
}

func policyRequest(name string, statements ...mailmanager.PolicyStatement) *mailmanager.CreateTrafficPolicyRequest {
	return &mailmanager.CreateTrafficPolicyRequest{
		TrafficPolicyName: (*mailmanager.TrafficPolicyName)(&name), DefaultAction: ptr(mailmanager.AcceptActionAllow),
		PolicyStatements: append([]mailmanager.PolicyStatement{}, statements...),
	}
}

// pointRequest asks for an OPEN point with a rule set and a policy of its own.
func (p *plane) pointRequest(name string) *mailmanager.CreateIngressPointRequest {
	p.Helper()
	return &mailmanager.CreateIngressPointRequest{
		IngressPointName: (*mailmanager.IngressPointName)(&name), Type: ptr(mailmanager.IngressPointTypeOpen),
		RuleSetId: ptr(mailmanager.RuleSetId(p.ruleSet("rules-of-" + name))), TrafficPolicyId: ptr(mailmanager.TrafficPolicyId(p.policy("policy-of-" + name))),
	}
}

// createPoint creates a point and waits until it is settled.
func (p *plane) createPoint(in *mailmanager.CreateIngressPointRequest) string {
	p.Helper()
	id := string(*do[mailmanager.CreateIngressPointResponse](p, "CreateIngressPoint", in).IngressPointId)
	p.Quiet()
	return id
}

func (p *plane) point(name string) string {
	p.Helper()
	return p.createPoint(p.pointRequest(name))
}

func (p *plane) getPoint(id string) *mailmanager.GetIngressPointResponse {
	p.Helper()
	return do[mailmanager.GetIngressPointResponse](p, "GetIngressPoint", &mailmanager.GetIngressPointRequest{IngressPointId: (*mailmanager.IngressPointId)(&id)})
}

func (p *plane) wantStatus(id string, want mailmanager.IngressPointStatus) {
	p.Helper()
	if got := *p.getPoint(id).Status; got != want {
		p.Errorf("got status %s, want %s", got, want)
	}
}

func tags(pairs ...string) (list []mailmanager.Tag) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, mailmanager.Tag{Key: ptr(mailmanager.TagKey(pairs[i])), Value: ptr(mailmanager.TagValue(pairs[i+1]))})
	}
	return list
}
