package sink

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	maildirMode  os.FileMode = 0o700
	maildirQueue             = "tmp"
	maildirNew               = "new"
)

// maildir is a directory with the folders tmp, new and cur. A message is written in tmp and moved to new once it is whole,
// so that no reader sees half of one.
type maildir struct{ path string }

func openMaildir(path string) (*maildir, error) {
	for _, folder := range []string{maildirQueue, maildirNew, "cur"} {
		if err := os.MkdirAll(filepath.Join(path, folder), maildirMode); err != nil {
			return nil, fmt.Errorf("create the maildir: %w", err)
		}
	}
	return &maildir{path: path}, nil
}

// create starts a message. The name is unique, as message ids are.
func (m *maildir) create(name string) (*maildirFile, error) {
	file, err := os.OpenFile(filepath.Join(m.path, maildirQueue, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create a message: %w", err)
	}
	return &maildirFile{File: file, final: filepath.Join(m.path, maildirNew, name)}, nil
}

// maildirFile is a message on its way in.
type maildirFile struct {
	*os.File
	final string
}

// deliver makes the message durable and lets readers see it.
func (f *maildirFile) deliver() error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	if err := os.Rename(f.Name(), f.final); err != nil {
		return fmt.Errorf("deliver a message: %w", err)
	}
	folder, err := os.Open(filepath.Dir(f.final))
	if err != nil {
		return fmt.Errorf("deliver a message: %w", err)
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (f *maildirFile) discard() {
	// Whatever fails here leaves a file in tmp, which readers do not look at.
	_ = f.Close()
	_ = os.Remove(f.Name())
}
