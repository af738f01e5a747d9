package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// tier is how close to the world a package is; imports go from a higher tier to a lower one.
type tier int

const (
	words tier = iota + 1
	decisions
	adapters
	flow
)

func (t tier) String() string { return [...]string{"", "words", "decisions", "adapters", "flow"}[t] }

// tiers has every folder of internal/; what is below a folder is of its tier.
var tiers = map[string]tier{
	"mailmanager":    words,
	"secretsmanager": words,
	"message":        words,
	"smtp":           words,

	"access":      decisions,
	"addressfile": decisions,
	"addresslist": decisions,
	"bounce":      decisions,
	"lint":        decisions,
	"match":       decisions,
	"policy":      decisions,
	"rule":        decisions,
	"schedule":    decisions,
	"srs":         decisions,
	"trust":       decisions,

	"awsapi":     adapters,
	"audit":      adapters,
	"smtpd":      adapters,
	"smtpclient": adapters,
	"spool":      adapters,
	"store":      adapters,
	"objects":    adapters,
	"seal":       adapters,
	"inherit":    adapters,
	"certs":      adapters,
	"trace":      adapters,
	"records":    adapters,
	"rdns":       adapters,
	"throttle":   adapters,

	"control":  flow,
	"identity": flow,
	"ingress":  flow,
	"process":  flow,
	"simulate": flow,
	"queue":    flow,
	"action":   flow,
	"admin":    flow,
}

// outsiders are the packages of internal/ that are not part of the gateway but tools.
var outsiders = []string{"internal/conform", "internal/mailmanager/generate"}

// opens are the packages of the standard library that open files or sockets, or tell what only the world knows.
var opens = []string{
	"net", "net/http", "net/rpc", "net/smtp", "os", "os/exec", "os/signal", "os/user", "io/ioutil", "syscall",
	"log", "log/slog", "log/syslog", "database/sql", "math/rand", "math/rand/v2", "plugin",
}

// pureLibraries are what words and decisions may use beyond the standard library.
var pureLibraries = []string{"golang.org/x/text/", "golang.org/x/net/idna"}

// folder is the part of an import path that has a tier: "spool" for sluice/internal/spool/pebble.
func folder(pkg string) string {
	below, inside := strings.CutPrefix(pkg, module+"/internal/")
	if !inside {
		return ""
	}
	name, _, _ := strings.Cut(below, "/")
	return name
}

func outsider(pkg string) bool {
	return slices.Contains(outsiders, strings.TrimPrefix(pkg, module+"/"))
}

// checkImports says what is wrong with the imports of a file.
func checkImports(f *file) []string {
	name := folder(f.pkg)
	if name == "" || outsider(f.pkg) {
		return nil
	}
	own, ok := tiers[name]
	if !ok {
		return []string{fmt.Sprintf("internal/%s has no tier: say which in archtest and docs/architecture.md", name)}
	}
	var wrong []string
	for _, path := range f.imports() {
		if path == "net/http" && own <= decisions && statusOnly(f) {
			continue
		}
		if why := checkImport(name, own, path); why != "" {
			wrong = append(wrong, fmt.Sprintf("imports %s: %s", path, why))
		}
	}
	return wrong
}

// statusOnly reports whether a file uses net/http for the numbers of its statuses and nothing else.
func statusOnly(f *file) bool {
	only := true
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			from, ok := selector.X.(*ast.Ident)
			only = only && !(ok && from.Name == "http" && !strings.HasPrefix(selector.Sel.Name, "Status"))
		}
		return true
	})
	return only
}

func checkImport(name string, own tier, path string) string {
	other := folder(path)
	switch {
	case strings.HasPrefix(path, module+"/cmd/") || strings.HasPrefix(path, module+"/test/") || path == module+"/internal/conform":
		return "the gateway does not depend on its commands and tests"
	case other == name:
		return ""
	case other != "" && tiers[other] > own:
		return fmt.Sprintf("%s do not import %s", own, tiers[other])
	case other != "" && own == adapters && tiers[other] == adapters:
		return "adapters do not import each other: declare an interface for what is needed"
	case other == "" && own <= decisions:
		return checkPure(path)
	default:
		return ""
	}
}

// checkPure says why words and decisions may not import something from elsewhere.
func checkPure(path string) string {
	if slices.Contains(opens, path) || strings.HasPrefix(path, "net/http/") {
		return "words and decisions open no file and no socket, and log nothing"
	}
	host, _, _ := strings.Cut(path, "/")
	if !strings.Contains(host, ".") {
		return "" // the standard library
	}
	for _, library := range pureLibraries {
		if strings.HasPrefix(path, library) {
			return ""
		}
	}
	return "words and decisions use no library but x/text and x/net/idna"
}

