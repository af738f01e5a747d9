package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// checkState says which package-level variables of a package hold state, and where it has an init function. A variable is
// a table, and no state, when nothing in the package assigns it, or a part of it, takes its address, or calls what changes it.
func checkState(files []*file) []complaint {
	variables := map[string]string{} // name to where it is declared
	var wrong []complaint
	for _, f := range files {
		for _, declaration := range f.syntax.Decls {
			wrong = append(wrong, checkDeclaration(f, declaration, variables)...)
		}
	}
	for _, f := range files {
		for _, declaration := range f.syntax.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && function.Body != nil {
				wrong = append(wrong, checkChanges(f, function, variables)...)
			}
		}
	}
	return wrong
}

func checkDeclaration(f *file, declaration ast.Decl, variables map[string]string) []complaint {
	switch d := declaration.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			return []complaint{{f.path + ":init", "init runs before anybody asked for it: pass values"}}
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return nil
		}
		return checkVariables(f, d, variables)
	}
	return nil
}

// stateful are the types that exist to change.
var stateful = []string{"sync.", "atomic.", "chan ", "bytes.Buffer", "rand.Rand"}

func checkVariables(f *file, d *ast.GenDecl, variables map[string]string) []complaint {
	var wrong []complaint
	for _, spec := range d.Specs {
		s := spec.(*ast.ValueSpec)
		kind := ""
		if s.Type != nil {
			kind = f.source(s.Type)
		}
		for _, name := range s.Names {
			if name.Name == "_" {
				continue
			}
			about := f.path + ":" + name.Name
			variables[name.Name] = about
			isState := slices.ContainsFunc(stateful, func(prefix string) bool { return strings.HasPrefix(kind, prefix) })
			if isState || len(s.Values) == 0 && !embedded(d) {
				wrong = append(wrong, complaint{about, "is package-level state: pass a value"})
			}
		}
	}
	return wrong
}

// embedded reports whether a variable's value is a file that the compiler puts in.
func embedded(d *ast.GenDecl) bool {
	return d.Doc != nil && slices.ContainsFunc(d.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

func (f *file) source(node ast.Node) string {
	return f.text[f.positions.Position(node.Pos()).Offset:f.positions.Position(node.End()).Offset]
}

// checkChanges finds where a function changes a variable of the package. A local name that hides one ends the search for
// that name: the hidden variable is out of reach.
func checkChanges(f *file, function *ast.FuncDecl, variables map[string]string) []complaint {
	hidden := locals(function)
	var wrong []complaint
	changed := func(target ast.Expr) {
		name := base(target)
		if about, ok := variables[name]; ok && !hidden[name] {
			wrong = append(wrong, complaint{about, fmt.Sprintf("is changed at %s: package-level variables are tables", f.at(target.Pos()))})
		}
	}
	ast.Inspect(function.Body, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				for _, target := range n.Lhs {
					changed(target)
				}
			}
		case *ast.IncDecStmt:
			changed(n.X)
		case *ast.UnaryExpr:
			if _, element := n.X.(*ast.IndexExpr); n.Op == token.AND && !element { // a row of a table may be pointed at
				changed(n.X)
			}
		case *ast.CallExpr:
			if called, ok := n.Fun.(*ast.Ident); ok && (called.Name == "delete" || called.Name == "clear") && len(n.Args) > 0 {
				changed(n.Args[0])
			}
		}
		return true
	})
	return wrong
}

// base is the name that an expression such as a.b[c] begins with.
func base(expression ast.Expr) string {
	for {
		switch e := expression.(type) {
		case *ast.Ident:
			return e.Name
		case *ast.SelectorExpr:
			expression = e.X
		case *ast.IndexExpr:
			expression = e.X
		case *ast.StarExpr:
			expression = e.X
		case *ast.ParenExpr:
			expression = e.X
		default:
			return ""
		}
	}
}

