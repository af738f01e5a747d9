package rdns

import (
	"container/list"
	"net/netip"
	"time"
)

// answer is what is known of an address. Its times come from one clock and keep its monotonic reading, so that a jump of
// the wall clock neither ages nor freezes them (S31).
type answer struct {
	name  string    // empty: none
	due   time.Time // when to look again
	until time.Time // when the name is no longer told
}

func (a answer) nameAt(now time.Time) string {
	if !now.Before(a.until) {
		return ""
	}
	return a.name
}

// cache keeps the answers about so many addresses; the one that was used least recently goes. It is not safe for concurrent
// use.
type cache struct {
	size    int
	order   *list.List // of *entry, the newest first
	entries map[netip.Addr]*list.Element
}

type entry struct {
	address netip.Addr
	answer  answer
}

func newCache(size int) cache {
	return cache{size: size, order: list.New(), entries: map[netip.Addr]*list.Element{}}
}

// get returns what is known, and makes it the most recently used.
func (c *cache) get(address netip.Addr) (answer, bool) {
	element, ok := c.entries[address]
	if !ok {
		return answer{}, false
	}
	c.order.MoveToFront(element)
	return element.Value.(*entry).answer, true
}

func (c *cache) put(address netip.Addr, a answer) {
	if element, ok := c.entries[address]; ok {
		element.Value.(*entry).answer = a
		c.order.MoveToFront(element)
		return
	}
	if len(c.entries) >= c.size {
		oldest := c.order.Back()
		delete(c.entries, oldest.Value.(*entry).address)
		c.order.Remove(oldest)
	}
	c.entries[address] = c.order.PushFront(&entry{address, a})
}
