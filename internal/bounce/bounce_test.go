package bounce

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/conform"
	"sluice/internal/message"
)

// situation is one of all that can be: every fact that a decision depends on.
type situation struct {
	outcome                         Outcome
	notify                          string
	null, entitled, automatic, late bool
	warned                          bool
}

// rule says what is wanted in the situations it fits. Empty or "*" fits anything; in flags, the letters are null,
// entitled, automatic, late, warned: in upper case for set, in lower case for not set.
type rule struct {
	outcomes []Outcome
	notify   string // patterns, separated by blanks; "-" is none
	flags    string
	want     Decision
}

// notifies are all values of NOTIFY, but for order and case.
var notifies = []string{
	"", "NEVER", "SUCCESS", "FAILURE", "DELAY", "SUCCESS,FAILURE", "SUCCESS,DELAY", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY",
}

const (
	withSuccess    = "SUCCESS SUCCESS,FAILURE SUCCESS,DELAY SUCCESS,FAILURE,DELAY"
	withFailure    = "FAILURE SUCCESS,FAILURE FAILURE,DELAY SUCCESS,FAILURE,DELAY"
	withDelay      = "DELAY SUCCESS,DELAY FAILURE,DELAY SUCCESS,FAILURE,DELAY"
	withoutSuccess = "- FAILURE DELAY FAILURE,DELAY"
	withoutFailure = "SUCCESS DELAY SUCCESS,DELAY"
	withoutDelay   = "SUCCESS FAILURE SUCCESS,FAILURE"
)

// rules decide every situation, each exactly once.
var rules = []rule{
	{[]Outcome{Failed}, "", "N", Decision{Hold, "", NullPath}},
	{[]Outcome{Failed}, "NEVER", "n", Decision{Silent, "", NeverWanted}},
	{[]Outcome{Failed}, withoutFailure, "n", Decision{Silent, "", NotAskedFor}},
	{[]Outcome{Failed}, "-", "nE", Decision{Notify, message.ActionFailed, ByDefault}},
	{[]Outcome{Failed}, "-", "ne", Decision{Hold, "", NotEntitled}},
	{[]Outcome{Failed}, withFailure, "nE", Decision{Notify, message.ActionFailed, AskedFor}},
	{[]Outcome{Failed}, withFailure, "ne", Decision{Hold, "", NotEntitled}},

	{[]Outcome{Rejected}, "", "Na", Decision{Silent, "", NullPath}},
	{[]Outcome{Rejected}, "", "A", Decision{Silent, "", IsAutomatic}},
	{[]Outcome{Rejected}, "NEVER", "na", Decision{Silent, "", NeverWanted}},
	{[]Outcome{Rejected}, withoutFailure, "na", Decision{Silent, "", NotAskedFor}},
	{[]Outcome{Rejected}, "-", "naE", Decision{Notify, message.ActionFailed, ByDefault}},
	{[]Outcome{Rejected}, withFailure, "naE", Decision{Notify, message.ActionFailed, AskedFor}},
	{[]Outcome{Rejected}, withFailure + " -", "nae", Decision{Silent, "", NotEntitled}},

	{[]Outcome{Delayed}, "", "W", Decision{Silent, "", ToldAlready}},
	{[]Outcome{Delayed}, "", "wl", Decision{Silent, "", TooEarly}},
	{[]Outcome{Delayed}, "-", "wLA", Decision{Silent, "", IsAutomatic}},
	{[]Outcome{Delayed}, "-", "wLaN", Decision{Silent, "", NullPath}},
	{[]Outcome{Delayed}, "NEVER " + withDelay + " " + withoutDelay, "wLN", Decision{Silent, "", NullPath}},
	{[]Outcome{Delayed}, "NEVER", "wLn", Decision{Silent, "", NeverWanted}},
	{[]Outcome{Delayed}, withoutDelay, "wLn", Decision{Silent, "", NotAskedFor}},
	{[]Outcome{Delayed}, "-", "wLanE", Decision{Notify, message.ActionDelayed, ByDefault}},
	{[]Outcome{Delayed}, "-", "wLane", Decision{Silent, "", NotEntitled}},
	{[]Outcome{Delayed}, withDelay, "wLnE", Decision{Notify, message.ActionDelayed, AskedFor}},
	{[]Outcome{Delayed}, withDelay, "wLne", Decision{Silent, "", NotEntitled}},

	{[]Outcome{Relayed, Delivered}, "", "N", Decision{Silent, "", NullPath}},
	{[]Outcome{Relayed, Delivered}, "NEVER", "n", Decision{Silent, "", NeverWanted}},
	{[]Outcome{Relayed, Delivered}, withoutSuccess, "n", Decision{Silent, "", NotAskedFor}},
	{[]Outcome{Relayed, Delivered}, withSuccess, "ne", Decision{Silent, "", NotEntitled}},
	{[]Outcome{Relayed}, withSuccess, "nE", Decision{Notify, message.ActionRelayed, AskedFor}},
	{[]Outcome{Delivered}, withSuccess, "nE", Decision{Notify, message.ActionDelivered, AskedFor}},

	{[]Outcome{PassedOn}, "", "", Decision{Silent, "", NextHopTells}},
	{[]Outcome{0, Rejected + 1}, "", "", Decision{Hold, "", NoOutcome}},
}

