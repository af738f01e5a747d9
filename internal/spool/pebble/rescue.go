package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// Rescued is a message as far as it can be read. It is valid until the call that got it returns.
type Rescued struct {
	ID       message.ID
	Message  *spool.Message // nil: its record cannot be read; that of its session and envelope
	Items    []spool.Item   // those that can be read
	Problems []error        // what cannot be read, the content not counted

	source source
}

// Rescue reads what can be read of a spool in a directory that nobody has open, and changes nothing there (S30). It calls
// each with every message, by id, until that fails, and report with whatever cannot be read and is not of one message. A
// spool that does not open, for want of a manifest or because its log is spoiled, is read from its tables and logs
// themselves: what has left it of late may then be among the messages again. fs nil: the operating system's.
func Rescue(dir string, fs vfs.FS, each func(*Rescued) error, report func(error)) error {
	if fs == nil {
		fs = vfs.Default
	}
	from, err := openSource(fs, dir, report)
	if err != nil {
		return fmt.Errorf("rescue spool %s: %w", dir, err)
	}
	found := takeStock(from, report)
	for _, id := range slices.SortedFunc(maps.Keys(found), func(a, b message.ID) int { return bytes.Compare(a[:], b[:]) }) {
		if err := each(rescue(from, id, found[id])); err != nil {
			return errors.Join(err, from.close())
		}
	}
	return from.close()
}

// takeStock finds the messages. Each is in three key spaces, so that one that cannot be read hides few.
func takeStock(from source, report func(error)) inventory {
	found := inventory{}
	for _, in := range [...]struct {
		space byte
		note  func(key []byte)
	}{{spaceMessages, found.noteMessage}, {spaceLanes, found.noteLane}, {spaceContent, found.noteContent(from)}} {
		lower, upper := spaceBounds(in.space)
		if err := from.keys(lower, upper, in.note); err != nil {
			report(fmt.Errorf("some keys of space %c: %w", in.space, err))
		}
	}
	return found
}

// source is where values are read from.
type source interface {
	// keys calls do with every key between bounds that can be found, in any order. Its error says that there are more.
	keys(lower, upper []byte, do func(key []byte)) error
	// get returns ErrNotFound for what is not there, ErrCorrupt for what cannot be read.
	get(key []byte) ([]byte, error)
	close() error
}

func openSource(fs vfs.FS, dir string, report func(error)) (source, error) {
	quiet := Config{FS: fs, Logger: slog.New(slog.DiscardHandler)}.withDefaults(dir)
	o := options(quiet, newLogger(quiet), newMetrics(nil))
	o.ReadOnly, o.ErrorIfNotExists = true, true
	db, err := pebble.Open(dir, o)
	if err == nil {
		return dbSource{db}, nil
	}
	report(fmt.Errorf("the store does not open, and is read file by file: %w", err))
	return openFiles(fs, dir, report)
}

// dbSource is a store that opens.
type dbSource struct{ db *pebble.DB }

func (s dbSource) close() error { return s.db.Close() }

func (s dbSource) get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if err != nil {
		return nil, readError(err)
	}
	defer closeQuietly(closer)
	return bytes.Clone(value), nil
}

// keys reads on until something cannot be read, then what lies behind that from the end on. Between two such places
// nothing is found.
func (s dbSource) keys(lower, upper []byte, do func(key []byte)) error {
	last := bytes.Clone(lower)
	err := s.walk(lower, upper, func(it *pebble.Iterator) {
		for valid := it.First(); valid; valid = it.Next() {
			last = append(last[:0], it.Key()...)
			do(last)
		}
	})
	if err == nil {
		return nil
	}
	_ = s.walk(append(last, 0), upper, func(it *pebble.Iterator) { // it fails where the other did, or before
		for valid := it.Last(); valid; valid = it.Prev() {
			do(it.Key())
		}
	})
	return err
}

func (s dbSource) walk(lower, upper []byte, over func(it *pebble.Iterator)) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return readError(err)
	}
	defer closeQuietly(it)
	over(it)
	return readError(it.Error())
}

// inventory is which messages there are, and the numbers of the items that are known of each.
type inventory map[message.ID][]uint32

func (v inventory) noteMessage(key []byte) {
	id, part, seq, err := parseMessagesKey(key)
	if err != nil {
		return
	}
	if part == partItem {
		v.note(id, seq)
		return
	}
	v[id] = v[id][:len(v[id]):len(v[id])] // it is there, if with no item yet
}

func (v inventory) noteLane(key []byte) {
	if _, at, err := parseLaneKey(key); err == nil {
		v.note(at.message, at.seq)
	}
}

func (v inventory) note(id message.ID, seq uint32) {
	if !slices.Contains(v[id], seq) {
		v[id] = append(v[id], seq)
	}
}

// noteContent finds messages of which nothing but content is left. One that was on its way in was never accepted; nor is
// content a sign of a message where that which was removed is found too.
func (v inventory) noteContent(from source) func(key []byte) {
	return func(key []byte) {
		if _, opened := from.(dbSource); !opened || len(key) < 2+idOctets {
			return
		}
		id := message.ID(key[2 : 2+idOctets])
		if _, known := v[id]; known {
			return
		}
		if _, err := from.get(appendOrphanKey(nil, id)); errors.Is(err, spool.ErrNotFound) {
			v[id] = nil
		}
	}
}

// rescue reads a message.
func rescue(from source, id message.ID, seqs []uint32) *Rescued {
	r := &Rescued{ID: id, source: from}
	value, err := from.get(appendMessageKey(nil, id))
	if err == nil {
		r.Message, _, err = decodeMessage(value)
	}
	if err != nil {
		r.Message = nil
		r.Problems = append(r.Problems, fmt.Errorf("message record: %w", err))
	}
	if len(seqs) == 0 { // a message with nothing left to do is gone
		r.Problems = append(r.Problems, fmt.Errorf("items: none is known: %w", spool.ErrCorrupt))
	}
	for _, seq := range slices.Sorted(slices.Values(seqs)) {
		value, err := from.get(appendItemKey(nil, spool.ItemKey{Message: id, Seq: seq}))
		var item spool.Item
		if err == nil {
			item, err = spool.DecodeItem(value)
		}
		if err != nil {
			r.Problems = append(r.Problems, fmt.Errorf("item %d: %w", seq, err))
			continue
		}
		r.Items = append(r.Items, item)
	}
	return r
}

// WriteContent writes the content, as it was received, as far as it can be read. An error wraps spool.ErrCorrupt when
// something is missing. Of a message whose record cannot be read that shows only at the beginning: how long it is is lost.
func (r *Rescued) WriteContent(w io.Writer) error {
	for at := int64(0); r.Message == nil || at < r.Message.Size; {
		value, err := r.source.get(appendContentKey(nil, r.ID, at))
		missing := errors.Is(err, spool.ErrNotFound) || err == nil && len(value) == 0
		switch {
		case missing && r.Message == nil && at > 0:
			return nil
		case missing:
			return fmt.Errorf("content at %d: missing: %w", at, spool.ErrCorrupt)
		case err != nil:
			return fmt.Errorf("content at %d: %w", at, err)
		}
		if _, err := w.Write(value); err != nil {
			return err
		}
		at += int64(len(value))
	}
	return nil
}
