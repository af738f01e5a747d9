package smtpd

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sluice/internal/smtp"
)

func TestSessionFacts(t *testing.T) {
	t.Parallel()
	host := newHost()
	s := serve(t, host, nil)
	c := s.open(t)
	c.say("QUIT", "221")
	session := <-host.closed
	facts := session.Facts()
	if session.Listener.Tag != "tag" || facts.Listener != "mx" || facts.Hello != "client.example" || !facts.Extended {
		t.Errorf("got tag %v and %+v", session.Listener.Tag, facts)
	}
	if got, want := facts.Client.String(), c.conn.LocalAddr().String(); got != want {
		t.Errorf("got client %s, want %s", got, want)
	}
	if got, want := facts.Local.String(), c.conn.RemoteAddr().String(); got != want {
		t.Errorf("got local %s, want %s", got, want)
	}
	if facts.ID.IsZero() || !facts.ID.Time().Equal(facts.Started) {
		t.Errorf("got id %s of %v, want one of %v", facts.ID, facts.ID.Time(), facts.Started)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	host := newHost()
	host.open = func(*Session) *smtp.Reply { return smtp.NewReply(421, 4, 3, 2, "Service not available") } // Mail Manager, B13
	s := serve(t, host, nil)
	c := s.dial(t)
	c.want("421 4.3.2")
	c.wantEnd()
	<-host.closed
}

func TestPanicInOpen(t *testing.T) {
	t.Parallel()
	host := newHost()
	var once sync.Once
	host.open = func(*Session) *smtp.Reply { once.Do(func() { panic("an open that panics") }); return nil }
	s := serve(t, host, nil)
	c := s.dial(t)
	c.want("421 4.3.0")
	c.wantEnd()
	<-host.closed
	s.open(t).say("QUIT", "221")
}

// TestRefused: what smtpd refuses by itself is reported with its command; what the host refuses is not.
func TestRefused(t *testing.T) {
	t.Parallel()
	host := newHost()
	host.maxSize, host.maxRecipients = 100, 1
	c := serve(t, host, nil).open(t)
	for _, command := range []string{
		"MAIL FROM:<denied@b>", "MAIL FROM:<a@b> SIZE=101", "DATA", "FOO AGEAYg==", "AUTH PLAIN AGEAYg==", "MAIL FROM:<a@b>", "RCPT TO:<denied@d>",
		"RCPT TO:<c>", "RCPT TO:<c@d>", "RCPT TO:<e@d>", "DATA", strings.Repeat("x", 100) + "\r\n.", "NOOP " + strings.Repeat("x", 3_000), "QUIT",
	} {
		c.send(command + "\r\n")
		c.reply()
	}
	<-host.closed
	_, got, _ := host.seen()
	want := []string{
		"MAIL 552 5.3.4", "DATA 503 5.5.1", "unknown 500 5.5.1", "AUTH 502 5.5.1", "RCPT 501 5.1.3", "RCPT 452 4.5.3", "DATA 552 5.3.4", " 500 5.5.2",
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestS11ConnectionLimits(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*Config){
		func(c *Config) { c.MaxConnections = 2 },
		func(c *Config) { c.MaxPerSource = 2 },
	} {
		s := serve(t, newHost(), change)
		first, second := s.open(t), s.open(t)
		third := s.dial(t)
		third.want("421 4.7.0")
		third.wantEnd()
		first.say("QUIT", "221")
		second.say("NOOP", "250")
		first.wantEnd()
		for tries := 0; ; tries++ { // the place is free a moment after the connection has ended
			c := s.dial(t)
			if reply := c.reply(); strings.HasPrefix(reply, "220") {
				break
			} else if tries > 10_000 {
				t.Fatalf("got %q after a place was free", reply)
			}
		}
	}
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	c := newCrowd(4, 2)
	steps := []struct {
		client string
		want   bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
		{"2001:db8::1", true}, {"192.0.2.3", false},
	}
	for i, step := range steps {
		if got := c.enter(SourceOf(netip.MustParseAddr(step.client))); got != step.want {
			t.Errorf("step %d, %s: got %v, want %v", i, step.client, got, step.want)
		}
	}
	c.leave(SourceOf(netip.MustParseAddr("192.0.2.1")))
	c.leave(SourceOf(netip.MustParseAddr("192.0.2.1")))
	for i, client := range []string{"2001:db8::ffff:1", "2001:db8::2"} { // one source with 2001:db8::1
		if got, want := c.enter(SourceOf(netip.MustParseAddr(client))), i == 0; got != want {
			t.Errorf("%s: got %v, want %v", client, got, want)
		}
	}
	if !c.enter(netip.Prefix{}) {
		t.Error("a connection without address was refused")
	}
	for _, client := range []string{"192.0.2.2", "2001:db8::1", "2001:db8::ffff:1"} {
		c.leave(SourceOf(netip.MustParseAddr(client)))
	}
	c.leave(netip.Prefix{})
	if c.total != 0 || len(c.bySource) != 0 {
		t.Errorf("got %d connections and %d sources left, want none", c.total, len(c.bySource))
	}
}

// TestCloseListener: closing one listener ends its Serve and nothing else.
func TestCloseListener(t *testing.T) {
	t.Parallel()
	s := serve(t, newHost(), nil)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(other, Listener{Name: "other"}) }()
	running := s.open(t)
	if err := s.listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-s.served; err != nil {
		t.Errorf("got %v from Serve, want nil", err)
	}
	running.say("NOOP", "250")
	there := &testServer{Server: s.Server, host: s.host, listener: other}
	there.open(t).say("NOOP", "250")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutting down: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("got %v from Serve, want nil", err)
	}
	running.want("421")
	late, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(late, Listener{Name: "late"}); err != nil {
		t.Errorf("got %v from Serve after Shutdown, want nil", err)
	}
	if _, err := late.Accept(); err == nil {
		t.Error("the listener given to Serve after Shutdown is open, want it closed")
	}
}

