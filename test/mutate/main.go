// Command mutate shows that tests would notice if a guard were gone: it switches each guard off, one constant at a time, and
// runs the test that is named after it, which must fail then. The files of the checkout are not touched: the compiler is given
// the changed one in place of the other.
//
// Run it with make mutate; -run selects guards by a regular expression.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	only := flag.String("run", "", "only guards whose name matches this regular expression")
	flag.Parse()
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	survived := 0
	for _, g := range guards {
		if !pattern.MatchString(g.name) {
			continue
		}
		begun := time.Now()
		if err := g.try(); err != nil {
			survived++
			fmt.Printf("FAIL  %s: %v\n", g, err)
			continue
		}
		fmt.Printf("ok    %s: the test fails without it (%.1f s)\n", g, time.Since(begun).Seconds())
	}
	if survived > 0 {
		fmt.Printf("%d guards can be switched off and no test notices\n", survived)
		os.Exit(1)
	}
}

// guard is a constant, or another line, that a test is about.
type guard struct {
	name     string // the statement that it guards
	file     string // from the root of the checkout
	on, off  string // the line, and what it is when the guard is off
	pkg, run string // the package of the test, and a regular expression of its name
}

func (g guard) String() string {
	return fmt.Sprintf("%s (%s: %s)", g.name, g.file, strings.TrimSpace(g.on))
}

// try runs the test with the guard and without.
func (g *guard) try() error {
	if out, err := g.test(""); err != nil {
		return fmt.Errorf("the test fails with the guard: %w\n%s", err, out)
	}
	folder, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	overlay, err := g.overlay(folder)
	if err != nil {
		return err
	}
	out, err := g.test(overlay)
	switch {
	case err == nil:
		return fmt.Errorf("%s passes without the guard", g.run)
	case !bytes.Contains(out, []byte("--- FAIL: ")) && !bytes.Contains(out, []byte("panic: test timed out")):
		return fmt.Errorf("%s does not run without the guard: %w\n%s", g.run, err, out)
	}
	return nil
}

// overlay writes the file without the guard, and the instruction to compile it in place of the other.
func (g *guard) overlay(folder string) (path string, err error) {
	file, err := filepath.Abs(g.file)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(text, []byte(g.on)); n != 1 {
		return "", fmt.Errorf("%q is in the file %d times, want once", g.on, n)
	}
	changed := filepath.Join(folder, filepath.Base(file))
	if err := os.WriteFile(changed, bytes.Replace(text, []byte(g.on), []byte(g.off), 1), 0o600); err != nil {
		return "", err
	}
	instruction, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return "", err
	}
	path = filepath.Join(folder, "overlay.json")
	return path, os.WriteFile(path, instruction, 0o600)
}

// test runs the test. The overlay holds for the binaries that it builds, too.
func (g *guard) test(overlay string) ([]byte, error) {
	command := exec.Command("go", "test", "-count=1", "-timeout=5m", "-run="+g.run, g.pkg)
	command.Env = os.Environ()
	if overlay != "" {
		command.Env = append(command.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	out, err := command.CombinedOutput()
	if bytes.Contains(out, []byte("no tests to run")) {
		return out, fmt.Errorf("no test is called %s", g.run)
	}
	return out, err
}
