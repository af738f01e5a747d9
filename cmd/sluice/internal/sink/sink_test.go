package sink

import (
	"context"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/message"
	oursmtp "sluice/internal/smtp"
	"sluice/internal/smtpd"
)

// serve serves a sink on a free address until the test ends.
func serve(t *testing.T, cfg Config) (address string) {
	t.Helper()
	host, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtpd.New(smtpd.Config{Hostname: host.Hostname(), Host: host})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener, smtpd.Listener{TLS: smtpd.TLSNone}) }()
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func TestAMessageArrives(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	arrived := make(chan *Message, 1)
	address := serve(t, Config{Maildir: dir, Arrived: func(m *Message) { arrived <- m }})
	content := "Subject: hello\r\nMessage-ID: <1@example.org>\r\n\r\nOne line.\r\n.dotted\r\n"
	if err := smtp.SendMail(address, nil, "a@example.org", []string{"b@example.com", "c@example.com"}, []byte(content)); err != nil {
		t.Fatal(err)
	}
	m := <-arrived
	if m.ReversePath != "a@example.org" || strings.Join(m.Recipients, " ") != "b@example.com c@example.com" {
		t.Errorf("got envelope %q to %q", m.ReversePath, m.Recipients)
	}
	if m.Header.Get("Message-Id") != "<1@example.org>" || m.Octets != int64(len(content)) {
		t.Errorf("got %d octets with header %v, want %d", m.Octets, m.Header, len(content))
	}
	kept, err := os.ReadFile(filepath.Join(dir, "new", m.ID.String()))
	if err != nil || string(kept) != content {
		t.Errorf("got %q, %v, want %q", kept, err, content)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func TestAMessageIsOneLine(t *testing.T) {
	t.Parallel()
	m := &Message{ID: message.ID{1}, ReversePath: "a@example.org", Recipients: []string{"b@example.com", "\"x\ny\"@example.com"}, Octets: 5,
		Header: map[string][]string{"Subject": {"two\nlines \u202e"}}}
	want := m.ID.String() + ` from="a@example.org" to="b@example.com","\"x\ny\"@example.com" octets=5 subject="two\nlines \u202e"`
	if got := m.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// transaction is one as smtpd makes it.
func transaction() *smtpd.Transaction {
	return &smtpd.Transaction{Envelope: message.Envelope{ReversePath: oursmtp.Path{Received: "a@example.org"}}}
}

func TestAnAbortedMessageLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	told := 0
	host, err := New(Config{Maildir: dir, Arrived: func(*Message) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	in, reply := host.Data(t.Context(), transaction())
	if reply != nil {
		t.Fatal(reply)
	}
	if _, err := in.Write([]byte("half of a")); err != nil {
		t.Fatal(err)
	}
	in.Abort()
	for _, folder := range []string{"tmp", "new"} {
		if left, err := os.ReadDir(filepath.Join(dir, folder)); err != nil || len(left) > 0 {
			t.Errorf("left in %s: %v, %v", folder, left, err)
		}
	}
	if told != 0 {
		t.Error("an aborted message arrived")
	}
}

func TestAMaildirThatIsGone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	host, err := New(Config{Maildir: dir, Arrived: func(*Message) { t.Error("a message that is not kept arrived") }})
	if err != nil {
		t.Fatal(err)
	}
	in, reply := host.Data(t.Context(), transaction())
	if reply != nil {
		t.Fatal(reply)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if reply := in.Commit(t.Context()); !reply.Transient() {
		t.Errorf("got %v, want 4yz: the message is not kept", reply)
	}
	if _, reply := host.Data(t.Context(), transaction()); reply == nil || !reply.Transient() {
		t.Errorf("got %v, want 4yz", reply)
	}
}

func TestAMaildirThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Maildir: filepath.Join(file, "mail")}); err == nil {
		t.Error("a maildir below a file is made")
	}
}

func TestAHeaderOfNoUse(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"none": "", "no colon": "hello\r\n\r\n", "no end": "Subject: x", "large": "X: " + strings.Repeat("a", 2*maxHeaderOctets),
	} {
		host, err := New(Config{Arrived: func(m *Message) {
			if m.Octets != int64(len(content)) {
				t.Errorf("%s: got %d octets, want %d", name, m.Octets, len(content))
			}
			_ = m.String()
		}})
		if err != nil {
			t.Fatal(err)
		}
		in, _ := host.Data(t.Context(), transaction())
		if _, err := in.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if reply := in.Commit(t.Context()); !reply.Positive() {
			t.Errorf("%s: got %v", name, reply)
		}
	}
}
