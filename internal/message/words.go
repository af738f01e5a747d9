package message

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

// maxCharsetOctets is the longest charset name that is looked up, with a language (RFC 2231, section 5). The longest in
// use has 21 octets.
const maxCharsetOctets = 64

// AppendText appends the text of a field's value to dst: unfolded, encoded words decoded to UTF-8, blanks at both ends
// taken off. What cannot be decoded stays as it stands; octets that were not encoded pass through whatever they are.
// The time is linear and the text at most three times as long as raw. RFC 2047, section 6; Mail Manager, D10.
func AppendText(dst, raw []byte) []byte {
	d := textDecoder{out: dst, start: len(dst)}
	for at := 0; at < len(raw); {
		if raw[at] == '=' {
			if w, ok := cutWord(raw[at:]); ok && d.word(w) {
				at += w.size
				continue
			}
		}
		d.plain(raw[at])
		at++
	}
	return d.finish()
}

// encodedWord is an encoded word taken apart.
type encodedWord struct {
	charset  []byte
	encoding byte // b or q
	text     []byte
	size     int // of the whole word
}

// cutWord takes the encoded word at the beginning of text apart. It looks no further than the fourth question mark, so
// that trying at every equals sign stays linear.
func cutWord(text []byte) (encodedWord, bool) {
	if len(text) < 2 || text[1] != '?' {
		return encodedWord{}, false
	}
	charset, _, found := bytes.Cut(text[2:min(len(text), 2+maxCharsetOctets+1)], []byte{'?'})
	rest := text[min(len(text), 2+len(charset)+1):]
	if !found || len(rest) < 2 || rest[1] != '?' {
		return encodedWord{}, false
	}
	end := bytes.IndexByte(rest[2:], '?')
	if end < 0 || 2+end+1 >= len(rest) || rest[2+end+1] != '=' {
		return encodedWord{}, false
	}
	charset, _, _ = bytes.Cut(charset, []byte{'*'}) // RFC 2231, section 5: a language may follow
	w := encodedWord{charset: charset, encoding: rest[0] | 0x20, text: rest[2 : 2+end]}
	w.size = len(text) - len(rest) + 2 + end + 2
	return w, w.encoding == 'b' || w.encoding == 'q'
}

// textDecoder builds a text in out[start:]. Encoded words in a row are one run of octets for as long as the charset stays
// the same, because many a sender breaks a character in two; out[from:to] is that run, still in its charset.
type textDecoder struct {
	out      []byte
	start    int
	running  bool
	from, to int
	charset  encoding.Encoding // nil: UTF-8
}

func (d *textDecoder) plain(c byte) {
	if c == '\r' || c == '\n' {
		return // unfolding takes the line end and leaves the blank: RFC 5322, section 2.2.3
	}
	if d.running && !isBlank(c) {
		d.endRun()
	}
	d.out = append(d.out, c)
}

// word adds an encoded word, or does nothing and reports false when it cannot be decoded.
func (d *textDecoder) word(w encodedWord) bool {
	charset, ok := lookupCharset(w.charset)
	if !ok {
		return false
	}
	var room [96]byte
	octets, ok := w.appendOctets(room[:0])
	if !ok {
		return false
	}
	if d.running {
		d.out = d.out[:d.to] // blanks between encoded words vanish: RFC 2047, section 6.2
		if charset != d.charset {
			d.endRun()
		}
	}
	if !d.running {
		d.running, d.from, d.charset = true, len(d.out), charset
	}
	d.out = append(d.out, octets...)
	d.to = len(d.out)
	return true
}

// endRun undoes the charset of the run and keeps the blanks that followed it.
func (d *textDecoder) endRun() {
	d.running = false
	if d.charset == nil {
		return
	}
	// Decoders replace what they cannot read; should one fail all the same, the octets stay.
	if text, err := d.charset.NewDecoder().Bytes(d.out[d.from:d.to]); err == nil {
		text = append(text, d.out[d.to:]...)
		d.out = append(d.out[:d.from], text...)
	}
}

func (d *textDecoder) finish() []byte {
	if d.running {
		d.endRun()
	}
	text := bytes.Trim(d.out[d.start:], " \t")
	return d.out[:d.start+copy(d.out[d.start:], text)]
}

// lookupCharset returns the encoding of a charset, nil for UTF-8 and what it includes.
func lookupCharset(name []byte) (encoding.Encoding, bool) {
	if bytes.EqualFold(name, []byte("utf-8")) || bytes.EqualFold(name, []byte("us-ascii")) {
		return nil, true
	}
	e, err := htmlindex.Get(string(name))
	if err != nil {
		return nil, false
	}
	if canonical, _ := htmlindex.Name(e); canonical == "utf-8" {
		return nil, true
	}
	return e, true
}

// appendOctets undoes the word's transfer encoding.
func (w encodedWord) appendOctets(dst []byte) ([]byte, bool) {
	if w.encoding == 'b' {
		out, err := base64.RawStdEncoding.AppendDecode(dst, bytes.TrimRight(w.text, "="))
		return out, err == nil
	}
	for i := 0; i < len(w.text); i++ {
		switch c := w.text[i]; {
		case c == '_':
			dst = append(dst, ' ') // RFC 2047, section 4.2
		case c == '=' && i+2 < len(w.text) && unhex(w.text[i+1]) >= 0 && unhex(w.text[i+2]) >= 0:
			dst = append(dst, byte(unhex(w.text[i+1])<<4|unhex(w.text[i+2])))
			i += 2
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}

// maxWordTextOctets is how much text goes into one encoded word: a word may have 75 characters (RFC 2047, section 2), of
// which 12 are its frame, and base64 makes 60 of 45.
const maxWordTextOctets = 45

// encodeWords writes text as encoded words, each on a line of its own. No character is broken in two.
func encodeWords(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		n := min(len(text), maxWordTextOctets)
		for n > 1 && n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		if b.Len() > 0 {
			b.WriteString("\r\n ")
		}
		b.WriteString("=?utf-8?b?" + base64.StdEncoding.EncodeToString([]byte(text[:n])) + "?=")
		text = text[n:]
	}
	return b.String()
}
