package trust

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

func extension(critical bool, value string, id ...int) pkix.Extension {
	return pkix.Extension{Id: id, Critical: critical, Value: []byte(value)}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	ca, foreign := newCA(t, "ca"), newCA(t, "foreign")
	namesake := newCA(t, "ca") // another key
	noSigner := newCA(t, "no signer", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	noLists := party{ca.renew(t, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }).Certificate, ca.key}
	odd := newCA(t, "odd", extended(extension(true, "\x05\x00", 1, 2, 3)))
	good, list := bundle(ca), ca.revokes(t, 1)
	listWith := func(e pkix.Extension) string {
		return ca.list(t, x509.RevocationList{ExtraExtensions: []pkix.Extension{e}})
	}
	entryWith := ca.list(t, x509.RevocationList{RevokedCertificateEntries: []x509.RevocationListEntry{{
		SerialNumber: big.NewInt(1), RevocationTime: epoch, ExtraExtensions: []pkix.Extension{extension(true, "\x30\x00", 2, 5, 29, 29)},
	}}})
	tests := []struct {
		name    string
		ca, crl string
		member  error
		says    string
	}{
		{"no CA", "", "", ErrCAContent, "0 of 0 PEM blocks"},
		{"no PEM", "secret", list, ErrCAContent, "0 of 0 PEM blocks"},
		{"no base64", "-----BEGIN CERTIFICATE-----\nsecret!\n-----END CERTIFICATE-----\n", "", ErrCAContent, "0 of 1 PEM blocks"},
		{"cut off", good[:len(good)-30], "", ErrCAContent, "0 of 1 PEM blocks"},
		{"second cut off", good + good[:100], "", ErrCAContent, "1 of 2 PEM blocks"},
		{"no certificate", good + block(pemCertificate, []byte("secret")), "", ErrCAContent, "block 2 is not a certificate"},
		{"a key", good + block("PRIVATE KEY", []byte("secret")), "", ErrCAContent, "block 2 is not of type CERTIFICATE"},
		{"a list among the CAs", good + list, "", ErrCAContent, "block 2 is not of type CERTIFICATE"},
		{"a client", bundle(ca, ca.client(t, "secret")), "", ErrCAContent, "block 2 is not the certificate of a CA"},
		{"a CA that may not sign", bundle(noSigner), "", ErrCAContent, "block 1 is not the certificate of a CA"},
		{"a CA with an unknown demand", bundle(odd), "", ErrCAContent, "block 1 has a key or a critical extension"},
		{"blank lists", good, " \n", ErrCrlContent, "0 of 0 PEM blocks"},
		{"a CA among the lists", good, list + good, ErrCrlContent, "block 2 is not of type X509 CRL"},
		{"no list", good, block(pemCRL, []byte("secret")), ErrCrlContent, "block 1 is not a revocation list"},
		{"cut list", good, list[:len(list)-20], ErrCrlContent, "0 of 1 PEM blocks"},
		{"foreign list", good, list + foreign.revokes(t), ErrCrlContent, "block 2 is a revocation list that no CA"},
		{"list of a namesake", good, namesake.revokes(t, 1), ErrCrlContent, "block 1 is a revocation list that no CA"},
		{"list of a CA that may not sign lists", bundle(noLists), list, ErrCrlContent, "or none that may"},
		{"delta list", good, listWith(extension(true, "\x02\x01\x01", 2, 5, 29, 27)), ErrCrlContent, "block 1 is a delta or indirect"},
		{"indirect list", good, listWith(extension(true, "\x30\x03\x84\x01\xff", 2, 5, 29, 28)), ErrCrlContent, "block 1 is a delta or indirect"},
		{"list with an unknown demand", good, listWith(extension(true, "\x05\x00", 1, 2, 3)), ErrCrlContent, "block 1 has a critical extension"},
		{"entry with an unknown demand", good, entryWith, ErrCrlContent, "block 1 has a critical extension"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, err := Compile(tt.ca, tt.crl)
			if !errors.Is(err, tt.member) || s != nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %v: … %s", err, tt.member, tt.says)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("got content in %v", err)
			}
		})
	}
}

