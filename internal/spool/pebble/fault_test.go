package pebble

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// onLog returns an injector for writes or syncs of the write-ahead log.
func onLog(kind func(errorfs.OpKind) bool, inject func() error) errorfs.Injector {
	return errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && kind(op.Kind) {
			return inject()
		}
		return nil
	})
}

func isWrite(k errorfs.OpKind) bool { return k == errorfs.OpFileWrite }
func isSync(k errorfs.OpKind) bool {
	return k == errorfs.OpFileSync || k == errorfs.OpFileSyncData || k == errorfs.OpFileSyncTo
}

// TestLogFailureEndsTheProcess: a log that cannot be written or synced ends the process with status 1 and one line that
// says why, before any reply (S29).
func TestLogFailureEndsTheProcess(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]func(errorfs.OpKind) bool{"write": isWrite, "sync": isSync} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			fs := errorfs.Wrap(vfs.NewMem(), onLog(kind, func() error {
				if broken.Load() {
					return syscall.EIO
				}
				return nil
			}))
			ended := make(chan int, 100)
			var line bytes.Buffer
			s, err := Open("spool", Config{FS: fs, Logger: jsonLog(&line), Exit: func(status int) { ended <- status }})
			if err != nil {
				t.Fatalf("open: %v", err)
			} // not closed: its process has ended
			acceptItems(t, s, 1)
			s.commitWait = time.Hour
			broken.Store(true)
			replied := make(chan error, 1)
			go func() {
				m := spooltest.Message()
				in, _ := s.Begin(t.Context(), m.ID)
				_, err := s.Accept(t.Context(), spool.Acceptance{Message: m, Content: in, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}})
				replied <- err
			}()
			if status := <-ended; status != 1 {
				t.Errorf("ended with status %d, want 1", status)
			}
			select {
			case err := <-replied:
				t.Errorf("accept returned %v after the log failed", err)
			default:
			}
			if !strings.Contains(line.String(), "cannot go on") || !strings.Contains(line.String(), syscall.EIO.Error()) {
				t.Errorf("the line says %q", line.String())
			}
		})
	}
}

// TestSlowCommitIsTakenBack: after a sync that takes too long the client was told to come again; the message must not be
// handed out, then or ever.
func TestSlowCommitIsTakenBack(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, memoryOctets * 2} {
		fs := vfs.NewMem()
		answer := make(chan struct{})
		var slow atomic.Bool
		s, err := Open("spool", Config{Logger: quiet, FS: errorfs.Wrap(fs, onLog(isSync, func() error {
			if slow.Load() {
				<-answer
			}
			return nil
		}))})
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		s.commitWait = time.Millisecond
		m := spooltest.Message()
		in, err := s.Begin(t.Context(), m.ID)
		if err != nil {
			t.Fatalf("begin: %v", err)
		}
		if _, err := in.Write(spooltest.Octets(size)); err != nil {
			t.Fatalf("write: %v", err)
		}
		slow.Store(true)
		a := spool.Acceptance{Message: m, Content: in, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}, Rules: []byte("rules")}
		if _, err := s.Accept(t.Context(), a); !errors.Is(err, spool.ErrSlow) {
			t.Fatalf("accept: got %v, want %v", err, spool.ErrSlow)
		}
		claimed, _, err := s.Claim(t.Context(), "l", 1, "o", spooltest.Epoch, spooltest.Epoch)
		if err != nil || len(claimed) > 0 {
			t.Errorf("claimed %d items of a message that was refused, %v", len(claimed), err)
		}
		close(answer)
		if err := s.Close(); err != nil { // waits until it is taken back
			t.Fatalf("close: %v", err)
		}
		if used := s.budget.Used(); used != 0 || len(s.state.flights) > 0 || len(s.state.lanes) > 0 {
			t.Errorf("left: %d octets, %d messages, %d lanes", used, len(s.state.flights), len(s.state.lanes))
		}
		s = openOn(t, fs, nil)
		if _, _, err := s.Message(t.Context(), m.ID); !errors.Is(err, spool.ErrNotFound) {
			t.Errorf("message: got %v, want %v", err, spool.ErrNotFound)
		}
		checkNoOrphans(t, s, nil)
		if err := s.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
}

