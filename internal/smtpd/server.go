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

	ctx    context.Context // of the sessions; ends when Shutdown has waited long enough
	cancel context.CancelFunc
	stop   chan struct{} // closed by Shutdown

	commandBuffers sync.Pool // of *[commandBufferOctets]byte
	contentBuffers sync.Pool // of *[contentBufferOctets]byte

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
		stop:           make(chan struct{}),
		commandBuffers: sync.Pool{New: func() any { return new([commandBufferOctets]byte) }},
		contentBuffers: sync.Pool{New: func() any { return new([contentBufferOctets]byte) }},
		listeners:      make(map[net.Listener]struct{}),
		dialogues:      make(map[*dialogue]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve accepts connections until the listener is closed, by its owner or by Shutdown, and returns then; sessions that
// are running go on. listener and tag are what sessions say of where they came in. Other errors of accepting are logged and waited out.
func (s *Server) Serve(l net.Listener, listener string, tag any) error {
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
			s.admit(conn, &Session{Listener: listener, Tag: tag})
		case errors.Is(err, net.ErrClosed):
			return nil
		default: // EMFILE above all: the connection waits in the backlog until another is closed
			s.log.Error("accept failed", "listener", listener, "error", err, "pause", pause)
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
func (s *Server) admit(conn net.Conn, session *Session) {
	session.Remote, session.Local = addressOf(conn.RemoteAddr()), addressOf(conn.LocalAddr())
	client := session.Remote.Addr()
	if !s.crowd.enter(client) {
		s.metrics.crowded.Inc()
		s.turnAway(conn, tooManyConnections)
		return
	}
	session.Started = time.Now()
	session.ID = message.NewID(session.Started)
	d := newDialogue(s, conn, session)
	if !s.begin(d) {
		s.crowd.leave(client)
		s.turnAway(conn, shuttingDown)
		return
	}
	go func() {
		defer s.end(d)
		defer s.crowd.leave(client)
		d.run()
	}()
}

// turnAway refuses a connection that gets no session. The reply fits the socket's empty buffer, so that nothing waits.
func (s *Server) turnAway(conn net.Conn, reply *smtp.Reply) {
	refused := wire{conn: conn}
	refused.put(reply)
	refused.close()
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
		d.wire.conn.Close()
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
