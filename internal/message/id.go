package message

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

const (
	idOctets   = 25 // 8 of time, 17 of chance
	idTextSize = 40 // base32hex without padding: 40 × 5 bits = 25 octets
)

// ErrMalformedID says that a text is not an ID.
var ErrMalformedID = errors.New("malformed message id: want 40 characters of 0-9 and a-v")

// ID identifies a message or an SMTP session. It begins with the time of its making, so that ids sort by age, in
// binary as in text; the rest is random and cannot be guessed. The zero ID stands for none.
// Source: Mail Manager, B14.
type ID [idOctets]byte

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewID makes the id of something that begins now.
func NewID(now time.Time) ID {
	var id ID
	binary.BigEndian.PutUint64(id[:8], uint64(now.UnixNano()))
	rand.Read(id[8:]) // never fails: crypto/rand ends the process instead
	return id
}

// ParseID reads the text form. It returns ErrMalformedID for anything else.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != idTextSize {
		return id, ErrMalformedID
	}
	// An id has one spelling, which policies may name: the decoder passes over line ends.
	if _, err := idEncoding.Decode(id[:], []byte(text)); err != nil || strings.ContainsAny(text, "\r\n") {
		return ID{}, ErrMalformedID
	}
	return id, nil
}

// String is the text form: 40 characters of 0-9 and a-v.
func (id ID) String() string {
	var text [idTextSize]byte
	idEncoding.Encode(text[:], id[:])
	return string(text[:])
}

// IsZero reports whether the id stands for none.
func (id ID) IsZero() bool { return id == ID{} }

// Time is when the id was made, in UTC.
func (id ID) Time() time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(id[:8]))).UTC()
}

// MarshalText implements encoding.TextMarshaler; the zero ID is the empty text.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = ID{}
		return nil
	}
	parsed, err := ParseID(string(text))
	if err != nil {
		return err
	}
	*id = parsed
	return nil
}
