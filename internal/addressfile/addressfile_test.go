package addressfile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"sluice/internal/addressfile"
)

// read is all rows of a file, each as "number address" or "number !problem", and what the last of them was followed by.
func read(format addressfile.Format, file io.Reader) (rows []string, err error) {
	r := addressfile.NewReader(format, file, addressfile.Place{})
	for {
		row, err := r.Next()
		if err != nil {
			if _, again := r.Next(); again != err {
				return nil, fmt.Errorf("the error %w was followed by %v", err, again)
			}
			return rows, err
		}
		if row.Problem != "" {
			row.Address = "!" + row.Problem
		}
		rows = append(rows, fmt.Sprint(row.Number, " ", row.Address))
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", addressfile.MaxRowOctets)
	const (
		quotes  = "!The row has a quote in the wrong place"
		tooLong = "!The row is too long"
		columns = "!The row has more cells than the one address"
		short   = "!The row has no cell in the column of addresses"
		element = "!The element is neither a text nor an object with an address"
		notUTF8 = "!The row is not UTF-8"
	)
	tests := []struct {
		name   string
		format addressfile.Format
		file   string
		want   []string
	}{
		{"a header", addressfile.CSV, "address\na@b.c\nd@e.f\n", []string{"2 a@b.c", "3 d@e.f"}},
		{"no header", addressfile.CSV, "a@b.c\nd@e.f", []string{"1 a@b.c", "2 d@e.f"}},
		{"a header in capitals, a mark, CRLF", addressfile.CSV, "\xef\xbb\xbfAddress\r\na@b.c\r\n", []string{"2 a@b.c"}},
		{"a mark and no header", addressfile.CSV, "\xef\xbb\xbfa@b.c", []string{"1 a@b.c"}},
		{"a header alone", addressfile.CSV, "address", nil},
		{"nothing", addressfile.CSV, "", nil},
		{"empty lines", addressfile.CSV, "\n\r\naddress\n\na@b.c\n\n", []string{"3 address", "5 a@b.c"}},
		{"quotes", addressfile.CSV, "\"address\"\n\"a@b.c\"\n\"\"\"a,b\"\"@b.c\"\n", []string{"2 a@b.c", `3 "a,b"@b.c`}},
		{"columns", addressfile.CSV, "name,address\nAnn,a@b.c\n\"B, Bob\",d@e.f\nnobody\n", []string{"2 a@b.c", "3 d@e.f", "4 " + short}},
		{"columns without a header", addressfile.CSV, "Ann,a@b.c\na@b.c,\nd@e.f\n", []string{"1 " + columns, "2 " + columns, "3 d@e.f"}},
		{"spaces around", addressfile.CSV, " a@b.c\t\n", []string{"1 a@b.c"}},
		{"a quote left open", addressfile.CSV, "\"a@b.c\nd@e.f\n\"\n", []string{"1 " + quotes, "2 d@e.f", "3 " + quotes}},
		{"text behind a quote", addressfile.CSV, "\"a\"@b.c\n", []string{"1 " + quotes}},
		{"not UTF-8", addressfile.CSV, "a\xff@b.c\n", []string{"1 " + notUTF8}},
		{"the longest row", addressfile.CSV, long + "\r\na@b.c", []string{"1 " + long, "2 a@b.c"}},
		{"a longer row", addressfile.CSV, long + "a\na@b.c\n" + strings.Repeat(long, 40), []string{"1 " + tooLong, "2 a@b.c", "3 " + tooLong}},
		{"formulas", addressfile.CSV, "=1+1\n@SUM(A1)\n+1\n", []string{"1 =1+1", "2 @SUM(A1)", "3 +1"}},

		{"items", addressfile.JSON, `{"items":[{"address":"a@b.c"},{"address":"d@e.f"}]}`, []string{"1 a@b.c", "2 d@e.f"}},
		{"a bare list", addressfile.JSON, `[{"address":"a@b.c"}, "d@e.f" ]`, []string{"1 a@b.c", "2 d@e.f"}},
		{"a mark", addressfile.JSON, "\xef\xbb\xbf [ ] \n", nil},
		{"no items", addressfile.JSON, `{"items":[]}`, nil},
		{"members around", addressfile.JSON, `{"version":1,"a":{"items":["x"]},"items":["a@b.c"],"z":[[],"]"],"n":-1e3}`, []string{"1 a@b.c"}},
		{"escapes", addressfile.JSON, `["\u0061\\\"@b.c"]`, []string{`1 a\"@b.c`}},
		{"other elements", addressfile.JSON, `[1,null,true,["a@b.c"],{"adress":"a@b.c"},{"address":1},{"address":null},{"address":[{}]},{},"a@b.c"]`,
			[]string{"1 " + element, "2 " + element, "3 " + element, "4 " + element, "5 " + element, "6 " + element, "7 " + element, "8 " + element, "9 " + element, "10 a@b.c"}},
		{"elements that are no JSON", addressfile.JSON, `[{"address":},{address:"a"},{"address" "a"},nul,"a@b.c"]`,
			[]string{"1 " + element, "2 " + element, "3 " + element, "4 " + element, "5 a@b.c"}},
		{"a long element", addressfile.JSON, `[{"address":"` + long + `"},"a@b.c"]`, []string{"1 " + tooLong, "2 a@b.c"}},
		{"not UTF-8 in JSON", addressfile.JSON, "[\"\xff@b.c\"]", []string{"1 " + notUTF8}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for name, file := range map[string]io.Reader{"at once": strings.NewReader(test.file), "octet by octet": iotest.OneByteReader(strings.NewReader(test.file))} {
				got, err := read(test.format, file)
				if err != io.EOF || strings.Join(got, "\n") != strings.Join(test.want, "\n") {
					t.Errorf("%s: got %.300q, %v, want %.300q", name, got, err, test.want)
				}
			}
			rows, err := checkRows(t, test.format, strings.NewReader(test.file))
			compareResumed(t, test.format, []byte(test.file), fmt.Sprint(rows, err))
		})
	}
}

