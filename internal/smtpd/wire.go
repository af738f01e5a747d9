package smtpd

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"sluice/internal/smtp"
)

// errStopping ends a session that waits for a command while the server shuts down.
var errStopping = errors.New("the server is shutting down")

// wire is the connection of a session: its deadlines, and the replies that wait to leave. They leave when the session has
// to wait for input, so that a group of pipelined commands is answered in one packet (RFC 2920, section 3.2).
type wire struct {
	socket   net.Conn // what was accepted; deadlines are set on it, by other goroutines too
	conn     net.Conn // what is spoken on: the socket, or TLS over it
	out      []byte
	until    time.Time     // when the session must be over
	timeout  time.Duration // for the next quantum octets
	quantum  int
	left     int // octets until the deadline is renewed
	deadline time.Time
	stopping func() bool // whether a wait for input is to end
	broken   error       // what sending met with; nothing is sent after it
}

// allow gives the client a time for each quantum of octets from now on; quantum 0 is for everything that comes.
// The deadline begins when the session has to wait, so that what has arrived already costs nothing.
func (w *wire) allow(timeout time.Duration, quantum int) {
	w.timeout, w.quantum, w.left = timeout, quantum, 0
}

// Read flushes the replies and waits for input. Errors are errStopping, os.ErrDeadlineExceeded and those of the connection.
func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		if err := w.arm(); err != nil {
			return 0, err
		}
	}
	if err := w.flush(); err != nil {
		return 0, err
	}
	for {
		if w.stopping() {
			return 0, errStopping
		}
		n, err := w.conn.Read(p)
		if w.quantum > 0 {
			w.left -= n
		}
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(w.deadline) {
			return n, err
		}
		// Woken by interrupt in the middle of a transaction, which may finish.
		if err := w.socket.SetReadDeadline(w.deadline); err != nil {
			return 0, err
		}
	}
}

// arm begins a deadline for reading, and one for the replies that leave before. The end of the session is none for them:
// the reply to a message that was made durable in its last second must go out.
func (w *wire) arm() error {
	now := time.Now()
	w.deadline = now.Add(w.timeout)
	if err := w.socket.SetWriteDeadline(w.deadline); err != nil {
		return err
	}
	if w.deadline.After(w.until) {
		w.deadline = w.until
	}
	w.left = max(w.quantum, 1)
	return w.socket.SetReadDeadline(w.deadline)
}

// secure speaks TLS from now on. After an error nothing is sent any more: what follows a failed handshake must not be in
// clear. The error is errStopping, os.ErrDeadlineExceeded or one of the handshake.
func (w *wire) secure(config *tls.Config) (tls.ConnectionState, error) {
	conn := tls.Server(w.socket, config)
	err := w.flush()
	if err == nil {
		err = w.hurry(handshakeTimeout)
	}
	if err == nil {
		err = conn.Handshake()
	}
	if err != nil {
		w.broken = err
		return tls.ConnectionState{}, err
	}
	w.conn = conn
	w.left = 0 // the next Read arms its own deadline
	return conn.ConnectionState(), nil
}

// hurry gives everything that the client does next one time, whatever it sends meanwhile.
func (w *wire) hurry(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	if deadline.After(w.until) {
		deadline = w.until
	}
	if err := w.socket.SetDeadline(deadline); err != nil {
		return err
	}
	if w.stopping() { // interrupt may have come before the deadline was set, and not after
		return errStopping
	}
	return nil
}

// interrupt makes a waiting Read look whether it is to end. It is called from another goroutine.
func (w *wire) interrupt() { w.socket.SetReadDeadline(time.Unix(1, 0)) }

// put adds a reply to those that wait. An error of sending shows at the next Read.
func (w *wire) put(reply *smtp.Reply) {
	w.out = reply.AppendTo(w.out)
	if len(w.out) >= flushOctets {
		w.flush()
	}
}

// flush sends the replies that wait.
func (w *wire) flush() error {
	if len(w.out) > 0 && w.broken == nil {
		_, w.broken = w.conn.Write(w.out)
		w.out = w.out[:0]
	}
	return w.broken
}

// close sends the last replies and ends the connection.
func (w *wire) close() {
	w.socket.SetWriteDeadline(time.Now().Add(closeTimeout))
	w.flush()
	w.conn.Close()
}
