package spooltest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/spool"
	"sluice/internal/spool/memory"
)

// Compare makes random histories of accepts, claims, settlements, releases and renewals by several owners, with leases
// that end, on a spool and on the one in memory: every answer must be the same, and so must what is left.
func Compare(t *testing.T, open Opener) {
	rapid.Check(t, func(rt *rapid.T) {
		model := memory.New(memory.Config{})
		tested := open(t, spool.NewBudget(0))
		defer func() {
			if err := tested.Close(); err != nil {
				rt.Fatalf("close: %v", err)
			}
		}()
		h := &history{Fatalf: rt.Fatalf, both: [2]spool.Spool{model, tested}, now: Epoch, context: t}
		rt.Repeat(map[string]func(*rapid.T){
			"accept":  h.accept,
			"claim":   h.claim,
			"choose":  h.choose,
			"settle":  h.settle,
			"release": h.release,
			"renew":   h.renew,
			"":        h.check,
		})
	})
}

// history is a history on two spools, the model first.
type history struct {
	Fatalf   func(format string, args ...any)
	both     [2]spool.Spool
	context  testing.TB
	now      time.Time
	steps    int
	messages []spool.Message
	sequence map[spool.ItemKey]uint32 // by message: the last number used
	held     []holding
}

// holding is an item that an owner claimed, and may have lost since.
type holding struct {
	owner string
	item  spool.Item
}

const historyMessages = 10

var (
	historyLanes  = rapid.SampledFrom([]spool.Lane{"a", "b", "held/c"})
	historyOwners = rapid.SampledFrom([]string{"x", "y"})
)

// due is a time around now, often the same for several items.
func (h *history) due(t *rapid.T) time.Time {
	return h.now.Add(time.Duration(rapid.IntRange(-3, 5).Draw(t, "due")) * time.Minute)
}

func (h *history) until(t *rapid.T) time.Time {
	return h.now.Add(time.Duration(rapid.IntRange(1, 10).Draw(t, "lease")) * time.Minute)
}

// number is a number that is new in the message.
func (h *history) number(m *spool.Message) uint32 {
	if h.sequence == nil {
		h.sequence = map[spool.ItemKey]uint32{}
	}
	key := spool.ItemKey{Message: m.ID}
	h.sequence[key]++
	return h.sequence[key]
}

func (h *history) accept(t *rapid.T) {
	if len(h.messages) == historyMessages {
		t.Skip("enough messages")
	}
	m := Message()
	a := spool.Acceptance{Message: m, Rules: []byte("rules"), Until: h.until(t)}
	for range rapid.IntRange(1, 4).Draw(t, "items") {
		a.Items = append(a.Items, Item(&m, h.number(&m), historyLanes.Draw(t, "lane"), h.due(t)))
	}
	if rapid.Bool().Draw(t, "claimed") {
		a.Owner = historyOwners.Draw(t, "owner")
	}
	content := Octets(rapid.SampledFrom([]int{0, 10, 5000, 300_000}).Draw(t, "size"))
	for _, s := range h.both {
		f := &fixture{Spool: s, t: h.context}
		f.acceptItems(&m, content, a.Owner, a.Items...)
	}
	h.messages = append(h.messages, m)
	if a.Owner != "" {
		h.hold(a.Owner, a.Items...)
	}
}

func (h *history) hold(owner string, items ...spool.Item) {
	for _, item := range items {
		h.held = append(h.held, holding{owner, item})
	}
}

func (h *history) claim(t *rapid.T) {
	h.now = h.now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "pass")) * time.Minute)
	lane, n, owner := historyLanes.Draw(t, "lane"), rapid.IntRange(0, 4).Draw(t, "n"), historyOwners.Draw(t, "owner")
	until := h.until(t)
	var answers [2][]spool.Claimed
	var nexts [2]time.Time
	for i, s := range h.both {
		var err error
		if answers[i], nexts[i], err = s.Claim(h.context.Context(), lane, n, owner, h.now, until); err != nil {
			h.Fatalf("claim: %v", err)
		}
	}
	h.same("claimed", itemsOf(answers[0]), itemsOf(answers[1]))
	h.same("next", nexts[0], nexts[1])
	h.hold(owner, itemsOf(answers[0])...)
}

