package smtpd

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	runtimemetrics "runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/conform"
)

// speech is a connection in memory whose client says everything at once, or in pieces of the sizes of cuts, in turns; what
// the server says is kept.
type speech struct {
	left   []byte
	cuts   []byte // 0 is all that is left
	turn   int
	heard  bytes.Buffer
	shut   bool // the server has closed its half
	reason string
}

func (s *speech) Read(p []byte) (int, error) {
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	size := len(s.left)
	if len(s.cuts) > 0 {
		if cut := int(s.cuts[s.turn%len(s.cuts)]); cut > 0 {
			size = min(size, cut)
		}
		s.turn++
	}
	n := copy(p, s.left[:size])
	s.left = s.left[n:]
	return n, nil
}

func (s *speech) Write(p []byte) (int, error) {
	if s.shut {
		s.reason = fmt.Sprintf("sent %.80q on a closed connection", p)
	}
	return s.heard.Write(p)
}

func (s *speech) Close() error                     { s.shut = true; return nil }
func (s *speech) CloseWrite() error                { s.shut = true; return nil }
func (s *speech) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25} }
func (s *speech) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2525} }
func (s *speech) SetDeadline(time.Time) error      { return nil }
func (s *speech) SetReadDeadline(time.Time) error  { return nil }
func (s *speech) SetWriteDeadline(time.Time) error { return nil }

// choices are what is chosen beside the octets that the client sends.
type choices uint8

// The choices, in bits.
const (
	offersStartTLS choices = 1 << iota
	offersAuth
	bindsLate
	hasLittleRoom // for content and recipients
	begunLow      // with begunHigh, how the session begins: see beginnings
	begunHigh
	speaksPhrases // octets from 0x80 stand for phrases
)

func (c choices) has(bit choices) bool { return c&bit != 0 }

func (c choices) point() point {
	p := point{startTLS: c.has(offersStartTLS), auth: c.has(offersAuth), unbound: c.has(bindsLate), maxSize: 1 << 20, maxRecipients: 100}
	if c.has(hasLittleRoom) {
		p.maxSize, p.maxRecipients = 40, 2
	}
	return p
}

// speak is what the client sends in all.
func (c choices) speak(said []byte) []byte {
	stream := []byte(beginnings[c/begunLow%4])
	for _, octet := range said {
		if octet >= 0x80 && c.has(speaksPhrases) {
			stream = append(stream, phrases[int(octet-0x80)%len(phrases)]...)
		} else {
			stream = append(stream, octet)
		}
	}
	return stream
}

// errorer is what a check fails on: *testing.T or *rapid.T.
type errorer interface {
	Helper()
	Errorf(format string, arguments ...any)
}

// auditor holds sessions against the model, one at a time. They share a server, and with it buffers that others have used.
type auditor struct {
	server *Server
	log    bytes.Buffer // errors, a panic above all
}

func newAuditor() *auditor {
	a := &auditor{}
	log := slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelError})
	a.server = New(Config{Hostname: "server.example", Logger: slog.New(log)})
	return a
}

