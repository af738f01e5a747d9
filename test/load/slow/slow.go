// Package slow is a crowd of SMTP clients that hold connections for as long as the server lets them, at as little cost as they
// can: idle, or an octet now and then, at every stage of a session. One goroutine, and a few for opening, serve all of them, so
// that the crowd costs the machine little beside the server. Start with Start.
package slow

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// Options are how many there are, and how slow. A zero field takes the default in parentheses.
type Options struct {
	Connections int           // how many (10,000)
	Pause       time.Duration // between two octets of a connection (10 s)
	Implicit    string        // host:port of a listener with implicit TLS, for half of the handshakes (none)
	Again       bool          // another is opened for each that the server ended
	Content     int           // octets of content that come at once, before those that come slowly (30)
	From        string        // reverse-path (slow@example.org)
	To          string        // recipient (rcpt@example.net)
}

func (o Options) orDefault() Options {
	set(&o.Connections, 10_000)
	set(&o.Pause, 10*time.Second)
	set(&o.Content, 30)
	set(&o.From, "slow@example.org")
	set(&o.To, "rcpt@example.net")
	return o
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

const (
	openers  = 32                    // connections that are opened at once
	period   = 10 * time.Millisecond // between two turns of the wheel
	patience = time.Minute           // bounds the way of a connection to its stage
)

// Crowd is a number of slow clients. It is safe for concurrent use.
type Crowd struct {
	options Options
	address string
	hello   []byte   // of TLS
	want    chan int // numbers of connections that are to be opened
	stop    chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex
	wheel [][]*member // of so many slots that each has its turn once in a pause
	count Count
}

// member is a connection at its stage.
type member struct {
	number int
	conn   net.Conn
	stage  Stage
	rest   []byte // what goes out by octets; then nothing does
}

// Count is what became of a crowd.
type Count struct {
	Open   [stages]int // now, by Stage
	Ended  int         // by the server
	Failed int         // refused or lost on the way to their stage
	Err    error       // of the first that failed
}

// Total is how many are open.
func (c Count) Total() int {
	total := 0
	for _, open := range c.Open {
		total += open
	}
	return total
}

// String is the count on one line.
func (c Count) String() string {
	var line strings.Builder
	fmt.Fprintf(&line, "open=%d", c.Total())
	for stage, open := range c.Open {
		fmt.Fprintf(&line, " %s=%d", Stage(stage), open)
	}
	fmt.Fprintf(&line, " ended=%d failed=%d", c.Ended, c.Failed)
	if c.Err != nil {
		fmt.Fprintf(&line, " (%v)", c.Err)
	}
	return line.String()
}

// Start begins to open a crowd's connections to a server at host:port. Close ends it.
func Start(address string, options Options) *Crowd {
	o := options.orDefault()
	c := &Crowd{
		options: o, address: address, hello: clientHello(),
		want: make(chan int, o.Connections), stop: make(chan struct{}),
		wheel: make([][]*member, max(o.Pause/period, 1)),
	}
	for number := range o.Connections {
		c.want <- number
	}
	for range openers {
		c.running.Go(c.open)
	}
	c.running.Go(c.turn)
	return c
}

// Count is what became of the crowd by now. An end that the server made is noticed within a Pause.
func (c *Crowd) Count() Count {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// Close ends all connections.
func (c *Crowd) Close() {
	close(c.stop)
	c.running.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, members := range c.wheel {
		for _, m := range members {
			m.conn.Close()
		}
	}
}

// open brings connections to their stages, one after the other.
func (c *Crowd) open() {
	for {
		select {
		case number := <-c.want:
			c.add(c.lead(number))
		case <-c.stop:
			return
		}
	}
}

func (c *Crowd) add(m *member, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.count.Failed++
		if c.count.Err == nil {
			c.count.Err = err
		}
		return
	}
	slot := m.number % len(c.wheel)
	c.wheel[slot] = append(c.wheel[slot], m)
	c.count.Open[m.stage]++
}

// turn gives each connection its turn, once in a pause.
func (c *Crowd) turn() {
	ticker := time.NewTicker(c.options.Pause / time.Duration(len(c.wheel)))
	defer ticker.Stop()
	for slot := 0; ; slot = (slot + 1) % len(c.wheel) {
		select {
		case <-ticker.C:
			c.touch(slot)
		case <-c.stop:
			return
		}
	}
}

// touch has a slot's connections send their next octet, and drops those that the server has ended.
func (c *Crowd) touch(slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.wheel[slot][:0]
	for _, m := range c.wheel[slot] {
		if m.drip() {
			kept = append(kept, m)
			continue
		}
		m.conn.Close()
		c.count.Open[m.stage]--
		c.count.Ended++
		if c.options.Again {
			c.want <- m.number // there is room for all
		}
	}
	clear(c.wheel[slot][len(kept):])
	c.wheel[slot] = kept
}

// drip sends an octet, if any is to be sent, and reports whether the connection is still there.
func (m *member) drip() bool {
	if ended(m.conn) {
		return false
	}
	if len(m.rest) == 0 {
		return true
	}
	_, err := m.conn.Write(m.rest[:1]) // fits a buffer that is empty
	m.rest = m.rest[1:]
	return err == nil
}
