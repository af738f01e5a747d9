//go:build !unix

package slow

import "net"

// ended cannot tell here without waiting. An end shows when an octet cannot be sent.
func ended(net.Conn) bool { return false }
