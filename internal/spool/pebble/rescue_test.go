package pebble

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/message"
	"sluice/internal/spool"
	"sluice/internal/spool/spooltest"
)

// rescued is what Rescue said.
type rescued struct {
	whole    map[message.ID]string // content of messages without any problem
	damaged  map[message.ID]string // what cannot be read of the others
	lanes    map[message.ID]spool.Lane
	problems []string
}

func rescueAll(t *testing.T, fs vfs.FS) rescued {
	t.Helper()
	got := rescued{whole: map[message.ID]string{}, damaged: map[message.ID]string{}, lanes: map[message.ID]spool.Lane{}}
	before := listing(t, fs)
	err := Rescue("spool", fs, func(r *Rescued) error {
		var content bytes.Buffer
		err := errors.Join(append(r.Problems, r.WriteContent(&content))...)
		if err == nil {
			got.whole[r.ID] = content.String()
		} else {
			got.damaged[r.ID] = err.Error()
		}
		if len(r.Items) > 0 {
			got.lanes[r.ID] = r.Items[0].Lane
		}
		return nil
	}, func(problem error) { got.problems = append(got.problems, problem.Error()) })
	if err != nil {
		t.Fatalf("rescue: %v", err)
	}
	if after := listing(t, fs); after != before {
		t.Errorf("files before:\n%s\nafter:\n%s", before, after)
	}
	return got
}

// listing is the names of the files.
func listing(t *testing.T, fs vfs.FS) string {
	t.Helper()
	names, err := fs.List("spool")
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	slices.Sort(names)
	return strings.Join(names, "\n")
}

// TestS30RescueWhole writes everything of a spool that is whole, in tables and in the log, and nothing that is gone.
func TestS30RescueWhole(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	special := onTables(t, fs)
	s := openOn(t, fs, spool.NewBudget(1))
	streamed := spooltest.Message()
	large := spooltest.Octets(3 * spool.ChunkOctets)
	accept(t, s, spool.Acceptance{Message: streamed, Items: []spool.Item{spooltest.Item(&streamed, 1, "l", spooltest.Epoch)}}, large)
	gone := claimAll(t, s, "l")[0].Item.ItemKey
	if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{gone}}); err != nil {
		t.Fatalf("settle: %v", err)
	}
	onTheWay, err := s.Begin(t.Context(), message.NewID(spooltest.Epoch))
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	if _, err := onTheWay.Write(large); err != nil {
		t.Fatalf("write: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	got := rescueAll(t, fs)
	if len(got.whole) != 600 || len(got.damaged) > 0 || len(got.problems) > 0 {
		t.Errorf("%d whole, damaged %v, problems %v", len(got.whole), got.damaged, got.problems)
	}
	if _, there := got.whole[gone.Message]; there {
		t.Errorf("what was settled is there")
	}
	if got.whole[streamed.ID] != string(large) || got.whole[special.ID] != token(2) || got.lanes[special.ID] != spool.Lane("l"+token(0)) {
		t.Errorf("content or lane differs")
	}
}

// TestS30RescueSpoiledBlocks spoils a block of each key space: nothing but what is in it is missing, and that is said.
func TestS30RescueSpoiledBlocks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		tokens []int
		least  int // messages that are whole
		hurt   bool
	}{
		"lane index":       {[]int{0}, 500, false}, // its last block has the first items
		"items":            {[]int{1}, 500, true},
		"content":          {[]int{2}, 400, true},
		"lanes and items":  {[]int{0, 1}, 500, true},
		"all three spaces": {[]int{0, 1, 2}, 300, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			special := onTables(t, fs)
			for _, n := range test.tokens {
				spoilTable(t, fs, token(n))
			}
			got := rescueAll(t, fs)
			if len(got.whole) < test.least || len(got.problems) == 0 && len(got.damaged) == 0 {
				t.Errorf("%d whole, %d damaged, problems %v", len(got.whole), len(got.damaged), got.problems)
			}
			if _, whole := got.whole[special.ID]; whole == test.hurt {
				t.Errorf("the spoiled message is whole: %v; %s", whole, got.damaged[special.ID])
			}
			if name != "all three spaces" && len(got.whole)+len(got.damaged) != 600 {
				t.Errorf("%d whole and %d damaged, want all 600 found", len(got.whole), len(got.damaged))
			}
		})
	}
}

