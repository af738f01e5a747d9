package pebble

import (
	"fmt"
	"path"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// What opening needs beside the tables that the log is flushed to and a log of its own: the manifest, the options and their
// temporary files.
const (
	openOctets uint64 = 1 << 20
	openInodes uint64 = 32
)

// roomToOpen refuses to open the store on a disk that is all but full. The store would not refuse: it flushes its log over and
// over until there is room, or ends the process where its manifest cannot be written (S29).
func (d *disk) roomToOpen(dir string, o *pebble.Options) error {
	need := openOctets + o.MemTableSize + logOctets(dir, o)
	if usage, err := d.usage(); err == nil && usage.AvailBytes < need {
		return fmt.Errorf("%d KiB are free on its disk, opening takes %d KiB: %w", usage.AvailBytes>>10, need>>10, syscall.ENOSPC)
	}
	if d.inodes == nil {
		return nil
	}
	if free, total, err := d.inodes(); err == nil && total > 0 && free < openInodes {
		return fmt.Errorf("%d inodes are free on its disk, opening takes %d: %w", free, openInodes, syscall.ENOSPC)
	}
	return nil
}

// logOctets is the size of the write-ahead log that the process before left. What cannot be read has none: opening says why.
func logOctets(dir string, o *pebble.Options) (octets uint64) {
	names, err := o.FS.List(dir)
	if err != nil {
		return 0
	}
	for _, name := range names {
		if path.Ext(name) != logSuffix {
			continue
		}
		info, err := o.FS.Stat(o.FS.PathJoin(dir, name))
		if err == nil {
			octets += uint64(max(info.Size(), 0))
		}
	}
	return octets
}
