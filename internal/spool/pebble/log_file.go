package pebble

import (
	"path"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logSuffix ends the names of files of the write-ahead log.
const logSuffix = ".log"

// logFS is a file system that ends the process when the write-ahead log cannot be made, written or synced. The store does so
// too where it commits; where it turns to the next log it panics with its locks let go, and the process would end with a
// stack instead of a line. Source: docs/promises.md, Disks; S29.
type logFS struct {
	vfs.FS
	fatal func(format string, args ...any) // never returns once the store is open
}

// Create implements vfs.FS.
func (fs logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.watch(name, f, err)
}

// ReuseForWrite implements vfs.FS: an old log becomes a new one.
func (fs logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(old, name, category)
	return fs.watch(name, f, err)
}

// OpenDir implements vfs.FS: the log's name is made durable by a sync of its directory.
func (fs logFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &logFile{File: f, name: name, fatal: fs.fatal}, nil
}

// Unwrap implements vfs.FS.
func (fs logFS) Unwrap() vfs.FS { return fs.FS }

func (fs logFS) watch(name string, f vfs.File, err error) (vfs.File, error) {
	if path.Ext(name) != logSuffix {
		return f, err
	}
	watched := &logFile{File: f, name: name, fatal: fs.fatal}
	return watched, watched.check("make", err)
}

// logFile is a file of the log, or the directory that it is in.
type logFile struct {
	vfs.File
	name  string
	fatal func(format string, args ...any)
}

func (f *logFile) check(verb string, err error) error {
	if err != nil {
		f.fatal("%s %s, of the write-ahead log: %v", verb, path.Base(f.name), err)
	}
	return err
}

// Write implements vfs.File.
func (f *logFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.check("write", err)
}

// Sync implements vfs.File.
func (f *logFile) Sync() error { return f.check("sync", f.File.Sync()) }

// SyncData implements vfs.File.
func (f *logFile) SyncData() error { return f.check("sync", f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f *logFile) SyncTo(length int64) (full bool, err error) {
	full, err = f.File.SyncTo(length)
	return full, f.check("sync", err)
}

// Close implements vfs.File.
func (f *logFile) Close() error { return f.check("close", f.File.Close()) }
