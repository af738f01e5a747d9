package smtpd

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"sluice/internal/message"
	"sluice/internal/smtp"
)

// quickHost takes everything at once, so that what is measured is smtpd's.
type quickHost struct{ PlainHost }

func (quickHost) Open(context.Context, *Session) (Binding, *smtp.Reply)                  { return quickHost{}, nil }
func (quickHost) Bind(context.Context, *Session) (Binding, *smtp.Reply)                  { return quickHost{}, nil }
func (quickHost) Hostname() string                                                       { return "point.example" }
func (quickHost) MaxSize() int64                                                         { return DefaultMaxSize }
func (quickHost) MaxRecipients() int                                                     { return 100 }
func (quickHost) Mail(context.Context, *Transaction) *smtp.Reply                         { return nil }
func (quickHost) Recipient(context.Context, *Transaction, message.Recipient) *smtp.Reply { return nil }
func (quickHost) Data(context.Context, *Transaction) (Sink, *smtp.Reply)                 { return quickHost{}, nil }
func (quickHost) Ended(*Transaction)                                                     {}
func (quickHost) Write(p []byte) (int, error)                                            { return len(p), nil }
func (quickHost) Abort()                                                                 {}
func (quickHost) Commit(context.Context) *smtp.Reply                                     { return okReply }

// tape is a connection whose client is on tape: it plays the dialogue as one that waits for each reply would send it.
type tape struct {
	net.Conn
	parts []string
	next  int
	left  string
}

func (t *tape) Read(p []byte) (int, error) {
	if t.left == "" {
		if t.next == len(t.parts) {
			return 0, io.EOF
		}
		t.left = t.parts[t.next]
		t.next++
	}
	n := copy(p, t.left)
	t.left = t.left[n:]
	return n, nil
}

func (t *tape) Write(p []byte) (int, error) { return len(p), nil }
func (t *tape) Close() error                { return nil }

// tenKilobytes is a message as DATA sends it.
var tenKilobytes = "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 130) + ".\r\n"

// BenchmarkSession is a whole session with one message of 10 KB, without the system calls.
func BenchmarkSession(b *testing.B) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	s := New(Config{Hostname: "server.example", Host: quickHost{}})
	parts := []string{"EHLO client.example\r\n", "MAIL FROM:<a@b.example> SIZE=10240\r\n", "RCPT TO:<c@d.example>\r\n", "DATA\r\n", tenKilobytes, "QUIT\r\n"}
	b.ReportAllocs()
	for b.Loop() {
		s.admit(&tape{Conn: ours, parts: parts}, &Listener{})
		s.running.Wait()
	}
}

// BenchmarkWire is messages of 10 KB over TCP, pipelined, in sessions that go on.
func BenchmarkWire(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := New(Config{Hostname: "server.example", Host: quickHost{}})
	go s.Serve(l, Listener{})
	defer s.Shutdown(context.Background())
	var failed atomic.Bool
	b.ReportAllocs()
	b.SetParallelism(10)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		reply := make([]byte, 4_096)
		exchange := func(text string, last string) {
			io.WriteString(conn, text)
			for got := ""; !strings.Contains(got, last); {
				n, err := conn.Read(reply)
				if err != nil {
					failed.Store(true)
					return
				}
				got += string(reply[:n])
			}
		}
		exchange("", "220 ")
		exchange("EHLO x\r\n", "250 ")
		for pb.Next() {
			exchange("MAIL FROM:<a@b.example> SIZE=10240\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", "354 ")
			exchange(tenKilobytes, "250 2.0.0")
		}
	})
	if failed.Load() {
		b.Error("a session failed")
	}
}
