package dialogues

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/conform"
)

const (
	wantedDialogues = 120
	patience        = time.Minute // for a whole dialogue; it is only ever used up by a failure
	mostPieces      = 512         // that a turn of the client is cut into
)

// way is how a dialogue is played.
type way int

const (
	inTurns way = iota // as a client that waits for each reply sends it
	atOnce             // everything behind the greeting together: what is pipelined is answered the same
	inParts            // octet by octet, or where that is too many, in parts as small
)

func (w way) String() string { return [...]string{"turns", "at once", "octets"}[w] }

// ways are those that make no difference to the dialogue.
func (s *script) ways() []way {
	switch {
	case s.whole:
		return []way{inTurns}
	case s.steady():
		return []way{inTurns, atOnce, inParts}
	default:
		return []way{inTurns, inParts}
	}
}

// TestDialogues plays every dialogue in all ways, against one server.
func TestDialogues(t *testing.T) {
	t.Parallel()
	conform.Check(t, "B1", "B2", "B3", "B4", "B6", "B7", "B9", "B10", "B11", "B13", "B14", "B15", "B16", "B17", "B18", "B21", "E1", "B8")
	scripts := readScripts(t)
	g := startGateway(t)
	t.Run("played", func(t *testing.T) {
		for i, s := range scripts {
			for _, w := range s.ways() {
				t.Run(s.name+"/"+w.String(), func(t *testing.T) {
					t.Parallel()
					p := newPlayer(t, g, s, sourceOf(i, w))
					p.play(w)
					p.checkMessages()
				})
			}
		}
	})
	g.sink.wantNothingElse(t)
}

// sourceOf gives each play an address of its own, so that what one does wrong costs no other. Only Linux has all of 127.0.0.0/8.
func sourceOf(i int, w way) string {
	if runtime.GOOS != "linux" {
		return "127.0.0.1"
	}
	return fmt.Sprintf("127.%d.%d.%d", 1+w, i/200, 1+i%200)
}

// player is a client that plays a dialogue.
type player struct {
	t       *testing.T
	gateway *gateway
	script  *script
	names   *strings.Replacer
	conn    net.Conn // TCP, or TLS over it
	from    *bufio.Reader
	ids     []string // of messages that were accepted
}

func newPlayer(t *testing.T, g *gateway, s *script, source string) *player {
	t.Helper()
	point, ok := g.points[s.point]
	if !ok {
		t.Fatalf("no ingress point %q", s.point)
	}
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	conn, err := from.Dial("tcp", point.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &player{t: t, gateway: g, script: s, names: g.names(point, source), conn: conn, from: bufio.NewReader(conn)}
}

func (p *player) play(w way) {
	p.t.Helper()
	greeted, sent := false, false
	for i, s := range p.script.steps {
		switch {
		case s.tls != nil:
			if !p.secure(s.tls) {
				return
			}
		case sent:
		case w == atOnce && greeted:
			p.sendAll(p.script.steps[i:])
			sent = true
		case w == inParts && !s.end: // octets that arrive after the end would reset the connection
			p.sendParts(p.text(s))
		default:
			p.send(p.text(s))
		}
		p.hear(s)
		greeted = greeted || len(s.server) > 0
		if s.end {
			p.wantEnd()
			return
		}
	}
	p.hangUp()
}

// text is what the client says.
func (p *player) text(s step) string { return encode(p.names.Replace(s.client)) }

func (p *player) sendAll(steps []step) {
	p.t.Helper()
	var all strings.Builder
	for _, s := range steps {
		all.WriteString(p.text(s))
	}
	p.send(all.String())
}

func (p *player) sendParts(text string) {
	p.t.Helper()
	for part := range slices.Chunk([]byte(text), 1+len(text)/mostPieces) {
		p.send(string(part))
	}
}

func (p *player) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatalf("sending %.80q: %v", text, err)
	}
}

// hear compares what the server answers.
func (p *player) hear(s step) {
	p.t.Helper()
	if s.hello {
		p.hearHello(s)
		return
	}
	for _, want := range s.server {
		pattern, got := p.pattern(want), p.line()
		match := pattern.FindStringSubmatch(got)
		if match == nil {
			p.t.Fatalf("after %.200q got %q, want %q", p.text(s), got, want.text)
		}
		if id := pattern.SubexpIndex("id"); id >= 0 {
			p.ids = append(p.ids, match[id])
		}
	}
}

func (p *player) hearHello(s step) {
	p.t.Helper()
	for {
		got := p.line()
		switch {
		case strings.HasPrefix(got, "250-"):
		case strings.HasPrefix(got, "250 "):
			return
		default:
			p.t.Fatalf("after %q got %q, want 250", s.client, got)
		}
	}
}

// anID is what ids look like: Mail Manager, B14.
const anID = `[0-9a-v]{40}`

// pattern is what a line of the server must match.
func (p *player) pattern(l line) *regexp.Regexp {
	text := p.names.Replace(l.text)
	if !l.pattern {
		text = strings.NewReplacer(`\{id\}`, "(?P<id>"+anID+")", `\{session\}`, anID).Replace(regexp.QuoteMeta(text))
	}
	return regexp.MustCompile("^(?:" + text + ")$")
}

// line reads a line without its end; it is empty at the end of the connection.
func (p *player) line() string {
	p.t.Helper()
	got, err := p.from.ReadString('\n')
	if err != nil && (err != io.EOF || got != "") {
		p.t.Fatalf("reading after %q: %v", got, err)
	}
	if got != "" && !strings.HasSuffix(got, "\r\n") {
		p.t.Fatalf("got %q, want CRLF at the end", got)
	}
	return strings.TrimSuffix(got, "\r\n")
}

// wantEnd wants the connection closed without another word.
func (p *player) wantEnd() {
	p.t.Helper()
	if got := p.line(); got != "" {
		p.t.Fatalf("got %q, want the end", got)
	}
}

// hangUp ends the client's half, and wants nothing more from the server.
func (p *player) hangUp() {
	p.t.Helper()
	p.conn.(interface{ CloseWrite() error }).CloseWrite()
	if rest, err := io.ReadAll(p.from); err != nil || len(rest) > 0 {
		p.t.Errorf("got %q, %v at the end, want nothing more", rest, err)
	}
}

// checkMessages compares what arrived at the next hop with what was accepted.
func (p *player) checkMessages() {
	p.t.Helper()
	if len(p.ids) != len(p.script.messages) {
		p.t.Fatalf("%d messages accepted, %d expected", len(p.ids), len(p.script.messages))
	}
	for i, id := range p.ids {
		p.gateway.sink.expect(id)
		if p.script.messages[i] == "-" {
			continue
		}
		got := p.gateway.sink.await(p.t, id)
		if diff := cmp.Diff(p.names.Replace(p.script.messages[i]), got.text); diff != "" {
			p.t.Errorf("message %d (-want +got):\n%s", i+1, diff)
		}
		if i < len(p.script.received) {
			want := strings.ReplaceAll(p.names.Replace(p.script.received[i]), "{id}", id)
			if got.received != want {
				p.t.Errorf("message %d: Received:\n got %s\nwant %s", i+1, got.received, want)
			}
		}
	}
}
