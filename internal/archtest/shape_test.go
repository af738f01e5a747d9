package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"
)

// Hard stops. What is aimed for is far less. Source: docs/hacking.md.
const (
	maxFunctionLines = 70
	maxFileLines     = 700
	maxParameters    = 5
	maxIndentation   = 4
)

// checkShape says what of a file is too large.
func checkShape(f *file) []complaint {
	var wrong []complaint
	if lines := strings.Count(f.text, "\n"); lines > maxFileLines {
		wrong = append(wrong, complaint{f.path, fmt.Sprintf("has %d lines, at most %d", lines, maxFileLines)})
	}
	for _, declaration := range f.syntax.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok {
			wrong = append(wrong, checkFunction(f, function)...)
		}
	}
	return wrong
}

func checkFunction(f *file, function *ast.FuncDecl) []complaint {
	var wrong []complaint
	name := f.path + ":" + function.Name.Name
	if lines := f.line(function.End()) - f.line(function.Pos()) + 1; lines > maxFunctionLines {
		wrong = append(wrong, complaint{name, fmt.Sprintf("has %d lines, at most %d", lines, maxFunctionLines)})
	}
	if n := function.Type.Params.NumFields(); n > maxParameters {
		wrong = append(wrong, complaint{name, fmt.Sprintf("has %d parameters, at most %d, then a struct", n, maxParameters)})
	}
	ast.Inspect(function, func(node ast.Node) bool {
		statement, ok := node.(ast.Stmt)
		if !ok {
			return true
		}
		if depth := f.indentation(statement.Pos()); depth > maxIndentation {
			wrong = append(wrong, complaint{name, fmt.Sprintf("line %d is indented by %d, at most %d", f.line(statement.Pos()), depth, maxIndentation)})
			return false
		}
		return true
	})
	return wrong
}

// indentation is how many tabs the line of a position begins with.
func (f *file) indentation(pos token.Pos) int {
	offset := f.positions.Position(pos).Offset
	line := f.text[strings.LastIndexByte(f.text[:offset], '\n')+1:]
	return len(line) - len(strings.TrimLeft(line, "\t"))
}

func TestNothingIsTooLarge(t *testing.T) {
	t.Parallel()
	var wrong []complaint
	for _, f := range code(tree(t)) {
		wrong = append(wrong, checkShape(f)...)
	}
	report(t, "size", wrong)
}

// checkDocs says which exported names of a file have no doc comment.
func checkDocs(f *file) []string {
	var wrong []string
	for _, declaration := range f.syntax.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && exportedReceiver(d) && d.Doc == nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s has no doc comment", f.at(d.Pos()), d.Name.Name))
			}
		case *ast.GenDecl:
			wrong = append(wrong, checkSpecs(f, d)...)
		}
	}
	return wrong
}

func checkSpecs(f *file, d *ast.GenDecl) []string {
	var wrong []string
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil {
				wrong = append(wrong, fmt.Sprintf("%s: %s has no doc comment", f.at(s.Pos()), s.Name.Name))
			}
		case *ast.ValueSpec:
			documented := d.Doc != nil || s.Doc != nil || s.Comment != nil
			if s.Names[0].IsExported() && !documented {
				wrong = append(wrong, fmt.Sprintf("%s: %s has no doc comment", f.at(s.Pos()), s.Names[0].Name))
			}
		}
	}
	return wrong
}

// exportedReceiver reports whether a function is no method, or one of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	kind := d.Recv.List[0].Type
	for {
		switch k := kind.(type) {
		case *ast.StarExpr:
			kind = k.X
		case *ast.IndexExpr:
			kind = k.X
		case *ast.IndexListExpr:
			kind = k.X
		case *ast.Ident:
			return k.IsExported()
		default:
			return true
		}
	}
}

func TestExportedNamesHaveDocs(t *testing.T) {
	t.Parallel()
	for _, f := range code(tree(t)) {
		for _, wrong := range checkDocs(f) {
			t.Error(wrong)
		}
	}
}

func TestPackagesHaveOneDoc(t *testing.T) {
	t.Parallel()
	docs := map[string][]string{}
	for _, f := range tree(t) {
		if f.test() {
			continue
		}
		docs[f.pkg] = append(docs[f.pkg], nil...)
		if f.syntax.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.path)
		}
	}
	for pkg, files := range docs {
		if len(files) != 1 {
			t.Errorf("%s has a package comment in %d files %v, want one", pkg, len(files), files)
		}
	}
}

func TestCheckShapeSees(t *testing.T) {
	t.Parallel()
	long := "func f() {\n" + strings.Repeat("\tg()\n", maxFunctionLines) + "}\n"
	deep := "func f() {\n\tif a {\n\t\tif a {\n\t\t\tif a {\n\t\t\t\tif a {\n\t\t\t\t\tg()\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t}\n}\n"
	tests := []struct {
		name, text string
		want       bool
	}{
		{"small", "func f(a, b, c, d, e int) { g() }\n", false},
		{"deep literal", "var x = []T{\n\t{\n\t\t{\n\t\t\t{\n\t\t\t\t{\n\t\t\t\t\t{},\n\t\t\t\t},\n\t\t\t},\n\t\t},\n\t},\n}\n", false},
		{"long function", long, true},
		{"deep function", deep, true},
		{"many parameters", "func f(a, b, c, d, e, g int) {}\n", true},
		{"long file", strings.Repeat("\n", maxFileLines), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := parse("internal/a/a.go", "package a\n"+test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := checkShape(f); (len(got) > 0) != test.want {
				t.Errorf("got %v, want a complaint: %v", got, test.want)
			}
		})
	}
}

func TestCheckDocsSees(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       bool
	}{
		{"unexported", "func f() {}\ntype t int\nvar v int\n", false},
		{"method of an unexported type", "type t int\nfunc (t) M() {}\n", false},
		{"documented", "// F does.\nfunc F() {}\n", false},
		{"group", "// The kinds.\nconst (\n\tA = 1\n\tB = 2\n)\n", false},
		{"function", "func F() {}\n", true},
		{"type", "type T int\n", true},
		{"method", "// T is.\ntype T[A any] struct{}\nfunc (*T[A]) M() {}\n", true},
		{"constant", "const (\n\tA = 1\n)\n", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := parse("internal/a/a.go", "package a\n"+test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := checkDocs(f); (len(got) > 0) != test.want {
				t.Errorf("got %v, want a complaint: %v", got, test.want)
			}
		})
	}
}
