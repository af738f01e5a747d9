// Package sink is the far end of a load test: an SMTP server that takes everything, keeps a ledger of it, and misbehaves on
// request. It is fast rather than careful, for it shares the processors with what is measured, and it is written apart
// from the server and the client of the project, which it puts to the test. Start with Listen.
package sink

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"sluice/test/load/ledger"
)

// Options are what a sink is made with. The zero value takes everything.
type Options struct {
	Behaviour
	Lockstep bool   // PIPELINING is not offered
	Seed     uint64 // of chance
}

// Behaviour is how a sink treats what comes. Shares are of messages, from 0 to 1, and by chance.
type Behaviour struct {
	Defer     float64 // answered 4yz, at RCPT, DATA or the end of data
	Reject    float64 // answered 5yz, at the same places
	Drop      float64 // the connection is dropped, at MAIL, RCPT, DATA, within content, or before or after the last reply
	BlackHole bool    // nothing is answered, not even a connection
	Fails     string  // recipients whose address begins with this are answered 550; empty: none
}

// Sink is a running sink. It is safe for concurrent use.
type Sink struct {
	// Ledger has what was taken, and what notifications said has failed.
	Ledger *ledger.Ledger

	options   Options
	listener  net.Listener
	behaviour atomic.Pointer[Behaviour]
	sessions  sync.WaitGroup

	taken       atomic.Int64
	connections atomic.Int64

	mu      sync.Mutex
	closed  bool
	open    map[net.Conn]bool // true: left without an answer
	peak    int
	here    map[string]*crowd // by the address that clients reached us at
	waiters []waiter
}

// crowd is how many connections there are, and were at once.
type crowd struct{ open, peak int }

// waiter waits until so many messages were taken.
type waiter struct {
	taken int64
	done  chan struct{}
}

// Listen starts a sink on an address, host:port; port 0 picks one.
func Listen(address string, options Options) (*Sink, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Sink{Ledger: ledger.New(), options: options, listener: listener, open: map[net.Conn]bool{}, here: map[string]*crowd{}}
	s.Behave(options.Behaviour)
	s.sessions.Go(s.accept)
	return s, nil
}

// Addr is where the sink listens, host:port.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// Behave changes how what comes from now on is treated. Connections that were left without an answer are closed.
func (s *Sink) Behave(b Behaviour) {
	before := s.behaviour.Swap(&b)
	if before != nil && before.BlackHole && !b.BlackHole {
		s.hangUp(func(unanswered bool) bool { return unanswered })
	}
}

// Taken is how many messages were taken and answered 250.
func (s *Sink) Taken() int { return int(s.taken.Load()) }

// Connections is how many connections there were, and how many at once at most.
func (s *Sink) Connections() (total, peak int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.connections.Load()), s.peak
}

// Await waits until so many messages were taken in all, or ctx ends.
func (s *Sink) Await(ctx context.Context, messages int) error {
	w := waiter{int64(messages), make(chan struct{})}
	s.mu.Lock()
	if s.taken.Load() >= w.taken {
		s.mu.Unlock()
		return nil
	}
	s.waiters = append(s.waiters, w)
	s.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the sink and its connections.
func (s *Sink) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.listener.Close()
	s.hangUp(func(bool) bool { return true })
	s.sessions.Wait()
	return err
}

// hangUp ends the connections for which the condition holds: what was said is sent, nothing more is read.
func (s *Sink) hangUp(condition func(unanswered bool) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, unanswered := range s.open {
		if condition(unanswered) {
			conn.SetReadDeadline(time.Now())
			conn.SetWriteDeadline(time.Now().Add(farewell))
		}
	}
}

// swallow reads what comes and answers nothing, until the behaviour changes or the client gives up.
func (s *Sink) swallow(conn net.Conn) {
	s.mu.Lock()
	s.open[conn] = true
	s.mu.Unlock()
	if s.behaviour.Load().BlackHole { // else it has changed since, and nobody will hang up
		io.Copy(io.Discard, conn)
	}
}

func (s *Sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		if !s.opened(conn) {
			conn.Close()
			return
		}
		number := uint64(s.connections.Add(1))
		s.sessions.Go(func() {
			defer s.ended(conn)
			newSession(s, conn, number).run()
		})
	}
}

func (s *Sink) opened(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open[conn] = false
	s.peak = max(s.peak, len(s.open))
	at := s.crowdAt(conn)
	at.open++
	at.peak = max(at.peak, at.open)
	return true
}

func (s *Sink) ended(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
	s.crowdAt(conn).open--
}

// crowdAt is that of the address that a client reached us at.
func (s *Sink) crowdAt(conn net.Conn) *crowd {
	address := conn.LocalAddr().String()
	if s.here[address] == nil {
		s.here[address] = new(crowd)
	}
	return s.here[address]
}

// Peaks is how many connections there were at once at most, by the address that clients reached the sink at: one that listens
// on all addresses of the machine can be many hosts.
func (s *Sink) Peaks() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	peaks := make(map[string]int, len(s.here))
	for address, at := range s.here {
		peaks[address] = at.peak
	}
	return peaks
}

// took counts a message and wakes who waits for it.
func (s *Sink) took() {
	taken := s.taken.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiters[:0]
	for _, w := range s.waiters {
		if w.taken <= taken {
			close(w.done)
		} else {
			waiting = append(waiting, w)
		}
	}
	s.waiters = waiting
}