// choose claims items by their keys, some of which are claimed or gone.
func (h *history) choose(t *rapid.T) {
	var chosen []spool.ItemKey
	for i := range h.messages {
		last := h.sequence[spool.ItemKey{Message: h.messages[i].ID}]
		for seq := range last + 1 {
			if rapid.IntRange(0, 3).Draw(t, "chosen") == 0 {
				chosen = append(chosen, spool.ItemKey{Message: h.messages[i].ID, Seq: seq})
			}
		}
	}
	owner, until := historyOwners.Draw(t, "owner"), h.until(t)
	var answers [2][]spool.Item
	for i, s := range h.both {
		claimed, err := s.ClaimItems(h.context.Context(), owner, h.now, until, chosen)
		if err != nil {
			h.Fatalf("claim items: %v", err)
		}
		answers[i] = sorted(itemsOf(claimed))
	}
	h.same("chosen", answers[0], answers[1])
	h.hold(owner, answers[0]...)
}

// sorted orders items by their keys.
func sorted(items []spool.Item) []spool.Item {
	slices.SortFunc(items, func(a, b spool.Item) int {
		return cmp.Or(bytes.Compare(a.Message[:], b.Message[:]), cmp.Compare(a.Seq, b.Seq))
	})
	return items
}

// pick takes a holding of those that are left, if any.
func (h *history) pick(t *rapid.T) (holding, bool) {
	if len(h.held) == 0 {
		t.Skip("nothing is held")
	}
	at := rapid.IntRange(0, len(h.held)-1).Draw(t, "holding")
	picked := h.held[at]
	h.held = slices.Delete(h.held, at, at+1)
	return picked, true
}

func (h *history) settle(t *rapid.T) {
	picked, _ := h.pick(t)
	s := spool.Settlement{Owner: picked.owner, Out: keys(picked.item), Claim: rapid.Bool().Draw(t, "claim"), Until: h.until(t)}
	for range rapid.IntRange(0, 2).Draw(t, "in") {
		m := spool.Message{ID: picked.item.Message, Envelope: Message().Envelope}
		s.In = append(s.In, Item(&m, h.number(&m), historyLanes.Draw(t, "lane"), h.due(t)))
	}
	if rapid.Bool().Draw(t, "again") {
		again := picked.item
		again.Attempts++
		if rapid.Bool().Draw(t, "later") {
			again.Due, again.Lane = h.due(t), historyLanes.Draw(t, "lane")
		}
		s.In = append(s.In, again)
	}
	if h.outcome("settle", func(f spool.Spool) error { return f.Settle(h.context.Context(), s) }) && s.Claim {
		h.hold(picked.owner, s.In...)
	}
}

func (h *history) release(t *rapid.T) {
	picked, _ := h.pick(t)
	h.outcome("release", func(f spool.Spool) error {
		return f.Release(h.context.Context(), picked.owner, picked.item.ItemKey)
	})
}

func (h *history) renew(t *rapid.T) {
	owner, until := historyOwners.Draw(t, "owner"), h.until(t)
	h.outcome("renew", func(f spool.Spool) error { return f.Renew(h.context.Context(), owner, until) })
}

// outcome makes a call on both and fails unless both succeed or both have lost a lease.
func (h *history) outcome(name string, call func(spool.Spool) error) (done bool) {
	want, got := call(h.both[0]), call(h.both[1])
	for _, err := range [...]error{want, got} {
		if err != nil && !errors.Is(err, spool.ErrLeaseLost) {
			h.Fatalf("%s: %v", name, err)
		}
	}
	if (want == nil) != (got == nil) {
		h.Fatalf("%s: got %v, want %v", name, got, want)
	}
	return want == nil
}

// check compares what is there, now and then: it reads everything.
func (h *history) check(*rapid.T) {
	if h.steps++; h.steps%4 > 0 {
		return
	}
	var views [2]string
	for i, s := range h.both {
		views[i] = h.view(s)
	}
	h.same("what is there", views[0], views[1])
}

// view is all that can be read of a spool.
func (h *history) view(s spool.Spool) string {
	ctx := h.context.Context()
	stats, err := s.Lanes(ctx)
	view := fmt.Sprintf("%v %v\n", stats, err)
	for _, lane := range []spool.Lane{"a", "b", "held/c"} {
		found, err := s.Scan(ctx, lane, nil, 1000)
		view += fmt.Sprintf("%s %v %v\n", lane, itemsOf(found), err)
	}
	for _, m := range h.messages {
		got, items, err := s.Message(ctx, m.ID)
		text, _ := json.Marshal(got) // never fails, and follows pointers
		view += fmt.Sprintf("%s %v %v\n", text, items, errors.Is(err, spool.ErrNotFound))
	}
	return view
}

func (h *history) same(what string, want, got any) {
	if d := diff(want, got); d != "" {
		h.Fatalf("%s (-want +got):\n%s", what, d)
	}
}