// audit runs a session whose client sends the stream. What is checked beside the model is that the session keeps its promises
// to the host, that every refusal was reported, and that it takes bounded memory and time and does not panic.
func (a *auditor) audit(t errorer, stream []byte, p point, cuts []byte) {
	t.Helper()
	host, client := &ledger{point: p}, &speech{left: stream, cuts: cuts}
	begun, before := time.Now(), allocated()
	a.server.host = host
	a.server.admit(client, &Listener{Name: "mx"})
	a.server.running.Wait()
	if got, limit := allocated()-before, uint64(4<<20+200*len(stream)); got > limit {
		t.Errorf("got %d octets allocated for a stream of %d, want at most %d", got, len(stream), limit)
	}
	if got := time.Since(begun); got > patience {
		t.Errorf("got a session of %v, want at most %v", got, patience)
	}
	m := model{point: p, sent: stream, heard: client.heard.Bytes()}
	m.run()
	if m.wrong != "" || client.reason != "" {
		t.Errorf("%s %s", m.wrong, client.reason)
	}
	if diff := cmp.Diff(m.asked, host.asked); diff != "" {
		t.Errorf("what the host was asked (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(m.refused, host.refused); diff != "" {
		t.Errorf("refusals that were reported (-want +got):\n%s", diff)
	}
	if len(host.complaints) > 0 || a.log.Len() > 0 {
		t.Errorf("got %q and the log %q", host.complaints, a.log.String())
		a.log.Reset()
	}
}

// allocated is how many octets were ever allocated.
func allocated() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// TestSessionModelLimits: the model and smtpd agree on where limits are. These sessions are too long for a corpus.
func TestSessionModelLimits(t *testing.T) {
	const hello, group = "EHLO client.example\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	big := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 1_000)
	a := newAuditor()
	for _, stream := range []string{
		hello + strings.Repeat("NOOP\r\n", 2_010),
		hello + group + strings.Repeat("RCPT TO:<e@f>\r\n", 101) + "BDAT 0 LAST\r\n" + strings.Repeat("RSET\r\n", 2_001),
		hello + group + strings.Repeat("BDAT 1024\r\n"+strings.Repeat("x", 1_024), 70) + "NOOP\r\n",
		hello + group + "DATA\r\n" + big + ".\r\n" + group + fmt.Sprintf("BDAT %d LAST\r\n", len(big)) + big + "QUIT\r\n",
		hello + group + "DATA\r\n" + strings.Repeat("x", 64<<10) + "\r\n.\r\n" + group + "DATA\r\n" + strings.Repeat("x", 64<<10+1) + "\r\n.\r\n",
		hello + group + "DATA\r\n" + strings.Repeat(big, 4) + ".\r\n" + group + "DATA\r\n\r\n" + strings.Repeat(big, 4) + ".\r\n",
		hello + group + "DATA\r\n" + strings.Repeat("Received: x\r\n", 50) + ".\r\n" + group + "DATA\r\n" + strings.Repeat("received:\r\n", 51) + ".\r\n",
	} {
		for _, cuts := range [][]byte{nil, {255, 1}} {
			a.audit(t, []byte(stream), choices(0).point(), cuts)
		}
	}
}

// TestSessionModel: sessions of phrases in any order, which come deeper than octets at random, are what the model allows.
func TestSessionModel(t *testing.T) {
	conform.Check(t, "B9", "B11", "B21")
	phrase := rapid.OneOf(rapid.SampledFrom([]string{
		"EHLO client.example\r\n", "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n", "RCPT TO:<e@f> NOTIFY=NEVER\r\n", "DATA\r\ntext\r\n.\r\n",
		"MAIL FROM:<g@h>\r\nRCPT TO:<i@j>\r\n", "BDAT 6\r\ntext\r\n", "BDAT 6 LAST\r\ntext\r\n", "BDAT 0 LAST\r\n", "RSET\r\n", "AUTH PLAIN " + secret + "\r\n",
	}), rapid.Custom(drawMessage), rapid.SampledFrom(phrases))
	a := newAuditor()
	for i, beginning := range beginnings {
		t.Run(fmt.Sprintf("%q", beginning), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				c := choices(i)*begunLow | choices(rapid.Byte().Draw(t, "choices"))&(begunLow-1)
				said := strings.Join(rapid.SliceOfN(phrase, 10, 60).Draw(t, "phrases"), "")
				a.audit(t, c.speak([]byte(said)), c.point(), rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "cuts"))
			})
		})
	}
}

// drawMessage draws content of all that lines may end or may not end with, and how it is sent.
func drawMessage(t *rapid.T) string {
	parts := rapid.SliceOf(rapid.SampledFrom([]string{"text", "\r\n", "\r\n", ".", ".\r\n", ".\n", "\r", "\n", "\x00", "QUIT\r\n"})).Draw(t, "parts")
	if rapid.Bool().Draw(t, "by DATA") {
		return "DATA\r\n" + strings.Join(parts, "") + "\r\n.\r\n"
	}
	var chunks strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&chunks, "BDAT %d\r\n%s", len(part), part)
	}
	return chunks.String() + "BDAT 0 LAST\r\n"
}

// FuzzSession: whatever a client sends, and however it is cut, what is answered, what the host is asked and which messages are
// taken, octet by octet, is what the model allows.
func FuzzSession(f *testing.F) {
	for _, text := range conversations() {
		f.Add([]byte(text), byte(offersAuth|begunHigh), []byte{})
		f.Add([]byte(text), byte(offersAuth|offersStartTLS|bindsLate), []byte{30, 2})
		f.Add([]byte(text), byte(offersStartTLS|hasLittleRoom), []byte{1})
	}
	for i := range phrases {
		f.Add([]byte{0x80 + byte(i), 0x80 + byte(i+1)%byte(len(phrases))}, byte(speaksPhrases|begunLow|begunHigh|offersAuth), []byte{1})
	}
	for _, text := range scripted(f) {
		f.Add([]byte(text), byte(0), []byte{7, 0})
	}
	a := newAuditor()
	f.Fuzz(func(t *testing.T, said []byte, chosen byte, cuts []byte) {
		c := choices(chosen)
		if stream := c.speak(said); len(stream) < 1<<20 {
			a.audit(t, stream, c.point(), cuts)
		}
	})
}