// countedListener counts the writes of the connections it accepts.
type countedListener struct {
	net.Listener
	writes *atomic.Int64
}

func (l countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &countedConn{conn, l.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(p) }

// TestPipeliningSharesPackets: a group of commands is answered in one write. RFC 2920, section 3.2.
func TestPipeliningSharesPackets(t *testing.T) {
	t.Parallel()
	s := serve(t, newHost(), nil)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var writes atomic.Int64
	go s.Serve(countedListener{inner, &writes}, Listener{Name: "counted"})
	c := (&testServer{Server: s.Server, host: s.host, listener: inner}).open(t)
	groups := []struct {
		send string
		want []string
	}{
		{"MAIL FROM:<a@b>\r\n" + strings.Repeat("RCPT TO:<c@d>\r\n", 50) + "DATA\r\n", append(make([]string, 51), "354")},
		{"text\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", []string{"250 2.0.0 OK 1", "250", "250", "354"}},
		{".\r\nQUIT\r\n", []string{"250 2.0.0 OK 2", "221"}},
	}
	for i, group := range groups {
		before := writes.Load()
		c.send(group.send)
		for _, want := range group.want {
			if got := c.reply(); !strings.HasPrefix(got, want) || got == "" {
				t.Fatalf("group %d: got %q, want %q", i, got, want)
			}
		}
		if got := writes.Load() - before; got != 1 {
			t.Errorf("group %d: got %d writes, want 1", i, got)
		}
	}
}

// TestLargeBufferIsGivenBack: more commands behind the content than the small buffer holds, and the next message too.
func TestLargeBufferIsGivenBack(t *testing.T) {
	t.Parallel()
	s := serve(t, newHost(), nil)
	c := s.open(t)
	for range 3 {
		c.data()
		c.send(strings.Repeat("x\r\n", 20_000) + ".\r\n" + strings.Repeat("NOOP\r\n", 1_500))
		c.want("250")
		for range 1_500 {
			c.want("250")
		}
	}
	c.say("QUIT", "221")
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	host := newHost()
	s := serve(t, host, func(c *Config) { c.Registerer, c.MaxPerSource = registry, 1 })
	c := s.open(t)
	s.dial(t).want("421")
	c.say("FOO", "500")
	c.data()
	c.say("123456\r\n.", "250")
	if got := gather(t, registry)["mailmanager_smtp_sessions_open"]; got != 1 {
		t.Errorf("got %v sessions open, want 1", got)
	}
	c.say("QUIT", "221")
	<-host.closed
	got := gather(t, registry)
	for name, want := range map[string]float64{
		"mailmanager_smtp_sessions_total":             1,
		"mailmanager_smtp_connections_refused_total":  1,
		"mailmanager_smtp_content_octets_total":       8,
		"mailmanager_smtp_commands_total 2yz EHLO":    1,
		"mailmanager_smtp_commands_total 5yz unknown": 1,
		"mailmanager_smtp_commands_total 3yz DATA":    1,
		"mailmanager_smtp_commands_total 2yz DATA":    1,
		"mailmanager_smtp_commands_total 2yz QUIT":    1,
		"mailmanager_smtp_commands_total 5yz MAIL":    0,
	} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
}

// gather returns the values by name and labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetValue()
			}
			values[name] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return values
}

// TestLog: a refusal, whoever refuses, has a line with the session's id at info, an ended session one at debug; nothing that the client said is in it.
func TestLog(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	host := newHost()
	s := serve(t, host, func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := s.open(t)
	c.say("AUTH PLAIN c2VjcmV0", "502")
	c.say("c2VjcmV0", "500")
	c.say("MAIL FROM:<c2VjcmV0\x00\x1b[31m>", "501")
	c.say("MAIL FROM:<denied@b.example>", "530")
	c.say("QUIT", "221")
	session := <-host.closed
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); strings.Contains(text, "c2VjcmV0") {
		t.Errorf("the log repeats the client: %s", text)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	want := []string{"INFO refused AUTH", "INFO refused unknown", "INFO refused MAIL", "INFO refused MAIL", "DEBUG session ended "}
	if len(lines) != len(want) {
		t.Fatalf("got %d lines, want %d: %q", len(lines), len(want), lines)
	}
	for i, line := range lines {
		var record struct{ Level, Msg, Session, Command string }
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join([]string{record.Level, record.Msg, record.Command}, " "); got != want[i] || record.Session != session.ID.String() {
			t.Errorf("got %s of session %s, want %s of %s", got, record.Session, want[i], session.ID)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
