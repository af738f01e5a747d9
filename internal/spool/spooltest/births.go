package spooltest

import (
	"bytes"
	"testing"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// birth is a message with an item in the lane.
func birth(content []byte, lane spool.Lane) spool.Birth {
	m := Message()
	m.ID = message.NewID(Epoch)
	return spool.Birth{Message: m, Content: content, Items: []spool.Item{Item(&m, 0, lane, Epoch)}}
}

// A message that is born of a settlement is there like any other, and stays when the one it is born of goes.
func testBirths(t *testing.T, f *fixture) {
	for _, size := range []int{0, 1, spool.ChunkOctets, 2*spool.ChunkOctets + 17} {
		content := Octets(size)
		f.accept(Octets(10), "process")
		claimed := f.claim("process", 1, "a", Epoch)
		b := birth(content, "relay/x")
		f.settle(spool.Settlement{Owner: "a", Out: keys(claimed[0].Item), Births: []spool.Birth{b}})
		want := b.Message
		want.Size = int64(size)
		m, items, err := f.Message(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		f.same("message", &want, m)
		f.same("items", b.Items, items)
		got, err := f.content(want.ID, 0)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("got %d octets, %v, want the %d that were born", len(got), err, size)
		}
		born := f.claim("relay/x", 2, "b", Epoch)
		f.same("claimed", b.Items, itemsOf(born))
		f.settle(spool.Settlement{Owner: "b", Out: keys(born[0].Item)})
		if _, _, err := f.Message(t.Context(), want.ID); err == nil {
			t.Error("the message is there after its last item went out")
		}
	}
}

// A birth is as whole as its settlement: nothing of it is there when the settlement is refused.
func testBirthRefusals(t *testing.T, f *fixture) {
	f.accept(Octets(10), "process")
	claimed := f.claim("process", 1, "a", Epoch)
	out := keys(claimed[0].Item)
	good := birth(Octets(10), "relay/x")
	noItems, noID, foreign := good, good, birth(nil, "relay/x")
	noItems.Items = nil
	noID.Message.ID = message.ID{}
	foreign.Items[0].Message = claimed[0].Message.ID
	for what, s := range map[string]spool.Settlement{
		"no items":         {Owner: "a", Out: out, Births: []spool.Birth{noItems}},
		"no id":            {Owner: "a", Out: out, Births: []spool.Birth{noID}},
		"a foreign item":   {Owner: "a", Out: out, Births: []spool.Birth{foreign}},
		"a living message": {Owner: "a", Out: out, Births: []spool.Birth{{Message: *claimed[0].Message, Items: []spool.Item{Item(claimed[0].Message, 7, "x", Epoch)}}}},
	} {
		f.refused(what, f.Settle(t.Context(), s), spool.ErrInvalid)
	}
	f.refused("a lost lease", f.Settle(t.Context(), spool.Settlement{Owner: "b", Out: out, Births: []spool.Birth{good}}), spool.ErrLeaseLost)
	if _, _, err := f.Message(t.Context(), good.Message.ID); err == nil {
		t.Error("a message is born of a settlement that was refused")
	}
	f.settle(spool.Settlement{Owner: "a", Out: out, Births: []spool.Birth{good}})
	f.same("items", good.Items, f.items("relay/x"))
}
