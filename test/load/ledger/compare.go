package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Report is what two ledgers say together. All lists are sorted.
type Report struct {
	Sent    int // deliveries that the gateway accepted
	Arrived int // deliveries that the sink took, each counted once
	Bounced int // of those that were accepted, how many came back to their sender instead, each counted once
	Held    int // of the others that were accepted, how many rest in the gateway
	Queued  int // of the others, how many wait there

	Missing  []string // accepted, and nowhere
	Twice    []string // answered 250 by the sink more than once
	Repeated []string // came again after the reply to the dot was lost: permitted
	Refused  []string // arrived although the gateway had refused it
	Unknown  []string // arrived and was never sent
	Damaged  []string // arrived with other content
	Both     []string // arrived, and came back all the same
	ToldMore []string // came back more than once
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
		switch there := taken.entries[key]; {
		case there == nil:
			r.Missing = append(r.Missing, key)
		case there.arrivals() > 0: // see take
		case there[Bounced] > 0:
			r.Bounced++
		case there[Held] > 0:
			r.Held++
		default:
			r.Queued++
		}
	}
	for key, entry := range taken.entries {
		r.take(key, sent.entries[key], entry)
	}
	for _, keys := range []*[]string{&r.Missing, &r.Twice, &r.Repeated, &r.Refused, &r.Unknown, &r.Damaged, &r.Both, &r.ToldMore} {
		slices.Sort(*keys)
	}
	return r
}

// take judges one delivery that arrived, came back or is in the gateway.
func (r *Report) take(key string, sent, taken *counts) {
	answered := taken[Arrived] + taken[Damaged]
	if taken.arrivals() > 0 {
		r.Arrived++
	}
	switch {
	case sent == nil:
		r.Unknown = append(r.Unknown, key)
	case sent[Accepted]+sent[Uncertain] == 0:
		r.Refused = append(r.Refused, key)
	case answered > 0 && taken[Bounced] > 0:
		r.Both = append(r.Both, key)
	case taken.arrivals() > 0 && answered+taken[Bounced]+taken[Held]+taken[Queued] == 0 && sent[Accepted] > 0: // we took it and never said so: the gateway still owes it
		r.Missing = append(r.Missing, key)
	}
	if answered > 1 {
		r.Twice = append(r.Twice, key)
	} else if answered+taken[Unanswered] > 1 {
		r.Repeated = append(r.Repeated, key)
	}
	if taken[Bounced] > 1 {
		r.ToldMore = append(r.ToldMore, key)
	}
	if taken[Damaged] > 0 {
		r.Damaged = append(r.Damaged, key)
	}
}

// Balance is the account: accepted = delivered + bounced + held + queued. Deliveries whose fate the generator does not know are
// left out. The error says what does not add up; what came more than once is no part of it.
func (r Report) Balance() (line string, err error) {
	delivered := r.Sent - r.Bounced - r.Held - r.Queued - len(r.Missing)
	line = fmt.Sprintf("accepted %d = delivered %d + bounced %d + held %d + queued %d; came more than once: %d, told of more than once: %d",
		r.Sent, delivered, r.Bounced, r.Held, r.Queued, len(r.Twice)+len(r.Repeated), len(r.ToldMore))
	if len(r.Missing) > 0 {
		line = "does not add up: " + line
	}
	return line, errors.Join(disagreements([]list{
		{"missing", r.Missing}, {"refused and yet arrived", r.Refused}, {"never sent", r.Unknown}, {"damaged", r.Damaged},
		{"arrived and came back", r.Both},
	})...)
}

// Err is nil when all that was accepted arrived, unharmed, or came back, nothing else did, and nothing twice but what was not
// answered.
func (r Report) Err() error {
	return errors.Join(disagreements([]list{
		{"missing", r.Missing}, {"twice", r.Twice}, {"refused and yet arrived", r.Refused}, {"never sent", r.Unknown},
		{"damaged", r.Damaged}, {"arrived and came back", r.Both}, {"told of more than once", r.ToldMore},
	})...)
}

// list is deliveries that have something in common.
type list struct {
	name string
	keys []string
}

// disagreements is an error for each list that is not empty.
func disagreements(lists []list) (wrong []error) {
	for _, l := range lists {
		if len(l.keys) > 0 {
			wrong = append(wrong, fmt.Errorf("%d %s (%s)", len(l.keys), l.name, excerpt(l.keys)))
		}
	}
	return wrong
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
	return fmt.Sprintf("accepted=%d arrived=%d bounced=%d held=%d queued=%d missing=%d twice=%d repeated=%d refused=%d unknown=%d damaged=%d both=%d told_more=%d",
		r.Sent, r.Arrived, r.Bounced, r.Held, r.Queued, len(r.Missing), len(r.Twice), len(r.Repeated), len(r.Refused), len(r.Unknown), len(r.Damaged),
		len(r.Both), len(r.ToldMore))
}
