package pebble

import (
	"slices"
	"sync"

	"sluice/internal/spool"
)

// window is how much of a lane is kept in memory.
type window struct {
	front  int // orders, and a few more while the index is being read
	refill int // keys of the index read at once
}

// defaultWindow keeps 40 KiB of each long lane.
func defaultWindow() window { return window{front: 1024, refill: 256} }

// lane is what is known in memory of one lane, so that Claim need not search it: the orders at its front, and a bound
// below which nothing unclaimed stands but those. What is claimed or gone is passed over once, not by every Claim.
//
// All fields but refilling are guarded by state.mu.
type lane struct {
	name   spool.Lane
	window window
	items  int   // in it
	octets int64 // of their messages
	coming int   // items that are being written

	front []order // sorted, unclaimed, below the bound
	bound order   // every other unclaimed item stands here or behind it
	end   bool    // the bound is behind everything

	// While the index is being read: what became of items at or behind the bound since; true: unclaimed, false: gone.
	touched   map[order]bool
	refilling sync.Mutex // held while the index is being read
}

// offer says that the item at o is unclaimed from now on.
func (l *lane) offer(o order) {
	if !l.end && o.compare(l.bound) >= 0 {
		if l.touched != nil {
			l.touched[o] = true
		}
		return
	}
	l.insert(o)
	if len(l.front) > l.window.front && l.touched == nil {
		kept := l.window.front / 2
		l.bound, l.end = l.front[kept], false
		l.front = slices.Clip(l.front[:kept])
	}
}

func (l *lane) insert(o order) {
	if n := len(l.front); n == 0 || l.front[n-1].compare(o) < 0 { // the usual case
		l.front = append(l.front, o)
		return
	}
	if at, found := slices.BinarySearchFunc(l.front, o, order.compare); !found {
		l.front = slices.Insert(l.front, at, o)
	}
}

// gone says that the claimed item at o is not in the lane any more.
func (l *lane) gone(o order) {
	if l.touched != nil && o.compare(l.bound) >= 0 {
		l.touched[o] = false
	}
}

// pop takes the first order if it is due.
func (l *lane) pop(now int64) (o order, ok bool) {
	if len(l.front) == 0 || l.front[0].due > now {
		return o, false
	}
	o = l.front[0]
	l.front = l.front[1:]
	return o, true
}

// known reports whether the lane's first unclaimed item is known: the front's first, or that there is none.
func (l *lane) known() bool { return len(l.front) > 0 || l.end }

// merge takes in what was read of the index from the bound on; more says that it went on behind. leased reports whether
// an item is claimed or being written.
func (l *lane) merge(read []order, more bool, leased func(order) bool) {
	for _, o := range read {
		if _, touched := l.touched[o]; !touched && !leased(o) {
			l.front = append(l.front, o) // at or behind the bound, so behind the whole front
		}
	}
	touched := l.touched
	l.touched = nil
	if l.end = !more; more {
		l.bound = read[len(read)-1].next()
	}
	for o, unclaimed := range touched {
		if unclaimed {
			l.offer(o)
		}
	}
}
