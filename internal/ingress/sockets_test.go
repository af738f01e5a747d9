package ingress

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/internal/addresslist"
	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/smtpd"
)

// accepter is an SMTP server that only remembers who connected by which tag.
type accepter struct {
	tags      chan any
	listeners chan smtpd.Listener // nil: nobody asks
}

func (a *accepter) Serve(l net.Listener, listener smtpd.Listener) error {
	if a.listeners != nil {
		a.listeners <- listener
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		conn.Close()
		a.tags <- listener.Tag
	}
}

// plane is a control plane with the resources a test gives it.
type plane struct {
	control.Snapshot
	mu       sync.Mutex
	points   map[control.Key]*control.IngressPoint
	policies map[control.Key]*control.Policy
	rules    map[control.Key]*control.RuleSet
	lists    map[control.Key]*addresslist.List

	passwords map[string]string // by the point's id
	checks    atomic.Int64      // of passwords
}

// CheckPassword implements Points.
func (p *plane) CheckPassword(point *control.IngressPoint, password string) control.Login {
	p.checks.Add(1)
	if point == nil || p.passwords[point.ID] != password {
		return control.Login{}
	}
	return control.Login{OK: true, Version: "version-of-" + point.ID}
}

func (p *plane) set(point *control.IngressPoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.points[point.Key] = point
}

func (p *plane) Points() iter.Seq[*control.IngressPoint] {
	return func(yield func(*control.IngressPoint) bool) {
		for _, point := range p.points {
			if !yield(point) {
				return
			}
		}
	}
}

func (p *plane) IngressPoint(k control.Key) (*control.IngressPoint, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	point, ok := p.points[k]
	return point, ok
}

func (p *plane) Policy(k control.Key) (*control.Policy, bool) {
	pol, ok := p.policies[k]
	return pol, ok
}

func (p *plane) RuleSet(k control.Key) (*control.RuleSet, bool) {
	rules, ok := p.rules[k]
	return rules, ok
}

func (p *plane) AddressList(scope control.Scope, id string) (*addresslist.List, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, ok := p.lists[control.Key{Scope: scope, ID: id}]
	return list, ok
}

var testScope = control.Scope{Account: "000000000000", Region: "us-east-1"}

func testKey(id string) control.Key { return control.Key{Scope: testScope, ID: id} }

func testPoint(id string, listeners ...string) *control.IngressPoint {
	return &control.IngressPoint{Key: testKey(id), Serving: true, Listeners: listeners}
}

// freePorts returns n neighbouring ports that nothing listens on, below those that outgoing connections get.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 1000 {
		if low := 10_000 + rand.IntN(20_000); allFree(low, n) {
			return low
		}
	}
	t.Fatal("no free ports")
	return 0
}

