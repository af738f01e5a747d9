package smtpd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/internal/smtp"
)

// chunked writes chunks as BDAT sends them, the last one marked.
func chunked(chunks []string) string {
	var stream strings.Builder
	for i, chunk := range chunks {
		fmt.Fprintf(&stream, "BDAT %d", len(chunk))
		if i == len(chunks)-1 {
			stream.WriteString(" LAST")
		}
		stream.WriteString("\r\n" + chunk)
	}
	return stream.String()
}

// cut cuts content into chunks of the sizes given, zero among them, and what is left.
func cut(content string, sizes []int) (chunks []string) {
	for _, size := range sizes {
		size = min(size, len(content))
		chunks = append(chunks, content[:size])
		content = content[size:]
	}
	return append(chunks, content)
}

// readChunks reads a stream of BDAT commands up to the last chunk. It comes in pieces, into a buffer that grows to twice its size.
func readChunks(stream string, pieceSizes []int, buffer int) outcome {
	var written bytes.Buffer
	in := &input{from: &pieces{rest: []byte(stream), sizes: pieceSizes}, buffer: make([]byte, buffer)}
	reader := chunkReader{content: content{to: &written, maxSize: DefaultMaxSize}, in: in, grow: func() {
		if len(in.buffer) == buffer {
			in.swap(make([]byte, 2*buffer))
		}
	}}
	got := outcome{err: readCommands(&reader)}
	got.content = written.String()
	if reader.refusal != nil {
		got.code = reader.refusal.Code
	}
	if got.err == nil {
		rest, _ := io.ReadAll(in.from)
		got.rest = string(in.window()) + string(rest)
	}
	return got
}

// readCommands reads what follows each BDAT into the reader, as a session does.
func readCommands(reader *chunkReader) error {
	for {
		line, err := reader.in.line()
		if err != nil {
			return err
		}
		_, argument := smtp.ParseCommand(string(line))
		chunk, refusal := smtp.ParseChunk(argument)
		if refusal != nil {
			return refusal
		}
		if err := reader.read(chunk.Size, chunk.Last); err != nil || chunk.Last {
			return err
		}
	}
}

// takePlainly is what any reader should say of content, found the slow way; of a refusal it knows only that there is one.
func takePlainly(content string) (refused bool) {
	lines := strings.SplitAfter(content, "\r\n")
	received, octets, header := 0, 0, true
	for _, line := range lines {
		text, ended := strings.CutSuffix(line, "\r\n")
		if strings.ContainsAny(text, "\r\n") || len(text) > maxLineOctets {
			return true
		}
		if header {
			octets += len(line)
			if ended && len(text) >= len("received:") && strings.EqualFold(text[:len("received:")], "received:") {
				received++
			}
			header = !ended || text != ""
		}
	}
	return received > maxReceived || octets > maxHeaderOctets
}

func checkChunks(t rapid.TB, content string, chunkSizes, pieceSizes []int, buffer int) {
	t.Helper()
	const next = "QUIT\r\n"
	got := readChunks(chunked(cut(content, chunkSizes))+next, pieceSizes, buffer)
	if refused := takePlainly(content); got.err != nil || got.rest != next || (got.code != 0) != refused || !refused && got.content != content {
		t.Fatalf("%q in chunks of %v: got %+v, want refused %v", content, chunkSizes, got, refused)
	}
}

