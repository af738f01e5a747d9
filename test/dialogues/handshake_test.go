package dialogues

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
)

// handshake is a TLS handshake of a client. Its words: a version, such as 1.2; name=NAME, the server name that the client asks
// for; cert=KIND, the client's certificate, good, none (which is the default), revoked, expired or foreign; suite=NAME, the only
// cipher suite that it knows for TLS 1.2; curve=x25519, the only one that it knows.
type handshake struct {
	config tls.Config
	cert   string // kind of certificate
	fails  bool
}

// versions are the words for versions of TLS.
var versions = map[string]uint16{"1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

var errNoHandshake = errors.New("not of the form: tls [VERSION] [name=NAME] [cert=KIND] [suite=NAME] [curve=x25519]")

// kinds are the words for certificates of clients.
var kinds = []string{"none", "good", "revoked", "expired", "foreign"}

func readHandshake(text string, fails bool) (*handshake, error) {
	words := strings.Fields(text)
	if len(words) == 0 || words[0] != "tls" {
		return nil, errNoHandshake
	}
	h := &handshake{cert: "none", fails: fails, config: tls.Config{InsecureSkipVerify: true}} // who the server is, is no topic here
	for _, word := range words[1:] {
		if !h.read(word) {
			return nil, errNoHandshake
		}
	}
	return h, nil
}

func (h *handshake) read(word string) bool {
	if version, ok := versions[word]; ok {
		h.config.MinVersion, h.config.MaxVersion = version, version
		return true
	}
	key, value, _ := strings.Cut(word, "=")
	switch key {
	case "name":
		h.config.ServerName = value
	case "cert":
		h.cert = value
		return slices.Contains(kinds, value)
	case "suite":
		i := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == value })
		if i < 0 {
			return false
		}
		h.config.CipherSuites = []uint16{tls.CipherSuites()[i].ID}
	case "curve":
		h.config.CurvePreferences = []tls.CurveID{tls.X25519}
		return value == "x25519"
	default:
		return false
	}
	return true
}

// secure makes a handshake, and reports whether the dialogue goes on.
func (p *player) secure(h *handshake) bool {
	p.t.Helper()
	config := h.config.Clone()
	config.ServerName = p.names.Replace(config.ServerName)
	if certificate, ok := p.gateway.clients[h.cert]; ok {
		// A client of Go keeps a certificate back that the server would not take.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	conn := tls.Client(p.conn, config)
	err := conn.Handshake()
	if h.fails {
		p.wantRefusal(conn, err)
		return false
	}
	if err != nil {
		p.t.Fatalf("TLS handshake: %v", err)
	}
	p.conn, p.from = conn, bufio.NewReader(conn)
	return true
}

// wantRefusal wants a handshake that the server does not take. In TLS 1.3 the client is told by its first read; in no case
// anything is served, least of all in clear.
func (p *player) wantRefusal(conn *tls.Conn, err error) {
	p.t.Helper()
	if err == nil {
		_, err = io.CopyN(io.Discard, conn, 1)
	}
	inClear, _ := errors.AsType[tls.RecordHeaderError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	if err == nil || inClear.Conn != nil || isNet && timeout.Timeout() {
		p.t.Fatalf("TLS handshake: got %v, want the end", err)
	}
}