// TestS30RescueWithoutTheStore: with its manifest lost or a log spoiled the store does not open; its files are read.
func TestS30RescueWithoutTheStore(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prefix, suffix string
		spoil          func(content []byte) []byte
		least          int
	}{
		"manifest is gone":    {"MANIFEST", "", func([]byte) []byte { return nil }, 603},
		"manifest is garbage": {"MANIFEST", "", func(c []byte) []byte { return bytes.Repeat([]byte("garbage "), len(c)/8+1) }, 603},
		"table is cut":        {"", ".sst", func(c []byte) []byte { return c[:len(c)/2] }, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			onTables(t, fs)
			s := openOn(t, fs, nil)
			kept := acceptItems(t, s, 1)
			acceptItems(t, s, 1)
			acceptItems(t, s, 1)
			gone := acceptItems(t, s, 1)
			key := spool.ItemKey{Message: gone.ID}
			for _, c := range claimAll(t, s, "l") {
				if c.Item.Message == gone.ID {
					key = c.Item.ItemKey
				}
			}
			if err := s.Settle(t.Context(), spool.Settlement{Owner: "o", Out: []spool.ItemKey{key}}); err != nil {
				t.Fatalf("settle: %v", err)
			}
			if err := s.db.LogData(nil, pebble.Sync); err != nil {
				t.Fatalf("sync: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			rewrite(t, fs, test.prefix, test.suffix, test.spoil)
			got := rescueAll(t, fs)
			if len(got.problems) == 0 || len(got.whole) < test.least || got.whole[kept.ID] != "content" {
				t.Errorf("%d whole, %d damaged, problems %v", len(got.whole), len(got.damaged), got.problems)
			}
			if _, there := got.whole[gone.ID]; there {
				t.Errorf("what was settled is there")
			}
		})
	}
}

// rewrite spoils the files with a name.
func rewrite(t *testing.T, fs vfs.FS, prefix, suffix string, spoil func([]byte) []byte) {
	t.Helper()
	names, err := fs.List("spool")
	if err != nil {
		t.Fatalf("list: %v", err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) || !strings.HasSuffix(name, suffix) {
			continue
		}
		content := spoil(readFile(t, fs, "spool/"+name))
		f, err := fs.Create("spool/"+name, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatalf("create: %v", err)
		}
		if _, err := f.Write(content); err != nil {
			t.Fatalf("write: %v", err)
		}
		closeQuietly(f)
	}
}

// TestS30RescueLostRecord: a message whose record is lost has its items and its content still.
func TestS30RescueLostRecord(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := openOn(t, fs, nil)
	m := acceptItems(t, s, 1)
	if err := errors.Join(s.db.Delete(appendMessageKey(nil, m.ID), pebble.Sync), s.Close()); err != nil {
		t.Fatalf("close: %v", err)
	}
	found := 0
	err := Rescue("spool", fs, func(r *Rescued) error {
		var content bytes.Buffer
		err := r.WriteContent(&content)
		if r.Message != nil || len(r.Items) != 1 || len(r.Problems) != 1 || err != nil || content.String() != "content" {
			t.Errorf("got %+v, %q, %v", r, content.String(), err)
		}
		found++
		return nil
	}, func(err error) { t.Error(err) })
	if err != nil || found != 1 {
		t.Errorf("%d found, %v", found, err)
	}
}

func TestRescueOfNothing(t *testing.T) {
	t.Parallel()
	each := func(*Rescued) error { t.Error("found something"); return nil }
	if err := Rescue("spool", vfs.NewMem(), each, func(error) {}); err == nil {
		t.Errorf("a directory that is not there is rescued")
	}
	fs := vfs.NewMem()
	s := openOn(t, fs, nil)
	m := acceptItems(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	failed := errors.New("no room")
	if err := Rescue("spool", fs, func(r *Rescued) error { return failed }, func(error) {}); !errors.Is(err, failed) {
		t.Errorf("%s: got %v, want %v", m.ID, err, failed)
	}
}
