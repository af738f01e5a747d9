package smtpd

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readLines reads all command lines of a stream; what is no line is there as its error.
func readLines(stream []byte, sizes []int) (lines []string) {
	in := &input{from: &pieces{rest: stream, sizes: sizes}, buffer: make([]byte, commandBufferOctets)}
	for {
		line, err := in.line()
		switch {
		case errors.Is(err, io.EOF):
			return lines
		case err != nil:
			lines = append(lines, "! "+err.Error())
		default:
			lines = append(lines, string(line))
		}
	}
}

func TestInputLine(t *testing.T) {
	t.Parallel()
	long, bare := "! "+errLineTooLong.Error(), "! "+errBareLF.Error()
	tests := []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"no end", "NOOP", nil},
		{"lines", "EHLO x\r\n\r\nQUIT\r\n", []string{"EHLO x", "", "QUIT"}},
		{"LF", "a\nb\r\n\nc\r\n", []string{bare, "b", bare, "c"}},
		{"CR in a line", "a\rb\r\r\n", []string{"a\rb\r"}},
		{"longest", strings.Repeat("x", 2_046) + "\r\na\r\n", []string{strings.Repeat("x", 2_046), "a"}},
		{"too long", strings.Repeat("x", 2_047) + "\r\na\r\n", []string{long, "a"}},
		{"too long with LF", strings.Repeat("x", 2_048) + "\na\r\n", []string{long, "a"}},
		{"far too long", strings.Repeat("x", 100_000) + "\r\na\r\n", []string{long, "a"}},
		{"far too long, then long", strings.Repeat("x", 5_000) + "\r\n" + strings.Repeat("y", 2_046) + "\r\n", []string{long, strings.Repeat("y", 2_046)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, sizes := range [][]int{nil, {1}, {3, 1_000}} {
				if diff := cmp.Diff(test.want, readLines([]byte(test.in), sizes)); diff != "" {
					t.Errorf("pieces of %v (-want +got):\n%s", sizes, diff)
				}
			}
		})
	}
}

func TestInputNoProgress(t *testing.T) {
	t.Parallel()
	in := &input{from: nothingReader{}, buffer: make([]byte, 8)}
	if _, err := in.line(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want %v", err, io.ErrNoProgress)
	}
}

type nothingReader struct{}

func (nothingReader) Read([]byte) (int, error) { return 0, nil }

// FuzzInputLine: lines are what lies between LFs, however the stream is cut; none is longer than the limit.
func FuzzInputLine(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL FROM:<a@b>\nDATA\r\n"), byte(1))
	f.Add(bytes.Repeat([]byte("x"), 3_000), byte(200))
	f.Fuzz(func(t *testing.T, stream []byte, size byte) {
		got := readLines(stream, []int{int(size) + 1, 1, 500})
		parts := strings.SplitAfter(string(stream), "\n")
		if len(got) != len(parts)-1 {
			t.Fatalf("got %d lines, want %d", len(got), len(parts)-1)
		}
		for i, part := range parts[:len(parts)-1] {
			text, crlf := strings.CutSuffix(part, "\r\n")
			switch {
			case len(part) > maxCommandOctets:
				text = "! " + errLineTooLong.Error()
			case !crlf:
				text = "! " + errBareLF.Error()
			}
			if got[i] != text {
				t.Errorf("line %d: got %q, want %q", i, got[i], text)
			}
		}
	})
}
