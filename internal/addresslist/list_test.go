package addresslist

import (
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// plain is the n-th of as many addresses as one wants, 27 octets each.
func plain(n int) string { return fmt.Sprintf("user%08d@example%03d.org", n, n%1000) }

// entries are the members from one number to another.
func entries(t testing.TB, member func(int) string, from, to int) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for n := from; n < to; n++ {
			e, err := Parse(member(n))
			if err != nil {
				t.Fatalf("%s: %v", member(n), err)
			}
			if !yield(e) {
				return
			}
		}
	}
}

func TestAddAll(t *testing.T) {
	t.Parallel()
	l := New()
	if got := l.AddAll(entries(t, plain, 0, 15_000)); got != 15_000 || l.Len() != got {
		t.Fatalf("got %d of %d members", got, l.Len())
	}
	if got := l.AddAll(entries(t, plain, 10_000, 20_000)); got != 5_000 || l.Len() != 20_000 {
		t.Fatalf("got %d new, %d members", got, l.Len())
	}
	for n := range 20_000 {
		if !l.Contains(AppendFolded(nil, plain(n))) {
			t.Fatalf("%s is lost", plain(n))
		}
	}
	if l.Contains([]byte(plain(20_000))) {
		t.Error("a member that was not added is there")
	}
	for e := range entries(t, plain, 0, 20_000) {
		if !l.Remove(e) {
			t.Fatalf("%s is lost", e.Key())
		}
	}
	if l.Len() != 0 || l.Contains([]byte(plain(1))) {
		t.Errorf("got %d members", l.Len())
	}
	if empty := New().Octets(); l.Octets() > empty+shards*2_000 {
		t.Errorf("got %d octets for an emptied list, %d for a new one", l.Octets(), empty)
	}
}

// Keys that Parse does not make do no harm.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	l := New()
	for _, key := range []string{"", "*", "a*", "*.", "*@", "aaaaaaaaaaaaaaaaaaaaaaaaa*@a", "a*b*c@a", "\xff*@a", "*." + strings.Repeat("a.", 200)} {
		if e := FromKey(key); !l.Add(e) || !l.Remove(e) {
			t.Errorf("%q is not added and removed", key)
		}
	}
	long := strings.Repeat("a", maxKeyOctets) + "@a"
	if e := FromKey(long); l.Add(e) || l.Remove(e) || l.Contains([]byte(long)) || l.Len() != 0 {
		t.Error("a key without end is a member")
	}
}

// TestChurn: what comes and goes leaves nothing behind.
func TestChurn(t *testing.T) {
	t.Parallel()
	for name, member := range map[string]func(int) string{"plain": plain, "patterns": manyForms, "beginnings": beginning} {
		l := New()
		l.AddAll(entries(t, member, 0, 1_000))
		before := l.Octets()
		for n := 1_000; n < 10_000; n++ {
			for e := range entries(t, member, n, n+1) {
				l.Add(e)
			}
			for e := range entries(t, member, n-1_000, n-999) {
				l.Remove(e)
			}
		}
		if l.Len() > 1_000 || l.Octets() > 4*before {
			t.Errorf("%s: got %d members in %d octets, want %d octets", name, l.Len(), l.Octets(), before)
		}
	}
}

// TestReadersAndWriters: a member that is there throughout is found throughout, whatever else comes and goes, and what Add
// and Remove have done is seen at once.
func TestReadersAndWriters(t *testing.T) {
	t.Parallel()
	l := New()
	l.AddAll(entries(t, plain, 0, 1_000))
	l.AddAll(entries(t, manyForms, 0, 500))
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if !l.Contains([]byte(plain(n % 1_000))) {
					t.Errorf("%s is lost", plain(n%1_000))
					return
				}
				if address := strings.Replace(manyForms(n%500), "*", "between", 1); !l.Contains([]byte(address)) {
					t.Errorf("%s is lost", address)
					return
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() {
			base := 1_000_000 * (w + 1)
			for n := base; n < base+5_000; n++ {
				for _, member := range []func(int) string{plain, beginning} {
					for e := range entries(t, member, n, n+1) {
						address := []byte(strings.Replace(e.Key(), "*", "x", 1))
						if !l.Add(e) || !l.Contains(address) || n%2 == 0 && (!l.Remove(e) || l.Contains(address)) {
							t.Errorf("%s: not seen at once", e.Key())
						}
					}
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func TestContainsAllocatesNothing(t *testing.T) {
	l := New()
	l.AddAll(entries(t, plain, 0, 1_000))
	l.AddAll(entries(t, manyForms, 0, 1_000))
	var room [128]byte
	for _, address := range []string{plain(1), "nobody@example.com", "abcdefghijklmnopqrstuvwxyz@example.org"} {
		if n := testing.AllocsPerRun(100, func() { l.Contains(AppendFolded(room[:0], address)) }); n != 0 {
			t.Errorf("%s: got %v allocations", address, n)
		}
	}
}

// beginning is the n-th member of many domains with an asterisk.
func beginning(n int) string { return fmt.Sprintf("user%08d*@example%03d.org", n, n%1000) }

// manyForms is the n-th member of one domain, with an asterisk: of all lengths, before it, after it and on both sides.
func manyForms(n int) string {
	around := minAround + n%(maxAround-minAround+1)
	text := fmt.Sprintf("%019d", uint64(n)*0x9e3779b97f4a7c15>>4)[:around]
	at := n / 17 % (around + 1)
	return text[:at] + "*" + text[at:] + "@example.org"
}

// TestOctets holds what the figure of docs/performance.md promises, within a list of a size that tests can afford.
func TestOctets(t *testing.T) {
	const members = 100_000
	for name, member := range map[string]func(int) string{"plain": plain, "beginnings": beginning} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := New()
		l.AddAll(entries(t, member, 0, members))
		runtime.GC()
		runtime.ReadMemStats(&after)
		measured := float64(after.HeapAlloc-before.HeapAlloc) / members
		if told := float64(l.Octets()) / members; measured > 100 || told < measured*0.9 || told > measured*1.1 {
			t.Errorf("%s: got %.1f octets a member, told as %.1f", name, measured, told)
		}
		runtime.KeepAlive(l)
	}
}
