package rdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var (
	v4 = netip.MustParseAddr("192.0.2.1")
	v6 = netip.MustParseAddr("2001:db8::1")

	errServer   = errors.New("server misbehaving")
	errNotFound = &net.DNSError{Err: "no such host", IsNotFound: true}
)

// zones is a resolver. Its look-ups wait until block is closed, or ctx ends.
type zones struct {
	reverse   map[string][]string
	forward   map[string][]string // "network host." to addresses
	addrErr   error
	hostErr   error
	block     chan struct{} // nil: nothing waits
	onlyHosts bool          // only LookupNetIP waits

	mu      sync.Mutex
	asked   []string
	running int
	most    int
}

func (z *zones) wait(ctx context.Context, question string, waits bool) error {
	z.mu.Lock()
	z.asked = append(z.asked, question)
	z.running++
	z.most = max(z.most, z.running)
	z.mu.Unlock()
	defer func() {
		z.mu.Lock()
		z.running--
		z.mu.Unlock()
	}()
	if z.block == nil || !waits {
		return nil
	}
	select {
	case <-z.block:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (z *zones) LookupAddr(ctx context.Context, address string) ([]string, error) {
	if err := z.wait(ctx, address, !z.onlyHosts); err != nil {
		return nil, err
	}
	if names, ok := z.reverse[address]; ok || z.addrErr != nil {
		return names, z.addrErr
	}
	return nil, errNotFound
}

func (z *zones) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := z.wait(ctx, network+" "+host, true); err != nil {
		return nil, err
	}
	texts, ok := z.forward[network+" "+host]
	if !ok && z.hostErr != nil {
		return nil, z.hostErr
	}
	if !ok {
		return nil, errNotFound
	}
	var out []netip.Addr
	for _, text := range texts {
		out = append(out, netip.MustParseAddr(text))
	}
	return out, nil
}

// good has a name for v4 and v6 that leads back.
func good() *zones {
	return &zones{
		reverse: map[string][]string{v4.String(): {"mx.example.com."}, v6.String(): {"mx6.example.com."}},
		forward: map[string][]string{"ip4 mx.example.com.": {"198.51.100.1", "192.0.2.1"}, "ip6 mx6.example.com.": {"2001:db8::1"}},
	}
}

func names(z *zones) *Names {
	return New(Config{Lookup: z, Logger: slog.New(slog.DiscardHandler)})
}

func (n *Names) check(t *testing.T, address netip.Addr, want string) {
	t.Helper()
	if got := n.Name(address); got != want {
		t.Errorf("%s: got %q, want %q", address, got, want)
	}
}

func (n *Names) counted(t *testing.T, result string, want int) {
	t.Helper()
	if got := testutil.ToFloat64(n.results.WithLabelValues(result)); got != float64(want) {
		t.Errorf("%s: got %v, want %d", result, got, want)
	}
}

func closed(t *testing.T, n *Names) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// Mail Manager, E1: a name is told when one of its addresses is the client's.
func TestConfirmed(t *testing.T) {
	t.Parallel()
	many := make([]string, 0, 10)
	for i := range 10 {
		many = append(many, fmt.Sprintf("n%d.example.", i))
	}
	own := map[string][]string{"ip4 mx.example.com.": {"192.0.2.1"}, "ip4 192.0.2.1.": {"192.0.2.1"}, "ip4 mx_1.example.": {"::ffff:192.0.2.1"}}
	tests := []struct {
		name    string
		address string
		zones   *zones
		want    string
		result  string
	}{
		{"IPv4", "192.0.2.1", good(), "mx.example.com", resultConfirmed},
		{"IPv6", "2001:db8::1", good(), "mx6.example.com", resultConfirmed},
		{"IPv4-mapped", "::ffff:192.0.2.1", good(), "mx.example.com", resultConfirmed},
		{"zone", "2001:db8::1%eth0", good(), "mx6.example.com", resultConfirmed},
		{"underscore, mapped answer", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"mx_1.example."}}, forward: own}, "mx_1.example", resultConfirmed},
		{"the second name", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"forged.example.", "mx.example.com."}}, forward: own}, "mx.example.com", resultConfirmed},
		{"names beside an error", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"mx.example.com."}}, forward: own, addrErr: errServer}, "mx.example.com", resultConfirmed},
		{"the second name, the first failing", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"forged.example.", "mx.example.com."}}, forward: own, hostErr: errServer}, "mx.example.com", resultConfirmed},
		{"the last that is tried", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": append(slices.Clone(many[1:]), "mx.example.com.")}, forward: own}, "mx.example.com", resultConfirmed},

		{"one too many", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": append(slices.Clone(many), "mx.example.com.")}, forward: own}, "", resultNone},
		{"no name", "192.0.2.2", good(), "", resultNone},
		{"forged: it leads elsewhere", "192.0.2.2", &zones{reverse: map[string][]string{"192.0.2.2": {"mx.example.com."}}, forward: own}, "", resultNone},
		{"forged: it leads nowhere", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"bank.example."}}, forward: own}, "", resultNone},
		{"other family", "2001:db8::1", &zones{reverse: map[string][]string{"2001:db8::1": {"mx.example.com."}}, forward: own}, "", resultNone},
		{"an address in disguise", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"192.0.2.1."}}, forward: own}, "", resultNone},
		{"CRLF", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"mx.example.com\r\nX-Forged: 1."}}}, "", resultNone},
		{"reverse zone fails", "192.0.2.1", &zones{addrErr: errServer}, "", resultFailed},
		{"forward zone fails", "192.0.2.1", &zones{reverse: map[string][]string{"192.0.2.1": {"mx.example.com."}}, hostErr: errServer}, "", resultFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := names(tt.zones)
				n.check(t, netip.MustParseAddr(tt.address), "")
				synctest.Wait()
				n.check(t, netip.MustParseAddr(tt.address), tt.want)
				n.counted(t, tt.result, 1)
				closed(t, n)
			})
		})
	}
}

