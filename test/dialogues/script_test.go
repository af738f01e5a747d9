package dialogues

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// script is a dialogue as a text file has it, one topic each. Its lines:
//
//	# TEXT          what it is about
//	H: point NAME   the ingress point that the client talks to: see points
//	H: whole        each turn of the client is sent in one piece: what is shown depends on what arrives together
//	C: TEXT         the client sends the text and CRLF
//	C> TEXT         the same without CRLF
//	C* N TEXT       the client sends the text and CRLF so many times
//	B: TEXT         the client sends the text in base64 and CRLF; of ONE|OTHER only what follows the bar is encoded
//	E: NAME         the client says EHLO NAME, and is answered with 250 and whatever is offered
//	T: tls WORDS    the client makes a TLS handshake: see handshake
//	T! tls WORDS    the same, and the server ends the connection without another word
//	S: TEXT         the server's next line
//	S* REGEXP       the same, by a regular expression for the whole line
//	S. END          the server closes the connection
//	M: TEXT         a message that arrives at the next hop, in the order of their ids: "reverse-path PARAMETERS > forward-path
//	                PARAMETERS ...: quoted content", without the Received field that we add; - is one that nobody waits for
//	R: TEXT         that Received field up to its date, unfolded, in the order of the M: lines
//
// In what the client sends \r, \n, \t, \0, \xHH and \\ are escapes. {TEXT*N} is the text so many times. {host}, {user},
// {password} and {old}, the password before, are the point's, {NAME.host} and so on another point's, {client} is the address of
// the client. In an S: line {id} is the id of a message, which is remembered, and {session} that of a session. A client that
// has said everything ends its half of the connection, and the server must have nothing to add.
type script struct {
	name     string
	point    string
	whole    bool
	steps    []step // the first of which is only listened to
	messages []string
	received []string
}

// step is something that the client does, and what the server answers.
type step struct {
	client string
	hello  bool // answered with 250, whatever is offered
	tls    *handshake
	server []line
	end    bool
}

// line is a line of the server.
type line struct {
	text    string
	pattern bool // the text is a regular expression
}

// code is the reply code that the line begins with.
func (l line) code() string { return l.text[:min(len(l.text), len("250"))] }

// readScripts reads every dialogue.
func readScripts(t *testing.T) []*script {
	t.Helper()
	files, err := filepath.Glob("testdata/*.dialogue")
	if err != nil || len(files) < wantedDialogues {
		t.Fatalf("got %d dialogues, %v, want %d and more", len(files), err, wantedDialogues)
	}
	scripts := make([]*script, len(files))
	for i, file := range files {
		scripts[i] = readScript(t, file)
	}
	return scripts
}

func readScript(t *testing.T, file string) *script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{name: strings.TrimSuffix(filepath.Base(file), ".dialogue"), point: "open", steps: make([]step, 1)}
	if !strings.HasPrefix(string(text), "# ") {
		t.Errorf("%s does not say what it is about", file)
	}
	for number, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := s.read(line); err != nil {
			t.Fatalf("%s:%d: %v", file, number+1, err)
		}
	}
	return s
}

func (s *script) read(text string) error {
	kind, text, _ := strings.Cut(text, " ")
	text = repeat(text)
	last := &s.steps[len(s.steps)-1]
	switch kind {
	case "H:":
		return s.configure(text)
	case "S:", "S*":
		last.server = append(last.server, line{text: text, pattern: kind == "S*"})
	case "S.":
		last.end = true
	case "M:":
		s.messages = append(s.messages, text)
	case "R:":
		s.received = append(s.received, text)
	default:
		next, err := readStep(kind, text)
		if err != nil {
			return err
		}
		s.steps = append(s.steps, next)
	}
	return nil
}

func (s *script) configure(text string) error {
	name, value, _ := strings.Cut(text, " ")
	switch name {
	case "point":
		s.point = value
	case "whole":
		s.whole = true
	default:
		return fmt.Errorf("no such setting: %q", name)
	}
	return nil
}

// readStep reads what the client does.
func readStep(kind, text string) (s step, err error) {
	switch kind {
	case "C:":
		s.client = unescape(text) + "\r\n"
	case "C>":
		s.client = unescape(text)
	case "C*":
		count, line, _ := strings.Cut(text, " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return s, err
		}
		s.client = strings.Repeat(unescape(line)+"\r\n", n)
	case "B:": // encoded when the names in it are known
		s.client = encodedMark + unescape(text) + "\r\n"
	case "E:":
		s.client, s.hello = "EHLO "+text+"\r\n", true
		s.server = []line{{text: "250 "}}
	case "T:", "T!":
		s.tls, err = readHandshake(text, kind == "T!")
	default:
		err = fmt.Errorf("line of no kind: %q", kind)
	}
	return s, err
}

// encodedMark begins what is still to be encoded.
const encodedMark = "base64 "

// encode encodes what was marked, once the names in it are known.
func encode(text string) string {
	marked, found := strings.CutPrefix(text, encodedMark)
	if !found {
		return text
	}
	plain, marked, found := strings.Cut(strings.TrimSuffix(marked, "\r\n"), "|")
	if !found {
		plain, marked = "", plain
	}
	return plain + base64.StdEncoding.EncodeToString([]byte(marked)) + "\r\n"
}

var escape = regexp.MustCompile(`\\(x[0-9a-f]{2}|[rnt0\\])`)

func unescape(text string) string {
	return escape.ReplaceAllStringFunc(text, func(found string) string {
		switch {
		case found == `\0`:
			return "\x00"
		case strings.HasPrefix(found, `\x`):
			octet, _ := strconv.ParseUint(found[len(`\x`):], 16, 8)
			return string([]byte{byte(octet)})
		}
		character, _, _, _ := strconv.UnquoteChar(found, 0)
		return string(character)
	})
}

var repeated = regexp.MustCompile(`\{([^{}]+)\*(\d+)\}`)

func repeat(text string) string {
	return repeated.ReplaceAllStringFunc(text, func(found string) string {
		parts := repeated.FindStringSubmatch(found)
		n, _ := strconv.Atoi(parts[2])
		return strings.Repeat(parts[1], n)
	})
}

// steady reports whether the dialogue is the same when everything is sent at once: a handshake and a challenge want an answer.
func (s *script) steady() bool {
	for _, step := range s.steps {
		if step.tls != nil {
			return false
		}
		for _, line := range step.server {
			if line.code() == "334" {
				return false
			}
		}
	}
	return !s.whole
}

func TestReadScriptRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"X: what", "C", "H: nonsense", "C* x NOOP", "T: ssl", "T: tls 1.4", "T: tls cert=fake", "T: tls suite=none", "T: tls what"} {
		if err := (&script{steps: make([]step, 1)}).read(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		change    func(string) string
		text, got string
	}{
		{"escapes", unescape, `a\r\n\t\0\xff\\0`, "a\r\n\t\x00\xff\\0"},
		{"no escape", unescape, `\q \xf`, `\q \xf`},
		{"repeated", repeat, `<{ab*3}>`, "<ababab>"},
		{"not repeated", repeat, `{host} {a*} *3`, `{host} {a*} *3`},
		{"nothing to encode", encode, "MAIL", "MAIL"},
		{"encoded", encode, encodedMark + "a\r\n", "YQ==\r\n"},
		{"encoded in part", encode, encodedMark + "AUTH PLAIN |a\r\n", "AUTH PLAIN YQ==\r\n"},
	} {
		if got := test.change(test.text); got != test.got {
			t.Errorf("%s: got %q, want %q", test.name, got, test.got)
		}
	}
}
