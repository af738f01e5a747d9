package soak

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/pebble"
	"sluice/test/harness"
	"sluice/test/load/ledger"
	"sluice/test/load/letter"
)

// balanced ends a test with its account: what was accepted was delivered, came back, is held or waits.
func balanced(t *testing.T, sent, taken *ledger.Ledger) ledger.Report {
	t.Helper()
	report := ledger.Compare(sent, taken)
	line, err := report.Balance()
	t.Log(line)
	if err != nil {
		t.Errorf("the balance does not add up: %v", err)
	}
	return report
}

// audit reads the spool of a server that has ended: it notes in the ledger what is held and what waits, and fails the test when
// there is anything but items, their messages and the content of these. It returns how many messages there are.
func audit(t *testing.T, server *harness.Server, l *ledger.Ledger) (messages int) {
	t.Helper()
	s, err := pebble.Open(filepath.Join(server.Data, "spool"), pebble.Config{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	stats, err := s.Lanes(t.Context())
	must(t, err)
	ids := map[message.ID]bool{}
	want := pebble.Census{}
	for _, lane := range stats {
		items, err := s.Scan(t.Context(), lane.Lane, nil, lane.Items)
		must(t, err)
		for _, c := range items {
			note(t, s, c, l)
			want.Items++
			if !ids[c.Item.Message] {
				ids[c.Item.Message] = true
				want.Contents += int((c.Message.Size + spool.ChunkOctets - 1) / spool.ChunkOctets)
			}
		}
		t.Logf("lane %s has %d items", lane.Lane, lane.Items)
	}
	want.Messages, want.Places = len(ids), want.Items
	got, err := s.Census(t.Context())
	must(t, err)
	if got != want {
		t.Errorf("in the spool are %+v, want what %d items stand for: %+v", got, want.Items, want)
	}
	return len(ids)
}

// note adds the deliveries that an item stands for: its own, or those that its message, a notification, tells of.
func note(t *testing.T, s *pebble.Spool, c spool.Claimed, l *ledger.Ledger) {
	t.Helper()
	r, err := s.Content(t.Context(), c.Item.Message, 0)
	must(t, err)
	defer r.Close()
	content, err := io.ReadAll(r)
	must(t, err)
	mark := ledger.Queued
	if c.Item.Lane.Held() {
		mark = ledger.Held
	}
	if bounce, err := letter.ReadBounce(content); err == nil {
		for _, recipient := range bounce.Failed {
			l.Add(ledger.Key(bounce.ID, recipient), mark)
		}
		return
	}
	id, _ := letter.Read(content)
	for _, recipient := range c.Item.Recipients {
		l.Add(ledger.Key(id, recipient.Path.Received), mark)
	}
}

// spoolItems is in what /metrics answers.
var spoolItems = regexp.MustCompile(`(?m)^mailmanager_spool_items\{kind="([^"]+)"\} (\S+)$`)

// rested waits until nothing waits any more; what is held may be.
func rested(t *testing.T, s *harness.Server) {
	t.Helper()
	began, before := time.Now(), stillWaiting(t, s)
	drained(t, func() map[string]string { return stillWaiting(t, s) })
	t.Logf("what waited, %v, was done after %v", before, time.Since(began).Round(time.Second))
}

// stillWaiting is how many items there are of each kind but held ones.
func stillWaiting(t *testing.T, s *harness.Server) map[string]string {
	t.Helper()
	answer, err := http.Get(s.Endpoint + "/metrics")
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	waiting := map[string]string{}
	for _, found := range spoolItems.FindAllSubmatch(text, -1) {
		if kind, items := string(found[1]), string(found[2]); kind != "held" && items != "0" {
			waiting[kind] = items
		}
	}
	return waiting
}
