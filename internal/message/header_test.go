package message

import (
	"bytes"
	"strings"
	"testing"
)

func TestFields(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   string
		want string // name=raw value, separated by |
	}{
		{"two fields", "From: a\r\nTo: b\r\n\r\n", "From= a|To= b"},
		{"no final empty line", "From: a\r\nTo: b", "From= a|To= b"},
		{"folded", "Subject: a\r\n b\r\n\tc\r\nTo: d\r\n", "Subject= a\r\n b\r\n\tc|To= d"},
		{"folded at the end", "Subject: a\r\n b", "Subject= a\r\n b"},
		{"line of blanks goes on", "Subject: a\r\n \r\n b\r\nTo: c\r\n", "Subject= a\r\n \r\n b|To= c"},
		{"empty value", "X-A:\r\nX-B: \r\n", "X-A=|X-B= "},
		{"colons in the value", "X-A: b: c\r\n", "X-A= b: c"},
		{"blanks before the colon", "Subject \t: a\r\n", "Subject= a"},
		{"LF alone ends a line", "A: b\nC: d\n\nE: f\n", "A= b|C= d"},
		{"body is not read", "A: b\r\n\r\nC: d\r\n", "A= b"},
		{"malformed line with its continuation", "A: b\r\nnonsense\r\n more: c\r\nD: e\r\n", "A= b|D= e"},
		{"mbox line", "From jo@example.org Mon Jan  2 15:04:05 2006\r\nA: b\r\n", "A= b"},
		{"continuation first", " a: b\r\nC: d\r\n", "C= d"},
		{"no name", ": a\r\nB: c\r\n", "B= c"},
		{"name with a space", "A B: c\r\n", ""},
		{"name outside ASCII", "Ä: c\r\n", ""},
		{"name with NUL", "A\x00: c\r\n", ""},
		{"empty line first", "\r\nA: b\r\n", ""},
		{"nothing", "", ""},
		{"only line ends", "\n\n\r\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for f := range Header(tt.in).Fields() {
				got = append(got, string(f.Name)+"="+string(f.Raw))
			}
			if g := strings.Join(got, "|"); g != tt.want {
				t.Errorf("got %q, want %q", g, tt.want)
			}
		})
	}
}

func TestFieldsStopsWhenAsked(t *testing.T) {
	t.Parallel()
	n := 0
	for range Header("A: b\r\nC: d\r\n").Fields() {
		n++
		break
	}
	if n != 1 {
		t.Errorf("got %d fields after a break, want 1", n)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	h := Header("Received: a\r\nRECEIVED: b\r\nReceived-SPF: c\r\nreceived:\r\n\r\nReceived: body\r\n")
	if got := h.Count("Received"); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
}

func TestCutHeader(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("X-A: "+strings.Repeat("a", 1017)+"\r\n", MaxHeaderOctets/1024)
	tests := []struct {
		name string
		in   string
		want int
		ok   bool
	}{
		{"with its empty line", "A: b\r\n\r\nbody", 8, true},
		{"no body", "A: b\r\n", 6, true},
		{"no fields", "\r\nbody\r\n\r\n", 2, true},
		{"LF", "A: b\n\nbody", 6, true},
		{"nothing", "", 0, true},
		{"exactly the limit, no empty line", long, MaxHeaderOctets, true},
		{"the limit with the empty line", long[2:] + "\r\n", MaxHeaderOctets, true},
		{"empty line beyond the limit", long + "\r\nbody", MaxHeaderOctets, false},
		{"empty line across the limit", long[1:] + "\r\nbody", MaxHeaderOctets, false},
		{"one line without end", strings.Repeat("a", MaxHeaderOctets+1), MaxHeaderOctets, false}, // S6
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := CutHeader([]byte(tt.in))
			if len(got) != tt.want || ok != tt.ok {
				t.Errorf("got %d octets, %v, want %d, %v", len(got), ok, tt.want, tt.ok)
			}
		})
	}
}

// FuzzHeader: fields lie in the section in their order, hold no line end of their own, and are the whole of their bytes, so
// that writing them back is identity.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"", "A: b\r\n\r\n", "A: b\r\n c\r\nD\r\n e: f\r\nG:h", "\n", " x", "A:\n\n", "A: \r\r\n b\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		h, ok := CutHeader(content)
		if !bytes.HasPrefix(content, h) || len(h) > MaxHeaderOctets || (!ok && len(h) != MaxHeaderOctets) {
			t.Fatalf("cut %d of %d octets, %v", len(h), len(content), ok)
		}
		at := 0
		var written []byte
		for field := range h.Fields() {
			if field.From < at || field.To <= field.From || field.To > len(h) {
				t.Fatalf("field at %d..%d after %d, of %d octets", field.From, field.To, at, len(h))
			}
			whole := h[field.From:field.To]
			if !bytes.HasPrefix(whole, field.Name) || !bytes.Contains(whole, field.Raw) || !field.Is(string(field.Name)) {
				t.Fatalf("field %q: %q is not in %q", field.Name, field.Raw, whole)
			}
			written = append(append(written, h[at:field.From]...), whole...)
			at = field.To
		}
		if written = append(written, h[at:]...); !bytes.Equal(written, h) {
			t.Fatalf("got %q written back, want %q", written, h)
		}
	})
}
