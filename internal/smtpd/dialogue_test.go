package smtpd

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
)

// script is a dialogue as a text file has it, one topic each. Its lines:
//
//	H: NAME VALUE   the host: "unbound", "max-size N", "max-recipients N"
//	C: TEXT         the client sends the text and CRLF; \r, \n, \t, \xHH and \\ are escapes
//	C> TEXT         the same without CRLF
//	S: TEXT         the server's next line
//	S. END          the server closes the connection
//	M: TEXT         a message that the host got: "reverse-path > forward-paths: quoted content"
//	A: N            how many sinks were aborted
type script struct {
	host     *fakeHost
	turns    []turn
	messages []string
	aborted  int
}

// turn is something the client sends, and the lines that the server answers.
type turn struct {
	client string
	server []string
	end    bool
}

func readScript(t *testing.T, file string) *script {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{host: newHost(), turns: make([]turn, 1)}
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

func (s *script) read(line string) error {
	kind, text, _ := strings.Cut(line, " ")
	last := &s.turns[len(s.turns)-1]
	switch kind {
	case "C:":
		s.turns = append(s.turns, turn{client: unescape(text) + "\r\n"})
	case "C>":
		s.turns = append(s.turns, turn{client: unescape(text)})
	case "S:":
		last.server = append(last.server, text)
	case "S.":
		last.end = true
	case "M:":
		s.messages = append(s.messages, text)
	case "A:":
		s.aborted, _ = strconv.Atoi(text)
	case "H:":
		return s.host.configure(text)
	default:
		return fmt.Errorf("line of no kind: %q", line)
	}
	return nil
}

func (h *fakeHost) configure(text string) error {
	name, value, _ := strings.Cut(text, " ")
	number, _ := strconv.Atoi(value)
	switch name {
	case "unbound":
		h.unbound = true
	case "max-size":
		h.maxSize = int64(number)
	case "max-recipients":
		h.maxRecipients = number
	default:
		return fmt.Errorf("no such setting: %q", name)
	}
	return nil
}

var escape = regexp.MustCompile(`\\(x[0-9a-f]{2}|[rnt\\])`)

func unescape(text string) string {
	return escape.ReplaceAllStringFunc(text, func(found string) string {
		octet, _, _, _ := strconv.UnquoteChar(found, 0)
		if strings.HasPrefix(found, `\x`) {
			return string([]byte{byte(octet)})
		}
		return string(octet)
	})
}

// TestDialogues plays every script three times: in turns, everything at once (what is pipelined is answered the same), and
// octet by octet.
func TestDialogues(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B9", "B10", "B11", "B15", "B21")
	files, err := filepath.Glob("testdata/*.dialogue")
	if err != nil || len(files) < 30 {
		t.Fatalf("got %d dialogues, %v, want 30 and more", len(files), err)
	}
	ways := map[string]sendTurn{"turns": inTurns, "at once": atOnce, "octets": byOctets}
	for _, file := range files {
		for way, send := range ways {
			name := strings.TrimSuffix(filepath.Base(file), ".dialogue")
			t.Run(name+"/"+way, func(t *testing.T) {
				t.Parallel()
				s := readScript(t, file)
				c := serve(t, s.host, nil).dial(t)
				hear(c, s.turns[0])
				play(c, s.turns[1:], send)
				<-s.host.closed
				messages, _, aborted := s.host.seen()
				if diff := cmp.Diff(s.messages, messages); diff != "" {
					t.Errorf("messages (-want +got):\n%s", diff)
				}
				if aborted != s.aborted {
					t.Errorf("got %d sinks aborted, want %d", aborted, s.aborted)
				}
			})
		}
	}
}

func hear(c *client, spoken turn) {
	c.t.Helper()
	for _, want := range spoken.server {
		if got := c.line(); got != want {
			c.t.Fatalf("after %q got %q, want %q", spoken.client, got, want)
		}
	}
	if spoken.end {
		c.wantEnd()
	}
}

// sendTurn sends what the client says in turn i.
type sendTurn func(c *client, turns []turn, i int)

func inTurns(c *client, turns []turn, i int) { c.send(turns[i].client) }

func atOnce(c *client, turns []turn, i int) {
	if i > 0 {
		return
	}
	var all strings.Builder
	for _, turn := range turns {
		all.WriteString(turn.client)
	}
	c.send(all.String())
}

func byOctets(c *client, turns []turn, i int) {
	text, step := turns[i].client, 1
	if turns[i].end { // octets that arrive after the end would reset the connection
		step = len(text)
	}
	for at := 0; at < len(text); at += step {
		c.send(text[at : at+step])
	}
}

func play(c *client, turns []turn, send sendTurn) {
	for i, turn := range turns {
		send(c, turns, i)
		hear(c, turn)
		if turn.end {
			return
		}
	}
	hangUp(c)
}

// hangUp ends the client's half, and wants nothing more from the server.
func hangUp(c *client) {
	c.conn.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(c.from); err != nil || len(rest) > 0 {
		c.t.Errorf("got %q, %v at the end, want nothing more", rest, err)
	}
}
