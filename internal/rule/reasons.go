package rule

import "sluice/internal/match"

// Reasons is what an evaluation decided and why, recorded as it goes: indexes only, into memory that Reset keeps, so that
// recording costs nothing worth counting. Explain turns it into the trace form. A Reasons belongs to the Cursor that was
// given to Next with it. When an evaluation goes on in another process with a new Reasons, that has what happened since.
// The zero Reasons is empty and ready.
type Reasons struct {
	rules      []ruleMark
	marks      []mark
	runs       []int // pairs: the first and the last of places in a row
	cannotTell int

	everyone run // the places that the newest rule saw
	count    int // how many they are
	cursor   *Cursor
	epoch    int
}

// run is a part of Reasons.runs.
type run struct{ from, to int }

// ruleMark begins a rule; its marks end where those of the next rule begin.
type ruleMark struct {
	rule     int // index
	from     int // of its first mark
	everyone run
	resumed  bool // the conditions were decided before, and recorded elsewhere
}

// mark is one thing that was decided, and whom it concerns.
type mark struct {
	kind    markKind
	index   int // of the condition, the action
	result  match.Result
	node    int // whose value the condition saw
	outcome OutcomeKind
	dropped bool   // the failure policy took the recipients (Mail Manager, D5)
	why     string // of the outcome
	all     bool   // it concerns everyone that the rule saw
	run     run
}

type markKind uint8

const (
	markCondition markKind = iota // a condition that ruled recipients out, or could not tell
	markMatched                   // the recipients that the rule applies to
	markAction                    // an action that was done, or failed
)

// Reset empties r for the next evaluation.
func (r *Reasons) Reset() {
	r.rules, r.marks, r.runs = r.rules[:0], r.marks[:0], r.runs[:0]
	r.cannotTell, r.cursor, r.epoch = 0, nil, 0
}

// CannotTell is how many conditions could not be told, each counted once for each time that it was tested (Mail Manager,
// C6: they are counted).
func (r *Reasons) CannotTell() int { return r.cannotTell }

// begin begins the rule that the cursor is at.
func (r *Reasons) begin(c *Cursor) {
	alive := c.alive()
	if r.cursor != c || r.epoch != c.epoch {
		r.cursor, r.epoch, r.count = c, c.epoch, len(alive)
		r.everyone.from = len(r.runs)
		for _, at := range alive {
			r.extend(at, r.everyone.from)
		}
		r.everyone.to = len(r.runs)
	}
	r.rules = append(r.rules, ruleMark{rule: c.rule, from: len(r.marks), everyone: r.everyone})
}

// resume begins the rule that the cursor is in the middle of, unless it is the one begun last.
func (r *Reasons) resume(c *Cursor) {
	if n := len(r.rules); n > 0 && r.rules[n-1].rule == c.rule {
		return
	}
	r.begin(c)
	r.rules[len(r.rules)-1].resumed = true
	r.match(c, c.with(matched, 0))
}

// match records whom the rule applies to, and in which node they are. Recipients in a row with the same node share a mark.
func (r *Reasons) match(c *Cursor, places []int) {
	m := mark{kind: markMatched}
	if len(c.nodes) == 1 {
		r.add(m, places)
		return
	}
	m.node = -1
	for _, at := range places {
		if node := c.places[at].node; node != m.node {
			m.node = node
			r.open(m)
		}
		r.mark(at)
	}
}

// add records a mark of places. Conditions and matches concern no more than everyone that the rule saw at its beginning.
func (r *Reasons) add(m mark, places []int) {
	r.open(m)
	if m.kind != markAction && len(places) == r.count {
		r.marks[len(r.marks)-1].all = true
		return
	}
	for _, at := range places {
		r.mark(at)
	}
}

// open records a mark of the places that follow, each in a call of mark.
func (r *Reasons) open(m mark) {
	m.run = run{len(r.runs), len(r.runs)}
	r.marks = append(r.marks, m)
	if m.result == match.CannotTell {
		r.cannotTell++
	}
}

// mark adds a place to the newest mark.
func (r *Reasons) mark(at int) {
	m := &r.marks[len(r.marks)-1]
	r.extend(at, m.run.from)
	m.run.to = len(r.runs)
}

// extend adds a place to the runs that begin at from.
func (r *Reasons) extend(at, from int) {
	if last := len(r.runs) - 1; last > from && r.runs[last] == at-1 {
		r.runs[last] = at
		return
	}
	r.runs = append(r.runs, at, at)
}
