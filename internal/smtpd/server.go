package smtpd

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// tooManyConnections refuses a connection before there is a session.
var tooManyConnections = smtp.NewReply(421, 4, 7, 0, "Too many connections, try later")

// Config is what a Server is made of.
type Config struct {
	Hostname       string // what a session that is not bound calls us
	Host           Host
	MaxConnections int                   // at once; 0 is DefaultMaxConnections
	MaxPerSource   int                   // at once from one IPv4 address or one IPv6 /64; 0 is DefaultMaxPerSource
	GreetingDelay  time.Duration         // how long a client must be silent before the greeting; 0: it is not waited for (S5)
	Logger         *slog.Logger          // nil: nothing is logged
	Registerer     prometheus.Registerer // nil: nothing is registered
}

// Server serves SMTP on the listeners it is given. Its methods may be called at once from many goroutines.
type Server struct {
	hostname string
	host     Host
	log      *slog.Logger
	metrics  *metrics
	crowd    *crowd
	silence  time.Duration
	sampler  sampler // of what is said of connections that get no session

	ctx    context.Context // of the sessions; ends when Shutdown has waited long enough
	cancel context.CancelFunc
	stop   chan struct{} // closed by Shutdown

	commandBuffers sync.Pool // of *[commandBufferOctets]byte
	contentBuffers freeList

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	dialogues map[*dialogue]struct{}
	running   sync.WaitGroup // of sessions
}

// New makes a server that serves nothing yet.
func New(config Config) *Server {
	s := &Server{
		hostname:       config.Hostname,
		host:           config.Host,
		log:            cmp.Or(config.Logger, slog.New(slog.DiscardHandler)),
		metrics:        newMetrics(config.Registerer),
		crowd:          newCrowd(cmp.Or(config.MaxConnections, DefaultMaxConnections), cmp.Or(config.MaxPerSource, DefaultMaxPerSource)),
		silence:        config.GreetingDelay,
		stop:           make(chan struct{}),
		commandBuffers: sync.Pool{New: func() any { return new([commandBufferOctets]byte) }},
		contentBuffers: make(freeList, maxFreeBuffers),
		listeners:      make(map[net.Listener]struct{}),
		dialogues:      make(map[*dialogue]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections until the socket is closed, by its owner or by Shutdown, and returns then; sessions that
// are running go on. Other errors of accepting are logged and waited out.
func (s *Server) Serve(l net.Listener, listener Listener) error {
	if !s.enlist(l) {
		return l.Close()
	}
	defer s.strike(l)
	pause := minAcceptPause
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = minAcceptPause
			s.admit(conn, &listener)
		case errors.Is(err, net.ErrClosed):
			return nil
		default: // EMFILE above all: the connection waits in the backlog until another is closed
			s.log.Error("accept failed", "listener", listener.Name, "error", err, "pause", pause)
			s.wait(pause)
			pause = min(2*pause, maxAcceptPause)
		}
	}
}

// enlist notes a listener for Shutdown to close, and reports false when that was called already.
func (s *Server) enlist(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) strike(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// wait pauses unless the server stops.
func (s *Server) wait(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stop:
	}
}

// admit begins a session, unless there are too many.
func (s *Server) admit(conn net.Conn, listener *Listener) {
	now := time.Now()
	session := &Session{ID: message.NewID(now), Listener: listener, Started: now}
	session.Remote, session.Local = addressOf(conn.RemoteAddr()), addressOf(conn.LocalAddr())
	d := newDialogue(s, conn, session)
	if !d.proxied() {
		d.source = SourceOf(session.Remote.Addr())
	}
	if !s.crowd.enter(d.source) {
		s.metrics.crowded.Inc()
		s.turnAway(d, tooManyConnections)
		return
	}
	if !s.begin(d) {
		s.crowd.leave(d.source)
		s.turnAway(d, shuttingDown)
		return
	}
	go func() {
		defer s.end(d)
		defer func() { s.crowd.leave(d.source) }()
		d.run()
	}()
}

// turnAway refuses a connection that gets no session. The reply fits the socket's empty buffer, so that nothing waits. Of a
// flood of them a sample is logged and traced (S18).
func (s *Server) turnAway(d *dialogue, reply *smtp.Reply) {
	if s.sampler.take(time.Now()) {
		d.refuse(connectCommand, reply)
	}
	d.say(reply)
	d.wire.close()
	d.release()
}

// sampler lets turnedAwayPerSecond through in each second.
type sampler struct {
	mu     sync.Mutex
	second int64
	taken  int
}

func (s *sampler) take(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if second := now.Unix(); second != s.second {
		s.second, s.taken = second, 0
	}
	s.taken++
	return s.taken <= turnedAwayPerSecond
}

// begin notes a session for Shutdown to wait for, and reports false when that was called already.
func (s *Server) begin(d *dialogue) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping() {
		return false
	}
	s.dialogues[d] = struct{}{}
	s.running.Add(1)
	s.metrics.sessions.Inc()
	s.metrics.open.Inc()
	return true
}

func (s *Server) end(d *dialogue) {
	s.mu.Lock()
	delete(s.dialogues, d)
	s.mu.Unlock()
	s.metrics.open.Dec()
	s.running.Done()
}

// stopping reports whether Shutdown was called.
func (s *Server) stopping() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Shutdown closes the listeners, answers idle sessions with 421 and waits for transactions to finish. When ctx ends
// first, the connections that are left are closed and its error is returned. The server cannot be used again.
func (s *Server) Shutdown(ctx context.Context) error {
	s.halt()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cancel()
		return nil
	case <-ctx.Done():
		s.abandon()
		return ctx.Err()
	}
}

// halt stops what is idle and lets nothing new begin.
func (s *Server) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping() {
		close(s.stop)
	}
	for l := range s.listeners {
		l.Close()
	}
	for d := range s.dialogues {
		d.wire.interrupt()
	}
}

// abandon closes what is left.
func (s *Server) abandon() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for d := range s.dialogues {
		d.wire.socket.Close()
	}
}

// addressOf is the address of an IP connection, the zero AddrPort of any other.
func addressOf(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	address := tcp.AddrPort()
	return netip.AddrPortFrom(address.Addr().Unmap(), address.Port())
}
