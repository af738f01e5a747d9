package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// document reads one of the documents, from the root.
func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// TestHackingListsEveryFuzzTarget holds that the list names each target in its package's line, and none that is gone.
func TestHackingListsEveryFuzzTarget(t *testing.T) {
	t.Parallel()
	list := document(t, "docs/hacking.md")
	there := map[string]bool{}
	for _, f := range tree(t) {
		if !f.test() {
			continue
		}
		for _, match := range fuzzTarget.FindAllStringSubmatch(f.text, -1) {
			entry := "`" + strings.TrimPrefix(f.pkg, module+"/") + "` | `" + match[1] + "`"
			there[entry] = true
			if !strings.Contains(list, entry) {
				t.Errorf("docs/hacking.md does not list %s", entry)
			}
		}
	}
	for _, entry := range regexp.MustCompile("`[a-z/]+` \\| `Fuzz\\w+`").FindAllString(list, -1) {
		if !there[entry] {
			t.Errorf("docs/hacking.md lists %s, which is not there", entry)
		}
	}
}

// requirement is a line of go.mod's require blocks.
var requirement = regexp.MustCompile(`(?m)^\t(\S+) v\S+$`)

func TestArchitectureListsEveryDependency(t *testing.T) {
	t.Parallel()
	text := document(t, "docs/architecture.md")
	found := requirement.FindAllStringSubmatch(document(t, "go.mod"), -1)
	if len(found) == 0 {
		t.Fatal("go.mod has no direct requirement: the test reads it wrongly")
	}
	for _, match := range found {
		if !strings.Contains(text, "`"+match[1]+"`") {
			t.Errorf("docs/architecture.md does not say what %s does for us, and why this one", match[1])
		}
	}
}

func TestArchitectureHasALineForEveryPackage(t *testing.T) {
	t.Parallel()
	text := document(t, "docs/architecture.md")
	for _, f := range code(tree(t)) {
		if entry := "`" + strings.TrimPrefix(f.pkg, module+"/") + "`"; !strings.Contains(text, entry) {
			t.Errorf("docs/architecture.md has no line for %s", entry)
		}
	}
}

// metric is the name of one of ours, as code has it.
var metric = regexp.MustCompile(`"(mailmanager_[a-z_]+)"`)

func TestOperateListsEveryMetric(t *testing.T) {
	t.Parallel()
	text := document(t, "docs/operate.md")
	there := map[string]bool{}
	for _, f := range code(tree(t)) {
		for _, match := range metric.FindAllStringSubmatch(f.text, -1) {
			there[match[1]] = true
			if !strings.Contains(text, "`"+match[1]+"`") {
				t.Errorf("docs/operate.md does not list %s", match[1])
			}
		}
	}
	for _, match := range regexp.MustCompile("`(mailmanager_[a-z_]+)`").FindAllStringSubmatch(text, -1) {
		if !there[match[1]] {
			t.Errorf("docs/operate.md lists %s, which is not there", match[1])
		}
	}
}

// link is a relative link of Markdown.
var link = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(names, filepath.Join(root, "README.md"), filepath.Join(root, "SECURITY.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, match := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), match[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", path, match[1])
			}
		}
	}
}

func TestNoUnfinishedBusiness(t *testing.T) {
	t.Parallel()
	mark := regexp.MustCompile("\\b(TO" + "DO|FIX" + "ME)\\b")
	for _, f := range tree(t) {
		if match := mark.FindString(f.text); match != "" {
			t.Errorf("%s says %s: finish it, or say what is missing in the documents", f.path, match)
		}
	}
}