func (r rule) fits(s situation) bool {
	notify := s.notify
	if notify == "" {
		notify = "-"
	}
	if !slices.Contains(r.outcomes, s.outcome) || r.notify != "" && !slices.Contains(strings.Fields(r.notify), notify) {
		return false
	}
	for letter, set := range map[string]bool{"n": s.null, "e": s.entitled, "a": s.automatic, "l": s.late, "w": s.warned} {
		if strings.Contains(r.flags, letter) && set || strings.Contains(r.flags, strings.ToUpper(letter)) && !set {
			return false
		}
	}
	return true
}

// situations are all there are.
func situations() []situation {
	var all []situation
	for outcome := range Rejected + 2 {
		for _, notify := range notifies {
			for bits := range 1 << 5 {
				set := func(n int) bool { return bits>>n&1 == 1 }
				all = append(all, situation{outcome, notify, set(0), set(1), set(2), set(3), set(4)})
			}
		}
	}
	return all
}

func TestDecideEverySituation(t *testing.T) {
	t.Parallel()
	conform.Check(t, "E18")
	used := make([]bool, len(rules))
	for _, s := range situations() {
		i := slices.IndexFunc(rules, func(r rule) bool { return r.fits(s) })
		if i < 0 || slices.ContainsFunc(rules[i+1:], func(r rule) bool { return r.fits(s) }) {
			t.Fatalf("%+v: no rule, or more than one", s)
		}
		used[i] = true
		for _, facts := range s.facts() {
			if got := Decide(facts); len(got) != 1 || got[0] != rules[i].want {
				t.Errorf("%+v: got %+v, want %+v", s, got, rules[i].want)
			}
		}
	}
	if i := slices.Index(used, false); i >= 0 {
		t.Errorf("no situation for %+v", rules[i])
	}
}

// facts are the ways to be in a situation: entitlement has three sources, NOTIFY any case and order.
func (s situation) facts() []*Facts {
	waited := DelayAfter - 1
	if s.late {
		waited = DelayAfter
	}
	parts := strings.Split(strings.ToLower(s.notify), ",")
	slices.Reverse(parts)
	var all []*Facts
	for _, notify := range []string{s.notify, strings.Join(parts, ",")} {
		f := Facts{
			NullPath: s.null, Automatic: s.automatic,
			Recipients: []Recipient{{Notify: notify, Outcome: s.outcome, Waited: waited, Warned: s.warned}},
		}
		if !s.entitled {
			all = append(all, &f)
			continue
		}
		for bits := 1; bits < 1<<3; bits++ {
			entitled := f
			entitled.Authenticated, entitled.SPFPassed, entitled.Always = bits&1 != 0, bits&2 != 0, bits&4 != 0
			all = append(all, &entitled)
		}
	}
	return all
}

// S17: no notification begets another, and none goes to who may not have sent the message.
func TestS17NoBackscatter(t *testing.T) {
	t.Parallel()
	for _, s := range situations() {
		for _, facts := range s.facts() {
			if got := Decide(facts)[0]; got.Act == Notify && (s.null || !s.entitled) {
				t.Errorf("%+v: got %+v", s, got)
			}
		}
	}
}

// What failed is told, held, or was to end in silence; it never just ends.
func TestFailureIsNeverLost(t *testing.T) {
	t.Parallel()
	for _, s := range situations() {
		if s.outcome != Failed {
			continue
		}
		got := Decide(s.facts()[0])[0]
		if silence := s.notify != "" && !strings.Contains(s.notify, "FAILURE"); got.Act == Silent && (!silence || s.null) {
			t.Errorf("%+v: got %+v", s, got)
		}
	}
}

func TestDecideForEachRecipient(t *testing.T) {
	t.Parallel()
	got := Decide(&Facts{Always: true, Recipients: []Recipient{
		{Outcome: Failed}, {Outcome: Failed, Notify: "NEVER"}, {Outcome: Delayed, Waited: 5 * time.Hour}, {Outcome: Relayed, Notify: "success"},
	}})
	acts := fmt.Sprint(got[0].Act, got[1].Act, got[2].Act, got[3].Act)
	if acts != "NOTIFY SILENT NOTIFY NOTIFY" || got[0].Action != message.ActionFailed || got[2].Action != message.ActionDelayed || got[3].Action != message.ActionRelayed {
		t.Errorf("got %v", got)
	}
	if got := Decide(&Facts{}); len(got) != 0 {
		t.Errorf("got %v for nobody", got)
	}
	if Hold.String() != "HOLD" || Act(9).String() != "Act(9)" {
		t.Error("acts have wrong names")
	}
}
