package awsapi

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Major types and single octets of CBOR: RFC 8949, section 3.
const (
	majorUnsigned byte = 0
	majorNegative byte = 1
	majorBlob     byte = 2
	majorText     byte = 3
	majorList     byte = 4
	majorMap      byte = 5
	majorTag      byte = 6

	cborFalse     byte = 0xf4
	cborTrue      byte = 0xf5
	cborNull      byte = 0xf6
	cborUndefined byte = 0xf7
	cborHalf      byte = 0xf9
	cborSingle    byte = 0xfa
	cborDouble    byte = 0xfb
	cborBreak     byte = 0xff

	infoIndefinite byte   = 31
	tagEpoch       uint64 = 1
)

// newCBORMode returns the limits that documents are checked against. The options are constant, so an error is a defect.
func newCBORMode() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxElements,
		MaxMapPairs:      maxElements,
		NaN:              cbor.NaNDecodeForbidden,
		Inf:              cbor.InfDecodeForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}

// cborSource walks over a document that the library has found well-formed, so that every length it meets is there.
type cborSource struct {
	mode cbor.DecMode
	rest []byte
	open []int64 // values left in each open container; negative when only a break ends it
}

// newCBORSource checks that body is one well-formed value within the limits, and begins to read it.
func newCBORSource(mode cbor.DecMode, body []byte) (source, error) {
	if mode.Wellformed(body) != nil {
		return nil, malformed("the body is not one well-formed CBOR value within the limits")
	}
	return &cborSource{mode: mode, rest: body}, nil
}

func (s *cborSource) next() (token, error) {
	if s.closes() {
		return token{kind: tokenEnd}, nil
	}
	switch first := s.rest[0]; first >> 5 {
	case majorUnsigned, majorNegative:
		return token{kind: tokenNumber, number: s.integer()}, nil
	case majorBlob:
		return s.octets()
	case majorText:
		return s.text()
	case majorList:
		s.container(1)
		return token{kind: tokenList}, nil
	case majorMap:
		s.container(2)
		return token{kind: tokenMap}, nil
	case majorTag:
		return s.tagged()
	default:
		return s.simple()
	}
}

// closes reports whether the innermost container ends here, and if not counts the value that follows.
func (s *cborSource) closes() bool {
	if len(s.open) == 0 {
		return false
	}
	left := &s.open[len(s.open)-1]
	switch {
	case *left > 0:
		*left--
		return false
	case *left < 0 && s.rest[0] != cborBreak:
		return false
	case *left < 0:
		s.rest = s.rest[1:]
	}
	s.open = s.open[:len(s.open)-1]
	return true
}

// head takes the first octets of a value and returns its argument: RFC 8949, section 3.
func (s *cborSource) head() uint64 {
	info := s.rest[0] & 0x1f
	s.rest = s.rest[1:]
	if info < 24 || info == infoIndefinite {
		return uint64(info)
	}
	var argument [8]byte
	size := 1 << (info - 24)
	copy(argument[8-size:], s.rest)
	s.rest = s.rest[size:]
	return binary.BigEndian.Uint64(argument[:])
}

func (s *cborSource) container(valuesPerEntry int64) {
	if s.rest[0]&0x1f == infoIndefinite {
		s.rest = s.rest[1:]
		s.open = append(s.open, -1)
		return
	}
	s.open = append(s.open, int64(s.head())*valuesPerEntry)
}

func (s *cborSource) integer() number {
	negative := s.rest[0]>>5 == majorNegative
	argument := s.head()
	if argument > math.MaxInt64 {
		if negative {
			return number{float: -1 - float64(argument)}
		}
		return number{float: float64(argument)}
	}
	whole := int64(argument)
	if negative {
		whole = -1 - whole
	}
	return number{isWhole: true, whole: whole, float: float64(whole)}
}

// take decodes the next value, a string or a float, with the library: it joins chunks, checks UTF-8 and widens floats.
func (s *cborSource) take(into any) error {
	rest, err := s.mode.UnmarshalFirst(s.rest, into)
	if err != nil {
		return malformed("a value is not valid")
	}
	s.rest = rest
	return nil
}

func (s *cborSource) octets() (token, error) {
	var octets []byte
	err := s.take(&octets)
	return token{kind: tokenBlob, text: string(octets)}, err
}

func (s *cborSource) text() (token, error) {
	var text string
	err := s.take(&text)
	return token{kind: tokenText, text: text}, err
}

