package pebble

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

func openTestJournal(t testing.TB, fs vfs.FS) *journal {
	t.Helper()
	j, err := openJournal(fs, journalName, func(spool.ItemKey) bool { return true })
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return j
}

func key(seq uint32) spool.ItemKey {
	return spool.ItemKey{Message: message.ID{1, 2, 3}, Seq: seq}
}

func interrupted(t testing.TB, j *journal, want ...spool.ItemKey) {
	t.Helper()
	if d := cmp.Diff(want, append([]spool.ItemKey(nil), j.Interrupted()...)); d != "" {
		t.Errorf("interrupted (-want +got):\n%s", d)
	}
}

// TestInterrupted dies at every point of a step's life: without closing, as a process that is killed.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	j := openTestJournal(t, fs)
	interrupted(t, j)
	first, second := j.Begin(key(1)), j.Begin(key(2))
	if first == second {
		t.Fatalf("two steps share a slot")
	}
	j.End(first)
	third := j.Begin(key(3))
	if third != first {
		t.Errorf("a free slot is not used again")
	}
	interrupted(t, j) // those that run are not

	j = openTestJournal(t, fs)
	interrupted(t, j, key(2), key(3))
	j = openTestJournal(t, fs) // died before they ran again: still so
	interrupted(t, j, key(2), key(3))
	slot := j.Begin(key(2))
	interrupted(t, j, key(3))

	j = openTestJournal(t, fs) // died while it ran again
	interrupted(t, j, key(2), key(3))
	j.End(j.Begin(key(2)))
	j.forget([]spool.ItemKey{key(3), key(9)})
	interrupted(t, j)
	if slot >= 2 {
		t.Errorf("an interrupted step that runs again took a slot of its own")
	}
	j = openTestJournal(t, fs)
	interrupted(t, j)
}

func TestJournalGrows(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	j := openTestJournal(t, fs)
	var want []spool.ItemKey
	for seq := range uint32(300) {
		j.Begin(key(seq))
		want = append(want, key(seq))
	}
	interrupted(t, openTestJournal(t, fs), want...)
}

func TestJournalForgetsWhatIsGone(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	j := openTestJournal(t, fs)
	j.Begin(key(1))
	j.Begin(key(2))
	j, err := openJournal(fs, journalName, func(k spool.ItemKey) bool { return k == key(2) })
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	interrupted(t, j, key(2))
	if slot := j.Begin(key(3)); slot != 0 {
		t.Errorf("slot %d, want that of what is gone", slot)
	}
}

// TestSpoiledJournal: a torn slot is as if the step had not begun; a file of another format is refused.
func TestSpoiledJournal(t *testing.T) {
	t.Parallel()
	whole := vfs.NewMem()
	openTestJournal(t, whole).Begin(key(1))
	content := readFile(t, whole, journalName)
	for cut := range len(content) {
		fs := vfs.NewMem()
		writeFile(t, fs, journalName, content[:cut])
		interrupted(t, openTestJournal(t, fs))
	}
	for at := slotOctets; at < slotOctets+slotKeyOctets+4; at++ {
		spoiled := bytes.Clone(content)
		spoiled[at] ^= 0x10
		fs := vfs.NewMem()
		writeFile(t, fs, journalName, spoiled)
		interrupted(t, openTestJournal(t, fs))
	}
	spoiled := append(bytes.Clone(content), make([]byte, slotOctets)...)
	spoiled[len(journalHeader)-2]++
	fs := vfs.NewMem()
	writeFile(t, fs, journalName, spoiled)
	if _, err := openJournal(fs, journalName, nil); !errors.Is(err, errJournalFormat) {
		t.Errorf("newer format: got %v, want %v", err, errJournalFormat)
	}
}

func writeFile(t *testing.T, fs vfs.FS, name string, content []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	if _, err := f.Write(bytes.Clone(content)); err != nil { // which it may change
		t.Fatalf("write: %v", err)
	}
	closeQuietly(f)
}

// TestJournalOfSpool follows an interrupted item through a start and its settlement.
func TestJournalOfSpool(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openOn(t, fs, nil)
	m := acceptItems(t, s, 2)
	for seq := range uint32(2) {
		s.Journal().Begin(spool.ItemKey{Message: m.ID, Seq: seq})
	}
	s.Journal().Begin(key(7)) // of a message that is not there
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = openOn(t, fs, nil)
	running := []spool.ItemKey{{Message: m.ID}, {Message: m.ID, Seq: 1}}
	interrupted(t, s.running, running...)
	claimAll(t, s, "l")
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: running[:1], In: []spool.Item{spooltest.Item(m, 0, "held/x", spooltest.Epoch)}}); err != nil {
		t.Fatalf("settle: %v", err)
	}
	interrupted(t, s.running, running[1])
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = openOn(t, fs, nil)
	interrupted(t, s.running, running[1])
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}

// FuzzJournal reads what claims to be a journal: refused or bounded, and it can be written on.
func FuzzJournal(f *testing.F) {
	fs := vfs.NewMem()
	openTestJournal(f, fs).Begin(key(1))
	f.Add([]byte(journalHeader))
	f.Add(append([]byte(journalHeader), make([]byte, 200)...))
	f.Fuzz(func(t *testing.T, content []byte) {
		fs := vfs.NewMem()
		writeFile(t, fs, journalName, content)
		j, err := openJournal(fs, journalName, func(spool.ItemKey) bool { return true })
		if err != nil {
			return
		}
		before := j.Interrupted()
		if len(before) > len(content)/slotOctets {
			t.Fatalf("%d items from %d octets", len(before), len(content))
		}
		j.End(j.Begin(key(5)))
		for _, k := range openTestJournal(t, fs).Interrupted() {
			if k == key(5) {
				t.Fatalf("a step that has ended is interrupted")
			}
		}
	})
}

func BenchmarkJournal(b *testing.B) {
	s, err := Open(b.TempDir(), Config{Logger: quiet})
	if err != nil {
		b.Fatalf("open: %v", err)
	}
	defer s.Close()
	for b.Loop() {
		s.running.End(s.running.Begin(key(1)))
	}
}
