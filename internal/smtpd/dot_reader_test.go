package smtpd

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/smtp"
)

// pieces is a reader that gives its octets in pieces of the sizes drawn, and EOF at the end.
type pieces struct {
	rest  []byte
	sizes []int
	next  int
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	size := len(p.rest)
	if len(p.sizes) > 0 {
		size = p.sizes[p.next%len(p.sizes)]
		p.next++
	}
	n := copy(to, p.rest[:min(size, len(p.rest))])
	p.rest = p.rest[n:]
	return n, nil
}

// outcome is all that a dot reader says of a stream.
type outcome struct {
	content string
	code    int    // of the refusal, 0 for none
	rest    string // what follows the end of data
	err     error
}

// readDots reads a stream that comes in pieces, with a buffer of a size, which grows to twice of it.
func readDots(stream []byte, sizes []int, buffer int) outcome {
	var written bytes.Buffer
	in := &input{from: &pieces{rest: stream, sizes: sizes}, buffer: make([]byte, buffer)}
	grown := false
	reader := dotReader{content: content{to: &written, maxSize: DefaultMaxSize}, in: in, grow: func() {
		if !grown {
			in.swap(make([]byte, 2*buffer))
			grown = true
		}
	}}
	refusal, err := reader.read()
	got := outcome{content: written.String(), err: err}
	if refusal != nil {
		got.code = refusal.Code
	}
	if err == nil {
		rest, _ := io.ReadAll(in.from)
		got.rest = string(in.window()) + string(rest)
	}
	return got
}

// stuff writes content as DATA sends it. RFC 5321, section 4.5.2.
func stuff(content string) string {
	stuffed := strings.ReplaceAll("\r\n"+content, "\r\n.", "\r\n..")
	return strings.TrimPrefix(stuffed, "\r\n")
}

// readPlainly is what a dot reader should say, found the slow way.
func readPlainly(stream string) outcome {
	whole := "\r\n" + stream
	at := strings.Index(whole, "\r\n.\r\n")
	if at < 0 {
		return outcome{err: io.EOF}
	}
	sent := strings.TrimPrefix(whole[:at]+"\r\n", "\r\n")
	got := outcome{rest: whole[at+len("\r\n.\r\n"):]}
	if bare := strings.ReplaceAll(sent, "\r\n", ""); strings.ContainsAny(bare, "\r\n") {
		got.code = bareEnd.Code
		return got
	}
	got.content = strings.TrimPrefix(strings.ReplaceAll("\r\n"+sent, "\r\n.", "\r\n"), "\r\n")
	return got
}

func checkDots(t rapid.TB, stream string, sizes []int, buffer int) {
	t.Helper()
	got, want := readDots([]byte(stream), sizes, buffer), readPlainly(stream)
	if got.err != nil || want.err != nil {
		if !errors.Is(got.err, want.err) {
			t.Fatalf("%q: got error %v, want %v", stream, got.err, want.err)
		}
		return
	}
	if got.code != want.code || got.rest != want.rest || got.code == 0 && got.content != want.content {
		t.Fatalf("%q: got %+v, want %+v", stream, got, want)
	}
}

func TestDotReader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     outcome
	}{
		{"nothing", ".\r\n", outcome{}},
		{"a line", "a\r\n.\r\n", outcome{content: "a\r\n"}},
		{"what follows stays", "a\r\n.\r\nQUIT\r\n", outcome{content: "a\r\n", rest: "QUIT\r\n"}},
		{"stuffed dot", "..\r\n..a\r\n.b\r\n.\r\n", outcome{content: ".\r\n.a\r\nb\r\n"}},
		{"dot in a line", "a.\r\n .\r\n.\r\n", outcome{content: "a.\r\n .\r\n"}},
		{"empty lines", "\r\n\r\n.\r\n", outcome{content: "\r\n\r\n"}},
		{"no end", "a\r\n.", outcome{err: io.EOF}},
		{"no line end", "a\r\n.\r", outcome{err: io.EOF}},
		{"S1 LF", "a\n.\n\r\n.\r\n", outcome{code: 554}},
		{"S2 CR after a dot", ".\ra\r\n.\r\n", outcome{code: 554}},
		{"S2 CR CR LF", "a\r\r\n.\r\n", outcome{code: 554}},
		{"S2 LF first", "\n.\r\n\r\n.\r\n", outcome{code: 554}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, sizes := range [][]int{nil, {1}, {2}, {3}, {1, 4}} {
				got := readDots([]byte(test.in), sizes, 8)
				if test.want.code != 0 || test.want.err != nil {
					got.content = "" // what was written before is thrown away
				}
				if got != test.want {
					t.Errorf("pieces of %v: got %+v, want %+v", sizes, got, test.want)
				}
			}
		})
	}
}

// TestDotReaderPieces: however a stream comes in, it is read as the slow way reads the whole.
func TestDotReaderPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"\r\n", "\r\n.", ".", "\r", "\n", "a", "bcd", ".\r\n", "\x00", "Received: x\r\n"})).Draw(t, "stream")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "pieces")
		checkDots(t, strings.Join(parts, ""), sizes, rapid.IntRange(4, 32).Draw(t, "buffer"))
		checkDots(t, strings.Join(parts, "")+"\r\n.\r\n", sizes, 8)
	})
}