func TestNoAddress(t *testing.T) {
	t.Parallel()
	z := good()
	n := names(z)
	n.check(t, netip.Addr{}, "")
	closed(t, n)
	if len(z.asked) != 0 {
		t.Errorf("got %q", z.asked)
	}
}

// A resolver that answers late makes nobody wait, and is asked once for an address.
func TestNameDoesNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := good()
		z.block = make(chan struct{})
		n := names(z)
		for range 100 {
			n.check(t, v4, "")
			n.check(t, netip.MustParseAddr("::ffff:192.0.2.1"), "")
		}
		synctest.Wait()
		close(z.block)
		synctest.Wait()
		n.check(t, v4, "mx.example.com")
		if want := []string{"192.0.2.1", "ip4 mx.example.com."}; !slices.Equal(z.asked, want) {
			t.Errorf("got %q, want %q", z.asked, want)
		}
		closed(t, n)
	})
}

func numbered(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestRunningIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := &zones{block: make(chan struct{})}
		n := names(z)
		for i := range maxRunning + 10 {
			n.Name(numbered(i))
		}
		synctest.Wait()
		if z.most != 32 {
			t.Errorf("got %d at once, want %d", z.most, 32)
		}
		n.counted(t, resultSkipped, 10)
		close(z.block)
		synctest.Wait()
		n.counted(t, resultNone, maxRunning)
		n.Name(numbered(maxRunning)) // skipped then, and not forgotten
		synctest.Wait()
		n.counted(t, resultNone, maxRunning+1)
		closed(t, n)
	})
}

// The time is for all names of an address.
func TestTimeIsBounded(t *testing.T) {
	t.Parallel()
	for _, onlyHosts := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			z := good()
			z.reverse[v4.String()] = []string{"a.example.", "b.example.", "c.example."}
			z.block, z.onlyHosts = make(chan struct{}), onlyHosts
			n := names(z)
			n.check(t, v4, "")
			time.Sleep(10*time.Second - time.Millisecond) // of the bubble
			synctest.Wait()
			n.counted(t, resultFailed, 0)
			time.Sleep(time.Millisecond)
			synctest.Wait()
			n.counted(t, resultFailed, 1)
			closed(t, n)
		})
	}
}

// How long each answer is current: within that time nothing is asked, afterwards it is, and the old name still told.
func TestAnswersAge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(z *zones)
		want   string
		lasts  time.Duration
	}{
		{"confirmed", func(*zones) {}, "mx.example.com", time.Hour},
		{"none", func(z *zones) { z.reverse = nil }, "", 10 * time.Minute},
		{"failed", func(z *zones) { z.reverse, z.addrErr = nil, errServer }, "", time.Minute},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				z := good()
				tt.change(z)
				n := names(z)
				n.check(t, v4, "")
				synctest.Wait()
				once := len(z.asked)
				time.Sleep(tt.lasts - time.Millisecond) // of the bubble
				n.check(t, v4, tt.want)
				synctest.Wait()
				if len(z.asked) != once {
					t.Errorf("asked %q within %s", z.asked[once:], tt.lasts)
				}
				time.Sleep(time.Millisecond)
				n.check(t, v4, tt.want)
				synctest.Wait()
				if len(z.asked) != 2*once {
					t.Errorf("asked %q after %s, want it all again", z.asked[once:], tt.lasts)
				}
				closed(t, n)
			})
		})
	}
}