func TestChunkReader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		chunks []string
		code   int
	}{
		{"nothing", []string{""}, 0},
		{"a line", []string{"a\r\n"}, 0},
		{"two chunks", []string{"a\r\n", "b\r\n"}, 0},
		{"an empty chunk at the end", []string{"a\r\n", ""}, 0},
		{"empty chunks", []string{"", "a\r\n", "", "b\r\n", ""}, 0},
		{"a line in three", []string{"a", "b", "c\r\n"}, 0},
		{"no line end at the end", []string{"a\r\nb"}, 0},
		{"dots are nothing special", []string{".\r\n", "..a\r\n", ".\r\n", "\r\n.\r\n"}, 0},
		{"commands are content", []string{"BDAT 1 LAST\r\nxRSET\r\n"}, 0},
		{"S2 CRLF in two chunks", []string{"a\r", "\nb\r\n"}, 0},
		{"S2 CRLF around empty chunks", []string{"a\r", "", "", "\n"}, 0},
		{"S2 CR, then text", []string{"a\r", "b\r\n"}, 554},
		{"S2 CR, then CRLF", []string{"a\r", "\r\n"}, 554},
		{"S2 CR around an empty chunk", []string{"a\r", "", "b"}, 554},
		{"S2 CR last", []string{"a\r\nb\r"}, 554},
		{"S2 CR last, then an empty chunk", []string{"a\r", ""}, 554},
		{"S2 LF", []string{"a\nb\r\n"}, 554},
		{"S2 LF first", []string{"\n"}, 554},
		{"S2 LF first in a chunk", []string{"a", "\n"}, 554},
		{"S2 LF after CRLF", []string{"a\r\n", "\n"}, 554},
		{"S2 LF after CRLF in two chunks", []string{"a\r", "\n", "\n"}, 554},
		{"refused, and chunks follow", []string{"\n", "QUIT\r\n", "a"}, 554},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, sizes := range [][]int{nil, {1}, {2}, {3}, {1, 4}} {
				got := readChunks(chunked(test.chunks)+"NOOP\r\n", sizes, 32)
				if want := strings.Join(test.chunks, ""); test.code == 0 && got.content != want {
					t.Errorf("pieces of %v: got %q, want %q", sizes, got.content, want)
				}
				if got.err != nil || got.code != test.code || got.rest != "NOOP\r\n" {
					t.Errorf("pieces of %v: got %+v, want code %d and NOOP left", sizes, got, test.code)
				}
			}
		})
	}
}

// TestChunkReaderPieces: however content is cut into chunks, and the stream into pieces, it is read as the slow way reads the
// whole.
func TestChunkReaderPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"\r\n", "\r\n.", ".", "\r", "\n", "a", "bcd", ".\r\n", "\x00", "Received: x\r\n"})).Draw(t, "content")
		chunks := rapid.SliceOfN(rapid.IntRange(0, 12), 0, 8).Draw(t, "chunks")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "pieces")
		buffer := rapid.IntRange(16, 40).Draw(t, "buffer")
		checkChunks(t, strings.Join(parts, ""), chunks, sizes, buffer)
		checkChunks(t, strings.ReplaceAll(strings.Join(parts, ""), "\r", "x\r\n"), chunks, sizes, buffer)
	})
}

// TestChunkReaderAsDotReader: lines mean the same whichever way they come, and so do the limits.
func TestChunkReaderAsDotReader(t *testing.T) {
	t.Parallel()
	long, field := strings.Repeat("x", maxLineOctets), "Received: by x\r\n"
	most := strings.Repeat("X:"+strings.Repeat("y", 1_020)+"\r\n", maxHeaderOctets/1_024) // with the empty line, two too many
	tests := []struct {
		name, in string
		code     int
	}{
		{"empty lines", "\r\n\r\n", 0},
		{"longest line", "A: b\r\n\r\n" + long + "\r\n", 0},
		{"line too long", "A: b\r\n\r\n" + long + "x\r\n", 554},
		{"most Received fields", strings.Repeat(field, maxReceived) + "\r\n", 0},
		{"too many Received fields", strings.Repeat(field, maxReceived+1) + "\r\n", 554},
		{"Received fields in any case", strings.Repeat("rEcEiVeD: x\r\n", maxReceived+1) + "\r\n", 554},
		{"Received in the body", "\r\n" + strings.Repeat(field, maxReceived+1), 0},
		{"longest header section", most[len("X:"):] + "\r\n", 0},
		{"header section too long", most + "\r\n", 552},
		{"a long body", "\r\n" + most + most, 0},
		{"message too big", "\r\n" + strings.Repeat(strings.Repeat("x", 1_022)+"\r\n", int(DefaultMaxSize>>10)), 552},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dots := readDots([]byte(stuff(test.in)+".\r\n"), nil, 4_096)
			if dots.code != test.code || dots.err != nil {
				t.Errorf("DATA: got %d, %v, want %d", dots.code, dots.err, test.code)
			}
			for _, chunks := range [][]int{nil, {1, 2, 3, 4, 5, 6, 7, 8, 9}, {len(test.in) / 2}, {len(test.in) - 1}} {
				got := readChunks(chunked(cut(test.in, chunks)), nil, 4_096)
				if got.code != test.code || got.err != nil || test.code == 0 && got.content != dots.content {
					t.Errorf("BDAT in chunks of %v: got %d, %v, want %d", chunks, got.code, got.err, test.code)
				}
			}
		})
	}
}