// TestDotReaderStuffing: what was stuffed comes out as it was.
func TestDotReaderStuffing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOf(rapid.StringMatching(`[.a]{0,6}`)).Draw(t, "lines")
		content := strings.Join(append(lines, ""), "\r\n")
		got := readDots([]byte(stuff(content)+".\r\nrest"), []int{rapid.IntRange(1, 9).Draw(t, "piece")}, 8)
		if got != (outcome{content: content, rest: "rest"}) {
			t.Fatalf("got %+v, want %q", got, content)
		}
	})
}

// TestDotReaderRefusalComesFirst: the first thing wrong is what is told, and nothing is written after it.
func TestDotReaderRefusalComesFirst(t *testing.T) {
	t.Parallel()
	stored := smtp.NewReply(452, 4, 3, 1, "Insufficient storage")
	tests := []struct {
		name, in string
		maxSize  int64
		sink     error
		want     *smtp.Reply
	}{
		{"size at the limit", "12345678\r\n.\r\n", 10, nil, nil},
		{"size", "123456789\r\n.\r\n", 10, nil, messageTooBig},
		{"size, then a bare LF", strings.Repeat("12345678\r\n", 10) + "a\nb\r\n.\r\n", 10, nil, messageTooBig},
		{"stuffed dots do not count", "..345678\r\n...\r\n.\r\n", 13, nil, nil},
		{"sink", "a\r\n.\r\n", 10, stored, stored},
		{"sink with no reply", "a\r\n.\r\n", 10, io.ErrShortWrite, notTaken},
		{"bare LF before the sink's", "a\nb\r\n.\r\n", 10, stored, bareEnd},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := &input{from: strings.NewReader(test.in), buffer: make([]byte, 16)}
			sink := &failingSink{err: test.sink}
			reader := dotReader{content: content{to: sink, maxSize: test.maxSize}, in: in, grow: func() {}}
			got, err := reader.read()
			if err != nil || (got == nil) != (test.want == nil) || got != nil && got.Code != test.want.Code {
				t.Fatalf("got %v, %v, want %v", got, err, test.want)
			}
			if sink.afterwards {
				t.Error("written to after it failed")
			}
		})
	}
}

type failingSink struct {
	err                error
	failed, afterwards bool
}

func (s *failingSink) Write(p []byte) (int, error) {
	s.afterwards = s.afterwards || s.failed
	s.failed = s.err != nil
	return len(p), s.err
}

// TestDotReaderWritesAreLarge: content goes to the sink as it arrives, not line by line, and costs no memory.
func TestDotReaderWritesAreLarge(t *testing.T) {
	stream := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10_000) + ".\r\n")
	source, buffer := bytes.NewReader(nil), make([]byte, contentBufferOctets)
	var writes countingSink
	grow := func() {}
	read := func() {
		source.Reset(stream)
		in := input{from: source, buffer: buffer}
		reader := dotReader{content: content{to: &writes, maxSize: DefaultMaxSize}, in: &in, grow: grow}
		if refusal, err := reader.read(); refusal != nil || err != nil {
			t.Fatalf("got %v, %v", refusal, err)
		}
	}
	read()
	if limit := len(stream)/contentBufferOctets + 2; int(writes) > limit {
		t.Errorf("got %d writes for %d octets, want at most %d", writes, len(stream), limit)
	}
	if got := testing.AllocsPerRun(10, read); got > 3 { // input and dotReader themselves, of which there is one a message
		t.Errorf("got %v allocations for 10,000 lines, want at most 3", got)
	}
}

type countingSink int

func (c *countingSink) Write(p []byte) (int, error) { *c++; return len(p), nil }

// FuzzDotReader: it never ends before CRLF.CRLF, agrees with the slow way however the stream is cut, and what it let through
// is, stuffed again, what came in.
func FuzzDotReader(f *testing.F) {
	for _, seed := range []string{"", ".\r\n", "a\r\n.\r\nQUIT\r\n", "..\r\n.\r\n", "a\n.\n", "\r\n\x00.\r\n", ".\r.\r\n.\r\n", "\r\r\n.\r\n", "Received: a\r\n\r\n.\r\n"} {
		f.Add([]byte(seed), byte(3))
	}
	f.Fuzz(func(t *testing.T, stream []byte, size byte) {
		sizes := []int{int(size%16) + 1, 1, 7}
		checkDots(t, string(stream), sizes, 8)
		got := readDots(stream, sizes, 8)
		if got.err != nil || got.code != 0 {
			return
		}
		if sent := string(stream[:len(stream)-len(got.rest)-len(".\r\n")]); isStuffed(sent) && stuff(got.content) != sent {
			t.Errorf("got %q stuffed again, want %q", stuff(got.content), sent)
		}
		second := readDots([]byte(stuff(got.content)+".\r\n"), nil, 8)
		if second.content != got.content || second.err != nil || second.code != 0 {
			t.Errorf("read again: got %+v, want %q", second, got.content)
		}
	})
}

// isStuffed reports whether every dot that begins a line was stuffed, which a sender must do and a receiver cannot rely on.
func isStuffed(sent string) bool {
	for line := range strings.SplitSeq(sent, "\r\n") {
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, "..") {
			return false
		}
	}
	return true
}

func BenchmarkDotReader(b *testing.B) {
	stream := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 130) + ".\r\n")
	source, buffer := bytes.NewReader(nil), make([]byte, contentBufferOctets)
	grow := func() {}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(stream)
		in := input{from: source, buffer: buffer}
		reader := dotReader{content: content{to: io.Discard, maxSize: DefaultMaxSize}, in: &in, grow: grow}
		reader.read()
	}
}
