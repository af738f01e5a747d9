package main

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// oneConnection is a listener of a single connection.
type oneConnection struct {
	conns  chan net.Conn
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *oneConnection) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *oneConnection) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

// Addr implements net.Listener.
func (*oneConnection) Addr() net.Addr { return &net.TCPAddr{} }

// TestS11UnsentBody: whoever announces a body and does not send it loses the connection, whatever the handler does about it.
func TestS11UnsentBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, length string
		handler      http.HandlerFunc
		most         time.Duration
	}{
		{"an answer without a look at it", "Content-Length: 100", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, httpRestTimeout},
		{"in chunks", "Transfer-Encoding: chunked", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, httpRestTimeout},
		{"a refusal that ends the connection", "Content-Length: 100", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(403)
		}, httpRestTimeout},
		{"a long answer", "Content-Length: 100", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
		}, httpBodyTimeout + httpRestTimeout},
		{"a handler that reads it", "Content-Length: 100", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
		}, httpBodyTimeout + httpRestTimeout},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, conn := net.Pipe()
				listener := &oneConnection{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
				listener.conns <- conn
				web := openWeb(listener, nil, test.handler, slog.New(slog.DiscardHandler))
				go func() { _ = web.serve() }()
				defer web.close()
				if _, err := io.WriteString(client, "PUT /objects/a HTTP/1.1\r\nHost: a\r\n"+test.length+"\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_ = client.SetReadDeadline(began.Add(time.Hour))
				if _, err := io.Copy(io.Discard, client); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > test.most+time.Second {
					t.Errorf("the connection was kept for %s, at most %s", took, test.most)
				}
			})
		})
	}
}

// TestS11ConnectionsOfTheAPI: so many are served at once, and the next when one of them ends.
func TestS11ConnectionsOfTheAPI(t *testing.T) {
	t.Parallel()
	s, _ := started(t, testConfig(t, "--api-max-connections", "2"))
	open := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	answered := func(conn net.Conn, within time.Duration) bool {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(within))
		_, err := conn.Read(make([]byte, 1))
		return err == nil
	}
	first, second, third := open(), open(), open()
	if !answered(first, time.Minute) || !answered(second, time.Minute) {
		t.Fatal("a connection within the limit is not served")
	}
	if answered(third, 100*time.Millisecond) {
		t.Error("a connection beyond the limit is served")
	}
	first.Close()
	if !answered(third, time.Minute) {
		t.Error("a connection is not served when there is room for it")
	}
}

// What is set may end with a slash; what signed URLs begin with does not.
func TestAPIURL(t *testing.T) {
	t.Parallel()
	for _, set := range []string{"https://mail.example.com", "https://mail.example.com/"} {
		s := &server{cfg: testConfig(t, "--api-url", set)}
		if got, want := s.url(), "https://mail.example.com"; got != want {
			t.Errorf("%s: got %s, want %s", set, got, want)
		}
	}
}
