package harness

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// ResidentMiB is the resident memory of the process. The test is skipped where the system does not tell.
func (p *Process) ResidentMiB(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Skipf("resident memory: %v", err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib >> 10
		}
	}
	t.Skip("resident memory: /proc does not tell")
	return 0
}
