package message

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func mustField(t testing.TB, name, value string) AddedField {
	t.Helper()
	f, err := NewField(name, value)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestNewField(t *testing.T) {
	t.Parallel()
	words := strings.Repeat("word ", 20)
	tests := []struct {
		name        string
		field, text string
		want        string
		err         error
	}{
		{"plain", "X-A", "b", "X-A: b\r\n", nil},
		{"tab", "X-A", "b\tc", "X-A: b\tc\r\n", nil},
		{"empty", "X-A", "", "X-A: \r\n", nil},
		{"folded", "X-A", words, "X-A: " + strings.Repeat("word ", 13) + "word\r\n" + strings.Repeat(" word", 6) + " \r\n", nil},
		{"nowhere to fold", "X-A", strings.Repeat("a", 100), "X-A: " + strings.Repeat("a", 100) + "\r\n", nil},
		{"one place to fold, late", "X-A", strings.Repeat("a", 80) + " b", "X-A: " + strings.Repeat("a", 80) + "\r\n b\r\n", nil},
		{"blanks only are not folded", "X-A", strings.Repeat(" ", 100), "X-A: " + strings.Repeat(" ", 100) + "\r\n", nil},
		{"outside ASCII", "X-A", "Grüße", "X-A: =?utf-8?b?R3LDvMOfZQ==?=\r\n", nil},
		{"control", "X-A", "a\x07", "X-A: =?utf-8?b?YQc=?=\r\n", nil},
		{"CR", "X-A", "a\rb", "", ErrFieldValue},
		{"LF", "X-A", "a\nBcc: b", "", ErrFieldValue},
		{"CRLF", "X-A", "a\r\nBcc: b", "", ErrFieldValue},
		{"NUL", "X-A", "a\x00", "", ErrFieldValue},
		{"no name", "", "a", "", ErrFieldName},
		{"colon in the name", "X-A: b\r\nX", "a", "", ErrFieldName},
		{"only a colon", "X:A", "a", "", ErrFieldName},
		{"space in the name", "X A", "a", "", ErrFieldName},
		{"long name", "X-" + strings.Repeat("a", 63), "a", "", ErrFieldName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := NewField(tt.field, tt.text)
			if string(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v, want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// A field that is added is read back as one field with its name and value.
func TestNewFieldRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[xX]-[a-zA-Z0-9-]{1,62}`).Draw(t, "name")
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,128}`), rapid.StringMatching(`[a ]{0,128}`)).Draw(t, "value")
		field, err := NewField(name, value)
		if err != nil {
			if !strings.ContainsAny(value, "\r\n\x00") {
				t.Fatalf("got %v for %q", err, value)
			}
			return
		}
		if again, err := ParseField([]byte(field)); err != nil || again != field || len(field) > maxFieldOctets {
			t.Fatalf("got %q, %v read again, want %q", again, err, field)
		}
		if strings.Contains(value, "=?") {
			return // the author's own encoded words are read as such
		}
		if got := string(AppendText(nil, []byte(field.Value()))); field.Name() != name || got != strings.Trim(value, " \t") {
			t.Fatalf("got %q: %q, want %q: %q", field.Name(), got, name, value)
		}
	})
}

func TestParseFieldRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		"", "X-A: b", "X-A: b\n", "X-A: b\r\n\r\n", "X-A: b\r\nX-B: c\r\n", "nonsense\r\n", "X-A: b\rc\r\n", "X-A: b\nc\r\n",
		"X-A: b\r\n c", "X-A: b\x00\r\n", " X-A: b\r\n", "junk\r\nX-A: b\r\n", "X-A: b\r\njunk\r\n", "X-A: b\n c\r\n",
	} {
		if _, err := ParseField([]byte(in)); !errors.Is(err, ErrMalformedNode) {
			t.Errorf("%q: got %v, want ErrMalformedNode", in, err)
		}
	}
}

func TestNodeIsAChain(t *testing.T) {
	t.Parallel()
	var root *Node
	a, b := mustField(t, "X-A", "1"), mustField(t, "X-B", "2")
	first := root.Add(a)
	left, right := first.Add(b), first.Remove(Range{2, 4})
	if root.Parent() != nil || root.Field() != "" || first.Parent() != nil || left.Parent() != first || right.Parent() != first {
		t.Error("parents are wrong")
	}
	if got, want := left.Fields(), []AddedField{b, a}; !slices.Equal(got, want) || left.Field() != b || right.Field() != "" {
		t.Errorf("got fields %q, want the newest first: %q", got, want)
	}
	if got := right.Fields(); !slices.Equal(got, []AddedField{a}) || len(first.Fields()) != 1 || first.Removed() != nil {
		t.Errorf("got fields %q: a state changed another", got)
	}
	if got, want := left.Head("Received: x\r\n"), "Received: x\r\nX-B: 2\r\nX-A: 1\r\n"; got != want {
		t.Errorf("got head %q, want %q", got, want)
	}
	if got := root.Head("Received: x\r\n"); got != "Received: x\r\n" {
		t.Errorf("got head %q of the root", got)
	}
}

