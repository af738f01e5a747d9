package addressfile

import (
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// jsonReader reads JSON. It finds where each element begins and ends by its brackets and quotes, and keeps no more of the file
// than the one element; what is in an element is encoding/json's to say.
type jsonReader struct {
	in     *input
	number int  // of the element that was read last
	object bool // the list is a member of an object
	row    []byte
	long   bool   // row is not all there was
	open   []byte // the brackets around what is read
}

// items is the member of an object that is the list.
const items = "items"

func (j *jsonReader) place() Place {
	return Place{Offset: j.in.offset, Row: j.number, Object: j.object}
}

func (j *jsonReader) next() (Row, error) {
	if j.number == 0 {
		if err := j.findList(); err != nil {
			return Row{}, j.explain(err)
		}
	}
	more, err := j.another()
	if err != nil {
		return Row{}, j.explain(err)
	}
	if !more {
		return Row{}, j.explain(j.readEnd())
	}
	j.number++
	if err := j.readValue(); err != nil {
		return Row{}, j.explain(err)
	}
	return j.decode(), nil
}

// another reads what stands before the next element, and reports whether there is one.
func (j *jsonReader) another() (bool, error) {
	c, err := j.token()
	switch {
	case err != nil:
		return false, err
	case c == ']':
		return false, nil
	case j.number == 0:
		j.in.unread()
		return true, nil
	case c == ',':
		return true, nil
	default:
		return false, j.wrong("an element must be followed by a comma or by the end of the list")
	}
}

// decode is the element as a row.
func (j *jsonReader) decode() Row {
	row := Row{Number: j.number}
	var element struct {
		Address *string `json:"address"`
	}
	var text string
	switch {
	case j.long:
		row.Problem = whyLong
	case !utf8.Valid(j.row):
		row.Problem = whyText
	case json.Unmarshal(j.row, &text) == nil && j.row[0] == '"':
		row.Address = text
	case json.Unmarshal(j.row, &element) == nil && element.Address != nil:
		row.Address = *element.Address
	default:
		row.Problem = whyElement
	}
	return row
}

// findList reads to the beginning of the list.
func (j *jsonReader) findList() error {
	if err := j.in.skipMark(); err != nil {
		return err
	}
	c, err := j.token()
	switch {
	case err != nil:
		return err
	case c == '[':
		return nil
	case c != '{':
		return j.wrong("the file must be a list, or an object with the member items")
	}
	j.object = true
	for {
		name, err := j.readName()
		if err != nil {
			return err
		}
		if name == items {
			return j.expect('[')
		}
		if err := j.readValue(); err != nil {
			return err
		}
		if err := j.expect(','); err != nil {
			return err
		}
	}
}

// readName reads the name of a member and its colon.
func (j *jsonReader) readName() (name string, err error) {
	if err := j.readValue(); err != nil {
		return "", err
	}
	if j.long || json.Unmarshal(j.row, &name) != nil || j.row[0] != '"' {
		return "", j.wrong("a member must have a name")
	}
	return name, j.expect(':')
}

// readEnd reads what follows the list: the other members of the object, and nothing after them.
func (j *jsonReader) readEnd() error {
	for j.object {
		c, err := j.token()
		switch {
		case err != nil:
			return err
		case c == '}':
			j.object = false
			continue
		case c != ',':
			return j.wrong("a member must be followed by a comma or by the end of the object")
		}
		name, err := j.readName()
		if err != nil {
			return err
		}
		if name == items {
			return j.wrong("there must be one member items")
		}
		if err := j.readValue(); err != nil {
			return err
		}
	}
	_, err := j.token()
	switch {
	case err == nil:
		return j.wrong("there must be nothing behind the value")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	default:
		return err
	}
}

// readValue reads a value into row, as far as there is room.
func (j *jsonReader) readValue() error {
	j.row, j.long, j.open = j.row[:0], false, j.open[:0]
	c, err := j.token()
	if err != nil {
		return err
	}
	if c == ',' || c == ':' || c == ']' || c == '}' {
		return j.wrong("there must be a value")
	}
	for {
		j.keep(c)
		if err := j.step(c); err != nil {
			return err
		}
		if done, err := j.ended(c); done || err != nil {
			return err
		}
		if c, err = j.in.read(); err != nil {
			return unexpected(err)
		}
	}
}

// step follows the brackets, and reads a text to its end.
func (j *jsonReader) step(c byte) error {
	switch c {
	case '"':
		return j.readText()
	case '[', '{':
		if len(j.open) == MaxDepth {
			return j.wrong("values are nested too deeply")
		}
		j.open = append(j.open, c)
	case ']', '}':
		if len(j.open) == 0 || j.open[len(j.open)-1] != c-2 { // '[' and ']' are two apart, and so are '{' and '}'
			return j.wrong("brackets do not match")
		}
		j.open = j.open[:len(j.open)-1]
	}
	return nil
}

// readText reads a text behind its first quote.
func (j *jsonReader) readText() error {
	for escaped := false; ; {
		c, err := j.in.read()
		if err != nil {
			return unexpected(err)
		}
		j.keep(c)
		if c == '"' && !escaped {
			return nil
		}
		escaped = c == '\\' && !escaped
	}
}

// ended reports whether a value ends with c, which was read last. A number or word ends before what cannot be of it.
func (j *jsonReader) ended(c byte) (bool, error) {
	switch {
	case len(j.open) > 0:
		return false, nil
	case c == '"' || c == ']' || c == '}':
		return true, nil
	}
	after, err := j.in.r.Peek(1)
	switch {
	case errors.Is(err, io.EOF):
		return true, nil
	case err != nil:
		return false, err
	}
	switch after[0] {
	case ',', ':', ']', '}', '[', '{', '"', ' ', '\t', '\r', '\n':
		return true, nil
	}
	return false, nil
}

// keep appends an octet to the row, which has room for the longest one.
func (j *jsonReader) keep(c byte) {
	if len(j.row) == MaxRowOctets {
		j.long = true
		return
	}
	j.row = append(j.row, c)
}

// expect reads white space and an octet, and refuses any other.
func (j *jsonReader) expect(want byte) error {
	c, err := j.token()
	if err == nil && c != want {
		return j.wrong("there must be a " + string(want))
	}
	return err
}

// token reads white space and the octet behind it. At the end of the file the error is io.ErrUnexpectedEOF.
func (j *jsonReader) token() (byte, error) {
	for {
		c, err := j.in.read()
		if err != nil {
			return 0, unexpected(err)
		}
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, nil
		}
	}
}

// wrong is the error for what was read last.
func (j *jsonReader) wrong(why string) error {
	return &SyntaxError{Offset: max(j.in.offset-1, 0), Why: why}
}

// explain says of a file that is too short where it ends.
func (j *jsonReader) explain(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &SyntaxError{Offset: j.in.offset, Why: "the file ends too early"}
	}
	return err
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
