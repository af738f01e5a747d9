//go:build unix

package smtpd

import (
	"net"
	"syscall"
)

// hasInput reports whether the client has sent something already. It does not wait.
func hasInput(conn net.Conn) bool {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	found := false
	raw.Read(func(fd uintptr) bool {
		var octet [1]byte
		n, _, err := syscall.Recvfrom(int(fd), octet[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		found = err == nil && n > 0
		return true
	})
	return found
}
