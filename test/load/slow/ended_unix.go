//go:build unix

package slow

import (
	"net"
	"syscall"
)

// ended reports whether the server has ended the connection. It does not wait, and forgets what the server said before.
func ended(conn net.Conn) bool {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return true
	}
	over := false
	err = raw.Read(func(fd uintptr) bool {
		var said [512]byte
		n, _, err := syscall.Recvfrom(int(fd), said[:], syscall.MSG_DONTWAIT)
		over = err == nil && n == 0 || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
		return true
	})
	return over || err != nil
}
