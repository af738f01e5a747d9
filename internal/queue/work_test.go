package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"sluice/internal/message"
	"sluice/internal/spool"
)

// stored is Contents of one message.
type stored struct {
	content []byte
	err     error // of the reader, after the content
	open    error
}

func (s stored) Content(context.Context, message.ID, int64) (io.ReadCloser, error) {
	if s.open != nil {
		return nil, s.open
	}
	r := io.Reader(bytes.NewReader(s.content))
	if s.err != nil {
		r = io.MultiReader(r, iotest.ErrReader(s.err))
	}
	return io.NopCloser(iotest.OneByteReader(r)), nil
}

// inMemory is Content in chunks.
type inMemory [][]byte

func (c inMemory) Bytes() [][]byte { return c }
func (c inMemory) Retain()         {}
func (c inMemory) Release()        {}
func (c inMemory) Size() (n int64) {
	for _, chunk := range c {
		n += int64(len(chunk))
	}
	return n
}

// works returns the same work twice: with its content in memory, in pieces, and in the spool.
func works(content []byte, pieces int, state []byte) map[string]*Work {
	m := &spool.Message{ID: message.NewID(time.Now()), Size: int64(len(content)), Trace: "Received: us\r\n"}
	item := spool.Item{ItemKey: spool.ItemKey{Message: m.ID}, State: state}
	var chunks inMemory
	for i := range pieces {
		chunks = append(chunks, content[i*len(content)/pieces:(i+1)*len(content)/pieces])
	}
	return map[string]*Work{
		"memory": NewWork(spool.Claimed{Item: item, Message: m, Content: chunks}, stored{open: errDisk}),
		"spool":  NewWork(spool.Claimed{Item: item, Message: m}, stored{content: content}),
	}
}

func TestWorkGivesTheMessageAsItLeaves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		header := strings.Repeat("X-Field: value\r\n", rapid.IntRange(0, 2000).Draw(t, "fields"))
		content := []byte(header + "\r\n" + rapid.StringN(0, 2000, -1).Draw(t, "body"))
		field, err := message.NewField("X-Added", "yes")
		if err != nil {
			t.Fatal(err)
		}
		from := rapid.IntRange(0, len(content)).Draw(t, "from")
		to := rapid.IntRange(from, len(content)).Draw(t, "to")
		state, _ := (*message.Node)(nil).Add(field).Remove(message.Range{From: int64(from), To: int64(to)}).AppendBinary(nil)
		want := "Received: us\r\nX-Added: yes\r\n" + string(content[:from]) + string(content[to:])

		for name, w := range works(content, rapid.IntRange(1, 5).Draw(t, "pieces"), state) {
			if size := w.Size(); size != int64(len(want)) {
				t.Fatalf("%s: size %d, want %d", name, size, len(want))
			}
			r, err := w.Open(context.Background())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got, err := io.ReadAll(r)
			if err != nil || string(got) != want || r.Close() != nil {
				t.Fatalf("%s: got %q (%v), want %q", name, got, err, want)
			}
			if chunks := w.Chunks(); chunks != nil && string(bytes.Join(chunks, nil)) != want {
				t.Fatalf("%s: chunks are %q, want %q", name, chunks, want)
			}
			if got, err := w.Header(context.Background()); err != nil || string(got) != header+"\r\n" {
				t.Fatalf("%s: header of %d octets (%v), want %d", name, len(got), err, len(header)+2)
			}
		}
	})
}

func TestWorkWritesChunksWithoutCopying(t *testing.T) {
	t.Parallel()
	w := works([]byte("\r\nbody"), 2, nil)["memory"]
	r, err := w.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if n, err := io.Copy(&out, r); err != nil || n != w.Size() || out.String() != "Received: us\r\n\r\nbody" {
		t.Errorf("copied %d octets: %q, %v", n, out.String(), err)
	}
	if _, err := r.(io.WriterTo).WriteTo(&out); err != nil || out.Len() != int(w.Size()) {
		t.Error("what was written is written again")
	}
}

func TestHeaderIsBounded(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("X: y\r\n"), 100_000)
	for name, w := range works(content, 3, nil) {
		got, err := w.Header(t.Context())
		if err != nil || len(got) != message.MaxHeaderOctets {
			t.Errorf("%s: %d octets (%v), want %d", name, len(got), err, message.MaxHeaderOctets)
		}
	}
}

func TestWorkRemembersCorruption(t *testing.T) {
	t.Parallel()
	corrupt := fmt.Errorf("block 7: %w", spool.ErrCorrupt)
	open := func(w *Work) error {
		r, err := w.Open(context.Background())
		if err != nil {
			return err
		}
		_, err = io.ReadAll(r)
		return err
	}
	header := func(w *Work) error {
		_, err := w.Header(context.Background())
		return err
	}
	for _, tt := range []struct {
		name  string
		from  stored
		state []byte
		read  func(*Work) error
		want  bool
	}{
		{"sound", stored{content: []byte("\r\n")}, nil, open, false},
		{"a disk that fails", stored{err: errDisk}, nil, open, false},
		{"a disk that fails, header", stored{err: errDisk}, nil, header, false},
		{"a block", stored{content: []byte("X: y"), err: corrupt}, nil, open, true},
		{"a block, header", stored{content: []byte("X: y"), err: corrupt}, nil, header, true},
		{"the record", stored{open: corrupt}, nil, open, true},
		{"the record, header", stored{open: corrupt}, nil, header, true},
		{"the state", stored{}, []byte{99}, open, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := NewWork(spool.Claimed{Item: spool.Item{State: tt.state}, Message: &spool.Message{}}, tt.from)
			err := tt.read(w)
			if failed := tt.from.err != nil || tt.from.open != nil || tt.want; (err != nil) != failed {
				t.Errorf("got error %v", err)
			}
			if w.corrupt.Load() != tt.want || errors.Is(err, spool.ErrCorrupt) != tt.want {
				t.Errorf("corrupt is %v (%v), want %v", w.corrupt.Load(), err, tt.want)
			}
		})
	}
}

// TestCorruptMailIsHeld has executors that want to try again what cannot be read.
func TestCorruptMailIsHeld(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(w *Work) Result
	}{
		{"deferred", func(w *Work) Result { return Result{Deferred: w.Item.Recipients, Reply: "451 local error"} }},
		{"unreachable", func(*Work) Result { return Result{Unreachable: "broken pipe"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, map[string]Executor{"relay": stepper{Settings{Probe: true}, func(_ context.Context, w *Work) Result {
					if w.Item.RuleName == "bad" {
						w.contents = stored{open: spool.ErrCorrupt}
						w.Open(context.Background())
						return tt.end(w)
					}
					return Result{}
				}}, "process": stepper{step: func(_ context.Context, w *Work) Result {
					return Result{Next: []spool.Item{{Lane: relayLane, Recipients: w.Item.Recipients, RuleName: w.Item.Recipients[0].Path.Received}}}
				}}}, nil)
				r.accept(spool.LaneProcess, "", "good")
				r.accept(spool.LaneProcess, "", "bad")
				r.accept(spool.LaneProcess, "", "good")
				r.q.Notify(spool.LaneProcess)
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if held := r.items(spool.LaneCorrupt); len(held) != 1 || held[0].RuleName != "bad" {
					t.Errorf("held: %+v", held)
				}
				if left := r.items(relayLane); len(left) != 0 {
					t.Errorf("%d items were not served", len(left))
				}
				r.tidy()
			})
		})
	}
}