// locals are the names that a function declares anywhere.
func locals(function *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(function, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.AssignStmt:
			if n.Tok == token.DEFINE {
				for _, target := range n.Lhs {
					names[base(target)] = true
				}
			}
		case *ast.RangeStmt:
			names[base(n.Key)], names[base(n.Value)] = true, true
		}
		return true
	})
	return names
}

func TestNoPackageLevelState(t *testing.T) {
	t.Parallel()
	packages := map[string][]*file{}
	for _, f := range code(tree(t)) {
		packages[f.pkg] = append(packages[f.pkg], f)
	}
	var wrong []complaint
	for _, files := range packages {
		wrong = append(wrong, checkState(files)...)
	}
	report(t, "state", wrong)
}

// clocks are what tells or waits for the time.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}

// timeCalls are the functions of package time, of those named, that a file uses.
func timeCalls(f *file, names []string) []complaint {
	var found []complaint
	ast.Inspect(f.syntax, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if from, ok := selector.X.(*ast.Ident); ok && from.Name == "time" && slices.Contains(names, selector.Sel.Name) {
			found = append(found, complaint{f.path, fmt.Sprintf("line %d uses time.%s", f.line(selector.Pos()), selector.Sel.Name)})
		}
		return true
	})
	return found
}

func TestDecisionsHaveNoClock(t *testing.T) {
	t.Parallel()
	for _, f := range code(tree(t)) {
		if name := folder(f.pkg); name == "" || tiers[name] != decisions {
			continue
		}
		for _, c := range timeCalls(f, clocks) {
			t.Errorf("%s: %s: a decision is told the time", c.about, c.text)
		}
	}
}

// TestTestsDoNotSleep holds that tests wait for what they wait for. In a synctest bubble the time is not real, and a sleep
// is the way to let it pass.
func TestTestsDoNotSleep(t *testing.T) {
	t.Parallel()
	var wrong []complaint
	for _, f := range tree(t) {
		if f.test() && !slices.Contains(f.imports(), "testing/synctest") {
			wrong = append(wrong, timeCalls(f, []string{"Sleep"})...)
		}
	}
	report(t, "sleep", wrong)
}

func TestCheckStateSees(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       bool
	}{
		{"table", "var t = map[string]int{\"a\": 1}\nfunc f() int { return t[\"a\"] }\n", false},
		{"sentinel", "var errX = errors.New(\"x\")\n", false},
		{"assertion", "var _ I = (*T)(nil)\n", false},
		{"hidden by a local", "var t = 1\nfunc f() { t := 2; t = 3; _ = t }\n", false},
		{"hidden by a parameter", "var t = 1\nfunc f(t int) { t++ }\n", false},
		{"embedded file", "//go:embed a.sql\nvar t embed.FS\n", false},
		{"init", "func init() {}\n", true},
		{"no value", "var t int\n", true},
		{"mutex", "var mu sync.Mutex = sync.Mutex{}\n", true},
		{"assigned", "var t = 1\nfunc f() { t = 2 }\n", true},
		{"counted", "var t = 1\nfunc f() { t++ }\n", true},
		{"element assigned", "var t = map[string]int{}\nfunc f() { t[\"a\"] = 2 }\n", true},
		{"field assigned", "var t = T{}\nfunc f() { t.a.b = 2 }\n", true},
		{"address taken", "var t = T{}\nfunc f() { g(&t) }\n", true},
		{"row pointed at", "var t = []T{{}}\nfunc f() *T { return &t[0] }\n", false},
		{"element deleted", "var t = map[string]int{}\nfunc f() { delete(t, \"a\") }\n", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := parse("internal/a/a.go", "package a\n"+test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := checkState([]*file{f}); (len(got) > 0) != test.want {
				t.Errorf("got %v, want a complaint: %v", got, test.want)
			}
		})
	}
}

func TestTimeCallsSees(t *testing.T) {
	t.Parallel()
	f, err := parse("internal/a/a.go", "package a\nfunc f() { time.Sleep(1); x.Sleep(1); time.Unix(0, 0) }\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := timeCalls(f, clocks); len(got) != 1 {
		t.Errorf("got %v, want one complaint", got)
	}
}
