package smtpclient

import (
	"bufio"
	"bytes"
	"io"
	"net/textproto"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// dotted writes the pieces and returns what goes over the wire.
func dotted(pieces ...string) string {
	var wire bytes.Buffer
	w := bufio.NewWriterSize(&wire, 16)
	d := newDotWriter(w)
	for _, piece := range pieces {
		if n, err := io.WriteString(d, piece); n != len(piece) || err != nil {
			panic(err)
		}
	}
	d.end()
	w.Flush()
	return wire.String()
}

func TestDotWriter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   []string
		want string
	}{
		{"empty", nil, ".\r\n"},
		{"line", []string{"a\r\n"}, "a\r\n.\r\n"},
		{"unfinished line", []string{"a"}, "a\r\n.\r\n"},
		{"dot first", []string{".a\r\n"}, "..a\r\n.\r\n"},
		{"dot alone", []string{".\r\n"}, "..\r\n.\r\n"},
		{"dot inside", []string{"a.b\r\n"}, "a.b\r\n.\r\n"},
		{"cut before the dot", []string{"a\r\n", ".b\r\n"}, "a\r\n..b\r\n.\r\n"},
		{"cut within CRLF", []string{"a\r", "\n", ".", "b\r\n"}, "a\r\n..b\r\n.\r\n"},
		{"cut after the dot", []string{"a\r\n.", ".\r\n"}, "a\r\n...\r\n.\r\n"},
		{"end of data inside", []string{"a\r\n.\r\nMAIL FROM:<>\r\n"}, "a\r\n..\r\nMAIL FROM:<>\r\n.\r\n"},
		{"end of data by bare LF", []string{"a\n.\nb\r\n"}, "a\n..\nb\r\n.\r\n"},
		{"bare LF at the end", []string{"a\n"}, "a\n\r\n.\r\n"},
		{"bare CR at the end", []string{"a\r"}, "a\r\r\n.\r\n"},
		{"empty pieces", []string{"", "a\r\n", "", ".", ""}, "a\r\n..\r\n.\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := dotted(test.in...); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestDotWriterReadsBack checks against the standard library's reader: content comes out as it went in, however it was cut, and
// the reader ends exactly at its end.
func TestDotWriterReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringOfN(rapid.SampledFrom([]rune(". ab")), 0, 6, -1)).Draw(t, "lines")
		content := ""
		for _, line := range lines {
			content += line + "\r\n"
		}
		var pieces []string
		for rest := content; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "piece")
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		r := textproto.NewReader(bufio.NewReader(strings.NewReader(dotted(pieces...) + "250 next\r\n")))
		got, err := r.ReadDotBytes() // gives lines with LF alone
		if want := strings.ReplaceAll(content, "\r\n", "\n"); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
		if next, _ := r.ReadLine(); next != "250 next" {
			t.Fatalf("the end was not where it belongs: next is %q", next)
		}
	})
}
