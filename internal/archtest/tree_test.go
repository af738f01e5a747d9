package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "sluice"
	root   = "../.."
)

// file is one Go file of the project.
type file struct {
	path      string // from the root, with slashes
	pkg       string // import path
	text      string
	syntax    *ast.File
	positions *token.FileSet
}

// test reports whether a file is there for tests only: the packages that tests share have names that end in "test".
func (f *file) test() bool {
	return strings.HasSuffix(f.path, "_test.go") || strings.HasSuffix(f.syntax.Name.Name, "test")
}

func (f *file) generated() bool { return ast.IsGenerated(f.syntax) }

func (f *file) line(pos token.Pos) int { return f.positions.Position(pos).Line }

func (f *file) at(pos token.Pos) string { return f.path + ":" + strconv.Itoa(f.line(pos)) }

// imports are the import paths, in order.
func (f *file) imports() []string {
	var paths []string
	for _, spec := range f.syntax.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err == nil {
			paths = append(paths, path)
		}
	}
	return paths
}

// parse makes a file of source text.
func parse(path, text string) (*file, error) {
	positions := token.NewFileSet()
	syntax, err := parser.ParseFile(positions, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	pkg := module
	if dir := filepath.ToSlash(filepath.Dir(path)); dir != "." {
		pkg += "/" + dir
	}
	return &file{path: path, pkg: pkg, text: text, syntax: syntax, positions: positions}, nil
}

// tree is every Go file of the project, but for what belongs to other modules.
func tree(t *testing.T) []*file {
	t.Helper()
	var files []*file
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(path, entry):
			return fs.SkipDir
		case entry.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		f, err := read(path)
		files = append(files, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d files only: the tests look in the wrong place", len(files))
	}
	return files
}

func skipped(path string, entry fs.DirEntry) bool {
	if path == root {
		return false
	}
	if slices.Contains([]string{"testdata", "node_modules", ".git"}, entry.Name()) {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

func read(path string) (*file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	return parse(filepath.ToSlash(relative), string(text))
}

// code are the files that people wrote and that are built into something: no tests and nothing generated.
func code(files []*file) []*file {
	return slices.DeleteFunc(slices.Clone(files), func(f *file) bool { return f.test() || f.generated() })
}

// report fails the test for every complaint that is no exception, and for every exception that nothing needs.
func report(t *testing.T, rule string, complaints []complaint) {
	t.Helper()
	needed := map[string]bool{}
	for _, c := range complaints {
		if exceptions[rule][c.about] != "" {
			needed[c.about] = true
			continue
		}
		t.Errorf("%s: %s", c.about, c.text)
	}
	for about := range exceptions[rule] {
		if !needed[about] {
			t.Errorf("exception %q of rule %q is not needed any more: remove it", about, rule)
		}
	}
}

// complaint says that something breaks a rule. about names it without line numbers, so that exceptions stay valid.
type complaint struct{ about, text string }
