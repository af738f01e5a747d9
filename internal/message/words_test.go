package message

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestAppendText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   string
		want string
	}{
		{"plain", " Hello, world ", "Hello, world"},
		{"unfolded", "a\r\n b\r\n\tc", "a b\tc"},
		{"nothing", "", ""},
		{"blanks only", " \t\r\n ", ""},
		{"q", "=?utf-8?q?Gr=C3=BC=C3=9Fe_an_dich?=", "Grüße an dich"},
		{"Q, lower-case hex", "=?UTF-8?Q?Gr=c3=bc=C3=9fe?=", "Grüße"},
		{"b", "=?utf-8?B?R3LDvMOfZQ==?=", "Grüße"},
		{"b without padding", "=?utf-8?b?R3LDvMOfZQ?=", "Grüße"},
		{"iso-8859-1", "=?iso-8859-1?q?Gr=FC=DFe?=", "Grüße"},
		{"koi8-r", "=?koi8-r?B?8NLJ18XU?=", "Привет"},
		{"shift_jis", "=?shift_jis?B?k/qWew==?=", "日本"},
		{"iso-2022-jp", "=?ISO-2022-JP?B?GyRCRnxLXBsoQg==?=", "日本"},
		{"another name of UTF-8", "=?utf8?q?=C3=BC?=", "ü"},
		{"with a language", "=?utf-8*de?q?=C3=BC?=", "ü"},
		{"between words", "a =?utf-8?q?b?= c", "a b c"},
		{"blanks between encoded words vanish", "=?utf-8?q?a?=\r\n  =?utf-8?q?b?=", "ab"},
		{"blanks before a plain word stay", "=?utf-8?q?a?= \t b", "a \t b"},
		{"character broken in two", "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"},
		{"character broken in two, of shift_jis", "=?shift_jis?q?=93?= =?shift_jis?q?=FA?= x", "日 x"},
		{"two charsets", "=?iso-8859-1?q?=FC?= =?utf-8?q?=C3=9F?=", "üß"},
		{"no blank around", "a=?utf-8?q?b?=c", "abc"},
		{"space in q", "=?utf-8?q?a b?=", "a b"},
		{"unfinished hex", "=?utf-8?q?a=C?=", "a=C"},
		{"no hex", "=?utf-8?q?=GG?=", "=GG"},
		{"octets outside UTF-8 pass", "a\xff", "a\xff"},
		{"unknown charset stays", "=?klingon?q?a?=", "=?klingon?q?a?="},
		{"no charset stays", "=??q?a?=", "=??q?a?="},
		{"unknown encoding stays", "=?utf-8?x?a?=", "=?utf-8?x?a?="},
		{"broken base64 stays", "=?utf-8?b?a*b?=", "=?utf-8?b?a*b?="},
		{"broken base64 after a word", "=?utf-8?q?a?= =?utf-8?b?*?=", "a =?utf-8?b?*?="},
		{"no end stays", "=?utf-8?q?abc", "=?utf-8?q?abc"},
		{"half an end stays", "=?utf-8?q?abc?", "=?utf-8?q?abc?"},
		{"end without equals sign", "=?utf-8?q?abc?d", "=?utf-8?q?abc?d"},
		{"only a beginning", "=?", "=?"},
		{"cut after the charset", "=?utf-8?", "=?utf-8?"},
		{"cut in the encoding", "=?utf-8?q", "=?utf-8?q"},
		{"encoding of two letters", "=?utf-8?qq?a?=", "=?utf-8?qq?a?="},
		{"charset too long", "=?" + strings.Repeat("a", 70) + "?q?a?=", "=?" + strings.Repeat("a", 70) + "?q?a?="},
		{"word in a failed word", "=?x?q?=?utf-8?q?a?=", "=?x?q?a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := string(AppendText(nil, []byte(tt.in))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAppendTextKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	if got := string(AppendText([]byte("there  "), []byte(" =?koi8-r?B?8NLJ18XU?= x "))); got != "there  Привет x" {
		t.Errorf("got %q", got)
	}
}

// S15: what is tried at every equals sign must not look far.
func TestAppendTextIsLinear(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"=?", "=?utf-8?q?", "=?utf-8?b?", "=?utf-8?q?=C3?= ", "=?koi8-r?q?=C3?= ", "=?a?q?x?=\r\n\t", "="} {
		in := []byte(strings.Repeat(part, MaxHeaderOctets/len(part)))
		start := time.Now()
		AppendText(nil, in)
		if took := time.Since(start); took > 3*time.Second { // takes 20 ms; quadratic time would be minutes
			t.Errorf("%q: took %v for %d octets", part, took, len(in))
		}
	}
}

// FuzzText: bounded, and the same whatever it is appended to.
func FuzzText(f *testing.F) {
	for _, seed := range []string{
		"a\r\n b", "=?utf-8?q?=C3=BC?=", "=?big5?b?iGI=?=", "=?iso-2022-jp?B?GyRCRnxLXBsoQg==?= =?utf-8?q?a?= b",
		"=?gb18030?b?gTCBMA==?=", "=?utf-16le?b?AAA=?=", "=?x?q?=?utf-8?q?a?=", "=?macintosh?q?=F0?=",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := AppendText(nil, raw)
		if len(got) > 3*len(raw) {
			t.Fatalf("got %d octets of %d", len(got), len(raw))
		}
		if after := AppendText([]byte("x "), raw); string(after) != "x "+string(got) {
			t.Fatalf("got %q appended, want %q", after, got)
		}
		if bytes.Contains(raw, []byte("=?")) {
			return
		}
		if again := AppendText(nil, got); !bytes.Equal(again, got) {
			t.Fatalf("got %q read again, want %q", again, got)
		}
	})
}

// A value that goes out as encoded words comes back as it was.
func TestEncodeWordsRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		encoded := encodeWords(text)
		for line := range strings.SplitSeq(encoded, "\r\n") {
			if word := strings.TrimPrefix(line, " "); len(word) > 75 || !isPrintable(word) { // RFC 2047, section 2
				t.Fatalf("got line %q", line)
			}
		}
		if got := string(AppendText(nil, []byte(encoded))); got != strings.Trim(text, " \t") {
			t.Fatalf("got %q, want %q", got, text)
		}
	})
}

func TestEncodeWordsOfOctets(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("\xbf", 200) // continuation octets only: no place to break
	if got := string(AppendText(nil, []byte(encodeWords(text)))); got != text || utf8.ValidString(text) {
		t.Errorf("got %q, want %q", got, text)
	}
}
