package conform_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sluice/internal/conform"
)

const root = "../.."

// proof is a test that says what it proves.
type proof struct{ pkg, test string }

// proofs are the tests that prove each id.
type proofs map[string][]proof

// readProofs finds every call of Check below the root. What this package's own tests call it with proves nothing.
func readProofs(t *testing.T) proofs {
	t.Helper()
	found := proofs{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{"testdata", "node_modules", ".git", "conform"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		if err := found.read(filepath.ToSlash(relative), syntax); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// read adds what the tests of a file say that they prove.
func (p proofs) read(pkg string, file *ast.File) error {
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ids, err := checked(function)
		if err != nil {
			return fmt.Errorf("%s: %w", function.Name.Name, err)
		}
		if len(ids) > 0 && (function.Recv != nil || !strings.HasPrefix(function.Name.Name, "Test")) {
			return fmt.Errorf("%s is no test, and calls conform.Check", function.Name.Name)
		}
		for _, id := range ids {
			p[id] = append(p[id], proof{pkg, function.Name.Name})
		}
	}
	return nil
}

// checked are the ids that a function calls Check with, each once.
func checked(function *ast.FuncDecl) (ids []string, err error) {
	ast.Inspect(function, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || !isCheck(call) {
			return true
		}
		for _, argument := range call.Args[1:] {
			literal, ok := argument.(*ast.BasicLit)
			if !ok {
				err = fmt.Errorf("an id of conform.Check is no literal")
				return false
			}
			id, _ := strconv.Unquote(literal.Value) // it was parsed as Go
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
		return true
	})
	return ids, err
}

func isCheck(call *ast.CallExpr) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || selector.Sel.Name != "Check" || len(call.Args) == 0 {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && from.Name == "conform"
}

// cell is what a table says of the tests that prove an id: the packages, and the tests of each.
func (p proofs) cell(id string) string {
	tests := map[string][]string{}
	for _, found := range p[id] {
		tests[found.pkg] = append(tests[found.pkg], found.test)
	}
	var parts []string
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		slices.Sort(tests[pkg])
		parts = append(parts, "`"+pkg+"` "+strings.Join(tests[pkg], ", "))
	}
	return strings.Join(parts, "; ")
}

func TestReadSees(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       []string // nil: refused
	}{
		{"ids", `func TestA(t *testing.T) { conform.Check(t, "A1", "CreateRelay") }`, []string{"A1", "CreateRelay"}},
		{"within a subtest", `func TestA(t *testing.T) { t.Run("x", func(t *testing.T) { conform.Check(t, "A1") }) }`, []string{"A1"}},
		{"twice", `func TestA(t *testing.T) { conform.Check(t, "A1"); conform.Check(t, "A1") }`, []string{"A1"}},
		{"another Check", `func TestA(t *testing.T) { other.Check(t, "A1") }`, []string{}},
		{"a helper", `func help(t *testing.T) { conform.Check(t, "A1") }`, nil},
		{"a method", `func (x) TestA(t *testing.T) { conform.Check(t, "A1") }`, nil},
		{"a benchmark", `func BenchmarkA(b *testing.B) { conform.Check(b, "A1") }`, nil},
		{"a variable", `func TestA(t *testing.T) { conform.Check(t, id) }`, nil},
		{"a slice", `func TestA(t *testing.T) { conform.Check(t, ids...) }`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file, err := parser.ParseFile(token.NewFileSet(), "a_test.go", "package a\n"+test.text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			found := proofs{}
			err = found.read("a", file)
			if (err != nil) != (test.want == nil) {
				t.Fatalf("got error %v, want one: %v", err, test.want == nil)
			}
			if got := slices.Sorted(maps.Keys(found)); err == nil && !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// refusals is a testing.TB that counts what fails.
type refusals struct {
	testing.TB
	n int
}

func (r *refusals) Helper()               {}
func (r *refusals) Errorf(string, ...any) { r.n++ }

func TestCheckRefusesWhatIsUnknown(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int{"A1": 0, "F21": 0, "CreateRelay": 0, "B5": 1, "a1": 1, "A31": 1, "": 1, "CreateSecret": 1} {
		r := refusals{TB: t}
		conform.Check(&r, id)
		if r.n != want {
			t.Errorf("%q: got %d refusals, want %d", id, r.n, want)
		}
	}
}
