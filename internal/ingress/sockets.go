package ingress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"

	"sluice/internal/control"
	"sluice/internal/smtpd"
)

// socket is what makes one ingress point reachable: listening sockets of its own, or places on named listeners.
type socket struct {
	listeners []net.Listener
	address   string   // from the pool
	named     []string // names of the listeners it joined
}

// namedListener is a listener of the configuration; it opens with the first point that joins it.
type namedListener struct {
	name   string
	config ListenerConfig
	open   []net.Listener
}

// memberList is the ingress points on a named listener: an immutable slice that sessions read and Open replaces.
type memberList struct{ keys atomic.Pointer[[]control.Key] }

func (m *memberList) load() []control.Key {
	if keys := m.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// pointTag marks sessions of a socket that belongs to one ingress point; sessions of a named listener carry sharedTag.
type (
	pointTag  struct{ key control.Key }
	sharedTag struct{ listener string }
)

// poolListener is the listener name in the facts of sessions that came in by the pool.
const poolListener = "pool"

// HasListener implements control.Sockets.
func (in *Ingress) HasListener(name string) bool {
	_, ok := in.cfg.Listeners[name]
	return ok
}

// Open implements control.Sockets.
func (in *Ingress) Open(_ context.Context, p *control.IngressPoint) (string, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if s, ok := in.sockets[p.Key]; ok {
		if slices.Equal(s.named, p.Listeners) {
			return s.address, nil
		}
		in.shut(p.Key, s)
	}
	if len(p.Listeners) > 0 {
		return "", in.join(p)
	}
	return in.openPool(p)
}

// join puts the point on its named listeners, all or none.
func (in *Ingress) join(p *control.IngressPoint) error {
	for _, name := range p.Listeners {
		l, ok := in.named[name]
		if !ok {
			return fmt.Errorf("listener %q %w", name, control.ErrNoListener)
		}
		if err := in.openNamed(l); err != nil {
			return err
		}
	}
	for _, name := range p.Listeners {
		in.editMembers(name, func(keys []control.Key) []control.Key { return append(keys, p.Key) })
	}
	in.sockets[p.Key] = &socket{named: p.Listeners}
	return nil
}

func (in *Ingress) openNamed(l *namedListener) error {
	if len(l.open) > 0 {
		return nil
	}
	about := smtpd.Listener{Name: l.name, Tag: sharedTag{l.name}, TLS: l.config.TLS, ProxyFrom: l.config.ProxyFrom}
	for _, address := range l.config.Addresses {
		opened, err := in.listen(networkOf(address), address, about)
		if err != nil {
			closeAll(l.open)
			l.open = nil
			return fmt.Errorf("listener %q: %w", l.name, err)
		}
		l.open = append(l.open, opened)
	}
	return nil
}

func (in *Ingress) editMembers(name string, edit func([]control.Key) []control.Key) {
	value, _ := in.members.Load(name)
	list := value.(*memberList)
	keys := edit(slices.Clone(list.load()))
	list.keys.Store(&keys)
}

// openPool opens the address the point has for life, or gives it the lowest one that is neither assigned nor in use.
func (in *Ingress) openPool(p *control.IngressPoint) (string, error) {
	if p.PoolAddress != "" {
		s, err := in.openAddress(p, p.PoolAddress)
		if err != nil {
			return p.PoolAddress, err
		}
		in.assigned[p.PoolAddress] = p.Key
		in.sockets[p.Key] = s
		return p.PoolAddress, nil
	}
	for port := in.cfg.Pool.Low; port <= in.cfg.Pool.High; port++ {
		address := in.cfg.Pool.address(port)
		if _, taken := in.assigned[address]; taken {
			continue
		}
		s, err := in.openAddress(p, address)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return "", err
		}
		in.assigned[address] = p.Key
		in.sockets[p.Key] = s
		return address, nil
	}
	return "", fmt.Errorf("every port of the SMTP address pool %s is assigned or in use", in.cfg.Pool)
}