func TestImportsRunOneWay(t *testing.T) {
	t.Parallel()
	for _, f := range code(tree(t)) {
		for _, wrong := range checkImports(f) {
			t.Errorf("%s %s", f.path, wrong)
		}
	}
}

func TestEveryTierEntryIsAFolder(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, f := range tree(t) {
		there[folder(f.pkg)] = true
	}
	for name := range tiers {
		if !there[name] {
			t.Errorf("internal/%s has a tier and no code", name)
		}
	}
}

// tourImports is all that the client side of quickstart may use of the project: what talks over TCP.
var tourImports = []string{module + "/internal/admin/client"}

// TestQuickstartTalksOverTCPOnly holds what makes quickstart worth watching: it does nothing that its reader's own
// programs could not do.
func TestQuickstartTalksOverTCPOnly(t *testing.T) {
	t.Parallel()
	const tour = module + "/cmd/sluice/internal/tour"
	found := false
	for _, f := range code(tree(t)) {
		if f.pkg != tour {
			continue
		}
		found = true
		for _, path := range f.imports() {
			if strings.HasPrefix(path, module+"/") && !slices.Contains(tourImports, path) {
				t.Errorf("%s imports %s: it reaches the server with the AWS SDK, the admin API's client and SMTP", f.path, path)
			}
		}
	}
	if !found {
		t.Errorf("no package %s", tour)
	}
}

func TestAdminClientKnowsNothingOfTheServer(t *testing.T) {
	t.Parallel()
	allowed := []string{module + "/internal/trace"} // the record's form
	for _, f := range code(tree(t)) {
		if f.pkg != module+"/internal/admin/client" {
			continue
		}
		for _, path := range f.imports() {
			if strings.HasPrefix(path, module+"/") && !slices.Contains(allowed, path) {
				t.Errorf("%s imports %s", f.path, path)
			}
		}
	}
}

func TestStatusOnlySees(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"http.StatusOK": true, "http.DefaultClient": false, "other.DefaultClient": true} {
		f, err := parse("internal/mailmanager/a.go", "package a\nimport \"net/http\"\nvar _ = "+text+"\n")
		if err != nil {
			t.Fatal(err)
		}
		if got := statusOnly(f); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
		if got := checkImports(f); (len(got) == 0) != want {
			t.Errorf("%s: got %v, want a complaint: %v", text, got, !want)
		}
	}
}

func TestCheckImportsSees(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, path, imports string
		want                bool
	}{
		{"flow to adapters", "internal/queue/a.go", "sluice/internal/spool", false},
		{"flow to flow", "internal/action/a.go", "sluice/internal/queue", false},
		{"within a folder", "internal/spool/pebble/a.go", "sluice/internal/spool", false},
		{"words to text", "internal/message/a.go", "golang.org/x/text/unicode/norm", false},
		{"words to pure standard library", "internal/smtp/a.go", "net/netip", false},
		{"outside of internal", "cmd/sluice/a.go", "sluice/internal/queue", false},
		{"adapters to flow", "internal/spool/pebble/a.go", "sluice/internal/queue", true},
		{"adapters to adapters", "internal/awsapi/a.go", "sluice/internal/store", true},
		{"adapters to adapters below", "internal/smtpd/a.go", "sluice/internal/spool/memory", true},
		{"words to decisions", "internal/smtp/a.go", "sluice/internal/policy", true},
		{"decisions to adapters", "internal/rule/a.go", "sluice/internal/trace", true},
		{"decisions to sockets", "internal/policy/a.go", "net", true},
		{"words to files", "internal/message/a.go", "os", true},
		{"decisions to a library", "internal/rule/a.go", "github.com/cockroachdb/pebble/v2", true},
		{"flow to commands", "internal/control/a.go", "sluice/cmd/sluice", true},
		{"adapters to tests", "internal/store/a.go", "sluice/test/load", true},
		{"flow to proofs", "internal/control/a.go", "sluice/internal/conform", true},
		{"no tier", "internal/util/a.go", "fmt", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := parse(test.path, "package a\nimport _ \""+test.imports+"\"\n")
			if err != nil {
				t.Fatal(err)
			}
			if got := checkImports(f); (len(got) > 0) != test.want {
				t.Errorf("got %v, want a complaint: %v", got, test.want)
			}
		})
	}
}
