package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	dataDirMode  os.FileMode = 0o700 // mail and keys are nobody else's
	lockFileName             = "lock"
)

// dataDir is the data directory, which one server at a time owns. The zero dataDir is none; unlock gives it up.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir creates the directory if need be and takes its lock. The kernel drops the lock when the process ends,
// however it ends, so a lock is never left behind.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, dataDirMode); err != nil {
		return nil, hint(fmt.Errorf("create the data directory: %w", err), "name another with --data")
	}
	lock, err := openLock(filepath.Join(path, lockFileName))
	if err != nil {
		return nil, hint(fmt.Errorf("open the data directory: %w", err), "name another with --data")
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = hint(fmt.Errorf("data directory %s is in use%s", path, owner(lock)), "stop that server, or name another directory with --data")
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	writeOwner(lock)
	return &dataDir{path: path, lock: lock}, nil
}

// openLock opens the lock's file, which need not be written to be locked: a start on a disk that is read-only goes on (S29).
func openLock(path string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, syscall.EROFS) {
		return os.Open(path)
	}
	return lock, err
}

// file is the path of something in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// unlock gives the directory up. The lock is undone by word: a process that is being started may still have the file open.
func (d *dataDir) unlock() error {
	return errors.Join(syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN), d.lock.Close())
}

// writeOwner leaves our process id for whoever finds the directory in use. The lock holds without it, as on a disk that is full.
func writeOwner(lock *os.File) {
	if lock.Truncate(0) == nil {
		_, _ = fmt.Fprintln(lock, os.Getpid())
	}
}

func owner(lock *os.File) string {
	text, err := io.ReadAll(io.LimitReader(lock, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return " by process " + pid
	}
	return ""
}