// errPoolFamily says why a point with a pool address of IPv6 cannot be reached: every client would be refused.
var errPoolFamily = errors.New("the SMTP address pool is IPv6, and the ingress point takes IPv4 clients only")

func (in *Ingress) openAddress(p *control.IngressPoint, address string) (*socket, error) {
	network := poolNetwork(address)
	if network == "tcp6" && !p.DualStack {
		return nil, errPoolFamily
	}
	about := smtpd.Listener{Name: poolListener, Tag: pointTag{p.Key}, TLS: smtpd.TLSStart}
	first, err := in.listen(network, address, about)
	if err != nil {
		return nil, err
	}
	s := &socket{address: address, listeners: []net.Listener{first}}
	twin := ipv6Twin(address)
	if !p.DualStack || twin == "" {
		return s, nil
	}
	second, err := in.listen("tcp6", twin, about)
	switch {
	case err == nil:
		s.listeners = append(s.listeners, second)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		in.cfg.Logger.Warn("no IPv6 on this machine: a dual-stack ingress point listens on IPv4 only", "ingress_point_id", p.ID, "address", twin)
	default:
		closeAll(s.listeners)
		return nil, err
	}
	return s, nil
}

// noKeepAlive saves four system calls a connection: the sessions' deadlines already end those whose peer is gone.
const noKeepAlive = -1

// networkOf keeps the families apart, so that 0.0.0.0:25 and [::]:25 can both be listened on (Mail Manager, B19).
func networkOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "tcp"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Unmap().Is4():
		return "tcp4"
	default:
		return "tcp6"
	}
}

// openSocket takes the inherited socket of an address, or makes one.
func (in *Ingress) openSocket(network, address string) (net.Listener, error) {
	if in.cfg.Inherited != nil {
		if l := in.cfg.Inherited(network, address); l != nil {
			return l, nil
		}
	}
	config := net.ListenConfig{KeepAlive: noKeepAlive}
	return config.Listen(context.Background(), network, address)
}

// listen opens a socket and serves it until it is closed.
func (in *Ingress) listen(network, address string, about smtpd.Listener) (net.Listener, error) {
	l, err := in.openSocket(network, address)
	if err != nil {
		return nil, err
	}
	go func() {
		if err := in.server.Serve(l, about); err != nil && !errors.Is(err, net.ErrClosed) {
			in.cfg.Logger.Error("listener ended", "listener", about.Name, "address", address, "error", err)
		}
	}()
	return l, nil
}

// Close implements control.Sockets. A pool address goes back to the pool.
func (in *Ingress) Close(_ context.Context, key control.Key) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for address, owner := range in.assigned {
		if owner == key {
			delete(in.assigned, address)
		}
	}
	if s, ok := in.sockets[key]; ok {
		in.shut(key, s)
	}
}

// shut takes the point off its sockets. A named listener that loses its last point stays open and answers 421, so that
// coming back is instant (Mail Manager, B13).
func (in *Ingress) shut(key control.Key, s *socket) {
	closeAll(s.listeners)
	for _, name := range s.named {
		in.editMembers(name, func(keys []control.Key) []control.Key {
			return slices.DeleteFunc(keys, func(k control.Key) bool { return k == key })
		})
	}
	delete(in.sockets, key)
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		l.Close() // the only error is that it is closed already
	}
}

// Bound implements control.Sockets.
func (in *Ingress) Bound(key control.Key) []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	s, ok := in.sockets[key]
	if !ok {
		return nil
	}
	open := slices.Clone(s.listeners)
	for _, name := range s.named {
		open = append(open, in.named[name].open...)
	}
	addresses := make([]string, len(open))
	for i, l := range open {
		addresses[i] = l.Addr().String()
	}
	return addresses
}

// Shutdown closes every listening socket; running sessions go on.
func (in *Ingress) Shutdown() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range in.sockets {
		closeAll(s.listeners)
	}
	for _, l := range in.named {
		closeAll(l.open)
		l.open = nil
	}
}
