package peer

import (
	"fmt"
	"strings"
	"testing"
)

// verdict notes what a test was told.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) { v.skipped = fmt.Sprintf(format, args...) }

func (v *verdict) Fatalf(format string, args ...any) {
	if v.failed == "" {
		v.failed = fmt.Sprintf(format, args...)
	}
}

func TestRequire(t *testing.T) {
	tests := []struct {
		name            string
		required        string // value of SLUICE_REQUIRE_PEERS
		ask             func(t testing.TB)
		skipped, failed bool
	}{
		{"a program that is there", "1", func(t testing.TB) { Require(t, "go", "install Go") }, false, false},
		{"one that is not", "", func(t testing.TB) { Require(t, "no-such-program", "install it") }, true, false},
		{"one that must be there", "1", func(t testing.TB) { Require(t, "no-such-program", "install it") }, false, true},
		{"a file that is there", "1", func(t testing.TB) { RequirePath(t, "peer.go", "install it") }, false, false},
		{"a file that is not", "", func(t testing.TB) { RequirePath(t, "no-such-file", "install it") }, true, false},
		{"a file that must be there", "1", func(t testing.TB) { RequirePath(t, "no-such-file", "install it") }, false, true},
		{"a command that succeeds", "1", func(t testing.TB) { RequireRun(t, "install it", "go", "version") }, false, false},
		{"one that does not", "", func(t testing.TB) { RequireRun(t, "install it", "go", "no-such-command") }, true, false},
		{"one that must", "1", func(t testing.TB) { RequireRun(t, "install it", "go", "no-such-command") }, false, true},
		{"an optional one that is there", "1", func(t testing.TB) { Optional(t, "install it", "go", "version") }, false, false},
		{"an optional one that is not", "1", func(t testing.TB) { Optional(t, "install it", "no-such-program") }, true, false},
		{"an optional one that is too old", "1", func(t testing.TB) { Optional(t, "install it", "go", "no-such-command") }, true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(required, test.required)
			v := &verdict{TB: t}
			test.ask(v)
			if (v.failed != "") != test.failed || !test.failed && (v.skipped != "") != test.skipped {
				t.Errorf("failed with %q and skipped with %q, want %v and %v", v.failed, v.skipped, test.failed, test.skipped)
			}
			if said := v.failed + v.skipped; said != "" && !strings.Contains(said, "install it") {
				t.Errorf("%q does not say how to install it", said)
			}
		})
	}
}
