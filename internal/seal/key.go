package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keyHeader is the format number that a key file begins with.
const keyHeader = "sluice-master-key-1:"

const (
	maxKeyFileOctets             = 4096
	keyFileMode      fs.FileMode = 0o600
	groupAndOthers   fs.FileMode = 0o077
)

// Parse reads a master key as File writes it, or as bare standard base64, which is how it stands in the environment.
// The error never shows the text.
func Parse(text string) ([]byte, error) {
	encoded := strings.TrimPrefix(strings.TrimSpace(text), keyHeader)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) != KeyOctets {
		return nil, fmt.Errorf("the master key is not the base64 of %d octets", KeyOctets)
	}
	return key, nil
}

// File returns the master key that is kept in a file. When there is no such file it makes one with a random key, mode
// 0600, synced before it returns: what is sealed must never outlive its key. It refuses a file that others may read.
func File(path string) ([]byte, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := createKey(path); err != nil {
		return nil, fmt.Errorf("create the master key %s: %w", path, err)
	}
	return readKey(path)
}

func readKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	if info.Mode().Perm()&groupAndOthers != 0 {
		return nil, fmt.Errorf("the master key %s may be read by others (mode %04o)\nhint: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	if info.Size() > maxKeyFileOctets {
		return nil, fmt.Errorf("the master key %s is not a key file: it has %d octets", path, info.Size())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the master key: %w", err)
	}
	key, err := Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return key, nil
}

// createKey writes the whole key under another name and links it to path, so that a crash leaves no half of a key and
// of two processes that create it at once one wins.
func createKey(path string) error {
	key := make([]byte, KeyOctets)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	temporary, err := os.CreateTemp(filepath.Dir(path), ".master-key-*")
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // an orphan is harmless; it is a key that seals nothing
	text := keyHeader + base64.StdEncoding.EncodeToString(key) + "\n"
	if err := errors.Join(temporary.Chmod(keyFileMode), writeSynced(temporary, text)); err != nil {
		return err
	}
	if err := os.Link(temporary.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDirectory(filepath.Dir(path))
}

func writeSynced(f *os.File, text string) error {
	_, err := f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
