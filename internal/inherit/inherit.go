// Package inherit takes over listening sockets that the process was started with, so that a restart refuses no connection:
// whoever holds them, systemd or the process before this one, keeps them open meanwhile, and connections wait in their
// backlog. They are handed over as sd_listen_fds(3) has it, from descriptor 3 on, and are found by their local address; their
// names (LISTEN_FDNAMES) say nothing.
//
// Start with Take, then Claim before net.Listen.
// Source: sd_listen_fds(3).
package inherit

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// The variables of the hand-over.
const (
	pidVariable   = "LISTEN_PID"
	countVariable = "LISTEN_FDS"
	namesVariable = "LISTEN_FDNAMES"
)

const (
	firstDescriptor = 3
	// maxSockets is far more than a server listens on, and keeps a wrong number from being counted up to.
	maxSockets = 1024
)

// Sockets are the inherited sockets that nobody has asked for yet. The methods of nil and of the zero Sockets are those of
// a process that inherited none. They are safe for concurrent use.
type Sockets struct {
	mu      sync.Mutex
	waiting []net.Listener
}

// Take takes over what the environment says was handed to this process, and clears the variables, so that no child believes
// them. LISTEN_PID must be this process or be absent, which exec with a prepared descriptor leaves it. An error says that
// what was handed over is no listening TCP socket.
func Take() (*Sockets, error) {
	count, pid := os.Getenv(countVariable), os.Getenv(pidVariable)
	for _, name := range []string{pidVariable, countVariable, namesVariable} {
		os.Unsetenv(name) // it fails for malformed names only
	}
	if count == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return &Sockets{}, nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxSockets {
		return nil, fmt.Errorf("%s is %q, want a number of sockets up to %d", countVariable, count, maxSockets)
	}
	return take(firstDescriptor, n)
}

func take(first, n int) (*Sockets, error) {
	s := &Sockets{}
	for fd := first; fd < first+n; fd++ {
		l, err := listenerOf(fd)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("inherited descriptor %d: %w", fd, err)
		}
		s.waiting = append(s.waiting, l)
	}
	return s, nil
}

var errNotListening = errors.New("it is not a listening TCP socket")

// listenerOf makes a listener of a descriptor, which is closed with it. A descriptor that is no listening socket may belong
// to somebody else in this process, and is left alone.
func listenerOf(fd int) (net.Listener, error) {
	listening, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	if err != nil || listening == 0 {
		return nil, errNotListening
	}
	file := os.NewFile(uintptr(fd), "inherited")
	defer file.Close()               // the listener has a duplicate, which children do not get
	l, err := net.FileListener(file) // it closes the duplicate when it fails
	if err != nil {
		return nil, err
	}
	if _, ok := l.(*net.TCPListener); !ok {
		l.Close()
		return nil, errNotListening
	}
	return l, nil
}

// Claim returns the inherited socket that listening on an address would open, once, and nil when there is none. It is the
// caller's to close. network is "tcp", "tcp4" or "tcp6". A socket of [::] is as its maker left it: it may take IPv4 clients
// too.
func (s *Sockets) Claim(network, address string) net.Listener {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return nil // above all, no name is looked up
	}
	want, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return nil // who listens says it better
	}
	for i, l := range s.waiting {
		if matches(network, want, l.Addr().(*net.TCPAddr)) {
			s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
			return l
		}
	}
	return nil
}

// matches reports whether a socket with the address has is what listening on want would open. Without a host, want is every
// address of the families of the network.
func matches(network string, want, has *net.TCPAddr) bool {
	if want.Port != has.Port {
		return false
	}
	ip := unmapped(has)
	if network == "tcp4" && !ip.Is4() || network == "tcp6" && !ip.Is6() {
		return false
	}
	if want.IP == nil {
		return ip.IsUnspecified()
	}
	return unmapped(want) == ip
}

func unmapped(a *net.TCPAddr) netip.Addr { return a.AddrPort().Addr().Unmap() }

// Close closes the sockets that nobody asked for, whose clients would wait for an answer in vain, and returns their
// addresses.
func (s *Sockets) Close() []string {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var addresses []string
	for _, l := range s.waiting {
		addresses = append(addresses, l.Addr().String())
		l.Close() // nobody else has it, so that it is not closed already
	}
	s.waiting = nil
	return addresses
}
