// Package harness runs the sluice binary for tests: built once in a test process, started with a data directory and
// addresses of its own, stopped as an operator or a power cut would. Start with Start.
package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built is the binary, once it is. The folder it is in is left for the operating system to clear: no test knows that it
// is the last.
var built = sync.OnceValues(build)

// Binary returns the path of sluice, built with the race detector when the test is.
func Binary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func build() (string, error) {
	folder, err := os.MkdirTemp("", "sluice-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "sluice")
	args := []string{"build", "-o", path}
	if raceDetector {
		args = append(args, "-race")
	}
	command := exec.Command("go", append(args, "sluice/cmd/sluice")...)
	if !raceDetector {
		command.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	}
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sluice: %w\n%s", err, out)
	}
	return path, nil
}