func allFree(low, n int) bool {
	for port := low; port < low+n; port++ {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

func newTestIngress(t *testing.T, pool Pool, listeners map[string]ListenerConfig, points ...*control.IngressPoint) (*Ingress, *accepter) {
	t.Helper()
	smtp := &accepter{tags: make(chan any, 16)}
	in := New(Config{Pool: pool, Listeners: listeners, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	p := &plane{points: map[control.Key]*control.IngressPoint{}}
	for _, point := range points {
		p.points[point.Key] = point
	}
	in.Attach(p, smtp)
	t.Cleanup(in.Shutdown)
	return in, smtp
}

func connect(t *testing.T, address string) error {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err
}

// Mail Manager, B19: the lowest port that is neither assigned nor in use, kept for life.
func TestPoolGivesTheLowestFreePortForLife(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	low := freePorts(t, 4)
	pool := Pool{Host: "127.0.0.1", Low: low, High: low + 3}
	assignedElsewhere := testPoint("inp-before")
	assignedElsewhere.PoolAddress = pool.address(low)
	inUse, err := net.Listen("tcp4", pool.address(low+1))
	if err != nil {
		t.Fatal(err)
	}
	defer inUse.Close()
	in, smtp := newTestIngress(t, pool, nil, assignedElsewhere)

	first, err := in.Open(t.Context(), testPoint("inp-a"))
	if err != nil || first != pool.address(low+2) {
		t.Fatalf("first point got %q, %v, want %s: the ports before are assigned and in use", first, err, pool.address(low+2))
	}
	if err := connect(t, first); err != nil {
		t.Fatal(err)
	}
	if tag := <-smtp.tags; tag != (pointTag{testKey("inp-a")}) {
		t.Errorf("session tagged %v, want the point", tag)
	}
	again, err := in.Open(t.Context(), testPoint("inp-a"))
	if err != nil || again != first {
		t.Errorf("opened again: %q, %v, want %q", again, err, first)
	}
	if _, err := in.Open(t.Context(), testPoint("inp-b")); err != nil {
		t.Fatal(err)
	}
	_, err = in.Open(t.Context(), testPoint("inp-c"))
	if err == nil || !strings.Contains(err.Error(), pool.String()) {
		t.Errorf("exhausted pool: got %v, want an error that names the pool", err)
	}
}

func TestClosedPointGivesItsAddressBack(t *testing.T) {
	t.Parallel()
	low := freePorts(t, 1)
	in, _ := newTestIngress(t, Pool{Host: "127.0.0.1", Low: low, High: low}, nil)
	address, err := in.Open(t.Context(), testPoint("inp-a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := in.Bound(testKey("inp-a")); !slices.Equal(got, []string{address}) {
		t.Errorf("bound to %v, want %s", got, address)
	}
	in.Close(t.Context(), testKey("inp-a"))
	in.Close(t.Context(), testKey("inp-a")) // closing what is not open is a no-op
	if err := connect(t, address); err == nil {
		t.Error("a closed point still takes connections")
	}
	if got := in.Bound(testKey("inp-a")); got != nil {
		t.Errorf("closed point is bound to %v", got)
	}
	if got, err := in.Open(t.Context(), testPoint("inp-b")); err != nil || got != address {
		t.Errorf("next point got %q, %v, want the address that came free", got, err)
	}
}

func TestPointWhosePortIsTakenSaysSo(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	low := freePorts(t, 2)
	pool := Pool{Host: "127.0.0.1", Low: low, High: low + 1}
	taken, err := net.Listen("tcp4", pool.address(low))
	if err != nil {
		t.Fatal(err)
	}
	in, _ := newTestIngress(t, pool, nil)
	point := testPoint("inp-a")
	point.PoolAddress = pool.address(low)
	if address, err := in.Open(t.Context(), point); err == nil || address != point.PoolAddress {
		t.Errorf("got %q, %v, want its own address and an error: it is kept for life", address, err)
	}
	taken.Close()
	if _, err := in.Open(t.Context(), point); err != nil {
		t.Errorf("port came free: %v", err)
	}
}

func TestNamedListenerIsShared(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	low := freePorts(t, 1)
	address := fmt.Sprintf("127.0.0.1:%d", low)
	in, smtp := newTestIngress(t, Pool{}, map[string]ListenerConfig{"mx": {Addresses: []string{address}}})
	if !in.HasListener("mx") || in.HasListener("other") {
		t.Error("HasListener does not follow the configuration")
	}
	for _, id := range []string{"inp-a", "inp-b"} {
		if pool, err := in.Open(t.Context(), testPoint(id, "mx")); err != nil || pool != "" {
			t.Fatalf("open %s: %q, %v", id, pool, err)
		}
		if got := in.Bound(testKey(id)); !slices.Equal(got, []string{address}) {
			t.Errorf("%s is bound to %v, want %s", id, got, address)
		}
	}
	if err := connect(t, address); err != nil {
		t.Fatal(err)
	}
	if tag := <-smtp.tags; tag != (sharedTag{"mx"}) {
		t.Errorf("session tagged %v, want the listener", tag)
	}
	if got := in.membersOf("mx"); len(got) != 2 {
		t.Errorf("members %v, want both points", got)
	}
	in.Close(t.Context(), testKey("inp-a"))
	in.Close(t.Context(), testKey("inp-b"))
	if got := in.membersOf("mx"); len(got) != 0 {
		t.Errorf("members %v after both closed", got)
	}
	if err := connect(t, address); err != nil {
		t.Errorf("a listener without points stays open, to answer 421: %v", err)
	}
	<-smtp.tags
}

// Mail Manager, B19: a listener may have the wildcard addresses of both families.
func TestNamedListenerOnBothFamilies(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	low := freePorts(t, 1)
	addresses := []string{fmt.Sprintf("0.0.0.0:%d", low), fmt.Sprintf("[::]:%d", low)}
	in, _ := newTestIngress(t, Pool{}, map[string]ListenerConfig{"mx": {Addresses: addresses}})
	if _, err := in.Open(t.Context(), testPoint("inp-a", "mx")); err != nil {
		t.Fatal(err)
	}
	if got := in.Bound(testKey("inp-a")); !slices.Equal(got, addresses) {
		t.Errorf("bound to %v, want %v", got, addresses)
	}
}

func requireIPv6(t *testing.T) {
	t.Helper()
	probe, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("no IPv6 on this machine: %v", err)
	}
	probe.Close()
}

func TestUnknownListener(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	in, _ := newTestIngress(t, Pool{}, nil)
	if _, err := in.Open(t.Context(), testPoint("inp-a", "mx")); !errors.Is(err, control.ErrNoListener) || !strings.Contains(err.Error(), `"mx"`) {
		t.Errorf("got %v, want %v, and which", err, control.ErrNoListener)
	}
}

func TestDualStackListensOnBothLoopbacks(t *testing.T) {
	t.Parallel()
	conform.Check(t, "C3")
	requireIPv6(t)
	low := freePorts(t, 1)
	in, _ := newTestIngress(t, Pool{Host: "127.0.0.1", Low: low, High: low}, nil)
	point := testPoint("inp-a")
	point.DualStack = true
	if _, err := in.Open(t.Context(), point); err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("127.0.0.1:%d", low), fmt.Sprintf("[::1]:%d", low)}
	if got := in.Bound(point.Key); !slices.Equal(got, want) {
		t.Errorf("bound to %v, want %v", got, want)
	}
}

// A point whose network is IPV4 takes no IPv6 client (Mail Manager, B19): on every address of the machine, neither.
func TestEveryAddressOfThePool(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	for _, host := range []string{"", "0.0.0.0"} {
		for _, dual := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q dual stack %v", host, dual), func(t *testing.T) {
				t.Parallel()
				low := freePorts(t, 1)
				in, _ := newTestIngress(t, Pool{Host: host, Low: low, High: low}, nil)
				point := testPoint("inp-a")
				point.DualStack = dual
				if _, err := in.Open(t.Context(), point); err != nil {
					t.Fatal(err)
				}
				want := []string{fmt.Sprintf("0.0.0.0:%d", low)}
				if dual {
					want = append(want, fmt.Sprintf("[::]:%d", low))
				}
				if got := in.Bound(point.Key); !slices.Equal(got, want) {
					t.Errorf("bound to %v, want %v", got, want)
				}
				if err := connect(t, fmt.Sprintf("127.0.0.1:%d", low)); err != nil {
					t.Errorf("an IPv4 client is refused: %v", err)
				}
				if err := connect(t, fmt.Sprintf("[::1]:%d", low)); (err == nil) != dual {
					t.Errorf("an IPv6 client: got %v", err)
				}
			})
		}
	}
}

