package smtpd

import (
	"crypto/tls"
	"encoding/binary"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// binaryHeader is a version 2 header. PROXY protocol, section 2.2.
func binaryHeader(command, family byte, addresses string, tlvs int) string {
	header := "\r\n\r\n\x00\r\nQUIT\n" + string([]byte{0x20 | command, family})
	header += string(binary.BigEndian.AppendUint16(nil, uint16(len(addresses)+tlvs)))
	if tlvs > 0 {
		addresses += "\x04" + string(binary.BigEndian.AppendUint16(nil, uint16(tlvs-3))) + strings.Repeat("\x00", tlvs-3) // NOOP
	}
	return header + addresses
}

const fourAddresses = "\xc0\x00\x02\x01\xc0\x00\x02\x02\x30\x39\x00\x19" // 192.0.2.1:12345 to 192.0.2.2:25

// proxyServer trusts this machine.
func proxyServer(t *testing.T) *testServer {
	host := newHost()
	host.listener.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return serve(t, host, nil)
}

// TestS9ProxyHeader: a trusted proxy says who the client is; LOCAL from one keeps the real endpoints.
func TestS9ProxyHeader(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, header, remote, local string }{
		{"version 1", "PROXY TCP4 192.0.2.1 192.0.2.2 12345 25\r\n", "192.0.2.1:12345", "192.0.2.2:25"},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::1 2001:db8::2 12345 25\r\n", "[2001:db8::1]:12345", "[2001:db8::2]:25"},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", "", ""},
		{"version 2", binaryHeader(1, 0x11, fourAddresses, 0), "192.0.2.1:12345", "192.0.2.2:25"},
		{"version 2 with more", binaryHeader(1, 0x11, fourAddresses, 1_000), "192.0.2.1:12345", "192.0.2.2:25"},
		{"version 2, LOCAL", binaryHeader(0, 0, "", 0), "", ""},
		{"version 2, LOCAL with addresses", binaryHeader(0, 0x11, fourAddresses, 0), "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := proxyServer(t)
			c := s.dial(t)
			c.send(test.header)
			c.want("220")
			c.say("QUIT", "221")
			session := <-s.host.closed
			remote, local := test.remote, test.local
			if remote == "" { // S9: LOCAL keeps the real endpoints
				remote, local = c.conn.LocalAddr().String(), c.conn.RemoteAddr().String()
			}
			if session.Remote.String() != remote || session.Local.String() != local {
				t.Errorf("got %v to %v, want %s to %s", session.Remote, session.Local, remote, local)
			}
			if (session.Proxy.String() == c.conn.LocalAddr().String()) != (test.remote != "") {
				t.Errorf("got proxy %v", session.Proxy)
			}
		})
	}
}

