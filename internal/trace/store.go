package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/message"
)

const (
	dataSuffix  = ".zst"
	indexSuffix = ".idx"
	dayLayout   = "2006-01-02"
)

// segmentName is a day and a number within it; names sort by age.
var segmentName = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}\.\d{4,}$`)

// store is the files of a Log. It is used by the writer alone, but for find.
type store struct {
	dir     string
	config  Config
	metrics *metrics
	codec   *codec

	lines   bytes.Buffer
	encoder *json.Encoder // into lines
	events  int           // in lines
	marker  marker
	packed  []byte // memory

	segment *segment // nil: none is open
	failing bool     // the last write failed, and that was logged
}

func openStore(dir string, c Config, m *metrics) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	codec, err := newCodec()
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	s := &store{dir: dir, config: c, metrics: m, codec: codec}
	s.encoder = json.NewEncoder(&s.lines)
	s.encoder.SetEscapeHTML(false)
	names, err := s.segments()
	if err != nil {
		return nil, fmt.Errorf("open trace: %w", err)
	}
	if len(names) > 0 { // the one that a crash may have torn, whatever its day
		if s.segment, err = s.openSegment(names[len(names)-1]); err != nil && !errors.Is(err, errNewer) {
			c.Logger.Error("trace: cannot open the newest file", "name", names[len(names)-1], "error", err)
		}
	}
	s.prune()
	return s, nil
}

// add takes an event into the frame, and writes the frame when it is full.
func (s *store) add(e *Event) {
	before := s.lines.Len()
	if err := s.encoder.Encode(e); err != nil || s.lines.Len()-before > eventOctets {
		s.lines.Truncate(before)
		s.metrics.dropped(dropEvent, 1)
		return
	}
	s.events++
	s.marker.take(e)
	if s.lines.Len() >= frameOctets {
		s.flush()
	}
}

// flush writes the frame. When that fails its events are dropped; the next frame tries again. Events that were written
// and only their entry was not count as dropped too, though they are found once the segment has been opened again.
func (s *store) flush() {
	if s.events == 0 {
		return
	}
	err := s.writeFrame()
	if err != nil {
		s.metrics.dropped(dropDisk, s.events)
		s.closeSegment() // opened again, what was half written is cut off
	} else {
		s.metrics.written.Add(float64(s.events))
	}
	if failing := err != nil; failing != s.failing {
		s.failing = failing
		s.config.Logger.Warn("trace: writing", "failing", failing, "error", err)
	}
	s.lines.Reset()
	s.events = 0
	s.marker.reset()
}

func (s *store) writeFrame() error {
	if err := s.ready(); err != nil {
		return err
	}
	s.packed = s.codec.pack(s.packed[:0], s.lines.Bytes())
	return s.segment.append(s.packed, &s.marker)
}

// ready opens the segment that the next frame belongs to.
func (s *store) ready() error {
	day := s.config.Now().UTC().Format(dayLayout)
	if s.segment != nil && s.segment.size < s.config.segment && strings.HasPrefix(s.segment.name, day) {
		return nil
	}
	s.closeSegment()
	names, err := s.segments()
	if err != nil {
		return err
	}
	number := 1
	for _, name := range slices.Backward(names) {
		if rest, ok := strings.CutPrefix(name, day+"."); ok {
			number, _ = strconv.Atoi(rest) // digits
			break
		}
	}
	for {
		opened, err := s.openSegment(fmt.Sprintf("%s.%04d", day, number))
		if err == nil && opened.size < s.config.segment {
			s.segment = opened
			s.prune()
			return nil
		}
		if err != nil && !errors.Is(err, errNewer) { // a newer version's file is left alone
			return err
		}
		if err == nil {
			opened.close()
		}
		number++
	}
}

func (s *store) closeSegment() {
	if s.segment != nil {
		s.segment.close()
		s.segment = nil
	}
}

func (s *store) close() error {
	s.closeSegment()
	s.codec.encoder.Close()
	return nil
}

// segments lists the names of the segments, oldest first.
func (s *store) segments() ([]string, error) {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), dataSuffix); ok && segmentName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, compareNames)
	return names, nil
}

// compareNames orders by day, then by number, which may have grown a digit.
func compareNames(a, b string) int {
	if a[:len(dayLayout)] == b[:len(dayLayout)] && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func (s *store) path(name, suffix string) string { return filepath.Join(s.dir, name+suffix) }

// prune removes the oldest segments while there is more than is to be kept, and one that is too old: not all of them at
// once, so that a clock that jumps does not take everything (S31).
func (s *store) prune() {
	names, err := s.segments()
	if err != nil {
		s.config.Logger.Error("trace: cannot list files", "error", err)
		return
	}
	sizes := make([]int64, len(names))
	var total int64
	for i, name := range names {
		sizes[i] = s.sizeOf(name)
		total += sizes[i]
	}
	oldest := s.config.Now().Add(-s.config.MaxAge).UTC().Format(dayLayout)
	for i, name := range names {
		if s.segment != nil && name == s.segment.name {
			break
		}
		aged := i == 0 && name[:len(dayLayout)] < oldest
		if total <= s.config.MaxOctets && !aged {
			break
		}
		total -= sizes[i]
		s.remove(name)
	}
	s.metrics.octets.Set(float64(total))
}

func (s *store) sizeOf(name string) (octets int64) {
	for _, suffix := range [...]string{dataSuffix, indexSuffix} {
		if info, err := os.Stat(s.path(name, suffix)); err == nil {
			octets += info.Size()
		}
	}
	return octets
}

func (s *store) remove(name string) {
	for _, suffix := range [...]string{dataSuffix, indexSuffix} {
		if err := os.Remove(s.path(name, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.config.Logger.Error("trace: cannot remove file", "name", name+suffix, "error", err)
		}
	}
}

// find calls do with every line that may be an event of the message or session, oldest first, until it returns false.
// Files that retention removes meanwhile are passed over.
func (s *store) find(id message.ID, names []string, do func(line []byte) bool) error {
	text := []byte(id.String())
	more := true
	for _, name := range names {
		err := s.search(name, markOf(id), func(lines []byte) bool {
			eachLine(lines, func(line []byte) bool {
				more = !bytes.Contains(line, text) || do(line)
				return more
			})
			return more
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("search %s: %w", name, err)
		}
		if !more {
			break
		}
	}
	return nil
}

// search calls do with the lines of every frame of a segment that the index has a mark in. A frame that cannot be read
// is passed over, and logged: the rest is served (S30).
func (s *store) search(name string, m mark, do func(lines []byte) bool) error {
	index, err := os.ReadFile(s.path(name, indexSuffix))
	if err != nil {
		return err
	}
	data, err := os.Open(s.path(name, dataSuffix))
	if err != nil {
		return err
	}
	defer data.Close()
	for len(index) > 0 {
		e, rest, err := parseEntry(index)
		if err != nil {
			return nil // being written, torn, or a newer version's
		}
		index = rest
		if !e.has(m) {
			continue
		}
		lines, err := s.readFrame(data, &e)
		if err != nil {
			s.config.Logger.Error("trace: cannot read frame", "name", name, "offset", e.offset, "error", err)
			continue
		}
		if !do(lines) {
			return nil
		}
	}
	return nil
}

// backward calls do with the entry of every frame of a segment, the last first, until it returns false.
func (s *store) backward(name string, do func(r frameReader, e *entry) bool) error {
	index, err := os.ReadFile(s.path(name, indexSuffix))
	if err != nil {
		return err
	}
	data, err := os.Open(s.path(name, dataSuffix))
	if err != nil {
		return err
	}
	defer data.Close()
	var entries []entry
	for len(index) > 0 {
		e, rest, err := parseEntry(index)
		if err != nil {
			break // being written, torn, or a newer version's
		}
		entries = append(entries, e)
		index = rest
	}
	for i := range slices.Backward(entries) {
		if !do(frameReader{s, data, name}, &entries[i]) {
			return nil
		}
	}
	return nil
}

// frameReader reads frames of an open segment.
type frameReader struct {
	store *store
	data  *os.File
	name  string
}

// lines are the lines of a frame. One that cannot be read has none, and is logged (S30).
func (r frameReader) lines(e *entry) [][]byte {
	text, err := r.store.readFrame(r.data, e)
	if err != nil {
		r.store.config.Logger.Error("trace: cannot read frame", "name", r.name, "offset", e.offset, "error", err)
		return nil
	}
	return slices.Collect(bytes.Lines(text))
}

func (s *store) readFrame(data *os.File, e *entry) ([]byte, error) {
	frame := make([]byte, e.length)
	if _, err := data.ReadAt(frame, e.offset); err != nil {
		return nil, err
	}
	lines, _, err := s.codec.unpack(frame)
	return lines, err
}

// since splits the names: those that may have events of something that began at a time, and the older ones.
func since(names []string, began time.Time) (newer, older []string) {
	first := began.AddDate(0, 0, -1).UTC().Format(dayLayout) // a session is older than its first event, and clocks step
	at := slices.IndexFunc(names, func(name string) bool { return name[:len(dayLayout)] >= first })
	if at < 0 {
		return nil, names
	}
	return names[at:], names[:at]
}