func TestPoolOfIPv6(t *testing.T) {
	t.Parallel()
	requireIPv6(t)
	low := freePorts(t, 1)
	in, _ := newTestIngress(t, Pool{Host: "::1", Low: low, High: low}, nil)
	point := testPoint("inp-a")
	if _, err := in.Open(t.Context(), point); !errors.Is(err, errPoolFamily) {
		t.Errorf("a point that takes IPv4 clients only: got %v, want %v", err, errPoolFamily)
	}
	point.DualStack = true
	if _, err := in.Open(t.Context(), point); err != nil {
		t.Fatal(err)
	}
	if got, want := in.Bound(point.Key), []string{fmt.Sprintf("[::1]:%d", low)}; !slices.Equal(got, want) {
		t.Errorf("bound to %v, want %v", got, want)
	}
}

// A listener opens with all of its addresses or not at all, says which is taken, and is open once that is free.
func TestNamedListenerWithATakenAddress(t *testing.T) {
	t.Parallel()
	low := freePorts(t, 2)
	first, second := fmt.Sprintf("127.0.0.1:%d", low), fmt.Sprintf("127.0.0.1:%d", low+1)
	taken, err := net.Listen("tcp4", second)
	if err != nil {
		t.Fatal(err)
	}
	in, _ := newTestIngress(t, Pool{}, map[string]ListenerConfig{"mx": {Addresses: []string{first, second}}})
	_, err = in.Open(t.Context(), testPoint("inp-a", "mx"))
	if err == nil || !strings.Contains(err.Error(), `listener "mx"`) || !strings.Contains(err.Error(), second) {
		t.Errorf("got %v, want an error that names the listener and %s", err, second)
	}
	if err := connect(t, first); err == nil {
		t.Error("half a listener is open")
	}
	if got := in.Bound(testKey("inp-a")); got != nil {
		t.Errorf("bound to %v", got)
	}
	taken.Close()
	if _, err := in.Open(t.Context(), testPoint("inp-a", "mx")); err != nil {
		t.Errorf("the address came free: %v", err)
	}
}

