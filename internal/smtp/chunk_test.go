package smtp

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestParseChunk(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     Chunk
	}{
		{"size", "1000", Chunk{Size: 1000}},
		{"last", "86 LAST", Chunk{Size: 86, Last: true}},
		{"any case", "86 laSt", Chunk{Size: 86, Last: true}},
		{"nothing more", "0 LAST", Chunk{Last: true}},
		{"S8 nothing", "0", Chunk{}},
		{"spaces", "7   LAST ", Chunk{Size: 7, Last: true}},
		{"leading zeros", "0000000000000000000000000000007", Chunk{Size: 7}},
		{"S8 largest", "9223372036854775807", Chunk{Size: math.MaxInt64}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, refusal := ParseChunk(test.in); refusal != nil || got != test.want {
				t.Errorf("got %+v, %v, want %+v", got, refusal, test.want)
			}
		})
	}
}

func TestParseChunkRefuses(t *testing.T) {
	t.Parallel()
	refused := []string{
		"", "LAST", "LAST 10", "x", "-1", "-0", "+1", "9223372036854775808", "18446744073709551616", "99999999999999999999 LAST", "1_000",
		"0x10", "1.0", "1e3", "10 LAST LAST", "10 LAS", "10 LASTX", "10 LAſT", "10LAST", "10,LAST", "10\tLAST", "10\x00", "10\r", "١٢",
		" 10", "10 10",
	}
	for _, in := range refused {
		got, refusal := ParseChunk(in)
		if got != (Chunk{}) {
			t.Errorf("S8 %q: got %+v, want none", in, got)
		}
		checkRefusal(t, refusal, badKeyword, errChunk)
	}
}

// FuzzParseChunk: a size is what the digits say, never negative; printed and parsed again it is the same.
func FuzzParseChunk(f *testing.F) {
	for _, seed := range []string{"", "0", "86 LAST", "-1", "9223372036854775807 last", "9223372036854775808", "1 LAST x", "007"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, argument string) {
		got, refusal := ParseChunk(argument)
		if refusal != nil {
			if got != (Chunk{}) || refusal.Code != 501 || refusal.Cause == nil {
				t.Errorf("got %+v beside refusal %v", got, refusal)
			}
			return
		}
		digits, marker, _ := strings.Cut(argument, " ")
		if want, ok := new(big.Int).SetString(digits, 10); !ok || got.Size < 0 || want.Cmp(big.NewInt(got.Size)) != 0 {
			t.Errorf("got %d octets, want %v", got.Size, want)
		}
		if got.Last == (strings.Trim(marker, " ") == "") {
			t.Errorf("got last %v of marker %q", got.Last, marker)
		}
		printed := fmt.Sprint(got.Size)
		if got.Last {
			printed += " LAST"
		}
		if again, refusal := ParseChunk(printed); refusal != nil || again != got {
			t.Errorf("got %+v, %v, want %+v", again, refusal, got)
		}
	})
}
