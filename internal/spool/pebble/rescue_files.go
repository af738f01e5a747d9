package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"sluice/internal/spool"
)

// fileSource reads the tables and logs of a store that does not open. Its keys are in memory: some 100 octets for each,
// and the values of the logs. Of a key that is there more than once the newest counts, even if it was removed; the
// removal of ranges, which is of content only, is not looked at.
type fileSource struct {
	tables []*sstable.Reader
	newest map[string]version
}

// version is the newest that is known of a key.
type version struct {
	seq   pebble.SeqNum
	gone  bool
	table int    // where its value is; -1: in value
	value []byte // of a log
}

func openFiles(fs vfs.FS, dir string, report func(error)) (*fileSource, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	s := &fileSource{newest: map[string]version{}}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		if err := s.addTable(fs, fs.PathJoin(dir, name)); err != nil {
			report(fmt.Errorf("table %s: %w", name, readError(err)))
		}
	}
	logs, err := wal.Scan(wal.Dir{FS: fs, Dirname: dir})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, log := range logs {
		if err := s.addLog(log); err != nil {
			report(fmt.Errorf("log %s: what is behind this place is lost: %w", log, err))
		}
	}
	return s, nil
}

// addTable notes every key of a table that can be read: up to the first block that cannot, and from the end back to it.
func (s *fileSource) addTable(fs vfs.FS, name string) error {
	file, err := fs.Open(name)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	table, err := sstable.NewReader(context.Background(), readable, sstable.ReaderOptions{})
	if err != nil {
		return err // the reader has closed the file
	}
	s.tables = append(s.tables, table)
	it, err := table.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	for kv := it.First(); kv != nil; kv = it.Next() {
		s.noteInTable(kv.K)
	}
	failed := errors.Join(it.Error(), it.Close())
	if failed == nil {
		return nil
	}
	if it, err = table.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles); err != nil {
		return errors.Join(failed, err)
	}
	for kv := it.Last(); kv != nil; kv = it.Prev() {
		s.noteInTable(kv.K)
	}
	_ = it.Close() // fails as the other did
	return failed
}

// noteInTable notes a key of the last table.
func (s *fileSource) noteInTable(key pebble.InternalKey) {
	kind := key.Kind()
	there := kind == pebble.InternalKeyKindSet || kind == pebble.InternalKeyKindSetWithDelete
	s.note(key.UserKey, version{seq: key.SeqNum(), gone: !there, table: len(s.tables) - 1})
}

// addLog notes every key of a log, up to the first record that cannot be read.
func (s *fileSource) addLog(log wal.LogicalLog) error {
	r := log.OpenForRead()
	defer closeQuietly(r)
	for {
		record, _, err := r.NextRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		batch, err := io.ReadAll(record)
		if err != nil {
			return err
		}
		if err := s.addBatch(batch); err != nil {
			return err
		}
	}
}

func (s *fileSource) addBatch(batch []byte) error {
	header, ok := batchrepr.ReadHeader(batch)
	if !ok {
		return fmt.Errorf("batch of %d octets: %w", len(batch), spool.ErrCorrupt)
	}
	entries := batchrepr.Read(batch)
	for seq := header.SeqNum; ; seq++ {
		kind, key, value, ok, err := entries.Next()
		if err != nil || !ok {
			return err
		}
		switch kind {
		case pebble.InternalKeyKindLogData:
			seq-- // has no number of its own
		case pebble.InternalKeyKindSet:
			s.note(key, version{seq: seq, table: -1, value: value})
		case pebble.InternalKeyKindDelete, pebble.InternalKeyKindSingleDelete:
			s.note(key, version{seq: seq, gone: true})
		}
	}
}

func (s *fileSource) note(key []byte, v version) {
	if old, known := s.newest[string(key)]; !known || v.seq >= old.seq {
		s.newest[string(key)] = v
	}
}

func (s *fileSource) keys(lower, upper []byte, do func(key []byte)) error {
	for key, v := range s.newest {
		if !v.gone && key >= string(lower) && key < string(upper) {
			do([]byte(key))
		}
	}
	return nil
}

func (s *fileSource) get(key []byte) ([]byte, error) {
	v, known := s.newest[string(key)]
	if !known || v.gone {
		return nil, spool.ErrNotFound
	}
	if v.table < 0 {
		return v.value, nil
	}
	it, err := s.tables[v.table].NewIter(sstable.NoTransforms, key, append(bytes.Clone(key), 0), sstable.AssertNoBlobHandles)
	if err != nil {
		return nil, readError(err)
	}
	defer closeQuietly(it)
	kv := it.First()
	if kv == nil {
		return nil, errors.Join(readError(it.Error()), spool.ErrCorrupt)
	}
	value, _, err := kv.Value(nil)
	if err != nil {
		return nil, readError(err)
	}
	return bytes.Clone(value), nil
}

func (s *fileSource) close() error {
	var errs []error
	for _, table := range s.tables {
		errs = append(errs, table.Close())
	}
	return errors.Join(errs...)
}
