// Package peer says which foreign software a test needs, and how it is installed.
package peer

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// required is the variable that turns a missing peer into a failure: CI installs them all.
const required = "SLUICE_REQUIRE_PEERS"

// Require skips the test when a program is not there, and says how it is installed. With SLUICE_REQUIRE_PEERS=1 it fails.
func Require(t testing.TB, program, install string) {
	t.Helper()
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	missing(t, program, install)
}

// RequirePath is Require for a file or folder.
func RequirePath(t testing.TB, path, install string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	missing(t, path, install)
}

func missing(t testing.TB, what, install string) {
	t.Helper()
	if os.Getenv(required) == "1" {
		t.Fatalf("%s is not there; to install it: %s", what, install)
	}
	t.Skipf("%s is not there; to install it: %s", what, install)
}

// RequireRun is Require for what only a command can tell, by its success.
func RequireRun(t testing.TB, install, program string, args ...string) {
	t.Helper()
	if err := exec.Command(program, args...).Run(); err != nil {
		missing(t, strings.Join(append([]string{program}, args...), " "), install)
	}
}

// Optional skips the test unless a command succeeds: it is for peers that no package of the test machines brings.
func Optional(t testing.TB, install, program string, args ...string) {
	t.Helper()
	if err := exec.Command(program, args...).Run(); err != nil {
		t.Skipf("%s is not there, or too old; to install it: %s", program, install)
	}
}