// A file that cannot be read on gives the rows before, and then says where.
func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		rows       int
		offset     int64
	}{
		{"nothing", "", 0, 0},
		{"CSV", "address\na@b.c", 0, 0},
		{"a text", `"a@b.c"`, 0, 0},
		{"no items", `{"other":[]}`, 0, 11},
		{"an empty object", `{}`, 0, 1},
		{"items that are no list", `{"items":{"address":"a@b.c"}}`, 0, 9},
		{"a list that is not closed", `["a@b.c"`, 1, 8},
		{"an object that is not closed", `{"items":["a@b.c"]`, 1, 18},
		{"a text that is not closed", `["a@b.c","d@`, 1, 12},
		{"no comma", `["a@b.c" "d@e.f"]`, 1, 9},
		{"a comma too many", `["a@b.c",]`, 1, 9},
		{"brackets that do not match", `["a@b.c",{]}]`, 1, 10},
		{"something behind", `["a@b.c"] x`, 1, 10},
		{"two lists", `{"items":["a@b.c"],"items":["d@e.f"]}`, 1, 26},
		{"nested too deeply", `["a@b.c",` + strings.Repeat("[", 33), 1, 41},
		{"a name that is none", `{1:2}`, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rows, err := read(addressfile.JSON, strings.NewReader(test.file))
			var wrong *addressfile.SyntaxError
			if !errors.As(err, &wrong) || len(rows) != test.rows || wrong.Offset != test.offset {
				t.Errorf("got %q, %v, want %d rows and an error at octet %d", rows, err, test.rows, test.offset)
			}
		})
	}
}

func TestReadingFails(t *testing.T) {
	t.Parallel()
	for _, format := range []addressfile.Format{addressfile.CSV, addressfile.JSON} {
		_, err := read(format, iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(`["a@b.c"]`))))
		if !errors.Is(err, iotest.ErrTimeout) {
			t.Errorf("%s: got %v, want %v", format, err, iotest.ErrTimeout)
		}
	}
	if _, err := read("XML", strings.NewReader("")); err == nil || err == io.EOF {
		t.Errorf("a format that there is not: got %v", err)
	}
}

// endless is a file of one character without end.
type endless struct {
	char byte
	left int64
}