// TestBudgetBoundsMemory streams many large messages at once through a small budget.
func TestBudgetBoundsMemory(t *testing.T) {
	t.Parallel()
	const sessions, size, piece = 8, 3 << 19, 32 << 10
	budget := spool.NewBudget(1 << 20)
	s := openOn(t, vfs.NewMem(), budget)
	defer s.Close()
	content := spooltest.Octets(size)
	incoming := map[message.ID]spool.Incoming{}
	for range sessions {
		id := message.NewID(spooltest.Epoch)
		in, err := s.Begin(t.Context(), id)
		if err != nil {
			t.Fatalf("begin: %v", err)
		}
		incoming[id] = in
	}
	limit := budget.Limit() + sessions*beyondOctets
	for at := 0; at < size; at += piece {
		for _, in := range incoming {
			if _, err := in.Write(content[at : at+piece]); err != nil {
				t.Fatalf("write: %v", err)
			}
			if used := budget.Used(); used > limit {
				t.Fatalf("%d octets are used, want no more than %d", used, limit)
			}
		}
	}
	for id, in := range incoming {
		if !bytes.Equal(in.Prefix(), content[:spool.PrefixOctets]) {
			t.Errorf("prefix differs")
		}
		m := spooltest.Message()
		m.ID = id
		held, err := s.Accept(t.Context(), spool.Acceptance{Message: m, Content: in, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}})
		if err != nil || held != nil {
			t.Fatalf("accept: content in memory is %v, %v", held, err)
		}
		got, _, err := s.Message(t.Context(), id)
		if err != nil || !whole(t, s, got) {
			t.Fatalf("content of %s differs: %v", id, err)
		}
		r, err := s.Content(t.Context(), id, size/2+1)
		if err != nil {
			t.Fatalf("content: %v", err)
		}
		if rest, err := io.ReadAll(r); err != nil || !bytes.Equal(rest, content[size/2+1:]) {
			t.Fatalf("content from the middle differs: %d octets, %v", len(rest), err)
		}
	}
	if used := budget.Used(); used != 0 {
		t.Errorf("%d octets are not given back", used)
	}
}

// TestSmallContentBeyondBudget: with no budget left small messages still come in, and keep nothing in memory.
func TestSmallContentBeyondBudget(t *testing.T) {
	t.Parallel()
	budget := spool.NewBudget(1)
	s := openOn(t, vfs.NewMem(), budget)
	defer s.Close()
	m := acceptItems(t, s, 1)
	if used := budget.Used(); used != 0 {
		t.Errorf("%d octets are used", used)
	}
	r, err := s.Content(t.Context(), m.ID, 0)
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	if content, err := io.ReadAll(r); err != nil || string(content) != "content" {
		t.Errorf("got %q, %v", content, err)
	}
}

// claimAll claims everything in a lane.
func claimAll(t *testing.T, s *Spool, lane spool.Lane) []spool.Claimed {
	t.Helper()
	late := spooltest.Epoch.AddDate(1, 0, 0)
	claimed, _, err := s.Claim(t.Context(), lane, 1<<20, "o", late, late)
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return claimed
}

// TestCorruptRecords spoils single records: their items are held with what is known of them, and all else is served (S30).
func TestCorruptRecords(t *testing.T) {
	t.Parallel()
	garbage := []byte("\x00garbage")
	for name, c := range map[string]struct {
		spoil      func(s *Spool, m *spool.Message) error
		recipients int // that are known
		message    bool
	}{
		"item record": {
			func(s *Spool, m *spool.Message) error {
				return s.db.Set(appendItemKey(nil, spool.ItemKey{Message: m.ID}), garbage, pebble.NoSync)
			}, 2, true, // from the envelope: nobody is forgotten
		},
		"message record": {
			func(s *Spool, m *spool.Message) error {
				return s.db.Set(appendMessageKey(nil, m.ID), garbage, pebble.NoSync)
			}, 1, false,
		},
		"no item record": {
			func(s *Spool, m *spool.Message) error {
				return s.db.Delete(appendItemKey(nil, spool.ItemKey{Message: m.ID}), pebble.NoSync)
			}, 2, true,
		},
		"no message record": {
			func(s *Spool, m *spool.Message) error { return s.db.Delete(appendMessageKey(nil, m.ID), pebble.NoSync) }, 1, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openOn(t, vfs.NewMem(), nil)
			defer s.Close()
			acceptItems(t, s, 1)
			spoiled := acceptItems(t, s, 1)
			acceptItems(t, s, 1)
			if err := c.spoil(s, spoiled); err != nil {
				t.Fatalf("spoil: %v", err)
			}
			if claimed := claimAll(t, s, "l"); len(claimed) != 2 {
				t.Errorf("%d items are served, want 2", len(claimed))
			}
			found, err := s.Scan(t.Context(), spool.LaneCorrupt, nil, 10)
			if err != nil || len(found) != 1 {
				t.Fatalf("%d items are held, %v", len(found), err)
			}
			held := claimAll(t, s, spool.LaneCorrupt)
			if len(held) != 1 || held[0].Item.Message != spoiled.ID || held[0].Message.ID != spoiled.ID || held[0].Item.LastReply == "" {
				t.Fatalf("held: %+v", held)
			}
			if n := len(held[0].Item.Recipients); n != c.recipients {
				t.Errorf("%d recipients are known, want %d", n, c.recipients)
			}
			if known := held[0].Message.Session.Hello != ""; known != c.message {
				t.Errorf("message is known: %v, want %v", known, c.message)
			}
			if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{held[0].Item.ItemKey}}); err != nil {
				t.Errorf("settle: %v", err)
			}
			stats, err := s.Lanes(t.Context())
			if err != nil || len(stats) != 1 || stats[0].Items != 2 {
				t.Errorf("lanes: %+v, %v", stats, err)
			}
		})
	}
}

