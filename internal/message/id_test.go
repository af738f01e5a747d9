package message

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/conform"
)

// Mail Manager, B14: 40 characters of 0-9 and a-v that begin with the time.
func TestID(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B14")
	rapid.Check(t, func(t *rapid.T) {
		times := []time.Time{
			time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "a")).UTC(), time.Unix(0, rapid.Int64Range(0, 1<<62).Draw(t, "b")).UTC(),
		}
		slices.SortFunc(times, time.Time.Compare)
		a, b := NewID(times[0]), NewID(times[1])
		if len(a.String()) != 40 || strings.Trim(a.String(), "0123456789abcdefghijklmnopqrstuv") != "" || !a.Time().Equal(times[0]) {
			t.Fatalf("got %s of %v", a, times[0])
		}
		if a == b || a.IsZero() || (times[0] != times[1] && a.String() >= b.String()) {
			t.Fatalf("got %s and %s of %v", a, b, times)
		}
		var read ID
		text, err := a.MarshalText()
		if err != nil || read.UnmarshalText(text) != nil || read != a {
			t.Fatalf("got %s read, want %s", read, a)
		}
	})
}

func TestZeroIDIsEmptyText(t *testing.T) {
	t.Parallel()
	id := NewID(time.Now())
	if text, err := (ID{}).MarshalText(); err != nil || len(text) != 0 {
		t.Errorf("got %q, %v", text, err)
	}
	if err := id.UnmarshalText(nil); err != nil || !id.IsZero() {
		t.Errorf("got %s, %v", id, err)
	}
}

func TestParseIDRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a", strings.Repeat("w", 40), strings.Repeat("A", 40), strings.Repeat("0", 41), strings.Repeat("0", 38) + "g\n", "1\n\n\n\n\n\n\n\n" + strings.Repeat("0", 31)} {
		if id, err := ParseID(text); !errors.Is(err, ErrMalformedID) || !id.IsZero() {
			t.Errorf("%q: got %v, %v", text, id, err)
		}
	}
	var id ID
	if err := id.UnmarshalText([]byte("x")); !errors.Is(err, ErrMalformedID) {
		t.Errorf("got %v", err)
	}
}
