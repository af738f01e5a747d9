package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/spool"
	"sluice/internal/spool/pebble"
	"sluice/internal/spool/spooltest"
)

// stopped is the data directory of a server that stopped with messages in its spool.
func stopped(t *testing.T, messages int) (dir string, ids []string) {
	t.Helper()
	dir = t.TempDir()
	s, err := pebble.Open(filepath.Join(dir, spoolFolder), pebble.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range messages {
		m := spooltest.Message()
		m.Trace = "Received: from a\r\n"
		in, err := s.Begin(t.Context(), m.ID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write([]byte("Subject: x\r\n\r\nbody\r\n")); err != nil {
			t.Fatal(err)
		}
		item := spooltest.Item(&m, 1, "relay/l", spooltest.Epoch)
		item.LastReply = "451 later"
		if _, err := s.Accept(t.Context(), spool.Acceptance{Message: m, Content: in, Items: []spool.Item{item}}); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, m.ID.String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, ids
}

func TestS30Rescue(t *testing.T) {
	dir, ids := stopped(t, 3)
	out := filepath.Join(t.TempDir(), "new", "out")
	code, said, complaint := sluice(t, "rescue", dir, out)
	if code != exitOK || said != "3 messages written to "+out+", 0 of them in part, 0 problems\n" || complaint != "" {
		t.Fatalf("got code %d, %q and %q", code, said, complaint)
	}
	for _, id := range ids {
		text, err := os.ReadFile(filepath.Join(out, id+".eml"))
		if err != nil || string(text) != "Received: from a\r\nSubject: x\r\n\r\nbody\r\n" {
			t.Errorf("%s: %q, %v", id, text, err)
		}
		text, err = os.ReadFile(filepath.Join(out, id+".json"))
		var got facts
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || got.ID.String() != id || got.Envelope == nil || got.Session == nil || len(got.Items) != 1 ||
			got.Items[0].LastReply != "451 later" || got.Items[0].Lane != "relay/l" || len(got.Items[0].Recipients) == 0 {
			t.Errorf("%s: %v\n%s", id, err, text)
		}
	}
	mine := filepath.Join(out, ids[0]+".eml")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, said, _ = sluice(t, "rescue", dir, out)
	if text, _ := os.ReadFile(mine); code != exitFailed || string(text) != "mine" || strings.Count(said, "\n") != 4 {
		t.Errorf("again: got code %d, %q, and %q in the file", code, said, text)
	}
}

// TestS30RescueDamaged: a store that does not open is read all the same, what is missing is told, and nothing ends early
// as if it were whole.
func TestS30RescueDamaged(t *testing.T) {
	dir, ids := stopped(t, 2)
	manifests, err := filepath.Glob(filepath.Join(dir, spoolFolder, "MANIFEST-*"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("%v, %v", manifests, err)
	}
	if err := os.Truncate(manifests[0], 0); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	code, said, complaint := sluice(t, "rescue", dir, out)
	if code != exitFailed || !strings.HasPrefix(said, "spool: the store does not open") || strings.Count(said, "\n") != 2 {
		t.Errorf("got code %d, %q and %q", code, said, complaint)
	}
	for _, id := range ids {
		if _, err := os.Stat(filepath.Join(out, id+".eml")); err != nil {
			t.Error(err)
		}
	}
}

func TestRescueRefusals(t *testing.T) {
	if code, _, err := sluice(t, "rescue", t.TempDir(), t.TempDir()); code != exitUsage || !strings.Contains(err, "has no spool") {
		t.Errorf("no spool: got code %d and %q", code, err)
	}
	dir, _ := stopped(t, 1)
	running, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer running.unlock()
	out := filepath.Join(t.TempDir(), "out")
	if code, _, err := sluice(t, "rescue", dir, out); code != exitFailed || !strings.Contains(err, "in use by process") {
		t.Errorf("running: got code %d and %q", code, err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Errorf("something was written")
	}
}