func TestCompileTakes(t *testing.T) {
	t.Parallel()
	ca, other := newCA(t, "ca"), newCA(t, "other")
	both := bundle(ca, other)
	listWith := func(e pkix.Extension) string {
		return ca.list(t, x509.RevocationList{ExtraExtensions: []pkix.Extension{e}}, 9)
	}
	uri := "\xa0\x1a\xa0\x18\x86\x16http://crl.example.org"
	tests := []struct {
		name, ca, crl string
		authorities   int
		lists         int
	}{
		{"one", bundle(ca), "", 1, 0},
		{"several", both, "", 2, 0},
		{"text between", "subject=CN = ca\n" + bundle(ca) + "\n# other\n" + bundle(other), "", 2, 0},
		{"CRLF", strings.ReplaceAll(both, "\n", "\r\n"), "", 2, 0},
		{"twice the same", both + both, "", 2, 0},
		{"expired CA", bundle(newCA(t, "old", expired)), "", 1, 0},
		{"list of one", both, ca.revokes(t, 9), 2, 1},
		{"list of each", both, ca.revokes(t, 9) + other.revokes(t), 2, 2},
		{"list of a renewed CA", bundle(ca, ca.renew(t, serial(2))), ca.revokes(t, 9), 2, 1},
		{"list with a critical distribution point", both, listWith(extension(true, "\x30"+string(rune(len(uri)))+uri, 2, 5, 29, 28)), 2, 1},
		{"list with an unknown extension", both, listWith(extension(false, "\x05\x00", 1, 2, 3)), 2, 1},
		{"expired list", both, ca.list(t, x509.RevocationList{ThisUpdate: epoch.Add(-2 * day), NextUpdate: epoch.Add(-day)}), 2, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, tt.ca, tt.crl)
			if len(s.authorities) != tt.authorities || len(s.lists) != tt.lists {
				t.Errorf("got %d CAs and %d lists, want %d and %d", len(s.authorities), len(s.lists), tt.authorities, tt.lists)
			}
		})
	}
}

