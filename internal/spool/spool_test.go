package spool_test

import (
	"errors"
	"testing"

	"sluice/internal/spool"
)

func TestLaneNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lane spool.Lane
		name string
		kind string
		held bool
	}{
		{spool.LaneProcess, "process", "process", false},
		{spool.RelayLane("1", "r", "relay-1"), "relay/1/r/relay-1", "relay", false},
		{spool.HeldLane("unrouted"), "held/unrouted", "held", true},
		{spool.LaneCorrupt, "held/corrupt", "held", true},
		{"heldback", "heldback", "heldback", false},
	} {
		if string(c.lane) != c.name || c.lane.Kind() != c.kind || c.lane.Held() != c.held {
			t.Errorf("lane %q: kind %q, held %v", c.lane, c.lane.Kind(), c.lane.Held())
		}
	}
}

func TestSettleError(t *testing.T) {
	t.Parallel()
	err := error(&spool.SettleError{Failed: map[int]error{3: spool.ErrCorrupt, 1: spool.ErrLeaseLost}})
	if !errors.Is(err, spool.ErrCorrupt) || !errors.Is(err, spool.ErrLeaseLost) || errors.Is(err, spool.ErrClosed) {
		t.Errorf("reasons are not found in %v", err)
	}
	if want := "settle: 2 not applied: " + spool.ErrLeaseLost.Error() + "\n" + spool.ErrCorrupt.Error(); err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}
