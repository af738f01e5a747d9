//go:build !unix

package smtpd

import "net"

// hasInput cannot tell here without waiting, so that an early talker passes for one that listens.
func hasInput(net.Conn) bool { return false }
