// Package addressfile reads the files that fill address lists: CSV with one address a line, or JSON with a list of them. It
// reads them as they come, a row at a time, in memory that does not depend on the file; a row that is no address by its form
// is told apart from a file that cannot be read on. Whether a text is an address that a list takes is addresslist's to say.
// Start with NewReader.
//
// CSV is one row a line, in UTF-8, with or without a byte order mark, with LF or CRLF. A first row with a cell `address` is a
// header and says which column counts; without it the first and only column does. Cells may be in double quotes; a line break
// ends a row also within quotes, as no address has one: a quote that is left open spoils its own row, not the file (RFC 4180
// differs). Empty lines are no rows. JSON is a list, or an object whose member `items` is one; an element is an object whose
// member `address` is a text, or that text. Source: Mail Manager, section 8; Mail Manager, F13.
package addressfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Format is how a file is written.
type Format string

// The formats. Mail Manager, CreateAddressListImportJob.
const (
	CSV  Format = "CSV"
	JSON Format = "JSON"
)

// MaxRowOctets is the longest row that is read: the longest address there may be, 320 characters, is a third of it. A longer row
// is a bad one, and is passed over without being kept (S39).
const MaxRowOctets int = 4096

// MaxDepth is how deep values in JSON may be nested, as in requests (S35).
const MaxDepth int = 32

// Row is a row of a file. Either Address is set or Problem is.
type Row struct {
	Number  int    // the first is 1: the line in CSV, the element in JSON
	Address string // as it stands in the file, not checked
	Problem string // why the row has no address; it holds nothing of the row
}

// What is wrong with rows.
const (
	whyLong    = "The row is too long"
	whyQuotes  = "The row has a quote in the wrong place"
	whyColumns = "The row has more cells than the one address"
	whyShort   = "The row has no cell in the column of addresses"
	whyElement = "The element is neither a text nor an object with an address"
	whyText    = "The row is not UTF-8"
)

// SyntaxError says that a file cannot be read on.
type SyntaxError struct {
	Offset int64 // octets before what is wrong
	Why    string
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("at octet %d: %s", e.Offset, e.Why) }

// Place is a place in a file, between two rows, and what must be known there to read on. It may be kept as JSON.
type Place struct {
	Offset int64 // octets before the place; 0: the beginning of the file
	Row    int   // number of the row that was read last, or of the line in CSV
	Titled bool  `json:",omitempty"` // CSV: there is a header
	Column int   `json:",omitempty"` // CSV: of the addresses, in a file with a header
	Object bool  `json:",omitempty"` // JSON: the list is a member of an object
}

// Reader reads the rows of a file, each once, in their order.
type Reader struct {
	rows rows
	err  error
}

// rows are those of a file in one format.
type rows interface {
	next() (Row, error)
	place() Place
}

// unknown is a format that there is not.
type unknown Format

func (u unknown) next() (Row, error) { return Row{}, fmt.Errorf("there is no format %q", string(u)) }
func (unknown) place() Place         { return Place{} }

// NewReader returns a reader that reads on from a place in a file; file begins at that place. For a format that there is not, the
// first row is an error.
func NewReader(format Format, file io.Reader, from Place) *Reader {
	in := &input{r: bufio.NewReaderSize(file, 64<<10), offset: from.Offset}
	switch format {
	case CSV:
		return &Reader{rows: &csvReader{in: in, line: from.Row, titled: from.Titled, column: from.Column}}
	case JSON:
		return &Reader{rows: &jsonReader{in: in, number: from.Row, object: from.Object}}
	default:
		return &Reader{rows: unknown(format)}
	}
}

// Place is where the row begins that Next returns next. It is no place to read on from when Next has returned an error.
func (r *Reader) Place() Place { return r.rows.place() }

// Next returns the next row, io.EOF after the last, a *SyntaxError, or what reading the file failed with; an error is returned
// again by every further call.
func (r *Reader) Next() (Row, error) {
	if r.err != nil {
		return Row{}, r.err
	}
	var row Row
	if row, r.err = r.rows.next(); r.err != nil {
		return Row{}, r.err
	}
	return row, nil
}

// input is a file with the place in it.
type input struct {
	r      *bufio.Reader
	offset int64
}

// byteOrderMark may stand before the text of a file.
const byteOrderMark = "\xef\xbb\xbf"

// skipMark passes over a byte order mark; it is called at the beginning.
func (in *input) skipMark() error {
	mark, err := in.r.Peek(len(byteOrderMark))
	if string(mark) != byteOrderMark {
		if errors.Is(err, io.EOF) {
			return nil // a file of an octet or two: the next read tells
		}
		return err
	}
	in.offset += int64(len(mark))
	_, err = in.r.Discard(len(mark))
	return err
}

func (in *input) read() (byte, error) {
	c, err := in.r.ReadByte()
	if err == nil {
		in.offset++
	}
	return c, err
}

// unread takes the last octet that was read back.
func (in *input) unread() {
	if in.r.UnreadByte() == nil {
		in.offset--
	}
}
