package smtp

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadReply(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     Reply
	}{
		{"one line", "250 OK\r\n", Reply{Code: 250, Text: "OK"}},
		{"enhanced", "550 5.1.1 no such user\r\n", Reply{Code: 550, Enhanced: EnhancedCode{5, 1, 1}, Text: "no such user"}},
		{"enhanced alone", "250 2.0.0\r\n", Reply{Code: 250, Enhanced: EnhancedCode{2, 0, 0}}},
		{"three digits", "450 4.721.999 later\r\n", Reply{Code: 450, Enhanced: EnhancedCode{4, 721, 999}, Text: "later"}},
		{"code alone", "250\r\n", Reply{Code: 250}},
		{"no text", "250 \r\n", Reply{Code: 250}},
		{"bare LF", "250 OK\n", Reply{Code: 250, Text: "OK"}},
		{"several lines", "250-mx.example\r\n250-SIZE 100\r\n250 DSN\r\n", Reply{Code: 250, Text: "mx.example\nSIZE 100\nDSN"}},
		{"enhanced on all lines", "450-4.2.1 busy\r\n450 4.2.1 later\r\n", Reply{Code: 450, Enhanced: EnhancedCode{4, 2, 1}, Text: "busy\nlater"}},
		{"enhanced on some lines", "450-4.2.1 busy\r\n450 later\r\n", Reply{Code: 450, Text: "4.2.1 busy\nlater"}},
		{"enhanced differs", "450-4.2.1 busy\r\n450 4.2.2 later\r\n", Reply{Code: 450, Text: "4.2.1 busy\n4.2.2 later"}},
		{"class does not agree", "250 5.1.1 what\r\n", Reply{Code: 250, Text: "5.1.1 what"}},
		{"no such class", "354 3.0.0 go\r\n", Reply{Code: 354, Text: "3.0.0 go"}},
		{"four digits", "550 5.1.1000 x\r\n", Reply{Code: 550, Text: "5.1.1000 x"}},
		{"four numbers", "550 5.1.1.1 x\r\n", Reply{Code: 550, Text: "5.1.1.1 x"}},
		{"two numbers", "550 5.1 x\r\n", Reply{Code: 550, Text: "5.1 x"}},
		{"version, not a code", "220 5.x.0 x\r\n", Reply{Code: 220, Text: "5.x.0 x"}},
		{"controls", "550 a\x00b\rc\x1b[m\x7f\r\n", Reply{Code: 550, Text: "a?b?c?[m?"}},
		{"not UTF-8", "550 \xff\xfe\r\n", Reply{Code: 550, Text: "?"}},
		{"the next is left alone", "250 OK\r\n550 no\r\n", Reply{Code: 250, Text: "OK"}},
		{"longest line", "250 " + strings.Repeat("x", 2_042) + "\r\n", Reply{Code: 250, Text: strings.Repeat("x", 2_042)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, size := range []int{16, 4_096} { // lines longer and shorter than the reader's buffer
				got, err := ReadReply(bufio.NewReaderSize(strings.NewReader(test.in), size))
				if err != nil {
					t.Fatalf("got error %v, want %v", err, &test.want)
				}
				if diff := cmp.Diff(test.want, *got); diff != "" {
					t.Errorf("buffer of %d (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

func TestReadReplyRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     error
	}{
		{"nothing", "", io.EOF},
		{"half a line", "250 O", io.ErrUnexpectedEOF},
		{"half a reply", "250-OK\r\n", io.ErrUnexpectedEOF},
		{"empty line", "\r\n", ErrMalformedReply},
		{"no code", "OK\r\n", ErrMalformedReply},
		{"code too short", "25 OK\r\n", ErrMalformedReply},
		{"code too long", "2500 OK\r\n", ErrMalformedReply},
		{"1yz", "150 wait\r\n", ErrMalformedReply},
		{"6yz", "650 wait\r\n", ErrMalformedReply},
		{"code with a letter", "2x0 OK\r\n", ErrMalformedReply},
		{"codes differ", "250-OK\r\n550 no\r\n", ErrMalformedReply},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", ErrMalformedReply},
		{"line too long", "250 " + strings.Repeat("x", 2_043) + "\r\n", ErrMalformedReply},
		{"line without end", "250 " + strings.Repeat("x", 1<<20), ErrMalformedReply},
		{"too many lines", strings.Repeat("250-x\r\n", 129), ErrMalformedReply},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadReply(bufio.NewReaderSize(strings.NewReader(test.in), 64))
			if !errors.Is(err, test.want) || got != nil {
				t.Errorf("got %v, %v, want error %v", got, err, test.want)
			}
		})
	}
}

func TestReplyAppendTo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   *Reply
		want string
	}{
		{"plain", &Reply{Code: 354, Text: "go on"}, "354 go on\r\n"},
		{"enhanced", NewReply(250, 2, 0, 0, "OK"), "250 2.0.0 OK\r\n"},
		{"several lines", NewReply(450, 4, 2, 1, "a\nb"), "450-4.2.1 a\r\n450 4.2.1 b\r\n"},
		{"no text", NewReply(250, 2, 0, 0, ""), "250 2.0.0 \r\n"},
		{"no injection", NewReply(550, 5, 1, 1, "a\r250 OK\x00"), "550 5.1.1 a?250 OK?\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := string(test.in.AppendTo(nil)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestReplyAsError(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk full")
	plain := NewReply(452, 4, 3, 1, "Try later")
	reply := plain.Because(cause)
	if !errors.Is(reply, cause) || plain.Cause != nil {
		t.Errorf("got cause %v and on the original %v, want %v and none", reply.Cause, plain.Cause, cause)
	}
	if got, want := reply.Error(), "452 4.3.1 Try later (disk full)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&Reply{Code: 220, Text: "hi"}).Error(), "220 hi"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (EnhancedCode{}).String(); got != "" {
		t.Errorf("got %q for no enhanced code, want nothing", got)
	}
	if got, want := reply.Enhanced.String(), "4.3.1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !reply.Transient() || reply.Permanent() || reply.Positive() {
		t.Error("452 is transient, neither permanent nor positive")
	}
	if permanent := (&Reply{Code: 550}); permanent.Transient() || !permanent.Permanent() {
		t.Error("550 is permanent")
	}
	if goOn := (&Reply{Code: 354}); !goOn.Positive() {
		t.Error("354 is positive")
	}
}

// FuzzReadReply: what was read, printed and read again is the same.
func FuzzReadReply(f *testing.F) {
	f.Add("250 OK\r\n")
	f.Add("250-mx.example\r\n250 SIZE\r\n")
	f.Add("450-4.2.1 busy\r\n450 4.2.1 later\r\n")
	f.Add("550 5.1.1 2.0.0 \xff\x00\r\n")
	f.Add("250-\r\n250\r\n")
	f.Fuzz(func(t *testing.T, wire string) {
		first, err := ReadReply(bufio.NewReader(strings.NewReader(wire)))
		if err != nil {
			return
		}
		printed := string(first.AppendTo(nil))
		second, err := ReadReply(bufio.NewReader(strings.NewReader(printed)))
		switch {
		case err != nil && len(wire) >= maxReplyLineOctets: // a line at the limit that grew: LF to CRLF, a space after the code
		case err != nil:
			t.Fatalf("reading %q, printed from %q: %v", printed, wire, err)
		case !cmp.Equal(first, second):
			t.Errorf("got %+v from %q, want %+v", second, printed, first)
		}
	})
}
