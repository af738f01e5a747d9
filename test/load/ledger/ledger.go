// Package ledger keeps account of messages under load: what a generator sent and how it was answered, what a sink took
// and how it answered, and whether the two agree: all arrived, none twice. Start with New and Compare.
package ledger

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
)

// Mark is what became of a delivery, one message for one recipient, on one side.
type Mark uint8

// The marks. The first three are a generator's, the last two are what the gateway itself says, the others are a sink's.
const (
	Accepted   Mark = iota // answered 250: the gateway has promised to deliver it
	Refused                // answered 4yz or 5yz for good
	Uncertain              // sent, and the reply was lost: it may arrive, once
	Arrived                // taken and answered 250
	Unanswered             // taken, and then the connection was dropped before the reply: it may come again
	Damaged                // taken and answered 250, but its content is not what was sent
	Bounced                // told of to its sender, in a notification that was taken and answered 250: it will not arrive
	Held                   // at rest in the gateway
	Queued                 // waits in the gateway
	marks
)

var markNames = [marks]string{"accepted", "refused", "uncertain", "arrived", "unanswered", "damaged", "bounced", "held", "queued"}

// String is the mark's name in a ledger file.
func (m Mark) String() string { return markNames[m] }

// Ledger counts marks for each delivery. It is safe for concurrent use.
type Ledger struct {
	mu      sync.Mutex
	entries map[string]*counts
	totals  counts
}

// counts are how often each mark was noted.
type counts [marks]int

// arrivals is how often a delivery came to a sink, answered or not.
func (c *counts) arrivals() int { return c[Arrived] + c[Damaged] + c[Unanswered] }

// New returns an empty ledger.
func New() *Ledger { return &Ledger{entries: map[string]*counts{}} }

// Key names a delivery: a message's id and one recipient.
func Key(id, recipient string) string { return id + "/" + recipient }

// Add notes a mark.
func (l *Ledger) Add(key string, m Mark) {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry := l.entries[key]
	if entry == nil {
		entry = new(counts)
		l.entries[key] = entry
	}
	entry[m]++
	l.totals[m]++
}

// Merge adds what another ledger has.
func (l *Ledger) Merge(other *Ledger) {
	other.mu.Lock()
	defer other.mu.Unlock()
	for key, entry := range other.entries {
		for m, n := range entry {
			for range n {
				l.Add(key, Mark(m))
			}
		}
	}
}

// Total is how often the mark was noted.
func (l *Ledger) Total(m Mark) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals[m]
}

// Len is how many deliveries have a mark.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Keys returns the deliveries that have the mark, sorted.
func (l *Ledger) Keys(m Mark) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for key, entry := range l.entries {
		if entry[m] > 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// WriteTo writes the ledger as text: a line for each mark noted, "mark key", sorted.
func (l *Ledger) WriteTo(to io.Writer) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := bufio.NewWriter(to)
	var written int64
	for _, key := range slices.Sorted(maps.Keys(l.entries)) {
		for m, count := range l.entries[key] {
			for range count {
				n, _ := fmt.Fprintln(w, Mark(m), key) // Flush reports the error
				written += int64(n)
			}
		}
	}
	return written, w.Flush()
}

// Save writes the ledger to a file.
func (l *Ledger) Save(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	if _, err := l.WriteTo(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// Load reads a file that Save wrote.
func Load(name string) (*Ledger, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l := New()
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		word, key, _ := strings.Cut(lines.Text(), " ")
		m := slices.Index(markNames[:], word)
		if m < 0 || key == "" {
			return nil, fmt.Errorf("%s:%d: not a line of a ledger", name, number)
		}
		l.Add(key, Mark(m))
	}
	return l, lines.Err()
}
