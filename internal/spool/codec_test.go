package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

var (
	texts = rapid.StringN(0, 40, 80)
	times = rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "zero") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(-1<<40, 1<<40).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).UTC()
	})
	ids = rapid.Custom(func(t *rapid.T) (id message.ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), len(id), len(id)).Draw(t, "id"))
		return id
	})
	paths = rapid.Custom(func(t *rapid.T) smtp.Path {
		return smtp.Path{Received: texts.Draw(t, "path"), Local: texts.Draw(t, "local"), Domain: texts.Draw(t, "domain")}
	})
	recipients = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) message.Recipient {
		return message.Recipient{Path: paths.Draw(t, "path"), Notify: texts.Draw(t, "notify"), Original: texts.Draw(t, "original")}
	}), 0, 5)
	addrPorts = rapid.SampledFrom([]netip.AddrPort{
		{}, netip.MustParseAddrPort("192.0.2.1:25"), netip.MustParseAddrPort("[2001:db8::1]:0"), netip.MustParseAddrPort("[fe80::1%eth0]:65535"),
	})
	textLists    = rapid.SliceOfN(rapid.StringN(0, 40, 80), 0, 3) // a list asks its generator its name, which other tests must not meanwhile
	certificates = rapid.Custom(func(t *rapid.T) *message.Certificate {
		if rapid.Bool().Draw(t, "no certificate") {
			return nil
		}
		return &message.Certificate{
			CommonNames: textLists.Draw(t, "cn"), SerialNumber: texts.Draw(t, "serial"), RFC822Names: textLists.Draw(t, "rfc822"),
			DNSNames: textLists.Draw(t, "dns"), DirectoryNames: textLists.Draw(t, "directory"), URIs: textLists.Draw(t, "uri"),
			IPAddresses: textLists.Draw(t, "ip"), RegisteredIDs: textLists.Draw(t, "registered"), Subject: texts.Draw(t, "subject"),
			Issuer: texts.Draw(t, "issuer"), NotBefore: times.Draw(t, "before"), NotAfter: times.Draw(t, "after"),
		}
	})
	messages = rapid.Custom(func(t *rapid.T) spool.Message {
		return spool.Message{
			ID: ids.Draw(t, "id"), ReceivedAt: times.Draw(t, "received"), Size: rapid.Int64().Draw(t, "size"), Trace: texts.Draw(t, "trace"),
			RuleSetID: texts.Draw(t, "rules"), RuleSet: spool.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash")),
			Session: message.Session{
				ID: ids.Draw(t, "session"), Account: texts.Draw(t, "account"), Region: texts.Draw(t, "region"), IngressPoint: texts.Draw(t, "point"),
				Listener: texts.Draw(t, "listener"), Started: times.Draw(t, "started"), Client: addrPorts.Draw(t, "client"), Local: addrPorts.Draw(t, "local"),
				ClientName: texts.Draw(t, "name"), Hello: texts.Draw(t, "hello"), Extended: rapid.Bool().Draw(t, "extended"),
				TLSVersion: texts.Draw(t, "tls"), TLSCipher: texts.Draw(t, "cipher"), TLSWrapped: rapid.Bool().Draw(t, "wrapped"), AuthUser: texts.Draw(t, "user"),
				AuthVersion: texts.Draw(t, "version"), SecretARN: texts.Draw(t, "secret"), Certificate: certificates.Draw(t, "certificate"),
			},
			Envelope: message.Envelope{
				ReversePath: paths.Draw(t, "reverse"), EightBit: rapid.Bool().Draw(t, "8bit"), UTF8: rapid.Bool().Draw(t, "utf8"),
				EnvelopeID: texts.Draw(t, "envid"), Return: texts.Draw(t, "ret"), Recipients: recipients.Draw(t, "recipients"),
			},
		}
	})
	items = rapid.Custom(func(t *rapid.T) spool.Item {
		return spool.Item{
			ItemKey: spool.ItemKey{Message: ids.Draw(t, "id"), Seq: rapid.Uint32().Draw(t, "seq")}, Lane: spool.Lane(texts.Draw(t, "lane")),
			Due: times.Draw(t, "due"), Recipients: recipients.Draw(t, "recipients"), State: rapid.SliceOf(rapid.Byte()).Draw(t, "state"),
			Cursor: rapid.SliceOf(rapid.Byte()).Draw(t, "cursor"), Rule: rapid.Int().Draw(t, "rule"), Action: rapid.Int().Draw(t, "action"),
			Node: rapid.Int().Draw(t, "node"), RuleName: texts.Draw(t, "rulename"), ActionName: texts.Draw(t, "actionname"),
			Attempts: rapid.Int().Draw(t, "attempts"), LastReply: texts.Draw(t, "reply"), Crashes: rapid.Int().Draw(t, "crashes"),
			Origin: spool.Lane(texts.Draw(t, "origin")), Warned: rapid.Bool().Draw(t, "warned"), Sender: texts.Draw(t, "sender"), RuleSetID: texts.Draw(t, "own rules"),
			RuleSet: spool.Hash(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 7}), 32, 32).Draw(t, "own hash")),
		}
	})
)

