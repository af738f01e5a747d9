package trace

import (
	"encoding/binary"
	"encoding/json"
	"strings"

	"sluice/internal/message"
)

// What a word in an index is. Words are told apart by account and region, so that a search reads no frame in which its
// caller has nothing.
const (
	wordAny       byte = 'a' // the frame has something that Find lists
	wordRefused   byte = 'r' // and some of it was refused
	wordSender    byte = 's'
	wordRecipient byte = 't'
	wordClient    byte = 'c'
)

// emptyPath is how an empty reverse-path is asked for, as it stands on the wire.
const emptyPath = "<>"

// FNV-1a of 64 bits. Words that hash the same cost the reading of a frame, nothing else.
const (
	fnvOffset uint64 = 14695981039346656037
	fnvPrime  uint64 = 1099511628211
)

func hash(h uint64, text string) uint64 {
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * fnvPrime
	}
	return h * fnvPrime // as if a zero ended it
}

// words makes the marks of words of one account and region.
type words uint64

func wordsOf(account, region string) words { return words(hash(hash(fnvOffset, account), region)) }

func (w words) mark(kind byte, word string) (m mark) {
	binary.LittleEndian.PutUint64(m[:], hash((uint64(w)^uint64(kind))*fnvPrime, strings.ToLower(word)))
	return m
}

// marker gathers the marks of a frame, each once, and the times of what Find lists in it.
type marker struct {
	seen         map[mark]struct{}
	marks        []byte
	since, until int64 // ms since 1970; zero when it has no words
}

// take adds the marks of an event.
func (m *marker) take(e *Event) {
	m.addID(e.Message)
	m.addID(e.Session)
	found, ok := summarize(e)
	if !ok {
		return
	}
	at := found.Time.UnixMilli()
	if m.since == 0 || at < m.since {
		m.since = at
	}
	m.until = max(m.until, at)
	w := wordsOf(e.Account, e.Region)
	m.add(w.mark(wordAny, ""))
	if found.Kind == KindRefused {
		m.add(w.mark(wordRefused, ""))
	}
	m.add(w.mark(wordSender, found.senderWord()))
	m.add(w.mark(wordClient, found.Client.Addr().Unmap().String()))
	for _, recipient := range found.Recipients {
		m.add(w.mark(wordRecipient, recipient))
	}
}

// takeLine adds the marks of an event as it is in a frame. Of one that a newer version wrote they are those of its ids.
func (m *marker) takeLine(line []byte) {
	var e Event
	if json.Unmarshal(line, &e) == nil {
		m.take(&e)
		return
	}
	var ids struct{ Message, Session message.ID }
	if json.Unmarshal(line, &ids) == nil {
		m.addID(ids.Message)
		m.addID(ids.Session)
	}
}

func (m *marker) addID(id message.ID) {
	if !id.IsZero() {
		m.add(markOf(id))
	}
}

func (m *marker) add(key mark) {
	if _, ok := m.seen[key]; ok {
		return
	}
	if m.seen == nil {
		m.seen = map[mark]struct{}{}
	}
	m.seen[key] = struct{}{}
	m.marks = append(m.marks, key[:]...)
}

func (m *marker) reset() {
	clear(m.seen)
	m.marks = m.marks[:0]
	m.since, m.until = 0, 0
}