// TestChunkReaderGrows: who sends faster than the buffer takes gets a larger one, and nobody else does (S11).
func TestChunkReaderGrows(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		sizes []int
		want  bool
	}{{"all at once", nil, true}, {"as much as the buffer holds", []int{16}, true}, {"a little less", []int{15}, false}, {"slowly", []int{1}, false}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			grown := false
			in := &input{from: &pieces{rest: make([]byte, 100), sizes: test.sizes}, buffer: make([]byte, 16)}
			reader := chunkReader{content: content{to: io.Discard, maxSize: 100}, in: in, grow: func() { grown = true }}
			if err := reader.read(100, true); err != nil || reader.refusal != nil || grown != test.want {
				t.Errorf("got grown %v, %v, %v, want %v", grown, err, reader.refusal, test.want)
			}
		})
	}
}

// TestS8ChunkTooLarge: of a chunk that cannot fit nothing is written, and all of it is read.
func TestS8ChunkTooLarge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		chunks  []int64
		sent    int // octets before NOOP
		written int
		refused bool
		err     error
	}{
		{"at the limit", []int64{4, 6}, 10, 10, false, nil},
		{"one more", []int64{4, 7}, 11, 4, true, nil},
		{"at once", []int64{11}, 11, 0, true, nil},
		{"after a refusal", []int64{11, 5}, 16, 0, true, nil},
		{"largest of all", []int64{math.MaxInt64}, 100, 0, true, io.EOF},
		{"largest of all behind another", []int64{4, math.MaxInt64}, 100, 4, true, io.EOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var written bytes.Buffer
			in := &input{from: strings.NewReader(strings.Repeat("x", test.sent) + "NOOP"), buffer: make([]byte, 8)}
			reader := chunkReader{content: content{to: &written, maxSize: 10}, in: in, grow: func() {}}
			var err error
			for _, size := range test.chunks {
				err = errors.Join(err, reader.read(size, false))
			}
			if (reader.refusal != nil) != test.refused || test.refused && reader.refusal.Code != 552 || written.Len() != test.written {
				t.Errorf("got %v with %d octets written, want refused %v and %d", reader.refusal, written.Len(), test.refused, test.written)
			}
			rest, _ := io.ReadAll(in.from)
			if left := string(in.window()) + string(rest); !errors.Is(err, test.err) || err == nil && left != "NOOP" {
				t.Errorf("got %v and %q left, want %v, or NOOP", err, left, test.err)
			}
		})
	}
}

// TestS8ChunkCutShort: a chunk that is shorter than announced is an error, however much of it came.
func TestS8ChunkCutShort(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"BDAT 5 LAST\r\n", "BDAT 5 LAST\r\na\r\nb", "BDAT 1\r\na", "BDAT 1\r\na\r\nBDAT 1 LAST\r\n", "BDAT 2\r\n\n"} {
		for _, sizes := range [][]int{nil, {1}} {
			if got := readChunks(stream, sizes, 32); got.err == nil {
				t.Errorf("%q: got %+v, want an error", stream, got)
			}
		}
	}
}

func TestS8Discard(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		size     int64
		rest     string
		err      error
	}{
		{"nothing", "NOOP\r\n", 0, "NOOP\r\n", nil},
		{"commands", "RSET\r\nMAIL FROM:<x@y>\r\nNOOP\r\n", 23, "NOOP\r\n", nil},
		{"line ends of any kind", "\r\n\n.\r\n\rNOOP\r\n", 7, "NOOP\r\n", nil},
		{"cut short", "RSET\r\n", 7, "", io.EOF},
		{"largest", "RSET\r\n", math.MaxInt64, "", io.EOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := &input{from: &pieces{rest: []byte(test.in), sizes: []int{5, 1}}, buffer: make([]byte, 8)}
			err := discard(in, test.size)
			rest, _ := io.ReadAll(in.from)
			if got := string(in.window()) + string(rest); !errors.Is(err, test.err) || got != test.rest {
				t.Errorf("got %v with %q left, want %v with %q", err, got, test.err, test.rest)
			}
		})
	}
}

