package trust

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"sluice/internal/message"
)

// der is one element.
func der(tag byte, content string) string {
	switch n := len(content); {
	case n < 0x80:
		return string([]byte{tag, byte(n)}) + content
	case n < 0x100:
		return string([]byte{tag, 0x81, byte(n)}) + content
	default:
		return string([]byte{tag, 0x82, byte(n >> 8), byte(n)}) + content
	}
}

// Alternative names of the kinds that only Facts reads.
var (
	registeredID  = der(0x88, "\x2a\x03\x04")
	directoryName = der(0xa4, distinguished("gate"))
)

func distinguished(name string) string {
	return der(0x30, der(0x31, der(0x30, "\x06\x03\x55\x04\x0a"+der(0x0c, "Example, Inc.")))+
		der(0x31, der(0x30, "\x06\x03\x55\x04\x03"+der(0x0c, name))))
}

// names4 is the extension of alternative names.
func names4(critical bool, elements ...string) pkix.Extension {
	return extension(critical, der(0x30, strings.Join(elements, "")), 2, 5, 29, 17)
}

func TestFacts(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "CA of all")
	withNames := func(elements ...string) party { return ca.client(t, "", extended(names4(false, elements...))) }
	base := func(change func(*message.Certificate)) *message.Certificate {
		m := &message.Certificate{SerialNumber: "01", Issuer: "CN=CA of all", NotBefore: epoch.AddDate(-1, 0, 0), NotAfter: epoch.AddDate(1, 0, 0)}
		change(m)
		return m
	}
	subject := func(parts ...string) change {
		return func(c *x509.Certificate) { c.RawSubject = []byte(der(0x30, strings.Join(parts, ""))) }
	}
	part := func(oid, value string) string { return der(0x31, der(0x30, der(0x06, oid)+der(0x0c, value))) }
	const cn, o = "\x55\x04\x03", "\x55\x04\x0a"
	tests := []struct {
		name string
		in   party
		want func(*message.Certificate)
	}{
		{"nothing", withNames(), func(*message.Certificate) {}},
		{"serial number", ca.client(t, "", serial(0x0ade01)), func(m *message.Certificate) { m.SerialNumber = "0A:DE:01" }},
		{"serial number too long", ca.client(t, "", func(c *x509.Certificate) { c.SerialNumber = new(big.Int).Lsh(big.NewInt(1), 8*maxSerialOctets) }),
			func(m *message.Certificate) { m.SerialNumber = "" }},
		{"subject in its own order", ca.client(t, "", subject(part(cn, "a"), part(o, "b"), part(cn, "c, d"))), func(m *message.Certificate) {
			m.CommonNames, m.Subject = []string{"a", "c, d"}, `CN=c\, d,O=b,CN=a`
		}},
		{"every kind", withNames(der(0x81, "a@example.org"), der(0x82, "a.example"), directoryName, der(0x86, "spiffe://A/b"), der(0x87, "\xc0\x00\x02\x01"),
			registeredID, der(0x87, "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), der(0x82, "b.example")), func(m *message.Certificate) {
			m.RFC822Names, m.DNSNames, m.DirectoryNames = []string{"a@example.org"}, []string{"a.example", "b.example"}, []string{`CN=gate,O=Example\, Inc.`}
			m.URIs, m.IPAddresses, m.RegisteredIDs = []string{"spiffe://A/b"}, []string{"192.0.2.1", "2001:db8::1"}, []string{"1.2.3.4"}
		}},
		{"IPv4-mapped address", withNames(der(0x87, "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01")), func(m *message.Certificate) {
			m.IPAddresses = []string{"192.0.2.1"}
		}},
		{"kinds that are left out", withNames(der(0xa0, "\x06\x03\x2a\x03\x04"+der(0xa0, der(0x0c, "user"))), der(0xa3, ""), der(0xa5, "")), func(*message.Certificate) {}},
		{"constructed and primitive the wrong way round", withNames(der(0xa2, "a.example"), der(0x84, distinguished("a")), der(0xa8, "\x2a")), func(*message.Certificate) {}},
		{"other classes", withNames(der(0x02, "\x01"), der(0x42, "a.example"), der(0x16, "a.example")), func(*message.Certificate) {}},
		{"malformed directory names", withNames(der(0xa4, ""), der(0xa4, "\x31\x00"), der(0xa4, distinguished("a")+"\x05\x00"), directoryName), func(m *message.Certificate) {
			m.DirectoryNames = []string{`CN=gate,O=Example\, Inc.`}
		}},
		{"malformed registered ids", withNames(der(0x88, ""), der(0x88, "\x80\x01"), der(0x88, "\x2a\x83"), registeredID), func(m *message.Certificate) {
			m.RegisteredIDs = []string{"1.2.3.4"}
		}},
		{"empty names", withNames(der(0x82, ""), der(0x86, "")), func(*message.Certificate) {}},
		{"name too long", withNames(der(0x82, strings.Repeat("a", maxNameOctets+1)), der(0x82, strings.Repeat("b", maxNameOctets))), func(m *message.Certificate) {
			m.DNSNames = []string{strings.Repeat("b", maxNameOctets)}
		}},
		{"directory name that is too long as text", withNames(der(0xa4, distinguished(strings.Repeat(",", maxNameOctets-60)))), func(*message.Certificate) {}},
		{"subject too long", ca.client(t, strings.Repeat("a", maxNameOctets-10)), func(m *message.Certificate) {
			m.CommonNames = []string{strings.Repeat("a", maxNameOctets-10)}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(base(tt.want), Facts(tt.in.Certificate)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if Facts(nil) != nil {
		t.Error("got facts of no certificate")
	}
}

func TestFactsAreBounded(t *testing.T) {
	t.Parallel()
	ca := newCA(t, "ca")
	many := ca.client(t, "client", func(c *x509.Certificate) {
		for range 2 * maxNames {
			c.DNSNames = append(c.DNSNames, "a.example")
		}
	})
	if got := Facts(many.Certificate); len(got.CommonNames)+len(got.DNSNames) != maxNames {
		t.Errorf("got %d names", len(got.DNSNames))
	}
	long := ca.client(t, "client", func(c *x509.Certificate) {
		for range maxNames {
			c.EmailAddresses = append(c.EmailAddresses, strings.Repeat("a", maxNameOctets-4)+"@b.c")
		}
	})
	if got := len(strings.Join(Facts(long.Certificate).RFC822Names, "")); got > maxNamesOctets || got < maxNamesOctets-2*maxNameOctets {
		t.Errorf("got %d octets of names", got)
	}
}

// The decimal form of a number takes time that is quadratic in its length.
func TestRegisteredIDsAreLinear(t *testing.T) {
	t.Parallel()
	const octets = 1 << 20
	long := asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagRegisteredID, Bytes: append(bytes.Repeat([]byte{0xff}, octets), 0x7f)}
	start := time.Now()
	n := names{facts: new(message.Certificate)}
	n.addAlternative(long)
	if took := time.Since(start); took > 3*time.Second || n.count != 0 { // takes nothing; read, it takes a minute
		t.Errorf("took %v for %d names", took, n.count)
	}
}

func TestSerialNumberOfZero(t *testing.T) {
	t.Parallel()
	if got := serialNumber(new(big.Int)); got != "00" {
		t.Errorf("got %q", got)
	}
}

// Names in the character sets of old are UTF-8 when they come out.
func TestDistinguishedNameIsUTF8(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"T61String", der(0x30, der(0x31, der(0x30, "\x06\x03\x55\x04\x03"+der(0x14, "Gr\xfc\xdfe")))), "CN=Grüße"},
		{"BMPString", der(0x30, der(0x31, der(0x30, "\x06\x03\x55\x04\x03"+der(0x1e, "\x00G\x00\xfc")))), "CN=Gü"},
		{"two in one", der(0x30, der(0x31, der(0x30, "\x06\x03\x55\x04\x03"+der(0x0c, "a"))+der(0x30, "\x06\x03\x55\x04\x0a"+der(0x0c, "b")))), "CN=a+O=b"},
		{"unknown attribute", der(0x30, der(0x31, der(0x30, "\x06\x03\x2a\x03\x04"+der(0x0c, "a")))), "1.2.3.4=#130161"},
		{"no sequence", der(0x31, ""), ""},
		{"none", der(0x30, ""), ""},
		{"something behind", der(0x30, "") + "\x05\x00", ""},
	}
	for _, tt := range tests {
		if got := distinguishedName([]byte(tt.in)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzFacts: bounded, UTF-8, and whatever crypto/x509 reads of the names is among them, in its order, as far as the limits go.
func FuzzFacts(f *testing.F) {
	ca := newCA(f, "ca")
	f.Add(ca.Raw)
	f.Add(ca.client(f, "a", anyName).Raw)
	f.Add(ca.client(f, "a", extended(names4(true, registeredID, directoryName, der(0x86, "spiffe://a"), der(0x87, "\xc0\x00\x02\x01")))).Raw)
	f.Add(ca.client(f, "a", func(c *x509.Certificate) {
		c.RawSubject = []byte(der(0x30, der(0x31, der(0x30, "\x06\x03\x55\x04\x03"+der(0x14, "Gr\xfc\xdfe")))))
	}).Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		facts := Facts(c)
		names := slices.Concat(facts.CommonNames, facts.AlternativeNames())
		texts := append(names, facts.SerialNumber, facts.Subject, facts.Issuer)
		if octets := len(strings.Join(names, "")); len(names) > maxNames || octets > maxNamesOctets || len(facts.SerialNumber) > 3*maxSerialOctets {
			t.Fatalf("got %d names of %d octets", len(names), octets)
		}
		for _, text := range texts {
			if !utf8.ValidString(text) {
				t.Fatalf("got %q", text)
			}
		}
		if len(der) > maxNameOctets {
			return // a limit may have left something out
		}
		want := func(list []string) []string {
			return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
		}
		if !slices.Equal(facts.DNSNames, want(c.DNSNames)) || !slices.Equal(facts.RFC822Names, want(c.EmailAddresses)) || len(facts.IPAddresses) != len(c.IPAddresses) {
			t.Fatalf("got %q, %q, %q of %q, %q, %q", facts.DNSNames, facts.RFC822Names, facts.IPAddresses, c.DNSNames, c.EmailAddresses, c.IPAddresses)
		}
		if (facts.Subject == "") != (len(c.Subject.Names) == 0) || len(c.Subject.Names) == 0 && len(facts.CommonNames) > 0 {
			t.Fatalf("got subject %q of %v", facts.Subject, c.Subject.Names)
		}
	})
}