func (e *endless) Read(p []byte) (int, error) {
	n := int(min(int64(len(p)), e.left))
	for i := range p[:n] {
		p[i] = e.char
	}
	if e.left -= int64(n); n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// S39: a line of 10 GB is one bad row, and takes no memory: as little for 16 MB of it.
func TestS39EndlessRows(t *testing.T) {
	const octets = 16 << 20
	tests := []struct {
		name, before, after string
		char                byte
		format              addressfile.Format
		rows                int
	}{
		{"a line", "a@b.c\n", "\nd@e.f", 'a', addressfile.CSV, 3},
		{"an open quote", "\"", "\na@b.c", '"', addressfile.CSV, 2},
		{"a text", `["`, `","a@b.c"]`, 'a', addressfile.JSON, 2},
		{"a member that is none of ours", `{"x":"`, `","items":["a@b.c"]}`, 'a', addressfile.JSON, 1},
		{"white space", `[`, `"a@b.c"]`, ' ', addressfile.JSON, 1},
		{"a number", `[`, `,"a@b.c"]`, '1', addressfile.JSON, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file := io.MultiReader(strings.NewReader(test.before), &endless{test.char, octets}, strings.NewReader(test.after))
			rows, err := read(test.format, file)
			runtime.ReadMemStats(&after)
			if err != io.EOF || len(rows) != test.rows {
				t.Errorf("got %d rows, %v, want %d", len(rows), err, test.rows)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("%d octets were allocated", used)
			}
		})
	}
}

// FuzzRows: rows are numbered upwards and bounded, what is an address is UTF-8, what is valid JSON is read as encoding/json reads it, and
// how a file is cut into reads makes no difference.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"address\na@b.c\r\n\"d\"\"@e.f\"\n", `{"v":[{}],"items":[{"address":"a"},"b",1]}`, `["a",{"address":"\u0061"}]`, "\xef\xbb\xbf[]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, format := range []addressfile.Format{addressfile.CSV, addressfile.JSON} {
			rows, err := checkRows(t, format, bytes.NewReader(file))
			again, errAgain := checkRows(t, format, iotest.HalfReader(bytes.NewReader(file)))
			if fmt.Sprint(rows, err) != fmt.Sprint(again, errAgain) {
				t.Errorf("%s: got %v, %v and in other pieces %v, %v", format, rows, err, again, errAgain)
			}
			if format == addressfile.JSON {
				compareJSON(t, file, rows, err)
			}
			compareResumed(t, format, file, fmt.Sprint(rows, err))
		}
	})
}

func checkRows(t *testing.T, format addressfile.Format, file io.Reader) (rows []addressfile.Row, err error) {
	r := addressfile.NewReader(format, file, addressfile.Place{})
	for last := 0; ; {
		row, err := r.Next()
		if err != nil {
			return rows, err
		}
		if row.Number <= last || len(row.Address) > addressfile.MaxRowOctets || !utf8.ValidString(row.Address) || row.Problem != "" && row.Address != "" {
			t.Errorf("%s: got row %+v after row %d", format, row, last)
		}
		last = row.Number
		rows = append(rows, row)
	}
}

// compareResumed holds that a file that is closed and opened again after every row is read as one that is not.
func compareResumed(t *testing.T, format addressfile.Format, file []byte, want string) {
	var rows []addressfile.Row
	for at := (addressfile.Place{}); ; {
		r := addressfile.NewReader(format, bytes.NewReader(file[at.Offset:]), at)
		row, err := r.Next()
		if err != nil {
			if got := fmt.Sprint(rows, err); got != want {
				t.Errorf("%s: got %s and row by row %s", format, want, got)
			}
			return
		}
		rows, at = append(rows, row), r.Place()
	}
}

// compareJSON holds that a list of short texts and objects is read as encoding/json reads it.
func compareJSON(t *testing.T, file []byte, rows []addressfile.Row, err error) {
	var elements []json.RawMessage
	if json.Unmarshal(file, &elements) != nil || elements == nil || !utf8.Valid(file) || bytes.Count(file, []byte("[")) > addressfile.MaxDepth || bytes.Count(file, []byte("{")) > addressfile.MaxDepth {
		return
	}
	if err != io.EOF || len(rows) != len(elements) {
		t.Fatalf("got %d rows, %v, want %d", len(rows), err, len(elements))
	}
	for i, element := range elements {
		var text string
		if json.Unmarshal(element, &text) == nil && element[0] == '"' && len(element) <= addressfile.MaxRowOctets && rows[i].Address != text {
			t.Errorf("got row %+v, want %q", rows[i], text)
		}
	}
}
