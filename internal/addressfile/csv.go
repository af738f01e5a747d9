package addressfile

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// header is what the column of addresses is called.
const header = "address"

// csvReader reads CSV.
type csvReader struct {
	in     *input
	line   int // that was read last
	titled bool
	column int // of the addresses, in a file with a header
	row    [MaxRowOctets]byte
}

func (c *csvReader) place() Place {
	return Place{Offset: c.in.offset, Row: c.line, Titled: c.titled, Column: c.column}
}

func (c *csvReader) next() (Row, error) {
	for {
		text, long, err := c.readLine()
		switch {
		case err != nil:
			return Row{}, err
		case long:
			return Row{Number: c.line, Problem: whyLong}, nil
		case len(text) == 0:
			continue
		}
		cells, why := split(text)
		if c.line == 1 && c.isHeader(cells) {
			continue
		}
		address, why := c.pick(cells, why)
		return Row{Number: c.line, Address: address, Problem: why}, nil
	}
}

// isHeader reports whether the first row names the columns, and remembers which is that of addresses.
func (c *csvReader) isHeader(cells []string) bool {
	for i, cell := range cells {
		if strings.EqualFold(strings.TrimSpace(cell), header) {
			c.titled, c.column = true, i
			return true
		}
	}
	return false
}

// pick is the cell with the address.
func (c *csvReader) pick(cells []string, why string) (address, problem string) {
	switch {
	case why != "":
		return "", why
	case !c.titled && len(cells) > 1:
		return "", whyColumns
	case c.column >= len(cells):
		return "", whyShort
	case !utf8.ValidString(cells[c.column]):
		return "", whyText
	default:
		return strings.TrimSpace(cells[c.column]), ""
	}
}

// readLine reads a line without its end. What is too long is read to its end and not kept.
func (c *csvReader) readLine() (text []byte, long bool, err error) {
	if c.line == 0 {
		if err := c.in.skipMark(); err != nil {
			return nil, false, err
		}
	}
	c.line++
	n := 0
	for {
		piece, err := c.in.r.ReadSlice('\n')
		c.in.offset += int64(len(piece))
		long = long || n+len(bytes.TrimRight(piece, "\r\n")) > len(c.row)
		n += copy(c.row[n:], piece)
		switch {
		case errors.Is(err, io.EOF) && n > 0 || err == nil:
			return bytes.TrimRight(c.row[:n], "\r\n"), long, nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		default:
			return nil, false, err
		}
	}
}

// split cuts a row into its cells; why says what is wrong with it.
func split(row []byte) (cells []string, why string) {
	for rest := string(row); ; {
		cell, after, ok := cutCell(rest)
		if !ok {
			return nil, whyQuotes
		}
		cells = append(cells, cell)
		if after == "" {
			return cells, ""
		}
		rest = after[1:] // behind the comma
	}
}

// cutCell takes a cell from the beginning of a row; after begins with the comma behind it, or is empty.
func cutCell(row string) (cell, after string, ok bool) {
	if !strings.HasPrefix(row, `"`) {
		end := strings.IndexByte(row, ',')
		if end < 0 {
			end = len(row)
		}
		return row[:end], row[end:], true
	}
	var b strings.Builder
	for rest := row[1:]; ; {
		text, after, closed := strings.Cut(rest, `"`)
		b.WriteString(text)
		switch {
		case !closed:
			return "", "", false
		case strings.HasPrefix(after, `"`): // a quote in quotes is doubled
			b.WriteByte('"')
			rest = after[1:]
		case after == "" || after[0] == ',':
			return b.String(), after, true
		default:
			return "", "", false
		}
	}
}
