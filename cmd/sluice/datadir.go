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
	lock, err := os.OpenFile(filepath.Join(path, lockFileName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, hint(fmt.Errorf("open the data directory: %w", err), "name another with --data")
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = writeOwner(lock)
	} else if errors.Is(err, syscall.EWOULDBLOCK) {
		err = hint(fmt.Errorf("data directory %s is in use%s", path, owner(lock)), "stop that server, or name another directory with --data")
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &dataDir{path: path, lock: lock}, nil
}

// file is the path of something in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// unlock gives the directory up. The lock is undone by word: a process that is being started may still have the file open.
func (d *dataDir) unlock() error {
	return errors.Join(syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN), d.lock.Close())
}

// writeOwner leaves our process id for whoever finds the directory in use.
func writeOwner(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	if _, err := fmt.Fprintln(lock, os.Getpid()); err != nil {
		return fmt.Errorf("write the lock: %w", err)
	}
	return nil
}

func owner(lock *os.File) string {
	text, err := io.ReadAll(io.LimitReader(lock, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return " by process " + pid
	}
	return ""
}
