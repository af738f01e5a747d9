package pebble

import (
	"bytes"
	"cmp"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

var (
	orders = rapid.Custom(func(t *rapid.T) order {
		o := order{due: rapid.Int64().Draw(t, "due"), seq: rapid.Uint32().Draw(t, "seq")}
		copy(o.message[:], rapid.SliceOfN(rapid.Byte(), idOctets, idOctets).Draw(t, "id"))
		return o
	})
	laneNames = rapid.Map(rapid.String(), func(s string) spool.Lane { return spool.Lane(s) })
)

// TestLaneKeysSort shows that keys sort as items do in their lane, that a lane's bounds hold its keys and no others, and
// that keys come back.
func TestLaneKeysSort(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lane, other := laneNames.Draw(t, "lane"), laneNames.Draw(t, "other")
		a, b := orders.Draw(t, "a"), orders.Draw(t, "b")
		if rapid.Bool().Draw(t, "same due") {
			b.due = a.due
		}
		keyA, keyB := appendLaneKey(nil, lane, a), appendLaneKey(nil, lane, b)
		if bytes.Compare(keyA, keyB) != a.compare(b) {
			t.Fatalf("keys compare as %d, orders as %d", bytes.Compare(keyA, keyB), a.compare(b))
		}
		lower, upper := appendLaneKey(nil, lane, order{due: math.MinInt64}), laneUpper(lane)
		if bytes.Compare(keyA, lower) < 0 || bytes.Compare(keyA, upper) >= 0 {
			t.Fatalf("key %x is not within %x and %x", keyA, lower, upper)
		}
		foreign := appendLaneKey(nil, other, b)
		if other != lane && bytes.Compare(foreign, lower) >= 0 && bytes.Compare(foreign, upper) < 0 {
			t.Fatalf("key %x of another lane is within %x and %x", foreign, lower, upper)
		}
		name, o, err := parseLaneKey(keyA)
		if err != nil || spool.Lane(name) != lane || o != a {
			t.Fatalf("got %q %v %v", name, o, err)
		}
	})
}

func TestNextOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := orders.Draw(t, "order")
		if rapid.Bool().Draw(t, "carry") {
			o.seq = math.MaxUint32
			for i := rapid.IntRange(0, idOctets).Draw(t, "from"); i < idOctets; i++ {
				o.message[i] = 0xff
			}
		}
		if o.due == math.MaxInt64 {
			t.Skip("nothing is behind the last")
		}
		next, between := o.next(), orders.Draw(t, "between")
		if o.compare(next) >= 0 || between.compare(o) > 0 && between.compare(next) < 0 {
			t.Fatalf("%v is not directly behind %v", next, o)
		}
	})
}

func TestNanos(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		in   time.Time
		want time.Time
	}{
		{"usual", spooltest.Epoch, spooltest.Epoch},
		{"zero", time.Time{}, time.Time{}},
		{"before the epoch", time.Unix(-5, 7), time.Unix(-5, 7)},
		{"too early", time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
		{"too late", time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC), time.Unix(0, math.MaxInt64)},
	} {
		if got := timeOf(nanos(c.in)); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestMessagesKeys(t *testing.T) {
	t.Parallel()
	id := message.NewID(spooltest.Epoch)
	m, item := appendMessageKey(nil, id), appendItemKey(nil, spool.ItemKey{Message: id, Seq: 77})
	if got, part, seq, err := parseMessagesKey(m); err != nil || got != id || part != partMessage || seq != 0 {
		t.Errorf("message key: %v %d %d %v", got, part, seq, err)
	}
	if got, part, seq, err := parseMessagesKey(item); err != nil || got != id || part != partItem || seq != 77 {
		t.Errorf("item key: %v %d %d %v", got, part, seq, err)
	}
	if cmp.Compare(string(m), string(item)) >= 0 {
		t.Errorf("a message's key is behind its items'")
	}
	for _, key := range [][]byte{nil, m[:len(m)-1], append(bytes.Clone(m), 0), item[:len(item)-1], append(bytes.Clone(item), 0), append(m[:len(m)-1:len(m)-1], 2)} {
		if _, _, _, err := parseMessagesKey(key); err == nil {
			t.Errorf("key %x is taken", key)
		}
	}
}

// FuzzLaneIndex reads keys and values of the lane index: what is taken comes back the same.
func FuzzLaneIndex(f *testing.F) {
	m := spooltest.Message()
	f.Add(appendLaneKey(nil, "process", order{due: 5, message: m.ID}), appendLaneValue(nil, &spool.Item{}, &m))
	f.Add([]byte{keyFormat, spaceLanes, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte{0xff})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if name, o, err := parseLaneKey(key); err == nil {
			again, back, err := parseLaneKey(appendLaneKey(nil, spool.Lane(name), o))
			if err != nil || !bytes.Equal(again, name) || back != o {
				t.Fatalf("key does not come back: %v", err)
			}
		}
		if size, rules, err := parseLaneValue(value); err == nil {
			m := spool.Message{Size: size}
			copy(m.RuleSet[:], rules[:])
			again, back, err := parseLaneValue(appendLaneValue(nil, &spool.Item{}, &m))
			if err != nil || again != size || back != rules {
				t.Fatalf("value does not come back: %v", err)
			}
		}
	})
}
