package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sluice/internal/spool"
)

// The journal is a file of slots that are overwritten in place, not synced: the system's memory outlives the process.
// The first slot is the header. A slot is a key and its checksum, or zero when it is free.
const (
	journalName   = "running"
	journalHeader = "sluice running \x01\n" // its last but one octet is the format number
	slotOctets    = 64
	slotKeyOctets = idOctets + seqOctets // then the checksum
)

var errJournalFormat = fmt.Errorf("journal of running steps: unknown format: %w", spool.ErrNewerFormat)

// journal implements spool.Journal.
type journal struct {
	file vfs.File

	mu          sync.Mutex
	slots       int   // in the file, the header not counted
	free        []int // slots that can be used
	interrupted map[spool.ItemKey]int
}

// openJournal reads what the process before left. Of an item that is gone nothing is kept.
func openJournal(fs vfs.FS, name string, exists func(spool.ItemKey) bool) (*journal, error) {
	file, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("open journal of running steps: %w", err)
	}
	j := &journal{file: file, interrupted: map[spool.ItemKey]int{}}
	if err := j.load(exists); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *journal) load(exists func(spool.ItemKey) bool) error {
	content, err := io.ReadAll(io.NewSectionReader(j.file, 0, 1<<30))
	if err != nil {
		return fmt.Errorf("read journal of running steps: %w", err)
	}
	if len(content) < slotOctets { // new, or died when it was
		var header [slotOctets]byte
		copy(header[:], journalHeader)
		_, err := j.file.WriteAt(header[:], 0)
		return err
	}
	if string(content[:len(journalHeader)]) != journalHeader {
		return errJournalFormat
	}
	for content = content[slotOctets:]; len(content) >= slotOctets; content = content[slotOctets:] {
		key, used := parseSlot(content[:slotOctets])
		if used && exists(key) {
			j.interrupted[key] = j.slots
		} else {
			j.free = append(j.free, j.slots)
		}
		j.slots++
	}
	return nil
}

// parseSlot reads a slot; one that is torn counts as free.
func parseSlot(slot []byte) (key spool.ItemKey, used bool) {
	copy(key.Message[:], slot)
	key.Seq = binary.BigEndian.Uint32(slot[idOctets:])
	used = !key.Message.IsZero() && binary.LittleEndian.Uint32(slot[slotKeyOctets:]) == slotSum(slot)
	return key, used
}

func slotSum(slot []byte) uint32 {
	return crc32.Checksum(slot[:slotKeyOctets], crc32.MakeTable(crc32.Castagnoli))
}

// Begin implements spool.Journal. A slot that cannot be written is worth no step: at worst a crash is not counted.
func (j *journal) Begin(key spool.ItemKey) int {
	slot := j.take(key)
	var content [slotOctets]byte
	copy(content[:], key.Message[:])
	binary.BigEndian.PutUint32(content[idOctets:], key.Seq)
	binary.LittleEndian.PutUint32(content[slotKeyOctets:], slotSum(content[:]))
	j.write(slot, content)
	return slot
}

// take finds a slot: the one that the item was interrupted in, one that is free, or a new one.
func (j *journal) take(key spool.ItemKey) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if slot, ok := j.interrupted[key]; ok {
		delete(j.interrupted, key)
		return slot
	}
	if last := len(j.free) - 1; last >= 0 {
		slot := j.free[last]
		j.free = j.free[:last]
		return slot
	}
	j.slots++
	return j.slots - 1
}

func (j *journal) write(slot int, content [slotOctets]byte) {
	_, _ = j.file.WriteAt(content[:], int64(slot+1)*slotOctets)
}

// End implements spool.Journal.
func (j *journal) End(slot int) {
	j.write(slot, [slotOctets]byte{})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.free = append(j.free, slot)
}

// Interrupted implements spool.Journal.
func (j *journal) Interrupted() []spool.ItemKey {
	j.mu.Lock()
	defer j.mu.Unlock()
	keys := make([]spool.ItemKey, 0, len(j.interrupted))
	for key := range j.interrupted {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, compareKeys)
	return keys
}

// forget frees the slots of interrupted items that were settled without a step of theirs having run.
func (j *journal) forget(keys []spool.ItemKey) {
	j.mu.Lock()
	var slots []int
	for _, key := range keys {
		if slot, ok := j.interrupted[key]; ok {
			delete(j.interrupted, key)
			slots = append(slots, slot)
		}
	}
	j.mu.Unlock()
	for _, slot := range slots {
		j.End(slot)
	}
}

func (j *journal) close() error { return j.file.Close() }

func compareKeys(a, b spool.ItemKey) int {
	return order{message: a.Message, seq: a.Seq}.compare(order{message: b.Message, seq: b.Seq})
}
