package trace

import (
	"errors"
	"fmt"
	"io"
)

// segment is a data file and its index, being written.
type segment struct {
	name        string
	data, index file
	size        int64 // of the data that has entries
	indexSize   int64
}

// openSegment opens a segment to be written on, and brings its files into line: frames without an entry get one, and
// what is torn at the end of either is cut off.
func (s *store) openSegment(name string) (*segment, error) {
	data, err := s.config.open(s.path(name, dataSuffix))
	if err != nil {
		return nil, fmt.Errorf("open trace %s: %w", name, err)
	}
	index, err := s.config.open(s.path(name, indexSuffix))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open index of trace %s: %w", name, err), data.Close())
	}
	seg := &segment{name: name, data: data, index: index}
	if err := seg.recover(s.codec); err != nil {
		seg.close()
		return nil, fmt.Errorf("open trace %s: %w", name, err)
	}
	return seg, nil
}

func (seg *segment) recover(c *codec) error {
	if err := seg.readIndex(); err != nil {
		return err
	}
	if err := seg.index.Truncate(seg.indexSize); err != nil {
		return err
	}
	if err := seg.readTail(c); err != nil {
		return err
	}
	return seg.data.Truncate(seg.size)
}

// readIndex finds the end of the entries.
func (seg *segment) readIndex() error {
	index, err := readAll(seg.index)
	if err != nil {
		return err
	}
	for rest := index; len(rest) > 0; {
		e, after, err := parseEntry(rest)
		if errors.Is(err, errNewer) {
			return err
		}
		if err != nil || e.offset != seg.size || !seg.holds(&e) { // torn; the frames behind are looked at themselves
			return nil
		}
		rest = after
		seg.size = e.offset + int64(e.length)
		seg.indexSize = int64(len(index) - len(rest))
	}
	return nil
}

// holds reports whether the data reaches to the end of the entry's frame: a power cut may spare the index alone.
func (seg *segment) holds(e *entry) bool {
	var last [1]byte
	_, err := seg.data.ReadAt(last[:], e.offset+int64(e.length)-1)
	return err == nil
}

// readTail gives an entry to every frame behind those that have one.
func (seg *segment) readTail(c *codec) error {
	for {
		frame, err := seg.nextFrame()
		if errors.Is(err, errNewer) {
			return err
		}
		if err != nil {
			return nil // the end, or torn
		}
		lines, _, err := c.unpack(frame)
		if err != nil {
			return nil
		}
		var m marker
		eachLine(lines, func(line []byte) bool {
			m.takeLine(line)
			return true
		})
		if err := seg.enter(len(frame), &m); err != nil {
			return err
		}
	}
}

// nextFrame reads the frame at the end of what has entries.
func (seg *segment) nextFrame() ([]byte, error) {
	var header [headerOctets]byte
	if _, err := seg.data.ReadAt(header[:], seg.size); err != nil {
		return nil, err
	}
	packed, _, err := parseHeader(header[:])
	if err != nil {
		return nil, err
	}
	frame := make([]byte, headerOctets+packed)
	_, err = seg.data.ReadAt(frame, seg.size)
	return frame, err
}

// append writes a frame, then its entry.
func (seg *segment) append(frame []byte, m *marker) error {
	if _, err := seg.data.WriteAt(frame, seg.size); err != nil {
		return err
	}
	return seg.enter(len(frame), m)
}

// enter writes the entry of the frame at the end.
func (seg *segment) enter(length int, m *marker) error {
	e := entry{offset: seg.size, length: length, marks: m.marks, since: m.since, until: m.until}
	encoded := e.append(nil)
	if _, err := seg.index.WriteAt(encoded, seg.indexSize); err != nil {
		return err
	}
	seg.size += int64(length)
	seg.indexSize += int64(len(encoded))
	return nil
}

// close lets go of the files. What could not be written is found missing when they are opened again.
func (seg *segment) close() {
	_ = seg.data.Close()
	_ = seg.index.Close()
}

func readAll(f file) ([]byte, error) {
	return io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
}
