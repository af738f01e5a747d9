package awsapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// errNotJSON is all that the caller learns of a syntax error.
var errNotJSON = malformed("the body is not one JSON value")

// jsonSource reads a document of AWS JSON with encoding/json's tokens.
type jsonSource struct {
	decoder *json.Decoder
	depth   int
}

// newJSONSource begins to read body, of which encoding/json alone would replace invalid UTF-8 in silence.
func newJSONSource(body []byte) (source, error) {
	if !utf8.Valid(body) {
		return nil, malformed("the body is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	return &jsonSource{decoder: decoder}, nil
}

func (s *jsonSource) next() (token, error) {
	piece, err := s.decoder.Token()
	if err != nil {
		return token{}, errNotJSON
	}
	switch piece := piece.(type) {
	case json.Delim:
		return s.delimiter(piece)
	case bool:
		return token{kind: tokenBoolean, truth: piece}, nil
	case string:
		return token{kind: tokenText, text: piece}, nil
	case json.Number:
		return jsonNumber(piece.String())
	default:
		return token{kind: tokenNull}, nil
	}
}

func (s *jsonSource) delimiter(d json.Delim) (token, error) {
	if d == '}' || d == ']' {
		s.depth--
		return token{kind: tokenEnd}, nil
	}
	if s.depth++; s.depth > maxDepth {
		return token{}, malformed("nested too deeply")
	}
	if d == '{' {
		return token{kind: tokenMap}, nil
	}
	return token{kind: tokenList}, nil
}

// jsonNumber reads a number; 5.0 and 5e0 are whole.
func jsonNumber(text string) (token, error) {
	float, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return token{}, malformed("number out of range")
	}
	n := floatNumber(float)
	// Beyond 2^53 the float has lost digits.
	if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
		n.isWhole, n.whole = true, whole
	}
	return token{kind: tokenNumber, number: n}, nil
}

// floatNumber is the number with a finite value.
func floatNumber(float float64) number {
	// Not <= MaxInt64: as a float64 that is 2^63, which int64 does not have.
	if float == math.Trunc(float) && float >= math.MinInt64 && float < math.MaxInt64 {
		return number{isWhole: true, whole: int64(float), float: float}
	}
	return number{float: float}
}

func (s *jsonSource) end() error {
	if _, err := s.decoder.Token(); err != io.EOF {
		return malformed("trailing bytes after the document")
	}
	return nil
}

func (s *jsonSource) instant(tok token) (time.Time, bool) {
	if tok.kind != tokenNumber {
		return time.Time{}, false
	}
	return instantOf(tok.number)
}

func (s *jsonSource) blob(tok token) ([]byte, bool) {
	octets, err := base64.StdEncoding.DecodeString(tok.text)
	return octets, err == nil && tok.kind == tokenText
}

// Timestamps lie in the years 1 to 9999; milliseconds since 1970.
const (
	minInstant = -62135596800000
	maxInstant = 253402300799999
)

// instantOf is the time at n seconds since 1970, to the millisecond: a float64 has no more for every such time.
func instantOf(n number) (time.Time, bool) {
	milliseconds := math.Round(n.float * 1000)
	if milliseconds < minInstant || milliseconds > maxInstant {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(milliseconds)).UTC(), true
}

// jsonSink writes a document of AWS JSON.
type jsonSink struct {
	buffer  bytes.Buffer
	strings *json.Encoder
}

func newJSONSink() sink {
	s := &jsonSink{}
	s.strings = json.NewEncoder(&s.buffer)
	s.strings.SetEscapeHTML(false)
	return s
}

func (s *jsonSink) bytes() []byte { return s.buffer.Bytes() }

// value makes room for a value: a comma, unless it is the first one or follows its name.
func (s *jsonSink) value() {
	if b := s.buffer.Bytes(); len(b) > 0 {
		switch b[len(b)-1] {
		case '{', '[', ':':
		default:
			s.buffer.WriteByte(',')
		}
	}
}

func (s *jsonSink) openMap(int) {
	s.value()
	s.buffer.WriteByte('{')
}

func (s *jsonSink) closeMap() { s.buffer.WriteByte('}') }

func (s *jsonSink) openList(int) {
	s.value()
	s.buffer.WriteByte('[')
}

func (s *jsonSink) closeList() { s.buffer.WriteByte(']') }

func (s *jsonSink) key(name string) {
	s.text(name)
	s.buffer.WriteByte(':')
}

func (s *jsonSink) text(text string) {
	s.value()
	// A string and a buffer give no error; Encode adds a newline, which goes again.
	_ = s.strings.Encode(text)
	s.buffer.Truncate(s.buffer.Len() - 1)
}

func (s *jsonSink) integer(n int64) {
	s.value()
	s.buffer.Write(strconv.AppendInt(s.buffer.AvailableBuffer(), n, 10))
}

func (s *jsonSink) double(f float64) {
	s.value()
	s.buffer.Write(strconv.AppendFloat(s.buffer.AvailableBuffer(), f, 'g', -1, 64))
}

func (s *jsonSink) boolean(truth bool) {
	s.value()
	s.buffer.Write(strconv.AppendBool(s.buffer.AvailableBuffer(), truth))
}

func (s *jsonSink) blob(octets []byte) { s.text(base64.StdEncoding.EncodeToString(octets)) }

// instant writes seconds since 1970, with a fraction when there is one (Mail Manager, A29).
func (s *jsonSink) instant(at time.Time) {
	s.value()
	s.buffer.Write(strconv.AppendFloat(s.buffer.AvailableBuffer(), float64(at.UnixMilli())/1000, 'f', -1, 64))
}
