package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// hop is a next hop that keeps every octet of what it is told. It is written apart from the server of the project.
type hop struct {
	address string
	tls     *tls.Config              // nil: STARTTLS is not offered
	says    func(line string) string // the reply to a command, or "" for the usual one

	mu       sync.Mutex
	lines    []string // commands, with whatever ends them but CRLF
	contents []string
}

// listen starts the hop on a free address, until the test ends.
func (h *hop) listen(t *testing.T) *hop {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	h.address = listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	return h
}

func (h *hop) serve(conn net.Conn) {
	defer func() { conn.Close() }()
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 hop\r\n")
	for secured := false; ; {
		line, err := readLine(r)
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		h.note(&h.lines, line)
		reply := h.reply(verb, line, secured)
		fmt.Fprint(conn, reply+"\r\n")
		switch {
		case verb == "QUIT":
			return
		case verb == "STARTTLS":
			conn, secured = tls.Server(conn, h.tls), true
			r = bufio.NewReader(conn)
		case verb == "DATA" && reply[0] == '3':
			if !h.content(r) {
				return
			}
			fmt.Fprint(conn, h.reply(".", ".", secured)+"\r\n")
		}
	}
}

// readLine reads up to CRLF, and nothing else ends a line.
func readLine(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); err != nil {
			return "", err
		}
		if strings.HasSuffix(string(line), "\r\n") {
			return string(line[:len(line)-2]), nil
		}
	}
}

func (h *hop) reply(verb, line string, secured bool) string {
	if h.says != nil {
		if reply := h.says(line); reply != "" {
			return reply
		}
	}
	switch {
	case verb == "EHLO" && h.tls != nil && !secured:
		return "250-hop\r\n250-8BITMIME\r\n250 STARTTLS"
	case verb == "EHLO" && secured:
		return "250-hop\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"
	case verb == "EHLO":
		return "250-hop\r\n250 8BITMIME"
	case verb == "DATA":
		return "354 go on"
	case verb == "STARTTLS":
		return "220 go on"
	}
	return "250 ok"
}

func (h *hop) content(r *bufio.Reader) bool {
	var text strings.Builder
	for {
		line, err := readLine(r)
		if err != nil {
			return false
		}
		if line == "." {
			break
		}
		text.WriteString(strings.TrimPrefix(line, ".") + "\r\n")
	}
	h.note(&h.contents, text.String())
	return true
}

func (h *hop) note(list *[]string, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*list = append(*list, text)
}

// taken is what arrived so far: commands, and contents.
func (h *hop) taken() (lines, contents []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines), slices.Clone(h.contents)
}
