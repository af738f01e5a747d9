package smtpd

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/pires/go-proxyproto"

	"sluice/internal/smtp"
)

var (
	badProxyHeader = smtp.NewReply(421, 4, 7, 0, "Malformed PROXY header")
	errProxyHeader = errors.New("connection does not begin with a PROXY header")
	errProxyLength = fmt.Errorf("PROXY header is over %d octets", maxProxyOctets)
)

// Forms of the header. PROXY protocol, sections 2.1 and 2.2.
const (
	proxyText       = "PROXY "
	maxTextOctets   = 107 // with CRLF
	proxyFixed      = 16  // octets of the binary form before the addresses
	proxyLengthFrom = 14  // where they say how long these are
)

// proxied reports whether the connection comes from a proxy that is trusted to say whose it is (S9).
func (d *dialogue) proxied() bool { return d.session.Listener.trusts(d.session.Remote.Addr()) }

// readProxy takes the client's address from the PROXY header of a trusted proxy; LOCAL keeps the real ones. The reply is nil,
// or one that refuses the connection. S9; Mail Manager, B19.
func (d *dialogue) readProxy() *smtp.Reply {
	if !d.proxied() {
		return nil
	}
	err := d.wire.hurry(proxyTimeout)
	var header *proxyproto.Header
	if err == nil {
		header, err = readProxyHeader(d.wire.conn)
	}
	if err != nil {
		d.finish("PROXY header: " + err.Error())
		return d.refuse(connectCommand, badProxyHeader.Because(err))
	}
	if names(header) {
		d.session.Proxy = d.session.Remote
		d.session.Remote, d.session.Local = addressOf(header.SourceAddr), addressOf(header.DestinationAddr)
	}
	source := SourceOf(d.session.Remote.Addr())
	if !d.server.crowd.name(source) {
		d.server.metrics.crowded.Inc()
		return d.refuse(connectCommand, tooManyConnections)
	}
	d.source = source
	return nil
}

// readProxyHeader reads a header and not an octet more: what follows may be a TLS handshake.
func readProxyHeader(from io.Reader) (*proxyproto.Header, error) {
	header := make([]byte, len(proxyproto.SIGV2), proxyFixed)
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	var err error
	switch {
	case bytes.Equal(header, proxyproto.SIGV2):
		header, err = readBinaryHeader(from, header)
	case bytes.HasPrefix(header, []byte(proxyText)):
		header, err = readTextHeader(from, header)
	default:
		err = errProxyHeader
	}
	if err != nil {
		return nil, err
	}
	parsed, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), maxProxyOctets))
	if err != nil {
		return nil, err
	}
	if names(parsed) && !addressOf(parsed.SourceAddr).IsValid() {
		return nil, errProxyHeader // of no TCP connection
	}
	return parsed, nil
}

// names reports whether a header says whose the connection is: not LOCAL, and not UNKNOWN.
func names(header *proxyproto.Header) bool {
	return header.Command.IsProxy() && !header.TransportProtocol.IsUnspec()
}

func readBinaryHeader(from io.Reader, header []byte) ([]byte, error) {
	header = header[:proxyFixed]
	if _, err := io.ReadFull(from, header[len(proxyproto.SIGV2):]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(header[proxyLengthFrom:]))
	if proxyFixed+length > maxProxyOctets {
		return nil, errProxyLength
	}
	header = append(header, make([]byte, length)...)
	_, err := io.ReadFull(from, header[proxyFixed:])
	return header, err
}

// readTextHeader reads octet by octet: the line says only at its end how long it is.
func readTextHeader(from io.Reader, header []byte) ([]byte, error) {
	for header[len(header)-1] != '\n' {
		if len(header) == maxTextOctets {
			return nil, errProxyHeader
		}
		header = append(header, 0)
		if _, err := io.ReadFull(from, header[len(header)-1:]); err != nil {
			return nil, err
		}
	}
	return header, nil
}
