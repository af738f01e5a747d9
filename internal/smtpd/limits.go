package smtpd

import (
	"time"

	"sluice/internal/message"
)

// Defaults of what an operator may set.
const (
	DefaultMaxConnections int = 60_000 // an idle session takes about 10 KB, 30 KB behind a TLS handshake
	DefaultMaxPerSource   int = 20_000 // a third of all: a front end that shares one address still gets in
)

// DefaultMaxSize is the SIZE of a session that is not bound yet, in octets. Mail Manager, B1 and section 2.5.
const DefaultMaxSize int64 = 40 << 20

// Limits of the dialogue.
const (
	maxCommandOctets int = 2_048 // with CRLF; Mail Manager, B21
	maxErrors        int = 20    // 500 to 504, since the last accepted message; then 421
	maxFailures      int = 3     // of AUTH, in a session; then 421. Mail Manager, B4
	maxCommands      int = 2_000 // neither accepted recipients nor accepted messages, since the last accepted message; then 421. S12
)

// minChunkOctets is the smallest chunk of a BDAT that costs nothing of maxCommands.
const minChunkOctets int64 = 1 << 10

// Limits of content. Mail Manager, B11 and B21.
const (
	maxLineOctets   int = 64 << 10                // of a text line, without CRLF
	maxHeaderOctets int = message.MaxHeaderOctets // of the header section, with the empty line that ends it
	maxFoldedLines  int = 5_000                   // that one field is folded to: an honest one has a line for each of its recipients. S12
	maxReceived     int = 50                      // Received fields
)

// Deadlines. Mail Manager, B12; RFC 5321, section 4.5.3.2.
const (
	commandTimeout   time.Duration = 5 * time.Minute // for a whole command line, and for the replies before it to leave
	bodyTimeout      time.Duration = 3 * time.Minute // for each bodyQuantum octets of content
	bodyQuantum      int           = 64 << 10
	sessionTimeout   time.Duration = time.Hour        // for the whole session
	handshakeTimeout time.Duration = time.Minute      // for a whole TLS handshake, however it is dripped (S11)
	proxyTimeout     time.Duration = 10 * time.Second // for a whole PROXY header; who sends it is no stranger
	closeTimeout     time.Duration = 5 * time.Second
)

// Buffers of a session, in octets. It begins with the small one; a client that fills it with content gets the large one for as
// long as it fills that, so that ten thousand slow ones do not hold it (S11).
const (
	commandBufferOctets int = 4 << 10
	contentBufferOctets int = 64 << 10
	maxFreeBuffers      int = 16      // large ones that are kept for the next who needs one
	flushOctets         int = 4 << 10 // replies beyond this leave before the input is empty
)

// A refused client that is still sending is read for a while, or its own octets would reset the connection before it has
// seen the reply.
const (
	lingerTimeout time.Duration = time.Second
	lingerOctets  int64         = 1 << 20
)

// maxProxyOctets is the longest PROXY header that is read: room for addresses and for what TLS proxies add. S9
const maxProxyOctets int = 4 << 10

// turnedAwayPerSecond is of how many connections a second, of those that get no session, something is logged and traced. All are
// counted. S18
const turnedAwayPerSecond int = 100

// After an accept that failed, for want of file descriptors above all, the next is tried after a pause that doubles.
const (
	minAcceptPause time.Duration = 5 * time.Millisecond
	maxAcceptPause time.Duration = time.Second
)
