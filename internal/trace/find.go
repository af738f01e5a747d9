package trace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"time"
)

// How much one call of Find does. Who wants more goes on with Page.Next.
const (
	DefaultFindLimit = 50
	MaxFindLimit     = 1000

	findFrames   = 256 // that are read and searched: some 0.5 s
	findSegments = 32  // whose index is read
)

// Query says what is looked for: what is of the account and region, and is as every field that is set says.
type Query struct {
	Account, Region   string
	Sender, Recipient string     // in any case; the sender "<>" is the empty reverse-path
	Client            netip.Addr // who connected
	Since, Until      time.Time  // Until itself is outside
	Refused           bool       // only what was refused
	Limit             int        // how many at most; 0: DefaultFindLimit
	Token             string     // Page.Next of the call before, which had the same Query; empty: begin with the newest
}

// Page is some of what a Query finds, the newest first, by when it was written. Next is empty at the end; Found may be
// empty before: one call reads so much and no more.
type Page struct {
	Found []Summary `json:"found"`
	Next  string    `json:"next,omitempty"`
}

// Find lists the messages, refusals and ended sessions that a query fits, what is still buffered too. It never shows
// anything of another account or region (S36). An error wraps ErrToken when the token is none.
func (l *Log) Find(ctx context.Context, q Query) (Page, error) {
	at, err := parsePlace(q.Token)
	if err != nil {
		return Page{}, err
	}
	if err := l.Flush(ctx); err != nil {
		return Page{}, err
	}
	names, err := l.store.segments()
	if err != nil {
		return Page{}, fmt.Errorf("find traces: %w", err)
	}
	s := newSearch(l.store, q, at)
	for i, name := range slices.Backward(names) {
		if !s.wants(name) {
			continue
		}
		if s.oldest = i; !s.segment(ctx, name) {
			break
		}
	}
	if s.failed == nil {
		s.failed = s.outcomes(ctx, names[min(s.oldest, len(names)):])
	}
	if s.failed != nil {
		return Page{}, fmt.Errorf("find traces: %w", s.failed)
	}
	return s.page, nil
}

// search is a call of Find.
type search struct {
	store    *store
	query    Query
	marks    []mark // a frame without one of them has nothing
	at       place
	frames   int // that may still be read
	segments int // that may still be looked into
	oldest   int // the segment that was looked into last, of those there are
	page     Page
	failed   error
}

func newSearch(st *store, q Query, at place) *search {
	switch {
	case q.Limit <= 0:
		q.Limit = DefaultFindLimit
	case q.Limit > MaxFindLimit:
		q.Limit = MaxFindLimit
	}
	q.Client = q.Client.Unmap()
	s := &search{store: st, query: q, at: at, frames: findFrames, segments: findSegments, page: Page{Found: []Summary{}}}
	w := wordsOf(q.Account, q.Region)
	s.marks = append(s.marks, w.mark(wordAny, ""))
	if q.Refused {
		s.marks = append(s.marks, w.mark(wordRefused, ""))
	}
	if q.Sender != "" {
		s.marks = append(s.marks, w.mark(wordSender, q.Sender))
	}
	if q.Recipient != "" {
		s.marks = append(s.marks, w.mark(wordRecipient, q.Recipient))
	}
	if q.Client.IsValid() {
		s.marks = append(s.marks, w.mark(wordClient, q.Client.String()))
	}
	return s
}

// wants reports whether a segment may have something. It has what was written on its day, which is not quite when it
// happened: clocks step.
func (s *search) wants(name string) bool {
	day := name[:len(dayLayout)]
	switch {
	case s.at.name != "" && compareNames(name, s.at.name) > 0:
		return false
	case !s.query.Since.IsZero() && day < s.query.Since.AddDate(0, 0, -1).UTC().Format(dayLayout):
		return false
	default:
		return s.query.Until.IsZero() || day <= s.query.Until.AddDate(0, 0, 1).UTC().Format(dayLayout)
	}
}

// segment searches a segment from its end on, and reports whether the search goes on with the one before.
func (s *search) segment(ctx context.Context, name string) bool {
	if s.segments == 0 {
		return s.pause(endOf(name))
	}
	s.segments--
	err := s.store.backward(name, func(r frameReader, e *entry) bool {
		if s.failed = ctx.Err(); s.failed != nil {
			return false
		}
		return s.frame(r, e, name)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.failed = fmt.Errorf("search %s: %w", name, err)
	}
	return s.failed == nil && s.page.Next == ""
}

// pause ends the page before a place.
func (s *search) pause(before place) bool {
	s.page.Next = before.String()
	return false
}

// frame searches a frame from its end on, and reports whether the search goes on with the one before.
func (s *search) frame(r frameReader, e *entry, name string) bool {
	here := place{name: name, offset: e.offset, line: allLines}
	if s.at.name == name && e.offset >= s.at.offset {
		if e.offset > s.at.offset {
			return true
		}
		here.line = s.at.line
	}
	if !s.mayHave(e) {
		return true
	}
	if s.frames == 0 || len(s.page.Found) == s.query.Limit {
		return s.pause(here)
	}
	s.frames--
	lines := r.lines(e)
	for i := min(here.line, len(lines)) - 1; i >= 0; i-- {
		if len(s.page.Found) == s.query.Limit {
			here.line = i + 1
			return s.pause(here)
		}
		if found, ok := s.match(lines[i]); ok {
			s.page.Found = append(s.page.Found, found)
		}
	}
	return true
}

// mayHave reports whether a frame may have something. Of one from before there were words that is not known.
func (s *search) mayHave(e *entry) bool {
	if e.idsOnly {
		return true
	}
	q := &s.query
	if !q.Since.IsZero() && e.until < q.Since.UnixMilli() || !q.Until.IsZero() && e.since > q.Until.UnixMilli() {
		return false
	}
	for _, m := range s.marks {
		if !e.has(m) {
			return false
		}
	}
	return true
}

// match reads a line, and reports whether it is what is looked for.
func (s *search) match(line []byte) (found Summary, ok bool) {
	e, ok := s.event(line, `"accepted":`, `"made":`, `"refused":`, `"ended":`)
	if !ok {
		return found, false
	}
	found, ok = summarize(&e)
	return found, ok && s.fits(&found)
}

func (s *search) fits(found *Summary) bool {
	q := &s.query
	switch {
	case !q.Since.IsZero() && found.Time.Before(q.Since), !q.Until.IsZero() && !found.Time.Before(q.Until):
		return false
	case q.Refused && found.Kind != KindRefused:
		return false
	case q.Client.IsValid() && found.Client.Addr().Unmap() != q.Client:
		return false
	case q.Sender != "" && !sameWord(found.senderWord(), q.Sender):
		return false
	default:
		return q.Recipient == "" || found.has(q.Recipient)
	}
}