func TestTheServerIsToldOfTheListener(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	low := freePorts(t, 1)
	in, smtp := newTestIngress(t, Pool{Host: "127.0.0.1", Low: low, High: low}, map[string]ListenerConfig{
		"mx": {Addresses: []string{"127.0.0.1:0", "127.0.0.1:0"}, TLS: smtpd.TLSImplicit, ProxyFrom: proxies},
	})
	smtp.listeners = make(chan smtpd.Listener, 2)
	if _, err := in.Open(t.Context(), testPoint("inp-a", "mx")); err != nil {
		t.Fatal(err)
	}
	want := smtpd.Listener{Name: "mx", Tag: sharedTag{"mx"}, TLS: smtpd.TLSImplicit, ProxyFrom: proxies}
	for range 2 {
		if got := <-smtp.listeners; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if _, err := in.Open(t.Context(), testPoint("inp-b")); err != nil {
		t.Fatal(err)
	}
	want = smtpd.Listener{Name: "pool", Tag: pointTag{testKey("inp-b")}, TLS: smtpd.TLSStart}
	if got := <-smtp.listeners; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInheritedSocketsComeFirst(t *testing.T) {
	t.Parallel()
	inherited, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	var asked []string
	in := New(Config{
		Pool:      Pool{Host: "127.0.0.1", Low: freePorts(t, 1), High: maxPort},
		Listeners: map[string]ListenerConfig{"mx": {Addresses: []string{"0.0.0.0:0", "[::1]:0", ":0", inherited.Addr().String()}}},
		Logger:    slog.New(slog.DiscardHandler),
		Inherited: func(network, address string) net.Listener {
			asked = append(asked, network+" "+address)
			if address == inherited.Addr().String() {
				return inherited
			}
			return nil
		},
	})
	in.Attach(&plane{}, &accepter{tags: make(chan any)})
	t.Cleanup(in.Shutdown)
	requireIPv6(t)
	if _, err := in.Open(t.Context(), testPoint("inp-a", "mx")); err != nil {
		t.Fatal(err)
	}
	address, err := in.Open(t.Context(), testPoint("inp-b"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"tcp4 0.0.0.0:0", "tcp6 [::1]:0", "tcp :0", "tcp4 " + inherited.Addr().String(), "tcp4 " + address}
	if !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