// spoilTable flips an octet at the text in a table on disk, which spoils its whole block.
func spoilTable(t *testing.T, fs vfs.FS, text string) {
	t.Helper()
	names, err := fs.List("spool")
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	spoiled := 0
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		content := readFile(t, fs, "spool/"+name)
		at := bytes.Index(content, []byte(text))
		if at < 0 {
			continue
		}
		content[at] ^= 0xff
		f, err := fs.Create("spool/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatalf("write: %v", err)
		}
		closeQuietly(f)
		spoiled++
	}
	if spoiled != 1 {
		t.Fatalf("%q is in %d tables", text, spoiled)
	}
}

func readFile(t *testing.T, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	defer closeQuietly(f)
	content, err := io.ReadAll(f)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return content
}

// token is a text that compression leaves alone.
func token(n int) string { return fmt.Sprintf("%x", spooltest.Octets(400)[n*20:n*20+20]) }

// onTables fills a spool with messages, one of which has tokens where they can be found on disk, and closes it.
func onTables(t *testing.T, fs vfs.FS) (special *spool.Message) {
	t.Helper()
	s := openOn(t, fs, nil)
	for i := range 600 { // more than a block of each key space
		m := spooltest.Message()
		if i == 300 {
			m.ID[8] = 0x80 // amid its key space, as the ids differ from here on: its blocks hold nothing of another space
		}
		item := spooltest.Item(&m, 1, "l", spooltest.Epoch)
		content := []byte("content")
		if i == 300 {
			item.Lane, item.LastReply = spool.Lane("l"+token(0)), token(1)
			content = []byte(token(2))
			special = &m
		}
		accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{item}, Rules: []byte("rules")}, content)
	}
	if err := errors.Join(s.db.Flush(), s.Close()); err != nil {
		t.Fatalf("close: %v", err)
	}
	return special
}

// TestCorruptBlock spoils a block of records: what is in it is held, everything else is served (S30).
func TestCorruptBlock(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	special := onTables(t, fs)
	spoilTable(t, fs, token(1))
	s := openOn(t, fs, nil)
	defer s.Close()
	served := len(claimAll(t, s, "l")) + len(claimAll(t, s, spool.Lane("l"+token(0))))
	held := claimAll(t, s, spool.LaneCorrupt)
	if served < 500 || len(held) == 0 || served+len(held) != 600 {
		t.Errorf("%d items are served and %d held, want all 600", served, len(held))
	}
	found := false
	for _, c := range held {
		found = found || c.Item.Message == special.ID
	}
	if !found {
		t.Errorf("the spoiled item is not held")
	}
}

// TestCorruptContent: content that cannot be read says so, and never ends early as if it were whole (S30).
func TestCorruptContent(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	special := onTables(t, fs)
	spoilTable(t, fs, token(2))
	s := openOn(t, fs, nil)
	defer s.Close()
	r, err := s.Content(t.Context(), special.ID, 0)
	if err == nil {
		_, err = io.ReadAll(r)
	}
	if !errors.Is(err, spool.ErrCorrupt) {
		t.Errorf("got %v, want %v", err, spool.ErrCorrupt)
	}
	if served := len(claimAll(t, s, "l")); served != 599 {
		t.Errorf("%d items are served, want 599", served)
	}
}

func TestMissingContent(t *testing.T) {
	t.Parallel()
	s := openOn(t, vfs.NewMem(), nil)
	defer s.Close()
	m := spooltest.Message()
	accept(t, s, spool.Acceptance{Message: m, Items: []spool.Item{spooltest.Item(&m, 1, "l", spooltest.Epoch)}}, spooltest.Octets(600_000))
	if err := s.db.Delete(appendContentKey(nil, m.ID, spool.ChunkOctets), pebble.NoSync); err != nil {
		t.Fatalf("delete: %v", err)
	}
	r, err := s.Content(t.Context(), m.ID, 0)
	if err != nil {
		t.Fatalf("content: %v", err)
	}
	if got, err := io.ReadAll(r); !errors.Is(err, spool.ErrCorrupt) || len(got) != spool.ChunkOctets {
		t.Errorf("got %d octets, %v", len(got), err)
	}
}

// TestCorruptLaneIndex: an index that cannot be read is made anew from the items at the next start.
func TestCorruptLaneIndex(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(s *Spool) error{
		"key":   func(s *Spool) error { return s.db.Set(appendSpace(nil, spaceLanes), nil, pebble.Sync) },
		"value": func(s *Spool) error { return s.db.Set(appendLaneKey(nil, "l", order{}), nil, pebble.Sync) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			onTables(t, fs)
			s := openOn(t, fs, nil)
			if err := errors.Join(spoil(s), s.Close()); err != nil {
				t.Fatalf("close: %v", err)
			}
			for range 2 {
				s := openOn(t, fs, nil)
				stats, err := s.Lanes(t.Context())
				if err != nil || len(stats) != 2 || stats[0].Items != 599 || stats[1].Items != 1 {
					t.Errorf("lanes: %+v, %v", stats, err)
				}
				if n := len(claimAll(t, s, "l")); n != 599 {
					t.Errorf("%d items are served, want 599", n)
				}
				if err := s.Close(); err != nil {
					t.Fatalf("close: %v", err)
				}
			}
		})
	}
}