// diff compares with empty slices as nil, which is how they are read.
func diff(want, got any) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.FilterValues(func(a, b []byte) bool {
		return len(a) == 0 && len(b) == 0
	}, cmp.Ignore()), cmp.FilterValues(func(a, b []message.Recipient) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore()),
		cmp.FilterValues(func(a, b []string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore()))
}

func TestMessageComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := messages.Draw(t, "message")
		prefix := []byte("before")
		record := spool.AppendMessage(prefix, &want)
		got, err := spool.DecodeMessage(record[len(prefix):])
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if d := diff(&want, got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

func TestItemComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := items.Draw(t, "item")
		got, err := spool.DecodeItem(spool.AppendItem(nil, &want))
		if err != nil {
			t.Fatalf("decode: %v", err)
		}
		if d := diff(want, got); d != "" {
			t.Fatalf("(-want +got):\n%s", d)
		}
	})
}

// TestEveryFieldIsKept would fail for a field that the codec forgets: it needs every field of the example set.
func TestEveryFieldIsKept(t *testing.T) {
	t.Parallel()
	want := spooltest.Message()
	want.Size = 1
	got, err := spool.DecodeMessage(spool.AppendMessage(nil, &want))
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	if d := diff(&want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestSpoiledRecords changes and cuts records everywhere: each is refused.
func TestSpoiledRecords(t *testing.T) {
	t.Parallel()
	m := spooltest.Message()
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	for name, c := range map[string]struct {
		record []byte
		newer  byte
		decode func([]byte) error
	}{
		"message": {spool.AppendMessage(nil, &m), 3, func(r []byte) error { _, err := spool.DecodeMessage(r); return err }},
		"item":    {spool.AppendItem(nil, &item), 3, func(r []byte) error { _, err := spool.DecodeItem(r); return err }},
	} {
		for i := range c.record {
			if err := c.decode(c.record[:i]); !errors.Is(err, spool.ErrCorrupt) {
				t.Errorf("%s cut to %d octets: got %v", name, i, err)
			}
			spoiled := bytes.Clone(c.record)
			spoiled[i] ^= 0x40
			if err := c.decode(spoiled); !errors.Is(err, spool.ErrCorrupt) {
				t.Errorf("%s changed at %d: got %v", name, i, err)
			}
		}
		for what, body := range map[string][]byte{
			"newer format":  append([]byte{c.newer}, c.record[1:len(c.record)-4]...),
			"no format":     append([]byte{0}, c.record[1:len(c.record)-4]...),
			"too much":      append(bytes.Clone(c.record[:len(c.record)-4]), 0),
			"huge declared": append(bytes.Clone(c.record[:1+25]), bytes.Repeat([]byte{0xff}, 60)...),
		} {
			if err := c.decode(sealed(body)); !errors.Is(err, spool.ErrCorrupt) {
				t.Errorf("%s, %s: got %v", name, what, err)
			}
		}
	}
}

// sealed gives a body a right checksum, as a newer version or a bug of ours would.
func sealed(body []byte) []byte {
	return binary.LittleEndian.AppendUint32(body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

// FuzzMessage reads a sealed body: it is refused, or printed and read again the same, and allocates no more than it has.
func FuzzMessage(f *testing.F) {
	m := spooltest.Message()
	record := spool.AppendMessage(nil, &m)
	f.Add(record[:len(record)-4])
	record = readGolden(f, "message_1.hex")
	f.Add(record[:len(record)-4])
	f.Add([]byte{1})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := spool.DecodeMessage(sealed(body))
		if err != nil {
			if !errors.Is(err, spool.ErrCorrupt) {
				t.Fatalf("got %v, want %v", err, spool.ErrCorrupt)
			}
			return
		}
		again, err := spool.DecodeMessage(spool.AppendMessage(nil, m))
		if err != nil || diff(m, again) != "" {
			t.Fatalf("does not come back: %v %s", err, diff(m, again))
		}
	})
}

// FuzzItem is FuzzMessage for items.
func FuzzItem(f *testing.F) {
	m := spooltest.Message()
	item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
	record := spool.AppendItem(nil, &item)
	f.Add(record[:len(record)-4])
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, body []byte) {
		item, err := spool.DecodeItem(sealed(body))
		if err != nil {
			if !errors.Is(err, spool.ErrCorrupt) {
				t.Fatalf("got %v, want %v", err, spool.ErrCorrupt)
			}
			return
		}
		again, err := spool.DecodeItem(spool.AppendItem(nil, &item))
		if err != nil || diff(item, again) != "" {
			t.Fatalf("does not come back: %v %s", err, diff(item, again))
		}
	})
}

func BenchmarkMessageRecord(b *testing.B) {
	m := spooltest.Message()
	buf := make([]byte, 0, 1024)
	for b.Loop() {
		buf = spool.AppendMessage(buf[:0], &m)
		if _, err := spool.DecodeMessage(buf); err != nil {
			b.Fatal(err)
		}
	}
}
