package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Modes of what is made: entries tell who does what from where.
const (
	fileMode fs.FileMode = 0o600
	dirMode  fs.FileMode = 0o700
)

// partLayout is the time in the name of an older part. Parts sort by it.
const partLayout = "20060102T150405.000000000Z"

// output is where lines go. It is used by one goroutine at a time.
type output interface {
	write(line []byte) error
	close() error
}

func openOutput(cfg *Config) (output, error) {
	switch {
	case cfg.Output != nil:
		return plain{cfg.Output}, nil
	case cfg.Path == "-":
		return plain{os.Stderr}, nil // as the logger has it: both write whole lines, one after the other
	}
	f := &rotated{cfg: cfg}
	err := f.open()
	if takesNoWrites(err) {
		cfg.Logger.Error("the audit log cannot be opened yet, and entries are dropped until it can", "error", err)
		err = nil
	}
	return f, err
}

// takesNoWrites reports whether an error is the disk's, and goes when the disk is put right (S29).
func takesNoWrites(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// plain is a stream that is not ours to close.
type plain struct{ io.Writer }

func (p plain) write(line []byte) error { _, err := p.Write(line); return err }
func (plain) close() error              { return nil }

// rotated is a file that is renamed when it is long, and of whose older parts as many are kept as the configuration says.
type rotated struct {
	cfg  *Config
	file *os.File // nil: it could not be opened
	size int64
	torn bool // the last line has no end
}

func (f *rotated) open() error {
	if err := os.MkdirAll(filepath.Dir(f.cfg.Path), dirMode); err != nil {
		return err
	}
	file, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	f.file, f.size = file, info.Size()
	last := []byte{'\n'}
	if f.size > 0 {
		_, err = file.ReadAt(last, f.size-1)
	}
	f.torn = err == nil && last[0] != '\n' // a full disk, or a crash, cut it off
	return nil
}

func (f *rotated) write(line []byte) error {
	if f.file != nil && f.size > 0 && f.size+int64(len(line)) > f.cfg.fileOctets {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.file == nil {
		if err := f.open(); err != nil {
			return err
		}
	}
	if f.torn {
		if _, err := f.file.Write([]byte{'\n'}); err != nil {
			return err
		}
		f.size++
	}
	n, err := f.file.Write(line)
	f.size += int64(n)
	f.torn = n > 0 && n < len(line)
	return err
}

// rotate puts the file aside and removes the oldest parts.
func (f *rotated) rotate() error {
	err := f.file.Close()
	f.file = nil
	part := f.cfg.Path + "." + f.cfg.Now().UTC().Format(partLayout)
	if err := errors.Join(err, os.Rename(f.cfg.Path, part)); err != nil {
		return fmt.Errorf("put the audit log aside: %w", err)
	}
	parts, err := f.parts()
	if err != nil {
		return err
	}
	for len(parts) > f.cfg.files-1 {
		if err := os.Remove(parts[0]); err != nil {
			return fmt.Errorf("remove the oldest part of the audit log: %w", err)
		}
		parts = parts[1:]
	}
	return nil
}

// parts are the older parts, the oldest first. Files that only look similar are none.
func (f *rotated) parts() ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(f.cfg.Path))
	if err != nil {
		return nil, err
	}
	var parts []string
	for _, entry := range entries {
		stamp, ok := strings.CutPrefix(entry.Name(), filepath.Base(f.cfg.Path)+".")
		if _, err := time.Parse(partLayout, stamp); ok && err == nil {
			parts = append(parts, filepath.Join(filepath.Dir(f.cfg.Path), entry.Name()))
		}
	}
	slices.Sort(parts)
	return parts, nil
}

func (f *rotated) close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