// tagged reads a timestamp; anything else with a tag is passed over as a value that no shape accepts.
func (s *cborSource) tagged() (token, error) {
	before := s.rest
	if s.head() == tagEpoch {
		switch s.rest[0] >> 5 {
		case majorUnsigned, majorNegative:
			return token{kind: tokenTime, number: s.integer()}, nil
		default:
			if tok, err := s.simple(); err != nil || tok.kind == tokenNumber {
				return token{kind: tokenTime, number: tok.number}, err
			}
		}
	}
	s.rest = before
	var whole cbor.RawMessage
	err := s.take(&whole)
	return token{kind: tokenOther}, err
}

// simple reads a float or a simple value. What it does not know is left for tagged, or passed over.
func (s *cborSource) simple() (token, error) {
	switch s.rest[0] {
	case cborHalf, cborSingle, cborDouble:
		var float float64
		err := s.take(&float)
		return token{kind: tokenNumber, number: floatNumber(float)}, err
	case cborFalse, cborTrue:
		truth := s.rest[0] == cborTrue
		s.rest = s.rest[1:]
		return token{kind: tokenBoolean, truth: truth}, nil
	case cborNull, cborUndefined:
		s.rest = s.rest[1:]
		return token{kind: tokenNull}, nil
	default:
		var whole cbor.RawMessage
		err := s.take(&whole)
		return token{kind: tokenOther}, err
	}
}

func (s *cborSource) end() error { return nil }

func (s *cborSource) instant(tok token) (time.Time, bool) {
	if tok.kind != tokenTime {
		return time.Time{}, false
	}
	return instantOf(tok.number)
}

func (s *cborSource) blob(tok token) ([]byte, bool) { return []byte(tok.text), tok.kind == tokenBlob }

// cborSink writes a document with definite lengths.
type cborSink struct{ buffer bytes.Buffer }

func newCBORSink() sink { return &cborSink{} }

func (s *cborSink) bytes() []byte { return s.buffer.Bytes() }

// head writes the first octets of a value, in their shortest form: RFC 8949, section 4.2.1.
func (s *cborSink) head(major byte, argument uint64) {
	b := s.buffer.AvailableBuffer()
	major <<= 5
	switch {
	case argument < 24:
		b = append(b, major|byte(argument))
	case argument <= math.MaxUint8:
		b = append(b, major|24, byte(argument))
	case argument <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, major|25), uint16(argument))
	case argument <= math.MaxUint32:
		b = binary.BigEndian.AppendUint32(append(b, major|26), uint32(argument))
	default:
		b = binary.BigEndian.AppendUint64(append(b, major|27), argument)
	}
	s.buffer.Write(b)
}

func (s *cborSink) openMap(n int)   { s.head(majorMap, uint64(n)) }
func (s *cborSink) closeMap()       {}
func (s *cborSink) openList(n int)  { s.head(majorList, uint64(n)) }
func (s *cborSink) closeList()      {}
func (s *cborSink) key(name string) { s.text(name) }

func (s *cborSink) text(text string) {
	text = strings.ToValidUTF8(text, "\ufffd") // as encoding/json does
	s.head(majorText, uint64(len(text)))
	s.buffer.WriteString(text)
}

func (s *cborSink) integer(n int64) {
	if n < 0 {
		s.head(majorNegative, uint64(-1-n))
		return
	}
	s.head(majorUnsigned, uint64(n))
}

func (s *cborSink) double(f float64) {
	s.buffer.Write(binary.BigEndian.AppendUint64(append(s.buffer.AvailableBuffer(), cborDouble), math.Float64bits(f)))
}

func (s *cborSink) boolean(truth bool) {
	if truth {
		s.buffer.WriteByte(cborTrue)
		return
	}
	s.buffer.WriteByte(cborFalse)
}

func (s *cborSink) blob(octets []byte) {
	s.head(majorBlob, uint64(len(octets)))
	s.buffer.Write(octets)
}

// instant writes tag 1 with seconds since 1970: a float when there is a fraction (Mail Manager, A29).
func (s *cborSink) instant(at time.Time) {
	s.head(majorTag, tagEpoch)
	if milliseconds := at.UnixMilli(); milliseconds%1000 != 0 {
		s.double(float64(milliseconds) / 1000)
		return
	}
	s.integer(at.Unix())
}
