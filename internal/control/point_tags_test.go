package control_test

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
	"sluice/internal/control"
	"sluice/internal/mailmanager"
)

func addresses(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

var compareAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

// Mail Manager, B19: the tags tell points on a shared listener apart, at creation and later.
func TestPointTagsAreSeenAtOnce(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	in := p.pointRequest("front")
	in.Tags = tags("sluice:listener", "mx", "sluice:address", "192.0.2.1+2001:db8::1", "sluice:hostname", "MX.Example.org+mx2.example.org")
	id := p.createPoint(in)
	key, arn := control.Key{Scope: home, ID: id}, arnOf("mailmanager-ingress-point/"+id)
	want := func(wantAddresses []netip.Addr, wantNames ...string) {
		t.Helper()
		point, _ := p.IngressPoint(key)
		if diff := cmp.Diff(wantAddresses, point.Addresses, compareAddresses); diff != "" {
			t.Errorf("addresses (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(wantNames, point.Hostnames); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
		p.wantStatus(id, active) // it need not move
	}
	want(addresses("192.0.2.1", "2001:db8::1"), "mx.example.org", "mx2.example.org")
	p.sockets.set(func(s *sockets) { s.gate = make(chan struct{}) }) // whatever opens or closes a socket from now on never ends
	if err := p.tag(arn, "sluice:address", "::ffff:192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	want(addresses("192.0.2.7"), "mx.example.org", "mx2.example.org")
	if err := p.tag(arn, "sluice:hostname", "localhost"); err != nil {
		t.Fatal(err)
	}
	want(addresses("192.0.2.7"), "localhost")
	if err := p.untag(arn, "sluice:hostname", "sluice:address"); err != nil {
		t.Fatal(err)
	}
	want(nil)
	if err := p.tag(arn, "sluice:address", "192.0.2.8", "sluice:hostname", "a.example"); err != nil {
		t.Fatal(err)
	}
	close(p.sockets.gate)
	p.restart()
	want(addresses("192.0.2.8"), "a.example")
}

func TestPointTagRefusals(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	p := newPlane(t)
	in := p.pointRequest("front")
	id := p.point("other")
	for key, values := range map[string][]string{
		"sluice:address": {"", "mx.example.org", "192.0.2", "192.0.2.1:25", "192.0.2.0/24", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
			"192.0.2.1+", "+192.0.2.1", "192.0.2.1+192.0.2.1", "192.0.2.1+::ffff:192.0.2.1", "01.2.3.4"},
		"sluice:hostname": {"", ".", "a..b", "a.example.", ".a", "-a.example", "a-.example", "a_b.example", "a.example+", "a.example+A.example",
			"192.0.2.1", "2001:db8::1", "a/b", strings.Repeat("a", 64) + ".example", strings.Repeat("a23456789.", 25) + "abcd"},
		"sluice:listener": {"", "mx+", "mx+mx", "mx+mx2+submission", "nowhere"},
		"sluice:default":  {"", "1", "True", "true+false"},
	} {
		for _, value := range values {
			t.Run(key+"="+value, func(t *testing.T) {
				create := *in
				create.Tags = tags(key, value)
				wantCode(t, p.refused(home, "CreateIngressPoint", &create), mailmanager.CodeValidation, "'tags'", key)
				wantCode(t, p.tag(arnOf("mailmanager-ingress-point/"+id), "a", "1", key, value), mailmanager.CodeValidation, "'tags'", key)
			})
		}
	}
	if got := p.tagsOf(arnOf("mailmanager-ingress-point/" + id)); len(got) != 0 {
		t.Errorf("after refusals: got %s", text(t, got))
	}
}

func FuzzPointTags(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "::ffff:192.0.2.1", "fe80::1%eth0", "MX.example", "a-.b", "xn--bcher-kva.example"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if a, ok := control.ReadAddress(value); ok {
			if again, ok := control.ReadAddress(a.String()); !ok || again != a || a.Is4In6() || a.Zone() != "" {
				t.Fatalf("got %v, %v, want %v", again, ok, a)
			}
		}
		if name, ok := control.ReadHostname(value); ok {
			again, ok := control.ReadHostname(name)
			if !ok || again != name || name != strings.ToLower(value) || len(name) > 253 || strings.ContainsAny(name, "+: /") {
				t.Fatalf("got %q, %v, want %q", again, ok, name)
			}
		}
	})
}

// taggedPoint asks for a point in a scope with tags.
func (p *plane) taggedPoint(scope control.Scope, name string, pairs ...string) (string, error) {
	p.Helper()
	in, _ := p.strangersPoint(scope, name)
	in.Tags = tags(pairs...)
	out, err := p.call(scope, "CreateIngressPoint", in)
	p.Quiet()
	if err != nil {
		return "", err
	}
	return string(*out.(*mailmanager.CreateIngressPointResponse).IngressPointId), nil
}

// Of points that could not be told apart, one can be the default of a listener.
func TestAListenerHasOneDefault(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B19")
	tests := []struct {
		name          string
		scope         control.Scope
		first, second []string
		ok            bool
	}{
		{"on one listener", home, []string{"sluice:listener", "mx"}, []string{"sluice:listener", "mx"}, false},
		{"on one of two", home, []string{"sluice:listener", "mx+mx2"}, []string{"sluice:listener", "submission+mx2"}, false},
		{"at one address", home, []string{"sluice:listener", "mx", "sluice:address", "192.0.2.1"}, []string{"sluice:listener", "mx", "sluice:address", "192.0.2.2+192.0.2.1"}, false},
		{"at two addresses", home, []string{"sluice:listener", "mx", "sluice:address", "192.0.2.1"}, []string{"sluice:listener", "mx", "sluice:address", "192.0.2.2"}, true},
		{"at one and at all others", home, []string{"sluice:listener", "mx", "sluice:address", "192.0.2.1"}, []string{"sluice:listener", "mx"}, true},
		{"on two listeners", home, []string{"sluice:listener", "mx"}, []string{"sluice:listener", "mx2"}, true},
		{"on the pool", home, nil, nil, true},
		{"in two accounts", stranger, []string{"sluice:listener", "mx"}, []string{"sluice:listener", "mx"}, true},
		{"in two regions", abroad, []string{"sluice:listener", "mx"}, []string{"sluice:listener", "mx"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlane(t)
			isDefault := []string{"sluice:default", "true"}
			if _, err := p.taggedPoint(test.scope, "first", slices.Concat(test.first, isDefault)...); err != nil {
				t.Fatal(err)
			}
			_, create := p.taggedPoint(home, "second", slices.Concat(test.second, isDefault)...)
			third, err := p.taggedPoint(home, "third", test.second...)
			if err != nil {
				t.Fatal(err)
			}
			if test.ok {
				if create != nil {
					t.Error(create)
				}
				return
			}
			wantCode(t, create, mailmanager.CodeConflict)
			arn := arnOf("mailmanager-ingress-point/" + third)
			wantCode(t, p.tag(arn, isDefault...), mailmanager.CodeConflict)
			if point, _ := p.IngressPoint(control.Key{Scope: home, ID: third}); point.Default || len(p.tagsOf(arn)) != len(test.second)/2 {
				t.Errorf("after a refusal: got %+v", point)
			}
		})
	}
}

// However a point comes to be a second default, it is refused; and when the first one leaves, it may be.
func TestADefaultThatMoves(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	first, err := p.taggedPoint(home, "first", "sluice:listener", "mx", "sluice:default", "true")
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.taggedPoint(home, "second", "sluice:listener", "mx", "sluice:default", "true", "sluice:address", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	arn := arnOf("mailmanager-ingress-point/" + second)
	wantCode(t, p.untag(arn, "sluice:address"), mailmanager.CodeConflict)
	if err := p.tag(arn, "sluice:listener", "mx2"); err != nil {
		t.Fatal(err)
	}
	p.Quiet()
	if err := p.untag(arn, "sluice:address"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, p.tag(arn, "sluice:listener", "mx"), mailmanager.CodeConflict)
	if err := p.tag(arnOf("mailmanager-ingress-point/"+first), "sluice:default", "true"); err != nil {
		t.Errorf("what it is already: %v", err)
	}
	gate := make(chan struct{})
	p.sockets.set(func(s *sockets) { s.gate = gate })
	if err := p.deletePoint(first); err != nil {
		t.Fatal(err)
	}
	if err := p.tag(arn, "sluice:listener", "mx"); err != nil {
		t.Errorf("while the first one is DEPROVISIONING: %v", err)
	}
	close(gate)
	p.Quiet()
}

func TestConcurrentDefaultsAreOne(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	arns := make([]*mailmanager.TaggableResourceArn, 6)
	for i := range arns {
		id, err := p.taggedPoint(home, string(rune('a'+i))+"-point", "sluice:listener", "mx")
		if err != nil {
			t.Fatal(err)
		}
		arns[i] = arnOf("mailmanager-ingress-point/" + id)
	}
	var made atomic.Int32
	var all sync.WaitGroup
	for _, arn := range arns {
		all.Go(func() {
			if err := p.tag(arn, "sluice:default", "true"); err != nil {
				wantCode(t, err, mailmanager.CodeConflict)
				return
			}
			made.Add(1)
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d points became the default, want 1", made.Load())
	}
}
