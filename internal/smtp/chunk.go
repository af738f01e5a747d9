package smtp

import (
	"errors"
	"strconv"
	"strings"
)

var errChunk = errors.New("argument is neither a size nor a size and LAST")

// Chunk is the argument of BDAT. RFC 3030, section 2.
type Chunk struct {
	Size int64 // octets that follow the command line, from 0 to math.MaxInt64
	Last bool  // the message ends with the chunk
}

// ParseChunk reads the argument of BDAT. The reply is 501 5.5.4; nobody can tell then where the next command begins, so that
// the connection must be closed (S8). RFC 3030, section 2.
func ParseChunk(argument string) (Chunk, *Reply) {
	size, marker, _ := strings.Cut(argument, " ")
	marker = strings.Trim(marker, " ")
	last := isWord(marker, "LAST")
	if !isNumber(size) || marker != "" && !last {
		return Chunk{}, badKeyword.Because(errChunk)
	}
	octets, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return Chunk{}, badKeyword.Because(errChunk)
	}
	return Chunk{Size: octets, Last: last}, nil
}
