package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/netip"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// Format numbers of the records that are written. Each record begins with its own and ends with the checksum of all before
// it; a reader knows every earlier number and refuses a later one.
const (
	messageFormat byte = 2
	itemFormat    byte = 2
)

// formatCertificate is the first format of messages whose sessions have what format 2 added: the version of the password,
// its secret, and the client's certificate.
const formatCertificate byte = 2

// formatSteered is the first format of items that know where they came to rest from, and have rules of their own.
const formatSteered byte = 2

const checksumOctets = 4 // CRC-32C, little-endian

// AppendMessage appends the record of a message to dst. Times keep their instant and lose their zone: they are UTC again
// when read.
func AppendMessage(dst []byte, m *Message) []byte {
	w := writer{buf: dst, start: len(dst)}
	w.octet(messageFormat)
	w.id(m.ID)
	w.raw(m.RuleSet[:])
	w.text(m.RuleSetID)
	w.time(m.ReceivedAt)
	w.int(m.Size)
	w.text(m.Trace)
	w.session(&m.Session)
	w.envelope(&m.Envelope)
	return w.seal()
}

// DecodeMessage reads the record of a message. An error is ErrCorrupt. The message does not refer to record.
func DecodeMessage(record []byte) (*Message, error) {
	r, err := openRecord(record, messageFormat)
	if err != nil {
		return nil, fmt.Errorf("message record: %w", err)
	}
	m := &Message{ID: r.id()}
	copy(m.RuleSet[:], r.take(len(m.RuleSet)))
	m.RuleSetID = r.text()
	m.ReceivedAt = r.time()
	m.Size = r.int()
	m.Trace = r.text()
	r.session(&m.Session)
	r.envelope(&m.Envelope)
	if err := r.finish(); err != nil {
		return nil, fmt.Errorf("message record: %w", err)
	}
	return m, nil
}

// AppendItem appends the record of an item to dst, its key included. Empty slices are read again as nil.
func AppendItem(dst []byte, i *Item) []byte {
	w := writer{buf: dst, start: len(dst)}
	w.octet(itemFormat)
	w.id(i.Message)
	w.uint(uint64(i.Seq))
	w.text(string(i.Lane))
	w.time(i.Due)
	w.recipients(i.Recipients)
	w.octets(i.State)
	w.octets(i.Cursor)
	w.int(int64(i.Rule))
	w.int(int64(i.Action))
	w.int(int64(i.Node))
	w.text(i.RuleName)
	w.text(i.ActionName)
	w.int(int64(i.Attempts))
	w.text(i.LastReply)
	w.int(int64(i.Crashes))
	w.text(string(i.Origin))
	w.flags(i.Warned)
	w.text(i.Sender)
	w.ownRules(i)
	return w.seal()
}

// DecodeItem reads the record of an item. An error is ErrCorrupt. The item does not refer to record.
func DecodeItem(record []byte) (Item, error) {
	r, err := openRecord(record, itemFormat)
	if err != nil {
		return Item{}, fmt.Errorf("item record: %w", err)
	}
	i := Item{ItemKey: ItemKey{Message: r.id(), Seq: uint32(r.uint())}}
	i.Lane = Lane(r.text())
	i.Due = r.time()
	i.Recipients = r.recipients()
	i.State = r.octets()
	i.Cursor = r.octets()
	i.Rule = int(r.int())
	i.Action = int(r.int())
	i.Node = int(r.int())
	i.RuleName = r.text()
	i.ActionName = r.text()
	i.Attempts = int(r.int())
	i.LastReply = r.text()
	i.Crashes = int(r.int())
	if r.format >= formatSteered {
		i.Origin = Lane(r.text())
		r.flags(&i.Warned)
		i.Sender = r.text()
		r.ownRules(&i)
	}
	if err := r.finish(); err != nil {
		return Item{}, fmt.Errorf("item record: %w", err)
	}
	return i, nil
}

// writer appends the parts of one record.
type writer struct {
	buf   []byte
	start int
}

