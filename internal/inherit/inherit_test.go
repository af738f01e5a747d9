package inherit

import (
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// handOver makes a descriptor as a parent would leave it, of a listening socket on the address.
func handOver(t *testing.T, network, address string) (fd int, bound string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("listen on %s: %v", address, err)
	}
	defer l.Close()
	return descriptor(t, l.(syscall.Conn)), l.Addr().String()
}

func descriptor(t *testing.T, conn syscall.Conn) (fd int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(original uintptr) { fd, err = syscall.Dup(int(original)) })
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func taken(t *testing.T, fd int) *Sockets {
	t.Helper()
	s, err := take(fd, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestAConnectionMadeBeforeIsServed(t *testing.T) {
	t.Parallel()
	fd, address := handOver(t, "tcp4", "127.0.0.1:0")
	client, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := taken(t, fd)
	l := s.Claim("tcp4", address)
	if l == nil {
		t.Fatal("the socket is not there")
	}
	defer l.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.RemoteAddr().String() != client.LocalAddr().String() {
		t.Errorf("accepted %s, want the client %s", conn.RemoteAddr(), client.LocalAddr())
	}
	if left := s.Close(); left != nil {
		t.Errorf("%v is left, and was taken", left)
	}
}

func TestAnInheritedSocketIsNotForChildren(t *testing.T) {
	t.Parallel()
	fd, address := handOver(t, "tcp4", "127.0.0.1:0")
	l := taken(t, fd).Claim("tcp4", address)
	if l == nil {
		t.Fatal("the socket is not there")
	}
	defer l.Close()
	raw, err := l.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		flags, _, failed := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFD, 0)
		if failed != 0 || flags&syscall.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v: a child would hold the socket", flags, failed)
		}
	})
}

func TestASocketIsGivenOnce(t *testing.T) {
	t.Parallel()
	fd, address := handOver(t, "tcp4", "127.0.0.1:0")
	s := taken(t, fd)
	for _, wrong := range []struct{ network, address string }{{"tcp6", address}, {"tcp4", "127.0.0.2:25"}, {"tcp4", "nonsense"}} {
		if l := s.Claim(wrong.network, wrong.address); l != nil {
			t.Errorf("%s %s: got %s", wrong.network, wrong.address, l.Addr())
		}
	}
	l := s.Claim("tcp4", address)
	if l == nil {
		t.Fatal("the socket is not there")
	}
	defer l.Close()
	if again := s.Claim("tcp4", address); again != nil {
		t.Error("the same socket was given twice")
	}
}

func TestWhatNobodyAskedForIsClosed(t *testing.T) {
	t.Parallel()
	fd, address := handOver(t, "tcp4", "127.0.0.1:0")
	s := taken(t, fd)
	if got := s.Close(); !slices.Equal(got, []string{address}) {
		t.Errorf("closed %v, want %s", got, address)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("the socket is still open: clients wait in vain")
	}
	if got := s.Close(); got != nil {
		t.Errorf("closed %v again", got)
	}
}

func TestNoneInherited(t *testing.T) {
	t.Parallel()
	for _, s := range []*Sockets{nil, {}} {
		if l := s.Claim("tcp4", "127.0.0.1:0"); l != nil {
			t.Errorf("got %s", l.Addr())
		}
		if got := s.Close(); got != nil {
			t.Errorf("closed %v", got)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, network, want, has string
		is                       bool
	}{
		{"the same", "tcp4", "127.0.0.1:25", "127.0.0.1:25", true},
		{"the same IPv6", "tcp6", "[::1]:25", "[::1]:25", true},
		{"wildcard IPv4", "tcp4", "0.0.0.0:25", "0.0.0.0:25", true},
		{"wildcard IPv6", "tcp6", "[::]:25", "[::]:25", true},
		{"every address", "tcp", ":25", "[::]:25", true},
		{"every IPv4 address", "tcp4", ":25", "0.0.0.0:25", true},
		{"by name", "tcp4", "localhost:25", "127.0.0.1:25", true},
		{"mapped", "tcp4", "127.0.0.1:25", "[::ffff:127.0.0.1]:25", true},
		{"another port", "tcp4", "127.0.0.1:25", "127.0.0.1:26", false},
		{"any port", "tcp4", "127.0.0.1:0", "127.0.0.1:25", false},
		{"another address", "tcp4", "127.0.0.1:25", "127.0.0.2:25", false},
		{"wider than wanted", "tcp4", "127.0.0.1:25", "0.0.0.0:25", false},
		{"narrower than wanted", "tcp4", "0.0.0.0:25", "127.0.0.1:25", false},
		{"every address, narrower", "tcp", ":25", "127.0.0.1:25", false},
		{"every IPv4 address, other family", "tcp4", ":25", "[::]:25", false},
		{"every IPv6 address, other family", "tcp6", ":25", "0.0.0.0:25", false},
		{"wildcards of two families", "tcp4", "0.0.0.0:25", "[::]:25", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			want, err := net.ResolveTCPAddr(test.network, test.want)
			if err != nil {
				t.Fatal(err)
			}
			has, err := net.ResolveTCPAddr("tcp", test.has)
			if err != nil {
				t.Fatal(err)
			}
			if got := matches(test.network, want, has); got != test.is {
				t.Errorf("got %v, want %v", got, test.is)
			}
		})
	}
}

// TestTakeRefuses changes the environment, and is not parallel. The descriptors it names belong to others in this process,
// who must keep them.
func TestTakeRefuses(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	fd := descriptor(t, udp.(syscall.Conn))
	if _, err := take(fd, 1); err == nil || !strings.Contains(err.Error(), "not a listening TCP socket") {
		t.Errorf("a UDP socket: got %v", err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Errorf("a descriptor that is not ours was closed: %v", err)
	}
	local, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	if _, err := take(descriptor(t, local.(syscall.Conn)), 1); err == nil {
		t.Error("a socket of the file system was taken")
	}
	if _, err := take(1<<20, 1); err == nil {
		t.Error("a descriptor that is not open was taken")
	}
	for _, count := range []string{"many", "-1", "1025", "1e3"} {
		t.Setenv("LISTEN_FDS", count)
		if _, err := Take(); err == nil || !strings.Contains(err.Error(), count) {
			t.Errorf("LISTEN_FDS=%s: got %v", count, err)
		}
	}
}

func TestTakeIsForThisProcessOnlyAndOnce(t *testing.T) {
	t.Setenv("LISTEN_PID", "1")
	t.Setenv("LISTEN_FDS", "many")
	t.Setenv("LISTEN_FDNAMES", "smtp")
	if s, err := Take(); err != nil || s == nil {
		t.Errorf("sockets of another process: got %v, %v", s, err)
	}
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if value, ok := os.LookupEnv(name); ok {
			t.Errorf("children are told %s=%s", name, value)
		}
	}
}
