package trace

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ErrToken says that a Query's token is none that Find gave.
var ErrToken = errors.New("this is no token of a search for traces")

// allLines stands for as many lines as a frame has.
const allLines = math.MaxInt32

// place is where a search goes on: before a line of a frame. The zero place is behind everything.
type place struct {
	name   string // of the segment
	offset int64  // of the frame
	line   int
}

// endOf is the place behind everything in a segment.
func endOf(name string) place { return place{name, math.MaxInt64, allLines} }

// String is the place as a token.
func (p place) String() string { return fmt.Sprintf("%s/%d/%d", p.name, p.offset, p.line) }

// parsePlace reads a token.
func parsePlace(token string) (p place, err error) {
	if token == "" {
		return p, nil
	}
	name, rest, _ := strings.Cut(token, "/")
	offset, line, _ := strings.Cut(rest, "/")
	p.name = name
	if p.offset, err = strconv.ParseInt(offset, 10, 64); err != nil {
		return place{}, ErrToken
	}
	if p.line, err = strconv.Atoi(line); err != nil || p.offset < 0 || p.line < 0 || p.line > allLines || !segmentName.MatchString(name) {
		return place{}, ErrToken
	}
	return p, nil
}
