package spool

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// The least that an element of a list takes in a record: the lengths of its texts. It bounds what a declared count allocates.
const (
	minTextOctets      = 1
	minRecipientOctets = 5 * minTextOctets
)

// reader takes the parts of one record. The first part that does not fit sets err; all that follow are zero.
type reader struct {
	format byte
	rest   []byte
	err    error
}

// openRecord checks a record's format number, of which newest is the last that is known, and its checksum.
func openRecord(record []byte, newest byte) (*reader, error) {
	if len(record) < 1+checksumOctets {
		return nil, fmt.Errorf("%d octets: %w", len(record), ErrCorrupt)
	}
	body, sum := record[:len(record)-checksumOctets], record[len(record)-checksumOctets:]
	if checksum(body) != binary.LittleEndian.Uint32(sum) {
		return nil, fmt.Errorf("checksum: %w", ErrCorrupt)
	}
	if body[0] == 0 || body[0] > newest {
		return nil, fmt.Errorf("format %d, this version reads up to %d: %w", body[0], newest, ErrCorrupt)
	}
	return &reader{format: body[0], rest: body[1:]}, nil
}

// finish returns the first error, or one when something is left over.
func (r *reader) finish() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%d octets left over: %w", len(r.rest), ErrCorrupt)
	}
	return r.err
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = fmt.Errorf("ends early: %w", ErrCorrupt)
	}
	r.rest = nil
}

// take returns the next n octets, which belong to the record, or nil.
func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) octet() byte {
	if taken := r.take(1); taken != nil {
		return taken[0]
	}
	return 0
}

func (r *reader) id() (id message.ID) {
	copy(id[:], r.take(len(id)))
	return id
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// counted returns the octets behind their length.
func (r *reader) counted() []byte {
	n := r.uint()
	if n > uint64(len(r.rest)) { // before it is made an int
		r.fail()
		return nil
	}
	return r.take(int(n))
}

func (r *reader) text() string { return string(r.counted()) }

func (r *reader) octets() []byte {
	if taken := r.counted(); len(taken) > 0 {
		return append([]byte(nil), taken...)
	}
	return nil
}

// count is how many elements a list has, each of at least so many octets. A count that the record has no room for fails.
func (r *reader) count(elementOctets int) int {
	n := r.uint()
	if n > uint64(len(r.rest)/elementOctets) { // before it is made an int
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) texts() []string {
	n := r.count(minTextOctets)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.text()
	}
	return list
}

func (r *reader) path() smtp.Path {
	return smtp.Path{Received: r.text(), Local: r.text(), Domain: r.text()}
}

func (r *reader) time() time.Time {
	seconds, nanoseconds := r.int(), r.uint()
	if nanoseconds >= uint64(time.Second) {
		r.fail()
	}
	if r.err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, int64(nanoseconds)).UTC()
}

func (r *reader) addrPort() (a netip.AddrPort) {
	encoded := r.counted()
	if len(encoded) == 0 {
		return a
	}
	if err := a.UnmarshalBinary(encoded); err != nil {
		r.fail()
		return netip.AddrPort{}
	}
	return a
}

func (r *reader) flags(bits ...*bool) {
	v := r.octet()
	for i, bit := range bits {
		*bit = v&(1<<i) != 0
	}
}

func (r *reader) session(s *message.Session) {
	s.ID = r.id()
	s.Account = r.text()
	s.Region = r.text()
	s.IngressPoint = r.text()
	s.Listener = r.text()
	s.Started = r.time()
	s.Client = r.addrPort()
	s.Local = r.addrPort()
	s.ClientName = r.text()
	s.Hello = r.text()
	r.flags(&s.Extended, &s.TLSWrapped)
	s.TLSVersion = r.text()
	s.TLSCipher = r.text()
	s.AuthUser = r.text()
	if r.format >= formatCertificate {
		s.AuthVersion = r.text()
		s.SecretARN = r.text()
		s.Certificate = r.certificate()
	}
}

func (r *reader) certificate() *message.Certificate {
	var present bool
	if r.flags(&present); !present {
		return nil
	}
	return &message.Certificate{
		CommonNames:    r.texts(),
		SerialNumber:   r.text(),
		RFC822Names:    r.texts(),
		DNSNames:       r.texts(),
		DirectoryNames: r.texts(),
		URIs:           r.texts(),
		IPAddresses:    r.texts(),
		RegisteredIDs:  r.texts(),
		Subject:        r.text(),
		Issuer:         r.text(),
		NotBefore:      r.time(),
		NotAfter:       r.time(),
	}
}

func (r *reader) envelope(e *message.Envelope) {
	e.ReversePath = r.path()
	r.flags(&e.EightBit, &e.UTF8)
	e.EnvelopeID = r.text()
	e.Return = r.text()
	e.Recipients = r.recipients()
}

func (r *reader) ownRules(i *Item) {
	var present bool
	if r.flags(&present); present {
		i.RuleSetID = r.text()
		copy(i.RuleSet[:], r.take(len(i.RuleSet)))
	}
}

func (r *reader) recipients() []message.Recipient {
	n := r.count(minRecipientOctets)
	if n == 0 {
		return nil
	}
	recipients := make([]message.Recipient, n)
	for i := range recipients {
		recipients[i] = message.Recipient{Path: r.path(), Notify: r.text(), Original: r.text()}
	}
	return recipients
}