// Of several lists of one CA the one with the highest number counts, wherever it stands, and without numbers the latest.
func TestNewestListCounts(t *testing.T) {
	t.Parallel()
	number := func(n int64, issued time.Duration) *list {
		l := &list{thisUpdate: epoch.Add(issued)}
		if n > 0 {
			l.number = big.NewInt(n)
		}
		return l
	}
	tests := []struct {
		name string
		a, b *list
		want bool // a is newer
	}{
		{"higher number", number(10, 0), number(9, day), true},
		{"lower number", number(9, day), number(10, 0), false},
		{"same number, later", number(9, day), number(9, 0), true},
		{"same number, same time", number(9, 0), number(9, 0), false},
		{"no numbers, later", number(0, day), number(0, 0), true},
		{"one number, earlier", number(5, 0), number(0, day), false},
	}
	for _, tt := range tests {
		if got := tt.a.newer(tt.b); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	ca := newCA(t, "ca")
	client := chain(ca.client(t, "client", serial(7)))
	old := ca.list(t, x509.RevocationList{Number: big.NewInt(1)})
	newest := ca.list(t, x509.RevocationList{Number: big.NewInt(2)}, 7)
	for name, lists := range map[string]string{"newest last": old + newest, "newest first": newest + old} {
		if err := compile(t, bundle(ca), lists).Verify(client, epoch); !errors.Is(err, ErrRevoked) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A bundle that would have every signature checked against every CA is refused before it costs more than a second.
func TestCompileIsBounded(t *testing.T) {
	t.Parallel()
	var authorities, lists strings.Builder
	for range 34 {
		authorities.WriteString(bundle(newCA(t, "ca")))
	}
	last := newCA(t, "ca")
	for range 34 {
		lists.WriteString(last.revokes(t))
	}
	_, err := Compile(authorities.String()+bundle(last), lists.String())
	if !errors.Is(err, ErrCrlContent) || !errors.Is(err, errTooManyOfOneName) {
		t.Errorf("got %v", err)
	}
}

// So is one whose CAs all claim to have revoked each other.
func TestRevocationAmongCAsIsBounded(t *testing.T) {
	t.Parallel()
	var authorities, lists strings.Builder
	for range 34 {
		ca := newCA(t, "ca")
		authorities.WriteString(bundle(ca))
		lists.WriteString(ca.revokes(t, 1))
	}
	_, err := Compile(authorities.String(), lists.String())
	if !errors.Is(err, ErrCrlContent) || !errors.Is(err, errTooManyOfOneName) {
		t.Errorf("got %v", err)
	}
}

// A CA of the bundle is revoked by who signed it, not by a namesake.
func TestRevocationByANamesake(t *testing.T) {
	t.Parallel()
	root, namesake := newCA(t, "root", serial(1)), newCA(t, "root", serial(2))
	below := root.ca(t, "below", serial(20))
	client := chain(below.client(t, "client"))
	for name, tt := range map[string]struct {
		by   party
		want error
	}{"its CA": {root, ErrRevoked}, "a namesake": {namesake, nil}} {
		s := compile(t, bundle(below, namesake, root), tt.by.revokes(t, 20))
		if err := s.Verify(client, epoch); !errors.Is(err, tt.want) {
			t.Errorf("revoked by %s: got %v, want %v", name, err, tt.want)
		}
	}
}

// FuzzCompile: what is refused is told in few words that hold nothing of it; what compiles can be asked at any time, lets
// nobody in without a certificate, and shows no more than it may.
func FuzzCompile(f *testing.F) {
	ca, other := newCA(f, "ca"), newCA(f, "other", expired)
	f.Add(bundle(ca, other), ca.revokes(f, 1, 2)+other.revokes(f))
	f.Add(bundle(ca), "")
	f.Add("text\n"+bundle(ca)+"more", ca.list(f, x509.RevocationList{ExtraExtensions: []pkix.Extension{extension(true, "\x30\x03\x84\x01\xff", 2, 5, 29, 28)}}))
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "-----BEGIN X509 CRL-----\n")
	f.Fuzz(func(t *testing.T, caPEM, crlPEM string) {
		s, err := Compile(caPEM, crlPEM)
		if err != nil {
			if s != nil || len(err.Error()) > 150 || !errors.Is(err, ErrCAContent) && !errors.Is(err, ErrCrlContent) {
				t.Fatalf("got %v", err)
			}
			return
		}
		for _, now := range []time.Time{{}, epoch, epoch.AddDate(100, 0, 0)} {
			if err := s.Verify(nil, now); !errors.Is(err, ErrNoCertificate) {
				t.Fatalf("got %v without a certificate", err)
			}
			for _, a := range s.authorities {
				if err := s.Verify([]*x509.Certificate{a.certificate}, now); err == nil && a.check(now) != nil {
					t.Fatalf("a CA that is out is let in")
				}
			}
			if m := s.Monitor(now); len(m.CAs) > maxMonitored || len(m.CRLs) > maxMonitored {
				t.Fatalf("got %d CAs and %d lists", len(m.CAs), len(m.CRLs))
			}
		}
	})
}

func TestElementsStopAtTheMalformed(t *testing.T) {
	t.Parallel()
	for der, want := range map[string]int{
		"": 0, "\x30": 0, "\x31\x02\x05\x00": 0, "\x10\x02\x05\x00": 0, "\x30\x00": 0, "\x30\x02\x05\x00": 1,
		"\x30\x04\x05\x00\x05\x00": 2, "\x30\x03\x05\x00\x05": 1, "\x30\x80\x05\x00\x00\x00": 0,
	} {
		got := 0
		for e := range elements([]byte(der)) {
			if e.Tag != asn1.TagNull {
				t.Errorf("%x: got %+v", der, e)
			}
			got++
		}
		if got != want {
			t.Errorf("%x: got %d, want %d", der, got, want)
		}
	}
	for range elements([]byte("\x30\x04\x05\x00\x05\x00")) {
		break // stops without another call
	}
}