// A name that was confirmed outlives failures for a day, and not the news that it is gone.
func TestStaleNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := good()
		n := names(z)
		n.Name(v4)
		n.Name(v6)
		synctest.Wait()
		z.addrErr = errServer
		delete(z.reverse, v4.String())
		time.Sleep(24*time.Hour - time.Millisecond) // of the bubble
		n.check(t, v4, "mx.example.com")
		synctest.Wait()
		n.counted(t, resultFailed, 1)
		n.check(t, v4, "mx.example.com")
		time.Sleep(time.Millisecond)
		n.check(t, v4, "")

		z.addrErr = nil
		time.Sleep(failedFor)
		n.Name(v4)
		n.Name(v6)
		synctest.Wait()
		n.check(t, v4, "")
		n.check(t, v6, "mx6.example.com")
		delete(z.reverse, v6.String())
		time.Sleep(confirmedFor)
		n.check(t, v6, "mx6.example.com")
		synctest.Wait()
		n.check(t, v6, "")
		closed(t, n)
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		z := good()
		n := names(z)
		n.Name(v4)
		synctest.Wait()
		z.block = make(chan struct{})
		n.Name(v6)
		synctest.Wait()
		closed(t, n) // cancels what runs
		asked := len(z.asked)
		n.check(t, v4, "mx.example.com")
		n.check(t, v6, "")
		synctest.Wait()
		if len(z.asked) != asked {
			t.Errorf("asked %q after Close", z.asked[asked:])
		}
		n.counted(t, resultFailed, 0)
		closed(t, n)
	})
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := names(good()).cache
	for i := range maxAddresses {
		c.put(numbered(i), answer{name: fmt.Sprint(i)})
	}
	c.get(numbered(0))                        // used: it stays
	c.put(numbered(1), answer{name: "newer"}) // the same
	c.put(numbered(maxAddresses), answer{})   // 2 goes
	c.put(numbered(maxAddresses+1), answer{}) // 3 goes
	for i, want := range []bool{true, true, false, false, true} {
		if _, ok := c.get(numbered(i)); ok != want {
			t.Errorf("%d: got %v, want %v", i, ok, want)
		}
	}
	if a, _ := c.get(numbered(1)); a.name != "newer" || len(c.entries) != 16384 || c.order.Len() != maxAddresses {
		t.Errorf("got %+v, %d and %d entries", a, len(c.entries), c.order.Len())
	}
}

func TestManyAsk(t *testing.T) {
	t.Parallel()
	n := New(Config{Lookup: good(), Registerer: prometheus.NewRegistry()})
	n.cache.size = 10
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			for i := range 500 {
				n.Name(numbered(i % 50))
				if got := n.Name(v4); got != "" && got != "mx.example.com" {
					t.Errorf("%d: got %q", g, got)
				}
			}
		})
	}
	group.Wait()
	closed(t, n)
	if len(n.cache.entries) > 10 || len(n.running) != 0 {
		t.Errorf("got %d entries, %d running", len(n.cache.entries), len(n.running))
	}
}

var hostNames = []struct {
	in, want string
}{
	{"mx.example.com.", "mx.example.com"},
	{"mx.example.com", "mx.example.com"},
	{"localhost", "localhost"},
	{"MX_1.xn--bcher-kva.Example.", "MX_1.xn--bcher-kva.Example"},
	{"1.2.3.4.in-addr.arpa.", "1.2.3.4.in-addr.arpa"},
	{strings.Repeat("a.", 126) + "a.", strings.Repeat("a.", 126) + "a"},

	{"", ""}, {".", ""}, {"a..", ""}, {".a", ""}, {"a..b", ""},
	{"192.0.2.1.", ""}, {"192.0.2.1", ""}, {"7", ""}, {"[192.0.2.1]", ""}, {"2001:db8::1", ""},
	{"a b.example.", ""}, {"a\r\nb.example.", ""}, {"a.example\n", ""}, {"a\x00.example", ""}, {"\x7f.example", ""},
	{"bücher.example.", ""}, {"a\xff.example", ""}, {"a;b.example", ""}, {"(a).example", ""}, {"<a>.example", ""}, {"*.example", ""}, {`a\.b.example`, ""}, {"a/b.example", ""},
	{strings.Repeat("a", 64) + ".example.", ""},
	{strings.Repeat("a.", 126) + "aa.", ""},
}

func TestHostName(t *testing.T) {
	t.Parallel()
	for _, tt := range hostNames {
		if got, ok := hostName(tt.in); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%q: got %q, %v, want %q", tt.in, got, ok, tt.want)
		}
	}
}

// FuzzHostName reads what the owner of a reverse zone wrote: what is taken is short, of harmless octets, and taken the same again.
func FuzzHostName(f *testing.F) {
	for _, tt := range hostNames {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		host, ok := hostName(in)
		if !ok {
			return
		}
		again, ok := hostName(host)
		if !ok || again != host || len(host) > maxHostOctets || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
			t.Fatalf("%q: got %q, then %q, %v", in, host, again, ok)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			t.Fatalf("%q is an address", host)
		}
	})
}
