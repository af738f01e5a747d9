package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// fakeHost records what sessions do. What the local part of an address says happens: see Mail, Recipient and Data.
type fakeHost struct {
	unbound       bool // bound at MAIL, not at accept
	maxSize       int64
	maxRecipients int
	open          func(*Session) *smtp.Reply // may be nil
	offer         Offer
	tls           *tls.Config // of handshakes; may be nil
	listener      Listener    // that serve serves; its name is mx and its tag "tag"
	data, commit  func()      // called in Data and Commit; may be nil

	mu       sync.Mutex
	messages []string // "reverse-path > forward-paths: quoted content"
	refused  []string // "command code enhanced"
	aborted  int
	bound    int
	begun    int // transactions that Mail accepted
	ended    int // of them, those that ended
	closed   chan *Session
}

func newHost() *fakeHost {
	return &fakeHost{maxSize: DefaultMaxSize, maxRecipients: 100, closed: make(chan *Session, 1_000)}
}

func (h *fakeHost) Open(_ context.Context, s *Session) (Binding, *smtp.Reply) {
	if h.open != nil {
		if refusal := h.open(s); refusal != nil {
			return nil, refusal
		}
	}
	if h.unbound {
		return nil, nil
	}
	return &fakeBinding{fakeHost: h}, nil
}

func (h *fakeHost) Bind(context.Context, *Session) (Binding, *smtp.Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bound++
	if h.maxSize == 0 {
		return nil, smtp.NewReply(421, 4, 3, 2, "Service not available")
	}
	return &fakeBinding{fakeHost: h}, nil
}

func (h *fakeHost) Offer(s *Session) Offer {
	offer := h.offer
	offer.StartTLS = offer.StartTLS && s.TLS.Version == ""
	offer.Auth = offer.Auth && (s.TLS.Version != "" || !h.offer.StartTLS)
	offer.AuthNext = h.offer.Auth && offer.StartTLS
	return offer
}

func (h *fakeHost) Handshake(*Session, *tls.ClientHelloInfo) (*tls.Config, error) {
	if h.tls == nil {
		return nil, errors.New("no handshake today")
	}
	return h.tls, nil
}

func (h *fakeHost) Secured(_ context.Context, s *Session) (Binding, *smtp.Reply) {
	if s.TLS.ServerName == "refused.example" {
		return nil, smtp.NewReply(421, 4, 3, 2, "Service not available")
	}
	return s.Binding, nil
}

// Authenticate takes the user "user" with the password "right", and binds the session.
func (h *fakeHost) Authenticate(_ context.Context, s *Session, user, password string) (Binding, *smtp.Reply) {
	if user != "user" || password != "right" {
		return nil, smtp.NewReply(535, 5, 7, 8, "Authentication failed")
	}
	return &fakeBinding{fakeHost: h}, nil
}

func (h *fakeHost) Refused(_ *Session, _ *Transaction, command string, reply *smtp.Reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, fmt.Sprintf("%s %d %s", command, reply.Code, reply.Enhanced))
}

func (h *fakeHost) Closed(s *Session) { h.closed <- s }

type fakeBinding struct{ *fakeHost }

func (b *fakeBinding) Hostname() string   { return "point.example" }
func (b *fakeBinding) MaxSize() int64     { return b.maxSize }
func (b *fakeBinding) MaxRecipients() int { return b.maxRecipients }

func (b *fakeBinding) Mail(_ context.Context, t *Transaction) *smtp.Reply {
	switch t.Envelope.ReversePath.Local {
	case "denied":
		return smtp.NewReply(530, 5, 7, 0, "Must issue a STARTTLS command first")
	case "panic":
		panic("a sender that panics")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun++
	return nil
}

func (b *fakeBinding) Recipient(_ context.Context, _ *Transaction, r message.Recipient) *smtp.Reply {
	if r.Path.Local == "denied" {
		return smtp.NewReply(550, 5, 7, 1, "Recipient rejected by policy")
	}
	return nil
}

func (b *fakeBinding) Data(_ context.Context, t *Transaction) (Sink, *smtp.Reply) {
	if b.data != nil {
		b.data()
	}
	if t.Envelope.ReversePath.Local == "nodata" {
		return nil, smtp.NewReply(452, 4, 3, 1, "Try later")
	}
	return &fakeSink{host: b.fakeHost, envelope: t.Envelope, behaviour: t.Envelope.ReversePath.Local}, nil
}

func (b *fakeBinding) Ended(*Transaction) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended++
}

type fakeSink struct {
	host      *fakeHost
	envelope  message.Envelope
	behaviour string
	content   bytes.Buffer
	ended     bool
}

func (s *fakeSink) Write(p []byte) (int, error) {
	switch s.behaviour {
	case "brokensink":
		return 0, errors.New("no room")
	case "fullsink":
		return 0, smtp.NewReply(452, 4, 3, 1, "Insufficient storage")
	case "panicsink":
		panic("a sink that panics")
	}
	return s.content.Write(p)
}

func (s *fakeSink) Commit(context.Context) *smtp.Reply {
	s.end()
	if s.host.commit != nil {
		s.host.commit()
	}
	switch s.behaviour {
	case "nocommit":
		return smtp.NewReply(451, 4, 3, 0, "Try later")
	case "paniccommit":
		panic("a commit that panics")
	}
	paths := make([]string, len(s.envelope.Recipients))
	for i, recipient := range s.envelope.Recipients {
		paths[i] = recipient.Path.String()
	}
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.messages = append(s.host.messages,
		fmt.Sprintf("%s > %s: %q", s.envelope.ReversePath, strings.Join(paths, " "), s.content.String()))
	return smtp.NewReply(250, 2, 0, 0, fmt.Sprintf("OK %d", len(s.host.messages)))
}

func (s *fakeSink) Abort() {
	s.end()
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.aborted++
}

// end holds the promise of Sink: one of Commit and Abort, once.
func (s *fakeSink) end() {
	if s.ended {
		panic("sink ended twice")
	}
	s.ended = true
}

// seen returns what the host recorded.
func (h *fakeHost) seen() (messages, refused []string, aborted int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun != h.ended && len(h.closed) > 0 {
		panic(fmt.Sprintf("%d transactions begun and %d ended", h.begun, h.ended))
	}
	return append([]string(nil), h.messages...), append([]string(nil), h.refused...), h.aborted
}

// testServer is a server on a port of its own.
type testServer struct {
	*Server
	host     *fakeHost
	listener net.Listener
	served   chan error // what Serve returned
}

func serve(t *testing.T, host *fakeHost, change func(*Config)) *testServer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Hostname: "server.example", Host: host}
	if change != nil {
		change(&config)
	}
	s := &testServer{Server: New(config), host: host, listener: l, served: make(chan error, 1)}
	host.listener.Name, host.listener.Tag = "mx", "tag"
	go func() { s.served <- s.Serve(l, host.listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	return s
}