func TestRemoved(t *testing.T) {
	t.Parallel()
	var n *Node
	for _, r := range []Range{{10, 12}, {5, 5}, {2, 6}, {6, 8}, {3, 4}, {11, 20}} {
		n = n.Remove(r)
	}
	if got, want := n.Removed(), []Range{{2, 8}, {10, 20}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func drawNode(t *rapid.T) *Node {
	var n *Node
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		if rapid.Bool().Draw(t, "add") {
			value := rapid.StringMatching(`[a-zä ]{1,100}`).Draw(t, "value")
			f, err := NewField("X-A", value)
			if err != nil {
				t.Fatal(err)
			}
			n = n.Add(f)
			continue
		}
		from := rapid.Int64Range(0, 60).Draw(t, "from")
		n = n.Remove(Range{from, from + rapid.Int64Range(0, 20).Draw(t, "length")})
	}
	return n
}

// A message leaves as the trace, the fields and the octets that were not taken away, however its content is kept.
func TestNodeWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t)
		trace := rapid.SampledFrom([]string{"", "Received: x\r\n"}).Draw(t, "trace")
		content := rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "content")
		want := []byte(trace)
		for _, f := range n.Fields() {
			want = append(want, f...)
		}
		for i, c := range content {
			if !slices.ContainsFunc(n.Removed(), func(r Range) bool { return r.From <= int64(i) && int64(i) < r.To }) {
				want = append(want, c)
			}
		}
		var parts [][]byte
		for rest := content; len(rest) > 0; {
			size := rapid.IntRange(1, len(rest)).Draw(t, "part")
			parts, rest = append(parts, rest[:size]), rest[size:]
		}
		if got := bytes.Join(n.Chunks(trace, parts), nil); !bytes.Equal(got, want) {
			t.Fatalf("got chunks %q, want %q", got, want)
		}
		if got := n.Size(trace, int64(len(content))); got != int64(len(want)) {
			t.Fatalf("got size %d, want %d", got, len(want))
		}
		var r io.Reader = bytes.NewReader(content)
		if rapid.Bool().Draw(t, "slow") {
			r = iotest.DataErrReader(iotest.OneByteReader(r))
		}
		got, err := io.ReadAll(n.Reader(trace, r))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, %v read, want %q", got, err, want)
		}
	})
}

func TestChunksDoNotCopy(t *testing.T) {
	t.Parallel()
	content := []byte("0123456789")
	chunks := (*Node)(nil).Remove(Range{2, 4}).Chunks("", [][]byte{content})
	if len(chunks) != 2 || &chunks[0][0] != &content[0] || &chunks[1][0] != &content[4] {
		t.Errorf("got %q", chunks)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	for _, n := range []*Node{nil, (*Node)(nil).Remove(Range{0, 2}), (*Node)(nil).Remove(Range{5, 9})} {
		r := io.MultiReader(strings.NewReader("0"), iotest.ErrReader(broken))
		if _, err := io.ReadAll(n.Reader("A: b\r\n", r)); !errors.Is(err, broken) {
			t.Errorf("got %v, want the content's error", err)
		}
	}
}

// What is written is read back the same, and once more.
func TestNodeRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := drawNode(t)
		b, err := n.AppendBinary([]byte("before"))
		if err != nil || !bytes.HasPrefix(b, []byte("before")) {
			t.Fatalf("got %q, %v", b, err)
		}
		again, err := ParseNode(b[len("before"):])
		if err != nil || (again == nil) != (n == nil) {
			t.Fatalf("got %v, %v", again, err)
		}
		if !slices.Equal(again.Fields(), n.Fields()) || !slices.Equal(again.Removed(), n.Removed()) {
			t.Fatalf("got %q %v, want %q %v", again.Fields(), again.Removed(), n.Fields(), n.Removed())
		}
	})
}

func TestParseNodeRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   string
		want error
	}{
		{"newer format", "\x02", ErrNewerFormat},
		{"format only", "\x01", ErrMalformedNode},
		{"field cut short", "\x01\x08X-A: ", ErrMalformedNode},
		{"no field", "\x01\x04ab\r\n", ErrMalformedNode},
		{"two fields", "\x01\x0cA: b\r\nC: d\r\n", ErrMalformedNode},
		{"length without end", "\x01\xff", ErrMalformedNode},
		{"length out of all bounds", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", ErrMalformedNode},
		{"range without end", "\x01\x00\x05", ErrMalformedNode},
		{"range cut short", "\x01\x00", ErrMalformedNode},
		{"range that runs backwards", "\x01\x00\x05\x04", ErrMalformedNode},
		{"range beyond any content", "\x01\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\x7f", ErrMalformedNode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if n, err := ParseNode([]byte(tt.in)); !errors.Is(err, tt.want) || n != nil {
				t.Errorf("got %v, %v, want %v", n, err, tt.want)
			}
		})
	}
}

// FuzzParseNode: bounded, and what is read is written and read the same.
func FuzzParseNode(f *testing.F) {
	seed, _ := (*Node)(nil).Add("X-A: b\r\n").Remove(Range{3, 400}).Add("X-B: c\r\n d\r\n").AppendBinary(nil)
	f.Add(seed)
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0x80, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNode(b)
		if err != nil || n == nil {
			return
		}
		size := 0
		for _, field := range n.Fields() {
			size += len(field)
		}
		written, _ := n.AppendBinary(nil)
		if size > len(b) || len(written) > len(b) {
			t.Fatalf("got %d octets of fields, %d written, of %d", size, len(written), len(b))
		}
		again, err := ParseNode(written)
		if err != nil {
			t.Fatal(err)
		}
		if once, _ := again.AppendBinary(nil); !bytes.Equal(once, written) {
			t.Fatalf("got %q, want %q", once, written)
		}
	})
}