// TestChunkReaderRefusalComesFirst: the first thing wrong is what is told, and nothing is written after it.
func TestChunkReaderRefusalComesFirst(t *testing.T) {
	t.Parallel()
	stored := smtp.NewReply(452, 4, 3, 1, "Insufficient storage")
	tests := []struct {
		name   string
		chunks []string
		sink   error
		want   *smtp.Reply
	}{
		{"sink", []string{"a\r\n", "b\r\n"}, stored, stored},
		{"sink with no reply", []string{"a\r\n", "b\r\n"}, io.ErrShortWrite, notTaken},
		{"sink, then a bare LF", []string{"a\r\n", "\n", "c"}, stored, stored},
		{"bare LF before the sink's", []string{"a\nb"}, stored, bareEnd},
		{"bare LF, then too big", []string{"a\n", "12345678901234567890"}, nil, bareEnd},
		{"too big, then a bare LF", []string{"12345678901234567890", "\n"}, nil, messageTooBig},
		{"too big, then a CR last", []string{"12345678901234567890\r"}, nil, messageTooBig},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := &input{from: strings.NewReader(chunked(test.chunks)), buffer: make([]byte, 32)}
			sink := &failingSink{err: test.sink}
			reader := chunkReader{content: content{to: sink, maxSize: 10}, in: in, grow: func() {}}
			if err := readCommands(&reader); err != nil || reader.refusal == nil || reader.refusal.Code != test.want.Code {
				t.Fatalf("got %v, %v, want %v", reader.refusal, err, test.want)
			}
			if sink.afterwards {
				t.Error("written to after it failed")
			}
		})
	}
}

// TestS8ChunkReaderCostsNoMemory: content goes to the sink as it arrives, and nothing is allocated by a size or a line.
func TestS8ChunkReaderCostsNoMemory(t *testing.T) {
	stream := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 10_000))
	source, buffer := bytes.NewReader(nil), make([]byte, contentBufferOctets)
	var writes countingSink
	grow := func() {}
	for _, size := range []int64{int64(len(stream)), 1 << 40, math.MaxInt64} {
		read := func() {
			source.Reset(stream)
			in := input{from: source, buffer: buffer}
			reader := chunkReader{content: content{to: &writes, maxSize: math.MaxInt64}, in: &in, grow: grow}
			if err := reader.read(size, true); reader.refusal != nil || (err == nil) != (size == int64(len(stream))) {
				t.Fatalf("got %v, %v", reader.refusal, err)
			}
		}
		writes = 0
		read()
		if limit := len(stream)/contentBufferOctets + 2; int(writes) > limit {
			t.Errorf("got %d writes for %d octets, want at most %d", writes, len(stream), limit)
		}
		if got := testing.AllocsPerRun(10, read); got > 3 { // input and chunkReader themselves, of which there is one a message
			t.Errorf("got %v allocations for 10,000 lines, want at most 3", got)
		}
	}
}

// FuzzChunkReader: it agrees with the slow way however content is cut into chunks and the stream into pieces, leaves what
// follows the last chunk, and reads lines as the dot reader does.
func FuzzChunkReader(f *testing.F) {
	for _, seed := range []string{"", "a\r\n", "a\r", "a\nb\r\n", ".\r\n..\r\n", "\r\r\n", "BDAT 3 LAST\r\nRSET\r\n", "Received: a\r\n\r\n\x00", "a\r\nb"} {
		f.Add(seed, []byte{1, 0, 2}, byte(3))
	}
	f.Fuzz(func(t *testing.T, content string, cuts []byte, size byte) {
		var chunks []int
		for _, octets := range cuts[:min(len(cuts), 100)] {
			chunks = append(chunks, int(octets))
		}
		sizes := []int{int(size%16) + 1, 1, 7}
		checkChunks(t, content, chunks, sizes, 24)
		if !strings.HasSuffix("\r\n"+content, "\r\n") {
			return
		}
		got, dots := readChunks(chunked(cut(content, chunks)), sizes, 24), readDots([]byte(stuff(content)+".\r\n"), sizes, 24)
		if (got.code == 0) != (dots.code == 0) || got.code == 0 && got.content != dots.content {
			t.Errorf("got %+v of BDAT and %+v of DATA", got, dots)
		}
	})
}

func BenchmarkChunkReader(b *testing.B) {
	stream := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 130))
	source, buffer := bytes.NewReader(nil), make([]byte, contentBufferOctets)
	grow := func() {}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		source.Reset(stream)
		in := input{from: source, buffer: buffer}
		reader := chunkReader{content: content{to: io.Discard, maxSize: DefaultMaxSize}, in: &in, grow: grow}
		reader.read(int64(len(stream)), true)
	}
}