// TestS9ProxyRefused: a header that is none, cut off or too long ends the connection, and one from a stranger is no header.
func TestS9ProxyRefused(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, header string }{
		{"none", "EHLO client.example\r\n"},
		{"version 1, malformed", "PROXY TCP4 192.0.2.1 192.0.2.2 12345\r\n"},
		{"version 1, no address", "PROXY TCP4 192.0.2.300 192.0.2.2 1 2\r\n"},
		{"version 1, other family", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"},
		{"version 1, endless", "PROXY TCP4 " + strings.Repeat("1", 100)},
		{"version 1, LF", "PROXY TCP4 192.0.2.1 192.0.2.2 12345 25\n"},
		{"version 2, another version", strings.Replace(binaryHeader(1, 0x11, fourAddresses, 0), "\x21", "\x31", 1)},
		{"version 2, no TCP", binaryHeader(1, 0x12, fourAddresses, 0)},
		{"version 2, short of addresses", binaryHeader(1, 0x11, fourAddresses[:8], 0)},
		{"version 2, oversized", binaryHeader(1, 0x11, fourAddresses, 60_000)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := proxyServer(t)
			c := s.dial(t)
			c.send(test.header)
			c.want("421 4.7.0")
			c.wantEnd()
			if _, refused, _ := s.host.seen(); len(refused) != 1 || refused[0] != "CONNECT 421 4.7.0" {
				t.Errorf("got refused %q", refused)
			}
		})
	}
	t.Run("truncated", func(t *testing.T) {
		t.Parallel()
		whole := binaryHeader(1, 0x11, fourAddresses, 0)
		for length := range len(whole) {
			s := proxyServer(t)
			c := s.dial(t)
			c.send(whole[:length])
			hangUpUnheard(c)
			if reply := c.reply(); reply != "" && !strings.HasPrefix(reply, "421") {
				t.Errorf("%d octets: got %q", length, reply)
			}
		}
	})
	t.Run("from a stranger", func(t *testing.T) {
		t.Parallel()
		s := serve(t, newHost(), nil)
		c := s.dial(t)
		c.want("220")
		c.say("PROXY TCP4 192.0.2.1 192.0.2.2 12345 25", "554 5.5.1")
		c.wantEnd()
		if session := <-s.host.closed; session.Remote.String() != c.conn.LocalAddr().String() {
			t.Errorf("got remote %v, want the real one", session.Remote)
		}
	})
}

// TestProxyCountsClients: the limit of connections by source is for the clients, not for the proxy.
func TestProxyCountsClients(t *testing.T) {
	t.Parallel()
	host := newHost()
	host.listener.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	s := serve(t, host, func(c *Config) { c.MaxPerSource = 2 })
	for i, want := range []string{"220", "220", "421 4.7.0"} {
		c := s.dial(t)
		c.send("PROXY TCP4 192.0.2.1 192.0.2.2 12345 25\r\n")
		if got := c.reply(); !strings.HasPrefix(got, want) {
			t.Errorf("connection %d: got %q, want %s", i+1, got, want)
		}
	}
	c := s.dial(t)
	c.send("PROXY TCP4 192.0.2.99 192.0.2.2 12345 25\r\n")
	c.want("220")
}

func TestProxyBeforeTLS(t *testing.T) {
	t.Parallel()
	host := secureHost(t)
	host.listener.TLS = TLSImplicit
	host.listener.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	c := serve(t, host, nil).dial(t)
	c.send(binaryHeader(1, 0x11, fourAddresses, 0))
	if err := c.handshake(&tls.Config{InsecureSkipVerify: true}); err != nil {
		t.Fatal(err)
	}
	c.want("220")
	c.say("QUIT", "221")
	if session := <-host.closed; session.Remote.Addr().String() != "192.0.2.1" {
		t.Errorf("got %v", session.Remote)
	}
}

// FuzzProxyHeader: bounded, and whatever is read as a header was read to its last octet and no further.
func FuzzProxyHeader(f *testing.F) {
	f.Add("PROXY TCP4 192.0.2.1 192.0.2.2 12345 25\r\n")
	f.Add("PROXY UNKNOWN\r\n")
	f.Add(binaryHeader(1, 0x11, fourAddresses, 10))
	f.Add(binaryHeader(0, 0, "", 0))
	f.Add("\r\n\r\n\x00\r\nQUIT\n!\x04\x00\a") // a family that is none
	f.Fuzz(func(t *testing.T, text string) {
		const behind = "\x16\x03\x01EHLO"
		from := strings.NewReader(text + behind)
		header, err := readProxyHeader(from)
		if err != nil {
			return
		}
		used := len(text) + len(behind) - from.Len()
		again, err := readProxyHeader(strings.NewReader((text + behind)[:used]))
		if err != nil || used > maxProxyOctets || !reflect.DeepEqual(header, again) {
			t.Errorf("%d octets of %q read as %+v, then as %+v, %v", used, text, header, again, err)
		}
		if names(header) && !addressOf(header.SourceAddr).IsValid() {
			t.Errorf("%q names nobody", text)
		}
	})
}
