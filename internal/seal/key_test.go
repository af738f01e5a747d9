package seal_test

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sluice/internal/seal"
)

func TestFileMakesAKeyOnceAndKeepsIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master-key")
	keys := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range keys {
		all.Go(func() {
			key, err := seal.File(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = key
		})
	}
	all.Wait()
	for _, key := range keys {
		if len(key) != seal.KeyOctets || !bytes.Equal(key, keys[0]) {
			t.Fatalf("callers that come at once got different keys, or one of %d octets", len(key))
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".master-key-*")); len(left) != 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestFileRefuses(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, seal.KeyOctets))
	tests := []struct {
		name, content string
		mode          os.FileMode
	}{
		{"readable by others", good, 0o644},
		{"empty", "", 0o600},
		{"short", base64.StdEncoding.EncodeToString([]byte("short")), 0o600},
		{"not base64", strings.Repeat("!", 44), 0o600},
		{"a later format", "sluice-master-key-2:" + good, 0o600},
		{"huge", strings.Repeat("A", 5000), 0o600},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "master-key")
			if err := os.WriteFile(path, []byte(test.content), test.mode); err != nil {
				t.Fatal(err)
			}
			key, err := seal.File(path)
			if err == nil || key != nil {
				t.Fatalf("got a key of %d octets, %v, want an error", len(key), err)
			}
			if test.content != "" && strings.Contains(err.Error(), test.content) {
				t.Error("the error shows the key")
			}
		})
	}
}

func TestFileNeedsItsDirectory(t *testing.T) {
	t.Parallel()
	if _, err := seal.File(filepath.Join(t.TempDir(), "absent", "master-key")); err == nil {
		t.Error("got no error")
	}
}

func TestParseTakesBase64AndTheFilesForm(t *testing.T) {
	t.Parallel()
	want := bytes.Repeat([]byte{9}, seal.KeyOctets)
	encoded := base64.StdEncoding.EncodeToString(want)
	for _, text := range []string{encoded, " " + encoded + "\n", "sluice-master-key-1:" + encoded + "\n"} {
		if got, err := seal.Parse(text); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%q: got %x, %v", text, got, err)
		}
	}
}
