package control_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"sluice/internal/control"
	"sluice/internal/store"
)

// oneUnread is a store that fails at the members of one list.
type oneUnread struct {
	store.Store
	list string
}

// MemberKeys implements store.Store.
func (s *oneUnread) MemberKeys(ctx context.Context, owner store.Key) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range s.Store.MemberKeys(ctx, owner) {
			if owner.ID == s.list {
				err = errors.New("a page is damaged")
			}
			if !yield(key, err) || err != nil {
				return
			}
		}
	}
}

// TestStartWithLists: lists that are loaded side by side have their own members each, and one that cannot be read costs no other: it
// cannot be told who is in it (Mail Manager, A6).
func TestStartWithLists(t *testing.T) {
	t.Parallel()
	const lists, members = 12, 500
	p := newPlane(t)
	var ids []string
	for n := range lists {
		ids = append(ids, p.addressList(fmt.Sprint("list", n)))
		p.fill(ids[n], members+n)
	}
	p.stop()
	db := p.openStore()
	p.stop = func() { db.Close() }
	unread := ids[lists/2]
	registry := prometheus.NewRegistry()
	p.config.Store, p.config.Registerer = &oneUnread{db, unread}, registry
	opened, err := control.Open(t.Context(), p.config)
	if err != nil {
		t.Fatal(err)
	}
	sum, octets := 0, int64(0)
	for n, id := range ids {
		l, ok := opened.AddressList(home, id)
		if ok != (id != unread) || ok && l.Len() != members+n {
			t.Errorf("list %d: got %v, %v", n, l, ok)
		}
		if ok {
			sum, octets = sum+l.Len(), octets+l.Octets()
		}
	}
	if log := p.log.String(); !strings.Contains(log, unread) || !strings.Contains(log, "a page is damaged") {
		t.Errorf("the log does not say what is wrong: %s", log)
	}
	want := map[string]float64{"mailmanager_address_list_members[]": float64(sum), "mailmanager_address_list_octets[]": float64(octets)}
	if diff := cmp.Diff(want, gauges(t, registry)); diff != "" { // no account and no list in them
		t.Error(diff)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	p.config.Registerer = nil
	if _, err := control.Open(ended, p.config); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// gauges are the metrics of a registry, with their labels.
func gauges(t testing.TB, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			got[f.GetName()+fmt.Sprint(m.GetLabel())] += m.GetGauge().GetValue()
		}
	}
	return got
}

// BenchmarkStartWithLists opens the control plane on a store with a million members of one address list, and with 2.6 million.
func BenchmarkStartWithLists(b *testing.B) {
	const large, small = 1_000_000, 10_000
	for _, bench := range []struct {
		name         string
		large, small int // lists
	}{{"one", 1, 0}, {"many", 2, 60}} {
		b.Run(bench.name, func(b *testing.B) {
			p := newPlane(b)
			members := 0
			for n := range bench.large + bench.small {
				size := small
				if n < bench.large {
					size = large
				}
				p.fill(p.addressList(fmt.Sprint("list", n)), size)
				members += size
			}
			var registry *prometheus.Registry
			before := processorTime(b)
			for b.Loop() {
				registry = prometheus.NewRegistry()
				p.config.Registerer = registry
				if _, err := control.Open(b.Context(), p.config); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((processorTime(b)-before).Seconds()/float64(b.N), "cpu-s/op") // a busy machine changes it less than the clock's
			if got := gauges(b, registry)["mailmanager_address_list_members[]"]; got != float64(members) {
				b.Errorf("got %v members, want %d", got, members)
			}
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// fill gives a list members, in the store alone, as an import does: in chunks, each in the order of its keys.
func (p *plane) fill(list string, members int) {
	p.Helper()
	const chunk = 100_000
	owner := store.Key{Scope: home, Kind: "address-list", ID: list}
	for from := 0; from < members; from += chunk {
		a := store.Addition{Owner: owner, Modified: time.Unix(0, 0)}
		for n := from; n < min(from+chunk, members); n++ {
			text := fmt.Sprintf("user%08d@example%03d.org", n*7919%members, n%1000)
			a.Members = append(a.Members, store.Member{Key: text, Text: text, Created: a.Modified})
		}
		slices.SortFunc(a.Members, func(x, y store.Member) int { return strings.Compare(x.Key, y.Key) })
		if err := p.config.Store.AddMembers(p.Context(), a); err != nil {
			p.Fatal(err)
		}
	}
}
