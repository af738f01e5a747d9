package spool_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/message"
	"sluice/internal/smtp"
	"sluice/internal/spool"
)

// goldenMessage is what testdata/message_1.hex holds: every field that format 1 has.
func goldenMessage() *spool.Message {
	path := func(local, domain string) smtp.Path {
		return smtp.Path{Received: local + "@" + domain, Local: local, Domain: domain}
	}
	return &spool.Message{
		ID: message.ID{1, 2, 3}, RuleSet: spool.Hash{4, 5, 6}, RuleSetID: "rs-1", Size: 1234, Trace: "Received: from client.example\r\n",
		ReceivedAt: time.Date(2026, 9, 1, 12, 0, 0, 1, time.UTC),
		Session: message.Session{
			ID: message.ID{7, 8, 9}, Account: "123456789012", Region: "eu-central-1", IngressPoint: "inp-1", Listener: "mx",
			Started: time.Date(2026, 9, 1, 11, 59, 59, 0, time.UTC),
			Client:  netip.MustParseAddrPort("192.0.2.1:4321"), Local: netip.MustParseAddrPort("[2001:db8::1]:25"),
			ClientName: "client.example", Hello: "hello.example", Extended: true, TLSVersion: "TLSv1.3",
			TLSCipher: "TLS_AES_128_GCM_SHA256", TLSWrapped: true, AuthUser: "inp-1",
		},
		Envelope: message.Envelope{
			ReversePath: path("sender", "example.com"), EightBit: true, UTF8: true, EnvelopeID: "envelope", Return: "HDRS",
			Recipients: []message.Recipient{
				{Path: path("one", "example.net"), Notify: "SUCCESS,FAILURE", Original: "rfc822;one@example.net"},
				{Path: path("two", "example.net")},
			},
		},
	}
}

// goldenItem is what testdata/item_1.hex holds: every field that format 1 has.
func goldenItem() spool.Item {
	m := goldenMessage()
	return spool.Item{
		ItemKey: spool.ItemKey{Message: m.ID, Seq: 7}, Lane: "held/failed", Due: time.Date(2026, 9, 1, 12, 0, 1, 2, time.UTC),
		Recipients: m.Envelope.Recipients[:1], State: []byte("state"), Cursor: []byte("cursor"), Rule: 1, Action: 2, Node: 3,
		RuleName: "rule", ActionName: "RELAY", Attempts: 4, LastReply: "550 no", Crashes: 1,
	}
}

// readGolden reads a record that an earlier version wrote.
func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	record, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return record
}

// Records stay on the disk while Sluice is brought up to date: what an earlier version wrote is read.
func TestEarlierRecordsAreRead(t *testing.T) {
	t.Parallel()
	got, err := spool.DecodeMessage(readGolden(t, "message_1.hex"))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(goldenMessage(), got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	item, err := spool.DecodeItem(readGolden(t, "item_1.hex"))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(goldenItem(), item); d != "" {
		t.Errorf("item (-want +got):\n%s", d)
	}
}

// What is read of an earlier format is written in the newest, and is the same.
func TestEarlierRecordsAreBroughtUpToDate(t *testing.T) {
	t.Parallel()
	old := readGolden(t, "message_1.hex")
	m, err := spool.DecodeMessage(old)
	if err != nil {
		t.Fatal(err)
	}
	record := spool.AppendMessage(nil, m)
	again, err := spool.DecodeMessage(record)
	if err != nil || record[0] <= old[0] {
		t.Fatalf("got format %d of %d, %v", record[0], old[0], err)
	}
	if d := diff(m, again); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// A list that declares more elements than the record has room for is refused before anything is allocated for it.
func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	m := goldenMessage()
	m.Session.SecretARN, m.Session.Certificate = "secret", &message.Certificate{}
	record := spool.AppendMessage(nil, m)
	at := bytes.Index(record, []byte("secret")) + len("secret\x01") // the number of common names
	for _, count := range []uint64{1 << 40, 1<<63 + 1} {
		body := slices.Concat(record[:at], binary.AppendUvarint(nil, count), record[at+1:len(record)-4])
		if _, err := spool.DecodeMessage(sealed(body)); !errors.Is(err, spool.ErrCorrupt) {
			t.Errorf("%d names: got %v", count, err)
		}
	}
}