func (w *writer) octet(v byte)     { w.buf = append(w.buf, v) }
func (w *writer) raw(v []byte)     { w.buf = append(w.buf, v...) }
func (w *writer) id(v message.ID)  { w.buf = append(w.buf, v[:]...) }
func (w *writer) uint(v uint64)    { w.buf = binary.AppendUvarint(w.buf, v) }
func (w *writer) int(v int64)      { w.buf = binary.AppendVarint(w.buf, v) }
func (w *writer) octets(v []byte)  { w.uint(uint64(len(v))); w.raw(v) }
func (w *writer) text(v string)    { w.uint(uint64(len(v))); w.buf = append(w.buf, v...) }
func (w *writer) path(p smtp.Path) { w.text(p.Received); w.text(p.Local); w.text(p.Domain) }

// time is seconds and nanoseconds, so that every time.Time is kept, the zero one too.
func (w *writer) time(t time.Time) {
	w.int(t.Unix())
	w.uint(uint64(t.Nanosecond()))
}

func (w *writer) addrPort(a netip.AddrPort) {
	encoded, _ := a.MarshalBinary() // never fails
	w.octets(encoded)
}

func (w *writer) texts(list []string) {
	w.uint(uint64(len(list)))
	for _, v := range list {
		w.text(v)
	}
}

// flags is up to eight booleans in one octet, the first in the lowest bit.
func (w *writer) flags(bits ...bool) {
	var v byte
	for i, bit := range bits {
		if bit {
			v |= 1 << i
		}
	}
	w.octet(v)
}

func (w *writer) session(s *message.Session) {
	w.id(s.ID)
	w.text(s.Account)
	w.text(s.Region)
	w.text(s.IngressPoint)
	w.text(s.Listener)
	w.time(s.Started)
	w.addrPort(s.Client)
	w.addrPort(s.Local)
	w.text(s.ClientName)
	w.text(s.Hello)
	w.flags(s.Extended, s.TLSWrapped)
	w.text(s.TLSVersion)
	w.text(s.TLSCipher)
	w.text(s.AuthUser)
	w.text(s.AuthVersion)
	w.text(s.SecretARN)
	w.certificate(s.Certificate)
}

func (w *writer) certificate(c *message.Certificate) {
	w.flags(c != nil)
	if c == nil {
		return
	}
	w.texts(c.CommonNames)
	w.text(c.SerialNumber)
	w.texts(c.RFC822Names)
	w.texts(c.DNSNames)
	w.texts(c.DirectoryNames)
	w.texts(c.URIs)
	w.texts(c.IPAddresses)
	w.texts(c.RegisteredIDs)
	w.text(c.Subject)
	w.text(c.Issuer)
	w.time(c.NotBefore)
	w.time(c.NotAfter)
}

func (w *writer) envelope(e *message.Envelope) {
	w.path(e.ReversePath)
	w.flags(e.EightBit, e.UTF8)
	w.text(e.EnvelopeID)
	w.text(e.Return)
	w.recipients(e.Recipients)
}

func (w *writer) recipients(recipients []message.Recipient) {
	w.uint(uint64(len(recipients)))
	for i := range recipients {
		w.path(recipients[i].Path)
		w.text(recipients[i].Notify)
		w.text(recipients[i].Original)
	}
}

// ownRules takes one octet for the many items that have none.
func (w *writer) ownRules(i *Item) {
	present := i.RuleSetID != "" || i.RuleSet != (Hash{})
	w.flags(present)
	if present {
		w.text(i.RuleSetID)
		w.raw(i.RuleSet[:])
	}
}

// seal ends the record with its checksum.
func (w *writer) seal() []byte {
	return binary.LittleEndian.AppendUint32(w.buf, checksum(w.buf[w.start:]))
}

func checksum(record []byte) uint32 {
	return crc32.Checksum(record, crc32.MakeTable(crc32.Castagnoli)) // MakeTable returns one shared table
}
