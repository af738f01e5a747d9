package ledger

import (
	"fmt"
	"slices"
	"strings"
)

// Report is what two ledgers say together. All lists are sorted.
type Report struct {
	Sent    int // deliveries that the gateway accepted
	Arrived int // deliveries that the sink took, each counted once

	Missing  []string // accepted, and never arrived
	Twice    []string // answered 250 by the sink more than once
	Repeated []string // came again after the reply to the dot was lost: permitted
	Refused  []string // arrived although the gateway had refused it
	Unknown  []string // arrived and was never sent
	Damaged  []string // arrived with other content
}

// Compare holds what a sink took against what a generator sent.
func Compare(sent, taken *Ledger) Report {
	sent.mu.Lock()
	defer sent.mu.Unlock()
	if sent != taken {
		taken.mu.Lock()
		defer taken.mu.Unlock()
	}
	var r Report
	for key, entry := range sent.entries {
		if entry[Accepted] == 0 {
			continue
		}
		r.Sent++
		if taken.entries[key] == nil {
			r.Missing = append(r.Missing, key)
		}
	}
	for key, entry := range taken.entries {
		r.take(key, sent.entries[key], entry)
	}
	for _, list := range []*[]string{&r.Missing, &r.Twice, &r.Repeated, &r.Refused, &r.Unknown, &r.Damaged} {
		slices.Sort(*list)
	}
	return r
}

// take judges one delivery that arrived.
func (r *Report) take(key string, sent, taken *[marks]int) {
	r.Arrived++
	answered := taken[Arrived] + taken[Damaged]
	switch {
	case sent == nil:
		r.Unknown = append(r.Unknown, key)
	case sent[Accepted]+sent[Uncertain] == 0:
		r.Refused = append(r.Refused, key)
	case answered == 0 && sent[Accepted] > 0: // we took it and never said so: the gateway still owes it
		r.Missing = append(r.Missing, key)
	}
	if answered > 1 {
		r.Twice = append(r.Twice, key)
	} else if answered+taken[Unanswered] > 1 {
		r.Repeated = append(r.Repeated, key)
	}
	if taken[Damaged] > 0 {
		r.Damaged = append(r.Damaged, key)
	}
}

// Err is nil when all that was accepted arrived, unharmed, nothing else did, and nothing twice but what was not answered.
func (r Report) Err() error {
	var wrong []string
	for _, list := range []struct {
		name string
		keys []string
	}{
		{"missing", r.Missing}, {"twice", r.Twice}, {"refused and yet arrived", r.Refused},
		{"never sent", r.Unknown}, {"damaged", r.Damaged},
	} {
		if len(list.keys) > 0 {
			wrong = append(wrong, fmt.Sprintf("%d %s (%s)", len(list.keys), list.name, excerpt(list.keys)))
		}
	}
	if wrong == nil {
		return nil
	}
	return fmt.Errorf("ledgers disagree: %s", strings.Join(wrong, "; "))
}

// excerpt is the first few of a list.
func excerpt(keys []string) string {
	const few = 3
	if len(keys) <= few {
		return strings.Join(keys, ", ")
	}
	return strings.Join(keys[:few], ", ") + ", …"
}

// String is the report on one line.
func (r Report) String() string {
	return fmt.Sprintf("accepted=%d arrived=%d missing=%d twice=%d repeated=%d refused=%d unknown=%d damaged=%d",
		r.Sent, r.Arrived, len(r.Missing), len(r.Twice), len(r.Repeated), len(r.Refused), len(r.Unknown), len(r.Damaged))
}
